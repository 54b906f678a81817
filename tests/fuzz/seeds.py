"""Good inputs of every kind, most of them from the tests of what reads them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
from provider_replies import WHOLE, openai
from provider_streams import STREAMS as DECODED
from short_logs import LITELLM, span

CONFIG = Path(__file__).parents[2] / "config"

TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
ERRORS = [
    {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
    },
    {"error": {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}},
    {"error": "model not found"},
]


def _lines(*rows: object) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


REPLIES = {
    name: [json.dumps(each).encode() for each in (WHOLE[name], *ERRORS)]
    for name in ("anthropic", "openai", "ollama")
}
REPLIES["openai"].append(
    json.dumps(openai({"content": None, "tool_calls": [TOOL_CALL]}, "tool_calls")).encode()
)
STREAMS = {
    name: [stream, b"data: " + json.dumps(ERRORS[0]).encode() + b"\n\n", *REPLIES[name]]
    for name, stream in DECODED.items()
}
SETTINGS = [path.read_bytes() for path in sorted(CONFIG.glob("*.yaml"))]

_SPANS = [span("a1", operation="chat", model="claude-sonnet-4-5"), span("a2", operation="chat", model=None)]
_LOG = {
    "id": "1",
    "at": "2026-11-20T10:00:00Z",
    "model": "m",
    "usage": {"in": 5},
    "tokens_out": 3,
    "cost_usd": 0.1,
}
IMPORTS = {
    "litellm": [json.dumps({"data": LITELLM}).encode(), _lines(*LITELLM)],
    "otel": [_lines({"resourceSpans": [{"scopeSpans": [{"spans": _SPANS}]}]})],
    "jsonl": [_lines(_LOG, {**_LOG, "id": "2"})],
}
CSV_EXPORT = [
    b"usage_date_utc,model,token_type,cost_usd\n2026-11-22,claude-sonnet-4-5,input,0.003\n2026-11-23,,credit,-3\n",
    b"start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens\n"
    b"2026-11-22T00:00:00+00:00,2026-11-23T00:00:00+00:00,1,gpt-4o-2024-08-06,7,3\n",
    b"day;llm;usd\n2026-11-22;claude-sonnet-4-5;1.234,50\n22/11/2026;m;$5\n",
]

_RATED = pd.DataFrame(
    {
        "comparison_id": ["c1", "c2", "c3"],
        "primary_score": [0.5, 1.0, None],
        "shadow_score": [0.5, 0.25, None],
        "preference": [None, None, "both wrong"],
        "note": ["fine", "=1+1", ""],
        "chance": [0.5, 1.0, None],
    }
)
_ASKED = pd.DataFrame(
    {
        "id": ["1", "2"],
        "prompt": ["What is two and two?", "Name a city"],
        "task_type": ["ask", "ask"],
        "expected": ["4", '{"city": "Oslo"}'],
        "max_tokens": [16, 32],
        "comparator": ["text", "json"],
    }
)


def _written(frame: pd.DataFrame) -> dict[str, list[bytes]]:
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    return {
        "csv": [frame.to_csv(index=False).encode()],
        "jsonl": [frame.to_json(orient="records", lines=True).encode()],
        "parquet": [parquet.getvalue()],
    }


RATINGS = _written(_RATED)
ROWS = _written(_ASKED)
