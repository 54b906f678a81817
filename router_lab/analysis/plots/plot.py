"""What every plot returns, and the look they share.

A `Plot` draws once in a notebook (`_repr_png_`), says its key numbers in its repr, which is what
nbval compares, and keeps the drawn frame in `.data`. Figures are bare, so that pyplot does not draw
them again and nothing is left open. Colours are Okabe and Ito's, and never the only difference; all
others are Matplotlib's own, so that a style sheet (`dark_background`) has its way.

On a page (`html`: panels, the report) a figure is SVG in the page's own colours that says its values
under the pointer. That, and not a plotting library in the browser, because it needs no script: it
works offline, in every viewer and in a file sent by mail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from router_lab.errors import ConfigError
from router_lab.private_files import whole_file
from router_lab.shown.escape import Html
from router_lab.shown.figure import HINTS, figure
from router_lab.shown.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#767676",
)  # fmt: skip
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

MOST_SERIES = len(PALETTE)
# What stands for a name that nobody said, as in tables.
UNSAID = "–"
_DPI = 110
# What an SVG is measured in, and the inches around what is drawn.
_SVG_DPI = 72
_PAD = 0.05
# More values than these under the pointer would lie on top of each other.
MOST_HINTS = 60
# Where a legend stands: so many points under the axes, so that the ticks and the label have room.
_LEGEND_BELOW = 40
_LONG_LABEL = 24
_TITLE_SIZE = 11


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn plot: `data` is the frame drawn, `numbers` the finding in text, `figure` matplotlib's.

    `hints` are what a page says under the pointer: (x, y, words), in the axes' units.
    """

    name: str
    numbers: str
    data: pd.DataFrame = field(repr=False)
    axes: Any = field(repr=False)
    hints: tuple[tuple[float, float, str], ...] = field(default=(), repr=False)

    @property
    def figure(self) -> Any:
        """The matplotlib figure that `axes` belongs to."""
        return self.axes.figure

    def __repr__(self) -> str:
        return f"{self.name}: {self.numbers}"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue()

    def html(self, *, titled: bool = True) -> Html:
        """The figure as SVG for a page, without its title where the page has said it already."""
        axes, ink = self.axes, _hex(self.axes.xaxis.label.get_color())
        title, paper = axes.get_title(loc="left"), _hex(axes.get_facecolor())
        hints = [hint for hint in self.hints[:MOST_HINTS] if isfinite(hint[0]) and isfinite(hint[1])]
        places = ([hint[0] for hint in hints], [hint[1] for hint in hints])
        (marks,) = axes.plot(*places, "o", markersize=14, alpha=0, gid=HINTS, scalex=False, scaley=False)
        try:
            entitle(axes, title if titled else "")
            drawn = _svg(self.figure)
        finally:
            marks.remove()
            entitle(axes, title)
        return figure(drawn, repr(self), ink=ink, paper=paper, hints=[hint[2] for hint in hints])

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


def _svg(figure: Any) -> str:
    """The figure as SVG, cut to what is drawn.

    As `savefig(bbox_inches="tight")` writes it to the last character, which draws it once more to lay it
    out: a fifth of its time.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    before, dpi, engine = figure.canvas, figure.dpi, figure.get_layout_engine()
    written = StringIO()
    try:
        FigureCanvasSVG(figure)  # whose letters are as wide as they are written
        figure.dpi = _SVG_DPI
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)
        figure.savefig(
            written, format="svg", transparent=True, bbox_inches=figure.get_tightbbox().padded(_PAD)
        )
    finally:
        figure.set_layout_engine(engine)
        figure.dpi = dpi
        figure.set_canvas(before)
    return written.getvalue()


def load() -> None:
    """Load what drawing needs, while there is nothing to draw yet: modules, fonts, letters."""
    _svg(canvas(None).figure)


def canvas(
    ax: Axes | None, width: float = 7.2, height: float = 4.4, margins: Mapping[str, float] | None = None
) -> Axes:
    """`ax` itself, or the axes of a new bare figure.

    `margins` are its axes' `left`, `right`, `bottom` and `top` as shares of the figure, for a chart whose
    labels are always about as wide: where none are given all labels are measured twice to find them, a fifth
    of a picture's time. It is cut to what is drawn in either case.
    """
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
    if margins:
        figure.subplots_adjust(**margins)
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    return axes


def error_bars(middle: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """How far ranges reach below and above their middles, (2, n), as `errorbar` takes it.

    Rounding may put a middle beyond its end by a last digit, which would be refused.
    """
    centre = np.atleast_1d(np.asarray(middle, dtype=np.float64))
    return np.maximum([centre - np.asarray(low), np.asarray(high) - centre], 0.0)


def finish(axes: Axes, title: str, *, x: str = "", y: str = "", legend: bool = False) -> None:
    """Title (the finding), labels with units, a light grid; a legend if there is anything in it."""
    entitle(axes, label(title))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_axisbelow(True)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    names = axes.get_legend_handles_labels()[1]
    if legend and names:
        _legend(axes, columns=2 if max(map(len, names)) > _LONG_LABEL else 4)


def _legend(axes: Axes, columns: int) -> None:
    """Under the axes, so that the picture has the whole width."""
    from matplotlib.transforms import ScaledTranslation

    lower = ScaledTranslation(0, -_LEGEND_BELOW / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        frameon=False,
        fontsize=9,
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes + lower,
        borderaxespad=0.0,
    )


def entitle(axes: Axes, title: str) -> None:
    """A title on the left, right above the axes where nothing stands between: to look what does, whenever
    they are drawn or measured, takes a tenth of a picture's time.
    """
    is_free = axes.xaxis.get_ticks_position() == "bottom" and not axes.child_axes
    is_alone = len(axes.figure.axes) == 1
    axes.set_title(title, loc="left", fontsize=_TITLE_SIZE, y=1.0 if is_free and is_alone else None)


def mark_bar(axes: Axes, value: float, words: str, *, upright: bool = False) -> None:
    """A tick with `words` at a bar that was drawn at `value`, on the side without ticks."""
    if upright:
        side = axes.secondary_xaxis("top")  # for which a title makes room
        side.set_xticks([value], [words], fontsize=9)
        side.spines[:].set_visible(False)
        return
    # As an axis of one tick on the right would look, which takes thrice the time.
    import matplotlib as mpl
    from matplotlib.markers import TICKRIGHT

    styles = mpl.rcParams
    edge, ink, size = axes.get_yaxis_transform(), styles["ytick.color"], styles["ytick.major.size"]
    thick, away = styles["ytick.major.width"], size + styles["ytick.major.pad"]
    axes.plot(
        1, value, marker=TICKRIGHT, markersize=size, markeredgewidth=thick, color=ink, transform=edge,
        clip_on=False,
    )  # fmt: skip
    axes.annotate(
        words, (1, value), (away, 0), edge, "offset points", annotation_clip=False, va="center_baseline",
        fontsize=9, color=ink,
    )  # fmt: skip


def nothing(axes: Axes, name: str, data: pd.DataFrame, why: str) -> Plot:
    """A plot that says that there is nothing to show, and why."""
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY)
    axes.set_axis_off()
    return Plot(name, why, data, axes)


def _hex(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


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


def named(data: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """The data with a dash where a key says nothing, so that such rows are a group like others."""
    without = [key for key in keys if data[key].isna().any()]
    return data.assign(**{key: data[key].map(str).mask(data[key].isna(), UNSAID) for key in without})


def top(data: pd.DataFrame, key: str, weight: str, most: int = MOST_SERIES) -> list[Any]:
    """The names with the most `weight`, at most `most` of them, heaviest first."""
    totals = data.groupby(key)[weight].sum().sort_values(ascending=False, kind="stable")
    return list(totals.index[:most])
