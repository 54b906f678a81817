"""Everything about a ledger that can be checked, checked: what `router-lab ledger verify` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from router_lab.arrow import pa, pc
from router_lab.counted import counted
from router_lab.errors import LedgerError
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.budget_counters import line_totals
from router_lab.ledger.journal.file import LOCKS_NAME
from router_lab.ledger.reading.reader import Reader, View, parquet_dataset
from router_lab.ledger.schema import TABLES
from router_lab.ledger.sealed.foreign import foreign_among, table_of
from router_lab.ledger.sealed.sealed_files import (
    CHANGED,
    checksum,
    is_of_a_day,
    misplaced,
    read_footer,
)
from router_lab.ledger.verify.journal_checks import (
    State,
    few,
    holds,
    integrity,
    left_out,
    orphans,
    read_state,
)
from router_lab.ledger.verify.unread_files import other_files, passed_over, unread_rows
from router_lab.shown.escape import show, tag

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_SHOWN = 5
# A pair is made after its attempts, so `prune` may leave it behind alone; a call never takes this long.
_LONGEST_CALL = timedelta(days=1)
# Of the other tables any column will do, to see that they can be read.
_COLUMNS: Mapping[str, Sequence[str]] = {
    "attempts": ("attempt_id", "cost_usd", "worst_usd", "budget_lines"),
    "comparisons": ("comparison_id", "primary_attempt_id", "shadow_attempt_id", "created_at"),
}


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
class VerificationReport:
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
        return tag("pre", show(self, limit=100_000))


def verify(core: Core) -> VerificationReport:
    """Check files against the manifest, ids, references, intents and budgets. Changes nothing."""
    if not core.reader.has_journal:
        return _without_journal(core)
    checks = [Check("sealed files are as they were written", tuple(changed_files(core.files, core.reader)))]
    listed = _listed(core)
    before = read_state(core.reader)
    with core.reader.snapshot() as journal:
        foreign = foreign_among(journal, listed)
        checks += [
            Check("the journal is intact", tuple(integrity(journal))),
            Check("every intent has a living writer", tuple(orphans(journal, core.folder / LOCKS_NAME))),
            Check("holds are those of open intents", tuple(holds(journal))),
        ]
        is_waiting_for_recovery = not checks[-2].ok
    if foreign:
        checks.append(_of_others(core, foreign))
    left = _left(before, listed, foreign)
    checks.append(_all_read(core, left))
    try:
        rows = _read(core, before)
        with core.reader.snapshot() as journal:
            checks.append(Check("every row can be read", tuple(left_out(journal))))
    except (LedgerError, OSError, ValueError, TypeError) as error:
        return VerificationReport(core.name, (*checks, Check("tables can be read", (str(error),))))
    checks += _row_checks(rows, before)
    notes = [*_notes(before, [name for name in left if is_of_a_day(name)], foreign), *other_files(core.files)]
    if before.sums != read_state(core.reader).sums:
        notes.append("calls are under way, so budgets were not added up")
    elif is_waiting_for_recovery:
        notes.append("intents wait for recovery, so budgets were not added up")
    else:
        checks.append(Check("budgets are the sum of their rows", tuple(_sums(before, rows["attempts"].own))))
    return VerificationReport(core.name, tuple(checks), tuple(notes))


def _without_journal(core: Core) -> VerificationReport:
    checks = [_of_others(core, _listed(core)), _all_read(core, [])]
    try:
        rows = _read(core, None)
    except (LedgerError, OSError, ValueError, TypeError) as error:
        return VerificationReport(core.name, (*checks, Check("tables can be read", (str(error),))))
    note = "there is no journal, so nothing says which files and rows there should be, or what was spent"
    return VerificationReport(
        core.name, (*checks, *_row_checks(rows, None)), (note, *other_files(core.files))
    )


@dataclass(frozen=True, slots=True)
class _TableRows:
    """Some columns of a table: the rows this journal stands for, and those of other journals' files."""

    own: Any
    others: Any

    @property
    def all(self) -> Any:
        return pa.concat_tables([self.own, self.others])


def _read(core: Core, before: State | None) -> Mapping[str, _TableRows]:
    """Every table, all as of one instant. Without a journal all rows are taken for own ones."""

    def load(views: Mapping[str, View]) -> Mapping[str, _TableRows]:
        named = [path for view in views.values() for path in view.sealed]
        foreign: AbstractSet[str] = frozenset()
        if before is not None:
            with core.reader.snapshot() as journal:
                # What was adopted before may have been compacted just now.
                foreign = {*foreign_among(journal, named)} - before.manifest.keys()
        return {name: _split(core, view, foreign) for name, view in views.items()}

    return core.reader.read(list(TABLES), load)


def _split(core: Core, view: View, foreign: AbstractSet[str]) -> _TableRows:
    columns = list(_COLUMNS.get(view.table.name, view.table.names[:1]))

    def sealed(paths: Sequence[str]) -> Any:
        locations = [core.files.location(path) for path in paths]
        if not locations:
            return view.unsealed.select(columns).slice(0, 0)
        return parquet_dataset(core.files, view.table, locations).to_table(columns=columns)

    own = sealed([path for path in view.sealed if path not in foreign])
    others = sealed([path for path in view.sealed if path in foreign])
    return _TableRows(pa.concat_tables([view.unsealed.select(columns), own]), others)


def _row_checks(rows: Mapping[str, _TableRows], state: State | None) -> list[Check]:
    attempts, comparisons = rows["attempts"], rows["comparisons"]
    return [
        Check("attempt ids are unique", tuple(_repeated(attempts.all["attempt_id"]))),
        Check("comparison ids are unique", tuple(_repeated(comparisons.all["comparison_id"]))),
        Check(
            "comparisons point to attempts that exist",
            tuple(_dangling(attempts.all["attempt_id"], comparisons.own, state)),
        ),
    ]


def _repeated(ids: Any) -> Iterator[str]:
    counts = pc.value_counts(ids)
    again = [item for item in counts.to_pylist() if item["counts"] > 1] if len(counts) < len(ids) else []
    yield from few([f"{item['values']} appears {item['counts']} times" for item in again])


def _dangling(attempt_ids: Any, comparisons: Any, state: State | None) -> Iterator[str]:
    known = pc.unique(attempt_ids)
    if state is not None and state.pruned_before is not None:
        since = pa.scalar(state.pruned_before + _LONGEST_CALL, pa.timestamp("us", tz="UTC"))
        comparisons = comparisons.filter(pc.greater_equal(comparisons["created_at"], since))
    for column in ("primary_attempt_id", "shadow_attempt_id"):
        named = comparisons.filter(pc.is_valid(comparisons[column]))
        missing = named.filter(pc.invert(pc.is_in(named[column], value_set=known)))
        yield from few(
            [
                f"comparison {row['comparison_id']}: its {column} {row[column]} is no attempt"
                for row in missing.slice(0, _SHOWN + 1).to_pylist()
            ]
        )


def _of_others(core: Core, names: Sequence[str]) -> Check:
    return Check(
        "files that no manifest names can be read and are of their day",
        tuple(unnamed_files(core.files, names)),
    )


def _all_read(core: Core, left: Sequence[str]) -> Check:
    unread = [*passed_over(core.files, left), *unread_rows(core.files)]
    return Check("files with rows lie where they are read", tuple(few(unread)))


def _sums(state: State, attempts: Any) -> Iterator[str]:
    totals = line_totals(attempts)
    for scope, period, summed in state.sums:
        expected = totals.get((scope, period), 0)
        if summed != expected:
            yield f"{scope} {period}: {summed} nano-dollars counted, but the rows add up to {expected}"


def _left(state: State, listed: Sequence[str], foreign: Sequence[str]) -> list[str]:
    """Files of this journal's that it does not count: not yet, or no more."""
    return [
        name
        for name in listed
        if name not in state.manifest
        and name not in foreign
        and PurePosixPath(name).name not in state.batches
    ]


def _notes(state: State, left: Sequence[str], foreign: Sequence[str]) -> Iterator[str]:
    if state.pruned_before is not None:
        yield f"rows from before {state.pruned_before.isoformat()} were removed by `prune`"
    if foreign:
        yield (
            f"{counted(len(foreign), 'sealed files', 'are')} of other journals: nothing says "
            "what they should hold, and "
            "budgets leave them out"
        )
    if left:
        yield (
            f"{counted(len(left), 'files')}, such as {left[0]}, are in no manifest and not "
            "read: written just now, or "
            "left by a process that was killed; the next seal deletes these"
        )


def _listed(core: Core) -> list[str]:
    return [name for table in TABLES for name in core.files.names(table)]


def changed_files(files: Files, reader: Reader) -> Iterator[str]:
    """Files of the manifest that are gone, damaged, or not what was written."""
    manifest = read_state(reader).manifest
    found = {path: _against(files, path, *expected) for path, expected in manifest.items()}
    wrong = {path: problem for path, problem in found.items() if problem}
    # Compaction may have replaced a file meanwhile.
    still_named = read_state(reader).manifest if wrong else {}
    yield from (problem for path, problem in wrong.items() if path in still_named)


def _against(files: Files, path: str, expected: str, rows: int) -> str:
    try:
        if checksum(files, path) != expected:
            return f"{path} {CHANGED}"
        counted = read_footer(files, table_of(path), path).rows
    except LedgerError as error:
        return str(error)
    return "" if counted == rows else f"{path} holds {counted} rows, the manifest says {rows}"


def unnamed_files(files: Files, names: Sequence[str]) -> Iterator[str]:
    """Files of no manifest that cannot be read or have rows of another day."""
    for name in names:
        try:
            wrong = misplaced(files, name, read_footer(files, table_of(name), name))
        except LedgerError as error:
            wrong = str(error)
        # Their own journal may have replaced one meanwhile.
        if wrong and name in files.names(table_of(name).name):
            yield wrong
