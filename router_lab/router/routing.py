"""Task type -> route: the exact name, else the longest prefix made of whole `::` segments."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from router_lab.errors import RoutingError
from router_lab.parameters import Parameters
from router_lab.settings.models import Settings, ShadowRoute
from router_lab.shown.elements import LEFT, headings, table
from router_lab.shown.escape import show, text_html
from router_lab.task_types import depth, family, is_within, lineage

MAX_LISTED = 10
MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Route:
    """Where calls go. `name` is the key of `routing` that matched, not the task type asked for.

    `server` is that of its own model.
    """

    name: str
    model: str
    fallback: tuple[str, ...]
    shadow: ShadowRoute | None
    policy: Literal["critical", "standard", "agent"]
    max_tokens: int | None
    output: Literal["auto", "json", "text"]
    parameters: Parameters
    server: str


class RouteTable:
    """The routes of a configuration. `extract::order::eu` finds `extract::order`, then `extract`."""

    def __init__(self, settings: Settings) -> None:
        self._routes = {
            name: Route(
                name=name,
                model=route.model,
                fallback=route.fallback,
                shadow=route.shadow,
                policy=route.policy,
                max_tokens=route.max_tokens,
                output=route.output,
                parameters=route.parameters,
                server=settings.models[route.model].server,
            )
            for name, route in settings.routing.items()
        }
        self._deepest = max(map(depth, self._routes), default=0)

    def resolve(self, task_type: str) -> Route:
        """The route of a task type. Raises `RoutingError` naming the nearest routes; never guesses."""
        if not isinstance(task_type, str):
            raise RoutingError(f"task_type must be text such as 'summarize', got {type(task_type).__name__}")
        route = self._routes.get(task_type)
        if route is not None:
            return route
        for prefix in lineage(task_type, self._deepest):
            if prefix in self._routes:
                return self._routes[prefix]
        raise RoutingError(self._no_route(task_type))

    def _no_route(self, task_type: str) -> str:
        # A task type is hostile input: what is compared and shown of it has a bounded length.
        asked = task_type[:MAX_SHOWN]
        names = sorted(self._routes)
        near = [name for name in names if name != family(asked) and is_within(name, family(asked))]
        near += [name for name in difflib.get_close_matches(asked, names, n=3) if name not in near]
        suggestion = f"; did you mean {_listed(near[:3])}?" if near else "."
        shown = repr(asked + "…" if len(task_type) > MAX_SHOWN else asked)
        return (
            f"no route matches task type {shown}{suggestion} "
            f"Known routes: {_listed(names)}. Add it, or a prefix of it, under `routing`."
        )


def _listed(names: list[str]) -> str:
    text = ", ".join(repr(name[:MAX_SHOWN]) for name in names[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{text} and {more} more" if more > 0 else text or "none"


def routes_html(settings: Settings) -> str:
    """A table of task type, model, fallback and shadow."""
    rows = [
        [
            show(name),
            show(f"{route.model} ({settings.models[route.model].model})"),
            show(", ".join(route.fallback)),
            show(route.shadow.model if route.shadow else ""),
        ]
        for name, route in sorted(settings.routing.items())
    ]
    head = headings("task type", "model", "fallback", "shadow")
    return table(head, rows, text_html("Routes"), cell_styles=(LEFT,) * len(head))
