"""One call played back: the recorded answer, or failure, of the same input, model and parameters.

find      the recorded calls of the input hash; what they asked of which model must be what is asked now
keep      each of their attempts as a row: unbilled, at no cost, `cost_source="playback"`
answer    the recorded text, calls, thoughts and figures; the data are read from the text anew
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from router_lab.errors import ContextOverflowError, NotRecordedError, ProviderError, ResponseParseError
from router_lab.parameters import asked_of
from router_lab.records import Attempt, Completion, Reply
from router_lab.router.answers.data import AnswerLimits, is_quickly_read, read_answer
from router_lab.router.answers.tool_calls import read_calls, with_ids
from router_lab.router.attempts.job import Job
from router_lab.router.comparators.worker import TookTooLongError, aside
from router_lab.router.playback.recording import RecordedCall, Recording
from router_lab.router.ports import Accounts, Clock, new_id
from router_lab.router.request.targets import Target

if TYPE_CHECKING:
    from router_lab.router.secrets import Secrets

# Seconds that reading the data in one answer may take.
_READ_S = 10.0
_FIRST_WORDS = 60
_TOLD = 4


class Playback:
    """Answers jobs out of a recording. Without a network, a key, or a price."""

    def __init__(
        self,
        recording: Recording,
        targets: Mapping[str, Target],
        accounts: Accounts,
        secrets: Secrets,
        clock: Clock,
        *,
        shows_content: bool,
    ) -> None:
        self._recording = recording
        self._targets = targets
        self._accounts = accounts
        self._secrets = secrets
        self._clock = clock
        self._shows_content = shows_content

    async def answer(self, job: Job, aliases: Sequence[str]) -> Completion:
        """The next recorded answer of one of these models, whichever gave it.

        Raises `NotRecordedError`, and what the recorded call ended in where it has no answer.
        """
        alias, call = await self._next(job, aliases)
        if not (job.is_named or job.is_shadow):
            job.request_id = call.last.request_id
        for attempt in call.attempts:
            await self._keep(job, alias if attempt is call.last else None, attempt)
        job.played_usd += call.cost_usd
        if not call.is_answered:
            _fail(alias, call.last)
        return await self._completion(job, call)

    async def _next(self, job: Job, aliases: Sequence[str]) -> tuple[str, RecordedCall]:
        recorded = await self._recording.calls(job.request.input_hash)
        fitting = {id(call): alias for call in recorded if (alias := self._alias_of(call, job, aliases))}
        if not fitting:
            raise self._missing(job, aliases, recorded)
        calls = [call for call in recorded if id(call) in fitting]
        calls = [call for call in calls if call.is_answered] or calls

        def rank(call: RecordedCall) -> int:
            """Its own alias first, of two that name one model; then who asked as this one is asked."""
            last = call.last
            return 2 * (last.model_alias != fitting[id(call)]) + (last.is_shadow != job.is_shadow)

        if not any(map(is_kept, calls)):
            raise NotRecordedError(
                f"{self._named(job, aliases)}: of its answer the recording kept no text; record it again "
                "with `ledger: {content: full}` in the configuration",
                **_facts(job, aliases),
            )
        call = self._recording.take([call for call in calls if is_kept(call)], rank)
        if call is None:
            times = "once" if len(calls) == 1 else f"{len(calls)} times"
            raise NotRecordedError(
                f"{self._named(job, aliases)}: recorded {times}, and played that often already; a new Router "
                "begins with the first again",
                **_facts(job, aliases),
            )
        return fitting[id(call)], call

    def _alias_of(self, call: RecordedCall, job: Job, aliases: Sequence[str]) -> str | None:
        """Which of the aliases asks what this call was asked; None for none of them."""
        fits = [alias for alias in aliases if is_asked(call.last, job, self._targets[alias])]
        own = call.last.model_alias
        return own if own in fits else next(iter(fits), None)

    async def _keep(self, job: Job, alias: str | None, attempt: Attempt) -> None:
        now = self._clock.now()
        request = job.request
        played = replace(
            attempt,
            attempt_id=new_id(now),
            request_id=job.request_id,
            attempt_no=len(job.rows) + 1,
            started_at=now,
            task_type=request.task_type,
            route=job.route.name,
            model_alias=alias or attempt.model_alias,
            is_shadow=job.is_shadow,
            comparison_id=job.comparison_id,
            switch_epoch=job.switch_epoch,
            cost_usd=0.0,
            worst_usd=0.0,
            provider_cost_usd=None,
            cost_source="playback",
            billing="unbilled",
            interrupted=False,
            user_id=request.user_id,
            task_id=request.task_id,
            tags=request.tags,
            prompt_version=request.prompt_version,
            prompt=request.prompt_text,
        )
        kept = self._secrets.mask().value(played)
        await self._accounts.record_attempt(kept)
        job.rows.append(kept)

    async def _completion(self, job: Job, call: RecordedCall) -> Completion:
        row = call.last
        calls = with_ids(read_calls(row.tool_calls), row.tool_call_ids)
        reply = Reply(
            row.output or "",
            usage=None,
            stop_reason=row.stop_reason,
            model=row.model_actual,
            tool_calls=calls,
            thinking=row.thoughts or "",
            token_limited=row.token_limited,
        )
        figures = replace(job.metadata(call.latency_ms), is_playback=True)
        data = await self._read(job, reply)
        return Completion(reply.text, data, figures, tool_calls=calls, thoughts=reply.thinking)

    async def _read(self, job: Job, reply: Reply) -> Any:
        limit = self._targets[job.rows[-1].model_alias].max_tokens(job.request, job.route)
        chars = AnswerLimits.of(limit).text_chars
        read = partial(read_answer, reply, job.request.schema, job.route.output, chars)
        if is_quickly_read(reply, job.request.schema):
            return read()
        try:
            return await aside(read, within_s=_READ_S)
        except TookTooLongError as error:
            raise ResponseParseError(f"the answer cannot be read: it {error}", text=reply.text) from None

    def _missing(
        self, job: Job, aliases: Sequence[str], recorded: Sequence[RecordedCall]
    ) -> NotRecordedError:
        told = sorted({_told(call.last) for call in recorded})[:_TOLD]
        there = (
            f"recorded for this input: {'; '.join(told)}" if told else "nothing is recorded for this input"
        )
        asked = "; ".join(self._asked(job, alias) for alias in aliases)
        return NotRecordedError(
            f"{self._named(job, aliases)}: no answer is recorded. Asked: {asked}; {there}. Make the call "
            "once without playback, on the ledger that is played",
            **_facts(job, aliases),
        )

    def _named(self, job: Job, aliases: Sequence[str]) -> str:
        """The call, by its task type, models and input; its first words only where content is kept."""
        asked = next((turn.text for turn in reversed(job.request.messages) if turn.role == "user"), "")
        words = " ".join(self._secrets.mask().text(asked)[: 4 * _FIRST_WORDS].split())
        said = f" ({words[:_FIRST_WORDS]!r})" if self._shows_content else ""
        return f"{job.request.task_type}: {' or '.join(aliases)}, input {job.request.input_hash}{said}"

    def _asked(self, job: Job, alias: str) -> str:
        target = self._targets[alias]
        limit = target.output_reserve(target.max_tokens(job.request, job.route))
        return _setting(target.settings.model, target.asked(job.request, job.route).row(), limit)


def is_asked(row: Attempt, job: Job, target: Target) -> bool:
    """Whether a row is of this model, with what is asked of it now beside the prompt."""
    if row.model_requested != target.settings.model:
        return False
    limit = target.output_reserve(target.max_tokens(job.request, job.route))
    if row.output_reserve not in (0, limit):  # logs of other tools do not say it
        return False
    asked = target.asked(job.request, job.route).row()
    return asked_of(row.parameters) == asked_of(asked) or (
        # A log has what the caller asked; what the model's own entry adds is not in it.
        row.cost_source == "imported" and asked_of(row.parameters) == asked_of(job.request.parameters.row())
    )


def is_kept(call: RecordedCall) -> bool:
    """Whether what it answered is there, as text or as calls. A failure needs none."""
    row = call.last
    if not call.is_answered:
        return True
    texts = [text for text in (row.output, row.tool_calls) if text is not None]
    return bool(texts) and not any(_is_hash(text) for text in texts)


def _is_hash(text: str) -> bool:
    """Whether a ledger kept only the hash of a text."""
    return len(text) == 71 and text.startswith("sha256:")


def _told(row: Attempt) -> str:
    return _setting(row.model_requested, row.parameters, row.output_reserve)


def _setting(model: str, parameters: Mapping[str, Any], limit: int) -> str:
    asked = json.dumps(dict(parameters), ensure_ascii=False, sort_keys=True, default=str)[:200]
    return f"{model} with {asked}" + (f", {limit:,} tokens for the answer" if limit else "")


def _facts(job: Job, aliases: Sequence[str]) -> dict[str, Any]:
    return {
        "task_type": job.request.task_type,
        "aliases": tuple(aliases),
        "input_hash": job.request.input_hash,
    }


def _fail(alias: str, row: Attempt) -> NoReturn:
    """Raise what a recorded call ended in, as far as its row says."""
    said = f"{alias}: played back: the recorded call ended in {row.outcome}"
    said += f" ({row.error_type})" if row.error_type else ""
    if row.outcome == "parse_error":
        raise ResponseParseError(said, text=row.output or "", token_limited=row.token_limited)
    if row.outcome in ("truncated", "context_overflow"):
        raise ContextOverflowError(said, tokens_in=row.tokens_in, signal=row.truncation_signal)
    raise ProviderError(said, status=row.http_status, kind=row.outcome)
