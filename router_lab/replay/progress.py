"""Showing how far a replay is: to a callable, on a bar, or not at all."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.replay.asking import CandidateTally
    from router_lab.replay.candidates import Candidate

# Called with the rows done and the size of the dataset (None when unknown).
Progress = Callable[[int, int | None], object]

_log = logging.getLogger("router_lab.replay")


@contextmanager
def reporting(progress: bool | Progress | None, total: int | None) -> Iterator[Callable[[], None]]:
    """Yields a function to call once per row. Progress that raises is reported once and left alone."""
    if callable(progress):
        yield _Caller(progress, total)
        return
    if not progress:
        yield lambda: None
        return
    with _bar(total) as bar:
        yield lambda: bar.update(1)


class _Caller:
    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress: Progress | None = progress
        self._total = total
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        self.tell(self._done)

    def tell(self, done: int) -> None:
        """So many are done."""
        if self._progress is None:
            return
        try:
            self._progress(done, self._total)
        except Exception:
            _log.exception("the progress callable raised and is not called again")
            self._progress = None


def _bar(total: int | None, place: int = 0) -> Any:
    """A tqdm bar: a widget where one can be shown, else plain text."""
    from tqdm import tqdm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from tqdm.auto import tqdm as automatic

            return automatic(total=total, unit="row", dynamic_ncols=True, position=place)
        except ImportError:  # a notebook without ipywidgets
            return tqdm(total=total, unit="row", dynamic_ncols=True, position=place)


@contextmanager
def reporting_candidates(
    progress: bool | Progress | None, candidates: Sequence[Candidate], each: int
) -> Iterator[Callable[[str, CandidateTally], None]]:
    """Yields a function to call with a candidate's name and tally once per pair, and while a batch is waited
    for: a bar for each of them, with its rate, the time left, what it has cost and how many answers are in
    batches, or the pairs done of all.
    """
    if callable(progress):
        caller = _Caller(progress, each * len(candidates))
        done: dict[str, int] = {}

        def tell(name: str, tally: CandidateTally) -> None:
            done[name] = tally.done
            caller.tell(sum(done.values()))

        yield tell
        return
    if not progress:
        yield lambda *_: None
        return
    with ExitStack() as stack:
        bars = {}
        for place, one in enumerate(candidates):
            bars[one.name] = stack.enter_context(_bar(each, place))
            bars[one.name].set_description(plain(one.name, 40))

        def show(name: str, tally: CandidateTally) -> None:
            waits = f", {tally.out:,} in batches" if tally.out else ""
            bars[name].set_postfix_str(f"${tally.cost_usd:.4f}{waits}", refresh=bool(waits))
            bars[name].update(tally.done - bars[name].n)

        yield show
