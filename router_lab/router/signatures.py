"""Methods that take what another takes, written out once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
