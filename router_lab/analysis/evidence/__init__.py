"""From rows of a ledger to pairs one may conclude from: whose word counts, for which, and what misleads.

In come `comparisons` and `scores`; out go pairs with a value, a basis and findings. Begin with `ladder`, then
`pairs`.
"""
