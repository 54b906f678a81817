"""The router: one place where routing, accounting, retries, breakers and shadows meet.

What `complete()` promises is in "The accounting boundary" of the design; where each promise is kept:

    one accounted call           calls/ (calls.py), for callers, shadows, judges and replays
    route, estimate, window      routing.py, attempts/ (tokens.py, and plan in attempts.py)
    budgets, intent, row         attempts/ (open and settle in attempts.py), the ledger behind ports.py
    retries, breakers, fallback  calls/ (dispatch.py), breaker.py
    the pair with a shadow       shadows/ (shadow.py, pairing.py)
    sockets and event loops      transport/, loops.py
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar

from router_lab import arguments
from router_lab import settings as settings_module
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.parameters import HiddenHeaders, withhold
from router_lab.records import Completion, StreamChunk
from router_lab.router.alerts import Alerts
from router_lab.router.answers.data import ready_for_schemas
from router_lab.router.attempts.job import FinishedJob, Job
from router_lab.router.breaker import Breakers
from router_lab.router.calls.calls import Calls
from router_lab.router.calls.streaming import OpenStream
from router_lab.router.comparators.compare import (
    Judge,
    PairVerdict,
    StoredPair,
    route_comparators,
)
from router_lab.router.comparators.judge import Question
from router_lab.router.loops import EXIT_GRACE_S, LoopState, LoopStates, LoopThread
from router_lab.router.playback.no_ledger import NoLedger
from router_lab.router.playback.recording import Recording
from router_lab.router.ports import AlertCallback, Clock, LedgerPort, checked, has_event_loop
from router_lab.router.request.request import Request
from router_lab.router.routing import routes_html
from router_lab.router.secrets import Secrets
from router_lab.router.shadows.misconfiguration import Misconfigurations
from router_lab.router.shadows.pairing import Pairing, PairWriter
from router_lab.router.shadows.shadow import Shadows, plan_pairings
from router_lab.router.transport.transport import Transport
from router_lab.settings.models import Settings

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")


def takes_what(
    other: Callable[Concatenate[Any, P], Any],
) -> Callable[[Callable[..., T]], Callable[Concatenate[Any, P], T]]:
    """The decorated method has the parameters of `other`, for type checkers, `help()` and Shift-Tab alike."""

    def decorate(method: Callable[..., T]) -> Callable[Concatenate[Any, P], T]:
        own = inspect.signature(method)
        signature = inspect.signature(other).replace(return_annotation=own.return_annotation)
        method.__signature__ = signature  # type: ignore[attr-defined]
        return method

    return decorate


T = TypeVar("T")


class Router:
    """Sends each call to the model its task type names, and accounts for it.

    `ledger` takes rows and counts budgets; the caller opens and closes it. `client` makes the HTTP client
    of each event loop (for tests and for servers in process); left out, one over aiohttp is made.
    `on_alert` hears every alert; `seed` fixes the jitter of retries.

    With `playback`, a ledger (open, or its path) or the file of a frozen bundle, recorded attempts answer in
    place of models: those with the same input, model and parameters, schema and tools included, repeats in
    their order, a recorded failure too. Nothing is sent, no key is needed, and what has no record is a
    `NotRecordedError` that names it. A completion has the recorded figures and `metadata.is_playback`. Where
    a `ledger` is given, its rows cost nothing there and say `cost_source="playback"`; without one nothing is
    kept and shadows are off. So a notebook that is run again gives what it gave, offline.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: LedgerPort | None = None,
        playback: Any = None,
        client: Callable[[], httpx.AsyncClient] | None = None,
        clock: Clock | None = None,
        on_alert: AlertCallback | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(settings, Settings):
            raise arguments.wrong(
                "settings",
                settings,
                "a Settings, as rl.settings.load(path) reads it; see Router.from_yaml(path)",
            )
        self.settings = settings
        if ledger is None and playback is not None:
            ledger = NoLedger()
        self.ledger = ledger = checked(ledger)
        self._clock = clock or Clock()
        self._secrets = Secrets(settings)
        self._alerts = Alerts(ledger.accounts, self._clock, on_alert, self._secrets)
        self._client = client
        self._on_alert = on_alert
        # Calls and shadows in flight refer to these, and none of these to the router, so that it is
        # garbage when nobody has it any more.
        self._loop_states = states = LoopStates(
            lambda: LoopState(Transport(client=client() if client is not None else None), shadows())
        )
        self._calls = calls = Calls(
            settings,
            ledger,
            transport=lambda: states.here.transport,
            alerts=self._alerts,
            secrets=self._secrets,
            clock=self._clock,
            seed=seed,
            recording=None if playback is None else Recording.of(playback),
        )
        self._pairs = pairs = PairWriter(
            ledger.accounts,
            ledger.switch,
            self._calls,
            route_comparators(settings),
            Misconfigurations(settings.models, self._alerts),
            self._secrets,
            keep_content=settings.ledger.content == "full",
            comparator_timeout_s=settings.shadow.comparator_timeout_s,
        )
        shadows = partial(Shadows, settings=settings.shadow, switch=ledger.switch, writer=pairs, calls=calls)
        self._thread = LoopThread("router-lab", at_exit=partial(_close, states, self._alerts, EXIT_GRACE_S))
        ledger.accounts.configure(settings)
        weakref.finalize(self, _leave, states, self._thread).atexit = False  # the thread has its own hook

    @classmethod
    def from_yaml(cls, path: str | Path, *, ledger: LedgerPort | None = None, **options: Any) -> Self:
        """A router configured by a YAML file. Raises `ConfigError` naming file, line and key."""
        return cls(settings_module.load(path), ledger=ledger, **options)

    @property
    def breakers(self) -> Breakers:
        """The circuit breakers used so far, by provider and server."""
        return self._calls.breakers

    async def complete(
        self,
        prompt: str | None = None,
        *,
        task_type: str,
        messages: Sequence[Mapping[str, Any]] | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Any] | None = None,
        schema: Any = None,
        user_id: str | None = None,
        task_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        reasoning_effort: str | None = None,
        think: bool | int | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Completion:
        """Answer one prompt, or one conversation, by the model its task type is routed to.

        `temperature`, `top_p`, `seed`, `stop` (one text or several), `reasoning_effort` and what follows
        override the route's and the model's own; `think` is whether to think, or a budget of tokens for it. A
        shadow is asked the same, but for `extra_body` and
        `extra_headers`, which go to the server of the route's own model alone. What a provider cannot
        take is a `ConfigError`.

        Of the input: `prompt`, or `messages` as OpenAI, Anthropic or Ollama write them; `system`; `tools` the
        model may call, in OpenAI's or Anthropic's form or as `rl.Tool`; `schema`, a JSON schema or a
        pydantic model class that `data` has to satisfy; `max_tokens` of the answer at most (by default the
        route's). For the ledger: `task_type`, such as "extract::order", names the route; `user_id` has a
        budget of its own where the YAML gives one; `task_id` and `tags` are kept with the rows.

        Returns when the row of every attempt is durable. Raises, before anything was sent: `ConfigError`
        for an argument, `RoutingError`, `UnpricedModelError`; for an attempt that was not sent, after others
        that may have been: `BudgetExceededError`, `CircuitOpenError`, `LedgerError`; for an answer:
        `ProviderError`, `ContextOverflowError` (the prompt does not fit, or was cut), `ResponseParseError`;
        while playing back: `NotRecordedError`. Whatever was sent, and may be billed, has its row.
        """
        withheld = HiddenHeaders(extra_headers)
        del extra_headers
        if schema is not None:
            await ready_for_schemas()
        job, pairings = self._begin(
            Request.build(
                prompt,
                task_type=task_type,
                messages=messages,
                system=system,
                max_tokens=max_tokens,
                tools=tools,
                schema=schema,
                user_id=user_id,
                task_id=task_id,
                tags=tags,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                stop=stop,
                reasoning_effort=reasoning_effort,
                think=think,
                extra_body=extra_body,
                extra_headers=withheld,
            )
        )
        return await self._completed(job, pairings)

    @takes_what(complete)
    def complete_sync(self, prompt: str | None = None, **arguments: Any) -> Completion:
        """`complete()` for plain scripts: runs on a thread of the router's own, blocks until done.

        `with Router(...) as router:` ends that thread; so does `close_sync()`.
        """
        withhold(arguments)
        return self.run_sync(self.complete(prompt, **arguments))

    @takes_what(complete)
    async def stream(
        self, prompt: str | None = None, *, task_type: str, **arguments: Any
    ) -> AsyncGenerator[StreamChunk, None]:
        """Answer in pieces: `async for chunk in router.stream(...)`; takes what `complete()` takes.

        The last chunk carries the `completion`. A model that fails before its first piece is
        retried and replaced as in `complete()`; later errors are raised as they come. A stream that
        is cut, cancelled or abandoned still leaves its row.
        """
        withhold(arguments)
        if arguments.get("schema") is not None:
            await ready_for_schemas()
        job, pairings = self._begin(Request.build(prompt, task_type=task_type, **arguments))
        if self._calls.recording is not None:
            done = await self._completed(job, pairings)
            if done.text:
                yield StreamChunk(done.text)
            yield StreamChunk("", done)
            return
        here = self._loop_state()
        start = self._calls.stream(job, job.aliases)
        opened = OpenStream(job, start, partial(here.shadows.offer, pairings))
        here.streams.add(opened)
        try:
            while isinstance(piece := await opened.next(), str):
                yield StreamChunk(piece)
            yield StreamChunk("", opened.completed(job.completion(piece, self._clock)))
        except BaseException as error:
            self._secrets.mask(job.request.parameters.extra_headers).error(error)
            raise
        finally:
            await opened.end()

    async def judge(self, judge: Judge, stored: StoredPair) -> PairVerdict:
        """Ask a judge of a pair that is stored already, in both orders, because somebody wants to know now.

        Calls the model of the judge's route alone, without its fallback, and neither side's. It is
        accounted as a shadow's call and held to the shadow's budget, and to the others; the switch, which
        governs what is sent unasked, does not stop it. Raises what `complete()` raises.
        """
        state = self.ledger.switch.glance(stored.task_type)

        async def ask(question: Question) -> str:
            job = self._calls.judge_job(judge, question, state, stored.comparison_id, stored.request_id)
            return (await self._calls.answer(job, (job.route.model,))).text

        try:
            return await judge.compare(stored.task, stored.pair, ask)
        except BaseException as error:
            self._secrets.mask().error(error)
            raise

    def judging_usd(self, judge: Judge, stored: StoredPair) -> float:
        """What judging a stored pair costs at most, by the estimate of its tokens. Sends nothing.

        Raises `RoutingError` where no route is the judge's, `ConfigError`, `UnpricedModelError`.
        """
        if self._calls.recording is not None:
            return 0.0
        state = self.ledger.switch.glance(stored.task_type)
        jobs = (
            self._calls.judge_job(judge, question, state, stored.comparison_id, stored.request_id)
            for question in judge.questions(stored.task, stored.pair)
        )
        return sum(self._calls.likely_usd(job, job.route.model) for job in jobs)

    def judging_model(self, judge: Judge) -> str:
        """The name of the model on the judge's route. Raises `RoutingError` where there is no route."""
        return self._calls.model(judge.task_type)

    def run_sync(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of this router's, for callers that have no event loop; see `complete_sync`."""
        return self._thread.run(work)

    async def drain(self) -> None:
        """Wait for the shadows in flight and for every row, pair and alert to be durable."""
        await self._loop_state().shadows.drain()
        await self._alerts.drain()

    async def close(self) -> None:
        """Drain and close this event loop's connections. The ledger stays open: it is its owner's."""
        await self._close(within_s=None)

    def close_sync(self) -> None:
        """End what `complete_sync()` started, shadows in flight included."""
        self._thread.stop(self.close)

    def __enter__(self) -> Self:
        """For scripts that call `complete_sync()`; where an event loop runs, `async with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop(lambda: self._close(_grace(error)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(_grace(error))

    async def _close(self, within_s: float | None) -> None:
        await _close(self._loop_states, self._alerts, within_s)

    def _begin(self, request: Request) -> tuple[Job, tuple[Pairing, ...]]:
        route = self._calls.route(request.task_type)
        request = request.on(route.parameters)
        # The first of a process imports the client, which must not be of the call's own time.
        self._loop_state()
        state = self.ledger.switch.glance(request.task_type)
        pairings = plan_pairings(request, route, state, self._clock)
        job = self._calls.job(request, route, state, pairings[0].comparison_id if pairings else None)
        return job, pairings

    async def _completed(self, job: Job, pairings: Sequence[Pairing]) -> Completion:
        """The answer, after which its shadows may run."""
        try:
            done = await self._calls.answer(job, job.aliases)
        except BaseException as error:
            self._secrets.mask(job.request.parameters.extra_headers).error(error)
            self._loop_state().shadows.offer(pairings, FinishedJob(job, None, error))
            raise
        self._loop_state().shadows.offer(pairings, FinishedJob(job, done))
        return done

    def _loop_state(self) -> LoopState:
        return self._loop_states.here

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            "a Router cannot be sent to another process: make one there, as in the other process's function "
            "`Router(settings, ledger=Ledger(path))`; settings can be sent"
        )

    def __repr__(self) -> str:
        return (
            f"<Router: {counted(len(self.settings.routing), 'routes')} over "
            f"{counted(len(self.settings.models), 'models')}>"
        )

    def _repr_html_(self) -> str:
        return routes_html(self.settings) + self.breakers._repr_html_()


async def _close(states: LoopStates, alerts: Alerts, within_s: float | None) -> None:
    if not has_event_loop():
        return  # a child that was forked by what a loop ran: all of it is its parent's
    await states.finish(within_s)
    await alerts.drain()


def _leave(states: LoopStates, thread: LoopThread) -> None:
    """What is left of a router that nobody has any more ends by itself."""
    states.leave(thread.leave())


def _grace(error: BaseException | None) -> float | None:
    """Seconds to wait for what is in flight, None for all it takes.

    An interrupt wants the prompt back: what is in flight is cancelled and recorded as such.
    """
    return 0.0 if error is not None and not isinstance(error, Exception) else None
