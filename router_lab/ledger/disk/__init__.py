"""Files, folders, object stores and the locks between processes; and what to do when they fail.

Begin with `sealed_storage`.
"""
