"""The ASGI application: three wire formats, the server's log, and `/sim/...` to steer it from outside.

GET  /sim/requests      the log, a list of objects with the fields of `ServedRequest`
POST /sim/script        {"faults": ["ok", "429", {"kind": "slow", "model": "..."}]} or
                        {"chaos": {"rates": {"500": 0.1}, "seed": 1}}
POST /sim/reset         forget the log, the script and every cache
GET  /sim/bill?prices=  tokens and USD of billed requests; prices as JSON, or POST {"prices": {...}}
     /sim/batches       the batches, and how the next ones go; see `router_lab.sim.served_batches`

A script's faults play with what is asked of a batch itself, not of its items, where their `model` is
"batches".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from router_lab.arguments import instance
from router_lab.nearest import nearest_hint
from router_lab.sim import log, model_lists, tokenizer
from router_lab.sim.anthropic.message_batches import AnthropicBatchApi
from router_lab.sim.anthropic.messages_api import AnthropicWire
from router_lab.sim.catalog import DEFAULT_MODELS, PROVIDERS, SimModel
from router_lab.sim.exchange import JSON, ErrorAnswer, Exchange, Header, HttpRequest, dump
from router_lab.sim.faults import OK, Fault, FaultLike, RandomFaults, Script
from router_lab.sim.log import Log, ServedRequest
from router_lab.sim.model_request import ModelRequest, hash_turns
from router_lab.sim.ollama import model_endpoints
from router_lab.sim.ollama.chat_api import OllamaWire
from router_lab.sim.ollama_context import Behaviour, parse_version
from router_lab.sim.openai.completions_api import OpenAIWire
from router_lab.sim.openai.file_batches import OpenAIBatchApi
from router_lab.sim.openai.personas import PERSONAS, PLAIN, Persona
from router_lab.sim.playing import Receive, Scope, Send, faulty, play
from router_lab.sim.served_batches import ServedBatches, ServedItem, SimBatch
from router_lab.sim.server_state import ServerState
from router_lab.sim.simulated_answers.known_answers import AnswerModel, Workload

Rows = Iterable[Mapping[str, Any]]

_TEXT: tuple[Header, ...] = ((b"content-type", b"text/plain; charset=utf-8"),)
_SENT_NOTHING = ("hang", "reset")
# Faults of a connection or of a body as a whole: an item of a batch that meets one has failed.
_NO_ANSWER = ("garbage", "empty", "hang", "reset", "reset_after_headers", "cut", "stream_error")


# One provider's wire format: `read` a request, `serve` it, say a `failure`.
Wire = OllamaWire | AnthropicWire | OpenAIWire


class SimApp:
    """Simulated providers at work. Made by `sim.app`."""

    def __init__(
        self,
        state: ServerState,
        script: Script,
        api_keys: Mapping[str, str],
        version: str,
        persona: Persona = PLAIN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = state
        self._script = script
        self._api_keys = dict(api_keys)
        self._log = Log()
        self._next_seq = 0
        self._openai = OpenAIWire(persona)
        self.batches = ServedBatches(self._answer_item, clock)
        self._batch_wires = (AnthropicBatchApi(self.batches), OpenAIBatchApi(self.batches, self._openai))
        self._wires: dict[str, Wire] = {
            "/api/chat": OllamaWire(),
            "/api/generate": OllamaWire(),
            "/v1/messages": AnthropicWire(),
            "/v1/messages/count_tokens": AnthropicWire(),
            "/v1/chat/completions": self._openai,
        }
        self._views: dict[str, Callable[[HttpRequest], Any]] = {
            "/api/version": lambda _: {"version": version},
            "/api/tags": lambda _: model_endpoints.tags(state),
            "/api/ps": lambda _: model_endpoints.loaded(state),
            "/api/show": lambda request: model_endpoints.show(request, state),
            "/sim/requests": lambda _: log.as_json(self.log),
            "/sim/script": self._script_posted,
            "/sim/reset": lambda _: self.reset(),
            "/sim/bill": self._bill_asked,
            "/sim/batches": self._batches_asked,
        }

    @property
    def log(self) -> list[ServedRequest]:
        """Every model call that reached the server, in order of arrival."""
        return self._log.all()

    @property
    def models(self) -> tuple[SimModel, ...]:
        """The models it serves."""
        return tuple(self._world.models.values())

    def script(self, faults: Iterable[FaultLike] | RandomFaults) -> None:
        """Play these faults from now on instead of any that were left. Raises `ValueError` for a bad one."""
        self._script.replace(faults)

    def bill(self, prices: Mapping[str, Any]) -> dict[str, Any]:
        """What the billed requests cost; see `router_lab.sim.log.bill`."""
        return log.bill(self.log, prices)

    def reset(self) -> None:
        """Forget the log, the script and every cache."""
        self._log.clear()
        self._script.replace(())
        self._world.forget()
        self.batches.reset()
        self._batch_wires[1].reset()

    def warm_up(self) -> None:
        """Load the tokenizers now instead of during the first request."""
        for model in self.models:
            tokenizer.get(model.tokenizer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        if body is None:
            return
        request = self._request(scope, body)
        wire = self._wires.get(request.path) or (self._openai if self._openai.is_at(request.path) else None)
        if wire is not None and request.method == "POST":
            await self._serve(wire, request, scope, receive, send)
            return
        batches = next((api for api in self._batch_wires if api.is_at(request.path)), None)
        if batches is not None:
            exchange, fault = self._on_batches(batches, request)
            await play(exchange, fault, scope, receive, send)
            return
        view = self._views.get(request.path) or (self._models if model_lists.is_at(request.path) else None)
        await play(self._plain(request, view), OK, scope, receive, send)

    def _request(self, scope: Scope, body: bytes) -> HttpRequest:
        self._next_seq += 1
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        return HttpRequest(self._next_seq, scope["method"], scope["path"], headers, body, query)

    def _plain(self, request: HttpRequest, view: Callable[[HttpRequest], Any] | None) -> Exchange:
        if request.path == "/":
            return Exchange(200, _TEXT, (b"Ollama is running",))
        if view is None:
            self._log.add(self._served(request, "", None, OK, Exchange(404, JSON, ())))
            return Exchange(404, _TEXT, (b"404 page not found",))
        try:
            answer = view(request)
        except ErrorAnswer as refused:
            told = refused.extra or {"error": refused.message}
            return Exchange(refused.status, JSON, (dump(told),))
        except (ValueError, TypeError, KeyError) as error:
            return Exchange(400, JSON, (dump({"error": str(error)}),))
        return Exchange(200, JSON, (dump(answer if answer is not None else {"ok": True}),))

    async def _serve(
        self, wire: Wire, request: HttpRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        ask, fault, exchange = self._plan(wire, request)
        exchange = faulty(replace(exchange, headers=exchange.headers + wire.headers(request)), fault)
        self._log.add(self._served(request, wire.provider, ask, fault, exchange))
        if await play(exchange, fault, scope, receive, send):
            self._log.complete(request.seq)

    def _plan(
        self, wire: Wire, request: HttpRequest, *, is_item: bool = False
    ) -> tuple[ModelRequest | None, Fault, Exchange]:
        try:
            if not is_item:  # whoever handed the batch in was asked for the key
                self._authorise(wire, request)
            ask = wire.read(request, self._world)
        except ErrorAnswer as refused:
            return None, OK, wire.failure(request, refused)
        fault = self._script.take(wire.provider, ask.model, ask.conversation, hash_turns(ask.turns))
        if fault.kind in ("status", "insufficient_quota"):
            kind = "" if fault.status else fault.kind
            exchange = wire.failure(request, ErrorAnswer(fault.status or 429, "", kind=kind))
            return ask, fault, replace(exchange, headers=exchange.headers + fault.retry_headers())
        try:
            return ask, fault, wire.serve(request, ask, fault, self._world)
        except ErrorAnswer as refused:
            return ask, fault, wire.failure(request, refused)
        except RecursionError:
            return ask, fault, wire.failure(request, ErrorAnswer(400, "the request is nested too deeply"))

    def _on_batches(
        self, api: AnthropicBatchApi | OpenAIBatchApi, request: HttpRequest
    ) -> tuple[Exchange, Fault]:
        """What is asked of batches and their files; nothing of it is billed."""
        wire, asked = api.wire, f"{request.method} {request.path}"
        fault = OK
        try:
            self._authorise(wire, request)
            fault = self._script.take(api.provider, "batches", asked, asked, named_only=True)
            if fault.status is not None:
                raise ErrorAnswer(fault.status, "")
            exchange = api.handle(request)
        except ErrorAnswer as refused:
            exchange = wire.failure(request, refused)
        headers = wire.headers(request) + (fault.retry_headers() if exchange.status != 200 else ())
        exchange = faulty(replace(exchange, headers=exchange.headers + headers), fault)
        self._log.add(replace(self._served(request, api.provider, None, fault, exchange), billed=False))
        return exchange, fault

    def _answer_item(self, batch: SimBatch, item: ServedItem) -> tuple[int, bytes]:
        """One item of a batch, answered as a request of its own would be."""
        api = next(one for one in self._batch_wires if one.provider == batch.provider)
        self._next_seq += 1
        headers = {"anthropic-version": "batch", "x-client-request-id": item.custom_id}
        request = HttpRequest(self._next_seq, "POST", api.item_path, headers, dump(item.body))
        ask, fault, exchange = self._plan(api.wire, request, is_item=True)
        if exchange.streamed:
            exchange = api.wire.failure(request, ErrorAnswer(400, "stream: not allowed in a batch"))
        elif fault.kind in _NO_ANSWER:
            exchange = api.wire.failure(request, ErrorAnswer(500, ""))
        served = self._served(request, batch.provider, ask, fault, exchange)
        self._log.add(replace(served, batch_id=batch.id, status=exchange.status, completed=True))
        return exchange.status, exchange.body

    def _batches_asked(self, request: HttpRequest) -> Any:
        if request.method == "POST":
            self.batches.steer(**json.loads(request.body or b"{}"))
        return self.batches.shown()

    def _models(self, request: HttpRequest) -> Any:
        """The models of the API whose version, or whose key, the request carries."""
        api = AnthropicWire() if "anthropic-version" in request.headers else self._openai
        self._authorise(api, request)
        return model_lists.shown(request, self._world.of(api.provider))

    def _authorise(self, wire: Wire, request: HttpRequest) -> None:
        expected = self._api_keys.get(wire.provider)
        if expected is not None and wire.key(request) != expected:
            raise ErrorAnswer(401, "")

    def _served(
        self, request: HttpRequest, provider: str, ask: ModelRequest | None, fault: Fault, exchange: Exchange
    ) -> ServedRequest:
        usage = exchange.usage
        did_work = exchange.status == 200 and not request.path.endswith("/count_tokens")
        return ServedRequest(
            seq=request.seq,
            path=request.path,
            provider=provider,
            model=ask.model if ask else "",
            status=0 if fault.kind in _SENT_NOTHING else exchange.status,
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            tokens_sent=usage.tokens_sent,
            billed=did_work and fault.is_billed,
            client_request_id=request.headers.get("x-client-request-id"),
            truncated=exchange.truncated,
            prompt_hash=hash_turns(ask.turns) if ask else "",
            fault=fault.name,
            streamed=exchange.streamed,
        )

    def _script_posted(self, request: HttpRequest) -> None:
        data = json.loads(request.body or b"{}")
        if isinstance(data, dict) and "chaos" in data:
            self.script(RandomFaults(**data["chaos"]))
        else:
            self.script(data["faults"] if isinstance(data, dict) else data)

    def _bill_asked(self, request: HttpRequest) -> dict[str, Any]:
        if request.method == "POST":
            return self.bill(json.loads(request.body or b"{}").get("prices", {}))
        return self.bill(json.loads(request.query.get("prices", "{}")))


def app(
    *,
    seed: int = 0,
    models: Iterable[SimModel] | None = None,
    ollama_version: str = "0.30.11",
    ollama_context_length: int | None = None,
    latency: float = 0.0,
    faults: Iterable[FaultLike] | RandomFaults = (),
    workload: str | Path | Rows | None = None,
    api_keys: Mapping[str, str] | None = None,
    persona: str | None = None,
    clock: Callable[[], float] = time.time,
) -> SimApp:
    """A simulated server of all three providers, as an ASGI application.

    `seed` fixes every answer. `models` replaces `DEFAULT_MODELS`. `ollama_version` chooses how prompts
    that do not fit are treated, `ollama_context_length` is the server's own default context in tokens.
    `latency` scales the models' latencies: 0 for none, 1 for lifelike. `faults` is as for
    `SimApp.script`. `workload` is a JSON Lines file or rows with `prompt` and, where known, `system`,
    `task_type` and `expected`. `api_keys` maps `anthropic` and `openai` to the one key they accept;
    without it any key will do. `persona` is whose OpenAI-compatible server it plays, one of `PERSONAS`:
    it is asked at that vendor's path too, refuses what that vendor refuses and answers in its shape.
    `clock` gives seconds since the epoch, by which batches are done or expire.
    Raises `ValueError` for an argument that makes no sense.
    """
    catalog = tuple(DEFAULT_MODELS if models is None else models)
    for model in catalog:
        instance("models", model, SimModel, "a SimModel('m', 'openai', 'cl100k', 8_192, 0.9)")
    by_name = {(model.provider, model.name): model for model in catalog}
    if len(by_name) < len(catalog):
        raise ValueError("models: two models of one provider have the same name")
    unknown = sorted(set(api_keys or ()) - set(PROVIDERS))
    if unknown:
        hint = nearest_hint(unknown[0], PROVIDERS)
        raise ValueError(f"api_keys: {unknown[0]!r} is none of {', '.join(PROVIDERS)}{hint}")
    state = ServerState(
        models=by_name,
        mind=AnswerModel(seed, Workload(_rows(workload))),
        latency=latency,
        behaviour=Behaviour(parse_version(ollama_version)),
        ollama_context_length=ollama_context_length,
    )
    if persona is not None and persona not in PERSONAS:
        hint = nearest_hint(persona, PERSONAS)
        raise ValueError(f"persona: {persona!r} is none of {', '.join(PERSONAS)}{hint}")
    speaks = PERSONAS[persona] if persona is not None else PLAIN
    return SimApp(state, Script(faults), api_keys or {}, ollama_version, speaks, clock)


def _rows(workload: str | Path | Rows | None) -> Rows:
    if workload is None:
        return ()
    if not isinstance(workload, str | Path):
        return workload
    with Path(workload).open(encoding="utf-8-sig") as lines:
        return [_row(f"{workload}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(place: str, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: this line is no JSON ({error})") from None
    if not isinstance(row, dict) or "prompt" not in row:
        raise ValueError(f'{place}: a line is an object with a "prompt", such as {{"prompt": "..."}}')
    return row


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, None if the client left before sending it."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
