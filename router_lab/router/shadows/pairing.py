"""Pairs: from two answers, or the lack of one, to a row of `comparisons`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from router_lab.errors import LedgerError, RouterLabError
from router_lab.parameters import setting
from router_lab.records import Attempt, Comparison, ComparisonStatus, Origin
from router_lab.router.attempts.job import FinishedJob, Job
from router_lab.router.calls.calls import Calls
from router_lab.router.comparators.compare import (
    Comparator,
    Judge,
    Pair,
    PairVerdict,
    compare_aside,
)
from router_lab.router.comparators.judge import Question
from router_lab.router.comparators.worker import Worker
from router_lab.router.ports import Accounts, Switch, Writes, has_event_loop
from router_lab.router.secrets import Secrets
from router_lab.router.shadows.misconfiguration import Misconfigurations, has_answer
from router_lab.settings.models import ShadowRoute

_log = logging.getLogger("router_lab.shadow")

# A shadow that ran and gave no usable answer, rather than one that never ran to its end.
_FAILED = frozenset({"shadow_failed", "both_failed", "shadow_misconfigured"})


@dataclass(frozen=True, slots=True)
class Pairing:
    """A pair as decided before its primary ran. `missing` says why no shadow shall run.

    `comparator` is another one than the route's; `details` go into the row. `answered` attempts of the pair
    were paid for before: a judge is not asked again what it has answered there.
    """

    comparison_id: str
    created_at: datetime
    shadow_alias: str
    shadow: ShadowRoute
    probability: float
    epoch: int
    missing: ComparisonStatus | None = None
    is_noise: bool = False
    origin: Origin = "live"
    run_id: str | None = None
    comparator: Comparator | Judge | None = None
    answered: Sequence[Attempt] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class PairWriter:
    """Compares and writes pairs; keeps the writes that are not durable yet.

    `comparators` are by route name. Without `keep_content`, what a comparator quotes of the answers
    is left out of the rows.
    """

    def __init__(
        self,
        accounts: Accounts,
        switch: Switch,
        calls: Calls,
        comparators: Mapping[str, Comparator | Judge],
        misconfigurations: Misconfigurations,
        secrets: Secrets,
        *,
        keep_content: bool,
        comparator_timeout_s: float,
    ) -> None:
        self._accounts = accounts
        self._switch = switch
        self._calls = calls
        self._comparators = comparators
        self._misconfigurations = misconfigurations
        self._secrets = secrets
        self._keep_content = keep_content
        self._comparator_timeout_s = comparator_timeout_s
        self._writes = Writes("a comparison")

    def open(self, pairing: Pairing, primary: FinishedJob) -> None:
        """Leave with the ledger how the pair must read if nothing more is heard of it."""
        try:
            announced = _comparison(pairing, primary, None, "cancelled", None)
            self._accounts.open_comparison(self._secrets.mask().value(announced))
        except LedgerError as error:
            _log.error("a pair could not be announced: %s", error)

    def write_missing(
        self,
        pairing: Pairing,
        primary: FinishedJob,
        status: ComparisonStatus,
        job: Job | None = None,
        error: Exception | None = None,
    ) -> None:
        """Record why an eligible request has no shadow answer."""
        shadow = FinishedJob(job, None, error) if job is not None else None
        self._write(pairing, primary, shadow, status, None)

    def write_failed(self, pairing: Pairing, primary: FinishedJob, job: Job, error: Exception) -> None:
        """Record a shadow that ran and gave no usable answer, or that could not run as it is set up."""
        status: ComparisonStatus = "shadow_failed" if primary.done is not None else "both_failed"
        advice = self._misconfigurations.failed(pairing.shadow_alias, primary.job.request.task_type, error)
        if advice is not None:
            status = "shadow_misconfigured"
        self._write(pairing, primary, FinishedJob(job, None, error, advice), status, None)

    async def write_compared(self, pairing: Pairing, primary: FinishedJob, shadow: FinishedJob) -> None:
        """Compare two finished sides and record the pair, even when cancelled meanwhile."""
        self._misconfigurations.worked(pairing.shadow_alias, primary.job.request.task_type)
        if primary.done is None or shadow.done is None:
            self._write(pairing, primary, shadow, "primary_failed", None)
            return
        pair = Pair(
            primary_text=primary.done.text,
            shadow_text=shadow.done.text,
            primary_data=primary.done.data,
            shadow_data=shadow.done.data,
            schema=primary.job.request.schema,
            primary_tool_calls=primary.done.tool_calls,
            shadow_tool_calls=shadow.done.tool_calls,
            primary_ending=primary.ending,
            shadow_ending=shadow.ending,
        )
        try:
            verdict = await self._verdict(pairing, primary.job, pair, shadow.job.worker)
        except asyncio.CancelledError:
            self._write(pairing, primary, shadow, "cancelled", None)
            raise
        except Exception as error:  # a judge's call broke in a way nobody foresaw
            verdict = PairVerdict(None, _said(error), failed=True)
        if not self._keep_content:
            verdict = verdict.without_content()
        verdict = self._signed(verdict, self._comparator(pairing, primary.job))
        try:
            self._write(pairing, primary, shadow, _status(primary, verdict), verdict)
        except (TypeError, ValueError, RecursionError) as error:  # details, by a user, that are no JSON
            self._write(
                pairing, primary, shadow, "comparator_error", PairVerdict(None, _said(error), failed=True)
            )

    def _comparator(self, pairing: Pairing, job: Job) -> Comparator | Judge:
        return pairing.comparator or self._comparators[job.route.name]

    def _signed(self, verdict: PairVerdict, comparator: Comparator | Judge) -> PairVerdict:
        """A judge's verdict with which judge that is: another one's are another evidence."""
        if not isinstance(comparator, Judge) or verdict.agreement is None:
            return verdict
        name = comparator.signature(self._calls.model(comparator.task_type))
        return replace(verdict, details={**verdict.details, "judge": name})

    async def _verdict(self, pairing: Pairing, job: Job, pair: Pair, worker: Worker | None) -> PairVerdict:
        comparator = self._comparator(pairing, job)
        if isinstance(comparator, Judge):
            judge = comparator

            async def ask(question: Question) -> str:
                return await self._ask(judge, question, job, pairing)

            try:
                return await judge.compare(job.request.prompt_text, pair, ask)
            except RouterLabError as error:  # the judge could not be asked: nothing is known of the pair
                return PairVerdict(None, _said(error))
        return await compare_aside(comparator, pair, worker, within_s=self._comparator_timeout_s)

    async def _ask(self, judge: Judge, question: Question, primary: Job, pairing: Pairing) -> str:
        """A judge's call is part of the shadow: its budget and switch, no fallback, no shadow of its own."""
        task_type = primary.request.task_type
        state = self._switch.read(task_type)
        job = self._calls.judge_job(judge, question, state, pairing.comparison_id, primary.request_id)
        alias, model = job.route.model, self._calls.model(judge.task_type)
        for row in pairing.answered:
            if (row.input_hash, row.model_requested) == (job.request.input_hash, model) and row.output:
                return row.output
        # A replay was asked for: the switch governs what is sent unasked.
        unless_off = task_type if pairing.origin == "live" else None
        try:
            done = await self._calls.answer(job, (alias,), unless_off=unless_off)
        except RouterLabError as error:
            self._misconfigurations.failed(alias, judge.task_type, error, "judge")
            raise
        self._misconfigurations.worked(alias, judge.task_type)
        return done.text

    async def drain(self) -> None:
        """Wait until every pair written so far is durable, or has failed and been logged."""
        await self._writes.drain()

    def _write(
        self,
        pairing: Pairing,
        primary: FinishedJob,
        shadow: FinishedJob | None,
        status: ComparisonStatus,
        verdict: PairVerdict | None,
    ) -> None:
        if not has_event_loop():
            return  # dropped with its event loop: the intent is the row
        comparison = self._secrets.mask().value(_comparison(pairing, primary, shadow, status, verdict))
        try:
            self._writes.add(self._accounts.record_comparison(comparison))
        except LedgerError as error:  # a closed ledger: nothing of it may reach the primary's caller
            _log.error("a comparison could not be written: %s", error)


def _comparison(
    pairing: Pairing,
    primary: FinishedJob,
    shadow: FinishedJob | None,
    status: ComparisonStatus,
    verdict: PairVerdict | None,
) -> Comparison:
    details: dict[str, Any] = dict(pairing.details)
    for side, answered in (("primary_error", primary), ("shadow_error", shadow)):
        if answered is not None and answered.error is not None:
            details[side] = _said(answered.error, answered.remedy)
    if status == "shadow_misconfigured" and shadow is not None:
        details["shadow_failure"] = "configuration"
        details["shadow_http_status"] = getattr(shadow.error, "status", None)
    if status in _FAILED and shadow is not None and shadow.error is not None:
        details["shadow_answered"] = has_answer(shadow.error)
    if verdict is not None:
        details |= {"reason": verdict.reason, **verdict.details}
    return Comparison(
        comparison_id=pairing.comparison_id,
        request_id=primary.job.request_id,
        task_type=primary.job.request.task_type,
        created_at=pairing.created_at,
        primary_alias=primary.job.route.model,
        shadow_alias=pairing.shadow_alias,
        input_hash=primary.job.request.input_hash,
        sample_probability=pairing.probability,
        switch_epoch=shadow.job.switch_epoch if shadow is not None else pairing.epoch,
        status=status,
        comparator=pairing.shadow.comparator,
        agreement=verdict.agreement if verdict is not None else None,
        details=details,
        is_noise=pairing.is_noise,
        origin=pairing.origin,
        run_id=pairing.run_id,
        task_id=primary.job.request.task_id,
        prompt_version=primary.job.request.prompt_version,
        primary_ending=None if primary.was_cancelled else primary.ending,
        shadow_ending=shadow.ending if shadow is not None and (shadow.done or status in _FAILED) else None,
        **_side("primary", primary),
        **_side("shadow", shadow),
    )


def _side(name: str, side: FinishedJob | None) -> dict[str, Any]:
    row = side.row if side is not None else None
    return {
        f"{name}_attempt_id": row.attempt_id if row is not None else None,
        f"{name}_model": _model(side),
        f"{name}_parameters": setting(row.parameters) if row is not None else None,
        f"{name}_output": side.output if side is not None else None,
        f"{name}_tool_calls": row.tool_calls if row is not None else None,
        f"{name}_cost_usd": side.cost_usd if side is not None else None,
        f"{name}_latency_ms": side.latency_ms if side is not None else None,
    }


def _model(side: FinishedJob | None) -> str | None:
    """What the server says answered. One that failed said nothing, which is no other model."""
    row = side.row if side is not None else None
    if side is None or row is None:
        return None
    return row.model_actual or (row.model_requested if side.done is not None else None)


def _status(primary: FinishedJob, verdict: PairVerdict) -> ComparisonStatus:
    if verdict.failed:
        return "comparator_error"
    if verdict.agreement is None:
        return "unknown"
    if primary.job.overflow_escalated:
        return "primary_truncated"
    if primary.done is not None and primary.done.metadata.model_alias != primary.job.route.model:
        return "primary_fell_back"
    return "complete"


def _said(error: BaseException, remedy: str | None = None) -> str:
    said = f"{type(error).__name__}: {str(error)[:300]}"
    return said if remedy is None or remedy in said else f"{said}; {remedy}"
