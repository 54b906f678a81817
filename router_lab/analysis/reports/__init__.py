"""One page a manager can read: an answer per task type, what it rests on, and what to do next.

In comes a ledger; out goes self-contained HTML, or a record for machines. Begin with `report`.

Neighbours use `answers`, `asked_ahead` and `report`.
"""
