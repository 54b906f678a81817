"""Durable rows: one SQLite file that several processes write, with budgets, calibration and the switch in it.

In come operations (an intent, a row, a flip), answered when they are durable; out go lines that sealing takes
away. Begin with `file`, then `writer`.
"""
