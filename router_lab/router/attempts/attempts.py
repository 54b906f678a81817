"""One attempt, from reservation to row: the accounting boundary around a single HTTP request.

plan    estimate, price and build the request; whatever is wrong with it shows before money moves
open    hold the worst case in every budget and write the intent, durably
send    from here on the intent stands for the request, whatever happens to this process
settle  exactly one row replaces the intent: answer, error, timeout or cancellation alike
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from router_lab.errors import (
    BudgetExceededError,
    ContextOverflowError,
    LedgerError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
)
from router_lab.records import Attempt, BudgetLine, CostSource, Image, Reply, Usage
from router_lab.router.alerts import Alerts
from router_lab.router.answers.data import is_quickly_read, read_answer
from router_lab.router.answers.thoughts import is_blank, separated, without_thoughts
from router_lab.router.answers.tool_calls import call_ids, canonical_json
from router_lab.router.attempts import settlement, tokens, truncation
from router_lab.router.attempts.job import AttemptPlan, Job
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.attempts.stated_costs import StatedCosts
from router_lab.router.attempts.windows import UNKNOWN_WINDOW, Window, Windows
from router_lab.router.breaker import Admission
from router_lab.router.budgets import Budgets
from router_lab.router.comparators.worker import TookTooLongError, aside
from router_lab.router.estimators.features import (
    IMAGE_BOUND,
    image_size,
)
from router_lab.router.ports import WAITED, Accounts, Clock, has_event_loop, new_id, within
from router_lab.router.pricing import PriceBook
from router_lab.router.providers.failures import heed_headers
from router_lab.router.providers.usage import is_complete, with_header_cost
from router_lab.router.providers.wire import ModelCall
from router_lab.router.request.dialects import Dialects
from router_lab.router.request.targets import Target
from router_lab.router.secrets import Secrets, mask_of
from router_lab.router.transport.transport import Transport, WireResponse

if TYPE_CHECKING:
    from router_lab.router.attempts.job import AttemptPlan

# What an answer that is there waits for its row at least, however late it is.
_LEAST_WAIT_S = 5.0

# What reading a shadow's answer may take, and how large a body is read at once.
_READ_S = 30.0
_QUICK_BYTES = 32_768

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt whose intent is durable. `lost` is its row, should nothing more be heard of it."""

    job: Job
    plan: AttemptPlan
    admission: Admission
    lost: Attempt
    sent_at: float


class Attempts:
    """Plans, opens, sends and settles attempts, for whole answers and streams alike."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        alerts: Alerts,
        book: PriceBook,
        budgets: Budgets,
        calibrator: tokens.Calibrator,
        windows: Windows,
        dialects: Dialects,
        secrets: Secrets,
        clock: Clock,
    ) -> None:
        self._dialects = dialects
        self._secrets = secrets
        self._accounts = accounts
        self._alerts = alerts
        self._book = book
        self._stated = StatedCosts(book, alerts)
        self._images = UnknownSizes(alerts)
        self._budgets = budgets
        self._calibrator = calibrator
        self._windows = windows
        self._clock = clock

    def plan(self, job: Job, target: Target, *, stream: bool = False) -> AttemptPlan:
        """Estimate and build. Raises `ConfigError`, `UnsupportedError`, `UnpricedModelError`."""
        call = target.call(job.request, job.route, self._dialects.of(target), stream=stream)
        features = self._features(job, target, call)
        estimate = self._calibrator.estimate(target.model_key, job.request.task_type, features)
        wire, secrets = target.wire(call), self._secrets.known()
        return AttemptPlan(
            target=target,
            call=call,
            wire=replace(wire, secrets=secrets),
            mask=mask_of(secrets, wire.headers),
            features=features,
            estimate=estimate,
            max_tokens=call.max_tokens,
            output_reserve=target.output_reserve(call.max_tokens),
            window=self._windows.effective(target.settings, target.window),
            may_drop=target.is_ollama
            and truncation.may_drop_silently(
                len(call.messages),
                self._windows.cached(target.settings),
                refused_truncation=target.refuse_truncation,
            ),
        )

    def _features(self, job: Job, target: Target, call: ModelCall) -> tokens.Features:
        """What the server will count: schemas, in the prompt or beside it, and images as the model does."""
        schema = None if target.is_ollama or call.dialect.response_format != "json_schema" else call.schema
        if call.system == job.request.system and schema is None and not job.request.has_images:
            return job.features
        for image in (image for message in call.messages for image in message.images):
            self._images.check(target.alias, image)
        return tokens.prompt_features(
            call.messages, call.system, call.tools, schema=schema, model=target.settings.model
        )

    def likely_usd(
        self, job: Job, target: Target, tokens_out: int | None = None, *, in_batch: bool = False
    ) -> float:
        """What one attempt costs if its tokens are as estimated, with an answer of so many, else the longest.

        Raises what `plan` raises.
        """
        plan = self.plan(job, target)
        longest = plan.max_tokens if tokens_out is None else min(tokens_out, plan.max_tokens)
        tokens_in, now = plan.estimate.tokens, self._clock.now()
        return self._book.bound(target.alias, tokens_in, longest, now, in_batch=in_batch).usd

    async def open(self, job: Job, plan: AttemptPlan, admission: Admission) -> OpenAttempt:
        """Reserve and write the intent. Raises `BudgetExceededError`, `LedgerError`; nothing is sent then."""
        now = self._clock.now()
        alias = plan.target.alias
        worst_tokens_in = tokens.hard_bound(plan.features)
        hold = self._book.bound(alias, worst_tokens_in, plan.max_tokens, now)
        reserved = self._book.bound(alias, min(plan.estimate.tokens, worst_tokens_in), plan.max_tokens, now)
        lost = plan.mask.value(lost_row(job, plan, admission.state, reserved.usd, hold.usd, now))
        lines = self._budgets.lines(job.request.task_type, job.request.user_id, job.is_shadow, now)
        try:
            nearly_spent = await within(
                job.remaining_s(self._clock), self._accounts.open_attempt(lost, hold.usd, lines)
            )
        except BaseException as error:
            admission.release()
            if isinstance(error, BudgetExceededError):
                error.add_note(_worst_case(worst_tokens_in, plan))
            raise
        self.warn(nearly_spent)
        attempt = OpenAttempt(job, plan, admission, lost, self._clock.monotonic())
        if job.remaining_s(self._clock) <= 0:
            too_late = LedgerError(f"the deadline passed while the ledger wrote: {WAITED}")
            await self.settle(attempt, settlement.never_sent(too_late))
            raise too_late
        return attempt

    def warn(self, nearly_spent: Sequence[BudgetLine]) -> None:
        """Alert of budgets that have passed their warning ratio."""
        for line in nearly_spent:
            self._alerts.send(
                "budget_warning",
                line.scope,
                f"budget {line.scope} for {line.period} has passed {line.warning_ratio:.0%} of "
                f"{line.limit_usd:g} USD, reservations included",
                period=line.period,
                limit_usd=line.limit_usd,
            )

    async def run(
        self,
        job: Job,
        plan: AttemptPlan,
        admission: Admission,
        transport: Transport,
        check: Callable[[], None],
    ) -> Settlement:
        """One whole attempt. Raises what the settlement holds as its error, after the row is durable.

        `check` is called when the intent is durable, right before sending, and raises what forbids it.
        """
        attempt = await self.open(job, plan, admission)
        try:
            check()
        except RouterLabError as error:
            await self.settle(attempt, settlement.never_sent(error, "cancelled"))
            raise
        usage: Usage | None = None
        try:
            response = await transport.send(
                plan.wire,
                attempt_id=attempt.lost.attempt_id,
                timeout_s=self.timeout_s(job, plan),
                max_body_bytes=plan.limits.body_bytes,
            )
            # Before anything is read of the body: whatever goes wrong from here on, this is owed.
            usage = await self._usage(job, plan, response) if _is_success(response.status) else None
            settled = await self._judge(attempt, response, usage)
        except ProviderError as error:
            settled = settlement.from_transport_error(error)
        except BaseException as error:
            await self.settle(attempt, settlement.from_cancellation(error, usage=usage, whole=True))
            raise
        await self.settle(attempt, settled)
        if settled.error is not None:
            raise settled.error
        return settled

    def now(self) -> datetime:
        """The clock's time of day, with UTC for its zone."""
        return self._clock.now()

    def timeout_s(self, job: Job, plan: AttemptPlan) -> float:
        """Seconds this attempt may take: the model's time-out, cut to the job's deadline."""
        return max(0.001, min(plan.target.timeout_s, job.remaining_s(self._clock)))

    async def settle(self, attempt: OpenAttempt, settled: Settlement) -> None:
        """Write the one row, tell the breaker, feed the calibration. Raises `LedgerError`."""
        if not has_event_loop():
            return  # dropped with its event loop: the intent is the row
        job, plan = attempt.job, attempt.plan
        plan.mask.error(settled.error)
        row = plan.mask.value(self._row(attempt, settled))
        folds = (
            self._calibrator.folds(
                plan.target.model_key, job.request.task_type, plan.features, settled.sample
            )
            if settled.sample is not None
            else ()
        )
        written = self._accounts.settle(row, folds)
        job.rows.append(row)
        self._stated.compare(row, settled.usage)
        self._tell_breaker(attempt.admission, settled)
        # A caller cancelled here, or who waits no longer, takes nothing back: the row is queued.
        await within(max(job.remaining_s(self._clock), _LEAST_WAIT_S), written)

    async def judge_reply(
        self, attempt: OpenAttempt, reply: Reply, usage: Usage | None, status: int, *, begun: bool = False
    ) -> Settlement:
        """Whether a readable answer may be used: truncation first, then its form. Thoughts are taken off.

        `begun` says that pieces of it were handed out, so that no other model can answer in its place.
        """
        job, plan = attempt.job, attempt.plan
        reply = plan.mask.value(without_thoughts(reply))
        window = await self._windows.read(plan.target.settings) if plan.target.is_ollama else UNKNOWN_WINDOW
        signal = self._truncation(attempt, reply, usage, window)
        sample = tokens.sample(
            usage,
            signal,
            plan.features,
            schema_and_thinking=plan.target.is_ollama
            and plan.call.schema is not None
            and bool(reply.thinking),
            version=window.version,
        )
        error: Exception | None = None
        data = None
        if signal is not None and signal.suspicious:
            error = self._overflow(plan, usage, signal)
        elif _is_eaten(reply) and not begun and _has_fallback(job, plan):
            error = _cut(ResponseParseError("the answer was cut at max_tokens"), reply, plan)
        else:
            try:
                data = await self._read(job, plan, reply)
            except ResponseParseError as unusable:
                error = _cut(unusable, reply, plan) if reply.token_limited else unusable
        return settlement.from_reply(
            reply,
            usage,
            status,
            data=data,
            error=error,
            signal=signal.name if signal is not None else None,
            sample=sample,
        )

    async def _read(self, job: Job, plan: AttemptPlan, reply: Reply) -> Any:
        """The data in an answer; read beside the event loop where that may take a while.

        Those of shadows are read in another process, and what is long stays pickled: no primary waits for
        the interpreter's lock behind them.
        """
        read = partial(read_answer, reply, job.request.schema, job.route.output, plan.limits.text_chars)
        if is_quickly_read(reply, job.request.schema):
            return read()
        try:
            if job.worker is None:
                return await aside(read, within_s=_READ_S)
            return await job.worker.run_packed(read, within_s=_READ_S)
        except TookTooLongError as error:
            raise ResponseParseError(f"the answer cannot be read: it {error}", text=reply.text) from None

    async def _judge(self, attempt: OpenAttempt, response: WireResponse, usage: Usage | None) -> Settlement:
        provider = attempt.plan.target.provider
        if not _is_success(response.status):
            error = provider.error(
                response.status,
                response.headers,
                response.body,
                now=self._clock.now(),
                url=attempt.plan.wire.url,
            )
            turns = len(attempt.job.request.messages)
            return settlement.from_refusal(error, response.status, messages=turns)
        try:
            read = partial(provider.reply, status=response.status)
            reply = await self._decoded(attempt.job, response, read)
        except (ProviderError, ContextOverflowError, ResponseParseError) as broken:
            heed_headers(broken, response.headers, self._clock.now())
            if response.cut is not None:
                return settlement.from_transport_error(response.cut, usage=usage, whole=True)
            if isinstance(broken, ResponseParseError):
                return settlement.from_unreadable(broken, usage, response.status)
            return settlement.from_broken_answer(broken, usage, None, ended=True, status=response.status)
        if response.cut is not None and not is_complete(usage):
            return settlement.from_transport_error(response.cut, usage=usage, whole=True)
        return await self.judge_reply(attempt, reply, usage, response.status)

    async def _usage(self, job: Job, plan: AttemptPlan, response: WireResponse) -> Usage | None:
        try:
            usage = await self._decoded(job, response, plan.target.provider.usage)
        except ResponseParseError:
            return None
        return with_header_cost(usage, response.headers)

    async def _decoded(self, job: Job, response: WireResponse, decode: Callable[[bytes], T]) -> T:
        """What a body holds; a shadow's long one, which may be dear to read, is read in another process."""
        if job.worker is None or len(response.body) <= _QUICK_BYTES:
            return decode(response.body)
        try:
            return await job.worker.run(partial(decode, bytes(response.body)), within_s=_READ_S)
        except TookTooLongError as error:
            raise ResponseParseError(f"the answer cannot be read: it {error}") from None

    def _truncation(
        self, attempt: OpenAttempt, reply: Reply, usage: Usage | None, window: Window
    ) -> truncation.Signal | None:
        plan, job = attempt.plan, attempt.job
        return truncation.inspect(
            truncation.TruncationEvidence(
                num_ctx=plan.target.window,
                usage=usage or Usage(),
                estimate=plan.estimate,
                features=plan.features,
                output_reserve=plan.output_reserve,
                window=window,
                droppable=lambda: tokens.droppable_features(job.request.messages),
                refused_truncation=plan.target.refuse_truncation,
                window_exceeded=reply.window_exceeded,
                provider=plan.target.settings.wire,
            )
        )

    def _overflow(
        self, plan: AttemptPlan, usage: Usage | None, signal: truncation.Signal
    ) -> ContextOverflowError:
        error = ContextOverflowError(
            f"{plan.target.alias}: the prompt was probably cut ({signal.name}): {signal.detail}; raise "
            f"num_ctx, shorten the prompt or give the route a fallback with a larger window",
            tokens_in=usage.tokens_in if usage is not None else None,
            context_window=plan.window,
            signal=signal.name,
        )
        self._alerts.send("truncation_suspected", plan.target.alias, str(error), signal=signal.name)
        return error

    def _row(self, attempt: OpenAttempt, settled: Settlement) -> Attempt:
        lost, usage = attempt.lost, settled.usage
        cost_usd: float = lost.cost_usd
        source: CostSource = lost.cost_source
        if settled.billing == "unbilled":
            cost_usd, source = 0.0, "none"
        elif settled.billing == "billed" and usage is not None:
            cost = self._book.cost(lost.model_alias, usage, lost.started_at)
            cost_usd, source = cost.usd, cost.source
        latency_ms = (self._clock.monotonic() - attempt.sent_at) * 1000.0
        return settled_row(lost, settled, latency_ms, cost_usd, source)

    def _tell_breaker(self, admission: Admission, settled: Settlement) -> None:
        if settled.provider_failed is None:
            admission.release()
        elif settled.provider_failed:
            admission.fail()
        else:
            admission.succeed()


def _is_eaten(reply: Reply) -> bool:
    """Whether `max_tokens` left nothing for an answer."""
    return reply.token_limited and is_blank(reply.text) and not reply.tool_calls


def _has_fallback(job: Job, plan: AttemptPlan) -> bool:
    fallback = job.route.fallback
    return bool(fallback) and not job.is_shadow and plan.target.alias != fallback[-1]


def _cut(error: ResponseParseError, reply: Reply, plan: AttemptPlan) -> ResponseParseError:
    """What is wrong with an answer that was cut at the limit, and what to do about it."""
    spent = " were used up by its thoughts" if reply.thinking and is_blank(reply.text) else ""
    return ResponseParseError(
        f"{plan.target.alias}: {error}: its {plan.max_tokens:,} tokens{spent or ' were not enough'}; "
        "raise max_tokens in the call or its route",
        text=error.text,
        token_limited=True,
    )


def _worst_case(tokens_in: int, plan: AttemptPlan) -> str:
    return (
        f"It may cost that much if each of its {tokens_in:,} bytes is a token and the answer takes all of "
        f"max_tokens={plan.max_tokens:,} at the prices of {plan.target.alias}; a smaller max_tokens, in the "
        "call or its route, asks for less"
    )


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def lost_row(
    job: Job, plan: AttemptPlan, breaker_state: str, reserved_usd: float, held_usd: float, now: datetime
) -> Attempt:
    """The row as it must read if nothing more is ever heard of the attempt: its likely cost and the worst."""
    request, target = job.request, plan.target
    return Attempt(
        attempt_id=new_id(now),
        request_id=job.request_id,
        attempt_no=len(job.rows) + 1,
        started_at=now,
        latency_ms=None,
        task_type=request.task_type,
        route=job.route.name,
        model_alias=target.alias,
        provider=target.settings.provider,
        model_requested=target.settings.model,
        model_actual=None,
        is_shadow=job.is_shadow,
        comparison_id=job.comparison_id,
        switch_epoch=job.switch_epoch,
        input_hash=request.input_hash,
        prompt_chars=request.prompt_chars,
        estimated_tokens_in=plan.estimate.tokens,
        divisor=plan.estimate.divisor,
        tokens_in=None,
        tokens_out=None,
        cache_read_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        cost_usd=reserved_usd,
        worst_usd=held_usd,
        cost_source="reserved",
        billing="unknown",
        outcome="lost",
        interrupted=False,
        error_type=None,
        http_status=None,
        stop_reason=None,
        num_ctx=target.window if target.is_ollama else None,
        output_reserve=plan.output_reserve,
        truncation_signal=None,
        overflow_escalated=job.overflow_escalated,
        token_limited=False,
        breaker_state=breaker_state,
        user_id=request.user_id,
        task_id=request.task_id,
        tags=request.tags,
        parameters=plan.call.parameters.row(),
        prompt_version=request.prompt_version,
        prompt=request.prompt_text,
        output=None,
    )


def settled_row(
    lost: Attempt, settled: Settlement, latency_ms: float | None, cost_usd: float, cost_source: CostSource
) -> Attempt:
    """The row as it came to be, in place of `lost`."""
    usage, reply = settled.usage, settled.reply
    # What is left of an answer that never became a reply still has its thoughts in it.
    output, thoughts = separated(settled.text) if reply is None and settled.text else (settled.text, "")
    return replace(
        lost,
        latency_ms=latency_ms,
        model_actual=reply.model if reply is not None else None,
        tokens_in=usage.tokens_in if usage is not None else None,
        tokens_out=usage.tokens_out if usage is not None else None,
        cache_read_tokens=usage.cache_read_tokens if usage is not None else None,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens
        if usage is not None
        else None,
        reasoning_tokens=usage.reasoning_tokens if usage is not None else None,
        cost_usd=cost_usd,
        worst_usd=lost.worst_usd if settled.billing == "unknown" else cost_usd,
        provider_cost_usd=usage.provider_cost_usd if usage is not None else None,
        cost_source=cost_source,
        billing=settled.billing,
        outcome=settled.outcome,
        interrupted=settled.interrupted,
        error_type=type(settled.error).__name__ if settled.error is not None else None,
        http_status=settled.http_status,
        stop_reason=reply.stop_reason if reply is not None else None,
        truncation_signal=settled.signal,
        token_limited=reply.token_limited if reply is not None else _was_cut(settled),
        output=output,
        tool_calls=canonical_json(reply.tool_calls) if reply is not None else None,
        thoughts=(reply.thinking if reply is not None else thoughts) or None,
        tool_call_ids=call_ids(reply.tool_calls) if reply is not None else None,
    )


def _was_cut(settled: Settlement) -> bool:
    return isinstance(settled.error, ResponseParseError) and settled.error.token_limited


class UnknownSizes:
    """Says of each model and kind of image once that its size is not known."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._told: set[tuple[str, str]] = set()

    def check(self, alias: str, image: Image) -> None:
        """Alert if nobody can tell how many tokens the image is."""
        kind = (alias, image.media_type)
        if kind in self._told or image_size(image) is not None:
            return
        self._told.add(kind)
        self._alerts.send(
            "image_size_unknown",
            alias,
            f"{alias}: the size of an image of type {image.media_type[:40]} cannot be read, so its tokens "
            f"are not known: budgets hold {IMAGE_BOUND:,} for it; send it as PNG, JPEG, GIF or WebP",
            media_type=image.media_type[:40],
        )
