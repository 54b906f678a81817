"""Replacing sealed files by others: compaction, redaction and retention, safe while others read and write.

The caller holds the seal lock. New files are written under new names first; one transaction changes
the manifest; then the old files go. Killed before the transaction, the new files are strays;
killed after it, the old ones are; `remove_strays` deletes either. This ledger's own readers follow
the manifest, so they never see a row twice. A program that lists the folder by itself may, for the
moment between writing the new file and deleting the old ones.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from sqlite3 import Connection
from typing import Any

from router_lab.arrow import pa, pc
from router_lab.ledger.content import hashed, without_texts
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.budget_counters import forget_periods, line_totals
from router_lab.ledger.journal.calibration import forget_before
from router_lab.ledger.journal.damage import blank_set_aside, forget_set_aside
from router_lab.ledger.journal.manifest import (
    SealedFile,
    add_to_manifest,
    forget_replaced,
    leave_manifest,
    ledger_id_of,
    may_be_stray,
    next_batch,
    replaced_files,
)
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.journal.replay_claims import forget_written
from router_lab.ledger.schema import (
    ATTEMPTS,
    COMPARISONS,
    SCORES,
    SWITCH_EVENTS,
    TABLES,
    WATCHES,
    Table,
    json_text,
    microseconds,
)
from router_lab.ledger.sealed.foreign import adopt_foreign
from router_lab.ledger.sealed.parquet import DayFile, in_order, write_file
from router_lab.ledger.sealed.seal import batches
from router_lab.ledger.sealed.sealed_files import (
    ListedFile,
    SealedStore,
    check_unchanged,
    date_of,
    is_of_a_day,
    row_groups,
)

TARGET_BYTES = 128 << 20
# Of rows in memory, which are more than they are in a compressed file.
_SORTED_AT_ONCE = 64 << 20


def compact(store: SealedStore, target_bytes: int = TARGET_BYTES) -> int:
    """Merge small files of a day until they are near `target_bytes`; returns how many files went.

    Rows are sorted some at a time, however many there are. Raises `LedgerError`.
    """
    adopt_foreign(store)
    gone = 0
    for small in _mergeable(listed_files(store), target_bytes):
        _replace(store, small, _in_order(small[0].table, _rows(store, small)))
        gone += len(small) - 1
    return gone


def _mergeable(manifest: Iterable[ListedFile], target_bytes: int) -> Iterator[list[ListedFile]]:
    days: dict[tuple[str, str], list[ListedFile]] = defaultdict(list)
    for file in manifest:
        if file.bytes < target_bytes // 2:
            days[file.table.name, file.date].append(file)
    for files in days.values():
        group: list[ListedFile] = []
        for file in files:
            if group and sum(member.bytes for member in group) + file.bytes > target_bytes:
                if len(group) > 1:
                    yield group
                group = []
            group.append(file)
        if len(group) > 1:
            yield group


def _in_order(table: Table, parts: Iterable[Any]) -> Iterator[Any]:
    gathered: list[Any] = []
    for part in parts:
        if gathered and sum(some.nbytes for some in gathered) + part.nbytes > _SORTED_AT_ONCE:
            yield _sorted(table, gathered)
        gathered.append(part)
    if gathered:
        yield _sorted(table, gathered)


def _sorted(table: Table, parts: list[Any]) -> Any:
    """The rows of `parts`, which is empty afterwards, so that they are in memory only once."""
    together = pa.concat_tables(parts)
    parts.clear()
    return in_order(table, together)


def redact(store: SealedStore, before: datetime) -> int:
    """Hash prompts, outputs, and what details and notes quote of them; returns the rows changed."""
    adopt_foreign(store)
    redaction = Redaction(store.files, before.astimezone(UTC))
    changed = 0
    for file in listed_files(store):
        if not redaction.concerns(file.table, file.date):
            continue
        count = sum(redaction.changed(file.table, part)[1] for part in _rows(store, [file]))
        if count:
            redacted = (redaction.changed(file.table, part)[0] for part in _rows(store, [file]))
            _replace(store, [file], redacted)
            changed += count
    store.transact(lambda transaction: blank_set_aside(transaction.connection))
    return changed


def prune(store: SealedStore, before: datetime) -> int:
    """Delete rows from before that time, but never the history of the switch or of watches; returns how many.

    Budget counters keep what the deleted attempts cost, and go with the last of them once their period is
    over. Calibration that has learnt nothing since goes too. Raises `LedgerError`.
    """
    adopt_foreign(store)
    when = before.astimezone(UTC)
    removed = 0
    for file in listed_files(store):
        if file.table not in (SWITCH_EVENTS, WATCHES) and file.date <= when.date().isoformat():
            removed += _prune_file(store, file, when)

    def forget(transaction: JournalTransaction) -> None:
        forget_set_aside(transaction.connection, when)
        forget_before(transaction.connection, microseconds(when))
        forget_periods(transaction.connection, when)
        forget_written(transaction.connection)
        transaction.forget()  # the writer's memory of these

    store.transact(forget)
    return removed


def _prune_file(store: SealedStore, file: ListedFile, before: datetime) -> int:
    first_kept = pa.scalar(before, pa.timestamp("us", tz="UTC"))
    charges = ["cost_usd", "worst_usd", "budget_lines"] if file.table is ATTEMPTS else []
    count, spent = 0, Counter[tuple[str, str]]()
    for part in row_groups(store.files, file.table, file.path, [file.table.time, *charges]):
        old = part.filter(pc.less(part[file.table.time], first_kept))
        count += old.num_rows
        if charges:
            spent.update(line_totals(old))
    if not count:
        return 0

    def account(transaction: JournalTransaction) -> None:
        transaction.connection.executemany(
            "UPDATE budgets SET pruned = pruned + ? WHERE scope = ? AND period = ?",
            [(amount, scope, period) for (scope, period), amount in spent.items()],
        )
        transaction.connection.execute(
            "INSERT INTO meta VALUES ('pruned_before', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (before.isoformat(),),
        )

    kept = (part.filter(pc.greater_equal(part[file.table.time], first_kept)) for part in _rows(store, [file]))
    _replace(store, [file], kept if count < file.rows else (), account)
    return count


def add_files(store: SealedStore, parts: Sequence[tuple[Table, str, Any]]) -> int:
    """Enter new rows (an import) as sealed files, `(table, date, rows)`; returns the rows added."""
    names = _new_names(store, [(table, date) for table, date, _ in parts])
    new = [
        write_file(store.files, table, name, date, data)
        for (table, date, data), name in zip(parts, names, strict=True)
    ]
    store.transact(lambda transaction: add_to_manifest(transaction.connection, new))
    return sum(data.num_rows for _, _, data in parts)


def remove_strays(store: SealedStore) -> list[str]:
    """Delete what this journal left behind when it was killed: files that no manifest or batch names."""
    listed = [name for table in TABLES for name in store.files.names(table)]
    with store.snapshot() as journal:
        known = {path for (path,) in journal.execute("SELECT path FROM files")}
        under_way = {batch.file_name(ledger_id_of(journal)) for batch in batches(journal)}
        replaced = replaced_files(journal)
        strays = [
            path
            for path in listed
            if path not in known
            and is_of_a_day(path)  # else somebody has laid it there
            and PurePosixPath(path).name not in under_way
            and (path in replaced or may_be_stray(journal, PurePosixPath(path).name))
        ]
    if strays:
        # After looking: somebody else's are no strays, should others change files too.
        store.transact(_nothing)
    for path in strays:
        store.files.remove(path)
    if replaced:
        store.transact(lambda transaction: forget_replaced(transaction.connection, replaced))
    return strays


def _nothing(transaction: JournalTransaction) -> None:
    """Whether a transaction would be had is all."""


def listed_files(store: SealedStore) -> list[ListedFile]:
    """The files of the manifest now."""
    with store.snapshot() as journal:
        rows = journal.execute(
            "SELECT path, name, date, rows, bytes, sha256 FROM files ORDER BY path"
        ).fetchall()
    return [ListedFile(path, TABLES[name], *others) for path, name, *others in rows]


def rows_of(store: SealedStore, file: ListedFile) -> Iterator[Any]:
    """The rows of a file, a row group at a time."""
    return row_groups(store.files, file.table, file.path)


def replace_file(
    store: SealedStore,
    file: ListedFile,
    rows: Iterable[Any],
    account: Callable[[JournalTransaction], None] | None = None,
) -> None:
    """Put `rows` in the place of those of `file`; `account` runs in the same transaction."""
    _replace(store, [file], rows, account)


def _rows(store: SealedStore, files: Iterable[ListedFile]) -> Iterator[Any]:
    for file in files:
        yield from row_groups(store.files, file.table, file.path)


def _replace(
    store: SealedStore,
    old: Sequence[ListedFile],
    rows: Iterable[Any],
    account: Callable[[JournalTransaction], None] | None = None,
) -> None:
    """Put one file with `rows`, none if there are none, in the place of the `old` ones of a day."""
    for file in old:
        check_unchanged(store.files, file.path, file.sha256)
    new = _written(store, old, rows)

    def swap(transaction: JournalTransaction) -> None:
        _swap(transaction.connection, [file.path for file in old], new)
        if account is not None:
            account(transaction)

    store.transact(swap)
    for file in old:
        store.files.remove(file.path)


def _written(store: SealedStore, old: Sequence[ListedFile], rows: Iterable[Any]) -> list[SealedFile]:
    table, date = old[0].table, old[0].date
    (name,) = _new_names(store, [(table, date)])
    file = DayFile(store.files, table, name, date, replaces=[file.path for file in old])
    written = 0
    try:
        for part in rows:
            file.write(part)
            written += part.num_rows
        return [file.publish()] if written else []
    finally:
        file.discard()


def _new_names(store: SealedStore, days: Sequence[tuple[Table, str]]) -> list[str]:
    number = store.transact(lambda transaction: next_batch(transaction.connection))
    with store.snapshot() as journal:
        own = ledger_id_of(journal)
    return [f"{table.name}/date={date}/{own}-{number:08d}.parquet" for table, date in days]


def _swap(journal: Connection, old: Sequence[str], new: Sequence[SealedFile]) -> None:
    leave_manifest(journal, old)
    add_to_manifest(journal, new)


class Redaction:
    """Redacts what was said before a time. A score is of answers, so it is as old as they are."""

    def __init__(self, files: Files, before: datetime) -> None:
        self._last_date = before.date().isoformat()
        self._before = pa.scalar(before, pa.timestamp("us", tz="UTC"))
        self._files = files
        self._scored_since: dict[str, Any] | None = None

    def concerns(self, table: Table, date: str) -> bool:
        """Whether a file of that day may have texts that are old."""
        return table is SCORES or (bool(_text_columns(table)) and date <= self._last_date)

    def changed(self, table: Table, data: Any) -> tuple[Any, int]:
        """`data` with old texts hashed, and how many rows that changed."""
        old = self._is_old(table, data).to_pylist()
        changed = [False] * data.num_rows
        for name in _text_columns(table):
            values = data[name].to_pylist()
            for row, (value, is_old) in enumerate(zip(values, old, strict=True)):
                if is_old and value:
                    values[row] = _redacted_details(value) if name == "details" else hashed(value)
                    changed[row] |= values[row] != value
            place = data.schema.get_field_index(name)
            data = data.set_column(place, data.schema.field(name), pa.array(values, pa.string()))
        return data, sum(changed)

    def _is_old(self, table: Table, data: Any) -> Any:
        is_old = pc.less(data[table.time], self._before)
        if table is not SCORES:
            return is_old
        since = self._scored()
        is_of_new = pc.or_(
            pc.is_in(data["comparison_id"], value_set=since["comparison_id"]),
            pc.is_in(data["attempt_id"], value_set=since["attempt_id"]),
        )
        return pc.or_(is_old, pc.invert(is_of_new))

    def _scored(self) -> dict[str, Any]:
        """The ids of pairs and attempts that were scored and are not old. Those in no file were pruned."""
        if self._scored_since is None:
            self._scored_since = {
                "comparison_id": self._new_ids(COMPARISONS, "comparison_id"),
                "attempt_id": self._new_ids(ATTEMPTS, "attempt_id"),
            }
        return self._scored_since

    def _new_ids(self, table: Table, key: str) -> Any:
        scored = [
            part[key].drop_null()
            for name in self._files.names(SCORES.name)
            for part in row_groups(self._files, SCORES, name, [key])
        ]
        asked = pa.chunked_array([chunk for ids in scored for chunk in ids.chunks], pa.string())
        found = []
        if len(asked):
            recent = [name for name in self._files.names(table.name) if date_of(name) >= self._last_date]
            for name in recent:
                for part in row_groups(self._files, table, name, [key, table.time]):
                    wanted = pc.is_in(part[key], value_set=asked)
                    new = pc.greater_equal(part[table.time], self._before)
                    found += part.filter(pc.and_(wanted, new))[key].chunks
        return pa.chunked_array(found, pa.string())


def _text_columns(table: Table) -> tuple[str, ...]:
    if table is SCORES:
        return ("note", *table.content)
    return (*table.content, "details") if table is COMPARISONS else table.content


def _redacted_details(text: str) -> str | None:
    try:
        details = json.loads(text)
    except ValueError:
        return hashed(text)
    return json_text(without_texts(details, "hash")) if isinstance(details, dict) else hashed(text)
