"""What can be checked in sealed files: against the manifest, or, where none names them, by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from router_lab.errors import LedgerError
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.reading.reader import Reader
from router_lab.ledger.sealed.foreign import table_of
from router_lab.ledger.sealed.sealed_files import (
    CHANGED,
    checksum,
    misplaced,
    read_footer,
)
from router_lab.ledger.verify.journal_checks import read_state


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
