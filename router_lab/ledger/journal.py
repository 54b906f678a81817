"""The journal file: one SQLite database per ledger folder, opened, created and checked here.

It holds the rows not yet sealed, the manifest of sealed files, budgets, the switch and calibration.
Its name begins with an underscore so that Parquet readers given the whole folder pass over it.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from shutil import copyfile
from typing import Literal
from uuid import uuid4

from router_lab.errors import LedgerError
from router_lab.ledger.problems import explain
from router_lab.ledger.schema import SCHEMA_VERSION, TABLES

JOURNAL_NAME = "_journal.sqlite"
LOCKS_NAME = "_locks"
JOURNAL_VERSION = 1

Durability = Literal["full", "os", "batch"]

# A settled row and an intent are the same row: `owner` names the living writer of an intent.
_ROWS = """
CREATE {temporary} TABLE IF NOT EXISTS {name}_journal (
    seq INTEGER PRIMARY KEY, owner TEXT, hold INTEGER, lines TEXT,
    schema INTEGER NOT NULL, payload BLOB NOT NULL
)
"""
_DDL = """
CREATE INDEX intents ON attempts_journal (owner) WHERE owner IS NOT NULL;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE schemas (
    name TEXT, version INTEGER, columns TEXT NOT NULL, PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE TABLE budgets (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, period TEXT NOT NULL, limit_nano INTEGER,
    spent INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, warned INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0, UNIQUE (scope, period)
);
CREATE TABLE calibration (key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE switch (
    prefix TEXT PRIMARY KEY, epoch INTEGER NOT NULL, is_on INTEGER NOT NULL, reason TEXT NOT NULL,
    expires_at INTEGER, expires_pairs INTEGER, expires_nano INTEGER,
    pairs INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, last_seq INTEGER NOT NULL, skipped TEXT NOT NULL,
    sealed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE files (
    path TEXT PRIMARY KEY, name TEXT NOT NULL, date TEXT NOT NULL, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    schema INTEGER NOT NULL
) WITHOUT ROWID;
"""
# Made in journals of every age: finding the pairs of the dead must not read those of the living.
_PAIR_INTENTS = (
    "CREATE INDEX IF NOT EXISTS pair_intents ON comparisons_journal (owner) WHERE owner IS NOT NULL"
)


def synchronous(durability: Durability) -> str:
    """What SQLite calls it: FULL survives a power cut at every commit, NORMAL a killed process."""
    return "FULL" if durability == "full" else "NORMAL"


def open_writer(folder: Path, durability: Durability) -> sqlite3.Connection:
    """A connection for the one writing thread; creates folder and journal if need be.

    The caller holds the folder's write lock. Raises `LedgerError`.
    """
    path = folder / JOURNAL_NAME
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous(durability)}")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        # Rows that were sealed need not be overwritten; where content must go for good, `vacuum` does it.
        connection.execute("PRAGMA secure_delete = FAST")
        _check_version(connection, path)
        _create(connection)
    except (sqlite3.Error, OSError, LedgerError) as error:
        if connection is not None:
            connection.close()
        raise explain(error, path) from error
    return connection


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > JOURNAL_VERSION:
        raise LedgerError(
            f"{path}: written by a newer router_lab (journal version {version}, this one reads up to "
            f"{JOURNAL_VERSION}). Upgrade router_lab"
        )


def _create(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name in TABLES:  # a journal of any age may lack a newer table
            connection.execute(_ROWS.format(temporary="", name=name))
        if version == 0:
            for statement in _DDL.split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('id', ?)", (uuid4().hex[:12],))
            connection.execute(f"PRAGMA user_version = {JOURNAL_VERSION}")
        connection.execute(_PAIR_INTENTS)
        for name, table in TABLES.items():
            connection.execute(
                "INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)",
                (name, SCHEMA_VERSION, json.dumps(table.names)),
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def open_reader(folder: Path) -> sqlite3.Connection:
    """A connection that only reads. Works on a folder that cannot be written. Raises `LedgerError`."""
    path = folder / JOURNAL_NAME
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=5,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _check_version(connection, path)
            _fill_in_tables(connection)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("SELECT 1 FROM meta").fetchone()
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error
    return connection


def _fill_in_tables(connection: sqlite3.Connection) -> None:
    """A table that an older journal lacks reads as empty, without changing the journal."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for name in TABLES:
        if (f"{name}_journal",) not in found:
            connection.execute(_ROWS.format(temporary="TEMPORARY", name=name))


@contextmanager
def snapshot(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction: everything read through it is of the same instant.

    A folder that cannot be written may hold a journal that SQLite cannot open in place (it needs a
    shared-memory file beside it); then a temporary copy is read.
    """
    with tempfile.TemporaryDirectory(prefix="router_lab_") as scratch:
        try:
            connection = open_reader(folder)
        except LedgerError as error:
            if not isinstance(error.__cause__, sqlite3.OperationalError):
                raise
            _copy_journal(folder, Path(scratch))
            connection = open_reader(Path(scratch))
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise explain(error, folder / JOURNAL_NAME) from error
        finally:
            connection.close()


def _copy_journal(folder: Path, scratch: Path) -> None:
    path = folder / JOURNAL_NAME
    try:
        copyfile(path, scratch / JOURNAL_NAME)
        with suppress(FileNotFoundError):
            copyfile(path.with_name(f"{JOURNAL_NAME}-wal"), scratch / f"{JOURNAL_NAME}-wal")
    except OSError as error:
        raise explain(error, path) from error


def vacuum(folder: Path) -> None:
    """Rewrite the journal without its freed pages, so that what was deleted cannot be read back.

    The caller holds the folder's write lock. Raises `LedgerError`.
    """
    path = folder / JOURNAL_NAME
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise explain(error, path) from error
