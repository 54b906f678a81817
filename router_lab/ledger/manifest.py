"""The manifest: which sealed files this journal stands for, kept in the journal itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from router_lab.ledger.schema import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A line of the manifest."""

    path: str
    table: str
    date: str
    rows: int
    bytes: int
    sha256: str
    schema: int = SCHEMA_VERSION


def add_to_manifest(journal: sqlite3.Connection, files: Sequence[SealedFile]) -> None:
    """Enter `files`."""
    journal.executemany(
        "INSERT OR REPLACE INTO files (path, name, date, rows, bytes, sha256, schema) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [astuple(file) for file in files],
    )


def ledger_id_of(journal: sqlite3.Connection) -> str:
    """The id that begins the name of every file this journal has sealed."""
    (found,) = journal.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
    return str(found)
