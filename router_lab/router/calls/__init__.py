"""Several attempts for one call: retries, fallbacks, streams, and the event loop they run on.

Begin with `dispatch`.
"""
