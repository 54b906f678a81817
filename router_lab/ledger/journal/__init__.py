"""Durable rows: one SQLite file that several processes write, with budgets, calibration and the switch in it.

In come operations (an intent, a row, a flip), answered when they are durable; out go lines that sealing takes
away. Begin with `file`, then `writer`.

Neighbours use `arrow_rows`, `batch_operations`, `budget_counters`, `calibration`, `damage`, `file`, `forks`,
`lines`, `manifest`, `operations`, `recovery`, `replay_claims`, `switch_store` and `writer`.
"""
