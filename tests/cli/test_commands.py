"""`router-lab` as a user runs it: its output, its exit code; where it starts and ends, a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest

from command_line import router_lab
from router_lab.cli.command import main, parser

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    ["demo"],
    ["sim"],
    ["complete"],
    ["switch"],
    ["switch", "on"],
    ["switch", "off"],
    ["switch", "status"],
    ["switch", "history"],
    ["shadow", "monitor"],
    ["report"],
    ["notebooks", "copy"],
    ["ledger", "status"],
    ["ledger", "seal"],
    ["ledger", "verify"],
    ["ledger", "compact"],
    ["ledger", "prune"],
    ["ledger", "redact"],
    ["ledger", "export"],
    ["ledger", "import"],
    ["ledger", "reconcile"],
    ["providers"],
]


def as_a_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "router_lab.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where `router-lab sim` serves, a process of its own."""
    served = subprocess.Popen(
        [sys.executable, "-m", "router_lab.cli", "sim", "--port", "0", "--latency", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert served.stdout is not None
    yield served.stdout.readline().strip()
    served.send_signal(signal.SIGINT)
    served.wait(timeout=20)
    served.stdout.close()


@pytest.fixture
def simulated(server: str, tmp_path: Path) -> Path:
    """A configuration whose models are served by `router-lab sim`."""
    config = tmp_path / "router.yaml"
    config.write_text(
        f"""
models:
  local: {{provider: ollama, model: "qwen2.5:7b", base_url: "{server}", price: {{input: 0.1, output: 0.1}}}}
  small: {{provider: ollama, model: "llama3.2:3b", base_url: "{server}", price: {{input: 0.1, output: 0.1}}}}
routing:
  ask: {{model: local, max_tokens: 32, shadow: small}}
""",
        encoding="utf-8",
    )
    return config


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args([*command, "--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "examples:" in said
    assert f"router-lab {command[0]}" in said


def test_the_first_help_lists_every_command():
    said = router_lab("--help").stdout
    assert all(command[0] in said for command in COMMANDS)


def test_a_call_prints_the_answer_and_its_price_and_leaves_its_row(simulated: Path, tmp_path: Path):
    ledger = tmp_path / "ledger"
    done = as_a_process(
        "complete", "--task-type", "ask", "--config", simulated, "--ledger", ledger, "Say hello."
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "USD" in done.stderr
    rows = pd.read_parquet(ledger / "attempts")
    assert list(rows["outcome"]) == ["ok"]
    assert rows["output"][0] == done.stdout.strip("\n")


def test_what_is_asked_beside_the_prompt_goes_over_what_the_route_says(simulated: Path, tmp_path: Path):
    call = ["complete", "--task-type", "ask", "--config", simulated, "--ledger", tmp_path / "ledger"]
    asked = ["--temperature", "0", "--top-p", "0.5", "--seed", "7", "--stop", "END", "--stop", "STOP"]
    done = router_lab(*call, *asked, "--extra-body", '{"top_k": 20}', "hi")
    assert done.returncode == 0, done.stderr
    said = json.loads(pd.read_parquet(tmp_path / "ledger" / "attempts")["parameters"][0])
    assert said == {
        "extra_body": {"top_k": 20}, "seed": 7, "stop": ["END", "STOP"], "temperature": 0.0, "top_p": 0.5
    }  # fmt: skip


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--extra-body", "{top_k: 20}", "--extra-body: is not JSON"),
        ("--extra-body", "[1]", "--extra-body: must be a JSON object"),
        ("--extra-body", '{"a": NaN}', "extra_body.a"),
        ("--temperature", "-1", "temperature: must be a number"),
        ("--think", "much", "--think"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_sending(
    simulated: Path, tmp_path: Path, option: str, value: str, said: str
):
    call = ["complete", "--task-type", "ask", "--config", simulated, "--ledger", tmp_path / "ledger"]
    done = router_lab(*call, f"{option}={value}", "hi")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_prompt_can_come_from_standard_input(simulated: Path, tmp_path: Path):
    arguments = [
        "complete",
        "--task-type",
        "ask",
        "--config",
        simulated,
        "--ledger",
        tmp_path / "ledger",
        "-",
    ]
    done = router_lab(*arguments, stdin="Say hello.")
    assert done.returncode == 0, done.stderr
    assert pd.read_parquet(tmp_path / "ledger" / "attempts")["prompt"][0] == "Say hello."


def test_the_switch_is_flipped_seen_and_remembered(simulated: Path, tmp_path: Path):
    ledger = tmp_path / "ledger"
    call = ["complete", "--task-type", "ask", "--config", simulated, "--ledger", ledger, "hi"]
    assert router_lab(*call).returncode == 0
    on = router_lab(
        "switch", "on", "--reason", "trial", "--author", "ana", "--minutes", "5", "--ledger", ledger
    )
    assert on.returncode == 0, on.stderr
    assert "on" in router_lab("switch", "status", "--ledger", ledger).stdout
    assert router_lab(*call).returncode == 0
    assert router_lab("switch", "off", "--reason", "done", "--ledger", ledger).returncode == 0
    assert router_lab(*call).returncode == 0
    history = router_lab("switch", "history", "--ledger", ledger).stdout
    assert "ana: trial" in history
    assert history.index("trial") < history.index("done")
    pairs = pd.read_parquet(ledger / "comparisons").sort_values("created_at")
    assert list(pairs["status"]) == ["off", "complete", "off"]


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "command",
    [
        ["switch", "off", "--reason", "stop"],
        ["switch", "on", "--reason", "go"],
        ["ledger", "redact", "--before", "2026-01-01"],
        ["ledger", "status"],
        ["report"],
    ],
    ids=" ".join,
)
def test_a_mistyped_ledger_is_an_error_and_makes_nothing(command: list[str], tmp_path: Path):
    """Seen once: `switch off` on a typo said "off" while the real ledger went on spending."""
    done = router_lab(*command, "--ledger", tmp_path / "ledgre")
    assert done.returncode == 2
    assert "ledgre holds no ledger" in done.stderr
    assert not (tmp_path / "ledgre").exists()


def test_the_demo_never_removes_a_ledger_it_did_not_make(tmp_path: Path):
    """Seen once: `demo --out .` replaced the user's own `ledger` folder."""
    mine = tmp_path / "ledger" / "attempts"
    mine.mkdir(parents=True)
    done = router_lab("demo", "--no-notebooks", "--out", tmp_path)
    assert done.returncode == 2
    assert "was not made by a demo" in done.stderr
    assert mine.exists()


def test_a_flip_needs_a_reason(tmp_path: Path):
    done = router_lab("switch", "on", "--ledger", tmp_path / "ledger")
    assert done.returncode == 2
    assert "--reason" in done.stderr
    assert not (tmp_path / "ledger").exists()


def test_verify_is_silent_about_a_good_ledger_and_loud_about_a_bad_one(simulated: Path, tmp_path: Path):
    ledger = tmp_path / "ledger"
    call = ["complete", "--task-type", "ask", "--config", simulated, "--ledger", ledger, "hi"]
    assert router_lab(*call).returncode == 0
    assert router_lab("ledger", "seal", "--ledger", ledger).returncode == 0
    good = router_lab("ledger", "verify", "--ledger", ledger)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "1" in router_lab("ledger", "status", "--ledger", ledger).stdout
    [sealed] = (ledger / "attempts").glob("date=*/*.parquet")
    damaged = bytearray(sealed.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    sealed.write_bytes(damaged)
    bad = router_lab("ledger", "verify", "--ledger", ledger)
    assert bad.returncode == 1
    assert sealed.name in bad.stdout + bad.stderr


def test_a_log_is_imported_exported_redacted_reconciled_and_pruned(tmp_path: Path):
    log = tmp_path / "calls.jsonl"
    calls = [
        {"uuid": f"c{n}", "when": f"2026-03-0{n}T10:00:00Z", "who": "claude-sonnet-4-5", "in": 100 * n}
        | {"out": 10, "usd": 0.001 * n, "text": "secret words", "by": "mine"}
        for n in (1, 2, 3)
    ]
    log.write_text("".join(json.dumps(call) + "\n" for call in calls), encoding="utf-8")
    ledger, out = tmp_path / "ledger", tmp_path / "out.jsonl"
    columns = [
        "id=uuid",
        "started_at=when",
        "model=who",
        "provider=by",
        "tokens_in=in",
        "tokens_out=out",
        "cost_usd=usd",
        "prompt=text",
    ]
    mapping = [word for column in columns for word in ("--column", column)]

    def on_ledger(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return router_lab("ledger", *arguments, "--ledger", ledger)

    assert "3 attempts added" in on_ledger("import", log, "--source", "jsonl", *mapping).stdout
    assert "0 attempts added" in on_ledger("import", log, "--source", "jsonl", *mapping).stdout
    usage = tmp_path / "usage.csv"
    usage.write_text("day,model,tokens\n2026-03-01,claude-sonnet-4-5,100\n2026-03-02,claude-sonnet-4-5,999\n"
                     "2026-03-03,claude-sonnet-4-5,300\n", encoding="utf-8")  # fmt: skip
    theirs = ["--column", "date=day", "--column", "model=model", "--column", "tokens_in=tokens"]
    compared = on_ledger("reconcile", usage, "--provider", "mine", *theirs)
    assert compared.returncode == 1, compared.stderr
    assert "the provider counts more" in compared.stdout
    assert "3 rows redacted" in on_ledger("redact", "--before", "2026-04-01").stdout
    assert on_ledger("export", "--out", out).returncode == 0
    exported = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["tokens_in"] for row in exported] == [100, 200, 300]
    assert "secret" not in out.read_text("utf-8")
    assert "2 rows deleted" in on_ledger("prune", "--before", "2026-03-03").stdout
    assert on_ledger("compact").returncode == 0
    assert on_ledger("verify").returncode == 0


SPEND = {"request_id": "c1", "startTime": "2026-11-20T23:59:59Z", "model": "m", "prompt_tokens": 10}
MINIMAL = """
models:
  local: {provider: ollama, model: m, price: {input: 0.1, output: 0.1}}
routing: {ask: {model: local}}
ledger: {content: none}
"""


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], False),
        (["--config", "config/router.yaml"], False),
        (["--content", "none"], False),
        (["--content", "full"], True),
    ],
)
def test_an_import_keeps_of_texts_what_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], kept: bool
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "router.yaml").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "spend.json").write_text(json.dumps([{**SPEND, "messages": "a secret"}]), encoding="utf-8")
    assert main(["ledger", "import", "spend.json", "--source", "litellm", *options]) == 0
    assert ("a secret" in set(pd.read_parquet("ledger/attempts")["prompt"])) is kept


def test_mistakes_on_the_command_line_of_a_ledger_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spend.json").write_text(json.dumps([SPEND]), encoding="utf-8")
    assert main(["ledger", "import", "spend.json", "--source", "litellm"]) == 0
    (tmp_path / "rated.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    reconcile = ["reconcile", "cost.csv", "--provider", "unknown"]
    for arguments, said in (
        (["prune", "--before", "0001-01-01T00:00:00+05:00"], "before the year 1"),
        (["redact", "--before", "yesterday"], "a text such as 2026-11-22"),
        ([*reconcile, "--column", "date=a", "--column", "date=b"], "date is 'a' already"),
        ([*reconcile, "--column", "date"], "write it as OURS=THEIRS"),
        (["import", "spend.json", "--source", "litellm", "--config", "no.yaml"], "no.yaml"),
        # What Python calls a keyword is an option here.
        (["import-scores", "rated.csv", "--by", "ana"], "Name it with --column, or say --on\n"),
        (["import-scores", "rated.csv", "--by", "judge"], "--by 'judge': "),
        (["export", "--table", "attempt", "--out", "a.csv"], "--table 'attempt': choose one of "),
    ):
        assert main(["ledger", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_a_wrong_configuration_is_one_line_and_exit_code_two(tmp_path: Path):
    config = tmp_path / "router.yaml"
    config.write_text(
        "models:\n  a: {provider: olama, model: x}\nrouting: {t: {model: a}}\n", encoding="utf-8"
    )
    done = as_a_process("complete", "--task-type", "t", "--config", config, "--ledger", tmp_path / "l", "hi")
    assert done.returncode == 2
    assert "router.yaml:2" in done.stderr
    assert "ollama" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_task_type_names_the_routes(simulated: Path, tmp_path: Path):
    done = router_lab(
        "complete", "--task-type", "aks", "--config", simulated, "--ledger", tmp_path / "l", "hi"
    )
    assert done.returncode == 2
    assert "ask" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_accounts_for_every_request(tmp_path: Path):
    """The main job on a slice of the workload; `make demo` runs all of it, notebooks included."""
    workload = tmp_path / "workload.jsonl"
    lines = (ROOT / "data" / "workload.jsonl").read_text("utf-8").splitlines()
    workload.write_text("\n".join(lines[::6]) + "\n", encoding="utf-8")
    done = router_lab("demo", "--no-notebooks", "--out", tmp_path / "out", "--workload", workload)
    assert done.returncode == 0, done.stderr
    assert "one row for each" in done.stdout
    table = done.stdout
    for heading in (
        "calls",
        "attempts",
        "retries",
        "truncation suspected",
        "cost USD",
        "unconfirmed USD",
        "at most USD",
        "agreement",
    ):
        assert heading in table
    # The workload says what is right, so that the verdicts speak of it and not of likeness alone.
    verdicts = table.split("A/B, for one look: ")[1]
    assert "by ground truth on 7 pairs" in verdicts and "by agreement" not in verdicts
    rows = pd.read_parquet(tmp_path / "out" / "ledger" / "attempts")
    assert rows["attempt_id"].is_unique
    assert set(rows["task_type"]) == {json.loads(line)["task_type"] for line in lines[::6]}


def test_the_simulated_servers_say_where_they_are(tmp_path: Path):
    served = subprocess.Popen(
        [sys.executable, "-m", "router_lab.cli", "sim", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None
    assert served.stderr is not None
    try:
        url = served.stdout.readline().strip()
        with urlopen(f"{url}/api/version") as answer:
            assert "version" in json.load(answer)
        assert "/v1" in served.stderr.readline()
    finally:
        served.send_signal(signal.SIGINT)
        served.wait(timeout=20)
        served.stdout.close()
        served.stderr.close()
    assert served.returncode in (0, 130)


def test_the_providers_are_listed_with_what_each_can_do():
    said = router_lab("providers").stdout
    for name in ("azure", "groq", "openrouter", "vllm"):
        assert f"\n{name} " in said and f"\n{name}: " in said
    assert "GROQ_API_KEY" in said and "50 recordings" in said


def test_the_simulated_server_plays_a_vendor_or_says_whom_it_can_play(tmp_path: Path):
    wrong = router_lab("sim", "--as", "nobody", "--port", "0")
    assert wrong.returncode == 2 and "groq" in wrong.stderr and "Traceback" not in wrong.stderr


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, router_lab; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    loaded = set(done.stdout.split())
    assert "router_lab" in loaded
    assert not loaded & {
        "pandas",
        "matplotlib",
        "pyarrow",
        "ibis",
        "duckdb",
        "ipywidgets",
        "numpy",
        "httpx",
        "aiohttp",
    }


def test_an_import_names_the_rows_it_leaves_out_and_strict_refuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"request_id": "r1", "startTime": "2026-11-20T10:00:00Z", "model": "m", "prompt_tokens": 10}
    lines = [json.dumps(row), json.dumps({**row, "request_id": "r2", "startTime": "soon\x1b[2J"})]
    Path("spend.jsonl").write_text("\n".join(lines))
    command = ["ledger", "import", "spend.jsonl", "--source", "litellm", "--ledger", "books"]
    assert main([*command, "--strict"]) != 0
    assert "line 2" in capsys.readouterr().err
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "1 attempt added" in said and "1 row left out" in said and "line 2" in said and "\x1b" not in said
