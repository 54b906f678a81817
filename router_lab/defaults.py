"""What is assumed where nobody says otherwise; one accepted loss, so that no two answers differ by it.

The A/B, the exit monitor, the planner, drift, the report, the plots and the panels all use these.
"""

from __future__ import annotations

from typing import Final

# The loss one would accept, as a share: five points. On agreement it is the distance of `BAR` from 1.
MARGIN = 0.05
BAR = 1 - MARGIN

# What a verdict may be judged by, best first; see `analysis.evidence`.
BASES = ("scores", "judge", "floor", "agreement")

# The error rate of a test; intervals are at one less this.
ALPHA = 0.05

# What begins the version of a prompt that nobody named; a hash follows.
UNNAMED_PROMPT: Final = "auto:"

# What ends the name of a judge that was asked by criteria of one's own; a hash of them follows.
BY_CRITERIA: Final = ", criteria "

# Comparators that measure how alike two texts are.
SIMILARITIES: Final = ("text", "similarity", "embedding")

# What ends the signature of scores by a user's own comparator of that kind.
OWN_LIKENESS: Final = " (likeness)"
