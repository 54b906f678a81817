"""What every panel has: a status line, errors that a reader sees, following a live ledger, a static form.

A panel reads (`_read`, no widgets touched, so it may run on another thread) and then draws (`_draw`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import ipywidgets as widgets

from router_lab.errors import ReplacedFilesError, RouterLabError
from router_lab.shown.escape import Html, plain
from router_lab.shown.style import note, page

Data = TypeVar("Data")
# How often a ledger is read anew because its sealed files were replaced meanwhile.
_READINGS = 5

WIDE = widgets.Layout(width="auto")
ROW = widgets.Layout(width="auto", flex_flow="row wrap", align_items="center", grid_gap="2px 14px")


class Panel(widgets.VBox, Generic[Data]):  # type: ignore[misc] # ipywidgets has no types
    """A column of widgets that also has a static form, for where there is no front-end.

    Methods called from a cell raise as any function does. What a reader does in the browser goes
    through `_guarded`: a front-end would swallow the error, so it is put in the status line.
    """

    # On the class too, because a panel whose constructor raised is closed by the garbage collector.
    _following: asyncio.Task[None] | None = None

    def __init__(self, *parts: widgets.Widget) -> None:
        self._status = widgets.HTML(layout=WIDE)
        super().__init__([*parts, self._status], layout=WIDE)
        self.add_class("router-lab-panel")

    def _read(self) -> Data:
        """Everything to be shown now."""
        raise NotImplementedError

    def _draw(self, data: Data) -> None:
        """Put what was read into the widgets."""
        raise NotImplementedError

    def _static(self) -> Html:
        """The panel as it stands, without controls and without anything that changes between runs."""
        raise NotImplementedError

    def _reread(self) -> Data:
        """The same, of the source as it is by now; for panels that page through a snapshot."""
        return self._read()

    def _newest(self) -> Data:
        """As `_reread`, anew if another process replaces sealed files meanwhile."""
        for _ in range(_READINGS - 1):
            with suppress(ReplacedFilesError):
                return self._reread()
        return self._reread()

    def _readable(self) -> Data:
        """As `_read`, of the source as it is by now if sealed files went since it was opened."""
        try:
            return self._read()
        except ReplacedFilesError:
            return self._newest()

    def refresh(self) -> None:
        """Show the source as it is now."""
        self._draw(self._newest())

    def follow(self, every_s: float = 0.5) -> None:
        """Refresh every `every_s` seconds, reading on another thread, until `stop()`.

        Needs a running event loop, which a notebook cell has; raises `RuntimeError` elsewhere.
        """
        self.stop()
        self._following = asyncio.get_running_loop().create_task(self._follow(every_s))

    def stop(self) -> None:
        """Stop following the ledger; what is shown stays. Does nothing where it does not follow."""
        if self._following is not None:
            self._following.cancel()
            self._following = None

    def close(self) -> None:
        """Stop following, take the panel off the page, and let go of all it has read."""
        self.stop()
        close_within(self)
        super().close()

    def say(self, text: str, *, warning: bool = False) -> None:
        """Show one line under the panel; an empty text clears it."""
        self._status.value = page(note(text, warning=warning)) if text else ""

    @property
    def status(self) -> str:
        """The status line's HTML; empty when there is nothing to say."""
        return str(self._status.value)

    async def _follow(self, every_s: float) -> None:
        while True:
            try:
                self._draw(await asyncio.to_thread(self._newest))
            except Exception as error:
                self.say(_explained(error), warning=True)
            await asyncio.sleep(every_s)

    def _guarded(self, action: Callable[[], object]) -> Callable[..., None]:
        """`action` as a handler of button and value events that shows what went wrong."""

        def handle(*_event: object) -> None:
            try:
                action()
            except Exception as error:
                self.say(_explained(error), warning=True)

        return handle

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**options)
        return {**bundle, "text/plain": repr(self), "text/html": page(self._static())}


def close_within(box: widgets.Box) -> None:
    """Close every widget in `box`: ipywidgets holds each until then, and its handlers hold what it shows."""
    for child in box.children:
        if isinstance(child, widgets.Box):
            close_within(child)
        for own in (child.layout, getattr(child, "style", None)):
            if isinstance(own, widgets.Widget) and own not in (WIDE, ROW):
                own.close()
        child.close()


def control(widget: type[widgets.Widget], description: str, width: str = "auto", **options: Any) -> Any:
    """A widget whose label is visible in full beside it."""
    if widget is not widgets.Button:
        options["style"] = {"description_width": "initial"}
    return widget(description=description, layout=widgets.Layout(width=width, max_width="100%"), **options)


def _explained(error: Exception) -> str:
    if isinstance(error, RouterLabError | ValueError):
        return plain(error, limit=500)
    return f"{type(error).__name__}: {plain(error, limit=500)}"
