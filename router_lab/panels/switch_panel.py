"""The kill switch: where it stands, flipping it with a reason, what was flipped before."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.panels.live_shadows import LiveShadows, live_html, read_live
from router_lab.panels.panel import ROW, WIDE, Panel, control
from router_lab.panels.shadow_cost import ShadowRate, daily_cost, shadow_rates
from router_lab.records import SwitchState
from router_lab.shown.escape import (
    Html,
    plain,
    show,
    tag,
)
from router_lab.shown.style import (
    note,
    page,
    table,
    title,
    usd,
)
from router_lab.task_types import lineage

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger import Ledger
    from router_lab.router import Router

_LATEST = 12


@dataclass(frozen=True, slots=True)
class SwitchView:
    """Everything one drawing of the panel needs."""

    states: dict[str, SwitchState]
    history: pd.DataFrame
    rates: list[ShadowRate]
    spent_usd: float | None
    likely_usd: float | None
    limit_usd: float | None
    live: LiveShadows


class SwitchPanel(Panel[SwitchView]):
    """The shadow kill switch of a ledger, and what shadows are doing now.

    `source` is a ledger, which may be written by other processes, or a running router. Turning off
    happens at once. Turning on asks first and says what it may cost a day, from the ledger's own
    rates. `follow()` keeps it live. Raises `ConfigError` when `source` has no switch.
    """

    def __init__(self, source: Ledger | Router) -> None:
        ledger: Any = getattr(source, "ledger", source)
        if not hasattr(getattr(ledger, "switch", None), "states"):
            raise ConfigError(
                f"SwitchPanel(source): {type(source).__name__} has no switch; give a Ledger or a Router"
            )
        self._ledger: Ledger = ledger
        self._router: Any = None if source is ledger else source
        self._standing: SwitchView | None = None
        self._state = widgets.HTML(layout=WIDE)
        self._live = widgets.HTML(layout=WIDE)
        self._past = widgets.HTML(layout=WIDE)
        self._make_controls()
        super().__init__(
            widgets.HTML(page(title("Shadow switch"))),
            self._state,
            widgets.HBox([self.scope, self.reason], layout=ROW),
            widgets.HBox(
                [self.minutes, self.pairs, self.dollars, self.turn_on, self.turn_off, self.again], layout=ROW
            ),
            self._question,
            self._live,
            self._past,
        )
        self.refresh()
        self._listen()

    # What a reader does; each is also a method to call from a cell.

    def ask(self) -> str:
        """Show, and return, what turning on the chosen scope may cost; nothing is flipped yet."""
        if not self.reason.value.strip():
            raise ConfigError("Write a reason first: the history is part of the evidence.")
        now = self._now
        sentence = daily_cost(now.rates, self._prefix).sentence(now.limit_usd)
        where = f"for {plain(self._prefix)}" if self._prefix else "everywhere"
        self._asked.value = page(note(f"Turn shadows on {where}? {sentence}"))
        self._question.layout.display = "flex"
        return sentence

    def confirm(self) -> None:
        """Turn the chosen scope on, within the limits chosen."""
        self._ledger.switch.on(
            reason=self.reason.value.strip(),
            prefix=self._prefix,
            minutes=self.minutes.value or None,
            pairs=self.pairs.value or None,
            usd=self.dollars.value or None,
        )
        self._flipped("on")

    def off(self) -> None:
        """Turn the chosen scope off at once; stopping needs no reason."""
        reason = self.reason.value.strip() or "turned off in the panel"
        self._ledger.switch.off(reason=reason, prefix=self._prefix)
        self._flipped("off")

    def cancel(self) -> None:
        """Leave everything as it is."""
        self._question.layout.display = "none"
        self.say("Nothing was changed.")

    def selection(self) -> pd.DataFrame:
        """Every flip, oldest first, with the columns of `ledger.switch.history()`."""
        return self._now.history

    def __repr__(self) -> str:
        everywhere = self._now.states[""]
        own = sum(1 for prefix, state in self._now.states.items() if prefix and state.on)
        on = "on" if everywhere.on else "off"
        more = f", on for {own} prefixes" if own else ""
        return f"SwitchPanel({on}{more}; epoch {self._epoch}, {len(self._now.history)} flips)"

    # Reading and drawing.

    @property
    def _now(self) -> SwitchView:
        assert self._standing is not None  # noqa: S101 - the constructor draws before anyone can ask
        return self._standing

    @property
    def _prefix(self) -> str:
        return str(self.scope.value or "")

    @property
    def _epoch(self) -> int:
        return max(state.epoch for state in self._now.states.values())

    def _read(self) -> SwitchView:
        spent, likely, limit = self._budget()
        tables = self._ledger.tables()
        return SwitchView(
            states=self._ledger.switch.states,
            history=self._ledger.switch.history(),
            rates=shadow_rates(tables.comparisons),
            spent_usd=spent,
            likely_usd=likely,
            limit_usd=limit,
            live=read_live(self._ledger, tables, self._router),
        )

    def _budget(self) -> tuple[float | None, float | None, float | None]:
        """Today's shadow spending, at most and likely, and its limit; None for what there is not."""
        budgets = self._ledger.spend()
        shadow = budgets[budgets["scope"] == "shadow/daily"].sort_values("period")
        if shadow.empty:
            return None, None, None
        newest = shadow.iloc[-1]
        limit = float(newest["limit_usd"])
        spent, likely = float(newest["spent_usd"]), float(newest["likely_usd"])
        return spent, likely, None if math.isnan(limit) else limit

    def _draw(self, data: SwitchView) -> None:
        self._standing = data
        _offer_scopes(self.scope, data)
        self._state.value = page(self._state_html(data))
        self._live.value = page(live_html(data.live))
        self._past.value = page(_history_html(data.history, live=True))

    def _state_html(self, data: SwitchView) -> Html:
        rows: list[list[object]] = [
            [prefix or "everything else", "ON" if state.on else "off", state.epoch, state.reason]
            for prefix, state in sorted(data.states.items())
        ]
        spent = f"Shadow spending today: {usd(data.spent_usd)}"
        if data.likely_usd != data.spent_usd:
            spent = f"Shadow spending today: likely {usd(data.likely_usd)}, at most {usd(data.spent_usd)}"
        limit = f" of {usd(data.limit_usd)}" if data.limit_usd is not None else ""
        head = note(spent + limit)
        return tag(
            "div", head, table(["Task types", "Shadows", "Epoch", "Reason"], rows, numbers=frozenset({2}))
        )

    def _static(self) -> Html:
        return tag(
            "div",
            title("Shadow switch"),
            self._state_html(self._now),
            _history_html(self._now.history, live=False),
        )

    # Controls and what they do.

    def _make_controls(self) -> None:
        self.scope = control(widgets.Dropdown, "Task types", options=[("everything", "")])
        self.reason = control(widgets.Text, "Reason", width="420px", placeholder="why, for the history")
        self.minutes = control(
            widgets.BoundedFloatText, "Minutes (0: no limit)", width="210px", min=0, max=1e6
        )
        self.pairs = control(widgets.BoundedIntText, "Pairs (0: no limit)", width="210px", min=0, max=10**9)
        self.dollars = control(
            widgets.BoundedFloatText, "Dollars (0: no limit)", width="210px", min=0, max=1e6
        )
        self.turn_on = control(widgets.Button, "Turn on …", button_style="primary")
        self.turn_off = control(widgets.Button, "Turn off", button_style="danger")
        self.again = control(widgets.Button, "Refresh", tooltip="Read the ledger again")
        self._asked = widgets.HTML(layout=WIDE)
        self.yes = control(widgets.Button, "Yes, turn on", button_style="primary")
        self.no = control(widgets.Button, "Cancel")
        self._question = widgets.VBox(
            [self._asked, widgets.HBox([self.yes, self.no])], layout=widgets.Layout(display="none")
        )

    def _listen(self) -> None:
        self.turn_on.on_click(self._guarded(self._on_turn_on))
        self.turn_off.on_click(self._guarded(self.off))
        self.yes.on_click(self._guarded(self.confirm))
        self.no.on_click(self._guarded(self.cancel))
        self.again.on_click(self._guarded(self.refresh))
        for one in (self.scope, self.reason):
            one.observe(self._guarded(self._withdraw_question), names="value")

    def _on_turn_on(self) -> None:
        self.ask()
        self.say("")

    def _withdraw_question(self) -> None:
        # The estimate was for another scope.
        self._question.layout.display = "none"

    def _flipped(self, to: str) -> None:
        self._question.layout.display = "none"
        where = f"for {plain(self._prefix)}" if self._prefix else "everywhere"
        # Only what a flip changes: the rates behind the estimate are read from every pair.
        switch = self._ledger.switch
        self._draw(replace(self._now, states=switch.states, history=switch.history()))
        self.reason.value = ""
        self.say(f"Shadows are {to} {where}, epoch {self._epoch}.")


def _offer_scopes(scope: Any, data: SwitchView) -> None:
    prefixes = {prefix for prefix in data.states if prefix}
    for rate in data.rates:
        prefixes.update(lineage(rate.task_type))
    options = [("everything", ""), *((plain(prefix), prefix) for prefix in sorted(prefixes - {""}))]
    if tuple(options) == tuple(scope.options):
        return
    chosen = scope.value
    scope.options = options
    scope.value = chosen if chosen in dict.fromkeys(value for _, value in options) else ""


def _history_html(history: pd.DataFrame, *, live: bool) -> Html:
    latest = history.tail(_LATEST).iloc[::-1]
    headings = ["Epoch", "Task types", "Turned", "Reason", "Until"]
    rows: list[list[object]] = [
        [
            row["epoch"],
            row["prefix"] or "everything",
            "on" if row["on"] else "off",
            row["reason"],
            _until(row, live),
        ]
        for row in latest.to_dict("records")
    ]
    if live:
        headings += ["When (UTC)", "Who"]
        for shown, row in zip(rows, latest.to_dict("records"), strict=True):
            shown += [f"{row['at']:%Y-%m-%d %H:%M:%S}", row["author"]]
    older = len(history) - len(latest)
    heading = f"Last {len(latest)} flips, newest first" + (
        f" ({older} older ones in .selection())" if older else ""
    )
    line = tag("div", show(heading), style="margin:8px 0 4px 0;font-weight:600")
    return tag("div", line, table(headings, rows, numbers=frozenset({0})))


def _until(row: dict[Any, Any], live: bool) -> str | None:
    limits = []
    if live and row["expires_at"] is not None and row["expires_at"] == row["expires_at"]:
        limits.append(f"{row['expires_at']:%Y-%m-%d %H:%M}")
    if row["expires_pairs"] is not None and row["expires_pairs"] == row["expires_pairs"]:
        limits.append(counted(int(row["expires_pairs"]), "pairs"))
    if row["expires_usd"] is not None and row["expires_usd"] == row["expires_usd"]:
        limits.append(usd(row["expires_usd"]))
    return " or ".join(limits) or None
