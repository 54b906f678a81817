"""What the caller asks and of whom: the input in one form, and an alias with all that is needed to call it.

In come arguments of `complete` and settings; out go a `Request` and its targets. Begin with `request`.

Neighbours use `dialects`, `request` and `targets`.
"""
