"""From what a user types to where things are: a folder, or an object store plus a local journal folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from router_lab.ledger.files import Files, LocalFiles, RemoteFiles


@dataclass(frozen=True, slots=True)
class Place:
    """`name` as the user gave it, the local folder of the journal, and the sealed files."""

    name: str
    journal_folder: Path
    files: Files


def place_of(path: str | Path, journal: str | Path | None) -> Place:
    """Where the ledger `path` is; `journal` says where an object store's journal is kept locally."""
    uri = str(path)
    name = _without_secrets(uri)
    if "://" not in uri:
        folder = Path(path)
        return Place(name, Path(journal) if journal is not None else folder, LocalFiles(folder))
    folder = Path(journal) if journal is not None else _journal_folder(uri, name)
    return Place(name, folder, RemoteFiles(uri, name, folder / "_outbox"))


def _without_secrets(uri: str) -> str:
    """Neither `key:secret@` nor the query, where pyarrow takes credentials from."""
    if "://" not in uri:
        return uri
    scheme, rest = uri.split("?", 1)[0].split("://", 1)
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _journal_folder(uri: str, name: str) -> Path:
    """One folder per URI under the user's state folder: a journal must outlive caches and reboots."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    readable = "".join(letter if letter.isalnum() else "-" for letter in name.split("://", 1)[1])[:40]
    return Path(state) / "router_lab" / f"{readable}-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"
