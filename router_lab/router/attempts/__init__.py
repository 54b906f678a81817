"""The accounting boundary around one HTTP request, from reservation to row.

In comes a plan; out goes exactly one row of `attempts`, whatever happened. Begin with `attempts`.

Neighbours use `attempts`, `job`, `settlement`, `tokens` and `windows`.
"""
