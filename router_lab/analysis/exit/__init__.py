"""The stable-state exit: may one stop comparing, however often one looks?

In come the pairs of each task type since what is compared last changed; out goes a decision with its plan.
Begin with `monitor`.

Neighbours use `decision`, `history`, `monitor`, `overview`, `runs` and `watches`.
"""
