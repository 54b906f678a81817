"""Ollama's API on the wire, and what each of its versions does to a prompt that does not fit.

In comes a request's JSON; out goes the answer's. Begin with `chat_api`.

Neighbours use `chat_api` and `model_endpoints`.
"""
