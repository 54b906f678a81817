"""Whether a ledger's files are its user's alone: the setting that its journal keeps, and older files' modes.

The setting is kept so that a ledger a team shares (`ledger: {private: false}`) stays open when somebody
writes to it without that configuration, such as a score from a notebook.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from router_lab.ledger.schema import TABLES

_KEY = "private"
_OTHERS = 0o077


def kept_privacy(journal: sqlite3.Connection, configured: bool | None) -> bool:
    """What a configuration says now, else what one said last; private if none ever did."""
    if configured is not None:
        journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, str(int(configured))))
        return configured
    row = journal.execute("SELECT value FROM meta WHERE key = ?", (_KEY,)).fetchone()
    return row is None or row[0] != "0"


def tighten(folder: Path) -> None:
    """Take from others what is in a ledger's folder and was open to them; the folder itself may be anyone's.

    Files of another user, which only they can change, stay as they are.
    """
    for name in ("_journal.sqlite*", "_locks", "_stage", "_outbox", *TABLES):
        for path in folder.glob(name):
            _tighten(path)


def _tighten(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        mode = path.lstat().st_mode
        if path.is_symlink() or not mode & _OTHERS:
            return
        if path.is_dir():
            for inner in path.iterdir():
                _tighten(inner)
        path.chmod(mode & ~_OTHERS & 0o777)
