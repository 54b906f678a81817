"""Anthropic's Messages API on the wire.

In comes a request's JSON; out goes the answer's. Begin with `messages_api`.

Neighbours use `message_batches` and `messages_api`.
"""
