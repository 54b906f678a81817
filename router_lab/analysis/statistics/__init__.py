"""Methods: functions of arrays and numbers, which know nothing of ledgers, pairs or models.

Each states its source. Begin with `betting` (anytime-valid) and `clustered` (one look).
"""
