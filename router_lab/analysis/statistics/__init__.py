"""Methods: functions of arrays and numbers, which know nothing of ledgers, pairs or models.

Each states its source. Begin with `betting` (anytime-valid) and `clustered` (one look).

Neighbours use `ab_power`, `betting`, `clustered`, `inputs_ahead`, `looks`, `paired_latency`, `pairs_ahead`,
`prediction_powered`, `prediction_powered_betting`, `racing`, `rates`, `shift`, `shrinkage`, `stopping` and
`totals`.
"""
