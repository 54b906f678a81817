"""Every panel over one ledger, in tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.escape import Html, plain, tag
from router_lab.panels.base import Panel
from router_lab.panels.compare import ComparePanel
from router_lab.panels.divisor import DivisorPanel
from router_lab.panels.monitor import MonitorPanel
from router_lab.panels.spend import SpendPanel
from router_lab.panels.style import note, page
from router_lab.panels.switch import SwitchPanel
from router_lab.panels.truncation import TruncationPanel

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

_PANELS: tuple[tuple[str, Callable[[Any], Panel[Any]]], ...] = (
    ("Compare", ComparePanel),
    ("Switch", SwitchPanel),
    ("May we stop?", MonitorPanel),
    ("Money", SpendPanel),
    ("Truncation", TruncationPanel),
    ("Tokens", DivisorPanel),
)


class Dashboard(widgets.Tab):  # type: ignore[misc] # ipywidgets has no types
    """Panels in tabs; each is made when its tab is first opened. `.panels` has those made so far by title."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.panels: dict[str, Panel[Any]] = {}
        super().__init__(
            [widgets.VBox() for _ in _PANELS], titles=[title for title, _ in _PANELS], selected_index=0
        )
        self._open()
        self.observe(lambda _: self._open(), names="selected_index")

    def show(self, title: str) -> Panel[Any]:
        """Open the tab with this title and return its panel."""
        self.selected_index = [name for name, _ in _PANELS].index(title)
        return self.panels[title]

    def __repr__(self) -> str:
        return f"Dashboard({', '.join(title for title, _ in _PANELS)})"

    def _open(self) -> None:
        title, make = _PANELS[self.selected_index or 0]
        if title in self.panels:
            return
        place = self.children[self.selected_index or 0]
        try:
            self.panels[title] = make(self._ledger)
        except Exception as error:
            # A front-end would swallow it: the tab says it, and tries again when opened again.
            place.children = [widgets.HTML(page(note(plain(error, limit=500), warning=True)))]
            return
        place.children = [self.panels[title]]

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**options)
        return {**bundle, "text/plain": repr(self), "text/html": page(self._static())}

    def _static(self) -> Html:
        return tag("div", *[panel._static() for panel in self.panels.values()])


def dashboard(ledger: Ledger) -> Dashboard:
    """All panels over `ledger`, in tabs."""
    return Dashboard(ledger)
