"""Parquet: how settled rows leave the journal, and how sealed files are replaced by others.

In come batches of the journal; out go files that the manifest names. Begin with `seal`, then `rewrite`.

Neighbours use `foreign`, `parquet`, `rewrite`, `seal` and `sealed_files`.
"""
