"""One accounted call: from a task type to a route, from a request to an answer or to the pieces of one.

In come requests; out go answers, whose every attempt has its row. Begin with `calls`; the order of
models and retries is in `dispatch`.

Neighbours use `calls` and `streaming`.
"""
