"""Older journals, brought up to date when they are opened for writing.

The rows of version 1 were JSON arrays. Up to version 3 one flip of the switch was kept for each prefix, up to
version 4 nothing told when a calibration state had last learnt.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from pydantic_core import from_json

from router_lab.ledger.journal.lines import (
    LINES_VERSION,
    line,
    line_columns,
    text_bytes,
)
from router_lab.ledger.schema import TABLES, Table, json_text


def from_version_1(journal: sqlite3.Connection) -> None:
    """Rewrite every row, within the caller's transaction. Intents stay intents."""
    _finish_batches(journal)
    journal.execute("DROP TABLE batches")
    journal.execute("CREATE TABLE batches (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    known = {
        (name, version): json.loads(columns)
        for name, version, columns in journal.execute("SELECT name, version, columns FROM schemas")
    }
    for index in ("intents", "pair_intents"):
        journal.execute(f"DROP INDEX IF EXISTS {index}")
    there = {name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for name, table in TABLES.items():
        if f"{name}_journal" not in there:
            continue
        for column in ("line", *table.content):
            journal.execute(f"ALTER TABLE {name}_journal ADD COLUMN {column} BLOB")
        texts = "".join(f", {column} = ?" for column in table.content)
        rows = journal.execute(
            f"SELECT seq, schema, payload, lines FROM {name}_journal"  # noqa: S608 - our own names
        ).fetchall()
        for seq, version, payload, lines in rows:
            values = dict(zip(known[name, version], from_json(payload), strict=False)) | {
                "budget_lines": lines
            }
            journal.execute(
                f"UPDATE {name}_journal SET schema = ?, line = ?{texts} WHERE seq = ?",  # noqa: S608
                (
                    LINES_VERSION,
                    _line(table, values),
                    *(text_bytes(values.get(c)) for c in table.content),
                    seq,
                ),
            )
        journal.execute(f"ALTER TABLE {name}_journal DROP COLUMN payload")


def from_version_3(journal: sqlite3.Connection) -> None:
    """Take over the switch, within the caller's transaction: what a `with` block held goes with its owner."""
    copy_flips(journal)
    leases = journal.execute("SELECT value FROM meta WHERE key GLOB 'switch_lease/*'").fetchall()
    for (text,) in leases:
        lease = json.loads(text)
        before = lease["before"]
        held = journal.execute(
            "UPDATE switch_flips SET owner = ?, author = ? WHERE epoch = ?",
            (lease["owner"], lease["author"], lease["epoch"]),
        )
        if before is not None and held.rowcount:
            names = ", ".join(before)
            marks = ", ".join(f":{name}" for name in before)
            journal.execute(
                f"INSERT OR IGNORE INTO switch_flips ({names}, author) VALUES ({marks}, '')",  # noqa: S608
                before,
            )
    journal.execute("DELETE FROM meta WHERE key GLOB 'switch_lease/*' OR key GLOB 'switch_put_back/*'")
    journal.execute("DROP TABLE switch")


def from_version_4(journal: sqlite3.Connection) -> None:
    """Calibration states tell from now on when they learnt; older ones count as the oldest."""
    journal.execute("ALTER TABLE calibration ADD COLUMN learnt INTEGER NOT NULL DEFAULT 0")


def copy_flips(journal: sqlite3.Connection) -> None:
    """The flips of a journal of version 3 or older, as they are kept now."""
    names = "epoch, prefix, is_on, reason, expires_at, expires_pairs, expires_nano, pairs, spent"
    journal.execute(f"INSERT INTO switch_flips ({names}, author) SELECT {names}, '' FROM switch")  # noqa: S608


def _line(table: Table, values: dict[str, Any]) -> bytes:
    kinds = {column.name: column.kind for column in table.columns}
    row = []
    for name in line_columns(table):
        value = values.get(name)
        row.append(json_text(value) if kinds[name] == "json" and not isinstance(value, str) else value)
    return line(row)


def _finish_batches(journal: sqlite3.Connection) -> None:
    """A batch that is in its files already leaves the journal; one that is not begins anew."""
    sealed = journal.execute("SELECT name, last_seq, skipped FROM batches WHERE sealed").fetchall()
    for name, last_seq, skipped in sealed:
        kept = json.loads(skipped)
        marks = ",".join("?" * len(kept))
        journal.execute(
            f"DELETE FROM {name}_journal WHERE seq <= ? AND seq NOT IN ({marks})",  # noqa: S608 - our own names
            (last_seq, *kept),
        )
