"""What a model said: data out of its text, thoughts apart from it, canonical tool calls, and how it ended.

In come text and calls as a provider gave them; out go the parts that are stored and compared.
Begin with `data`.

Neighbours use `data`, `endings`, `schema_checks`, `thoughts` and `tool_calls`.
"""
