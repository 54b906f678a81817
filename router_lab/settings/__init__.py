"""The YAML file: `load(path)` and `parse(text)` give `Settings`, or say everything that is wrong.

In comes YAML; out go frozen models, their defaults filled in. Begin with `models`; `loading` reads a file.

Neighbours use `checks`, `loading`, `models` and `price_list`.
"""

from __future__ import annotations

from router_lab.settings.loading import load, parse
from router_lab.settings.models import (
    CostSettings,
    ModelSettings,
    Price,
    PriceBand,
    RouteSettings,
    ScopeBudget,
    Settings,
    ShadowRoute,
)

__all__ = [
    "CostSettings",
    "ModelSettings",
    "Price",
    "PriceBand",
    "RouteSettings",
    "ScopeBudget",
    "Settings",
    "ShadowRoute",
    "load",
    "parse",
]
