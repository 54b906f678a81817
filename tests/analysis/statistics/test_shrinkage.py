"""Many task types: means drawn together for reading, and every number computed a second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, pairs_frame
from scipy import stats

from kinds import kept
from router_lab.analysis import ab, monitor
from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.analysis.statistics.shrinkage import shrunk_means

DATA = Path(__file__).parents[4] / "shared" / "data" / "mmlu_two_models.parquet"
SHADOW, PRIMARY = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
LATER = (NOW + pd.Timedelta(hours=1)).to_pydatetime()


@pytest.fixture(scope="module")
def subjects() -> pd.DataFrame:
    """MMLU: subject, input_hash, primary, shadow (0 or 1), a row a question."""
    if not DATA.exists():
        pytest.skip("the answers to MMLU are not on this machine; other tests here have made data")
    rows = pd.read_parquet(DATA)
    return pd.DataFrame(
        {
            "subject": rows["subject"],
            "input_hash": pd.factorize(rows["prompt"])[0].astype(str),
            "primary": rows[PRIMARY].astype(float),
            "shadow": rows[SHADOW].astype(float),
        }
    )


@pytest.fixture(scope="module", params=kept([5, 12], 5))
def made(request: pytest.FixtureRequest) -> pd.DataFrame:
    """The same of some made subjects, with repeats."""
    rng = np.random.default_rng(1)
    parts = []
    for number in range(request.param):
        pairs = int(rng.integers(60, 300))
        primary = (rng.random(pairs) < 0.8).astype(float)
        shadow = np.where(rng.random(pairs) < 0.15 + 0.02 * number, 1 - primary, primary)
        inputs = [f"{number}-{one}" for one in rng.integers(0, 2 * pairs, pairs)]
        parts.append(
            pd.DataFrame(
                {"subject": f"s{number:02d}", "input_hash": inputs, "primary": primary, "shadow": shadow}
            )
        )
    return pd.concat(parts, ignore_index=True)


def pairs_of(subjects: pd.DataFrame) -> pd.DataFrame:
    """As pairs with scores, a second apart."""
    frame = pairs_frame(np.full(len(subjects), np.nan))
    return frame.assign(
        task_type=subjects["subject"].to_numpy(),
        input_hash=subjects["input_hash"].to_numpy(),
        primary_score=subjects["primary"].to_numpy(),
        shadow_score=subjects["shadow"].to_numpy(),
        sample_probability=1.0,
    )


def by_hand(group: pd.DataFrame, task_types: int) -> dict[str, float]:
    """What `ab` and `monitor` say of one subject, by formulas written again here."""
    difference = (group["shadow"] - group["primary"]).to_numpy()
    inputs = group["input_hash"].to_numpy(object)
    total, mean = len(difference), difference.mean()
    sums = pd.DataFrame({"pull": difference - mean, "n": 1.0}).groupby(inputs).sum()
    clusters = len(sums)
    error = np.sqrt((clusters - 1) / clusters * ((sums["pull"] / (total - sums["n"])) ** 2).sum())
    half = stats.t.ppf(0.975, clusters - 1) * error
    first = (1 + difference[~pd.Series(inputs, dtype=object).duplicated().to_numpy()]) / 2
    bets, bar = np.geomspace(0.02, 0.98, 12), 0.475
    above = np.cumsum(np.log1p(np.outer(first / bar - 1, bets)), axis=0)
    below = np.cumsum(np.log1p(np.outer((1 - first) / (1 - bar) - 1, bets)), axis=0)
    log_e = [
        np.log(np.exp(path - path.max(axis=1, keepdims=True)).mean(axis=1)) + path.max(axis=1)
        for path in (above, below)
    ]
    reached = [np.flatnonzero(path >= np.log(task_types / 0.05)) for path in log_e]
    return {
        "pairs": total, "clusters": clusters, "difference": mean, "t_low": mean - half, "t_high": mean + half,
        "error": error,
        "primary_mean": group["primary"].mean(), "shadow_mean": group["shadow"].mean(),
        "distinct": len(first), "mean": first.mean(),
        "log_e_above": log_e[0][-1], "log_e_below": log_e[1][-1],
        "decided_after": min((int(one[0]) + 1 for one in reached if len(one)), default=np.nan),
    }  # fmt: skip


def exact_low(group: pd.DataFrame, error: float) -> float:
    """Gaffke's lower bound of the mean difference, from 50,000 draws of its Dirichlet weights."""
    sums = (
        group.assign(value=group["shadow"] - group["primary"])
        .groupby("input_hash")["value"]
        .agg(["sum", "size"])
    )
    parts = np.append(sums["sum"] / sums["size"].mean(), -sums["size"].max() / sums["size"].mean())
    distinct, counts = np.unique(parts, return_counts=True)
    weights = np.random.default_rng(0).gamma(counts, size=(50_000, len(counts)))
    return float(np.quantile(weights @ distinct / weights.sum(axis=1), 0.025))


def agrees_in_every_number(subjects: pd.DataFrame) -> None:
    pairs = pairs_of(subjects)
    judged, watched = (
        ab(pairs).frame.set_index("task_type"),
        monitor(pairs, now=LATER).frame.set_index("task_type"),
    )
    groups = dict(list(subjects.groupby("subject")))
    own = pd.DataFrame({name: by_hand(group, len(groups)) for name, group in groups.items()}).T
    assert list(judged.index) == list(watched.index) == list(own.index)
    for column in ("pairs", "clusters", "difference", "primary_mean", "shadow_mean"):
        assert judged[column].to_numpy(float) == pytest.approx(own[column].to_numpy(float), rel=1e-10)
    assert watched["inputs"].to_numpy(float) == pytest.approx(own["distinct"].to_numpy(float))
    for column in ("mean", "log_e_above", "log_e_below"):
        assert watched[column].to_numpy(float) == pytest.approx(own[column].to_numpy(float), rel=1e-9)
    assert watched["decided_after"].to_numpy(float) == pytest.approx(
        own["decided_after"].to_numpy(float), nan_ok=True
    )
    exact = [
        min(exact_low(group, own.loc[name, "error"]), own.loc[name, "t_low"])
        for name, group in groups.items()
    ]
    assert judged["low"].to_numpy(float) == pytest.approx(np.array(exact), abs=3e-3)
    assert (judged["high"] >= own["t_high"] - 1e-12).all()
    shrunk = shrunk_means(own["difference"], own["error"], own["clusters"])
    assert judged["shrunk_difference"].to_numpy(float) == pytest.approx(shrunk, rel=1e-9)
    clear = judged.index[judged["verdict"].isin(["non-inferior", "superior"])]
    assert not watched.loc[clear, "outcome"].isin(["worse"]).any()


@pytest.mark.soak  # of five made subjects `make test` works every number out again
@pytest.mark.timeout(600)
def test_every_number_of_57_subjects_comes_out_again(subjects):
    """No repeats weigh anything in MMLU: every subject is judged on its own questions."""
    agrees_in_every_number(subjects)


def test_every_number_of_made_subjects_comes_out_again(made):
    agrees_in_every_number(made)


def errors_of(subjects: pd.DataFrame, pairs: int, runs: int, seed: int = 2) -> tuple[float, float, float]:
    """RMSE against the other questions of each subject: means of so many pairs, drawn together, pooled.

    At least half of a subject's questions stay out: of the 20 left beside 80, a mean is mostly noise itself.
    """
    rng = np.random.default_rng(seed)
    groups = [(one["shadow"] - one["primary"]).to_numpy() for _, one in subjects.groupby("subject")]
    missed = []
    for _ in range(runs):
        shuffled = [rng.permutation(one) for one in groups]
        taken = [min(pairs, len(one) // 2) for one in shuffled]
        seen = [one[:few] for one, few in zip(shuffled, taken, strict=True)]
        rest = np.array([one[few:].mean() for one, few in zip(shuffled, taken, strict=True)])
        found = [cluster_mean(one) for one in seen]
        means = np.array([one.mean for one in found])
        drawn = shrunk_means(means, [one.standard_error for one in found], [one.clusters for one in found])
        missed.append(
            [((one - rest) ** 2).mean() for one in (means, drawn, np.full(len(means), means.mean()))]
        )
    raw, shrunk, pooled = np.sqrt(np.mean(missed, axis=0))
    print(f"{pairs} pairs, {runs} runs: raw {raw:.4f}, drawn together {shrunk:.4f}, pooled {pooled:.4f}")
    return float(raw), float(shrunk), float(pooled)


@pytest.mark.few(1)
@pytest.mark.parametrize(("pairs", "ratio"), [(20, 0.082 / 0.108), (40, 0.073 / 0.084), (80, 0.069 / 0.074)])
def test_drawn_together_they_are_nearer_to_the_truth(subjects, pairs, ratio):
    """facts/evidence.md: RMSE .108 / .084 / .074 raw, .082 / .073 / .069 drawn together."""
    raw, shrunk, pooled = errors_of(subjects, pairs, 60)
    assert shrunk <= 1.03 * ratio * raw
    assert shrunk < pooled


@pytest.mark.soak
@pytest.mark.parametrize(("pairs", "ratio"), [(20, 0.082 / 0.108), (40, 0.073 / 0.084), (80, 0.069 / 0.074)])
def test_drawn_together_with_2000_replications(subjects, pairs, ratio):
    raw, shrunk, pooled = errors_of(subjects, pairs, 2_000)
    assert shrunk <= 1.02 * ratio * raw
    assert shrunk < pooled


def test_of_made_subjects_too():
    rng = np.random.default_rng(3)
    truth = rng.normal(-0.05, 0.08, 40)
    made = pd.concat(
        [
            pd.DataFrame(
                {
                    "subject": f"s{number:02d}",
                    "primary": 0.0,
                    "shadow": np.clip(rng.normal(mean, 0.4, 400), -1, 1),
                }
            )
            for number, mean in enumerate(truth)
        ]
    )
    raw, shrunk, pooled = errors_of(made, 20, 60)
    assert shrunk < 0.8 * raw and shrunk < pooled


def test_no_verdict_and_no_interval_uses_it(made):
    pairs = pairs_of(made)
    one = made["subject"].iloc[0]
    alone = ab(pairs[pairs["task_type"] == one]).frame.iloc[0]
    whole = ab(pairs)
    beside = whole.frame.set_index("task_type").loc[one]
    assert np.isnan(alone["shrunk_difference"]) and np.isfinite(beside["shrunk_difference"])
    for column in ("difference", "low", "high"):
        assert alone[column] == beside[column]
    assert "Shrunk difference" in whole._repr_html_()


@pytest.mark.parametrize("means", [[], [0.1], [0.1, 0.2], [0.1, np.nan, 0.2]])
def test_too_few_are_not_drawn_together(means):
    assert np.isnan(shrunk_means(means, [0.1] * len(means), [10] * len(means))).all()


def test_what_its_noise_explains_is_one_mean():
    found = shrunk_means([0.0, 0.01, -0.01], [0.1] * 3, [20] * 3)
    assert found == pytest.approx([0.0] * 3, abs=1e-9)
