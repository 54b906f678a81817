"""Calls by the batch, at half the price: written down, handed in, looked after and settled one by one.

In: jobs as `complete()` has them. Out: one attempt row an item, by whichever process is there when the batch
has ended. Begin reading in `batch_calls.py`; `batch_server.py` is one provider's API over the transport,
`judge_batches.py` makes a row of an item's result.

Neighbours use `batch_calls` and `judge_batches`.
"""
