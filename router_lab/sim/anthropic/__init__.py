"""Anthropic's Messages API on the wire.

In comes a request's JSON; out goes the answer's. Begin with `messages_api`.
"""
