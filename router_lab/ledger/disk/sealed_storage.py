"""Where sealed files live: a folder, or an object store. Names are relative, `/` between parts.

A file appears under its name whole or not at all. Until then it is staged where no reader looks.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from router_lab.arrow import fs
from router_lab.errors import LedgerError
from router_lab.ledger.disk.disk_problems import explain
from router_lab.plain_files import check_plain
from router_lab.private_files import make_file, make_folders

_BLOCK = 1 << 20
_STAGE = "_stage"
_DAY = "date="
_BUCKETS = {"s3", "gcs", "abfs"}


class LocalFiles:
    """Sealed files in a folder of this machine. What is `private` only the user that wrote it may open."""

    is_local = True  # `location` is a path that any library on this machine can open

    def __init__(self, root: Path, stage: str = _STAGE) -> None:
        self._root = root
        self._stage = stage
        self.private = True

    @property
    def shown(self) -> str:
        """The place as people may see it."""
        return str(self._root)

    def staging(self, name: str) -> Path:
        """A local path to write a file to before it is published as `name`.

        In a folder of its own within the same file system: some readers take up whatever a table has.
        """
        folder = make_folder(self._root / self._stage, private=self.private)
        return _staged(folder / f"{name.replace('/', '~')}.{os.getpid()}.part", private=self.private)

    def publish(self, staged: Path, name: str) -> None:
        """Make a file appear as `name`, durably and at once, for an older one too. Raises `LedgerError`."""
        final = self._root / name
        try:
            flush(staged)
            make_folders(final.parent, private=self.private)
            staged.replace(final)
            for folder in (final.parent, final.parent.parent, self._root):
                flush(folder)
        except OSError as error:
            raise explain(error, final) from error

    def clear_stages(self) -> None:
        """Delete what killed processes left half-written. The caller holds the seal lock."""
        _clear(self._root / self._stage, "*.part")

    def remove_stage(self) -> None:
        """Delete what staging left, and its folder, once its journal is done with."""
        self.clear_stages()
        with suppress(OSError):
            (self._root / self._stage).rmdir()

    def remove(self, name: str) -> None:
        """Delete `name` if it is there."""
        _unlink(self._root / name)

    def names(self, table: str) -> list[str]:
        """Every Parquet file of `table`, sorted: in the folders of days, or laid beside them by hand."""
        found: list[str] = []
        for entry in _listed(self._root / table):
            if entry.startswith(_DAY):
                inner = _listed(self._root / table / entry)
                found += [f"{table}/{entry}/{name}" for name in inner if _is_sealed(name)]
            elif _is_sealed(entry):
                found.append(f"{table}/{entry}")
        return sorted(found)

    def unread(self, table: str) -> list[str]:
        """Whatever else lies in the folder of `table`, sorted."""
        found = []
        for folder, _, names in os.walk(self._root / table):
            parts = Path(folder).relative_to(self._root).parts
            is_read = len(parts) == 1 or (len(parts) == 2 and parts[1].startswith(_DAY))
            found += ["/".join((*parts, name)) for name in names if not (is_read and _is_sealed(name))]
        return sorted(found)

    def beside(self, tables: Collection[str]) -> list[str]:
        """Parquet files, and folders with such or with folders of days, beside those of `tables`."""
        return sorted(
            name
            for name in _listed(self._root)
            if name not in tables and not name.startswith((".", "_"))
            if _is_sealed(name) or self._may_be_table(self._root / name)
        )

    def _may_be_table(self, folder: Path) -> bool:
        with suppress(LedgerError):  # what may not be looked into is none of a ledger's
            return any(_is_sealed(name) or name.startswith(_DAY) for name in _listed(folder))
        return False

    def location(self, name: str) -> str:
        """An absolute path. Raises `OSError` for what is no file."""
        path = str((self._root / name).absolute())
        check_plain(path)
        return path

    @property
    def filesystem(self) -> Any:
        """The `pyarrow.fs.FileSystem` to read with."""
        return fs.LocalFileSystem()


class RemoteFiles:
    """The same on an object store that pyarrow knows (`s3://bucket/prefix`, `gs://...`).

    An upload appears only when it is complete; a failed one is tried again by the next seal.
    """

    is_local = False

    def __init__(self, uri: str, shown: str, outbox: Path) -> None:
        self._uri = uri
        # The URI may carry credentials; whatever is said to people names the place by this instead.
        self._shown = shown
        self._outbox = outbox
        self.private = True
        self._connected: tuple[Any, str] | None = None
        self._is_bucket_known = False

    @property
    def shown(self) -> str:
        """The URI without credentials."""
        return self._shown

    def staging(self, name: str) -> Path:
        """In the journal's folder, which is always local."""
        folder, flat = make_folder(self._outbox, private=self.private), name.replace("/", "~")
        return _staged(folder / f".{flat}.{os.getpid()}.part", private=self.private)

    def publish(self, staged: Path, name: str) -> None:
        """Upload in one put (multipart when large). Raises `LedgerError`."""

        def upload() -> None:
            with (
                staged.open("rb") as source,
                self.filesystem.open_output_stream(self.location(name)) as target,
            ):
                while block := source.read(8 * _BLOCK):
                    target.write(block)
            stored = self.filesystem.get_file_info(self.location(name)).size
            if stored != staged.stat().st_size:
                raise OSError(f"uploaded {stored} of {staged.stat().st_size} bytes")

        self._try(upload, name)
        staged.unlink()

    def clear_stages(self) -> None:
        """Delete what killed processes left half-written in the outbox. The caller holds the seal lock."""
        _clear(self._outbox, ".*.part")

    def remove_stage(self) -> None:
        """The outbox goes with the journal's folder."""
        self.clear_stages()

    def remove(self, name: str) -> None:
        """Delete the object `name` if it is there. Raises `LedgerError`."""
        try:
            self.filesystem.delete_file(self.location(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._problem(error, name) from error

    def names(self, table: str) -> list[str]:
        """Every Parquet object of `table`, named below the ledger's place, sorted. Raises `LedgerError`."""
        return [name for name in self._objects(table) if _is_sealed(PurePosixPath(name).name)]

    def unread(self, table: str) -> list[str]:
        """Every other object of `table`, sorted. Raises `LedgerError`."""
        return [name for name in self._objects(table) if not _is_sealed(PurePosixPath(name).name)]

    def beside(self, tables: Collection[str]) -> list[str]:
        """Nothing is looked for beside `tables`: a prefix may hold whatever a bucket does."""
        return []

    def _objects(self, table: str) -> list[str]:
        _, base = self._connect()
        selector = fs.FileSelector(f"{base}/{table}", allow_not_found=True, recursive=True)
        found: list[Any] = []
        self._try(lambda: found.extend(self.filesystem.get_file_info(selector)), table)
        if not found:
            self._check_bucket()
        return sorted(
            str(PurePosixPath(info.path).relative_to(base)) for info in found if info.type == fs.FileType.File
        )

    def location(self, name: str) -> str:
        """Bucket and key, as `filesystem` takes them."""
        return f"{self._connect()[1]}/{name}"

    @property
    def filesystem(self) -> Any:
        """The store's file system, connected on first use."""
        return self._connect()[0]

    def _connect(self) -> tuple[Any, str]:
        if self._connected is None:
            try:
                filesystem, base = fs.FileSystem.from_uri(self._uri)
            except (OSError, ValueError) as error:
                reason = str(error).replace(self._uri, self._shown)
                raise LedgerError(f"{self._shown}: not a place pyarrow can open ({reason})") from None
            self._connected = (filesystem, base.rstrip("/"))
        return self._connected

    def _check_bucket(self) -> None:
        """A bucket that is not there lists like an empty one; its name is mistyped, most likely."""
        filesystem, base = self._connect()
        bucket = base.split("/")[0]
        if self._is_bucket_known or filesystem.type_name not in _BUCKETS:
            return
        try:
            found = filesystem.get_file_info(bucket)
        except OSError:  # credentials may be good for the prefix only
            return
        if found.type == fs.FileType.NotFound:
            raise LedgerError(f"{self._shown}: there is no bucket {bucket!r}. Check its name, or create it")
        self._is_bucket_known = True

    def _try(self, action: Callable[[], None], name: str) -> None:
        try:
            action()
        except OSError as error:
            raise self._problem(error, name) from error

    def _problem(self, error: OSError, name: str) -> LedgerError:
        return LedgerError(
            f"{self._shown}/{name}: the object store did not do it ({error}). Nothing is lost: rows "
            "stay in the local journal until an upload succeeds. Check the store and its credentials; "
            "the next seal tries again"
        )


def _is_sealed(name: str) -> bool:
    """Whether a file of that name is read; a name that begins so is one being written, to other tools too."""
    return name.lower().endswith(".parquet") and not name.startswith((".", "_"))


# A place for sealed files.
Files = LocalFiles | RemoteFiles


def sha256(file: Any) -> str:
    """The checksum, as hex, of an open binary file from here on."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path, *, private: bool = True) -> Path:
    """`folder`, with those above it. Raises `LedgerError`."""
    try:
        make_folders(folder, private=private)
    except OSError as error:
        raise explain(error, folder) from error
    return folder


def _staged(path: Path, *, private: bool) -> Path:
    try:
        make_file(path, private=private)
    except OSError as error:
        raise explain(error, path) from error
    return path


def _clear(folder: Path, pattern: str) -> None:
    for name in fnmatch.filter(_listed(folder), pattern):
        _unlink(folder / name)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain(error, path) from error


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - reading begins with this, and it is much the fastest
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise explain(error, folder) from error


def flush(path: Path) -> None:
    """Wait until the disk has what was written to a file or folder. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
