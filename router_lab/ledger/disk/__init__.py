"""Files, folders, object stores and the locks between processes; and what to do when they fail.

Begin with `sealed_storage`.

Neighbours use `disk_problems`, `locks`, `place`, `read_ahead` and `sealed_storage`.
"""
