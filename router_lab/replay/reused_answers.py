"""Answers that the ledger has already, by input, model and parameters: asking again would pay twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from router_lab.ledger.content import is_hash
from router_lab.parameters import setting
from router_lab.records import Attempt
from router_lab.replay.paid_pairs import GrowingTextSet, TextSet, used_answers
from router_lab.replay.paid_pairs import stored_answers as stored
from router_lab.router.attempts.job import Job
from router_lab.router.playback.batched_queries import BatchedQueries

if TYPE_CHECKING:
    from router_lab.router.offline import OfflineRouter

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
        for row in stored(self._ledger, sorted(hashes), sorted(models)):
            if row.started_at < self._began:
                found[row.input_hash, row.model_requested].append(row)
        return found
