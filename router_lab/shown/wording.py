"""Numbers and frames as text and HTML, escaped in one place: task types are hostile input."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from router_lab.counted import counted
from router_lab.shown.elements import LEFT, RIGHT, table
from router_lab.shown.escape import Html, text_html

_SURROGATES = range(0xD800, 0xE000)  # no font, no file and no terminal takes one alone
_UNPRINTABLE = [
    *range(0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *_SURROGATES,
]
_CONTROL = dict.fromkeys(_UNPRINTABLE, "\N{REPLACEMENT CHARACTER}")
_LONGEST = 120
# A share this near to none or to all is that, but for rounding.
_NOTHING = 1e-9
_MOST_DIGITS = 3

# What to do where the texts that a person or a later judge would read are not there.
UNSTORED = (
    "no two answers are stored to be read: keep them from now on (`ledger: {content: full}`), have a judge "
    "compare as they come (`comparator: judge`), or import what your own tool found (ledger.import_scores)"
)


def plain(value: object) -> str:
    """A name made safe to print: no control or direction-changing characters, at most 120 long."""
    text = str(value).translate(_CONTROL)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def plain_text(value: object) -> str:
    """Like `plain`, for sentences of ours that may hold names: as long as they are."""
    return str(value).translate(_CONTROL)


def points(difference: float, *, signed: bool = True) -> str:
    """A difference of shares in percentage points, such as `-21.8`; `∞` without an end."""
    if abs(difference) == float("inf"):
        return "∞" if difference > 0 else "-∞"
    # Adding 0 takes the sign off a zero that rounding left.
    rounded = round(100 * difference, 1) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.1f}"


def count(number: float) -> str:
    """A count such as `1,319`; `more than a million` beyond what anyone would pay for."""
    if number != number or number > 1_000_000:
        return "more than a million"
    return f"{number:,.0f}"


def pairs_of(pairs: float, of: float) -> str:
    """How many pairs spoke, such as `300 pairs` or `120 of 300 pairs`."""
    known = count(pairs) if pairs >= of else f"{count(pairs)} of {count(of)}"
    return f"{known} pair{'' if max(pairs, of) == 1 else 's'}"


def clusters_in_words(clusters: float, cluster: str | None) -> str:
    """How many there are of what counts once: distinct inputs, values of another column, or pairs (None)."""
    if cluster is None:
        return counted(int(clusters), "pairs")
    if cluster == "input_hash":
        return counted(int(clusters), "distinct inputs")
    return f"{counted(int(clusters), 'values')} of {plain(cluster)}"


def basis_of(basis: str, whose: str) -> str:
    """A basis and whose it is, such as `scores (people)`."""
    if basis == "judge":
        return f"the preference of {whose or 'a judge'}"
    return f"{basis} ({whose})" if whose not in ("", basis) else basis


def period(times: pd.Series) -> str:
    """The days of `times`, such as `2026-11-21` or `2026-11-20 to 2026-11-21`."""
    first, last = f"{times.min():%Y-%m-%d}", f"{times.max():%Y-%m-%d}"
    return first if first == last else f"{first} to {last}"


def shares(equal: float, far: float, *, is_quality: bool) -> str:
    """How many answers are the same and how many have little in common; "" where that is not known.

    Beside scores that is no loss: an answer unlike the primary's may be the better one.
    """
    if equal != equal:
        return ""
    if is_quality:
        return f"answers alike: {percent(equal)} equal, {percent(far)} unlike"
    return f"{percent(equal)} equal, {percent(far)} badly off"


def scoring(needed: float, task_type: str) -> str:
    """What to do where answers only differ: to score so many pairs, and how; 0 where most are no answers,
    infinite where no two are stored to be read.
    """
    if needed == float("inf"):
        return f"whether for better or worse is unknown, and {UNSTORED}"
    if not needed:
        return (
            "mostly because the shadow gave no answer: mend that first; "
            "whether for better or worse is unknown: score some pairs once it answers"
        )
    command = f'rl.spot_checks(ledger, {needed:.0f}, by="you", task_type={task_type!r})'
    begin = f"score some pairs, about {count(needed)} to begin with ({command})"
    return f"whether for better or worse is unknown: {begin}"


def estimands(frame: pd.DataFrame) -> str:
    """What the numbers of each `task_type` are about, each kind of `estimand` once, as a sentence."""
    kinds = frame.groupby("estimand", sort=True)["task_type"].agg(list)
    if len(kinds) == 1:
        return f"What the numbers are: {kinds.index[0]}."
    named = (f"of {', '.join(map(plain, names))}: {estimand}" for estimand, names in kinds.items())
    return f"What the numbers are, {'; '.join(named)}."


def usd(amount: float) -> str:
    """An amount such as `$12.30`, with more digits for small sums."""
    if amount != amount:
        return "unknown"
    if abs(amount) >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if abs(amount) >= 0.0001 else f"${amount:.7f}"


def seconds(time: float) -> str:
    """A time or a difference of times such as `1.25 s`; a dash when unknown, `∞` without an end."""
    if time != time:
        return "–"
    if time in (float("inf"), float("-inf")):
        return "∞" if time > 0 else "-∞"
    digits = 1 if abs(time) >= 10 else 2 if abs(time) >= 0.1 else 3 if abs(time) >= 0.01 else 4
    return f"{round(time, digits) + 0.0:,.{digits}f} s"


def percent(share: float, digits: int = 1) -> str:
    """A share such as `95.8%`; a dash when unknown. Nearly all is not `100.0%`, nor nearly nothing `0.0%`."""
    if share != share:
        return "–"
    is_end = min(abs(share), abs(1 - abs(share))) < _NOTHING
    while not is_end and digits < _MOST_DIGITS and round(100 * abs(share), digits) in (0.0, 100.0):
        digits += 1
    return f"{100 * share:,.{digits}f}%"


def interval_kind(alpha: float, *, anytime: bool = False) -> str:
    """What an interval is: one for a single look at a sample fixed beforehand, or one for every look.

    Of the same pairs the second is the wider; they answer different questions and do not contradict.
    """
    return f"{100 * (1 - alpha):.3g}% interval, {'valid at any time' if anytime else 'fixed sample'}"


def with_unconfirmed(cost: float, unknown: float, at_most: float) -> str:
    """The end of a sentence on what was billed: the `cost` with unknown bills as is likely, and at most.

    Empty where no bill is unknown, that is where `unknown`, the likely part of it, and the rest are nothing.
    """
    if not unknown and not at_most > cost * (1 + 1e-9):
        return ""
    return f"; with unconfirmed bills likely {usd(cost)}, at most {usd(at_most)}"


def unconfirmed(more: float, less: float = 0.0) -> str:
    """Money whose bill is unknown, as an aside such as ` (up to $1.20 more, unconfirmed)`; empty for none."""
    parts = [f"up to {usd(amount)} {word}" for amount, word in ((more, "more"), (less, "less")) if amount > 0]
    return f" ({' or '.join(parts)}, unconfirmed)" if parts else ""


def number(value: float) -> str:
    """About four significant digits, never an exponent; a dash when unknown."""
    if value != value:
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.7f}"


def html_table(frame: pd.DataFrame, caption: str = "", right: Collection[str] = ()) -> Html:
    """A plain, inline-styled table, every cell escaped. Numbers stand right, as do the columns `right`."""
    numeric = [pd.api.types.is_numeric_dtype(kind) or name in right for name, kind in frame.dtypes.items()]
    aligned = [f"padding:2px 12px 2px 0;{f'{RIGHT};white-space:nowrap' if one else LEFT}" for one in numeric]
    return table(
        [text_html(plain(name)) for name in frame.columns],
        [[text_html(_cell(value)) for value in row] for row in frame.itertuples(index=False, name=None)],
        text_html(caption) if caption else None,
        style="border-collapse:collapse;font-size:90%",
        caption_style="text-align:left;font-weight:600",
        head_styles=aligned,
        cell_styles=aligned,
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else number(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None or value is pd.NaT else plain(value)
