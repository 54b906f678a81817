"""Configured keys, which nothing that is shown or stored may hold: whoever quotes them, wherever."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router_lab import Router, settings
from router_lab.errors import ProviderError, ResponseParseError, RouterLabError
from router_lab.ledger import Ledger
from router_lab.records import Alert
from scripted_server import openai, scripted

OWN = "sk-own-0123456789abcdefghijklmnopqrst"
OTHER = "gsk_other/ABCDEFGHIJKLMNOPQRSTUVWXYZ0123"
HEADER = "tenant-secret-9876543210-zyxwvutsrq"
SECRETS = (OWN, OTHER, HEADER)
HALVES = [half for key in SECRETS for half in (key[: len(key) // 2], key[len(key) // 2 :])]

YAML = """
models:
  one: {{provider: openai, model: m, base_url: "{url}/v1", api_key_env: OWN_KEY,
         price: {{input: 1, output: 1}}, extra_headers: {{X-Tenant-Key: "${{TENANT_KEY}}"}}}}
  two: {{provider: openai, model: n, base_url: "{url}/v1", api_key_env: OTHER_KEY,
         price: {{input: 1, output: 1}}}}
routing:
  t: {{model: one, shadow: {{model: two}}}}
shadow: {{enabled: true}}
retry: {{policies: {{standard: {{retries: 0}}}}}}
ledger: {{durability: os}}
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OWN_KEY", OWN), ("OTHER_KEY", OTHER), ("TENANT_KEY", HEADER)):
        monkeypatch.setenv(name, value)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def sse(*events: Any) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


def piece(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


END = {
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 9},
}


class Run:
    """All that one call showed, and all that it stored."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.done: Any = None
        self.error: BaseException | None = None
        self.alerts: list[Alert] = []

    def look(self, folder: Path, log: str) -> None:
        self.shown += [repr(self.alerts), log, repr(self.done), getattr(self.done, "thoughts", "")]
        if self.error is not None:
            told = traceback.TracebackException.from_exception(self.error, capture_locals=False)
            self.shown += told.format()
            self.shown += [repr(vars(one)) + repr(one.args) for one in chain(self.error)]
        with Ledger(folder) as ledger:
            for table in ("attempts", "comparisons", "alerts"):
                ledger.export(folder / f"{table}.jsonl", table)
                self.shown.append(json.dumps((folder / f"{table}.jsonl").read_text()))

    def assert_kept(self) -> None:
        for text in self.shown:
            for secret in (*SECRETS, *HALVES):
                assert secret not in text


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it came from, shown or not."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    yield from seen


async def run(
    folder: Path, answer: Any, *, stream: bool = False, second: Any = None, prompt: str = "hi", **asked: Any
) -> Run:
    seen = Run()
    async with scripted({"m": answer, "n": second or openai("fine")}) as server:
        with Ledger(folder) as ledger:
            parsed = settings.parse(YAML.format(url=server.url))
            async with Router(parsed, ledger=ledger, on_alert=seen.alerts.append) as router:
                try:
                    if stream:
                        pieces = []
                        async for chunk in router.stream(prompt, task_type="t", **asked):
                            pieces.append(chunk.text)
                            seen.done = chunk.completion or seen.done
                        seen.shown += [*pieces, "".join(pieces)]
                    else:
                        seen.done = await router.complete(prompt, task_type="t", **asked)
                except RouterLabError as error:
                    seen.error = error
                await router.drain()
    return seen


SAYS = f"your keys are {OWN}, {OTHER} and {HEADER}; or {HALVES[3]}..."
QUOTES: dict[str, Any] = {
    "the text": openai(SAYS),
    "the thoughts": openai("fine", reasoning_content=SAYS),
    "thoughts in the text": openai(f"<think>{SAYS}</think>fine"),
    "the arguments of a call": openai("", calls=[("tool", {"key": SAYS, SAYS: [SAYS]})]),
    "the model's name": {**openai("fine"), "model": OTHER},
    "the stop reason": openai("fine", finish=OTHER),
    "an error": (401, {"error": {"message": SAYS, "type": OTHER, "code": OWN}}),
    "a long error": (500, {"error": {"message": "x" * 290 + SAYS}}),
    "an error in words": (400, {"error": f"{'y' * 20} {SAYS}"}),
    "an error inside a 200": {"error": {"message": SAYS, "type": "server_error"}},
    "an answer that is none": {"answer": SAYS},
}


@pytest.mark.few(5)
@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("spelling", [str, escaped])
async def test_an_answer_that_quotes_keys_loses_them(
    tmp_path: Path, quote: str, spelling: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = QUOTES[quote]
    status, body = answer if isinstance(answer, tuple) else (200, answer)
    text = json.dumps(body)
    if spelling is escaped:
        for secret in SECRETS:
            text = text.replace(secret, escaped(secret))
    seen = await run(tmp_path, (status, text.encode()), second=(status, text.encode()))
    assert (seen.error is None) is (quote in list(QUOTES)[:6])
    seen.look(tmp_path, caplog.text)
    seen.assert_kept()


@pytest.mark.few(3)
@pytest.mark.parametrize("size", [1, 2, 5, 13, 20, 60])
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
async def test_keys_in_pieces_of_a_stream_are_not_shown(
    tmp_path: Path, size: int, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A model's tokens cut a key wherever they like."""
    text = f"key {OTHER} and {OWN}, also {HEADER}{HALVES[0]} sk"
    pieces = [piece(**{field: text[at : at + size]}) for at in range(0, len(text), size)]
    seen = await run(tmp_path, sse(piece(content="well: "), *pieces, END), stream=True)
    assert seen.error is None and seen.done.metadata.tokens_out == 9
    joined = seen.done.text if field == "content" else seen.done.thoughts
    assert joined.endswith(" sk") and "[redacted]" in joined
    seen.look(tmp_path, caplog.text)
    seen.assert_kept()


async def test_a_stream_that_breaks_off_or_fails_shows_none_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, end in enumerate(({"error": {"message": SAYS}}, None)):
        body = sse(*[piece(content=letter) for letter in f"well {OTHER}"], *([end] if end else []))
        seen = await run(tmp_path / str(number), body.removesuffix(b"data: [DONE]\n\n"), stream=True)
        assert isinstance(seen.error, ProviderError | ResponseParseError)
        seen.look(tmp_path / str(number), caplog.text)
        seen.assert_kept()


async def test_a_prompt_that_holds_a_key_is_stored_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = await run(tmp_path, openai("fine"), prompt=f"Is {OTHER} mine?", tags={"key": OWN}, task_id=HEADER)
    assert seen.done.text == "fine"
    seen.look(tmp_path, caplog.text)
    seen.assert_kept()


async def test_a_key_given_to_one_call_alone_is_followed_too(tmp_path: Path) -> None:
    mine = "only-this-call-0123456789-0123456789"
    seen = await run(tmp_path, openai(f"echo {mine}"), extra_headers={"Authorization": f"Bearer {mine}"})
    assert seen.done.text == "echo [redacted]"


@pytest.mark.parametrize("stream", [False, True])
async def test_errors_of_the_network_hold_nothing_of_the_request(tmp_path: Path, stream: bool) -> None:
    """Neither they nor what they came from: crash reporters follow every link."""
    seen = await run(tmp_path, b"", stream=stream)
    assert isinstance(seen.error, RouterLabError)
    for error in chain(seen.error):
        assert not hasattr(error, "request") or not type(error).__module__.startswith("httpx")
    seen.look(tmp_path, "")
    seen.assert_kept()


async def test_short_words_that_serve_as_keys_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OWN_KEY", "OTHER_KEY", "TENANT_KEY"):
        monkeypatch.setenv(name, "ollama")
    seen = await run(tmp_path, openai("ask ollama"))
    assert seen.done.text == "ask ollama"
