"""OpenAI's API on the wire, and the vendors that speak it in their own ways.

In comes a request's JSON; out goes the answer's. Begin with `completions_api`.

Neighbours use `completions_api`, `file_batches` and `personas`.
"""
