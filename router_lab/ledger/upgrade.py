"""Journals of version 1, whose rows were JSON arrays, brought up to date when they are opened for writing."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from pydantic_core import from_json

from router_lab.ledger.lines import LINES_VERSION, line, line_columns, text_bytes
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
