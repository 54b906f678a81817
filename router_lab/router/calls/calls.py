"""One accounted call, whoever asks for it: a caller, a shadow, a judge or a replay."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from router_lab.errors import RouterLabError
from router_lab.records import Attempt, Completion, SwitchState
from router_lab.router.attempts.attempts import Attempts
from router_lab.router.attempts.job import AttemptPlan, Job
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.attempts.tokens import Calibrator
from router_lab.router.attempts.windows import Windows
from router_lab.router.breaker import Admission, BreakerChange, Breakers
from router_lab.router.budgets import Budgets
from router_lab.router.calls.dispatch import Dispatch
from router_lab.router.calls.streaming import OpenStream, Piece, first_piece
from router_lab.router.playback.playback import Playback, is_asked
from router_lab.router.playback.recording import Recording
from router_lab.router.ports import new_id
from router_lab.router.pricing import PriceBook
from router_lab.router.request.dialects import Dialects
from router_lab.router.request.request import Request
from router_lab.router.request.targets import build_targets
from router_lab.router.routing import Route, RouteTable

if TYPE_CHECKING:
    from router_lab.router.alerts import Alerts
    from router_lab.router.comparators.judge import Judge, Question
    from router_lab.router.ports import Clock, LedgerPort
    from router_lab.router.secrets import Secrets
    from router_lab.router.transport.transport import Transport
    from router_lab.settings.models import Settings


class SwitchedOffError(RouterLabError):
    """The switch went off after a shadow began; no further request of it is sent."""


class Calls:
    """Makes calls: `route`, then `job`, then `answer` or `stream`.

    `transport` gives the connections of the running event loop; `seed` fixes the jitter of retries. With a
    `recording`, recorded attempts answer, and nothing is sent.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: LedgerPort,
        *,
        transport: Callable[[], Transport],
        alerts: Alerts,
        secrets: Secrets,
        clock: Clock,
        seed: int | None,
        recording: Recording | None = None,
    ) -> None:
        self.recording = recording
        self.breakers = Breakers(settings.breaker, clock, self._breaker_changed)
        self._settings = settings
        self._switch = ledger.switch
        self._transport = transport
        self._alerts = alerts
        self._clock = clock
        self.route = RouteTable(settings).resolve  # where calls of a task type go
        self.targets = build_targets(settings)
        dialects = Dialects()
        self.attempts = Attempts(
            accounts=ledger.accounts,
            alerts=alerts,
            book=PriceBook(settings),
            budgets=Budgets(settings.cost),
            calibrator=Calibrator(settings.ollama.token_estimation, ledger.accounts.calibration),
            windows=Windows(lambda url: transport().get_json(url)),
            dialects=dialects,
            secrets=secrets,
            clock=clock,
        )
        self._dispatch = Dispatch(
            targets=self.targets,
            attempts=self.attempts,
            breakers=self.breakers,
            dialects=dialects,
            retry=settings.retry,
            clock=clock,
            rng=random.Random(seed),
        )

        self._playback = None
        if recording is not None:
            shows_content = settings.ledger.content == "full"
            self._playback = Playback(
                recording, self.targets, ledger.accounts, secrets, clock, shows_content=shows_content
            )

    def model(self, task_type: str) -> str:
        """The name of the model that a task type is routed to. Raises `RoutingError`."""
        return self._settings.models[self.route(task_type).model].model

    def job(
        self,
        request: Request,
        route: Route,
        state: SwitchState,
        comparison_id: str | None = None,
        *,
        shadow_of: str | None = None,
    ) -> Job:
        """One call, not yet sent; with `shadow_of`, the id of a primary's request, one of its shadow."""
        started = self._clock.monotonic()
        return Job(
            request=request,
            route=route,
            request_id=shadow_of or new_id(self._clock.now()),
            started=started,
            deadline=started + self._settings.retry.deadline_s,
            switch_epoch=state.epoch,
            comparison_id=comparison_id,
            is_shadow=shadow_of is not None,
        )

    def judge_job(
        self, judge: Judge, question: Question, state: SwitchState, comparison_id: str, request_id: str
    ) -> Job:
        """One question of a judge about a pair: part of its shadow, without fallback or shadow of its own."""
        request = Request.build(question.prompt, task_type=judge.task_type, system=question.system)
        # Judges that write something else are read all the same, and old verdicts are found by the same hash.
        request = replace(request, constraint=question.schema)
        route = self.route(judge.task_type)
        return self.job(request, route, state, comparison_id, shadow_of=request_id)

    async def answer(self, job: Job, aliases: Sequence[str], *, unless_off: str | None = None) -> Completion:
        """Ask the models in order. `unless_off` is the task type without whose switch nothing may be sent.

        Raises what `Router.complete()` raises, and `SwitchedOffError`.
        """

        def check() -> None:
            if unless_off is not None and not self._switch.read(unless_off).on:
                raise SwitchedOffError("the switch went off before the request was sent")

        if self._playback is not None:
            check()
            return await self._playback.answer(job, aliases)
        transport = self._transport()

        async def send(job: Job, plan: AttemptPlan, admission: Admission) -> Settlement:
            try:
                check()
            except SwitchedOffError:
                admission.release()
                raise
            return await self.attempts.run(job, plan, admission, transport, check)

        return job.completion(await self._dispatch.run(job, aliases, send), self._clock)

    def stream(self, job: Job, aliases: Sequence[str]) -> Callable[[OpenStream], Awaitable[Piece]]:
        """How a stream of `job` starts: at the first of the models that gives a piece."""
        return first_piece(self._dispatch, self.attempts, aliases, self._transport())

    def likely_usd(
        self, job: Job, alias: str, tokens_out: int | None = None, *, in_batch: bool = False
    ) -> float:
        """What asking `alias` costs by estimated tokens, for an answer of so many, else the longest.

        Sends nothing; nothing played back costs anything. Raises `ConfigError`, `UnpricedModelError`.
        """
        if self.recording is not None:
            return 0.0
        return self.attempts.likely_usd(job, self.targets[alias], tokens_out, in_batch=in_batch)

    def asked(self, job: Job, alias: str) -> tuple[Mapping[str, Any], int]:
        """What `alias` is asked beside the prompt, as a row keeps it, and the tokens kept for its answer."""
        target = self.targets[alias]
        limit = target.max_tokens(job.request, job.route)
        return target.asked(job.request, job.route).row(), target.output_reserve(limit)

    def is_asked(self, row: Attempt, job: Job, alias: str) -> bool:
        """Whether a stored attempt asked the model of `alias` what this job asks it."""
        return is_asked(row, job, self.targets[alias])

    def _breaker_changed(self, change: BreakerChange) -> None:
        self._alerts.send(change.kind, change.key, change.message)
