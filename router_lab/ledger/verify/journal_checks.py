"""What can be checked in the journal by itself."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from router_lab.counted import counted
from router_lab.ledger.disk.locks import is_dead
from router_lab.ledger.journal.arrow_rows import Source
from router_lab.ledger.journal.damage import those_set_aside, unreadable
from router_lab.ledger.journal.manifest import ledger_id_of
from router_lab.ledger.reading.reader import Reader
from router_lab.ledger.schema import TABLES
from router_lab.ledger.sealed.seal import batches, unsealed

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class State:
    """What the journal says at one instant: its files, and what their and its own rows must add up to.

    `sums` has, for each scope and period, the nano-dollars of the rows that are still there; `manifest`
    the checksum and rows of each file; `batches` names the files that a seal under way may write.
    """

    sums: tuple[tuple[str, str, int], ...]
    manifest: dict[str, tuple[str, int]]
    batches: frozenset[str]
    pruned_before: datetime | None


def read_state(reader: Reader) -> State:
    """The state now. Raises `LedgerError`."""
    with reader.snapshot() as journal:
        sums = journal.execute("SELECT scope, period, spent - pruned FROM budgets ORDER BY period, scope")
        files = journal.execute("SELECT path, sha256, rows FROM files ORDER BY path")
        pruned = journal.execute("SELECT value FROM meta WHERE key = 'pruned_before'").fetchone()
        return State(
            sums=tuple(sums.fetchall()),
            manifest={path: (checksum, rows) for path, checksum, rows in files},
            batches=frozenset(batch.file_name(ledger_id_of(journal)) for batch in batches(journal)),
            pruned_before=None if pruned is None else datetime.fromisoformat(pruned[0]),
        )


def integrity(journal: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds, and rows whose columns nobody knows."""
    found = [text for (text,) in journal.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        yield from few(found)
    for name, table in TABLES.items():
        for source in unsealed(journal, table):
            unknown = journal.execute(
                f"SELECT DISTINCT schema FROM {source.name} WHERE schema NOT IN "  # noqa: S608 - our own names
                "(SELECT version FROM schemas WHERE name = ?)",
                (name,),
            ).fetchall()
            for (version,) in unknown:
                yield f"{name} has rows of version {version}, whose columns are not recorded"


def left_out(journal: sqlite3.Connection) -> Iterator[str]:
    """Damaged rows, whether they were set aside or wait for it."""
    waiting = [f"{name}_journal" for name in TABLES]
    sources = [
        source
        for table in TABLES.values()
        for source in unsealed(journal, table)
        if source.name not in waiting
    ] + [Source(table, f"{name}_journal", "true") for name, table in TABLES.items()]
    yield from few([*those_set_aside(journal), *unreadable(journal, sources)])


def orphans(journal: sqlite3.Connection, locks: Path) -> Iterator[str]:
    """Intents of attempts and pairs whose writer is dead."""
    for table, nouns, said in (
        ("attempts", "attempts", "in flight when a process died"),
        ("comparisons", "pairs", "without a shadow yet when a process died"),
    ):
        owners = journal.execute(
            f"SELECT owner, count(*) FROM {table}_journal WHERE owner IS NOT NULL GROUP BY owner"  # noqa: S608
        )
        for owner, count in owners.fetchall():
            if is_dead(locks, owner):
                yield (
                    f"{counted(count, nouns, 'were')} {said}: open the ledger for writing "
                    "(or run `router-lab ledger seal`) to turn them into rows"
                )


def holds(journal: sqlite3.Connection) -> Iterator[str]:
    """Budgets that hold other amounts than the open intents."""
    wanted: Counter[tuple[str, str]] = Counter()
    for hold, lines in journal.execute("SELECT hold, lines FROM attempts_journal WHERE owner IS NOT NULL"):
        try:
            keys = [(scope, period) for scope, period in json.loads(lines)]
        except (ValueError, TypeError):
            yield f"an intent whose budgets cannot be read: {lines!r:.80}"
            continue
        for key in keys:
            wanted[key] += hold
    for scope, period, held in journal.execute("SELECT scope, period, held FROM budgets"):
        if held != wanted[scope, period]:
            yield f"{scope} {period}: {held} nano-dollars held, but open intents hold {wanted[scope, period]}"


def few(problems: Sequence[str]) -> Iterator[str]:
    """The first of them, and how many more there are."""
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"and {len(problems) - _SHOWN} more"
