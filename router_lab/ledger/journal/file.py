"""The journal file: one SQLite database per ledger folder, opened, created and checked here.

It holds the rows not yet sealed, the manifest of sealed files, budgets, the switch and calibration.
Its name begins with an underscore so that Parquet readers given the whole folder pass over it.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from shutil import copyfile
from typing import Literal, TypeVar
from uuid import uuid4

from router_lab.errors import LedgerError
from router_lab.ledger.disk.disk_problems import closed, explain
from router_lab.ledger.disk.locks import LockWaits
from router_lab.ledger.journal.forks import closed_before_forks, journal_in_use
from router_lab.ledger.journal.lines import LINES_VERSION, line_columns
from router_lab.ledger.journal.manifest import keep_apart
from router_lab.ledger.journal.replay_claims import REPLAY_CLAIMS
from router_lab.ledger.journal.switch_store import create_flips
from router_lab.ledger.schema import TABLES, Table
from router_lab.plain_files import check_plain
from router_lab.private_files import make_file

JOURNAL_NAME = "_journal.sqlite"
LOCKS_NAME = "_locks"
JOURNAL_VERSION = 5

Durability = Literal["full", "os", "batch"]

_DDL = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE schemas (
    name TEXT, version INTEGER, columns TEXT NOT NULL, PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE TABLE budgets (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, period TEXT NOT NULL, limit_nano INTEGER,
    spent INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, warned INTEGER NOT NULL DEFAULT 0,
    pruned INTEGER NOT NULL DEFAULT 0, UNIQUE (scope, period)
);
CREATE TABLE calibration (
    key TEXT PRIMARY KEY, state BLOB NOT NULL, learnt INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE batches (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE files (
    path TEXT PRIMARY KEY, name TEXT NOT NULL, date TEXT NOT NULL, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    schema INTEGER NOT NULL
) WITHOUT ROWID;
"""

# Rows that cannot be read, see `damage`.
SET_ASIDE = """CREATE TABLE IF NOT EXISTS set_aside (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, name TEXT NOT NULL, problem TEXT NOT NULL,
    schema INTEGER, line BLOB, texts TEXT
)"""

# Batches that a provider has, or had, and their items without a row yet. How an item's answer is read stands
# once for all that are read alike.
PROVIDER_BATCHES = (
    """CREATE TABLE IF NOT EXISTS provider_batches (
        batch_id TEXT PRIMARY KEY, stage TEXT NOT NULL, alias TEXT NOT NULL, candidate TEXT NOT NULL,
        model TEXT NOT NULL, provider TEXT NOT NULL, server TEXT NOT NULL, run_id TEXT NOT NULL,
        opened INTEGER NOT NULL, owner TEXT, remote_id TEXT, submitted INTEGER,
        items INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS provider_batch_items (
        attempt_id TEXT PRIMARY KEY, batch_id TEXT NOT NULL, comparison_id TEXT, seq INTEGER NOT NULL,
        hold INTEGER NOT NULL, lines TEXT NOT NULL, reading TEXT NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS provider_batch_open ON provider_batch_items (batch_id)",
    "CREATE INDEX IF NOT EXISTS provider_batch_pair ON provider_batch_items (comparison_id)",
    "CREATE TABLE IF NOT EXISTS provider_batch_readings (reading TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID",
)


def synchronous(durability: Durability) -> str:
    """What SQLite calls it: FULL survives a power cut at every commit, NORMAL a killed process."""
    return "FULL" if durability == "full" else "NORMAL"


def open_writer(folder: Path, durability: Durability, *, private: bool = True) -> sqlite3.Connection:
    """A connection for the one writing thread; creates folder and journal if need be.

    The caller holds the folder's write lock, within `journal_in_use()`. Raises `LedgerError`.
    """
    path = folder / JOURNAL_NAME
    connection: sqlite3.Connection | None = None
    try:
        _check_plain(path)
        make_file(path, private=private)  # SQLite's own files beside it are as open as it is
        connection = sqlite3.connect(path, timeout=_wait_s(), isolation_level=None, check_same_thread=False)
        # Rows with texts take kilobytes. Fewer of them overflow a larger page, so sealing reads faster and
        # holds calls up half as long. A journal that is there already keeps the pages it has.
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous(durability)}")
        # Rows that were sealed need not be overwritten; where content must go for good, `vacuum` does it.
        connection.execute("PRAGMA secure_delete = FAST")
        _check_version(connection, path)
        _create(connection, f"{platform.node()}:{path.stat().st_ino}")
    except (sqlite3.Error, OSError, LedgerError) as error:
        if connection is not None:
            connection.close()
        raise explain(error, path) from error
    return connection


def _wait_s() -> float:
    """How long SQLite waits for another program that keeps the file locked."""
    return LockWaits.from_environment().journal_s


def _check_plain(path: Path) -> None:
    """Raise `OSError` if something else is where SQLite would open the journal or one of its companions."""
    for companion in ("", "-wal", "-shm", "-journal"):
        check_plain(f"{path}{companion}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > JOURNAL_VERSION:
        raise LedgerError(
            f"{path}: written by a newer router_lab (journal version {version}, this one reads version "
            f"{JOURNAL_VERSION}). Upgrade router_lab"
        )
    if 0 < version < JOURNAL_VERSION:
        raise LedgerError(
            f"{path}: written by a router_lab from before the first release (journal version {version}, this "
            f"one reads version {JOURNAL_VERSION}). Seal it with the one that wrote it, then move "
            f"{path.name} away: the sealed files are read by every version"
        )


def _create(connection: sqlite3.Connection, home: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            for statement in _DDL.split(";\n"):
                connection.execute(statement)
            connection.execute("INSERT INTO meta VALUES ('id', ?)", (uuid4().hex[:12],))
        create_flips(connection)
        connection.execute(SET_ASIDE)
        connection.execute(REPLAY_CLAIMS)
        for statement in PROVIDER_BATCHES:
            connection.execute(statement)
        for name, table in TABLES.items():  # a journal of any age may lack a newer table
            create_rows(connection, table)
            index_intents(connection, table)
            _add_texts(connection, table)
            connection.execute(
                "INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)",
                (name, LINES_VERSION, json.dumps(line_columns(table))),
            )
        keep_apart(connection, home)
        connection.execute(f"PRAGMA user_version = {JOURNAL_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have ended it
            connection.execute("ROLLBACK")
        raise


def create_rows(connection: sqlite3.Connection, table: Table, *, temporary: bool = False) -> None:
    """The SQLite table for rows of `table` that are in no file yet, unless it is there.

    A settled row and an intent are the same row: `owner` names the living writer of an intent, `hold`
    and `lines` say what it holds of which budgets.
    """
    texts = "".join(f", {column} BLOB" for column in table.content)
    connection.execute(
        f"CREATE {'TEMPORARY' if temporary else ''} TABLE IF NOT EXISTS {table.name}_journal ("
        "seq INTEGER PRIMARY KEY, owner TEXT, hold INTEGER, lines TEXT, "
        f"schema INTEGER NOT NULL, line BLOB NOT NULL{texts})"
    )


def _add_texts(connection: sqlite3.Connection, table: Table) -> None:
    """Give the rows of `table` in an older journal, batches included, the texts they were written without."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND (name = ? OR name GLOB ?)",
        (f"{table.name}_journal", f"{table.name}_batch_*"),
    ).fetchall()
    for (name,) in names:
        present = {column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")}
        for column in table.content:
            if column not in present:
                connection.execute(f"ALTER TABLE {name} ADD COLUMN {column} BLOB")


def index_intents(connection: sqlite3.Connection, table: Table) -> None:
    """Find the intents of `table` without reading its rows."""
    connection.execute(
        f"CREATE INDEX IF NOT EXISTS {table.name}_intents ON {table.name}_journal (owner) "
        "WHERE owner IS NOT NULL"
    )


def put_aside(connection: sqlite3.Connection, table: Table, name: str) -> None:
    """Make the rows of `table` the SQLite table `name`, and begin an empty one that has its intents.

    However many rows there are, it takes the same time. The intents are in both afterwards.
    """
    connection.execute(f"ALTER TABLE {table.name}_journal RENAME TO {name}")
    create_rows(connection, table)
    connection.execute(
        f"INSERT INTO {table.name}_journal SELECT * FROM {name} WHERE owner IS NOT NULL"  # noqa: S608
    )
    connection.execute(f"DROP INDEX {table.name}_intents")
    index_intents(connection, table)


def known_columns(connection: sqlite3.Connection, table: Table) -> dict[int, list[str]]:
    """By version of the lines of `table` that is on record, their columns, in order."""
    rows = connection.execute("SELECT version, columns FROM schemas WHERE name = ?", (table.name,))
    return {version: list(json.loads(columns)) for version, columns in rows}


def open_reader(folder: Path) -> sqlite3.Connection:
    """A connection that only reads. Works on a folder that cannot be written. Raises `LedgerError`.

    It is opened and used within `journal_in_use()`.
    """
    path = folder / JOURNAL_NAME
    try:
        _check_plain(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_wait_s(),
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
    for name, table in TABLES.items():
        if (f"{name}_journal",) not in found:
            create_rows(connection, table, temporary=True)


def is_blank(folder: Path) -> bool:
    """Whether the journal in `folder` has no tables yet: its writer was killed, or is at it just now."""
    try:
        _check_plain(folder / JOURNAL_NAME)
        with (
            journal_in_use(),
            closing(
                sqlite3.connect(f"{(folder / JOURNAL_NAME).absolute().as_uri()}?mode=ro", uri=True)
            ) as found,
        ):
            return bool(found.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])
    except (sqlite3.Error, OSError):
        return False  # whatever is wrong, reading it will say


@contextmanager
def snapshot(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction: everything read through it is of the same instant.

    A folder that cannot be written may hold a journal that SQLite cannot open in place (it needs a
    shared-memory file beside it); then a temporary copy is read.
    """
    with ExitStack() as stack:
        stack.enter_context(journal_in_use())
        try:
            connection = open_reader(folder)
        except LedgerError as error:
            if not _must_be_copied(folder, error):
                raise
            scratch = stack.enter_context(_scratch(folder))
            _copy_journal(folder, scratch)
            try:
                connection = open_reader(scratch)
            except LedgerError:
                raise error from error.__cause__
        stack.callback(connection.close)
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise explain(error, folder / JOURNAL_NAME) from error


def _must_be_copied(folder: Path, error: LedgerError) -> bool:
    """Only where nothing can be written: what writes in this process would lose its locks by the copying."""
    return isinstance(error.__cause__, sqlite3.OperationalError) and not os.access(folder, os.W_OK)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    try:
        made = tempfile.TemporaryDirectory(prefix="router_lab_", ignore_cleanup_errors=True)
    except OSError as error:
        raise LedgerError(
            f"{folder / JOURNAL_NAME}: it has to be copied to be read here, and no temporary folder takes it "
            f"({error}). Free space, close some open files, or set TMPDIR to a folder that can be written"
        ) from error
    with made as scratch:
        yield Path(scratch)


def _copy_journal(folder: Path, scratch: Path) -> None:
    path = folder / JOURNAL_NAME
    try:
        _check_plain(path)
        copyfile(path, scratch / JOURNAL_NAME)
        with suppress(FileNotFoundError):
            copyfile(path.with_name(f"{JOURNAL_NAME}-wal"), scratch / f"{JOURNAL_NAME}-wal")
    except OSError as error:
        raise explain(error, path) from error


def vacuum(folder: Path) -> None:
    """Rewrite the journal without its freed pages, so that what was deleted cannot be read back.

    The caller holds the folder's write lock. Raises `LedgerError`, also when somebody still reads what was.
    """
    path = folder / JOURNAL_NAME
    try:
        with (
            journal_in_use(),
            closing(sqlite3.connect(path, timeout=_wait_s(), isolation_level=None)) as connection,
        ):
            connection.execute("VACUUM")
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from error
    if busy:
        raise LedgerError(
            f"{path}: the change is made, but a reader keeps the old pages in {path.name}-wal. Close what "
            "reads this ledger (a notebook, a copy under way) and do it again"
        )


_Result = TypeVar("_Result")


class JournalReads:
    """Reads of one journal, from any thread, one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._is_closed = False
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        closed_before_forks(self.let_go)

    def read(self, read: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What `read` makes of it. Raises `LedgerError`."""
        with journal_in_use(), self._lock:
            if self._is_closed:
                raise closed(self._name)
            if self._connection is None:
                self._connection = open_reader(self._folder)
            try:
                return read(self._connection)
            except sqlite3.Error as error:
                self.let_go()
                raise explain(error, self._folder) from error

    def let_go(self) -> None:
        """Close the connection while nobody reads; the next reading opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Wait for the reading under way, then end."""
        with self._lock:
            self._is_closed = True
            self.let_go()
