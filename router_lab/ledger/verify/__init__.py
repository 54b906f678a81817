"""Everything about a ledger that can be checked, checked.

In comes a ledger; out go findings, each with what to do. Begin with `verify`.

Neighbours use `verify`.
"""
