"""How a stream ends: with its mark or without, in an error, in a connection that breaks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from router_lab import Ledger, Router, settings
from router_lab.errors import RouterLabError
from scripted_server import Cut, scripted

MODELS = """
models:
  claude: {{provider: anthropic, model: m, base_url: "{url}", price: {{input: 1, output: 2}}}}
  llama: {{provider: ollama, model: m, base_url: "{url}", num_ctx: 4096, price: {{input: 1, output: 2}}}}
  other: {{provider: openai, model: m, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os}}
routing: {{t: {{model: {alias}}}}}
"""


def run(folder: Path, alias: str, body: bytes) -> tuple[str, str | None, dict[str, Any]]:
    """The pieces handed out, the answer (None: an error) and the row."""

    async def ask() -> tuple[str, str | None, dict[str, Any]]:
        pieces, text = [], None
        async with scripted({"m": body}) as server:
            with Ledger(folder / "ledger") as ledger:
                parsed = settings.parse(MODELS.format(url=server.url, alias=alias))
                async with Router(parsed, ledger=ledger) as router:
                    try:
                        async for chunk in router.stream("hi", task_type="t"):
                            pieces.append(chunk.text)
                            text = chunk.completion.text if chunk.completion else None
                    except RouterLabError:
                        pass
                [row] = ledger.attempts().to_dict("records")
        return "".join(pieces), text, row

    return asyncio.run(ask())


def lines(*documents: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, documents)).encode()


def events(*documents: dict[str, Any]) -> bytes:
    return "\n\n".join(f"data: {json.dumps(one)}" for one in documents).encode()


PIECE = {"model": "m", "message": {"role": "assistant", "content": "Pa"}, "done": False}
LAST = {
    "model": "m",
    "message": {"role": "assistant", "content": "ris"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 40,
    "eval_count": 20,
}
USAGE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
CHUNKS = (
    {"choices": [{"index": 0, "delta": {"content": "Pa"}}]},
    {"choices": [{"index": 0, "delta": {"content": "ris"}, "finish_reason": "stop"}], "usage": USAGE},
)
START = {"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}}
BLOCKS = (
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Pa"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ris"}},
)
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize("end", [bytes, Cut])
@pytest.mark.parametrize(
    ("alias", "body"),
    [
        ("llama", lines(PIECE, LAST)),
        ("other", events(*CHUNKS)),
        ("claude", events(START, *BLOCKS, DELTA)),
        ("claude", events(START, *BLOCKS, DELTA, {"type": "message_stop"})),
    ],
)
def test_a_last_line_without_its_break_is_read_also_when_the_connection_breaks(
    tmp_path: Path, alias: str, body: bytes, end: type[bytes]
) -> None:
    pieces, text, row = run(tmp_path, alias, end(body))
    assert (pieces, text) == ("Paris", "Paris")
    assert (row["outcome"], row["billing"], row["tokens_in"], row["tokens_out"]) == ("ok", "billed", 40, 20)


def test_half_of_a_last_line_counts_for_nothing(tmp_path: Path) -> None:
    pieces, text, row = run(tmp_path, "llama", Cut(lines(PIECE, LAST)[:-1]))
    assert (pieces, text, row["billing"]) == ("Pa", None, "unknown")


@pytest.mark.parametrize("end", [bytes, Cut])
@pytest.mark.parametrize(
    ("alias", "body"),
    [
        (
            "llama",
            lines(PIECE, {"error": "llama runner terminated", "prompt_eval_count": 40, "eval_count": 20}),
        ),
        ("claude", events(START, *BLOCKS, {**ERROR, "usage": {"input_tokens": 40, "output_tokens": 20}})),
        ("other", events(CHUNKS[0], {"error": {"message": "overloaded"}, "usage": USAGE})),
    ],
)
def test_a_failure_that_says_what_it_used_is_billed(
    tmp_path: Path, alias: str, body: bytes, end: type[bytes]
) -> None:
    _, text, row = run(tmp_path, alias, end(body + b"\n\n"))
    assert (text, row["outcome"], row["billing"]) == (None, "http_error", "billed")
    assert (row["tokens_in"], row["tokens_out"], row["cost_usd"]) == (40, 20, pytest.approx(80e-6))


def test_an_error_behind_a_counted_answer_takes_nothing_of_it_away(tmp_path: Path) -> None:
    _, text, row = run(tmp_path, "claude", events(START, *BLOCKS, DELTA, ERROR) + b"\n\n")
    assert (text, row["outcome"], row["billing"], row["tokens_out"]) == ("Paris", "ok", "billed", 20)


def test_a_failure_before_the_answer_was_counted_knows_its_input_and_holds_the_rest(tmp_path: Path) -> None:
    """Anthropic's first event counts the prompt; what was written until the failure nobody says."""
    _, text, row = run(tmp_path, "claude", events(START, *BLOCKS, ERROR) + b"\n\n")
    assert (text, row["billing"], row["tokens_in"]) == (None, "unknown", 40)
    assert row["cost_usd"] > 40e-6
    assert row["worst_usd"] >= row["cost_usd"]
