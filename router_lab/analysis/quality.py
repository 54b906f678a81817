"""What in the pairs of one group could mislead: findings, some of which refuse a conclusion."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from router_lab.analysis.pairs import distinct_values

REFUSALS = (
    "too_few_clusters",
    "unscored",
    "truncated_primaries",
    "mixed_comparators",
    "mixed_models",
    "bad_sampling",
    "sampling_changed",
)

FEWEST_CLUSTERS = 10
FEW_CLUSTERS = 50
LARGEST_SHARE = 0.10
MOST_UNSCORED = 0.05
MOST_TRUNCATED = 0.02


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the data. `refuses` means no verdict unless the caller allows `code`."""

    code: str
    message: str
    refuses: bool


def inspect(group: pd.DataFrame, evidence: pd.DataFrame, cluster: str | None) -> list[Finding]:
    """Findings on one group: `group` as `pairs.judged_pairs` made it, `evidence` the rows that count."""
    main = group[~group["is_noise"]]
    return [*_size(evidence, cluster), *_completeness(main), *_mixtures(evidence), *_sampling(evidence)]


def _size(evidence: pd.DataFrame, cluster: str | None) -> list[Finding]:
    sizes = evidence.groupby(cluster, dropna=False).size() if cluster else pd.Series(1, index=evidence.index)
    if len(sizes) < FEWEST_CLUSTERS:
        message = f"{len(sizes)} distinct inputs, at least {FEWEST_CLUSTERS} are needed"
        return [Finding("too_few_clusters", message, refuses=True)]
    found = []
    if len(sizes) < FEW_CLUSTERS:
        found.append(Finding("few_clusters", f"only {len(sizes)} distinct inputs", refuses=False))
    if sizes.max() > LARGEST_SHARE * len(evidence):
        share = f"{sizes.max() / len(evidence):.0%}"
        found.append(Finding("large_cluster", f"one input makes up {share} of the pairs", refuses=False))
    return found


def _completeness(main: pd.DataFrame) -> list[Finding]:
    uses = main["use"].value_counts()
    ran = int(uses.reindex(["scored", "shadow_failed", "unscored", "truncated", "no_primary"]).sum())
    found = []
    for use, code, what, limit in (
        ("unscored", "unscored", "have no usable score", MOST_UNSCORED),
        ("truncated", "truncated_primaries", "have a truncated primary", MOST_TRUNCATED),
    ):
        share = int(uses.get(use, 0)) / ran if ran else 0.0
        if share:
            found.append(Finding(code, f"{share:.1%} of the pairs {what}", refuses=share > limit))
    for use, what in (
        ("no_primary", "have no primary answer and are left out"),
        ("shadow_failed", "have a failed shadow, counted as disagreement"),
    ):
        if uses.get(use, 0):
            found.append(Finding(use, f"{uses[use] / ran:.1%} of the pairs {what}", refuses=False))
    if uses.get("dropped", 0):
        share = uses["dropped"] / (ran + uses["dropped"])
        found.append(Finding("dropped", f"{share:.1%} of the sampled pairs were dropped", refuses=False))
    return found


def _mixtures(evidence: pd.DataFrame) -> list[Finding]:
    found = []
    comparators = distinct_values(evidence["comparator"])
    if len(comparators) > 1:
        message = f"several comparators ({', '.join(comparators)}): compare again with one, or filter"
        found.append(Finding("mixed_comparators", message, refuses=True))
    for side in ("primary", "shadow"):
        models = distinct_values(evidence[f"{side}_model"]) or distinct_values(evidence[f"{side}_alias"])
        if len(models) > 1:
            message = f"several {side} models ({', '.join(models)}): filter to one"
            found.append(Finding("mixed_models", message, refuses=True))
    return found


def _sampling(evidence: pd.DataFrame) -> list[Finding]:
    probability = evidence["sample_probability"]
    broken = int((~probability.between(0, 1, inclusive="right")).sum())
    if broken:
        message = f"{broken:,} pairs have no sampling probability in (0, 1]"
        return [Finding("bad_sampling", message, refuses=True)]
    if probability.nunique() > 1:
        rates = ", ".join(f"{rate:g}" for rate in sorted(probability.unique())[:5])
        message = (
            f"the sampling rate changed ({rates}): filter to one epoch, "
            "or allow={'sampling_changed'} to weight by one over it"
        )
        return [Finding("sampling_changed", message, refuses=True)]
    return []
