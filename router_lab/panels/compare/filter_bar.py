"""The controls that choose which pairs are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import ipywidgets as widgets

from router_lab.panels.compare.cards import STATUS_WORDS
from router_lab.panels.compare.pair_filter import Order, PairFilter, Scored
from router_lab.panels.compare.pair_query import Choices
from router_lab.panels.panel import ROW, WIDE, control
from router_lab.panels.slider_names import SliderNames
from router_lab.shown.escape import plain

# What a dropdown holds when it does not filter: ipywidgets takes None for "nothing chosen yet".
_ANY = object()
# A dropdown stays usable; the rarer values can still be reached with `.filter()`.
_MOST_CHOICES = 300


class FilterBar(widgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Shows a `PairFilter` and gives back the one a reader chose."""

    def __init__(self) -> None:
        self.task_type = _choice("Task type")
        self.models = _choice("Models")
        self.pair_status = _choice("Status")
        self.epoch = _choice("Epoch")
        self.agreement = control(
            widgets.FloatRangeSlider,
            "Agreement",
            width="350px",
            min=0.0,
            max=1.0,
            step=0.01,
            value=(0.0, 1.0),
            continuous_update=False,
        )
        self.search = control(widgets.Text, "Search", width="260px", continuous_update=False)
        self.order = control(widgets.Dropdown, "Order", options=list(get_args(Order)))
        self.scored = _choice("Scores")
        self._filters = [self.task_type, self.models, self.pair_status, self.epoch]
        self._others = [self.agreement, self.search, self.scored, self.order]
        super().__init__(
            [
                widgets.HBox(self._filters, layout=ROW),
                widgets.HBox(self._others, layout=ROW),
                SliderNames(),
            ],
            layout=WIDE,
        )

    def on_change(self, handler: Callable[..., None]) -> None:
        """Call `handler` when a reader, or `show`, changes a control."""
        for one in (*self._filters, *self._others):
            one.observe(handler, names="value")

    def chosen(self) -> PairFilter:
        """What the controls say."""
        return PairFilter(
            task_type=_chosen(self.task_type),
            models=_chosen(self.models),
            status=_chosen(self.pair_status),
            epoch=_chosen(self.epoch),
            agreement=tuple(self.agreement.value),
            search=self.search.value,
            order=self.order.value,
            scored=_chosen(self.scored),
        )

    def show(self, choices: Choices, wanted: PairFilter) -> None:
        """Offer what there is and show what is wanted."""
        _offer(self.task_type, choices.task_types, wanted.task_type)
        _offer(self.models, choices.models, wanted.models, label=_models_label)
        _offer(self.pair_status, choices.statuses, wanted.status, label=_status_label)
        _offer(self.epoch, choices.epochs, wanted.epoch)
        _offer(self.scored, get_args(Scored), wanted.scored)
        self.agreement.value = wanted.agreement
        self.search.value = plain(wanted.search)
        self.order.value = wanted.order


def _choice(description: str) -> Any:
    return control(widgets.Dropdown, description, options=[("any", _ANY)])


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
