"""What lies in a ledger's place and no reader takes up: rows there would be lost without a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from router_lab.counted import counted
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.schema import TABLES
from router_lab.ledger.sealed.sealed_files import is_of_a_day

_BEGINNING = b"PAR1"  # of every Parquet file


def unread_rows(files: Files) -> Iterator[str]:
    """Parquet files in the folders of tables that are not read for where they lie, or for their names."""
    for table in TABLES:
        for name in files.unread(table):
            if _may_have_rows(files, name):
                yield (
                    f"{files.shown}/{name} is not read: move it to `{table}/date=YYYY-MM-DD`, the UTC day of "
                    "its rows, under a name that ends in .parquet, or out of the ledger"
                )


def passed_over(files: Files, names: Sequence[str]) -> Iterator[str]:
    """Of `names`, files of no manifest named as this journal's own: those that somebody laid beside the days.

    The others it has left itself, and deletes them.
    """
    for name in names:
        if not is_of_a_day(name):
            yield (
                f"{files.shown}/{name} is not read: it has the name of a file of this ledger's own. If its "
                "rows are in no other, rename it (laid-1.parquet) in the folder of their day, else delete it"
            )


def other_files(files: Files) -> Iterator[str]:
    """What else lies there, for the notes."""
    unread = [name for table in TABLES for name in files.unread(table) if not _may_have_rows(files, name)]
    for found, where in ((unread, "in the folders of tables"), (files.beside(TABLES), "beside those")):
        if found:
            yield f"{counted(len(found), 'entries', 'are')} {where} and not read: {_first(found)}"


def _may_have_rows(files: Files, name: str) -> bool:
    if ".parq" in PurePosixPath(name).name.lower():
        return True
    try:
        with files.filesystem.open_input_file(files.location(name)) as file:
            return bool(file.read(len(_BEGINNING)) == _BEGINNING)
    except OSError:
        return False


def _first(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
