"""Sealed files that no manifest names: another machine's in a shared place, or those of a lost journal.

Readers count them as they are. They can be changed only once this journal stands for them, and it may
adopt them only where no other journal can: in a folder that has its journal in it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from router_lab.errors import LedgerError
from router_lab.ledger.disk.place import JOURNALS_NAME
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.budget_counters import line_totals
from router_lab.ledger.journal.file import JOURNAL_NAME
from router_lab.ledger.journal.manifest import SealedFile, add_to_manifest, is_foreign
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.schema import ATTEMPTS, TABLES, Table
from router_lab.ledger.sealed.sealed_files import (
    checksum,
    date_of,
    misplaced,
    read_footer,
    row_groups,
)

if TYPE_CHECKING:
    from router_lab.ledger.sealed.sealed_files import SealedStore

_log = logging.getLogger("router_lab.ledger")


def foreign_among(journal: sqlite3.Connection, names: Sequence[str]) -> list[str]:
    """Those of `names` that are in no manifest and hold rows this journal does not have."""
    known = {path for (path,) in journal.execute("SELECT path FROM files")}
    return [name for name in names if name not in known and is_foreign(journal, name)]


def adopt_foreign(store: SealedStore) -> int:
    """Enter files of a lost journal into the manifest; returns how many. The caller holds the seal lock.

    Where other journals may live, their files are left alone, which the log then says. Raises `LedgerError`
    for a file that is damaged or misplaced: it would be passed over for ever.
    """
    listed = [name for table in TABLES for name in store.files.names(table)]
    with store.snapshot() as journal:
        foreign = foreign_among(journal, listed)
        is_alone = _is_only_journal(journal, store.files)
    if foreign and not is_alone:
        _log.warning(
            "%s: %d sealed files of other journals were left as they are. Do this where those journals are",
            store.files.shown,
            len(foreign),
        )
        return 0
    adopted, replaced = _examine(store.files, foreign)
    charged = _charged(store.files, adopted)

    def enter(transaction: JournalTransaction) -> None:
        # A journal restored from a backup may still name what was merged since.
        transaction.connection.executemany("DELETE FROM files WHERE path = ?", [(name,) for name in replaced])
        add_to_manifest(transaction.connection, adopted)
        _leave_out(transaction, charged)

    # First, lest they count as rows of their own once the file that replaces them is no longer foreign.
    for name in replaced:
        store.files.remove(name)
    if adopted:
        store.transact(enter)
    return len(adopted)


def _is_only_journal(journal: sqlite3.Connection, files: Files) -> bool:
    if not files.is_local:
        return False
    (_, _, used) = journal.execute("PRAGMA database_list").fetchone()
    neighbour = Path(files.location(JOURNAL_NAME))
    others = neighbour.parent / JOURNALS_NAME
    if others.exists() and any(others.iterdir()):
        return False
    return neighbour.exists() and neighbour.samefile(used)


def _examine(files: Files, names: Sequence[str]) -> tuple[list[SealedFile], list[str]]:
    """What to enter into the manifest, and the files that others of `names` replace."""
    footers = {name: read_footer(files, table_of(name), name) for name in names}
    replaced = {old for footer in footers.values() for old in footer.replaces}
    adopted = []
    for name, footer in footers.items():
        if name in replaced:
            continue
        if wrong := misplaced(files, name, footer):
            raise LedgerError(wrong)
        table, date = table_of(name).name, date_of(name)
        size = files.filesystem.get_file_info(files.location(name)).size
        adopted.append(SealedFile(name, table, date, footer.rows, size, checksum(files, name), footer.schema))
    return adopted, sorted(replaced)


def table_of(name: str) -> Table:
    """The table whose rows the file `name` has."""
    return TABLES[PurePosixPath(name).parts[0]]


def _charged(files: Files, adopted: Sequence[SealedFile]) -> Mapping[tuple[str, str], int]:
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for file in adopted:
        if file.table == ATTEMPTS.name:
            for part in row_groups(files, ATTEMPTS, file.path, ["cost_usd", "worst_usd", "budget_lines"]):
                for line, amount in line_totals(part).items():
                    totals[line] += amount
    return totals


def _leave_out(transaction: JournalTransaction, charged: Mapping[tuple[str, str], int]) -> None:
    """The counters go on as they are: these rows were charged to those of another journal."""
    transaction.connection.executemany(
        "INSERT INTO budgets (scope, period, pruned) VALUES (?, ?, ?) "
        "ON CONFLICT (scope, period) DO UPDATE SET pruned = pruned + excluded.pruned",
        [(scope, period, -amount) for (scope, period), amount in charged.items()],
    )
