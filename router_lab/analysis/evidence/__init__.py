"""From rows of a ledger to pairs one may conclude from: whose word counts, for which, and what misleads.

In come `comparisons` and `scores`; out go pairs with a value, a basis and findings. Begin with `ladder`, then
`pairs`.

Neighbours use `judge_checks`, `ladder`, `marks`, `pairs`, `people_and_judge`, `population`, `prompts`,
`quality`, `row_selection`, `scorers`, `stored_pairs` and `strata`.
"""
