"""Estimators of input tokens: text features, and two ways to calibrate them.

In come texts, and what providers counted of texts before; out goes a number of tokens. Begin with
`estimator`.

Neighbours use `estimator` and `features`.
"""
