"""One ladder of evidence: what of a group of pairs speaks for quality, best first.

`scores`: what both answers are worth, by ground truth or by people. `judge`: a judge's stored preference,
ties between. `floor`: agreement less the agreement of the primary with itself. `agreement`: likeness alone.
The first two tell better from worse; the last two only tell that answers are the same, or that they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy

from router_lab.analysis.evidence.row_selection import first_rows, rows_where, used_as
from router_lab.counted import counted
from router_lab.defaults import BASES
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.shown.wording import plain

# What tells better from worse; the others tell the same from different.
QUALITY: Final = ("scores", "judge")

# The least and the greatest difference possible: agreement can only fall short of full agreement.
BOUNDS: Final = {"scores": (-1.0, 1.0), "judge": (-1.0, 1.0), "floor": (-1.0, 1.0), "agreement": (-1.0, 0.0)}

# A rung that only a part of the pairs hold needs so many of them, or nearly all.
FEWEST_PAIRS: Final = 30
_NEARLY_ALL = 0.9

# Pairs that were picked by their likeness are found out at this level.
_SELECTION_LEVEL = 0.01

# The columns of each kind of scorer begin with these. `given` are scores that came with a frame.
PREFIX: Final = {"given": "", "truth": "truth_", "people": "people_", "judge": "judged_"}

# Whose scores are kept when one kind is asked for: a judge helps people's marks, and is held against them.
KEPT_FOR: Final = {"truth": ("truth",), "people": ("people", "judge"), "judge": ("people", "judge")}
KINDS: Final = tuple(KEPT_FOR)
_WORDS = {"given": "scores", "truth": "ground truth", "people": "people", "judge": "a judge"}

# What is known of the scores of a pair by one kind of scorer, after the prefix.
SCORED: Final = (
    "primary_score", "shadow_score", "chance", "chosen", "unsure", "likeness_by", "marked_at", "names",
    "comparative",
)  # fmt: skip

# Between the names of several scorers of one kind who scored the same pair; what ground truth begins with.
BETWEEN_NAMES: Final = "\x1f"
TRUTH: Final = "truth"

# The name of a replay's scores begins with this, and ends with the comparator that held an answer against
# the expected one.
REPLAY: Final = "replay: "

# Of a scorer that a judge helps.
HELPED: Final = " with a judge's help"
HELPED_ON_THE_REST: Final = f",{HELPED} on the pairs that nobody marked"

# Uses of a pair (see `pairs`): shadows that gave nothing, what has a likeness, all that was paid for.
FAILED: Final = ("shadow_failed", "shadow_unusable")
_ALIKE = ("scored", *FAILED)
_RAN = (*_ALIKE, "unscored", "primary_unusable", "both_unusable")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rows of one group that speak, and what as.

    `rows` have `value`, shadow less reference in [-1, 1] (see `BOUNDS`), and `probability`, the chance that
    a row is here: of being sampled, times that of being drawn for marking. `of` is how many pairs might
    have spoken; `whose` scores or preference it is, in words, and `scorer` what tells that scorer from
    another (`truth` or `truth: NAME`, `people`, `judge`, `given` or a name; "" for likeness); `chosen` counts
    scored pairs left out because a person chose them freely; `selected` says how the rows differ from the
    rest if they are no random part (else ""); `unknown_design`: nobody knows how the scored part was drawn;
    `known_inputs`: ground truth stood beside some inputs only; `unlike` says how these differ, if they do.
    `unsure` counts marked pairs of which nobody could tell; `passed_over` says why better rungs are not used.
    `similarity` is the comparator of scores that only measure likeness to an expected answer (else "");
    `is_helped`: a judge's verdicts on the pairs that nobody marked are used besides. `is_comparative`: some
    scores say which answer is better, and not what either is worth.
    """

    rows: pd.DataFrame = field(repr=False, compare=False)
    basis: str
    of: int
    whose: str = ""
    chosen: int = 0
    selected: str = ""
    unknown_design: bool = False
    known_inputs: bool = False
    unlike: str = ""
    unsure: int = 0
    passed_over: tuple[str, ...] = ()
    scorer: str = ""
    similarity: str = ""
    is_helped: bool = False
    is_comparative: bool = False

    @property
    def told_by(self) -> str:
        """The kind of scorer, and whether a judge helps it."""
        return f"{self.scorer}{HELPED}" if self.is_helped else self.scorer

    @property
    def is_quality(self) -> bool:
        """Whether it tells better from worse, and not only the same from different."""
        return self.basis in QUALITY


def check_basis(basis: str | None) -> None:
    """Raises `ConfigError` for a basis there is not, listing those there are."""
    if basis is not None and not (isinstance(basis, str) and basis in BASES):
        known = ", ".join(map(repr, BASES))
        hint = nearest_hint(basis, BASES)
        raise ConfigError(f"basis is {basis!r}; it is one of {known}, or None for the best there is{hint}")


def evidence(rows: pd.DataFrame, basis: str | None = None) -> Evidence:
    """What the rows of one group (as `pairs.judged_pairs` gives them) say, by the highest rung they hold.

    A rung that nearly all pairs hold is used; one that only a part holds needs `FEWEST_PAIRS` of them that
    were drawn at random, or at least do not differ from the others in their agreement. `basis` forces a
    rung. Raises `ConfigError` for an unknown basis.
    """
    check_basis(basis)
    found: list[Evidence] = []
    for rung in [basis] if basis else BASES:
        found += _RUNGS[rung](rows)
        place = next((place for place, one in enumerate(found) if _is_enough(one)), None)
        if place is not None:
            break
    else:
        found = found or [_nothing(rows, str(basis))]
        # Agreement, if anything has one; of a forced rung, and of a judge's few verdicts, the most there is.
        held = [len(one.rows) for one in found]
        last = len(held) - 1
        place = last if basis is None and (held[-1] or not any(held)) else held.index(max(held))
    above = tuple(_why_not(one) for one in found[:place] if _was_there(one))
    return replace(found[place], passed_over=above)


def _scores(rows: pd.DataFrame) -> list[Evidence]:
    # Rows are millions, and are copied only where somebody scored any.
    if not any(f"{prefix}primary_score" in rows for prefix in PREFIX.values()):
        return []
    main = rows_where(rows, ~rows["is_noise"])
    found = [_scored_by(main, scorer) for scorer in ("given", TRUTH, "people")]
    return [one for one in found if one is not None]


def _judge(rows: pd.DataFrame) -> list[Evidence]:
    """What a judge said of each pair last, as wins less losses: later, or with the pair."""
    live = rows["preference"].between(0, 1)
    later = later_verdicts(rows).mask(rows["is_noise"])
    is_later = bool(later.notna().any()) or "scored_by" in rows
    if not is_later and not live.any():
        return []
    live &= used_as(rows, _ALIKE) & ~rows["is_noise"]
    if not is_later:
        known = rows[live]
        if known.empty:
            return []
        value = _valued(known, 2 * known["preference"] - 1)
        return [_judged_by(Evidence(value, "judge", _run(rows), "a judge"), known)]
    is_main = ~rows["is_noise"]
    main, live, later = rows_where(rows, is_main), live[is_main], later[is_main]
    before = live & later.isna()
    said = {"primary_score": 1 - main["preference"], "shadow_score": main["preference"], "chance": 1.0}
    own = {name: f"{PREFIX['judge']}{name}" for name in said}
    merged = main.assign(
        **{own[name]: _column(main, own[name], np.nan).mask(before, value) for name, value in said.items()}
    )
    found = _scored_by(merged, "judge")
    return [] if found is None else [_judged_by(found, main[later.notna() | before])]


def _judged_by(found: Evidence, rows: pd.DataFrame) -> Evidence:
    """What a judge says of `rows`, with whose preference that is: one by name is a scorer of its own."""
    names = _judges(rows)
    each = _pairs_of_each(names)
    if len(each) == 1:
        return replace(found, basis="judge", scorer=str(each.index[0]))
    whose = f"several judges ({_in_words(each, names)})" if len(each) else found.whose
    return replace(found, basis="judge", whose=whose, scorer="judge")


def preferences(rows: pd.DataFrame) -> pd.Series:
    """What a judge said last of each pair, as a difference in [-1, 1]: later, or with the pair; missing
    where it said nothing. A shadow that gave nothing has lost.
    """
    live = (2 * rows["preference"] - 1).where(rows["preference"].between(0, 1))
    later = later_verdicts(rows)
    return later.fillna(live).mask(used_as(rows, FAILED) & (later.notna() | live.notna()).any(), -1.0)


def later_verdicts(rows: pd.DataFrame) -> pd.Series:
    """What judges said of stored pairs, as differences in [-1, 1]; missing where they said nothing."""
    primary, shadow = (f"{PREFIX['judge']}{side}_score" for side in ("primary", "shadow"))
    if primary not in rows or shadow not in rows:
        return pd.Series(np.nan, index=rows.index)
    return rows[shadow] - rows[primary]


def _judges(rows: pd.DataFrame) -> pd.Series:
    """The names of who judged each pair last, as far as they are stored (see `BETWEEN_NAMES`)."""
    later = later_verdicts(rows).notna()
    named = _column(rows, f"{PREFIX['judge']}names", None).where(later, _column(rows, "judge", None))
    return named[~used_as(rows, FAILED)].astype(object)


def _pairs_of_each(names: pd.Series) -> pd.Series:
    """How many pairs each of the scorers named scored, by name."""
    return names.dropna().astype(object).str.split(BETWEEN_NAMES).explode().value_counts().sort_index()


def _in_words(each: pd.Series, names: pd.Series) -> str:
    told = ", ".join(f"{plain(name)} on {pairs:,}" for name, pairs in each.items())
    shared = int(names.dropna().astype(object).str.contains(BETWEEN_NAMES, regex=False).sum())
    return f"{told} pairs" + (f"; averaged on {shared:,} that several scored" if shared else "")


def _floor(rows: pd.DataFrame) -> list[Evidence]:
    if not rows["is_noise"].any():
        return []
    is_known = rows["agreement"].between(0, 1) & rows["request_id"].notna()
    noise = rows[["request_id", "agreement", "sample_probability"]][
        rows["is_noise"] & used_as(rows, _ALIKE) & is_known
    ]
    if noise.empty:
        return []
    floor = first_rows(noise, "request_id")
    place = pd.Index(_looked_up(floor["request_id"])).get_indexer(_looked_up(rows["request_id"]))
    is_known = (place >= 0) & _is_alike(rows)
    known, place = rows[is_known], place[is_known.to_numpy()]
    value = known["agreement"] - floor["agreement"].to_numpy()[place]
    # That both ran is as likely as that the noise pair did, which is drawn among the shadowed.
    chance = np.fmin(floor["sample_probability"].to_numpy()[place], known["sample_probability"])
    return [Evidence(known.assign(value=value, probability=chance), "floor", _run(rows))]


def _looked_up(ids: Any) -> Any:
    """Ids to be looked up: texts as objects, for pandas looks its own texts up one by one."""
    return ids if pd.api.types.is_integer_dtype(ids) else ids.astype(object)


def _agreement(rows: pd.DataFrame) -> list[Evidence]:
    usable = rows_where(rows, _is_alike(rows))
    return [Evidence(_valued(usable, usable["agreement"] - 1.0), "agreement", _run(rows))]


_RUNGS: dict[str, Callable[[pd.DataFrame], list[Evidence]]] = {
    "scores": _scores,
    "judge": _judge,
    "floor": _floor,
    "agreement": _agreement,
}


def _is_enough(found: Evidence) -> bool:
    held = len(found.rows)
    return held > 0 and not found.selected and (held >= FEWEST_PAIRS or held >= _NEARLY_ALL * found.of)


def _was_there(found: Evidence) -> bool:
    return len(found.rows) + found.chosen > 0


def _why_not(found: Evidence) -> str:
    """Why a rung that a part of the pairs holds is not used, in words."""
    held, what = len(found.rows), found.whose or "the primary against itself"
    if found.selected:
        return (
            f"{what} on {held:,} of {counted(found.of, 'pairs')} is not used, they are "
            f"no random part: {found.selected}"
        )
    if held:
        return (
            f"{what} on {held:,} of {counted(found.of, 'pairs')} is not used, at least "
            f"{FEWEST_PAIRS} are needed"
        )
    return (
        f"{what} on {found.chosen:,} of {counted(found.of, 'pairs')} is not used, these were chosen by hand"
    )


def _is_alike(rows: pd.DataFrame) -> pd.Series:
    """Where a pair has a likeness; what a judge calls agreement, that the primary did not win, is none."""
    is_judged = rows["comparator"].eq("judge") & rows["use"].eq("scored")
    return used_as(rows, _ALIKE) & rows["agreement"].between(0, 1) & ~is_judged & ~rows["is_noise"]


def _scored_by(main: pd.DataFrame, scorer: str) -> Evidence | None:
    """The pairs whose two answers were scored by one kind of scorer; None where there are none."""
    prefix = PREFIX[scorer]
    primary, shadow = f"{prefix}primary_score", f"{prefix}shadow_score"
    if primary not in main or shadow not in main:
        return None
    ran = rows_where(main, used_as(main, _RAN))
    failed = used_as(ran, FAILED)
    # A shadow that gave nothing is worth nothing.
    worth, other = ran[primary], ran[shadow].mask(ran[shadow].isna() & failed, 0.0)
    known = worth.between(0, 1) & other.between(0, 1)
    if not known.any():
        return None
    scored = ran[known].assign(reference_score=worth[known], other_score=other[known])
    rest = ran[failed & ~known]
    chance = _column(scored, f"{prefix}chance", np.nan).astype(float)
    is_chosen = _column(scored, f"{prefix}chosen", False).fillna(False).astype(bool)
    unsure = _column(ran, f"{prefix}unsure", False).fillna(False).astype(bool) & ~known
    alike = _column(scored, f"{prefix}likeness_by", None).dropna()
    found = partial(
        Evidence,
        basis="scores",
        of=max(_run(main), len(scored)),
        whose=_whose(scored, scorer, len(alike)),
        similarity=str(alike.iloc[0]) if len(alike) else "",
        unsure=int(unsure.sum()),
        is_comparative=bool(_column(scored, f"{prefix}comparative", False).fillna(False).astype(bool).any()),
        scorer=_identity(scored, scorer),
    )
    missing = used_as(ran, ("scored", "unscored")) & ~known
    if not missing.any():
        # All of them: nothing was picked, however it came about.
        return found(_with_failures(scored, scored["sample_probability"], rest))
    if scorer == TRUTH and _is_beforehand(scored):
        # Known beforehand of these inputs, whatever the answers; failures on other inputs are others'.
        rows = _with_failures(scored, scored["sample_probability"], rest.iloc[:0])
        return found(rows, known_inputs=True, unlike=_selection(main, scored))
    # Who scored pairs without a chance of their own and left some out may have picked them.
    is_part = scorer in ("judge", TRUTH) and bool(chance.fillna(1.0).eq(1.0).all())
    drawn = chance.between(0, 1, inclusive="right") & ~is_chosen & (not is_part)
    if drawn.sum() >= FEWEST_PAIRS or (drawn | is_chosen).all():
        part = scored[drawn]
        rows = _with_failures(part, _in_part(part, chance[drawn]), _not_in(ran[failed], part))
        return found(rows, chosen=int(is_chosen.sum()))
    part = scored[~is_chosen]
    answered = int((~used_as(part, FAILED)).sum())
    others = answered + int(missing.sum()) + int(is_chosen.sum())
    share = answered / others if answered else 1.0
    chances = pd.Series(share, index=part.index)
    rows = _with_failures(part, _in_part(part, chances), _not_in(ran[failed], part))
    # A judge that is asked later takes the pairs in an order that looks random.
    is_unknown = scorer != "judge"
    return found(
        rows, chosen=int(is_chosen.sum()), selected=_selection(main, part), unknown_design=is_unknown
    )


def _is_beforehand(scored: pd.DataFrame) -> bool:
    """Whether ground truth stood beside the inputs before anybody answered, as in the rows of a replay."""
    names = _column(scored, f"{PREFIX[TRUTH]}names", None).dropna().astype(str)
    return all(name.startswith(REPLAY) for names_of in names for name in names_of.split(BETWEEN_NAMES))


def _in_part(part: pd.DataFrame, chance: pd.Series) -> pd.Series:
    """The chances of scored pairs to be here, where every failure is: it stands for no other."""
    return part["sample_probability"] * chance.mask(used_as(part, FAILED), 1.0)


def _not_in(rows: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows.index.isin(part.index)]


def _with_failures(scored: pd.DataFrame, probability: pd.Series, failed: pd.DataFrame) -> pd.DataFrame:
    """The differences of scored pairs, and of pairs whose shadow gave nothing that anybody could score.

    What the primary's answer to those is worth nobody said: what its answers are worth on average.
    """
    value = scored["other_score"] - scored["reference_score"]
    rows = scored.assign(value=value, probability=probability)
    if failed.empty or scored.empty:
        return rows
    weights = (1 / probability).where(probability.between(0, 1, inclusive="right"))
    usual = float((weights * scored["reference_score"]).sum() / weights.sum())
    more = failed.assign(
        reference_score=usual, other_score=0.0, value=-usual, probability=failed["sample_probability"]
    )
    return pd.concat([rows, more]).sort_index()


def _valued(rows: pd.DataFrame, value: pd.Series) -> pd.DataFrame:
    return rows.assign(value=value, probability=rows["sample_probability"])


def _nothing(rows: pd.DataFrame, basis: str) -> Evidence:
    none = rows.iloc[:0]
    return Evidence(_valued(none, none["agreement"]), basis, _run(rows))


def _run(rows: pd.DataFrame) -> int:
    """How many pairs have an answer of the primary to be held against."""
    return int((used_as(rows, (*_ALIKE, "unscored")) & ~rows["is_noise"]).sum())


def _selection(main: pd.DataFrame, part: pd.DataFrame) -> str:
    """How the agreement of a part differs from that of the rest, if it does by more than chance."""
    alike = main.loc[used_as(main, _ALIKE), "agreement"].dropna()
    is_inside = alike.index.isin(part.index)
    inside, outside = alike[is_inside], alike[~is_inside]
    if (
        len(inside) < 2
        or len(outside) < 2
        or scipy.stats.mannwhitneyu(inside, outside).pvalue >= _SELECTION_LEVEL
    ):
        return ""
    return f"their mean agreement is {inside.mean():.2f}, that of the others {outside.mean():.2f}"


def _whose(scored: pd.DataFrame, scorer: str, alike: int) -> str:
    """Whose scores they are, in words; `alike` of them only measure likeness to an expected answer."""
    if alike:
        rest = len(scored) - alike
        return "likeness to the expected answer" + (f" and, on {rest:,}, ground truth" if rest else "")
    if "scored_by" in scored:
        return plain(scored["scored_by"].iloc[0])
    if scorer == "people" and "people" in scored:
        most = int(scored["people"].max())
        if most > 1:
            return f"people (up to {most} a pair, averaged)"
        who = len(_pairs_of_each(_column(scored, f"{PREFIX['people']}names", None)))
        return "one person" if who <= 1 else f"{counted(who, 'people')} (one a pair)"
    if scorer == TRUTH:
        names = _column(scored, f"{PREFIX[TRUTH]}names", None)
        each = _pairs_of_each(names)
        return f"ground truth ({_in_words(each, names)})" if len(each) > 1 else _WORDS[scorer]
    return _WORDS[scorer]


def _identity(scored: pd.DataFrame, scorer: str) -> str:
    """What tells this scorer from another: a name, where there is one; else the kind."""
    if scorer == "people" and "scored_by" in scored:
        return str(scored["scored_by"].iloc[0])
    if scorer == TRUTH:
        each = _pairs_of_each(_column(scored, f"{PREFIX[TRUTH]}names", None))
        return f"{TRUTH}: {each.index[0]}" if len(each) == 1 else TRUTH
    return scorer


def _column(rows: pd.DataFrame, name: str, default: object) -> pd.Series:
    return rows[name] if name in rows else pd.Series(default, index=rows.index)
