"""What in the pairs of one group could mislead: findings, some of which refuse a conclusion."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from router_lab.analysis.evidence.ladder import FAILED, QUALITY, Evidence
from router_lab.analysis.evidence.people_and_judge import by_chance, shared_pairs
from router_lab.analysis.evidence.prompts import COLUMN as PROMPT
from router_lab.analysis.evidence.prompts import varies
from router_lab.analysis.evidence.row_selection import distinct_values, rows_where, used_as
from router_lab.counted import counted
from router_lab.defaults import MARGIN, SIMILARITIES
from router_lab.shown.wording import UNSTORED, clusters_in_words, percent, plain, plain_text, points

REFUSALS = (
    "too_few_clusters",
    "unscored",
    "selected_scores",
    "judge_by_chance",
    "truncated_primaries",
    "primary_unusable",
    "no_primary",
    "no_shadow",
    "misconfigured",
    "dropped",
    "mixed_comparators",
    "mixed_models",
    "mixed_parameters",
    "mixed_prompts",
    "bad_sampling",
    "sampling_changed",
)

# What to do about several models of a side.
_ONE_OF = {
    "primary": "filter to one",
    "shadow": "judge each by rl.race, or filter `shadow_alias` to one",
}

FEWEST_CLUSTERS = 10
FEW_CLUSTERS = 50
LARGEST_SHARE = 0.10
MOST_UNSCORED = 0.05
MOST_TRUNCATED = 0.02
MOST_UNUSABLE = 0.02
MOST_MISCONFIGURED = 0.05
MOST_DROPPED = 0.20
MANY_BOTH_WRONG = 0.20
# A primary that fails at less than this share, as it is shown, never fails.
_NEVER = 0.0005
# An answer scored below this is wrong rather than right.
_HALF_RIGHT = 0.5

# So many shadows in a row that could not work are told from those of some prompts only.
IN_A_ROW = 5

# Below this agreement between scorers not even tentative conclusions hold (Krippendorff).
LEAST_ALPHA = 0.667

# What a basis is asked of that no pair holds, and where it comes from.
# What a candidate of a replay was asked with that has no prompt of its own.
ROWS_OWN = "that of the rows"

# The same of one whose prompts take turns.
SEVERAL = "several by turns"

NOTHING = {
    "scores": 'no pair has scores; score some with rl.spot_checks(ledger, 100, by="you") or '
    "ledger.import_scores(...)",
    "judge": 'no pair has a judge\'s preference; have some judged with rl.recompare(ledger, "judge", '
    "router=...)",
    "floor": "no noise pairs to hold the agreement against; set noise_rate of the shadow",
    "agreement": "no pair has an agreement",
}


_WANTED = {"scores": "scores", "judge": "a judge's preference"}

# What is looked at of all pairs, whether they speak or not.
_OF_ALL = (
    "input_hash", "is_noise", "use", "status", "is_unanswered", "primary_ending", "shadow_ending",
    "shadow_error", "is_stored", "old_criteria",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the data. `refuses` means no verdict unless the caller allows `code`."""

    code: str
    message: str
    refuses: bool


def inspect(group: pd.DataFrame, found: Evidence, cluster: str | None) -> list[Finding]:
    """Findings on one group: `group` as `pairs.judged_pairs` made it, `found` what counts of it."""
    main = rows_where(group[[name for name in _OF_ALL if name in group]], ~group["is_noise"])
    return [
        *_size(main, found, cluster),
        *_completeness(main, found),
        *_dropped(main),
        *_led(found),
        *_unanswered(main),
        *_marks(found),
        *_scorers(found),
        *_both_wrong(found),
        *_judge(group, found),
        *_criteria(main, found),
        *_likeness(found),
        *_mixtures(found),
        *_sampling(found),
    ]


def allows_more_failures(found: Evidence, margin: float, primary_mean: float) -> str:
    """That a margin is larger than all that the primary, of this mean score, fails at; else empty."""
    fails = 1 - primary_mean
    says_worth = found.basis == "scores" and not (found.is_comparative or found.similarity)
    if not says_worth or not margin > fails:
        return ""
    limit, told = points(margin, signed=False), points(fails, signed=False)
    often = "twice as often" if fails > _NEVER else "where it never does"
    return (
        f"the margin of {limit} points is larger than all that the primary fails at, {told} points: "
        f"a shadow that fails {often} may pass"
    )


def markable_pairs(rows: pd.DataFrame) -> int:
    """How many pairs of `rows` have two answers that are stored to be read."""
    return int(((rows["use"] == "scored") & rows["is_stored"]).sum())


def nothing_said(rows: pd.DataFrame, basis: str) -> str:
    """What is missing where no pair of a group speaks on a basis, with the remedy."""
    main = rows[~rows["is_noise"]]
    is_answered = used_as(main, ("scored", "unscored"))
    if basis in QUALITY and is_answered.any() and not main.loc[is_answered, "is_stored"].any():
        return f"no pair has {_WANTED[basis]}, and {UNSTORED}"
    if basis not in QUALITY or main.empty or is_answered.any():
        return NOTHING[basis]
    told = _last_error(main)
    return f"no pair has two answers{told}, so that there is nothing to score or to judge: mend that first"


def _size(main: pd.DataFrame, found: Evidence, cluster: str | None) -> list[Finding]:
    if found.rows.empty:
        return [Finding("too_few_clusters", nothing_said(main, found.basis), refuses=True)]
    evidence = found.rows
    sizes = evidence.groupby(cluster, dropna=False).size() if cluster else pd.Series(1, index=evidence.index)
    if len(sizes) < FEWEST_CLUSTERS:
        message = (
            f"only {clusters_in_words(len(sizes), cluster)}, where at least {FEWEST_CLUSTERS} are needed"
        )
        return [Finding("too_few_clusters", message, refuses=True)]
    findings = []
    if len(sizes) < FEW_CLUSTERS:
        findings.append(
            Finding("few_clusters", f"only {clusters_in_words(len(sizes), cluster)}", refuses=False)
        )
    if sizes.max() > LARGEST_SHARE * len(evidence):
        share = f"{sizes.max() / len(evidence):.0%}"
        one = "one input" if cluster in (None, "input_hash") else f"one value of {plain(cluster)}"
        findings.append(Finding("large_cluster", f"{one} makes up {share} of the pairs", refuses=False))
    return findings


def _completeness(main: pd.DataFrame, evidence: Evidence) -> list[Finding]:
    """Pairs that ran and do not count, or count as a failure of the shadow."""
    uses = main["use"].value_counts()
    ran = int(uses.drop(["misconfigured", "dropped", "not_run"], errors="ignore").sum())
    if not ran:
        return []
    # Scores of a part are a matter of how that part was drawn; see `_marks`.
    silent = 0 if evidence.basis == "scores" else int(uses.get("unscored", 0))
    # Also those whose answers are scored: 0 points for no answer say nothing of an answer.
    no_answer = main[used_as(main, ["primary_unusable", "both_unusable"])]
    is_left_out = no_answer.index.difference(evidence.rows.index).size > 0
    told = (
        ("unscored", silent, "have no usable score", MOST_UNSCORED),
        ("truncated_primaries", int(uses.get("truncated", 0)), "have a truncated primary", MOST_TRUNCATED),
        # Also where the shadow has none either: it is a failure of the primary's that nothing is said of.
        ("primary_unusable", len(no_answer),
         f"have no answer of the primary's ({_endings(no_answer, 'primary')})"
         + (" and are left out" if is_left_out else ""),
         MOST_UNUSABLE),
        ("both_unusable", int(uses.get("both_unusable", 0)),
         "have no answer on either side", 1),
        ("no_primary", int(uses.get("no_primary", 0)), "have no primary answer and are left out",
         MOST_DROPPED),
        ("shadow_failed", int(uses.get("shadow_failed", 0)),
         "have a failed shadow, counted as its failure", 1),
        ("shadow_unusable", int(uses.get("shadow_unusable", 0)),
         f"have no answer of the shadow's ({_endings(main[main['use'] == 'shadow_unusable'], 'shadow')}), "
         "counted as its failure", 1),
    )  # fmt: skip
    return [
        Finding(code, f"{number / ran:.1%} of the pairs {what}", refuses=number / ran > limit)
        for code, number, what, limit in told
        if number
    ]


def _endings(pairs: pd.DataFrame, side: str) -> str:
    """How the answers of one side ended, the most frequent first."""
    if pairs.empty:
        return ""
    counts = pairs[f"{side}_ending"].dropna().astype(str).value_counts()
    return ", ".join(str(name).replace("_", " ") for name in counts.index if name != "complete")


def _dropped(main: pd.DataFrame) -> list[Finding]:
    """Pairs that were sampled and have no answer of the shadow for a reason that is not the shadow's."""
    found = []
    is_mended = _mended(main)
    mended, main = main[is_mended & (main["use"] == "misconfigured")], rows_where(main, ~is_mended)
    uses = main["use"].value_counts()
    dropped, wrong = int(uses.get("dropped", 0)), int(uses.get("misconfigured", 0))
    sampled = int(uses.drop("not_run", errors="ignore").sum())
    usable = int(uses.reindex(["scored", "shadow_failed", "shadow_unusable"]).sum())
    if dropped:
        reasons = main.loc[main["use"] == "dropped", "status"].astype(str).value_counts().index
        why = ", ".join(str(name).replace("_", " ") for name in reasons)
        message = f"{dropped / sampled:.1%} of the sampled pairs were dropped ({why})"
        refuses = dropped > MOST_DROPPED * sampled
        if refuses:
            message += f", and those that were not are no random part: {_remedy(reasons)}"
        found.append(Finding("dropped", message, refuses))
    if wrong:
        error = _last_error(main[main["use"] == "misconfigured"])
        message = f"{counted(wrong, 'shadows')} could not work{error}: mend it and compare again"
        refuses = wrong > MOST_MISCONFIGURED * sampled or usable < wrong
        found.append(Finding("misconfigured", message, refuses))
    if len(mended):
        message = (
            f"{counted(len(mended), 'shadows')} could not work{_last_error(mended)} until that was mended"
        )
        found.append(Finding("mended", f"{message}, and are left out", refuses=False))
    return found


def _mended(main: pd.DataFrame) -> pd.Series:
    """Which pairs without a shadow that could work, oldest first, matter no more: answers came since.

    Those whose input was answered since, and those at the beginning or so many in a row that no kind of
    prompt is to blame. What an open breaker kept back among them goes with them.
    """
    is_wrong, is_held = main["use"] == "misconfigured", main["status"] == "breaker_open"
    is_answered = ~main["is_unanswered"] & ~used_as(main, ["misconfigured", "dropped", "not_run"])
    is_mended = pd.Series(False, index=main.index)
    if not is_wrong.any() or not is_answered.any():
        return is_mended
    known = main[is_wrong | is_held | is_answered]
    answered = is_answered[known.index]
    stretch = (answered != answered.shift()).cumsum()
    wrong_in_stretch = is_wrong[known.index].groupby(stretch).transform("sum")
    is_over = ~answered & (stretch < stretch.max())
    is_one_cause = (wrong_in_stretch >= IN_A_ROW) | ((stretch == 1) & (wrong_in_stretch > 0))
    is_mended[known.index] = is_over & is_one_cause
    place = pd.Series(np.arange(len(main)), index=main.index)
    last_answer = place[is_answered].groupby(main.loc[is_answered, "input_hash"]).max()
    is_mended |= is_wrong & (place < main["input_hash"].map(last_answer).fillna(-1))
    return is_mended


def _remedy(reasons: Collection[str]) -> str:
    """What to do about pairs that were dropped for these reasons."""
    found = []
    if "budget" in reasons or "queue_full" in reasons:
        found.append("raise the shadow's budget or queue")
    if "breaker_open" in reasons:
        found.append("see why the shadow's server fails (`router-lab check`), the breaker opens no sooner")
    return "; ".join(found) or "run them to their end"


def _unanswered(main: pd.DataFrame) -> list[Finding]:
    """Shadows of which not one answered: of a server that is not there nothing is known but that."""
    is_run = ~used_as(main, ["misconfigured", "dropped", "not_run"])
    if not is_run.any() or not main.loc[is_run, "is_unanswered"].all():
        return []
    ran = main[is_run]
    message = (
        f"none of the {counted(len(ran), 'shadows')} answered{_last_error(ran)}: see why "
        "(`router-lab check`), mend it "
        "and compare again"
    )
    return [Finding("no_shadow", message, refuses=True)]


def led_by_failures(rows: pd.DataFrame) -> bool:
    """Whether at least half of what `rows` of evidence fall short by are shadows that gave nothing."""
    short = -rows["value"].clip(upper=0.0)
    failed = short[used_as(rows, FAILED)].sum()
    return bool(failed > 0 and failed >= short.sum() / 2)


def _led(found: Evidence) -> list[Finding]:
    """What the shadow gave nothing for, where that is what a verdict against it would rest on."""
    rows = found.rows
    if rows.empty or not float(rows["value"].mean()) < -MARGIN or not led_by_failures(rows):
        return []
    told = _last_error(rows[used_as(rows, FAILED)])
    message = f"it falls short mostly where the shadow gave no answer{told}: mend that first"
    return [Finding("led_by_failures", message, refuses=False)]


def _last_error(pairs: pd.DataFrame) -> str:
    """The last message of shadows that failed, which says what to do."""
    messages = pairs["shadow_error"].dropna()
    return f" ({plain_text(messages.iloc[-1])})" if len(messages) else ""


def _marks(evidence: Evidence) -> list[Finding]:
    """How the pairs that are scored were come by."""
    found = [Finding("passed_over", message, refuses=False) for message in evidence.passed_over]
    held, of = len(evidence.rows), evidence.of
    if evidence.selected:
        message = f"scored are {held:,} of {of:,} pairs, which are no random part ({evidence.selected}): " + (
            "have pairs drawn by rl.spot_checks" if evidence.rows["is_stored"].any() else "score all of them"
        )
        found.append(Finding("selected_scores", message, refuses=True))
    elif evidence.known_inputs and held < of:
        told = f", which differ from the others: {evidence.unlike}" if evidence.unlike else ""
        message = (
            f"the expected answer is known of {held:,} of {counted(of, 'pairs')}, and speaks for inputs like "
            f"theirs{told}"
        )
        found.append(Finding("known_inputs", message, refuses=False))
    elif evidence.unknown_design and held < of:
        message = f"how the {held:,} scored of {of:,} pairs were drawn is not known"
        found.append(Finding("unknown_design", message, refuses=False))
    if evidence.unsure:
        message = f"of {counted(evidence.unsure, 'marked pairs')} nobody could tell, and they are left out"
        found.append(Finding("unsure", message, refuses=False))
    if evidence.chosen:
        message = f"{counted(evidence.chosen, 'scored pairs', 'were')} chosen by hand and left out"
        found.append(Finding("chosen", message, refuses=False))
    return found


def _scorers(evidence: Evidence) -> list[Finding]:
    """How far people agree who scored the same pairs."""
    rows = evidence.rows
    if evidence.scorer != "people" or "scorer_pairs" not in rows or rows["scorer_pairs"].isna().all():
        return []
    pairs, same, alpha = (rows[f"scorer_{name}"].max() for name in ("pairs", "same", "alpha"))
    message = (
        f"of {counted(pairs, 'pairs')} that several people scored, they said the same of {percent(same)}"
    )
    if alpha == alpha:
        message += f" (Krippendorff's alpha {alpha:.2f}: 1 is full agreement, 0 what chance gives)"
    if alpha < LEAST_ALPHA:
        message += ", too little to rely on: agree first on what makes an answer the better one"
    return [Finding("scorers", message, refuses=False)]


def _both_wrong(evidence: Evidence) -> list[Finding]:
    """Pairs in which neither answer is worth anything: as good as the primary is not good there.

    A likeness to the expected answer says of none that it is wrong.
    """
    rows = evidence.rows
    if evidence.basis != "scores" or evidence.similarity or rows.empty:
        return []
    is_wrong = (rows["reference_score"] < _HALF_RIGHT) & (rows["other_score"] < _HALF_RIGHT)
    weights = (1 / rows["probability"]).where(rows["probability"].between(0, 1, inclusive="right"), 0.0)
    share = float(weights[is_wrong].sum() / weights.sum()) if weights.sum() > 0 else 0.0
    if share < MANY_BOTH_WRONG:
        return []
    message = (
        f"both answers are wrong in {percent(share)} of the pairs: as good as the primary is not good there"
    )
    return [Finding("both_wrong", message, refuses=False)]


def _criteria(main: pd.DataFrame, evidence: Evidence) -> list[Finding]:
    """Verdicts of the same judge by other criteria, which are another scorer's."""
    old = int(main["old_criteria"].sum()) if "old_criteria" in main else 0
    if not old or not (evidence.basis == "judge" or evidence.is_helped):
        return []
    message = (
        f"the judge said of {counted(old, 'pairs')} what it thought by other criteria, "
        "which is left out: have them "
        "judged again by the newest"
    )
    return [Finding("other_criteria", message, refuses=False)]


def _judge(group: pd.DataFrame, evidence: Evidence) -> list[Finding]:
    """A judge that knows nothing: refused as evidence, and no help to people's marks."""
    is_judged, may_help = evidence.basis == "judge", shared_pairs(group, evidence) is not None
    message = by_chance(group) if is_judged or may_help else ""
    if not message:
        return []
    if is_judged:
        message += ": its preference is no evidence; use another judge, or people's marks"
        return [Finding("judge_by_chance", message, refuses=True)]
    return [Finding("judge_by_chance", f"{message}, and is no help beside their marks", refuses=False)]


def _likeness(evidence: Evidence) -> list[Finding]:
    if evidence.similarity:
        message = (
            f"`{evidence.similarity}` measures how alike an answer and the expected one are, not whether "
            "it is right: score with a stricter comparator"
            + (", or have people mark some pairs" if evidence.rows["is_stored"].any() else "")
        )
        return [Finding("similarity", message, refuses=False)]
    if evidence.is_quality:
        return []
    rows = evidence.rows
    is_likeness = rows["comparator"].isin(SIMILARITIES) | rows["is_likeness"].eq(True)
    graded = distinct_values(rows.loc[is_likeness, "comparator"])
    if not graded:
        return []
    message = f"`{plain(graded[0])}` measures how alike two answers are, not whether they are right: " + (
        "score some pairs, or use a judge" if rows["is_stored"].any() else "have a judge compare as they come"
    )
    return [Finding("similarity", message, refuses=False)]


def _mixtures(found_evidence: Evidence) -> list[Finding]:
    found, evidence = [], found_evidence.rows
    comparators = distinct_values(evidence["comparator"])
    if len(comparators) > 1 and not found_evidence.is_quality:
        kinds = distinct_values(evidence["task_type"]) if "task_type" in evidence else []
        remedy = "judge one task type, or compare" if len(kinds) > 1 else "filter to one, or compare"
        of_kinds = f" of {len(kinds)} task types" if len(kinds) > 1 else ""
        message = f"several comparators ({', '.join(comparators)}){of_kinds}: {remedy} again"
        found.append(Finding("mixed_comparators", message, refuses=True))
    for side in ("primary", "shadow"):
        models = distinct_values(evidence[f"{side}_model"]) or distinct_values(evidence[f"{side}_alias"])
        if len(models) > 1:
            message = f"several {side} models ({', '.join(models)}): {_ONE_OF[side]}"
            found.append(Finding("mixed_models", message, refuses=True))
        elif side == "shadow" and len(names := distinct_values(evidence["shadow_alias"])) > 1:
            message = f"several shadows of one model ({', '.join(names)}): {_ONE_OF[side]}"
            found.append(Finding("mixed_models", message, refuses=True))
        asked = distinct_values(evidence[f"{side}_parameters"])
        if len(asked) > 1:
            shown = ", ".join(asked[:3]) + (" ..." if len(asked) > 3 else "")
            message = f"the {side} was asked with several parameters ({shown[:300]}): filter to one"
            found.append(Finding("mixed_parameters", message, refuses=True))
    return [*found, *_own_prompts(evidence), *_prompts(evidence)]


def prompt_name(number: float) -> str:
    """A candidate's own prompt, as its number is told."""
    return f"{int(number):012x}"


def _own_prompts(evidence: pd.DataFrame) -> list[Finding]:
    """Whether a replay's candidate of one name was asked with several prompts of its own."""
    asked = evidence.loc[evidence["use"] == "scored", "shadow_prompt"].fillna(-1).value_counts(sort=False)
    if len(asked) < 2:
        return []
    told = ", ".join(
        f"{ROWS_OWN if number < 0 else prompt_name(number)} on {pairs:,}"
        for number, pairs in asked.head(3).items()
    )
    message = (
        f"the shadow was asked with several prompts ({told}{', ...' if len(asked) > 3 else ''}): give each a "
        "candidate of its own name, or filter to one `shadow_prompt` of the `details`"
    )
    return [Finding("mixed_prompts", message, refuses=True)]


def _prompts(evidence: pd.DataFrame) -> list[Finding]:
    """Whether the prompt stayed the same, as far as that can be told."""
    if varies(evidence):
        message = (
            "the system text, tools or schema change from call to call, so that a change of the prompt is "
            'only seen where it has a name: tags={"prompt_version": "v2"}'
        )
        return [Finding("varying_prompts", message, refuses=False)]
    versions = evidence[PROMPT].dropna().value_counts(sort=False)
    if len(versions) < 2:
        return []
    told = ", ".join(f"{plain(name)} on {pairs:,}" for name, pairs in versions.head(3).items())
    told += ", ..." if len(versions) > 3 else ""
    message = f"the prompt changed between these pairs ({told}): filter `{PROMPT}` to one for its own verdict"
    return [Finding("mixed_prompts", message, refuses=False)]


def _sampling(found: Evidence) -> list[Finding]:
    evidence = found.rows
    probability = evidence["sample_probability"]
    broken = int((~probability.between(0, 1, inclusive="right")).sum())
    if broken:
        message = f"{counted(broken, 'pairs', 'have')} no sampling probability in (0, 1]"
        return [Finding("bad_sampling", message, refuses=True)]
    if probability.nunique() > 1 and _is_drawn_by_task_type(evidence):
        message = (
            f"rows were drawn by task type, with chances of {probability.min():.3g} to "
            f"{probability.max():.3g}: each pair is weighted by one over its own"
        )
        return [Finding("drawn_by_task_type", message, refuses=False)]
    if probability.nunique() > 1:
        rates = ", ".join(f"{rate:g}" for rate in sorted(probability.unique())[:5])
        message = (
            f"the sampling rate changed ({rates}): filter to one epoch, "
            "or allow={'sampling_changed'} to weight by one over it"
        )
        return [Finding("sampling_changed", message, refuses=True)]
    return _noise_rate(evidence) if found.basis == "floor" else []


def _is_drawn_by_task_type(evidence: pd.DataFrame) -> bool:
    """Whether chances differ as one replay drew its rows: by task type, whatever became of them meanwhile."""
    if not {"origin", "run_id", "task_type"} <= set(evidence) or set(evidence["origin"]) != {"replay"}:
        return False
    chances = evidence.groupby("task_type", observed=True)["sample_probability"].nunique()
    return bool(evidence["run_id"].nunique(dropna=False) == 1 and (chances == 1).all())


def _noise_rate(evidence: pd.DataFrame) -> list[Finding]:
    """That a request was asked of the primary twice has a chance of its own, which may have changed."""
    rates = (evidence["probability"] / evidence["sample_probability"]).round(6)
    if rates.nunique() < 2:
        return []
    told = ", ".join(f"{rate:g}" for rate in sorted(rates.unique())[:5])
    message = f"the noise rate changed ({told}): each pair is weighted by one over its own"
    return [Finding("noise_rate_changed", message, refuses=False)]
