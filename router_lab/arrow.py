"""The one door to pyarrow: `from router_lab.arrow import pa, pc` loads it when one of them is first used.

A service that routes calls and writes rows never needs it, and it takes a third of a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.dataset as ds
    import pyarrow.fs as fs
    import pyarrow.parquet as pq
else:

    class _Module:
        """A module that is imported when something of it is first asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            value = getattr(import_module(self._name), attribute)
            setattr(self, attribute, value)
            return value

        def __reduce__(self) -> tuple[type, tuple[str]]:
            return _Module, (self._name,)

        def __repr__(self) -> str:
            return f"<{self._name}, loaded at first use>"

    pa = _Module("pyarrow")
    pc = _Module("pyarrow.compute")
    csv = _Module("pyarrow.csv")
    ds = _Module("pyarrow.dataset")
    fs = _Module("pyarrow.fs")
    pq = _Module("pyarrow.parquet")

__all__ = ["csv", "ds", "fs", "pa", "pc", "pq"]
