"""Further journals that seal into a ledger's folder, each with a slice of its budgets: one an executor.

A journal is a folder below `_journals`, in the group of whoever opened it. What it may spend is taken from
the ledger's own budgets beforehand, so that all of them together cannot spend more than there is. When it has
ended, its rows are sealed beside the ledger's own, which stands for them from then on; what they cost is
counted there, the rest is given back, and the journal is deleted. Where a process dies, the next one finds
its journals here.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.core import Core
from router_lab.ledger.disk.locks import FileLock, locked, locked_file
from router_lab.ledger.disk.place import JOURNALS_NAME, place_of
from router_lab.ledger.disk.sealed_storage import make_folder
from router_lab.ledger.journal.budget_counters import TAKEN
from router_lab.ledger.journal.file import JOURNAL_NAME, snapshot
from router_lab.ledger.journal.manifest import SealedFile, add_to_manifest, manifest_of
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.journal.switch_store import newest_epoch, put_flips, stored_flips
from router_lab.ledger.values import usd
from router_lab.records import BudgetLine
from router_lab.router.ports import Clock

_BEGINNING, _GROUP, _IN_USE = "beginning.lock", "group.lock", "in_use.lock"
# Before the name of a journal: what of it is counted already.
_COUNTED = "journal counted "

# Nano-dollars by scope and period.
_Amounts = Mapping[tuple[str, str], int]


class LedgerJournals:
    """The further journals of a ledger."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @contextmanager
    def group(self) -> Iterator[JournalGroup]:
        """A group of journals, ended with the block. Those that the dead left behind are ended before.

        Raises `ConfigError` for a ledger on an object store: nobody else could find its journals.
        """
        if not self._core.files.is_local:
            raise ConfigError(
                f"{self._core.name}: executors need a ledger in a folder that all of them share, and this "
                "one is on an object store"
            )
        private = self._core.files.private
        root = make_folder(self._core.folder / JOURNALS_NAME, private=private)
        with locked(root / _BEGINNING):
            self._end_those_of_the_dead(root)
            folder = make_folder(root / uuid4().hex[:12], private=private)
            lock = FileLock(folder / _GROUP)
            lock.acquire()
        with closing(lock):
            group = JournalGroup(self._core, folder)
            try:
                yield group
            finally:
                group.close_all()
                with locked(root / _BEGINNING):  # nobody looks for those of the dead meanwhile
                    group.remove()

    def recover(self) -> None:
        """End the journals that the dead left behind: what they hold is this ledger's from then on."""
        root = self._core.folder / JOURNALS_NAME
        if self._core.files.is_local and root.exists():
            with locked(root / _BEGINNING):
                self._end_those_of_the_dead(root)

    def _end_those_of_the_dead(self, root: Path) -> None:
        for folder in sorted(one for one in root.iterdir() if one.is_dir()):
            with closing(FileLock(folder / _GROUP)) as lock:
                if lock.try_acquire():
                    dead = JournalGroup(self._core, folder)
                    dead.close_all()
                    dead.remove()


class JournalGroup:
    """Journals that one process opens for others, in `folder`, where what they need has room too.

    `ledger` is the folder of the sealed files.
    """

    def __init__(self, core: Core, folder: Path) -> None:
        self._core = core
        self.folder = folder
        self.ledger = core.files.shown

    def open(self, number: int, lines: Sequence[BudgetLine], share: float) -> list[BudgetLine]:
        """Take a share of what budgets leave for journal `number`; the lines with their limits there.

        `lines` are of different budgets.
        """
        folder = make_folder(self.folder / str(number), private=self._core.files.private)
        self._copy_switch(folder)
        name = self._name(number)

        def take(transaction: JournalTransaction) -> list[BudgetLine]:
            left = {(line.scope, line.period): transaction.budgets.left(line) for line in lines}
            amounts = {key: int(share * amount) for key, amount in left.items() if amount is not None}
            _count_without_rows(transaction, amounts)
            _keep(transaction.connection, TAKEN + name, amounts)
            return [
                BudgetLine(*key, usd(amounts[key]) if key in amounts else None, line.warning_ratio)
                for key, line in zip(left, lines, strict=True)
            ]

        return self._core.transact(take)

    def close(self, number: int) -> None:
        """Once whoever works in it has ended: its rows are this ledger's, and it is gone.

        Waits for whoever works in it. May be done again after whatever end.
        """
        folder = self.folder / str(number)
        if folder.exists():
            with used_alone(folder):
                found = _sealed(self.ledger, folder)
                self._core.transact(lambda transaction: _take_over(transaction, self._name(number), found))
                shutil.rmtree(folder)
        self._core.transact(lambda transaction: _forget(transaction, self._name(number)))

    def close_all(self) -> None:
        """Close each that is there."""
        for one in sorted(self.folder.iterdir()):
            if one.is_dir() and one.name.isdecimal():
                self.close(int(one.name))

    def remove(self) -> None:
        """Delete the folder, once all are closed."""
        shutil.rmtree(self.folder)

    def _copy_switch(self, folder: Path) -> None:
        """The switch stands there as it stands here, so that nothing is put on record of it there."""
        flips, epoch = self._core.peek(lambda journal: (stored_flips(journal), newest_epoch(journal)))
        with _opened(self.ledger, folder) as core:
            core.transact(lambda transaction: put_flips(transaction.connection, flips, epoch))

    def _name(self, number: int) -> str:
        return f"{self.folder.name}/{number}"


def used_alone(folder: Path) -> AbstractContextManager[FileLock]:
    """Within the block nobody else writes through the journal in `folder`.

    Waits for whoever does: an executor that was given up may still be at work.
    """
    return closing(locked_file(folder / _IN_USE))


def check_open(folder: Path) -> None:
    """Raise `LedgerError` where the journal in `folder` was closed: nobody has taken money for it.

    Within `used_alone`.
    """
    if not (folder / JOURNAL_NAME).exists():
        raise LedgerError(
            f"{folder}: this journal was closed, as its executor had been given up: nothing is asked here"
        )


@dataclass(frozen=True, slots=True)
class _JournalSum:
    """What a journal comes to: its files, and what their rows have cost."""

    files: Sequence[SealedFile] = ()
    spent: _Amounts = field(default_factory=dict)


def _sealed(ledger: str, folder: Path) -> _JournalSum:
    """Seal whatever a journal has, the intents of its dead writers included."""
    if not (folder / JOURNAL_NAME).exists():
        return _JournalSum()
    with _opened(ledger, folder) as core:
        core.recover()
        core.seal(wait=True)
        core.files.remove_stage()
    with snapshot(folder) as journal:
        spent = journal.execute("SELECT scope, period, spent FROM budgets").fetchall()
        return _JournalSum(manifest_of(journal), {(scope, period): amount for scope, period, amount in spent})


@contextmanager
def _opened(ledger: str, folder: Path) -> Iterator[Core]:
    core = Core(place_of(ledger, folder), Clock())
    try:
        yield core
    finally:
        core.close()


def _take_over(transaction: JournalTransaction, name: str, found: _JournalSum) -> None:
    """Stand for the files, with what they cost, in place of what was taken. Once: then there is a record."""
    journal = transaction.connection
    if _kept(journal, _COUNTED + name) is not None:
        return
    _give_back(transaction, name)
    for key, amount in found.spent.items():
        transaction.budgets.charge([key], 0, amount)
    add_to_manifest(journal, found.files)
    _keep(journal, _COUNTED + name, found.spent)


def _forget(transaction: JournalTransaction, name: str) -> None:
    """Give back what is still taken for a journal that was never begun."""
    _give_back(transaction, name)
    transaction.connection.execute("DELETE FROM meta WHERE key = ?", (_COUNTED + name,))


def _give_back(transaction: JournalTransaction, name: str) -> None:
    taken = _kept(transaction.connection, TAKEN + name) or {}
    _count_without_rows(transaction, {key: -amount for key, amount in taken.items()})
    transaction.connection.executemany(  # such as those of a day that has not come
        "DELETE FROM budgets WHERE scope = ? AND period = ? AND spent = 0 AND held = 0 AND pruned = 0", taken
    )
    transaction.forget()
    transaction.connection.execute("DELETE FROM meta WHERE key = ?", (TAKEN + name,))


def _count_without_rows(transaction: JournalTransaction, amounts: _Amounts) -> None:
    """Count amounts as spent by rows that are not here."""
    for key, amount in amounts.items():
        transaction.budgets.charge([key], 0, amount)
    transaction.flush()
    transaction.connection.executemany(
        "UPDATE budgets SET pruned = pruned + ? WHERE scope = ? AND period = ?",
        [(amount, *key) for key, amount in amounts.items()],
    )


def _keep(journal: sqlite3.Connection, key: str, amounts: _Amounts) -> None:
    text = json.dumps([[*line, amount] for line, amount in amounts.items()])
    journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))


def _kept(journal: sqlite3.Connection, key: str) -> _Amounts | None:
    row: Any = journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else {(scope, period): amount for scope, period, amount in json.loads(row[0])}
