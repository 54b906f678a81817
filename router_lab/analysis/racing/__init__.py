"""A race: several candidates of one primary on the same inputs, judged together however often one looks.

In come the pairs of a ledger; out go a verdict for each candidate, the cost-quality frontier, and the
cheapest whose loss is within the margin. Begin with `race`.

Neighbours use `frontier`, `race`, `race_overview`, `race_plan` and `race_result`.
"""
