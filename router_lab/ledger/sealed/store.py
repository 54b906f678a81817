"""What changes of sealed files work on: the files, the journal that lists them, and one listed file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.schema import Table
from router_lab.ledger.sealed.seal import Transact


@dataclass(frozen=True, slots=True)
class SealedStore:
    """What rewriting needs: the files, a way to write the journal, and a way to read it."""

    files: Files
    transact: Transact[Any]
    snapshot: Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One sealed file of the manifest."""

    path: str
    table: Table
    date: str
    rows: int
    bytes: int
    sha256: str
