"""Decide, with evidence, whether a cheaper language model can replace the one you pay for.

Everything here is imported on first use, so that `import router_lab` costs next to nothing and
pandas, matplotlib and ipywidgets are loaded only by those who use them.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from router_lab.errors import (
    BudgetExceededError,
    CircuitOpenError,
    ConfigError,
    ContextOverflowError,
    LedgerError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
    RoutingError,
    UnpricedModelError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from router_lab import analysis, panels, replay, settings, sim
    from router_lab.analysis import plots
    from router_lab.ledger import Ledger
    from router_lab.recomparison import recompare
    from router_lab.records import Completion, Message, Score, Tool
    from router_lab.router import Router
    from router_lab.spot_checking import spot_checks

__version__ = "0.1.0"

# A library is quiet until its user configures logging: alerts are rows and callbacks besides.
logging.getLogger("router_lab").addHandler(logging.NullHandler())

__all__ = [
    "BudgetExceededError",
    "CircuitOpenError",
    "Completion",
    "ConfigError",
    "ContextOverflowError",
    "Ledger",
    "LedgerError",
    "Message",
    "ProviderError",
    "ResponseParseError",
    "Router",
    "RouterLabError",
    "RoutingError",
    "Score",
    "Tool",
    "UnpricedModelError",
    "UnsupportedError",
    "analysis",
    "panels",
    "plots",
    "recompare",
    "replay",
    "settings",
    "sim",
    "spot_checks",
]

_LAZY = {
    "Completion": ("router_lab.records", "Completion"),
    "Ledger": ("router_lab.ledger", "Ledger"),
    "Message": ("router_lab.records", "Message"),
    "Router": ("router_lab.router", "Router"),
    "Score": ("router_lab.records", "Score"),
    "Tool": ("router_lab.records", "Tool"),
    "analysis": ("router_lab.analysis", None),
    "panels": ("router_lab.panels", None),
    "plots": ("router_lab.analysis.plots", None),
    "recompare": ("router_lab.recomparison", "recompare"),
    "replay": ("router_lab.replay", None),
    "settings": ("router_lab.settings", None),
    "sim": ("router_lab.sim", None),
    "spot_checks": ("router_lab.spot_checking", "spot_checks"),
}


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value: Any = import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext router_lab` adds `%%route` and `%ledger`; see `router_lab.jupyter`."""
    from router_lab import jupyter

    jupyter.load_ipython_extension(shell)
