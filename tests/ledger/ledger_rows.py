"""Rows to feed a ledger with."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from router_lab.ledger import Ledger
from router_lab.records import Alert, Attempt, BudgetLine, Comparison
from router_lab.settings import Settings

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def lost(**changes: Any) -> Attempt:
    """The row of an intent, as the router writes it before sending."""
    row: dict[str, Any] = {
        "attempt_id": uuid4().hex,
        "request_id": uuid4().hex,
        "attempt_no": 1,
        "started_at": NOON,
        "latency_ms": None,
        "task_type": "summarize::short",
        "route": "summarize",
        "model_alias": "local",
        "provider": "ollama",
        "model_requested": "qwen2.5:7b",
        "model_actual": None,
        "is_shadow": False,
        "comparison_id": None,
        "switch_epoch": 1,
        "input_hash": "0" * 64,
        "prompt_chars": 20,
        "estimated_tokens_in": 6,
        "divisor": 3.6,
        "tokens_in": None,
        "tokens_out": None,
        "cache_read_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "cost_usd": 0.01,
        "cost_source": "reserved",
        "billing": "unknown",
        "outcome": "lost",
        "interrupted": False,
        "error_type": None,
        "http_status": None,
        "stop_reason": None,
        "num_ctx": 8192,
        "output_reserve": 1024,
        "truncation_signal": None,
        "overflow_escalated": False,
        "token_limited": False,
        "breaker_state": "closed",
        "user_id": None,
        "task_id": None,
        "tags": {},
        "prompt": "the prompt",
        "output": None,
    }
    return Attempt(**{**row, **changes})


def answered(attempt: Attempt, **changes: Any) -> Attempt:
    """`attempt` after an answer arrived."""
    known: dict[str, Any] = {
        "latency_ms": 12.5,
        "model_actual": attempt.model_requested,
        "tokens_in": 7,
        "tokens_out": 3,
        "cost_usd": 0.004,
        "cost_source": "config",
        "billing": "billed",
        "outcome": "ok",
        "http_status": 200,
        "output": "the answer",
    }
    return replace(attempt, **{**known, **changes})


async def make_call(ledger: Ledger, *lines: BudgetLine, **changes: Any) -> Attempt:
    """One whole accounted call; returns its row."""
    intent = lost(**changes)
    await ledger.accounts.open_attempt(intent, 0.01, lines)
    row = answered(intent)
    await ledger.accounts.settle(row)
    return row


def pair(**changes: Any) -> Comparison:
    """A complete pair."""
    row: dict[str, Any] = {
        "comparison_id": uuid4().hex,
        "request_id": uuid4().hex,
        "task_type": "summarize::short",
        "created_at": NOON,
        "primary_attempt_id": None,
        "shadow_attempt_id": None,
        "primary_alias": "local",
        "shadow_alias": "cloud",
        "primary_model": "qwen2.5:7b",
        "shadow_model": "claude-sonnet-4-5",
        "input_hash": "0" * 64,
        "sample_probability": 1.0,
        "switch_epoch": 1,
        "status": "complete",
        "comparator": "text",
        "agreement": 0.75,
        "primary_output": "yes",
        "shadow_output": "Yes.",
        "primary_cost_usd": 0.001,
        "shadow_cost_usd": 0.01,
        "primary_latency_ms": 10.0,
        "shadow_latency_ms": 20.0,
        "details": {"why": "differs in case"},
    }
    return Comparison(**{**row, **changes})


def alert(**changes: Any) -> Alert:
    """An alert."""
    row: dict[str, Any] = {
        "alert_id": uuid4().hex,
        "at": NOON,
        "kind": "breaker_opened",
        "subject": "ollama",
        "message": "opened",
        "details": {"failures": 5},
    }
    return Alert(**{**row, **changes})


def settings(**sections: Any) -> Settings:
    """The smallest configuration, with whole sections replaced."""
    return Settings.model_validate(
        {
            "models": {"local": {"provider": "ollama", "model": "m", "price": {"input": 0.1, "output": 0.1}}},
            "routing": {"summarize": {"model": "local"}},
            **sections,
        }
    )


def running(name: str) -> list[str]:
    """The functions that the thread with this name is in by now, innermost first."""
    found = [one.ident for one in threading.enumerate() if one.name == name]
    frame = sys._current_frames().get(found[0] or 0) if found else None
    functions = []
    while frame is not None:
        functions.append(frame.f_code.co_name)
        frame = frame.f_back
    return functions


def run_script(script: str, *arguments: Path | str) -> str:
    here = Path(__file__).parent
    places = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout
