"""One ledger, every place that gives a verdict: they say the same, in the words the evidence allows."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, pairs_frame

import router_lab as rl
from router_lab.analysis import ab, monitor, report, steer
from router_lab.cli.main import main
from router_lab.ledger import Ledger
from router_lab.records import Score
from router_lab.router.compare import comparator, compare, stored_pair

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_responses.csv"
AT = datetime(2026, 11, 22, tzinfo=UTC)
NAME = "math::word"

# Nobody says so of answers that only differ.
CONDEMNED = re.compile(r"(?<!known to be )\b[Ww]orse|WORSE|\bNo\b, do not|[Dd]o not replace|not_non")


def ledger_of(
    folder: Path, agreement: Any, scores: Any = None, by: str = "replay: number", **columns: Any
) -> Ledger:
    """A ledger on disk with a pair for each agreement; `scores` are (primary, shadow) of each pair."""
    kind = columns.pop("kind", "truth")
    frame = pairs_frame(agreement, NAME, **{"comparator": "number", "details": "{}", **columns})
    day = folder / "ledger" / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    frame.to_parquet(day / "pairs.parquet")
    ledger = Ledger(folder / "ledger")
    if scores is not None:
        ledger.score(*marks(scores, by, kind))
    return ledger


def marks(scores: Any, by: str, kind: str = "truth") -> list[Score]:
    return [
        Score(
            score_id=f"{by}-{place}-{side}", at=AT, quality_score=float(worth), by=by, side=side, kind=kind,
            comparison_id=f"{NAME}-{place:07d}", chance=1.0,
        )
        for place, both in enumerate(scores)
        for side, worth in zip(("primary", "shadow"), both, strict=True)
    ]  # fmt: skip


def text_of(page: str) -> str:
    page = re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def surfaces(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """What each place says of the ledger under `folder`, by its name."""
    place, out, basis = folder / "ledger", folder / "report.html", options[1] if options else None
    moment = NOW.to_pydatetime()
    capsys.readouterr()
    assert main(["report", "--ledger", str(place), "--out", str(out), *options]) == 0
    assert main(["shadow", "monitor", "--ledger", str(place), *options]) == 0
    told = capsys.readouterr().out
    with Ledger(place) as ledger:
        panel, board = rl.panels.MonitorPanel(ledger), rl.panels.dashboard(ledger)
        panel.basis.value = basis or ""
        made = report(ledger, pictures=False, basis=basis, now=moment)
        said = {
            "ab": repr(ab(ledger, basis=basis)),
            "monitor": repr(monitor(ledger, basis=basis, now=moment)),
            "steer": repr(asyncio.run(steer(ledger, basis=basis, now=moment))),
            "report": text_of(made.html()),
            "panel": repr(panel) + text_of(panel._repr_mimebundle_()["text/html"]),
        }
        if basis is None:
            said["dashboard"] = text_of(board.show("May we stop?")._repr_mimebundle_()["text/html"])
    return {**said, "CLI report": text_of(out.read_text()), "CLI monitor": told}


def better_shadow(seed: int = 0) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Of 300: 20 in 100 where only the shadow is right, 3 only the primary, 10 neither, 67 both."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.repeat([0, 1, 2, 3], [60, 9, 30, 201]))
    worth = np.array([(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])[kinds]
    return (kinds == 3).astype(float), [tuple(one) for one in worth]


def gsm8k_swapped() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Primary Mixtral, shadow GPT-4: the numbers of 300 answers compared, and which are right."""
    if not DATA.exists():
        pytest.skip("the real GSM8K answers are not on this machine; the made data say the same")
    answers = pd.read_csv(DATA).head(300)
    names, numbers = ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"), comparator("number")
    texts = answers[[f"{name}_response" for name in names]].itertuples(index=False)
    agreement = [compare(numbers, stored_pair(*both)).agreement for both in texts]
    return np.array(agreement), [tuple(map(float, one)) for one in answers[list(names)].to_numpy()]


@pytest.mark.parametrize("made", [better_shadow, gsm8k_swapped])
def test_a_better_shadow_is_superior_everywhere_and_only_differs_without_its_scores(made, tmp_path, capsys):
    agreement, worth = made()
    ledger_of(tmp_path / "scored", agreement, worth).close()
    for place, said in surfaces(tmp_path / "scored", capsys).items():
        assert re.search("superior|You may replace", said, re.IGNORECASE), place
        assert "ground truth" in said, place
        assert not CONDEMNED.search(said), (place, CONDEMNED.search(said))
        assert "badly off" not in said and "differs" not in said.lower(), place
    ledger_of(tmp_path / "bare", agreement).close()
    for place, said in surfaces(tmp_path / "bare", capsys).items():
        assert re.search("differs|The answers differ", said, re.IGNORECASE), place
        assert "score some pairs" in said, place
        assert not CONDEMNED.search(said), (place, CONDEMNED.search(said))


def test_the_figures_of_the_real_answers(tmp_path):
    agreement, worth = gsm8k_swapped()
    with ledger_of(tmp_path, agreement, worth) as ledger:
        row, gain = ab(ledger).frame.iloc[0], np.subtract(*np.array(worth).T[::-1]).mean()
        assert (row["verdict"], row["difference"]) == ("superior", pytest.approx(gain))
        (decision,) = monitor(ledger, now=NOW.to_pydatetime()).decisions.values()
        assert (decision.outcome, 2 * decision.mean - 1) == ("superior", pytest.approx(gain))
