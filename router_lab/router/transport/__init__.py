"""The one place that opens sockets: a `WireRequest` goes out, bytes or a `ProviderError` come back.

Begin with `transport`.

Neighbours use `transport`.
"""
