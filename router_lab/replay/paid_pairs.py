"""What a ledger has of a replay already, so that nothing of it is paid for again.

The ids of a replay say what they are of: the run, the row with its input and its answer, the candidate and
which repeat. A pair is there, or its candidate's answer is (the process ended before the pair was written),
or neither is. Ids are kept as 64 bits each: a million rows and three candidates take 24 MB.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from router_lab.ledger.content import is_hash
from router_lab.ledger.reading.stored_attempts import attempt_of
from router_lab.parameters import setting
from router_lab.records import Attempt
from router_lab.router.attempts.job import Job
from router_lab.router.playback.batched_queries import BatchedQueries

if TYPE_CHECKING:
    from router_lab.router.offline import OfflineRouter

PREFIX = "replay-"
_AT_ONCE = 50_000
# Rows in the journal that are read with it rather than sealed before.
_UNSEALED = 5_000


def replay_id(*parts: str) -> str:
    """The id of what these parts name, the same in every process."""
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return PREFIX + digest.hexdigest()


def key64(text: str) -> int:
    """64 bits for a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class TextSet:
    """A set of texts, 8 bytes each."""

    def __init__(self, texts: Iterable[str] = (), keys: Any = None) -> None:
        found = np.fromiter(map(key64, texts), dtype=np.uint64) if keys is None else keys
        self._keys = np.sort(found)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, text: str) -> bool:
        return self.has(key64(text))

    def with_keys(self, keys: Collection[int]) -> TextSet:
        """These texts and others, of which these are the 64 bits."""
        more = np.fromiter(keys, dtype=np.uint64, count=len(keys))
        return TextSet(keys=np.concatenate([self._keys, more]))

    def has(self, key: int) -> bool:
        """Whether the text of which these are the 64 bits is there."""
        if not len(self._keys):
            return False
        place = int(self._keys.searchsorted(np.uint64(key)))
        return place < len(self._keys) and bool(self._keys[place] == key)


class GrowingTextSet:
    """A set of texts that grows, 8 bytes each: those that were added last are merged in now and then."""

    def __init__(self) -> None:
        self._merged = TextSet()
        self._added: set[int] = set()

    def add(self, text: str) -> None:
        """One more, or one that is there."""
        self._added.add(key64(text))
        if len(self._added) >= _AT_ONCE:
            self._merged = self._merged.with_keys(self._added)
            self._added = set()

    def __contains__(self, text: str) -> bool:
        key = key64(text)
        return key in self._added or self._merged.has(key)


class PaidPairs:
    """What there was when the run began. Reads a ledger; nothing of it changes."""

    def __init__(self, ledger: Any) -> None:
        from router_lab.analysis.ledger_tables import tables_of

        self._ledger = ledger
        tables = tables_of(ledger)
        attempts, pairs = tables.attempts, tables.comparisons
        own = pairs.filter(pairs.comparison_id.startswith(PREFIX))
        self.pairs = TextSet(_texts(own.comparison_id))
        asked = attempts.filter(~attempts.is_shadow)
        self.primaries = TextSet(_texts(asked.attempt_id))
        answered = attempts.filter(
            attempts.comparison_id.startswith(PREFIX) & attempts.is_shadow & (attempts.outcome == "ok")
        )
        # Not joined there, where a million ids would take a hundred megabytes.
        self.unpaired = TextSet(one for one in _texts(answered.comparison_id) if one not in self.pairs)
        calls = attempts.filter(
            ~attempts.is_shadow & attempts.request_id.startswith(PREFIX) & (attempts.outcome == "ok")
        )
        self._primary: BatchedQueries[str, Attempt] = BatchedQueries(self._primaries)
        self._calls = TextSet(_texts(calls.filter(~calls.attempt_id.startswith(PREFIX)).request_id))

    async def answers(self, comparison_ids: Sequence[str]) -> Mapping[str, Sequence[Attempt]]:
        """What is answered and paid for, and in no pair yet, of these pairs: by a candidate, and by a judge.

        Reads the ledger where there are any: there may be more of them than memory holds.
        """
        asked = [one for one in comparison_ids if one in self.unpaired]
        return await asyncio.to_thread(self._answers, asked) if asked else {}

    def _answers(self, comparison_ids: Sequence[str]) -> Mapping[str, Sequence[Attempt]]:
        from router_lab.analysis.ledger_tables import arrow_of, tables_of

        attempts = tables_of(self._ledger).attempts
        of_pairs = attempts.filter(
            attempts.comparison_id.isin(comparison_ids) & attempts.is_shadow & (attempts.outcome == "ok")
        )
        found: dict[str, list[Attempt]] = defaultdict(list)
        for one in arrow_of(of_pairs).to_pylist():
            found[one["comparison_id"]].append(attempt_of(one))
        return found

    async def primary(self, request_id: str) -> Attempt | None:
        """The answer of a primary that an earlier run called; reads the ledger where there is one."""
        return await self._primary.get(request_id) if request_id in self._calls else None

    def _primaries(self, request_ids: Sequence[str]) -> Mapping[str, Attempt]:
        from router_lab.analysis.ledger_tables import tables_of

        attempts = tables_of(self._ledger).attempts
        return _by(
            attempts.filter(
                attempts.request_id.isin(request_ids) & ~attempts.is_shadow & (attempts.outcome == "ok")
            ),
            "request_id",
        )


def seal_many(ledger: Any) -> None:
    """Seal where many rows are not in files yet: whoever reads holds those of the journal in memory whole."""
    status = getattr(ledger, "status", None)
    if status is not None and sum(one.unsealed_rows for one in status().tables) > _UNSEALED:
        ledger.seal()


def latencies(ledger: Any, models: Sequence[str]) -> dict[str, float]:
    """How many milliseconds these models' answers took here, on average; of one without answers, nothing."""
    from router_lab.analysis.ledger_tables import arrow_of, tables_if_any

    tables = tables_if_any(ledger)
    if tables is None:
        return {}
    attempts = tables.attempts
    answered = attempts.filter(
        (attempts.outcome == "ok")
        & attempts.latency_ms.notnull()
        & attempts.model_requested.isin(list(models))
        & ~attempts.cost_source.isin(["imported", "playback"])
    )
    means = answered.group_by("model_requested").aggregate(mean_ms=answered.latency_ms.mean())
    return {one["model_requested"]: one["mean_ms"] for one in arrow_of(means).to_pylist()}


def used_answers(ledger: Any, run_id: str) -> TextSet:
    """The ids of the answers that pairs of a run have."""
    from router_lab.analysis.ledger_tables import tables_of

    pairs = tables_of(ledger).comparisons
    own = pairs.filter((pairs.run_id == run_id) & pairs.shadow_attempt_id.notnull())
    return TextSet(_texts(own.shadow_attempt_id))


def stored_answers(ledger: Any, hashes: Sequence[str], models: Sequence[str]) -> list[Attempt]:
    """Answers of these models to these inputs, oldest first, whose texts were kept."""
    from router_lab.analysis.ledger_tables import arrow_of, tables_of

    attempts = tables_of(ledger).attempts
    found = attempts.filter(
        (attempts.outcome == "ok")
        & attempts.input_hash.isin(hashes)
        & attempts.model_requested.isin(models)
        & (attempts.output.notnull() | attempts.tool_calls.notnull())
        & ~attempts.attempt_id.startswith(PREFIX)
    ).order_by("started_at", "attempt_id")
    return [attempt_of(one) for one in arrow_of(found).to_pylist()]


def _by(attempts: Any, column: str) -> Mapping[str, Attempt]:
    from router_lab.analysis.ledger_tables import arrow_of

    return {one[column]: attempt_of(one) for one in arrow_of(attempts).to_pylist()}


def _texts(column: Any) -> Iterator[str]:
    from router_lab.analysis.ledger_tables import batches_of

    for batch in batches_of(column.as_table(), _AT_ONCE):
        yield from batch.column(0).to_pylist()


# An input's hash and a model's name.
_Key = tuple[str, str]


class ReusedAnswers:
    """Gives each answer from before `began` once a run: a repeat needs another one."""

    def __init__(self, ledger: Any, run_id: str, began: datetime) -> None:
        self._ledger = ledger
        self._began = began
        self._used: TextSet = used_answers(ledger, run_id)
        self._taken = GrowingTextSet()
        self._found: BatchedQueries[_Key, list[Attempt]] = BatchedQueries(self._query)

    async def take(self, job: Job, alias: str, router: OfflineRouter) -> Attempt | None:
        """An answer to this input, by the model that `alias` is, with what it is asked beside the prompt."""
        asked, reserve = router.asked(job, alias)
        model = router.settings.models[alias].model
        for row in await self._found.get((job.request.input_hash, model)) or ():
            if row.attempt_id in self._taken or row.attempt_id in self._used:
                continue
            if is_hash(row.output) or is_hash(row.tool_calls):  # nothing to compare: it is asked again
                continue
            if setting(row.parameters) == setting(asked) and row.output_reserve == reserve:
                self._taken.add(row.attempt_id)
                return row
        return None

    def _query(self, keys: Sequence[_Key]) -> Mapping[_Key, list[Attempt]]:
        hashes, models = ({key[place] for key in keys} for place in (0, 1))
        found: dict[_Key, list[Attempt]] = defaultdict(list)
        for row in stored_answers(self._ledger, sorted(hashes), sorted(models)):
            if row.started_at < self._began:
                found[row.input_hash, row.model_requested].append(row)
        return found
