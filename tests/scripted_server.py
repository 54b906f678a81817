"""A server on a real socket that answers each model with what a test gives it, in any wire format."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

# A JSON body with status 200, a status with its body and headers, or a function from the request to either,
# which may be asynchronous.
Answer = Any


class Cut(bytes):
    """The beginning of a stream whose connection breaks."""


class ScriptedServer:
    """`url` of the server, and how often each model was `asked`."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self.asked: Counter[str] = Counter()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b"{}"
            request = json.loads(body)
            model = request.get("model", "")
            self.asked[model] += 1
            answer = self._answers.get(model, (404, {"error": "not found"}))
            if callable(answer):
                answer = answer(request)
            writer.write(_response(await answer if isawaitable(answer) else answer))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(answers: Mapping[str, Answer]) -> AsyncIterator[ScriptedServer]:
    """A running server."""
    made = ScriptedServer(answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


def openai(text: str | None = "", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer of a server that speaks OpenAI's format; `calls` are (name, arguments)."""
    calls = message.pop("calls", ())
    if calls:
        message["tool_calls"] = [
            {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for at, (name, given) in enumerate(calls)
        ]
    whole = {"role": "assistant", "content": text, **message}
    return {
        "model": "m",
        "choices": [{"index": 0, "message": whole, "finish_reason": finish}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60},
    }


def anthropic(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """An answer of Anthropic's."""
    usage = {"input_tokens": 40, "output_tokens": 20}
    return {"type": "message", "model": "m", "content": list(content), "stop_reason": stop, "usage": usage}


def ollama(text: str = "", done_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer of Ollama's."""
    whole = {"role": "assistant", "content": text, **message}
    counts = {"prompt_eval_count": 40, "eval_count": 20}
    return {"model": "m", "message": whole, "done": True, "done_reason": done_reason, **counts}


def _response(answer: Answer) -> bytes:
    status, body, *headers = answer if isinstance(answer, tuple) else (200, answer)
    kind, data = ("text/event-stream", body) if isinstance(body, bytes) else ("application/json", b"")
    data = data or json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        f"content-length: {len(data) + 9 * isinstance(body, Cut)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data
