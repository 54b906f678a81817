"""Sealed and unsealed rows as one table, each row exactly once, as of one instant.

Begin with `reader`; `tables` gives Ibis over it.

Neighbours use `kept_answers`, `queries`, `reader`, `spend`, `stored_attempts` and `tables`.
"""
