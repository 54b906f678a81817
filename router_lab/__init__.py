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
    NotRecordedError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
    RoutingError,
    UnpricedModelError,
    UnsupportedError,
)
from router_lab.extras import imported
from router_lab.nearest import nearest_hint

if TYPE_CHECKING:
    from router_lab import analysis, panels, replay, scores, settings, sim, steering
    from router_lab.analysis import plots, race, verdict
    from router_lab.ledger import Ledger
    from router_lab.records import Completion, Message, Score, Tool
    from router_lab.reference import explain as help  # noqa: A004 - rl.help(...) reads well
    from router_lab.router import Router
    from router_lab.scores import recompare, spot_checks
    from router_lab.steering import steer

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
    "NotRecordedError",
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
    "help",
    "panels",
    "plots",
    "race",
    "recompare",
    "replay",
    "scores",
    "settings",
    "sim",
    "spot_checks",
    "steer",
    "steering",
    "verdict",
]

_LAZY = {
    "Completion": ("router_lab.records", "Completion"),
    "Ledger": ("router_lab.ledger", "Ledger"),
    "Message": ("router_lab.records", "Message"),
    "Router": ("router_lab.router", "Router"),
    "Score": ("router_lab.records", "Score"),
    "Tool": ("router_lab.records", "Tool"),
    "analysis": ("router_lab.analysis", None),
    "help": ("router_lab.reference", "explain"),
    "panels": ("router_lab.panels", None),
    "plots": ("router_lab.analysis.plots", None),
    "race": ("router_lab.analysis", "race"),
    "recompare": ("router_lab.scores", "recompare"),
    "replay": ("router_lab.replay", None),
    "scores": ("router_lab.scores", None),
    "settings": ("router_lab.settings", None),
    "sim": ("router_lab.sim", None),
    "spot_checks": ("router_lab.scores", "spot_checks"),
    "steer": ("router_lab.steering", "steer"),
    "steering": ("router_lab.steering", None),
    "verdict": ("router_lab.analysis", "verdict"),
}


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        hint = (
            "" if name.startswith("_") else nearest_hint(name, __all__) or f"; rl.help({name!r}) looks for it"
        )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}") from None
    with imported():
        value: Any = import_module(module)
        if attribute is not None:
            value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext router_lab` adds `%%route` and `%ledger`; see `router_lab.panels.magics`."""
    with imported():
        from router_lab.panels import magics

    magics.load_ipython_extension(shell)
