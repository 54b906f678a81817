"""A panel of figures: a sentence that states the finding, a picture, and tables under it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.analysis.ledger_tables import arrow_of
from router_lab.counted import counted
from router_lab.panels.panel import ROW, WIDE, Panel, control
from router_lab.shown.escape import (
    Html,
    plain,
    show,
    tag,
)
from router_lab.shown.figure import picture_html
from router_lab.shown.style import (
    note,
    page,
    table,
    title,
    usd,
)

if TYPE_CHECKING:
    import pandas as pd

_READING = "Reading the ledger …"

_MOST_ROWS = 25
_SHARES = ("rate", "low", "high", "share", "miss_rate", "worst_500", "mean_excess", "agreement")
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a `SheetPanel` shows. `selection` is the frame given back; `tables` are headed frames, `notes`
    the lines under them.

    `timed` names columns left out of the static form because they differ between equal runs. A `body` is
    shown in place of all of them. The title of a plot that says what `sentence` does is left out.
    """

    sentence: str
    selection: pd.DataFrame = field(repr=False)
    tables: tuple[tuple[str, pd.DataFrame], ...] = field(default=(), repr=False)
    plot: Any = field(default=None, repr=False)
    plot_is_titled: bool = True
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    timed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    body: Html | None = field(default=None, repr=False)


class SheetPanel(Panel[Sheet]):
    """Base of the panels that show figures. A subclass names its title, makes controls and reads a sheet.

    Of a ledger with more than `read_aside_above` attempts a notebook first shows the empty panel; asking for
    its `selection()` or `plot` waits for the figures.
    """

    heading = ""
    read_aside_above = 1_000_000
    _open: Callable[[], Any]

    def __init__(self, *controls: widgets.Widget, opened: Sequence[widgets.Widget] = ()) -> None:
        self._sheet: Sheet | None = None
        self._drawing = False
        self._body = widgets.HTML(layout=WIDE)
        self.again = control(widgets.Button, "Refresh", tooltip="Read the ledger again")
        super().__init__(
            widgets.HTML(page(title(self.heading))),
            widgets.HBox([*controls, self.again], layout=ROW),
            # Above the figures: what a button opens would be out of sight below them.
            *opened,
            self._body,
        )
        if _in_a_notebook() and arrow_of(self._open().attempts.count()).as_py() > self.read_aside_above:
            self._read_aside()
        else:
            self.refresh()
        self.again.on_click(self._guarded(self.refresh))
        for one in controls:
            if not isinstance(one, widgets.Button):
                one.observe(self._guarded(self._on_change), names="value")

    def selection(self) -> pd.DataFrame:
        """The frame behind what is shown."""
        return self._now.selection

    @property
    def plot(self) -> Any:
        """The plot shown, with its `.data`; None when there is none."""
        return self._now.plot

    def __repr__(self) -> str:
        words = _READING if self._sheet is None else self._sheet.sentence
        return f"{type(self).__name__}({words if len(words) < 85 else words[:84] + '…'})"

    @property
    def _now(self) -> Sheet:
        if self._sheet is None:
            self._draw(self._reading.result())
        assert self._sheet is not None  # noqa: S101 - drawn just now
        return self._sheet

    def _read_aside(self) -> None:
        self._body.value = page(note(_READING))
        loop = asyncio.get_running_loop()
        with_one_thread = ThreadPoolExecutor(1, "router_lab panel")
        self._reading: Future[Sheet] = with_one_thread.submit(self._newest)
        with_one_thread.shutdown(wait=False)
        arrived = self._guarded(lambda: None if self._sheet else self._draw(self._reading.result()))

        def tell(_: Future[Sheet]) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody looks any more
                loop.call_soon_threadsafe(arrived)

        self._reading.add_done_callback(tell)

    def _on_change(self) -> None:
        if not self._drawing:
            self.refresh()

    def _draw(self, data: Sheet) -> None:
        self._sheet = data
        self._drawing = True
        try:
            for name, values in data.choices.items():
                _offer(getattr(self, name), values)
        finally:
            self._drawing = False
        self._body.value = page(_sheet_html(data, live=True))
        self.say("")

    def _static(self) -> Html:
        body = note(_READING) if self._sheet is None else _sheet_html(self._sheet, live=False)
        return tag("div", title(self.heading), body)


def _in_a_notebook() -> bool:
    """Whether an event loop is running, as it is in a cell."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def chooser(description: str, everything: str = _ALL) -> Any:
    """A dropdown filled from what the sheet says there is."""
    return control(widgets.Dropdown, description, options=[(everything, "")], value="")


def chosen(dropdown: Any) -> str | None:
    """What is chosen, None for everything."""
    return dropdown.value or None


def in_words(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names of columns as options that read well."""
    return [(name.replace("_", " "), name) for name in names]


def picture(plot: Any) -> Html:
    """A plot as an inline picture whose alternative text is its key numbers."""
    return picture_html(plot._repr_png_(), repr(plot))


def frame_html(frame: pd.DataFrame, without: tuple[str, ...] = ()) -> Html:
    """A frame as a table: units from the columns' names, at most `_MOST_ROWS` rows and a note."""
    shown = frame.drop(columns=[name for name in without if name in frame.columns]).head(_MOST_ROWS)
    if shown.empty:
        return show("nothing yet")
    names = [str(name) for name in shown.columns]
    numbers = frozenset(place for place, kind in enumerate(shown.dtypes) if kind.kind in "iuf")
    rows: list[list[object]] = [
        [_cell(name, value) for name, value in zip(names, row, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    made = table([_headed(name) for name in names], rows, numbers=numbers)
    rest = len(frame) - len(shown)
    return made if rest <= 0 else Html(made + show(f"… {counted(rest, 'more rows')}"))


def _sheet_html(sheet: Sheet, *, live: bool) -> Html:
    if sheet.body is not None:
        return sheet.body
    parts = [note(sheet.sentence)]
    if sheet.plot is not None:
        # A viewer that does not trust a saved notebook drops SVG and keeps pictures.
        drawn = sheet.plot.html(titled=sheet.plot_is_titled) if live else picture(sheet.plot)
        parts.append(drawn)
    for heading, frame in sheet.tables:
        parts.append(tag("div", show(heading), style="margin:8px 0 4px 0;font-weight:600"))
        parts.append(frame_html(frame, () if live else sheet.timed))
    parts += [tag("div", show(line), style="margin:2px 0") for line in sheet.notes]
    return tag("div", *parts)


def _headed(name: str) -> str:
    """A column's name in words; the dollars are in its cells."""
    return name.removesuffix("_usd").replace("usd_", "cost_").replace("_", " ")


def _cell(name: str, value: Any) -> object:
    if value is None or value != value or str(value) in ("NaT", "inf"):
        return None
    if isinstance(value, str):
        return value
    if name.endswith("_usd") or name.startswith("usd_"):
        return usd(float(value))
    if name == "inputs_needed":
        return f"{value:,.0f}"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if hasattr(value, "strftime"):
        return f"{value:%Y-%m-%d %H:%M}"
    if name in _SHARES or name.endswith(("_rate", "_share")):
        return f"{float(value):.1%}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:#.4g}"
    return f"{value:,}" if isinstance(value, int) else value


def _offer(dropdown: Any, values: tuple[str, ...]) -> None:
    everything = dropdown.options[0]
    options = (everything, *((plain(value), value) for value in values))
    if tuple(dropdown.options) == options:
        return
    kept = dropdown.value
    dropdown.options = options
    dropdown.value = kept if kept in values else everything[1]
