"""Comparators by name: the built-in ones, and those users bring.

| name | agreement |
|---|---|
| `exact` | 1 when identical |
| `normalized` | 1 when equal but for case, spacing, punctuation and Unicode form |
| `text` | share of the words that both have in the same order |
| `similarity` | similarity of spelling, words in any order (rapidfuzz) |
| `json` | share of the fields that agree |
| `label` | 1 when both give the same label |
| `number` | 1 when the final numbers are equal |
| `tools` | share of the tool calls that agree |
| `embedding` | cosine of the embeddings (extra `embedding`) |
| `judge` | whether another model finds the shadow's answer no worse |

All of them compare whole answers: see `comparators/answer_comparator.py` for tool calls and for answers that
were cut, are empty, or were refused.

A user's own comparator is a function `f(pair, **options)` returning an agreement or a `PairVerdict`; one that
measures likeness, as `text`, `similarity` and `embedding` do, has the attribute `f.is_likeness = True`. It
is named in the YAML as `module:function`, or by its name in the entry point group
`router_lab.comparators` of an installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from router_lab import arguments
from router_lab.errors import ConfigError
from router_lab.nearest import nearest
from router_lab.records import Ending, Reply
from router_lab.router.answers.schema_checks import is_plain
from router_lab.router.answers.thoughts import separated
from router_lab.router.answers.tool_calls import read_calls
from router_lab.router.comparators.answer_comparator import Comparator
from router_lab.router.comparators.embedding import Embedding
from router_lab.router.comparators.judge import Judge, StoredPair
from router_lab.router.comparators.label import Label
from router_lab.router.comparators.number import Number
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, UserComparator, load_object
from router_lab.router.comparators.structure import Json
from router_lab.router.comparators.text import Exact, NormalisedText, Similarity, Text
from router_lab.router.comparators.tools import Tools
from router_lab.router.comparators.worker import PickledResult, TookTooLongError, Worker, aside
from router_lab.router.routing import RouteTable
from router_lab.settings.checks import explain
from router_lab.settings.models import Settings, ShadowSettings

__all__ = [
    "Comparator",
    "Judge",
    "Pair",
    "PairVerdict",
    "StoredPair",
    "Verdict",
    "comparator",
    "comparator_names",
    "compare",
    "compare_aside",
    "registered_comparator",
    "stored_pair",
]

GROUP = "router_lab.comparators"

# The name that comparators of users import; within the package it would be one name for two things.
Verdict = PairVerdict

# Longer answers are compared beside the event loop; much longer ones are no answers of a model.
_QUICK_CHARS = 2_000
MAX_CHARS = 200_000
COMPARATOR_S = ShadowSettings().comparator_timeout_s

_KINDS = (Embedding, Exact, Json, Judge, Label, NormalisedText, Number, Similarity, Text, Tools)
_BUILT_IN: Mapping[str, type[Options]] = MappingProxyType({kind.name: kind for kind in _KINDS})


def comparator(name: str, options: Mapping[str, Any] | None = None) -> Comparator | Judge:
    """The comparator called `name`, with its options checked.

    Every one but `Judge` is called with a `Pair`; a `Judge` needs a model, see `Judge.compare`.
    Raises `ConfigError` for an unknown name (with the nearest ones), an unknown or wrong option, and a
    missing extra.
    """
    is_named = isinstance(options, Mapping) and all(isinstance(one, str) for one in options)
    if options is not None and not is_named:
        raise arguments.wrong("options", options, "a mapping of a comparator's options by name, or None")
    given = dict(options or {})
    if name in _BUILT_IN:
        made = _configured(_BUILT_IN[name], given)
        return made if isinstance(made, Judge) else Comparator(made)
    if ":" in name:
        return Comparator(UserComparator(name, load_object(name, "comparator"), given))
    return Comparator(_from_entry_point(name, given))


def registered_comparator(name: str, options: Mapping[str, Any] | None = None) -> Comparator | Judge:
    """As `comparator()`, for a name and options that came with data: they may not say what to import.

    Only built-in comparators and those of installed packages have a name here. Raises `ConfigError` for
    `module:function`, and for an option that names code.
    """
    named = {"comparator": name} if ":" in name else {}
    if name in _BUILT_IN:
        named = {key: value for key, value in (options or {}).items() if key in _BUILT_IN[name].names_code}
    for key, value in named.items():
        raise ConfigError(
            f"`{key}: {str(value)[:200]}` would import code that the data names; data may name the "
            f"comparators {', '.join(comparator_names())}. Give your own as an argument, in the YAML, or as "
            f"an entry point in the group {GROUP}"
        )
    return comparator(name, options)


def route_comparators(settings: Settings) -> dict[str, Comparator | Judge]:
    """The comparator of every route with a shadow, by route name. Raises `ConfigError`, `RoutingError`."""
    routes = RouteTable(settings)
    found: dict[str, Comparator | Judge] = {}
    for name, route in settings.routing.items():
        if route.shadow is None:
            continue
        try:
            found[name] = chosen = comparator(route.shadow.comparator, route.shadow.options)
        except ConfigError as error:
            raise ConfigError(f"routing.{name}.shadow.comparator: {error}") from error
        if isinstance(chosen, Judge):
            routes.resolve(chosen.task_type)  # a judge without a route is an error now, not at the first pair
    return found


def built_in() -> tuple[type[Options], ...]:
    """The comparators that are always there; the fields of each are its options."""
    return _KINDS


def comparator_names() -> tuple[str, ...]:
    """Every name that `comparator()` knows here, installed entry points included, sorted."""
    return tuple(sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))}))


def compare(comparator: Comparator, pair: Pair) -> PairVerdict:
    """Compare, whatever happens: a comparator that raises gives a verdict with `failed` set."""
    try:
        if isinstance(pair.shadow_data, PickledResult):
            pair = replace(pair, shadow_data=pair.shadow_data.open())
        return comparator(pair)
    except Exception as error:  # it may be a user's code, on a model's output: anything can happen
        return PairVerdict(None, f"{type(error).__name__}: {error}"[:500], failed=True)


async def compare_aside(
    comparator: Comparator, pair: Pair, worker: Worker | None = None, *, within_s: float = COMPARATOR_S
) -> PairVerdict:
    """As `compare`, beside the event loop where it may take a while: for long answers and a user's code.

    What is not a user's is compared by the `worker`, if there is one. A comparison that takes more than
    `within_s` seconds has failed.
    """
    size = max(len(pair.primary_text), len(pair.shadow_text))
    if size > MAX_CHARS:
        return PairVerdict(None, f"an answer has {size:,} characters: beyond {MAX_CHARS:,} none is compared")
    texts = comparator.texts
    calls = pair.primary_tool_calls or pair.shadow_tool_calls
    is_quick = size <= _QUICK_CHARS and not calls and (pair.schema is None or is_plain(pair.schema))
    if is_quick and not isinstance(texts, (UserComparator, Embedding)):
        return compare(comparator, pair)
    work = partial(compare, comparator, pair)
    try:
        if worker is not None and not _is_users(texts):
            return await worker.run(work, within_s=within_s)
        return await aside(work, within_s=within_s)
    except TookTooLongError as error:
        return PairVerdict(None, f"the comparator {error}", failed=True)


def _is_users(texts: Options | UserComparator) -> bool:
    """Whether code of the user's compares, or encodes."""
    return isinstance(texts, UserComparator) or (isinstance(texts, Embedding) and texts.encoder is not None)


def stored_pair(
    primary_text: str | None,
    shadow_text: str | None,
    *,
    primary_tool_calls: str | None = None,
    shadow_tool_calls: str | None = None,
    primary_ending: Ending | None = None,
    shadow_ending: Ending | None = None,
) -> Pair:
    """Two stored answers as a pair: their data is read as the router reads it when none is demanded.

    Calls are canonical JSON, as rows have them. Thoughts that an older row left in a text are taken off;
    without an ending, a side is complete unless there is nothing in it.
    """
    primary, shadow = separated(primary_text or "")[0], separated(shadow_text or "")[0]
    return Pair(
        primary,
        shadow,
        _stored_data(primary),
        _stored_data(shadow),
        primary_tool_calls=read_calls(primary_tool_calls),
        shadow_tool_calls=read_calls(shadow_tool_calls),
        primary_ending=primary_ending or "complete",
        shadow_ending=shadow_ending or "complete",
    )


def _stored_data(text: str) -> Any:
    from router_lab.router.answers.data import read_answer

    return read_answer(Reply(text, usage=None, stop_reason=None, model=None), None, "auto")


def _configured(kind: type[Options], options: dict[str, Any]) -> Options:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise ConfigError(_explain(kind, error)) from None


def _explain(kind: type[Options], error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    known = sorted(kind.model_fields)
    if problem["type"] != "extra_forbidden":
        return f"comparator `{kind.name}`: option `{key}`: {explain(problem).message}"
    if not known:
        return f"comparator `{kind.name}`: option `{key}` is unknown; it takes no options"
    near = nearest(key, known)
    hint = f"did you mean `{near}`?" if near else f"it takes {', '.join(known)}"
    return f"comparator `{kind.name}`: option `{key}` is unknown; {hint}"


def _from_entry_point(name: str, options: dict[str, Any]) -> UserComparator:
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        known = comparator_names()
        near = nearest(name, known, cutoff=0.5)
        hint = f"did you mean `{near}`?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"comparator `{name}` is unknown; {hint}")
    try:
        function = found.load()
    except Exception as error:
        raise ConfigError(f"comparator `{name}`: cannot load {found.value!r}: {error}") from error
    if not callable(function):
        raise ConfigError(f"comparator `{name}`: {found.value!r} is not callable")
    return UserComparator(name, function, options)
