"""Answers about a ledger in which nothing changed since, kept in this process: an Arrow table each.

A panel that follows a ledger asks the same every half second, and so does whoever opens it again. What was
there is told by a `Moment`: of each sealed file what the file system knows of it, which no other file and no
change leaves the same, and of the rows not yet sealed all that they say. An answer is found again only where
both are what they were, so it is never of older rows.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

from router_lab.arrow import pa

# Of all answers together, and of one: rows by the million are better asked again.
_MOST_BYTES = 64 << 20
_MOST_BYTES_OF_ONE = 4 << 20
_BYTES_OF_QUESTION = 16 << 10


class Moment:
    """What a ledger's tables hold: sealed files of this machine, by path, and Arrow tables of other rows."""

    def __init__(self, sealed: Iterable[str], unsealed: Iterable[Any]) -> None:
        self._sealed = tuple(sealed)
        self._unsealed = tuple(unsealed)
        self._lock = threading.Lock()
        self._said: bytes | None = None

    def name(self) -> bytes | None:
        """Equal for the same rows alone, as the files are by now; None if one of them cannot be looked at."""
        try:
            files = [_of_file(path) for path in self._sealed]
        except OSError:
            return None
        with self._lock:
            if self._said is None:
                self._said = _digest(self._unsealed)
        return hashlib.sha256(repr(files).encode("utf-8", "surrogatepass") + self._said).digest()


def _of_file(path: str) -> tuple[str | int, ...]:
    found = Path(path).stat()
    # The time of change cannot be set, as that of writing can.
    return path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(tables: Iterable[Any]) -> bytes:
    """Of all that Arrow tables say, each with its columns and rows in their order."""
    digest = hashlib.sha256()
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        digest.update(sink.getvalue())
    return digest.digest()


def _bytes_of(answer: Any) -> int:
    """About how much memory an answer takes with its question: one without rows takes some too."""
    return int(answer.nbytes) + _BYTES_OF_QUESTION


class KeptAnswers:
    """The answers asked for last, as many as there is room for. Safe to use on several threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_bytes_of_one: int = _MOST_BYTES_OF_ONE) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_one = most_bytes_of_one
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def answer(self, moment: Moment | None, question: Hashable, ask: Callable[[], Any]) -> Any:
        """What `ask` answers to `question`, asked if it was not at this moment. Raises what `ask` does."""
        name = None if moment is None else moment.name()
        if name is None:
            return ask()
        key = name, question
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        answer = ask()
        if _bytes_of(answer) <= self._most_bytes_of_one:
            self._keep(key, answer)
        return answer

    def _keep(self, key: Hashable, answer: Any) -> None:
        with self._lock:
            if key not in self._answers:
                self._answers[key] = answer
                self._bytes += _bytes_of(answer)
            while self._bytes > self._most_bytes:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= _bytes_of(oldest)

    def forget(self) -> None:
        """Keep nothing: what was erased from a ledger is not to stay in memory."""
        with self._lock:
            self._answers.clear()
            self._bytes = 0


class LastAnswer:
    """The answer to the question asked last, of any kind and size: of whoever asks the same again and again.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._answer: Any = None

    def answer(self, moment: Moment | None, question: Hashable, ask: Callable[[], Any]) -> Any:
        """What `ask` answers to `question`, asked if it was not the last at this moment. Raises what `ask`
        does.
        """
        name = None if moment is None else moment.name()
        key = None if name is None else (name, question)
        if key is None or key != self._key:
            self._key = self._answer = None  # before another one as large is made
            self._answer, self._key = ask(), key
        return self._answer


# Of this process.
KEPT = KeptAnswers()
