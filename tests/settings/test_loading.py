"""What a user meets when the YAML is right, and when it is wrong."""

from __future__ import annotations

# ruff: noqa: E501 (the YAML is the documented one, line for line)
import contextlib
import copy
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router_lab import settings
from router_lab.errors import ConfigError
from router_lab.settings import Settings

DESIGN = """\
models:
  local:  {provider: ollama, model: "qwen2.5:7b", base_url: "http://127.0.0.1:11434", num_ctx: 8192, price: {input: 0.10, output: 0.10}}
  cloud:  {provider: anthropic, model: claude-sonnet-4-5, api_key_env: ANTHROPIC_API_KEY, price: {input: 3, output: 15, cache_read: 0.3, cache_write: 3.75}}
  other:  {provider: openai, model: my-model, base_url: "http://127.0.0.1:8000/v1", price: {input: 0, output: 0}, context_window: 32768}
routing:
  summarize:        {model: local, fallback: cloud, shadow: {model: cloud, sample_rate: 1.0, comparator: text, noise_rate: 0.0}}
  "extract::order": {model: local, fallback: cloud, policy: standard, max_tokens: 512}
ollama:  {default_num_ctx: 8192, default_output_reserve: 1024, timeout_s: 120, keep_alive: 5m,
          token_estimation: {estimator: ema, safety_factor: 0.9, ema_alpha: 0.2, divisor_bounds: [2.5, 4.5]}}
shadow:  {enabled: false, locked_off: false, max_concurrent: 8, max_queued: 256}
breaker: {failure_threshold: 5, window_s: 600, recovery_s: 300}
retry:   {deadline_s: 300, policies: {critical: {retries: 3, base_s: 2, max_s: 30}, standard: {retries: 2, base_s: 1, max_s: 15}, agent: {retries: 1, base_s: 5, max_s: 5}}}
cost:    {monthly_budget_usd: 100, daily_budget_usd: 20, shadow_daily_usd: 5, warning_ratio: 0.9, timezone: UTC, scopes: {"summarize": {daily_usd: 2}}}
ledger:  {content: full, durability: full, seal_rows: 50000, seal_seconds: 300}
"""
MODELS = """\
models:
  local: {provider: ollama, model: "qwen2.5:7b", price: {input: 0.1, output: 0.1}}
  cloud: {provider: anthropic, model: claude-sonnet-4-5, price: {input: 3, output: 15}}
"""
ROUTING = "routing:\n  summarize: {model: local}\n"
MINIMAL = MODELS + ROUTING
SAMPLE = Path(__file__).parents[2] / "config" / "router.yaml"


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings.parse(text, source="router.yaml")
    return str(caught.value)


def test_the_documented_form_loads() -> None:
    loaded = settings.parse(DESIGN)
    assert loaded.models["local"].price == settings.Price(input=0.1, output=0.1)
    assert loaded.models["cloud"].base_url == "https://api.anthropic.com"
    assert loaded.models["other"].context_window == 32768
    assert loaded.routing["summarize"].fallback == ("cloud",)
    assert loaded.routing["summarize"].shadow == settings.ShadowRoute(model="cloud")
    assert loaded.routing["extract::order"].max_tokens == 512
    assert loaded.cost.scopes["summarize"].daily_usd == 2.0


def test_what_is_left_out_has_the_documented_default() -> None:
    documented = yaml.safe_load(DESIGN)
    # Two documented values are examples, not defaults: the better estimator, and no scope.
    documented["ollama"]["token_estimation"]["estimator"] = "coverage"
    documented["cost"]["scopes"] = {}
    documented["models"], documented["routing"] = (
        yaml.safe_load(MINIMAL)[key] for key in ("models", "routing")
    )
    assert settings.parse(yaml.safe_dump(documented)) == settings.parse(MINIMAL)


def test_the_sample_users_copy_loads_and_shows_the_defaults() -> None:
    sample = settings.load(SAMPLE)
    design = settings.parse(DESIGN)
    assert (sample.models, sample.routing) == (design.models, design.routing)
    assert sample.cost.scopes == design.cost.scopes
    only_required = {"models": sample.models, "routing": sample.routing}
    shown = sample.model_copy(update={"cost": sample.cost.model_copy(update={"scopes": {}})})
    assert shown == Settings.model_validate(only_required)


def test_the_sample_names_every_key() -> None:
    text = SAMPLE.read_text()

    def keys(schema: dict[str, Any]) -> set[str]:
        found: set[str] = set()
        for definition in schema["$defs"].values():
            found |= set(definition["properties"])
        return found | set(schema["properties"])

    rarely_needed = {"cache_write_1h", "options"}
    assert {key for key in keys(Settings.model_json_schema()) if f"{key}" not in text} <= rarely_needed


def test_short_forms() -> None:
    loaded = settings.parse(MODELS + "routing: {a: {model: local, fallback: cloud, shadow: cloud}}")
    long = settings.parse(MODELS + "routing: {a: {model: local, fallback: [cloud], shadow: {model: cloud}}}")
    assert loaded == long


def test_whole_numbers_are_numbers_and_anchors_merge() -> None:
    loaded = settings.parse(
        "models:\n"
        "  a: &base {provider: ollama, model: m, price: {input: 1, output: 0.5}, timeout_s: 5}\n"
        "  b: {<<: *base, model: n}\n"
        "routing:\n"
        "  on: {model: a}\n"
        "  no: {model: b}\n"
        "  2026-11-22: {model: b}\n"
    )
    assert loaded.models["b"].model == "n"
    assert loaded.models["b"].timeout_s == 5.0
    assert set(loaded.routing) == {"on", "no", "2026-11-22"}


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        (MINIMAL + "rooting: {}\n", 6, "rooting", ["no such key", "'routing'"]),
        (MINIMAL + "cost:\n  dayly_budget_usd: 5\n", 7, "cost.dayly_budget_usd", ["'daily_budget_usd'"]),
        (
            MINIMAL + "  b: {model: lokal}\n",
            6,
            "routing.b.model",
            ["'lokal'", "did you mean 'local'", "cloud"],
        ),
        (MINIMAL + "  b: {model: local, fallback: clod}\n", 6, "routing.b.fallback[0]", ["'cloud'"]),
        (MINIMAL + "  b: {model: local, shadow: clod}\n", 6, "routing.b.shadow.model", ["'cloud'"]),
        (
            MINIMAL + "  b:\n    model: local\n    fallback: [cloud, local]\n",
            8,
            "routing.b.fallback",
            ["cycle of fallbacks: local -> cloud -> local"],
        ),
        (
            MINIMAL + "  b: {model: local, policy: standart}\n",
            6,
            "routing.b.policy",
            ["'standard'", "'standart'"],
        ),
        (MINIMAL + "  b: {policy: agent}\n", 6, "routing.b.model", ["required and missing"]),
        (
            MINIMAL + "  b: {model: local, max_tokens: '5'}\n",
            6,
            "routing.b.max_tokens",
            ["'5'", "without quotes"],
        ),
        (
            MINIMAL + "  b: {model: local, max_tokens: 5.5}\n",
            6,
            "routing.b.max_tokens",
            ["whole number", "5.5"],
        ),
        (MINIMAL + "  b: {model: local, max_tokens: 0}\n", 6, "routing.b.max_tokens", ["greater than 0"]),
        (MINIMAL + "  b: {model: no}\n", 6, "routing.b.model", ["the boolean false", "quotes"]),
        (MINIMAL + "  b: {model: 1:30}\n", 6, "routing.b.model", ["90", "quotes"]),
        (MINIMAL + "  b: {model: 2026-11-22}\n", 6, "routing.b.model", ["date", "quotes"]),
        (MINIMAL + "  b: {model: =}\n", 6, "routing.b.model", ["cannot read", "quotes"]),
        (MINIMAL + "  b: {model: !env LOCAL}\n", 6, "routing.b.model", ["tag '!env'"]),
        (MINIMAL + "  b: {model: local, max_tokens: 010}\n", 6, "routing.b.max_tokens", ["reads 010 as 8"]),
        (MINIMAL + "  summarize: {model: cloud}\n", 6, "routing.summarize", ["twice", "line 5"]),
        (MINIMAL + "  'a::::b': {model: local}\n", 6, "routing.a::::b", ["empty part"]),
        (MINIMAL + "  'a::': {model: local}\n", 6, "routing.a::", ["empty part"]),
        (MINIMAL + "  '': {model: local}\n", 6, "routing.''", ["empty part"]),
        (MINIMAL + "  {{ name }}: {model: local}\n", 6, "routing", ["quotes"]),
        (
            MINIMAL + "cost: {scopes: {sumarize: {daily_usd: 1}}}\n",
            6,
            "cost.scopes.sumarize",
            ["no route is called 'sumarize'", "did you mean 'summarize'?"],
        ),
        (MINIMAL + "cost: {scopes: {'::x': {daily_usd: 1}}}\n", 6, "cost.scopes.::x", ["empty part"]),
        (
            MINIMAL + "cost: {timezone: Europe/Berln}\n",
            6,
            "cost.timezone",
            ["'Europe/Berln'", "'Europe/Berlin'"],
        ),
        (MINIMAL + "cost: {timezone: ../../etc/passwd}\n", 6, "cost.timezone", ["time zone"]),
        (MINIMAL + "cost: {timezone: Europe}\n", 6, "cost.timezone", ["time zone"]),
        (MINIMAL + "cost: {daily_budget_usd: .inf}\n", 6, "cost.daily_budget_usd", ["finite"]),
        (MINIMAL + "cost: {daily_budget_usd: .nan}\n", 6, "cost.daily_budget_usd", ["finite"]),
        (MINIMAL + "cost: {daily_budget_usd: '1e3'}\n", 6, "cost.daily_budget_usd", ["'1e3'", "write 1000"]),
        (
            MINIMAL + "cost: {daily_budget_usd: -1}\n",
            6,
            "cost.daily_budget_usd",
            ["greater than or equal to 0"],
        ),
        (MINIMAL + "shadow:\n", 6, "shadow", ["got nothing", "leave the key out"]),
        (MINIMAL + "shadow: {enabled: 'true'}\n", 6, "shadow.enabled", ["true or false", "without quotes"]),
        (MINIMAL + "shadow: {enabled: 1}\n", 6, "shadow.enabled", ["true or false", "the number 1"]),
        (MINIMAL + "ollama: {keep_alive: -1}\n", 6, "ollama.keep_alive", ["text", "quotes"]),
        (
            MINIMAL + "ollama:\n  token_estimation:\n    divisor_bounds: [4, 2]\n",
            8,
            "ollama.token_estimation.divisor_bounds",
            ["lower bound"],
        ),
        (MINIMAL + "  '*': {model: a}\n", 6, "routing.*", ["matches nothing", "name each"]),
        (MINIMAL + "  extract::*: {model: a}\n", 6, "routing.extract::*", ["write 'extract'"]),
        (MINIMAL + "cost: {scopes: {ask*: {daily_usd: 1}}}\n", 6, "cost.scopes.ask*", ["write 'ask'"]),
        ("models: {}\nrouting: {a: {model: b}}\n", 1, "models", ["at least one"]),
        ("routing: {a: {model: b}}\n", 1, "models", ["required and missing"]),
        (
            "models: {a: {provider: olama, model: m}}\nrouting: {a: {model: a}}\n",
            1,
            "models.a.provider",
            ["'ollama'"],
        ),
    ],
)
def test_a_mistake_is_named_with_line_key_and_mend(text: str, line: int, key: str, says: list[str]) -> None:
    lines = error_of(text).splitlines()
    expected = f"router.yaml:{line}: {key}: "
    found = [each for each in lines if each.startswith(expected)]
    assert found, lines
    assert all(word in found[0] for word in says), found[0]


@pytest.mark.parametrize(
    ("model", "key", "says"),
    [
        ("{provider: ollama, model: gpt-5}", "price", "your own machine"),
        ("{provider: anthropic, model: claude-nope}", "price", "'claude-nope'"),
        ("{provider: openai, model: qwen, base_url: 'http://127.0.0.1:8000/v1'}", "price", "'qwen'"),
        ("{provider: openai, model: gpt-5, num_ctx: 4096}", "num_ctx", "context_window"),
        ("{provider: openai, model: gpt-5, base_url: localhost:8000}", "base_url", "http://"),
        ("{provider: openai, model: gpt-5, base_url: 'http://'}", "base_url", "address"),
        ("{provider: openai, model: gpt-5, base_url: 'http://h:99999'}", "base_url", "address"),
        ("{provider: openai, model: gpt-5, api_key_env: MY-KEY}", "api_key_env", "never a key"),
        ("{provider: openai, model: gpt-5, api_key_env: gsk_aBcDeFgHiJkLmNoP}", "api_key_env", "never a key"),
        (
            "{provider: openai, model: m, price: {input: 1, output: 1, bands: [{above_tokens: 9}, {above_tokens: 9}]}}",
            "price.bands",
            "two bands",
        ),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(model: str, key: str, says: str) -> None:
    message = error_of(f"models:\n  a: {model}\nrouting: {{r: {{model: a}}}}\n")
    assert message.startswith(f"router.yaml:2: models.a.{key}: ")
    assert says in message


@pytest.mark.parametrize(
    "model",
    [
        "{provider: anthropic, model: claude-haiku-5-5}",
        "{provider: anthropic, model: claude-sonnet-4-5, base_url: 'http://127.0.0.1:9999'}",
        "{provider: openai, model: gpt-5}",
        "{provider: openai, model: deepseek-chat, base_url: 'https://api.deepseek.com'}",
    ],
)
def test_a_listed_model_needs_no_price(model: str) -> None:
    assert settings.parse(f"models: {{a: {model}}}\nrouting: {{r: {{model: a}}}}\n").models["a"].price is None


def test_everything_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = (
        "models:\n"
        "  local: {provider: ollama, model: m}\n"
        "  cloud: {provider: antropic, model: m}\n"
        "routing:\n"
        "  a: {model: locl}\n"
        "  a: {model: cloud}\n"
        "  b: {model: local, fallback: local, colour: red}\n"
        "cost: {timezone: Nowhere}\n"
    )
    places = [line.split(": ")[0] for line in error_of(text).splitlines()]
    assert places == [f"router.yaml:{line}" for line in (2, 3, 5, 6, 7, 7, 8)]


def test_a_flood_of_problems_is_cut() -> None:
    routes = "".join(f"  r{index}: {{model: nope}}\n" for index in range(1000))
    lines = error_of(MODELS + "routing:\n" + routes).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "router.yaml: and 950 more"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"[1, 2]", "each a mapping"),
        (b"just text", "each a mapping"),
        (b"a: 1\nb: \xff\xfe\n", ":2: is not UTF-8"),
        ("a: 1".encode("utf-16"), ":1: is not UTF-8"),
        (b"models:\n\tlocal: 1\n", ":2: is not valid YAML"),
        (b"a: b: c\n", ":1: is not valid YAML"),
        (b"a: 1\nb: \x07\n", ":2: holds a character"),
        (b"a: 1\n---\na: 2\n", "one document"),
        (b"a: *nobody\n", "undefined alias"),
        (b"a: &a [*a]\n", "contains itself"),
        (b"a: &a {<<: *a}\n", "contains itself"),
        (b"#" * 5_000_000, "is it the right file"),
        (b"a: 1\n" * 200_000, "is it the right file"),
        (b"[" * 500_000, "levels deep"),
        (b"- " * 100_000, "levels deep"),
        (b"a: " + b"9" * 10_000, "cannot read"),
    ],
)
def test_a_file_that_is_no_settings_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "router.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)


def test_tabs_get_their_own_advice() -> None:
    assert "spaces" in error_of("models:\n\tlocal: 1\n")


@pytest.mark.parametrize("merge", [False, True])
def test_an_alias_bomb_is_refused(merge: bool) -> None:
    """Ten levels of ten aliases each are 10**10 values: built, they would never end."""
    text = "a0: &a0 {x: 1}\n"
    for level in range(10):
        references = ", ".join([f"*a{level}"] * 10)
        text += f"a{level + 1}: &a{level + 1} " + ("{<<: [%s]}\n" if merge else "[%s]\n") % references
    assert "aliases expand" in error_of(text)


def test_a_file_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert settings.load(str(path)) == settings.parse(MINIMAL)


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        settings.load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read: it is a folder, not a file"):
        settings.load(tmp_path)


def test_a_bad_utf8_file_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_bytes(b"models:\n  a: \xe9\n")
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert str(caught.value) == f"{path}:2: is not UTF-8 text; save the file as UTF-8"


def _places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [here, *(place for key, value in inner for place in _places(value, (*here, key)))]


PLACES = [place for place in _places(yaml.safe_load(DESIGN)) if place]
SECRETS = st.one_of(
    st.from_regex(r"sk-(ant-api03|proj|live)-[A-Za-z0-9_\-]{20,90}", fullmatch=True),
    st.from_regex(r"(gsk_|hf_|ghp_|AIzaSy)[A-Za-z0-9]{30,40}", fullmatch=True),
    st.from_regex(r"([a-f]{2}[0-9]{3}){7,12}", fullmatch=True),
)


def _replaced(place: tuple[Any, ...], value: Any, *, key: bool) -> Any:
    data = copy.deepcopy(yaml.safe_load(DESIGN))
    *parents, last = place
    holder = data
    for part in parents:
        holder = holder[part]
    if key and isinstance(holder, dict):
        holder[value] = holder.pop(last)
    else:
        holder[last] = value
    return data


@given(place=st.sampled_from(PLACES), secret=SECRETS, key=st.booleans(), nested=st.booleans())
def test_a_key_pasted_anywhere_is_never_repeated(
    place: tuple[Any, ...], secret: str, key: bool, nested: bool
) -> None:
    value = {secret: secret} if nested and not key else secret
    text = yaml.safe_dump(_replaced(place, value, key=key))
    try:
        settings.parse(text)
    except ConfigError as error:
        assert secret not in "".join(traceback.format_exception(error))


def test_a_key_pasted_anywhere_by_hand() -> None:
    secret = "sk-ant-api03-Zm9vYmFyYmF6cXV4"
    for model in (
        f"{{provider: anthropic, model: m, api_key_env: {secret}}}",
        f"{{provider: anthropic, model: m, api_key: {secret}}}",
        f"{{provider: anthropic, model: m, api_key: hunter2-{secret[3:]}}}",
        f"{{provider: openai, model: m, base_url: 'https://user:{secret}@host/v1'}}",
        f"{{provider: openai, model: m, base_url: 'ftp://user:{secret}@host/v1'}}",
        f"{{provider: openai, model: m, base_url: 'https://host/v1?key={secret}'}}",
    ):
        message = error_of(f"models: {{a: {model}}}\nrouting: {{r: {{model: a}}}}")
        assert secret[3:] not in message


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(place=st.sampled_from(PLACES), junk=JUNK)
def test_junk_in_any_place_is_an_answer_never_a_crash(place: tuple[Any, ...], junk: Any) -> None:
    text = yaml.safe_dump(_replaced(place, junk, key=False), allow_unicode=True)
    try:
        loaded = settings.parse(text, source="router.yaml")
    except ConfigError as error:
        assert all(line.startswith("router.yaml") for line in str(error).splitlines())
    else:
        assert isinstance(loaded, Settings)


@given(st.text())
def test_any_text_is_an_answer_never_a_crash(text: str) -> None:
    with pytest.raises(ConfigError):
        settings.parse(text)


@given(st.binary(max_size=200))
def test_any_edit_of_a_good_file_is_an_answer(tail: bytes) -> None:
    with contextlib.suppress(ConfigError):
        settings.parse(MINIMAL + tail.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("text", "listed"),
    [(DESIGN, False), (MODELS.replace(", price: {input: 3, output: 15}", "") + ROUTING, True)],
)
def test_the_price_list_is_imported_only_when_a_price_is_missing(text: str, listed: bool) -> None:
    """Importing genai-prices costs a quarter of a second, which nobody pays in vain."""
    script = (
        "import sys\n"
        "from router_lab import settings\n"
        "settings.parse(sys.stdin.read())\n"
        "print('genai_prices' in sys.modules, any(m in sys.modules for m in ('pandas', 'pyarrow', 'httpx')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(listed), "False"]


def test_a_wrong_price_is_not_also_a_missing_price() -> None:
    message = error_of(MINIMAL.replace("input: 3,", "input: '3',"))
    assert message.splitlines() == [
        "router.yaml:3: models.cloud.price.input: expected a number, got the text '3'; write 3 without quotes"
    ]


def test_a_cycle_among_the_fallbacks_alone_is_found() -> None:
    message = error_of(MINIMAL + "  b: {model: local, fallback: [cloud, cloud]}\n")
    assert "routing.b.fallback: cycle of fallbacks: local -> cloud -> cloud" in message


@pytest.mark.parametrize("written", ["1e-6", "1E-06", "1.5e3", "+2e+2", ".5e1", "1.e2"])
def test_numbers_with_an_exponent_are_numbers(written: str) -> None:
    found = settings.parse(MINIMAL + f"cost: {{daily_budget_usd: {written}}}\n")
    assert found.cost.daily_budget_usd == float(written)
