"""Everything about a ledger that can be checked, checked: what `router-lab ledger verify` prints."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.errors import LedgerError
from router_lab.ledger.budgets import line_totals
from router_lab.ledger.files import sha256
from router_lab.ledger.journal import LOCKS_NAME
from router_lab.ledger.locks import is_dead
from router_lab.ledger.schema import ATTEMPTS, COMPARISONS, TABLES
from router_lab.ledger.seal import unsealed

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, and what is wrong with it, if anything."""

    name: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of `Ledger.verify()`. `print(report)` says it in plain words."""

    name: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def problems(self) -> list[str]:
        """Everything wrong, one line each."""
        return [f"{check.name}: {problem}" for check in self.checks for problem in check.problems]

    def __str__(self) -> str:
        lines = [f"{self.name}: {'nothing wrong' if self.ok else 'PROBLEMS FOUND'}"]
        for check in self.checks:
            lines.append(f"  {'ok     ' if check.ok else 'PROBLEM'}  {check.name}")
            lines += [f"           {problem}" for problem in check.problems]
        return "\n".join([*lines, *(f"  note     {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def verify(core: Core) -> Report:
    """Check files against the manifest, ids, references, intents and budgets. Changes nothing."""
    files = Check("sealed files are as they were written", tuple(_bad_files(core)))
    before = _counters(core)
    try:
        attempts = core.reader.arrow(
            "attempts", columns=["attempt_id", "cost_usd", "billing", "budget_lines", "outcome"]
        )
        comparisons = core.reader.arrow(
            "comparisons", columns=["comparison_id", "primary_attempt_id", "shadow_attempt_id"]
        )
    except (LedgerError, OSError, ValueError) as error:
        return Report(core.name, (files, Check("tables can be read", (str(error),))))
    checks = [
        files,
        Check("attempt ids are unique", tuple(_repeated(attempts[ATTEMPTS.names[0]]))),
        Check("comparison ids are unique", tuple(_repeated(comparisons[COMPARISONS.names[0]]))),
        Check("comparisons point to attempts that exist", tuple(_dangling(attempts, comparisons))),
    ]
    notes = []
    if core.reader.has_journal:
        with core.reader.snapshot() as journal:
            checks.append(Check("the journal is intact", tuple(_integrity(journal))))
            checks.append(Check("every intent has a living writer", tuple(_orphans(core, journal))))
            checks.append(Check("holds are those of open intents", tuple(_holds(journal))))
            notes = _pruned(journal)
        if before == _counters(core):
            checks.append(Check("budgets are the sum of their rows", tuple(_sums(before, attempts))))
        else:
            notes.append("calls are under way, so budgets were not added up")
    return Report(core.name, tuple(checks), tuple(notes))


def _bad_files(core: Core) -> Iterator[str]:
    if not core.reader.has_journal:
        return
    with core.reader.snapshot() as journal:
        manifest = journal.execute("SELECT path, rows, bytes, sha256 FROM files ORDER BY path").fetchall()
    for path, rows, _, checksum in manifest:
        yield from _bad_file(core, path, rows, checksum)


def _bad_file(core: Core, path: str, rows: int, checksum: str) -> Iterator[str]:
    import hashlib

    import pyarrow.parquet as pq

    try:
        if core.files.is_local:
            found = sha256(Path(core.files.location(path)))
        else:
            with core.files.filesystem.open_input_stream(core.files.location(path)) as stream:
                found = hashlib.sha256(stream.read()).hexdigest()
        with core.files.filesystem.open_input_file(core.files.location(path)) as source:
            counted = pq.ParquetFile(source).metadata.num_rows if found == checksum else rows
    except FileNotFoundError:
        yield f"{path} is missing: restore it from a backup"
        return
    except OSError as error:
        yield f"{path} cannot be read: {error}"
        return
    if found != checksum:
        yield f"{path} was changed since it was sealed (its checksum differs): restore it from a backup"
    elif counted != rows:
        yield f"{path} holds {counted} rows, the manifest says {rows}"


def _repeated(ids: Any) -> Iterator[str]:
    import pyarrow.compute as pc

    counts = pc.value_counts(ids)
    again = [item for item in counts.to_pylist() if item["counts"] > 1] if len(counts) < len(ids) else []
    yield from _few([f"{item['values']} appears {item['counts']} times" for item in again])


def _dangling(attempts: Any, comparisons: Any) -> Iterator[str]:
    import pyarrow.compute as pc

    known = pc.unique(attempts["attempt_id"])
    for column in ("primary_attempt_id", "shadow_attempt_id"):
        named = comparisons.filter(pc.is_valid(comparisons[column]))
        missing = named.filter(pc.invert(pc.is_in(named[column], value_set=known)))
        yield from _few(
            [
                f"comparison {row['comparison_id']}: its {column} {row[column]} is no attempt"
                for row in missing.slice(0, _SHOWN + 1).to_pylist()
            ]
        )


def _integrity(journal: sqlite3.Connection) -> Iterator[str]:
    found = [text for (text,) in journal.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        yield from _few(found)
    for name, table in TABLES.items():
        for source in unsealed(journal, table):
            unknown = journal.execute(
                f"SELECT DISTINCT schema FROM {source.name} WHERE schema NOT IN "  # noqa: S608 - our own names
                "(SELECT version FROM schemas WHERE name = ?)",
                (name,),
            ).fetchall()
            for (version,) in unknown:
                yield f"{name} has rows of version {version}, whose columns are not recorded"


def _orphans(core: Core, journal: sqlite3.Connection) -> Iterator[str]:
    owners = journal.execute(
        "SELECT owner, count(*) FROM attempts_journal WHERE owner IS NOT NULL GROUP BY owner"
    )
    for owner, count in owners.fetchall():
        if is_dead(core.folder / LOCKS_NAME, owner):
            yield (
                f"{count} attempts were in flight when their process died: open the ledger for writing "
                "(or run `router-lab ledger seal`) to turn them into `lost` rows"
            )


def _holds(journal: sqlite3.Connection) -> Iterator[str]:
    wanted: Counter[tuple[str, str]] = Counter()
    for hold, lines in journal.execute("SELECT hold, lines FROM attempts_journal WHERE owner IS NOT NULL"):
        for scope, period in json.loads(lines):
            wanted[scope, period] += hold
    for scope, period, held in journal.execute("SELECT scope, period, held FROM budgets"):
        if held != wanted[scope, period]:
            yield f"{scope} {period}: {held} nano-dollars held, but open intents hold {wanted[scope, period]}"


def _counters(core: Core) -> list[tuple[str, str, int]]:
    """Scope, period and the nano-dollars that rows still present must add up to."""
    if not core.reader.has_journal:
        return []
    with core.reader.snapshot() as journal:
        return journal.execute(
            "SELECT scope, period, spent - pruned FROM budgets ORDER BY period, scope"
        ).fetchall()


def _sums(counters: list[tuple[str, str, int]], attempts: Any) -> Iterator[str]:
    totals = line_totals(attempts)
    for scope, period, counted in counters:
        expected = totals.get((scope, period), 0)
        if counted != expected:
            yield f"{scope} {period}: {counted} nano-dollars counted, but the rows add up to {expected}"


def _pruned(journal: sqlite3.Connection) -> list[str]:
    row = journal.execute("SELECT value FROM meta WHERE key = 'pruned_before'").fetchone()
    return [] if row is None else [f"rows from before {row[0]} were removed by `prune`"]


def _few(problems: list[str]) -> Iterator[str]:
    yield from problems[:_SHOWN]
    if len(problems) > _SHOWN:
        yield f"and {len(problems) - _SHOWN} more"
