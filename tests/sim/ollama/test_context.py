"""Every row of the table of what Ollama versions do to a prompt that does not fit, over the API."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import sim
from router_lab.sim.model_request import Turn
from router_lab.sim.ollama_context import Behaviour, drop_messages, parse_version

PLAIN = sim.SimModel("plain", "ollama", "cl100k", 131_072, 1.0)
BOS = sim.SimModel("bos", "ollama", "cl100k", 131_072, 1.0, adds_bos=True)
NATIVE = sim.SimModel("native", "ollama", "cl100k", 131_072, 1.0, route="native")
MLX = sim.SimModel("mlx", "ollama", "cl100k", 131_072, 1.0, route="mlx")
TRAINED_SHORT = sim.SimModel("short", "ollama", "cl100k", 1024, 1.0)
MODELS = [PLAIN, BOS, NATIVE, MLX, TRAINED_SHORT]
OVERHEAD = 8  # tokens of the chat template around one user message, without BOS


class Server:
    """A simulated server in process."""

    def __init__(self, version, **options):
        self.app = sim.app(ollama_version=version, models=MODELS, **options)

    async def request(self, method, path, body=None):
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sim") as client:
            return await client.request(method, path, json=body)

    async def chat(self, text, *, model="plain", num_ctx=512, before=(), path="/api/chat", **body):
        options = {"num_ctx": num_ctx} if num_ctx else {}
        options |= body.pop("options", {})
        data = {"model": model, "stream": False, "options": options, **body}
        if path == "/api/chat":
            data["messages"] = [*before, {"role": "user", "content": text}]
        else:
            data["prompt"] = text
        return await self.request("POST", path, data)

    async def count(self, text, **arguments):
        return (await self.chat(text, **arguments)).json()["prompt_eval_count"]


def prompt(tokens, *, bos=False):
    """A prompt that is rendered to exactly so many tokens."""
    return " a" * (tokens - OVERHEAD - int(bos))


ROWS = [
    # version, num_ctx, expected count, expected with BOS
    ("0.3.14", 2048, 1026, 1026),
    ("0.3.14", 512, 258, 258),
    ("0.2.8", 512, 258, 258),
    ("0.4.0", 512, 512, 512),
    ("0.6.5", 2048, 2048, 2048),
    ("0.12.6", 8192, 8192, 8192),
    ("0.24.0", 512, 512, 512),
    ("0.30.1", 512, 511, 511),
    ("0.30.10", 2048, 2047, 2047),
    ("0.30.11", 512, 258, 259),
    ("0.30.11", 4096, 2050, 2051),
    ("0.30.11", 32768, 16386, 16387),
    ("0.33.0", 512, 258, 259),
]


@pytest.mark.parametrize(("version", "num_ctx", "expected", "expected_with_bos"), ROWS)
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_cut_prompt_reports_the_count_of_its_version(
    version, num_ctx, expected, expected_with_bos, path
):
    server = Server(version)
    long = prompt(num_ctx * 2)
    assert await server.count(long, num_ctx=num_ctx, path=path) == expected
    assert await server.count(long, num_ctx=num_ctx, path=path, model="bos") == expected_with_bos
    assert all(served.truncated and served.tokens_sent >= num_ctx * 2 for served in server.app.log)


@pytest.mark.parametrize("version", sorted({row[0] for row in ROWS}))
async def test_one_token_less_than_the_window_passes_whole(version):
    server = Server(version)
    assert await server.count(prompt(511)) == 511
    assert await server.count(prompt(300)) == 300
    assert not any(served.truncated for served in server.app.log)


@pytest.mark.parametrize(
    ("version", "count", "cut"),
    [("0.3.14", 258, True), ("0.4.0", 512, False), ("0.30.1", 511, True), ("0.30.11", 258, True)],
)
async def test_a_prompt_of_exactly_the_window(version, count, cut):
    server = Server(version)
    assert await server.count(prompt(512)) == count
    assert server.app.log[0].truncated is cut
    assert (Behaviour(parse_version(version)).cut_from(512) == 512) is cut


async def test_the_large_window_of_the_notes_is_right_to_the_token():
    assert Behaviour((0, 30, 11)).cut_from(65_536) == 65_536
    assert len(Behaviour((0, 30, 11)).cut_tokens(range(65_530), 65_536, 4)) == 65_530


@pytest.mark.parametrize(("version", "expected"), [("0.30.1", 511), ("0.30.11", 511), ("0.33.0", 511)])
async def test_num_keep_minus_one_keeps_all_but_one(version, expected):
    assert await Server(version).count(prompt(2000), options={"num_keep": -1}) == expected


async def test_num_keep_moves_the_half_window():
    assert await Server("0.30.11").count(prompt(2000), options={"num_keep": 100}) == 512 - (512 - 100) // 2


@pytest.mark.parametrize("version", ["0.3.14", "0.12.6", "0.30.1", "0.30.11"])
async def test_step_one_drops_the_oldest_messages_first(version):
    server = Server(version)
    before = [
        {"role": "system", "content": "Always be kind."},
        {"role": "user", "content": " b" * 300},
        {"role": "assistant", "content": " c" * 100},
    ]
    count = await server.count(prompt(250), before=before)
    assert 250 < count < 512 - 100
    assert server.app.log[0].truncated
    kept_system = (await server.chat(prompt(250), before=before[:1])).json()["prompt_eval_count"]
    dropped_one = (await server.chat(prompt(250), before=[before[0], before[2]])).json()["prompt_eval_count"]
    assert count == dropped_one > kept_system


@pytest.mark.parametrize(("window", "kept"), [(400, True), (399, False)])
async def test_messages_that_fit_exactly_are_kept(window, kept):
    server = Server("0.12.6")
    before = [{"role": "assistant", "content": prompt(200)}]
    whole = (await server.chat(prompt(195), before=before, num_ctx=4096)).json()["prompt_eval_count"]
    again = await server.count(prompt(195), before=before, num_ctx=whole - 400 + window)
    assert again == (whole if kept else 195)


async def test_images_count_768_tokens_each():
    server = Server("0.30.11")
    image = {"role": "user", "content": "what is this?", "images": ["aGk="]}
    plain = await server.chat("what is this?", num_ctx=2048)
    body = {"model": "plain", "stream": False, "options": {"num_ctx": 2048}, "messages": [image]}
    with_image = await server.request("POST", "/api/chat", body)
    assert with_image.json()["prompt_eval_count"] - plain.json()["prompt_eval_count"] == 768


async def test_raw_generate_skips_the_dropping_but_not_the_cut():
    server = Server("0.30.11")
    body = {"system": " s" * 400, "raw": True}
    count = await server.count(prompt(300), path="/api/generate", **body)
    assert count == 258
    assert await server.count(prompt(300), path="/api/generate", system=" s" * 100) > 400


@pytest.mark.parametrize(
    ("version", "arguments", "words"),
    [
        ("0.12.6", {"truncate": False}, "the input length exceeds the context length"),
        ("0.24.0", {"truncate": False}, "the input length exceeds the context length"),
        ("0.30.9", {"shift": False}, "the prompt is longer than the context length currently available"),
        ("0.30.11", {"shift": False}, "the prompt is longer than the context length currently available"),
        (
            "0.24.0",
            {"model": "mlx"},
            "input length (1024 tokens) exceeds the model's maximum context length (512 tokens)",
        ),
    ],
)
async def test_refusals_in_the_words_of_their_version(version, arguments, words):
    server = Server(version)
    answer = await server.chat(prompt(1024), **arguments)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert not server.app.log[0].billed


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("0.30.0", {"truncate": False}),
        ("0.30.11", {"truncate": False}),
        ("0.30.11", {"model": "native"}),
        ("0.33.0", {"model": "native", "truncate": False}),
    ],
)
async def test_llama_servers_refusal_is_encoded_twice(version, arguments):
    answer = await Server(version).chat(prompt(1024), **arguments)
    assert answer.status_code == 400
    inner = json.loads(answer.json()["error"])["error"]
    assert inner["type"] == "exceed_context_size_error"
    assert (inner["code"], inner["n_prompt_tokens"], inner["n_ctx"]) == (400, 1024, 512)


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("0.12.5", {"truncate": False}),
        ("0.12.5", {"shift": False}),
        ("0.3.14", {"truncate": False}),
        ("0.24.0", {"model": "native"}),
        ("0.30.8", {"shift": False}),
    ],
)
async def test_what_a_version_does_not_know_it_ignores(version, arguments):
    server = Server(version)
    assert (await server.chat(prompt(1024), **arguments)).status_code == 200
    assert server.app.log[0].truncated


async def test_native_drops_messages_before_it_refuses():
    server = Server("0.30.11")
    before = [{"role": "user", "content": " b" * 400}]
    assert (await server.chat(prompt(300), before=before, model="native")).status_code == 200
    assert server.app.log[0].truncated


async def test_truncate_false_drops_no_messages_either():
    before = [{"role": "user", "content": " b" * 400}]
    answer = await Server("0.30.11").chat(prompt(300), before=before, truncate=False)
    assert answer.status_code == 400


@pytest.mark.parametrize(("version", "clamped"), [("0.9.2", False), ("0.9.3", True), ("0.30.11", True)])
async def test_num_ctx_is_clamped_to_the_training_context_from_0_9_3(version, clamped):
    server = Server(version)
    count = await server.count(prompt(3000), num_ctx=8192, model="short")
    assert (count < 3000) is clamped
    assert server.app.log[0].truncated is clamped


@pytest.mark.parametrize(("version", "default"), [("0.6.6", 2048), ("0.6.7", 4096), ("0.30.11", 4096)])
async def test_the_default_context_grew(version, default):
    server = Server(version)
    assert await server.count(prompt(default - 1), num_ctx=None) == default - 1
    await server.count(prompt(default + 100), num_ctx=None)
    assert [served.truncated for served in server.app.log] == [False, True]


async def test_the_servers_own_context_length_is_the_default():
    server = Server("0.30.11", ollama_context_length=300)
    assert await server.count(prompt(400), num_ctx=None) == 300 - (300 - 4) // 2


@pytest.mark.parametrize(("version", "shown"), [("0.9.6", False), ("0.10.0", True), ("0.30.11", True)])
async def test_ps_shows_the_context_length_from_0_10_0(version, shown):
    server = Server(version)
    await server.chat("hi", num_ctx=777)
    loaded = (await server.request("GET", "/api/ps")).json()["models"][0]
    assert loaded.get("context_length") == (777 if shown else None)


async def test_cached_prompts_are_left_out_of_the_count_in_old_versions_and_0_30_0():
    for version, again in (("0.1.48", None), ("0.30.0", 1), ("0.2.0", 100), ("0.30.1", 100)):
        server = Server(version)
        first = (await server.chat(prompt(100))).json()
        second = (await server.chat(prompt(100))).json()
        assert first["prompt_eval_count"] == 100
        assert second.get("prompt_eval_count") == again, version


async def test_the_newest_version_counts_cached_tokens_beside():
    server = Server("0.33.0")
    first, second = [(await server.chat(prompt(100))).json() for _ in range(2)]
    assert "prompt_eval_cached_count" not in first
    assert (second["prompt_eval_count"], second["prompt_eval_cached_count"]) == (100, 99)


async def test_a_fact_that_was_cut_away_is_missing_from_the_answer():
    filler = "The report goes on about the weather of that year. " * 60
    row = {"prompt": f"The code word is Heliotrope. {filler}What is the code word?", "expected": "Heliotrope"}
    whole, cut = Server("0.30.11", workload=[row]), Server("0.30.11", workload=[row])
    answers = [
        (await server.chat(row["prompt"], num_ctx=num_ctx)).json()["message"]["content"]
        for server, num_ctx in ((whole, 4096), (cut, 512))
    ]
    assert "heliotrope" in answers[0].lower()
    assert "heliotrope" not in answers[1].lower()


async def test_an_object_loses_only_the_fields_that_were_cut_away():
    filler = "Nothing else of note was said in this letter. " * 60
    expected = {"sender": "Adelheid", "place": "Uppsala"}
    row = {"prompt": f"From: Adelheid. {filler} Posted in Uppsala. Answer in JSON.", "expected": expected}
    server = Server("0.30.11", workload=[row], seed=3)
    answer = (await server.chat(row["prompt"], num_ctx=512, format="json")).json()["message"]["content"]
    assert json.loads(answer) == {"sender": None, "place": "Uppsala"}


versions = st.sampled_from([parse_version(row[0]) for row in ROWS])


@given(versions, st.integers(16, 300), st.integers(-1, 400), st.integers(0, 900))
def test_a_cut_keeps_a_head_and_a_tail_and_never_more_than_the_window(version, num_ctx, num_keep, length):
    behaviour, tokens = Behaviour(version), list(range(length))
    kept = behaviour.cut_tokens(tokens, num_ctx, num_keep)
    assert len(kept) <= max(num_ctx, 0) or kept == tokens
    assert len(kept) <= num_ctx
    if length < behaviour.cut_from(num_ctx):
        assert kept == tokens
        return
    assert len(kept) == behaviour.cut_length(num_ctx, num_keep)
    assert kept == sorted(set(kept))
    assert kept[-1] == tokens[-1] or len(kept) <= num_keep + 1


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.integers(1, 60)), min_size=1),
    st.integers(1, 200),
)
def test_dropping_keeps_system_and_last_and_drops_no_more_than_it_must(shapes, num_ctx):
    turns = [Turn(role, "x" * size) for role, size in shapes]

    def count(kept):
        return sum(len(turn.text) for turn in kept)

    kept = drop_messages(turns, num_ctx, count)
    ids = [id(turn) for turn in kept]
    assert ids[-1] == id(turns[-1])
    assert all(id(turn) in ids for turn in turns if turn.role == "system")
    dropped = [turn for turn in turns if id(turn) not in ids]
    if dropped:  # the last one dropped would not have fitted
        assert count(kept) + len(dropped[-1].text) > num_ctx
    droppable = any(turn.role != "system" for turn in kept[:-1])
    assert count(kept) <= num_ctx or not droppable


@pytest.mark.parametrize("version", ["", "new", "0", "0.1.2.3", "0.x"])
def test_a_version_that_is_none_is_named(version):
    with pytest.raises(ValueError, match="ollama_version"):
        sim.app(ollama_version=version)
