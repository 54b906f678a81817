"""The manifest: which sealed files this journal stands for, kept in the journal itself."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import PurePosixPath
from uuid import uuid4

from router_lab.ledger.schema import SCHEMA_VERSION

# Before the path of a file that is to be deleted.
_REPLACED = "replaced "


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A line of the manifest."""

    path: str
    table: str
    date: str
    rows: int
    bytes: int
    sha256: str
    schema: int = SCHEMA_VERSION


def add_to_manifest(journal: sqlite3.Connection, files: Sequence[SealedFile]) -> None:
    """Enter `files`, in place of earlier entries of the same path."""
    journal.executemany(
        "INSERT OR REPLACE INTO files (path, name, date, rows, bytes, sha256, schema) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [astuple(file) for file in files],
    )


def manifest_of(journal: sqlite3.Connection) -> list[SealedFile]:
    """All of its lines."""
    rows = journal.execute("SELECT path, name, date, rows, bytes, sha256, schema FROM files ORDER BY path")
    return [SealedFile(*row) for row in rows.fetchall()]


def ledger_id_of(journal: sqlite3.Connection) -> str:
    """The id that begins the name of every file this journal seals now."""
    return str(_meta(journal, "id"))


def next_batch(journal: sqlite3.Connection) -> int:
    """A number no file of this journal has in its name yet."""
    number = _newest_batch(journal) + 1
    _set_meta(journal, "batch", str(number))
    return number


def may_be_stray(journal: sqlite3.Connection, name: str) -> bool:
    """Whether `name`, a file in no manifest, can only be what this journal left behind when it was killed.

    A file with this journal's id and a number it has not given out was sealed by a later state of it,
    before somebody put an older copy in its place. Those rows are in no other file.
    """
    owner, number = _parts(name)
    return owner == ledger_id_of(journal) and number <= _newest_batch(journal)


def is_from_later(journal: sqlite3.Connection, name: str) -> bool:
    """Whether `name` was sealed by a later state of this journal, or by a copy of it."""
    owner, number = _parts(name)
    return owner == ledger_id_of(journal) and number > _newest_batch(journal)


def is_foreign(journal: sqlite3.Connection, path: str) -> bool:
    """Whether `path`, a file in no manifest, holds rows that this journal does not have.

    What an earlier id of this journal left behind when it was killed is not foreign, nor what was replaced.
    """
    if _meta(journal, _REPLACED + path) is not None:
        return False
    owner, number = _parts(PurePosixPath(path).name)
    known = {**_past_ids(journal), ledger_id_of(journal): _newest_batch(journal)}
    return number > known.get(owner, -1)


def keep_apart(journal: sqlite3.Connection, home: str) -> None:
    """Give a copy of a journal, known by its new `home`, an id of its own.

    A backup put back, or a machine made from another's image, would otherwise write files whose names
    the original uses too.
    """
    if _meta(journal, "home") not in (None, home):
        take_new_id(journal)
    _set_meta(journal, "home", home)


def take_new_id(journal: sqlite3.Connection) -> None:
    """From now on, name files differently. Those in the manifest stay in it."""
    past = {**_past_ids(journal), ledger_id_of(journal): _newest_batch(journal)}
    _set_meta(journal, "past_ids", json.dumps(past))
    _set_meta(journal, "id", uuid4().hex[:12])


def leave_manifest(journal: sqlite3.Connection, paths: Sequence[str]) -> None:
    """Take files out that are to be deleted, for others are in their place, or nothing.

    Those that were another journal's do not tell by their names that they are none of its new ones: they are
    kept in mind until they are deleted.
    """
    journal.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])
    own = ledger_id_of(journal)
    for path in paths:
        if _parts(PurePosixPath(path).name)[0] != own:
            _set_meta(journal, _REPLACED + path, "")


def replaced_files(journal: sqlite3.Connection) -> list[str]:
    """The files of other journals that were replaced and may not be deleted yet."""
    found = journal.execute("SELECT key FROM meta WHERE substr(key, 1, ?) = ?", (len(_REPLACED), _REPLACED))
    return [key.removeprefix(_REPLACED) for (key,) in found]


def forget_replaced(journal: sqlite3.Connection, paths: Sequence[str]) -> None:
    """What was replaced is deleted by now."""
    journal.executemany("DELETE FROM meta WHERE key = ?", [(_REPLACED + path,) for path in paths])


def _parts(name: str) -> tuple[str, int]:
    """The id and number in a file's name; a number no journal gives out if it is none of ours."""
    owner, _, number = PurePosixPath(name).stem.partition("-")
    return owner, int(number) if number.isdecimal() else sys.maxsize


def _newest_batch(journal: sqlite3.Connection) -> int:
    return int(_meta(journal, "batch") or 0)


def _past_ids(journal: sqlite3.Connection) -> dict[str, int]:
    return dict(json.loads(_meta(journal, "past_ids") or "{}"))


def _meta(journal: sqlite3.Connection, key: str) -> str | None:
    row = journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def _set_meta(journal: sqlite3.Connection, key: str, value: str) -> None:
    journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
