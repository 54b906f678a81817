"""A second model on the same input, whose answer is only compared.

In come primary answers; out goes one row of `comparisons` per pair. Begin with `shadow`.

Neighbours use `misconfiguration`, `pairing` and `shadow`.
"""
