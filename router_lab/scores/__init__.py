"""What people and judges say of stored pairs: drawn for marking, judged later, compared again.

In comes a ledger's comparisons; out go `Score` rows, with the chance that their pair was drawn.
Begin with `spot_checking`.

Neighbours use `judging`, `mark_design`, `recomparison`, `spot_checking` and `verdict_store`.
"""

from __future__ import annotations

from router_lab.scores.mark_design import Design, differing_more
from router_lab.scores.recomparison import recompare, summary
from router_lab.scores.spot_checking import SpotCheck, SpotChecks, scored_pairs, spot_checks, uncertain_more

__all__ = [
    "Design",
    "SpotCheck",
    "SpotChecks",
    "differing_more",
    "recompare",
    "scored_pairs",
    "spot_checks",
    "summary",
    "uncertain_more",
]
