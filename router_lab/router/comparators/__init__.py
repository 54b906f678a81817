"""One small class per way of comparing two answers.

In come two answers; out goes how alike they are, or which a judge prefers. Begin with `compare`.

Neighbours use `answer_comparator`, `compare`, `judge`, `pair` and `worker`.
"""
