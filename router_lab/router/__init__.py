"""Routing and the accounting boundary around every call.

In comes what is asked, by its task type; out go its answer, rows of what it cost, and pairs.
Begin with `router`.
`Router` is loaded on first use: the ledger and the analysis import single modules of this package
(ports, estimators) and must not pull in providers and HTTP clients with them.

Neighbours use `budgets`, `offline`, `ports`, `pricing`, `probes` and `routing`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router_lab.router.router import Router

__all__ = ["Router"]


def __getattr__(name: str) -> Any:
    if name == "Router":
        return import_module("router_lab.router.router").Router
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
