"""From what a user types to where things are: a folder, or an object store plus a local journal folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from router_lab import arguments
from router_lab.ledger.disk.sealed_storage import Files, LocalFiles, RemoteFiles

# Where further journals of a ledger are, see `journals`. Parquet readers pass over it.
JOURNALS_NAME = "_journals"


@dataclass(frozen=True, slots=True)
class Place:
    """`name` as the user gave it, the local folder of the journal, and the sealed files."""

    name: str
    journal_folder: Path
    files: Files


def place_of(path: str | Path, journal: str | Path | None) -> Place:
    """Where the ledger `path` is; `journal` says where an object store's journal is kept locally."""
    uri = path if isinstance(path, str) else str(arguments.path("path", path))
    journal = None if journal is None else arguments.path("journal", journal)
    name = _without_secrets(uri)
    if "://" not in uri:
        # Absolute, since the working directory may change while the ledger is open.
        folder = arguments.path("path", path).absolute()
        if journal is None:
            return Place(name, folder, LocalFiles(folder))
        # Half-written files are cleared by the journal that wrote them, under a lock of its own.
        own = hashlib.sha256(os.fsencode(journal.absolute())).hexdigest()[:12]
        return Place(name, journal.absolute(), LocalFiles(folder, f"_stage-{own}"))
    folder = journal.absolute() if journal is not None else _journal_folder(uri, name)
    return Place(name, folder, RemoteFiles(uri, name, folder / "_outbox"))


def _without_secrets(uri: str) -> str:
    """Neither `key:secret@` nor the query, where pyarrow takes credentials from."""
    if "://" not in uri:
        return uri
    scheme, rest = uri.split("?", 1)[0].split("://", 1)
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _journal_folder(uri: str, name: str) -> Path:
    """One folder per place under the user's state folder: a journal must outlive caches and reboots.

    Credentials are no part of the place: they change, and the journal must still be found.
    """
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    place = name.rstrip("/")
    readable = "".join(letter if letter.isalnum() else "-" for letter in place.split("://", 1)[1])[:40]
    endpoint = parse_qs(urlsplit(uri).query).get("endpoint_override", [""])[0]
    digest = hashlib.sha256(f"{place}?{endpoint}".encode()).hexdigest()[:12]
    return Path(state) / "router_lab" / f"{readable}-{digest}"
