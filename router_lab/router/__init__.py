"""Routing and the accounting boundary around every call.

`Router` is loaded on first use: the ledger and the analysis import single modules of this package
(ports, estimators) and must not pull in providers and HTTP clients with them.
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
