"""The true context window and version of an Ollama server, read from `/api/ps` and `/api/version`.

A requested `num_ctx` is silently clamped to what the model was trained for, and truncated counts
differ by version, so both are worth a question; neither may ever delay or fail a call.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from router_lab.settings.models import ModelSettings

Version = tuple[int, int, int]
GetJson = Callable[[str], Awaitable[Any]]

# A runner lives as long as its keep_alive; a server is upgraded rarely but without notice.
FOUND_TTL_S = 300.0
# A server that does not answer is not asked again at every call.
MISSING_TTL_S = 30.0
TIMEOUT_S = 0.5

# Vision models get at least this much context whatever was asked for.
SMALLEST_FLOOR = 2048


@dataclass(frozen=True, slots=True)
class Window:
    """What a server said of itself: context tokens of the loaded model, and version; None when unknown."""

    context_length: int | None = None
    version: Version | None = None


UNKNOWN_WINDOW = Window()


@dataclass(frozen=True, slots=True)
class _CacheEntry:
    value: Any
    expires: float


class Windows:
    """Reads and remembers windows. `get_json(url)` performs a GET and may raise anything."""

    def __init__(
        self,
        get_json: GetJson,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._get_json = get_json
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._lengths: dict[tuple[str, str, int | None], _CacheEntry] = {}
        self._versions: dict[str, _CacheEntry] = {}

    def cached(self, settings: ModelSettings) -> Window:
        """What is known already, without asking."""
        length = self._lengths.get(_length_key(settings))
        version = self._versions.get(settings.base_url)
        return Window(_value(length), _value(version))

    def effective(self, settings: ModelSettings, num_ctx: int | None) -> int | None:
        """The window to plan with, in tokens: `num_ctx`, or what the server is known to have made of it."""
        return true_window(num_ctx, self.cached(settings))

    async def read(self, settings: ModelSettings) -> Window:
        """Ask, within the time-out, for what is not known or too old. Never raises.

        Ask after a reply, when the model is loaded: `/api/ps` lists loaded models only.
        """
        url, key = settings.base_url, _length_key(settings)
        questions = []
        if self._claim(self._lengths, key):
            questions.append(self._ask(self._lengths, key, f"{url}/api/ps", _length_of(settings.model)))
        if self._claim(self._versions, url):
            questions.append(self._ask(self._versions, url, f"{url}/api/version", _version_of))
        if questions:
            await asyncio.gather(*questions)
        return self.cached(settings)

    def _claim(self, cache: dict[Any, _CacheEntry], key: Any) -> bool:
        """Whether to ask; if so, whoever calls meanwhile uses the old value instead of asking too."""
        now, known = self._monotonic(), cache.get(key)
        if known is not None and now < known.expires:
            return False
        cache[key] = _CacheEntry(_value(known), now + MISSING_TTL_S)
        return True

    async def _ask(
        self, cache: dict[Any, _CacheEntry], key: Any, url: str, pick: Callable[[Any], Any]
    ) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = pick(await self._get_json(url))
        except Exception:  # whatever went wrong, the call this is asked for has succeeded
            return
        if found is not None:
            cache[key] = _CacheEntry(found, self._monotonic() + FOUND_TTL_S)


def true_window(num_ctx: int | None, window: Window) -> int | None:
    """The context length of the server's runner, given what was asked for.

    More than was asked for means that another client has reloaded the model since.
    """
    if window.context_length is None:
        return num_ctx
    if num_ctx is None:
        return window.context_length
    return min(window.context_length, max(num_ctx, SMALLEST_FLOOR))


def parse_version(text: str) -> Version | None:
    """`0.30.11-rc1` -> (0, 30, 11). None for what is no version, and for `0.0.0`, a build from source."""
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", text)
    if match is None:
        return None
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    return version if version != (0, 0, 0) else None


def _value(cached: _CacheEntry | None) -> Any:
    return None if cached is None else cached.value


def _length_key(settings: ModelSettings) -> tuple[str, str, int | None]:
    return settings.base_url, settings.model, settings.num_ctx


def _version_of(body: Any) -> Version | None:
    text = body.get("version") if isinstance(body, Mapping) else None
    return parse_version(text) if isinstance(text, str) else None


def _length_of(model: str) -> Callable[[Any], int | None]:
    names = {model, f"{model}:latest"}

    def pick(body: Any) -> int | None:
        models = body.get("models") if isinstance(body, Mapping) else None
        for loaded in models if isinstance(models, list) else ():
            if isinstance(loaded, Mapping) and {loaded.get("name"), loaded.get("model")} & names:
                length = loaded.get("context_length")
                return (
                    length
                    if isinstance(length, int) and not isinstance(length, bool) and length > 0
                    else None
                )
        return None

    return pick
