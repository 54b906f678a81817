"""Every panel over one ledger, in tabs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.panels.compare.compare_panel import ComparePanel
from router_lab.panels.divisor_panel import DivisorPanel
from router_lab.panels.monitor_panel import MonitorPanel
from router_lab.panels.panel import Panel, close_within
from router_lab.panels.spend_panel import SpendPanel
from router_lab.panels.switch_panel import SwitchPanel
from router_lab.panels.truncation_panel import TruncationPanel
from router_lab.panels.verdict_panel import HEADING, VerdictPanel
from router_lab.shown.escape import Html, plain, tag
from router_lab.shown.style import TABS_CLASS, TABS_STYLE, note, page

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

_PANELS: tuple[tuple[str, Callable[[Any], Panel[Any]]], ...] = (
    (HEADING, VerdictPanel),
    ("Compare", ComparePanel),
    ("Switch", SwitchPanel),
    ("May we stop?", MonitorPanel),
    ("Money", SpendPanel),
    ("Truncation", TruncationPanel),
    ("Tokens", DivisorPanel),
)
_TITLES = tuple(title for title, _ in _PANELS)


class Dashboard(widgets.Tab):  # type: ignore[misc] # ipywidgets has no types
    """Panels in tabs; each is made when its tab is first opened. `.panels` has those made so far by title.

    In a notebook a tab is read on another thread, so that what runs in the kernel goes on meanwhile.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._opening: dict[str, asyncio.Task[None]] = {}
        self.panels: dict[str, Panel[Any]] = {}
        super().__init__([widgets.VBox() for _ in _PANELS], titles=list(_TITLES), selected_index=0)
        self.add_class(TABS_CLASS)
        self._style = widgets.HTML(TABS_STYLE, layout=widgets.Layout(display="none"))
        self._try(_TITLES[0])
        self.observe(lambda _: self._open(_TITLES[self.selected_index or 0]), names="selected_index")

    def show(self, title: str) -> Panel[Any]:
        """Open the tab with this title and return its panel; raises what making it raises."""
        if title not in _TITLES:
            raise ConfigError(
                f"no tab {title!r}; there are {', '.join(_TITLES)}{nearest_hint(title, _TITLES)}"
            )
        if title not in self.panels:
            self._place(title, self._made(title))
        self.selected_index = _TITLES.index(title)
        return self.panels[title]

    def close(self) -> None:
        """Close every panel and take the tabs off the page."""
        for task in self._opening.values():
            task.cancel()
        close_within(self)
        self.layout.close()
        super().close()

    def __repr__(self) -> str:
        return f"Dashboard({', '.join(_TITLES)})"

    def _open(self, title: str) -> None:
        if title in self.panels or title in self._opening:
            return
        self._say(title, "Reading the ledger …")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._try(title)
        else:
            self._opening[title] = loop.create_task(self._open_aside(title))

    async def _open_aside(self, title: str) -> None:
        try:
            panel = await asyncio.to_thread(self._made, title)
        except Exception as error:
            self._say(title, plain(error, limit=500), warning=True)
        else:
            if title not in self.panels:  # a cell may have asked for it meanwhile
                self._place(title, panel)
        finally:
            del self._opening[title]

    def _try(self, title: str) -> None:
        try:
            self._place(title, self._made(title))
        except Exception as error:
            # A front-end would swallow it: the tab says it, and tries again when opened again.
            self._say(title, plain(error, limit=500), warning=True)

    def _made(self, title: str) -> Panel[Any]:
        return dict(_PANELS)[title](self._ledger)

    def _place(self, title: str, panel: Panel[Any]) -> None:
        self.panels[title] = panel
        self._fill(title, panel)

    def _say(self, title: str, text: str, *, warning: bool = False) -> None:
        said = widgets.HTML(page(note(text, warning=warning)))
        self._fill(title, said)

    def _fill(self, title: str, shown: widgets.Widget) -> None:
        place = _TITLES.index(title)
        self.children[place].children = [shown] if place else [shown, self._style]

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**options)
        return {**bundle, "text/plain": repr(self), "text/html": page(self._static())}

    def _static(self) -> Html:
        return tag("div", *[panel._static() for panel in self.panels.values()])


def dashboard(ledger: Ledger) -> Dashboard:
    """All panels over `ledger`, in tabs."""
    return Dashboard(ledger)
