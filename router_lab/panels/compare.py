"""Pairs side by side, differing first, with filters, paging and verdicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.errors import ConfigError
from router_lab.escape import SHOWN_CHARACTERS, Html, plain, tag
from router_lab.panels.base import ROW, WIDE, Panel, control
from router_lab.panels.cards import STATUS_WORDS, card
from router_lab.panels.pairs import Choices, PairFilter, Summary
from router_lab.panels.sources import pair_source
from router_lab.panels.style import note, page, title
from router_lab.panels.verdicts import VERDICTS, HumanVerdict, StoreVerdict, VerdictWord
from router_lab.records import Comparison

if TYPE_CHECKING:
    import pandas as pd

WHOLE_CHARACTERS = 100_000
# What a dropdown holds when it does not filter: ipywidgets takes None for "nothing chosen yet".
_ANY = object()
# A dropdown stays usable; the rarer values can still be reached with `.filter()`.
_MOST_CHOICES = 300


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything one drawing of the panel needs."""

    choices: Choices
    summary: Summary
    pages: int
    number: int
    pairs: list[Comparison]
    prompts: dict[str, str]


class ComparePanel(Panel[Shown]):
    """Primary and shadow answers side by side.

    `source` is a ledger, its tables, a frame of comparisons, or a path. `on_verdict` stores what the
    reader says of a pair; without it, verdicts stay in `.verdicts` of this panel. A million pairs are
    fine: the database filters and sorts, and only the page in view is read.

    Raises `ConfigError` when `source` is none of these, and says what is accepted.
    """

    def __init__(
        self, source: object, *, page_size: int = 10, on_verdict: StoreVerdict | None = None
    ) -> None:
        self._source = pair_source(source)
        self._page_size = page_size
        self._store = on_verdict
        self._filter = PairFilter()
        self._number = 1
        self._drawing = False
        self._shown: Shown | None = None
        self._verdicts: dict[str, HumanVerdict] = {}
        self._body = widgets.HTML(layout=WIDE)
        self._make_controls()
        super().__init__(
            widgets.HTML(page(title("Primary and shadow, side by side"))),
            widgets.HBox([self.task_type, self.models, self.pair_status, self.epoch], layout=ROW),
            widgets.HBox([self.agreement, self.search, self.order, self.whole], layout=ROW),
            widgets.HBox([self.previous, self.page_number, self.next, self.again], layout=ROW),
            self._body,
            widgets.HBox([self.pair_number, self.verdict, self.remark, self.save], layout=ROW),
        )
        self.refresh()
        self._listen()

    # What a reader does; each is also a method to call from a cell.

    def filter(self, **changes: Any) -> None:
        """Change the filter (fields of `PairFilter`) and go to the first page: `filter(task_type="code")`."""
        try:
            wanted = PairFilter(**{**asdict(self._filter), **changes})
        except TypeError as error:
            raise ConfigError(f"{error}; filters are {', '.join(asdict(self._filter))}") from None
        self._filter, self._number = wanted, 1
        self._draw(self._read())

    def go_to(self, number: int) -> None:
        """Show page `number`, or the nearest there is."""
        self._number = number
        self._draw(self._read())

    def mark(self, number: int, verdict: VerdictWord, note: str = "") -> HumanVerdict:
        """Give the pair with this `number` on the page a verdict; store it, then show it as saved."""
        if verdict not in VERDICTS:
            raise ConfigError(f"verdict {verdict!r}: choose one of {', '.join(VERDICTS)}")
        pairs = self._now.pairs
        if not 1 <= number <= len(pairs):
            raise ConfigError(f"pair {number}: this page shows pairs 1 to {len(pairs)}")
        pair = pairs[number - 1]
        said = HumanVerdict(
            comparison_id=pair.comparison_id, task_type=pair.task_type, verdict=verdict, note=note
        )
        if self._store is not None:
            self._store(said)
        self._verdicts[pair.comparison_id] = said
        self._draw_pairs(self._now)
        where = "saved" if self._store is not None else "kept in this panel's .verdicts"
        self.say(f"Pair {number}: {verdict}, {where}.")
        return said

    def selection(self) -> pd.DataFrame:
        """All pairs that pass the filters, in the order shown, with the columns of `ledger.comparisons()`."""
        return self._source.frame(self._filter)

    @property
    def verdicts(self) -> pd.DataFrame:
        """The verdicts given in this panel: comparison_id, task_type, verdict, note."""
        import pandas as pd

        names = list(HumanVerdict.__dataclass_fields__)
        return pd.DataFrame([asdict(said) for said in self._verdicts.values()], columns=names)

    def __repr__(self) -> str:
        shown = self._now
        counts = shown.summary
        return (
            f"ComparePanel({counts.pairs:,} pairs, {counts.complete:,} complete, "
            f"{counts.differing:,} differ; page {shown.number} of {shown.pages})"
        )

    # Reading and drawing.

    @property
    def _now(self) -> Shown:
        assert self._shown is not None  # noqa: S101 - the constructor draws before anyone can ask
        return self._shown

    def _read(self) -> Shown:
        summary = self._source.summary(self._filter)
        pages = max(1, -(-summary.pairs // self._page_size))
        number = min(max(1, self._number), pages)
        pairs = self._source.page(self._filter, number, self._page_size)
        return Shown(self._source.choices(), summary, pages, number, pairs, self._source.prompts(pairs))

    def _reread(self) -> Shown:
        self._source.reopen()
        return self._read()

    def _draw(self, data: Shown) -> None:
        self._shown, self._number = data, data.number
        self._drawing = True
        try:
            self._draw_controls(data)
        finally:
            self._drawing = False
        self._draw_pairs(data)
        self.say("" if data.pairs else "No pair passes these filters: widen one of them.")

    def _draw_controls(self, data: Shown) -> None:
        wanted = self._filter
        _offer(self.task_type, data.choices.task_types, wanted.task_type)
        _offer(self.models, data.choices.models, wanted.models, label=_models_label)
        _offer(self.pair_status, data.choices.statuses, wanted.status, label=_status_label)
        _offer(self.epoch, data.choices.epochs, wanted.epoch)
        self.agreement.value = wanted.agreement
        self.search.value = plain(wanted.search)
        self.order.value = wanted.order
        self.page_number.max = data.pages
        self.page_number.value = data.number
        self.page_number.description = f"Page (of {data.pages:,})"
        self.previous.disabled = data.number == 1
        self.next.disabled = data.number == data.pages
        self.pair_number.max = max(1, len(data.pairs))
        self.save.disabled = not data.pairs

    def _draw_pairs(self, data: Shown) -> None:
        self._body.value = page(self._pairs_html(data, live=True))

    def _pairs_html(self, data: Shown, *, live: bool) -> Html:
        limit = WHOLE_CHARACTERS if self.whole.value else SHOWN_CHARACTERS
        cards = [
            card(
                number,
                pair,
                limit=limit,
                prompt=data.prompts.get(pair.comparison_id),
                verdict=self._said_of(pair),
                live=live,
            )
            for number, pair in enumerate(data.pairs, start=1)
        ]
        return tag("div", note(_summed_up(data)), tag("div", style="height:8px"), *cards)

    def _said_of(self, pair: Comparison) -> str:
        said = self._verdicts.get(pair.comparison_id)
        if said is None:
            return ""
        return f"{said.verdict} ({said.note})" if said.note else said.verdict

    def _static(self) -> Html:
        return tag("div", title("Primary and shadow, side by side"), self._pairs_html(self._now, live=False))

    # Controls and what they do.

    def _make_controls(self) -> None:
        self.task_type = control(widgets.Dropdown, "Task type", options=[("any", _ANY)])
        self.models = control(widgets.Dropdown, "Models", options=[("any", _ANY)])
        self.pair_status = control(widgets.Dropdown, "Status", options=[("any", _ANY)])
        self.epoch = control(widgets.Dropdown, "Epoch", options=[("any", _ANY)])
        self.agreement = control(
            widgets.FloatRangeSlider,
            "Agreement",
            width="330px",
            min=0.0,
            max=1.0,
            step=0.01,
            value=(0.0, 1.0),
            continuous_update=False,
        )
        self.search = control(widgets.Text, "Search", width="260px", continuous_update=False)
        self.order = control(widgets.Dropdown, "Order", options=["differing first", "newest first"])
        self.whole = control(widgets.Checkbox, "Whole texts", indent=False)
        self.previous = control(widgets.Button, "Previous page")
        self.next = control(widgets.Button, "Next page")
        self.again = control(widgets.Button, "Refresh", tooltip="Read the ledger again")
        self.page_number = control(widgets.BoundedIntText, "Page", width="170px", min=1, max=1, value=1)
        self.pair_number = control(widgets.BoundedIntText, "Verdict on pair", width="160px", min=1, value=1)
        self.verdict = control(widgets.Dropdown, "is", options=VERDICTS)
        self.remark = control(widgets.Text, "Note", width="260px")
        self.save = control(widgets.Button, "Save verdict", button_style="primary")

    def _listen(self) -> None:
        filters = (
            self.task_type,
            self.models,
            self.pair_status,
            self.epoch,
            self.agreement,
            self.search,
            self.order,
        )
        for one in filters:
            one.observe(self._guarded(self._on_filter), names="value")
        self.page_number.observe(self._guarded(self._on_page), names="value")
        self.whole.observe(self._guarded(lambda: self._draw_pairs(self._now)), names="value")
        self.previous.on_click(self._guarded(lambda: self.go_to(self._number - 1)))
        self.next.on_click(self._guarded(lambda: self.go_to(self._number + 1)))
        self.again.on_click(self._guarded(self.refresh))
        self.save.on_click(self._guarded(self._on_save))

    def _on_filter(self) -> None:
        if self._drawing:
            return
        self.filter(
            task_type=_chosen(self.task_type),
            models=_chosen(self.models),
            status=_chosen(self.pair_status),
            epoch=_chosen(self.epoch),
            agreement=tuple(self.agreement.value),
            search=self.search.value,
            order=self.order.value,
        )

    def _on_page(self) -> None:
        if not self._drawing:
            self.go_to(self.page_number.value)

    def _on_save(self) -> None:
        self.mark(self.pair_number.value, self.verdict.value, self.remark.value.strip())
        self.remark.value = ""


def _offer(dropdown: Any, values: tuple[Any, ...], chosen: Any, label: Any = plain) -> None:
    """The commonest `values` as options, whatever text they are made of, keeping `chosen` chosen."""
    offered = list(values[:_MOST_CHOICES])
    if chosen is not None and chosen not in offered:
        offered.append(chosen)
    options = [("any", _ANY), *((label(value), value) for value in offered)]
    if tuple(options) != tuple(dropdown.options):
        dropdown.options = options
    dropdown.value = _ANY if chosen is None else chosen


def _chosen(dropdown: Any) -> Any:
    return None if dropdown.value is _ANY else dropdown.value


def _models_label(models: tuple[str, str]) -> str:
    return plain(f"{models[0]} → {models[1]}")


def _status_label(status: str) -> str:
    words = STATUS_WORDS.get(status)
    return plain(f"{status}: {words}" if words else status)


def _summed_up(data: Shown) -> str:
    counts = data.summary
    parts = [f"{counts.pairs:,} pairs", f"{counts.complete:,} complete"]
    if counts.complete:
        parts.append(f"{counts.differing:,} of them differ")
    if counts.mean_agreement is not None:
        parts.append(f"mean agreement {counts.mean_agreement:.3f}")
    return " · ".join(parts) + f" · page {data.number:,} of {data.pages:,}"
