"""Truncation end to end: a server cuts a prompt, the router notices, and nobody uses the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab import FAST, laboratory
from router_lab import sim
from router_lab.errors import ContextOverflowError

# An estimate far too low, so that what must be noticed is really sent.
BLIND = """
ollama:
  refuse_truncation: %s
  default_output_reserve: 64
  token_estimation: {estimator: ema, divisor_bounds: [20, 20], safety_factor: 1.0}
"""
ROUTES = {
    "fallback": "routing: {ask: {model: local, fallback: other, max_tokens: 32}}",
    "alone": "routing: {ask: {model: local, max_tokens: 32}}",
}
TEXT = "The northern depot shipped {0} crates on day {0}; {0} were late and two came back damaged. "
LONG = "".join(TEXT.format(number) for number in range(700))
VERSIONS = ["0.3.14", "0.4.0", "0.6.5", "0.12.6", "0.24.0", "0.30.5", "0.30.11"]


@pytest.mark.few(3)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_silent_cut_is_seen_accounted_and_redispatched_once(tmp_path: Path, version: str):
    with laboratory(tmp_path / "ledger", ollama_version=version) as lab:
        async with lab.router(ROUTES["fallback"], FAST + BLIND % "false") as router:
            done = await router.complete(LONG, task_type="ask")
        cut, whole = lab.attempts.to_dict("records")
        assert lab.served[0].truncated
        assert (cut["outcome"], cut["billing"], cut["interrupted"]) == ("truncated", "billed", True)
        assert cut["truncation_signal"] in {"half_window", "exact_value", "deficit"}
        assert (whole["model_alias"], whole["outcome"]) == ("other", "ok")
        assert done.metadata.overflow_escalated
        assert whole["overflow_escalated"]
        assert list(lab.ledger.alerts()["kind"]) == ["truncation_suspected"]


async def test_without_a_fallback_a_cut_is_an_error(tmp_path: Path):
    with laboratory(tmp_path / "ledger", ollama_version="0.30.11") as lab:
        async with lab.router(ROUTES["alone"], FAST + BLIND % "false") as router:
            with pytest.raises(ContextOverflowError, match="probably cut") as caught:
                await router.complete(LONG, task_type="ask")
        assert caught.value.tokens_in == lab.served[0].tokens_in
        assert list(lab.attempts["outcome"]) == ["truncated"]


async def test_flagged_counts_never_feed_the_divisor(tmp_path: Path):
    with laboratory(tmp_path / "ledger", ollama_version="0.30.11") as lab:
        async with lab.router(ROUTES["fallback"], FAST + BLIND % "false") as router:
            for _ in range(3):
                await router.complete(LONG, task_type="ask")
        local = lab.attempts[lab.attempts["model_alias"] == "local"]
        assert list(local["outcome"]) == ["truncated"] * 3
        assert local["divisor"].nunique() == 1


@pytest.mark.parametrize("version", ["0.12.6", "0.24.0", "0.30.5", "0.30.11"])
async def test_servers_that_can_refuse_do_and_bill_nothing(tmp_path: Path, version: str):
    with laboratory(tmp_path / "ledger", ollama_version=version) as lab:
        async with lab.router(ROUTES["fallback"], FAST + BLIND % "true") as router:
            done = await router.complete(LONG, task_type="ask")
        refused = lab.attempts.iloc[0]
        assert (refused["outcome"], refused["billing"]) == ("context_overflow", "unbilled")
        assert refused["truncation_signal"] == "server_refused"
        assert done.metadata.model_alias == "other"


@pytest.mark.parametrize(("alias", "model"), [("cheap", "claude-haiku-4-5"), ("other", "my-model")])
@pytest.mark.parametrize("strict", [True, False])
async def test_cloud_overflows_are_the_same_error(tmp_path: Path, alias: str, model: str, strict: bool):
    models = [
        replace(each, context_window=4096, window_is_strict=strict) if each.name == model else each
        for each in sim.DEFAULT_MODELS
    ]
    with laboratory(tmp_path / "ledger", models=models) as lab:
        routing = f"routing: {{ask: {{model: {alias}, max_tokens: 32}}}}"
        async with lab.router(routing) as router:
            with pytest.raises(ContextOverflowError):
                await router.complete(LONG, task_type="ask")
        [row] = lab.attempts.to_dict("records")
        assert row["outcome"] == "context_overflow"
        assert row["billing"] == "unbilled"


async def test_a_window_reached_while_writing_is_an_overflow_too(tmp_path: Path):
    models = [
        replace(each, context_window=200) if each.name == "claude-haiku-4-5" else each
        for each in sim.DEFAULT_MODELS
    ]
    with laboratory(tmp_path / "ledger", models=models) as lab:
        async with lab.router("routing: {ask: {model: cheap, max_tokens: 4000}}") as router:
            with pytest.raises(ContextOverflowError):
                await router.complete(
                    "Repeat this: " + " ".join(TEXT.format(n) for n in range(6)), task_type="ask"
                )
        [row] = lab.attempts.to_dict("records")
        assert (row["outcome"], row["billing"]) == ("context_overflow", "billed")
        assert row["interrupted"]


async def test_a_clamped_window_is_read_from_the_server(tmp_path: Path):
    """The second call knows what the first has shown: the server made 2,048 of the 8,192 asked for."""
    models = [
        replace(each, context_window=2048) if each.name == "qwen2.5:7b" else each
        for each in sim.DEFAULT_MODELS
    ]
    with laboratory(tmp_path / "ledger", models=models, ollama_version="0.11.0") as lab:
        async with lab.router(ROUTES["fallback"]) as router:
            await router.complete("A short question.", task_type="ask")
            done = await router.complete(LONG[:12_000], task_type="ask")
        assert done.metadata.overflow_escalated
        assert len(lab.served_by("ollama")) == 1
