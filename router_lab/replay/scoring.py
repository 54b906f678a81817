"""Scoring an answer against the right one, with the comparators that shadows are compared with.

The right answer takes the place of the primary, the model's that of the shadow: so reasons name them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from router_lab.defaults import OWN_LIKENESS, SIMILARITIES
from router_lab.errors import ConfigError, RoutingError
from router_lab.records import Ending, ToolCall
from router_lab.router.answers.endings import ending
from router_lab.router.answers.thoughts import is_blank
from router_lab.router.answers.tool_calls import is_call, read_calls
from router_lab.router.comparators.compare import (
    COMPARATOR_S,
    Comparator,
    Judge,
    Pair,
    comparator,
    compare,
    compare_aside,
    registered_comparator,
    stored_pair,
)
from router_lab.router.routing import RouteTable

if TYPE_CHECKING:
    from router_lab.records import Completion
    from router_lab.replay.dataset_rows import Row
    from router_lab.settings.models import Settings

# What a route that names no comparator has: it says nothing of what is expected.
_FOR_ANY_TEXT = "text"

_Make = Callable[[str, Mapping[str, Any]], Comparator | Judge]


class Scorer:
    """Compares answers with `expected`; comparators are built once per name and options.

    A row's own comparator comes first, then `name`, then the one that the shadow of the row's route in
    `settings` is compared with. Raises `ConfigError` when made with a comparator that does not exist.
    """

    def __init__(
        self, name: str | None, options: Mapping[str, Any] | None, settings: Settings | None = None
    ) -> None:
        self._default = name
        self._options = options or {}
        self._routes = None if settings is None else RouteTable(settings)
        self._within_s = COMPARATOR_S if settings is None else settings.shadow.comparator_timeout_s
        self._made: dict[str, Comparator] = {}
        if name is not None:
            self._get(name, self._options)

    def check(self, row: Row) -> None:
        """Raise `ConfigError` before money is spent on an answer that could not be scored."""
        if row.expected is not None:
            self._for(row)

    async def score(self, row: Row, completion: Completion) -> tuple[float | None, str | None]:
        """The agreement with `expected` and why; (None, None) when nothing is expected."""
        if row.expected is None:
            return None, None
        answer = Pair(
            "",
            completion.text,
            shadow_data=completion.data,
            shadow_tool_calls=completion.tool_calls,
            shadow_ending=_ending(completion),
        )
        verdict = await compare_aside(self._for(row), _expected_pair(answer, row), within_s=self._within_s)
        return verdict.agreement, verdict.reason

    def score_stored(
        self, row: Row, text: str, tool_calls: str | None = None, ended: Ending | None = None
    ) -> tuple[float | None, str]:
        """The agreement of an answer that was stored with what the row expects, and why."""
        answer = stored_pair("", text, shadow_tool_calls=tool_calls, shadow_ending=ended)
        verdict = compare(self._for(row), _expected_pair(answer, row))
        return verdict.agreement, verdict.reason

    def name_for(self, row: Row) -> str:
        """The comparator that a row's answers are scored with."""
        return self._asked_for(row)[0]

    def options_for(self, row: Row) -> Mapping[str, Any]:
        """The options that a row, or its route, has for that comparator."""
        return row.options if row.comparator is not None else self._of_route(row)[1]

    def signature(self, row: Row) -> str:
        """What a row's scores are signed with; that they measure likeness is said where no name says it."""
        own = self._for(row)
        is_own_likeness = own.is_likeness and own.name not in SIMILARITIES
        return f"replay: {self.name_for(row)}{OWN_LIKENESS if is_own_likeness else ''}"

    def _for(self, row: Row) -> Comparator:
        name, options = self._asked_for(row)
        return self._get(name, options, registered_comparator if row.comparator is not None else comparator)

    def _asked_for(self, row: Row) -> tuple[str, Mapping[str, Any]]:
        if row.comparator is not None:
            return row.comparator, row.options
        if self._default is not None:
            return self._default, self._options
        name, options = self._of_route(row)
        if name not in ("", _FOR_ANY_TEXT):
            return name, options
        if row.tools and _expected_calls(row.expected):
            return "tools", {}
        return ("json", {}) if isinstance(row.expected, (dict, list)) else (_FOR_ANY_TEXT, options)

    def _of_route(self, row: Row) -> tuple[str, Mapping[str, Any]]:
        """What the shadow of the row's route is compared with; "" for none, and for a judge."""
        if self._routes is None or self._default is not None:
            return "", {}
        try:
            shadow = self._routes.resolve(row.task_type).shadow
        except RoutingError:  # the call says so
            return "", {}
        if shadow is None or shadow.comparator == Judge.name:
            return "", {}
        return shadow.comparator, shadow.options

    def _get(self, name: str, options: Mapping[str, Any], make: _Make = comparator) -> Comparator:
        key = json.dumps([name, options, make is comparator], sort_keys=True, default=repr)
        if key not in self._made:
            made = make(name, options)
            if isinstance(made, Judge):
                raise ConfigError(
                    "comparator `judge` cannot score a replay: judge its pairs in the ledger instead"
                )
            self._made[key] = made
        return self._made[key]


def _expected_pair(answer: Pair, row: Row) -> Pair:
    """The pair of what the row expects and `answer`, which is its shadow's side.

    Calls are expected where the row offers tools or the answer calls some; else they are data.
    """
    calls = _expected_calls(row.expected)
    if calls and (row.tools or answer.shadow_tool_calls):
        return replace(answer, primary_tool_calls=calls, schema=row.schema)
    expected, data = _text_and_data(row.expected)
    return replace(answer, primary_text=expected, primary_data=data, schema=row.schema)


def _expected_calls(expected: Any) -> tuple[ToolCall, ...]:
    """The calls in `[{"name": ..., "arguments": {...}}]`, or in an object with that under `tool_calls`, or
    in the JSON of either; none unless all of it are calls.
    """
    value = _text_and_data(expected)[1]
    if isinstance(value, dict) and set(value) == {"tool_calls"}:
        value = value["tool_calls"]
    if not isinstance(value, list) or not all(map(is_call, value)):
        return ()
    return read_calls(value)


def _ending(completion: Completion) -> Ending:
    said = completion.metadata
    has_answer = bool(completion.tool_calls) or not is_blank(completion.text)
    return ending(said.stop_reason, token_limited=said.token_limited, has_answer=has_answer)


def expected_text(expected: Any) -> str:
    """An expected answer as it is written down: a text as it is, anything else as JSON."""
    return expected if isinstance(expected, str) else json.dumps(expected, default=str, ensure_ascii=False)


def _text_and_data(expected: Any) -> tuple[str, Any]:
    """An expected answer as text, and decoded when it is an object or a list, or the JSON of one."""
    if not isinstance(expected, str):
        return expected_text(expected), expected if isinstance(expected, (dict, list)) else None
    if not expected.lstrip().startswith(("{", "[")):
        return expected, None
    try:
        return expected, json.loads(expected)
    except (ValueError, RecursionError):
        return expected, None
