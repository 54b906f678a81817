"""What all replays take, checked before anything is read or sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from router_lab import arguments
from router_lab.arguments import optional

_TASK_TYPE = "a task type, or None"


def check_arguments(**given: Any) -> None:
    """Raises `ConfigError` for an argument that means nothing, by its name."""
    for name, value in given.items():
        _CHECKS[name](name, value)


def _router(name: str, value: Any) -> None:
    if not hasattr(value, "settings") or not hasattr(value, "complete"):
        raise arguments.wrong(name, value, "a Router, such as rl.Router.from_yaml('config/router.yaml')")


def _options(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise arguments.wrong(name, value, "a mapping of the comparator's options, or None")


def _resume(name: str, value: Any) -> None:
    is_ids = isinstance(value, Collection) and not isinstance(value, str | bytes)
    if not isinstance(value, bool) and not is_ids:
        raise arguments.wrong(name, value, "True, False, or a set of ids")


def _progress(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, bool) and not callable(value):
        raise arguments.wrong(name, value, "True for a bar, or a function of (done, total)")


def _confirm(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise arguments.wrong(name, value, "a function that is given the Plan and says whether to go on")


_CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "router": _router,
    "concurrency": arguments.whole,
    "repeats": arguments.whole,
    "sample": lambda name, value: optional(arguments.whole, name, value),
    "seed": lambda name, value: arguments.whole(name, value, least=0),
    "task_type": lambda name, value: optional(arguments.text, name, value, _TASK_TYPE),
    "within": lambda name, value: optional(arguments.text, name, value, _TASK_TYPE),
    "model": lambda name, value: optional(arguments.text, name, value, "an alias of `models`, or None"),
    "comparator": lambda name, value: optional(arguments.text, name, value, "a comparator's name, or None"),
    "options": _options,
    "resume": _resume,
    "progress": _progress,
    "confirm": _confirm,
    "strict": arguments.flag,
    "reuse": arguments.flag,
    "batch": arguments.flag,
}
