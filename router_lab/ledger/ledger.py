"""`Ledger`: the one object users and the router hold. Where each of its jobs is done:

what the router writes       accounts.py, batches.py; values.py and content.py say in what form
durable rows, budgets        journal/ (writer.py: one thread; operations.py, budget_counters.py, file.py)
the switch                   switch.py, journal/switch_store.py
Parquet files                sealed/ (seal.py, rewrite.py), begun by housekeeping.py
rows and tables read back    reading/ (reader.py, tables.py, spend.py), follow.py, status.py
scores                       scores.py
logs, bills and files        exchange/ (imports/, reconcile.py, score_import.py, exporting.py)
is all of it in order        verify/
folders, buckets and locks   disk/, shared with the writer and the reader in core.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from router_lab import arguments
from router_lab.errors import ConfigError, LedgerError
from router_lab.extras import imported
from router_lab.ledger.accounts import LedgerAccounts
from router_lab.ledger.batches import LedgerBatches
from router_lab.ledger.content import Content
from router_lab.ledger.core import Core
from router_lab.ledger.disk.place import place_of
from router_lab.ledger.journals import LedgerJournals
from router_lab.ledger.schema import aware
from router_lab.ledger.status import Status, read_status
from router_lab.ledger.switch import LedgerSwitch
from router_lab.records import (
    Score,
    ScoreKind,
    ScoreVerdict,
    Side,
)
from router_lab.router.ports import Clock

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger.exchange.imports.importing import LogImport, Source
    from router_lab.ledger.exchange.score_files import On
    from router_lab.ledger.exchange.score_import import ScoreImport
    from router_lab.ledger.reading.tables import Tables
    from router_lab.ledger.verify.verify import VerificationReport


class Ledger:
    """A ledger folder: every attempt and comparison, budgets, calibration and the shadow switch.

    `path` is a folder, made when first written to, or an object store's URI such as
    `s3://bucket/prefix` for the sealed files, with the journal kept locally in `journal` (default: under
    the user's state folder). Any number of ledgers, in any number of processes of one machine, may
    share a folder. Reading needs no write permission. Raises `LedgerError`, naming file and mend.
    """

    def __init__(
        self, path: str | Path, *, clock: Clock | None = None, journal: str | Path | None = None
    ) -> None:
        place = place_of(path, journal)
        if place.journal_folder.is_file():
            raise LedgerError(f"{place.journal_folder}: is a file; a ledger is a folder")
        self._core = Core(place, clock or Clock())
        self.switch = LedgerSwitch(self._core)
        self.accounts = LedgerAccounts(self._core, self.switch)
        self.batches = LedgerBatches(self._core, self.accounts)
        self.journals = LedgerJournals(self._core)

    def attempts(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """One row per attempt, sealed and unsealed alike, oldest first.

        `since` (inclusive) and `until` (exclusive) bound `started_at`; a naive time is taken as UTC.
        """
        return self._frame("attempts", since, until, columns)

    def comparisons(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """One row per primary/shadow pair, or per reason why there is none, oldest first."""
        return self._frame("comparisons", since, until, columns)

    def alerts(self, *, since: datetime | None = None, until: datetime | None = None) -> pd.DataFrame:
        """One row per alert, oldest first."""
        return self._frame("alerts", since, until, None)

    def score(
        self,
        *scores: Score,
        comparison_id: str | None = None,
        attempt_id: str | None = None,
        side: Side | None = None,
        value: float | None = None,
        by: str | None = None,
        kind: ScoreKind = "person",
        verdict: ScoreVerdict | None = None,
        note: str = "",
    ) -> None:
        """Keep what somebody says answers are worth; durable, all or none, when this returns.

        Either `scores`, or one by its parts:
        `ledger.score(comparison_id=one, side="shadow", value=0.5, by="ana")`. `value` is from 0 (useless)
        to 1 (as good as it gets); of a pair picked by hand, it says nothing of others.
        Raises `ConfigError` for a score outside [0, 1], one of nothing or of two things, or by nobody.
        """
        from router_lab.ledger.scores import Subject, new_score, store_scores

        parts = (comparison_id, attempt_id, side, value, by, verdict)
        # An array says of each of its values whether it is equal.
        is_usual = isinstance(kind, str) and kind == "person" and isinstance(note, str) and not note
        if not is_usual or any(part is not None for part in parts):
            subject = Subject(comparison_id, attempt_id, side)
            given = new_score(subject, value, by, self._core.now(), kind=kind, verdict=verdict, note=note)
            scores = (*scores, given)
        store_scores(self._core, scores, self.accounts.content)

    def scores(self, *, since: datetime | None = None, until: datetime | None = None) -> pd.DataFrame:
        """One row per score, oldest first."""
        return self._frame("scores", since, until, None)

    def import_scores(
        self,
        source: Any,
        *,
        by: str,
        scale: tuple[float, float] = (0, 1),
        on: On = "task_id",
        columns: Mapping[str, str] | None = None,
        kind: ScoreKind = "person",
        drawn: Literal["all"] | None = None,
        strict: bool = True,
    ) -> ScoreImport:
        """Add own ratings of stored pairs: `source` is a frame, or a .csv, .tsv, .jsonl or .parquet file.

        A row names its pair in the column `on`, and says what both answers are worth in `primary_score` and
        `shadow_score`, on a `scale` from worst to best, or in `preference` ("primary better", "shadow
        better", "equally good", "both wrong", "unsure"); `note` and `chance` may follow, and `task_type`,
        `primary_alias`, `shadow_alias`, `run_id` tell pairs of one key apart. `columns` maps these names to
        the source's. Rows without a score are passed over.

        Marks without a `chance` to be drawn count as chosen, and are not pooled into estimates, unless they
        cover a task type or `drawn="all"` says that every pair was rated. Importing again adds nothing.

        Raises `ConfigError` naming rows and columns, before anything is written, for a pair that is not
        there, has no two answers or is one of several, and for a score off the scale; with `strict=False`
        these are left out, and `.refused` of the result has them.
        """
        with imported():
            from router_lab.ledger.exchange.score_files import read_ratings
            from router_lab.ledger.exchange.score_import import ScoreSource, import_scores

            arguments.flag("strict", strict)
            who = ScoreSource(by=by, kind=kind, drawn=drawn)
            ratings = read_ratings(source, on, scale, columns)
            with self._core.claimed("scores", wait=True):  # what is known is read within
                return import_scores(self._core, self.tables(), ratings, on, who, strict=strict)

    def switch_events(self, *, since: datetime | None = None, until: datetime | None = None) -> pd.DataFrame:
        """One row per flip of the switch, oldest first."""
        return self._frame("switch_events", since, until, None)

    def watches(self, *, since: datetime | None = None, until: datetime | None = None) -> pd.DataFrame:
        """One row per plan of a watch, and one per verdict, oldest first."""
        return self._frame("watches", since, until, None)

    def follow(
        self, table: str = "attempts", *, poll_s: float = 0.5, timeout_s: float | None = None
    ) -> Iterator[pd.DataFrame]:
        """New rows as they come, of any process: `for rows in ledger.follow(): ...`, each a frame.

        Ends when there was nothing new for `timeout_s` seconds, by default never. Rows whose call began
        more than an hour ago are left out.
        """
        with imported():
            from router_lab.ledger.follow import follow

            return follow(self._core, table, poll_s, timeout_s)

    def tables(self, backend: str = "duckdb", connection: Any = None) -> Tables:
        """Ibis tables `.attempts`, `.comparisons`, `.alerts`, `.switch_events`, `.scores`, `.watches`,
        all as of now.

        `backend` is `duckdb` or `pyspark`; `connection` an Ibis connection of that kind to use.
        """
        with imported():
            from router_lab.ledger.reading.tables import open_tables

            return open_tables(self._core.reader, self._core.files, backend, connection)

    def columns(self, table: str = "attempts") -> pd.DataFrame:
        """What the columns of a table hold: one row each, with `column`, `type`, `null` and `meaning`.

        Raises `ConfigError` for a table that is none of the ledger's.
        """
        from router_lab.ledger.schema import column_notes

        notes = column_notes(table)
        with imported():
            import pandas as pd

            return pd.DataFrame(notes).drop(columns="table")

    def spend(self, timezone: str | None = None) -> pd.DataFrame:
        """Budgets now: one row per scope and period with `limit_usd`, `spent_usd`, `likely_usd`, `held_usd`,
        `left_usd`.

        What may have been billed without our seeing it counts at its worst case in `spent_usd`, the
        `worst_usd` of its row, and as is likely, its `cost_usd`, in `likely_usd` (at its worst case there
        too once its row was pruned). Without `timezone` these are the counters calls are checked
        against, in the periods of `cost.timezone`. With one (`UTC`, `Asia/Tokyo`), spending is added up anew
        from the attempts by that zone's days and months; nothing is held there and limits do not apply.
        """
        with imported():
            from router_lab.ledger.reading.spend import spend

            return spend(self._core.reader, timezone)

    @property
    def writable(self) -> bool:
        """Whether the file system lets this process add rows, scores and flips."""
        return self._core.writable

    def status(self) -> Status:
        """How much there is, sealed and not, and what went wrong in the background, if anything."""
        return read_status(self._core)

    # Upkeep ---------------------------------------------------------------------------------------------

    def seal(self, *, wait: bool = True) -> int:
        """Move every settled row to Parquet; returns how many. Calls go on meanwhile.

        One process seals at a time; with `wait` false, returns 0 when another one is at it.
        """
        return self._core.seal(wait=wait)

    def compact(self) -> int:
        """Merge each day's small files into files near 128 MB; returns how many files are fewer.

        Like `prune` and `redact`, it takes over the files of a journal that was lost, and raises
        `LedgerError` rather than rewrite a file that was changed since it was sealed.
        """
        from router_lab.ledger.sealed.rewrite import compact

        return self._core.rewrite(compact)

    def prune(self, before: datetime | str) -> int:
        """Delete rows older than `before` for good; returns how many.

        The history of the switch and of watches stays. Budget counters stay until their period is over and
        all their rows are gone, calibration as long as it learns.
        """
        from router_lab.ledger.sealed.rewrite import prune

        return self._erased(lambda store: prune(store, aware(before)))

    def redact(self, before: datetime | str) -> int:
        """Replace texts of before that time by their hashes; returns the rows changed.

        Prompts, outputs, and what comparison details and the notes of scores may quote of them.
        """
        from router_lab.ledger.sealed.rewrite import redact

        return self._erased(lambda store: redact(store, aware(before)))

    def _erased(self, rewrite: Callable[[Any], int]) -> int:
        """The rows that a rewrite changed; what was read of them before is not to stay in memory either."""
        from router_lab.ledger.reading.kept_answers import KEPT

        changed = self._core.rewrite(rewrite)
        KEPT.forget()
        return changed

    def export(self, path: str | Path, table: str = "attempts", *, raw: bool = False) -> int:
        """Write a table to one `.parquet`, `.csv` or `.jsonl` file; returns the rows written.

        In CSV a text that a spreadsheet would take for a formula begins with an apostrophe, unless `raw`.
        """
        with imported():
            from router_lab.ledger.exchange.exporting import export

            arguments.flag("raw", raw)
            return export(self._core, arguments.path("path", path), table, raw=raw)

    def import_file(
        self,
        path: str | Path,
        source: Source,
        columns: Mapping[str, str] | None = None,
        content: Content | None = None,
        *,
        strict: bool = False,
    ) -> LogImport:
        """Add attempts from another tool's log that are not here yet; returns how many.

        `source` is `litellm` (spend logs), `otel` or `openinference` (spans), `langfuse` (observations) or
        `jsonl`, where `columns` maps names such as `id`, `started_at`, `model`, `tokens_in`, `messages` to
        the file's own, dots reaching into objects and numbers into lists. Of the other sources it may say
        where people keep `task_type`, `task_id` and `user_id` (`{"task_type": "request_tags.0"}`; of spans
        the attribute). Inputs and answers are stored in the form, and with the hash, that the same call
        through `complete()` has. `content` says what of the texts is kept, by default what the
        configuration says. Rows that cannot be used are left out, logged and named in the result's
        `problems`. Raises `ConfigError`, before anything is added, where none can be, for a column that no
        row has, for two calls under one id, and with `strict` for any row.
        """
        if content is not None:
            arguments.choice("content", content, get_args(Content))
        arguments.flag("strict", strict)
        with imported():
            from router_lab.ledger.exchange.imports.importing import import_file

            return import_file(
                self._core,
                arguments.path("path", path),
                source,
                columns,
                self.accounts.content if content is None else content,
                strict=strict,
            )

    def reconcile(
        self,
        provider: str,
        path: str | Path,
        columns: Mapping[str, str] | None = None,
        *,
        settle: bool = True,
    ) -> pd.DataFrame:
        """Compare with a provider's usage or cost export (CSV), by UTC day and model, and settle by it.

        Anthropic's and OpenAI's exports are known; for others `columns` maps `date`, `model` and any of
        `requests`, `tokens_in`, `tokens_out`, `cost_usd` to the file's columns. Per row: both sides, the
        difference (theirs minus ours), a `finding`, and the `unknown` attempts that may explain it.
        What the export names no model for is kept as `(no model)`; one that was not grouped by model is
        compared by day, as `(all models)`.

        Unknown bills of days that are over are settled where the export leaves no doubt: both sides agree
        without them, so they were not billed; or its cost exceeds ours by no more than they may have cost,
        and they share that in proportion to their bounds. Their rows then say `cost_source="reconciled"`,
        and budgets count them so; `settled_rows` says how many. Doing it again changes nothing. Nothing is
        written with `settle=False`, or where the ledger can only be read.
        """
        with imported():
            from router_lab.ledger.exchange.reconcile import reconcile

            arguments.flag("settle", settle)
            return reconcile(self._core, provider, arguments.path("path", path), columns, settle=settle)

    def verify(self) -> VerificationReport:
        """Check everything checkable: `report.ok`, `report.problems`, `print(report)`. Changes nothing."""
        from router_lab.ledger.verify.verify import verify

        return verify(self._core)

    def recover(self) -> int:
        """Turn the intents of dead processes into rows; done at opening and in the background.

        What the executors of a dead replay answered is taken over, too: the next replay does that by itself.
        """
        self.journals.recover()
        return self._core.recover()

    def close(self) -> None:
        """Write what is queued, seal what this ledger wrote, let go. Closing twice is fine."""
        self.accounts.close()
        self._core.close()

    def _frame(
        self, name: str, since: datetime | None, until: datetime | None, columns: Sequence[str] | None
    ) -> pd.DataFrame:
        with imported():
            return self._core.reader.arrow(name, since=since, until=until, columns=columns).to_pandas()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            "a Ledger cannot be sent to another process: open its folder there, in the other process's "
            "function, as often as you like"
        )

    @property
    def name(self) -> str:
        """The place it was opened on, without secrets."""
        return self._core.name

    def __repr__(self) -> str:
        return f"Ledger({self.name!r})"

    def _repr_html_(self) -> str:
        return self.status().to_html()
