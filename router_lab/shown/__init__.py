"""The one place that makes HTML, and words and tables of numbers.

In come values and texts that a model or a user wrote; out goes markup in which every one of them is escaped.
Begin with `escape`: nothing else may import `html`.

Neighbours use `answer`, `elements`, `escape`, `figure`, `markup`, `style` and `wording`.
"""
