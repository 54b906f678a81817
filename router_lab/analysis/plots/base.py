"""What every plot returns, and the look they share.

A `Plot` draws once in a notebook (`_repr_png_`), says its key numbers in its repr, which is what
nbval compares, and keeps the drawn frame in `.data`. Figures are bare, so that pyplot does not draw
them again and nothing is left open. Colours are Okabe and Ito's, and never the only difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab.errors import ConfigError
from router_lab.private_files import whole_file
from router_lab.shown.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#767676",
)  # fmt: skip
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

MOST_SERIES = len(PALETTE)
_DPI = 110


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn plot: `data` is the frame drawn, `numbers` the finding in text, `figure` matplotlib's."""

    name: str
    numbers: str
    data: pd.DataFrame = field(repr=False)
    axes: Any = field(repr=False)

    @property
    def figure(self) -> Any:
        """The matplotlib figure."""
        return self.axes.figure

    def __repr__(self) -> str:
        return f"{self.name}: {self.numbers}"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the picture, whole or not at all, with mode 0600; the suffix says the format (png, svg, pdf).

        Raises `ConfigError` for another format, and where it cannot be written.
        """
        target = Path(path)
        ending = target.suffix.removeprefix(".").lower()
        if ending not in self.figure.canvas.get_supported_filetypes():
            raise ConfigError(f"{target}: a picture is .png, .svg or .pdf")
        try:
            with whole_file(target) as partial:
                self.figure.savefig(partial, format=ending, dpi=_DPI, bbox_inches="tight")
        except OSError as error:
            raise ConfigError(f"{target}: the picture cannot be written ({error})") from error


def canvas(ax: Axes | None, width: float = 8.0, height: float = 4.5) -> Axes:
    """`ax` itself, or the axes of a new bare figure."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    return axes


def finish(axes: Axes, title: str, *, x: str = "", y: str = "", legend: bool = False) -> None:
    """Title (the finding), labels with units, a light grid; a legend if there is anything in it."""
    axes.set_title(label(title), loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_axisbelow(True)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))


def nothing(axes: Axes, name: str, data: pd.DataFrame, why: str) -> Plot:
    """A plot that says that there is nothing to show, and why."""
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY)
    axes.set_axis_off()
    return Plot(name, why, data, axes)


def label(text: object) -> str:
    """Hostile text made safe to draw: no control characters, no dollar signs that start formulas."""
    return plain(text).replace("$", r"\$")


def row_axes(axes: Axes, names: Sequence[object], notes: Sequence[str] = ()) -> None:
    """One horizontal line per name, the first on top, each with a note of ours under it."""
    lines = [label(name) for name in names]
    if notes:
        lines = [f"{line}\n{note}" for line, note in zip(lines, notes, strict=True)]
    axes.set_yticks(range(len(lines)), lines)
    axes.set_ylim(len(names) - 0.4, -0.6)


def top(data: pd.DataFrame, key: str, weight: str, most: int = MOST_SERIES) -> list[Any]:
    """The names with the most `weight`, at most `most` of them, heaviest first."""
    totals = data.groupby(key)[weight].sum().sort_values(ascending=False, kind="stable")
    return list(totals.index[:most])
