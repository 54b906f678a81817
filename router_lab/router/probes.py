"""Is every model of a configuration ready to be called? Asked with questions that cost nothing.

In come settings; out goes one `Readiness` for each alias: its key, its server, the model on it, price and
window. Servers are asked for the list of their models, each once, with the key that calls would carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from router_lab.errors import ConfigError, ProviderError, UnpricedModelError
from router_lab.records import Usage
from router_lab.router.pricing import PriceBook
from router_lab.router.providers.wire import address
from router_lab.router.request.targets import Target, build_targets
from router_lab.router.transport.transport import Transport
from router_lab.settings.models import Settings

_PATHS = {"ollama": "/api/tags", "anthropic": "/v1/models", "openai": "/models"}
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a call needs. `ok` is None where nobody can say without a call."""

    subject: str
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found of one alias."""

    alias: str
    model: str
    server: str
    facts: tuple[Fact, ...] = field(repr=False)

    @property
    def is_ready(self) -> bool:
        """Whether nothing is known to be wrong."""
        return all(fact.ok is not False for fact in self.facts)

    @property
    def is_sure(self) -> bool:
        """Whether the server said that it has the model."""
        return any(fact.subject == "model" and fact.ok for fact in self.facts)


async def probe(settings: Settings, transport: Transport) -> tuple[Readiness, ...]:
    """Ask every server, and the price list. Never raises for what is wrong with a model: it is said."""
    lists = _Lists(transport)
    targets = build_targets(settings).values()
    return tuple(await asyncio.gather(*(_readiness(settings, one, lists) for one in targets)))


class _Lists:
    """The models that servers list, each asked once with each key."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._asked: dict[tuple[str, tuple[tuple[str, str], ...]], asyncio.Task[Any]] = {}

    async def of(self, target: Target, headers: Mapping[str, str]) -> Any:
        """Raises `ProviderError`, and `ValueError` for what is no JSON."""
        url = address(target.settings.base_url, _PATHS[target.settings.wire])
        key = url, tuple(sorted(headers.items()))
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._transport.get_json(url, headers))
        return await self._asked[key]


async def _readiness(settings: Settings, target: Target, lists: _Lists) -> Readiness:
    key, headers = _key(target)
    facts = [key]
    if key.ok is not False:
        facts += await _server(target, headers, lists)
    facts += [_price(settings, target.alias), _window(target)]
    return Readiness(target.alias, target.settings.model, target.settings.server, tuple(facts))


def _key(target: Target) -> tuple[Fact, Mapping[str, str]]:
    variable = target.settings.api_key_env
    try:
        headers = target.credentials()
    except ConfigError as error:
        return Fact("key", False, str(error)), {}
    return Fact("key", True, f"from {variable}" if variable else "none needed"), headers


async def _server(target: Target, headers: Mapping[str, str], lists: _Lists) -> list[Fact]:
    try:
        listed = await lists.of(target, headers)
    except ProviderError as error:
        return [_refused(target, error)]
    except ValueError:
        return [Fact("server", None, "answers, but not with a list of models: only a call can tell")]
    return [Fact("server", True, "answers"), _model(target, _names(listed))]


def _refused(target: Target, error: ProviderError) -> Fact:
    if error.status in (401, 403):
        variable = target.settings.api_key_env
        remedy = f"check the key in {variable}" if variable else "name the key's variable in api_key_env"
        return Fact("server", False, f"answers {error.status}: {remedy}")
    if error.status is not None and error.status < 500:
        return Fact("server", None, f"answers, and lists no models ({error.status}): only a call can tell")
    if error.status is not None:
        return Fact("server", False, f"answers {error.status}: it is up, and not well")
    start = "; start it with `ollama serve`" if target.settings.wire == "ollama" else ""
    return Fact("server", False, f"{error}{start}")


def _names(listed: Any) -> tuple[str, ...]:
    """The names in a list of models, as Ollama, OpenAI or Anthropic write one."""
    entries = listed.get("models") or listed.get("data") if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        return ()
    found = (entry.get("name") or entry.get("id") for entry in entries if isinstance(entry, dict))
    return tuple(name for name in found if isinstance(name, str))


def _model(target: Target, names: tuple[str, ...]) -> Fact:
    wanted = target.settings.deployment or target.settings.model
    if any(wanted in (name, name.removesuffix(":latest"), name.rpartition("/")[2]) for name in names):
        return Fact("model", True, "there")
    if not names:
        return Fact("model", None, "the server lists no models: only a call can tell")
    if target.settings.wire == "ollama":
        return Fact("model", False, f"not pulled; get it with `ollama pull {wanted}`")
    near = get_close_matches(wanted, names, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"it lists {len(names)} others"
    # Vendors take aliases that they do not list.
    return Fact("model", None, f"{wanted} is not listed; {hint}")


def _price(settings: Settings, alias: str) -> Fact:
    at = datetime.now(UTC)
    try:
        book = PriceBook(settings.model_copy(update={"models": {alias: settings.models[alias]}}), at)
        read = book.cost(alias, Usage(tokens_in=_MILLION, tokens_out=0), at)
        written = book.cost(alias, Usage(tokens_in=0, tokens_out=_MILLION), at)
    except UnpricedModelError as error:
        return Fact("price", False, str(error))
    return Fact("price", True, f"${read.usd:g} in, ${written.usd:g} out per million tokens ({read.source})")


def _window(target: Target) -> Fact:
    if target.window is None:
        return Fact("window", None, "not known: a prompt that does not fit is refused by the server alone")
    return Fact("window", True, f"{target.window:,} tokens")
