"""Which pairs a person is asked to mark: a stratified random sample whose chances are known.

Pairs fall into strata: task type, comparator, group (pairs that differ, the others), and the draw that saw
them first. Within a stratum a fixed random order says which pair comes next, so that after any number of
marks, the first n of its N pairs are a simple random sample without replacement: each pair of the stratum
had the chance n / N, whatever was drawn elsewhere. Weighting a mark by N / n is the Horvitz-Thompson
estimator of stratified sampling (Horvitz and Thompson 1952; Särndal, Swensson and Wretman 1992, 3.7), the
same as post-stratification to the known sizes.

That stays true when a queue is left half way (n is smaller), when a person comes back (what is left of a
simple random sample's population, drawn from at random, gives a larger simple random sample), and when
pairs arrive in between: those are strata of their own, with their own n and N. A pair whose answer arrives
after a draw, though it was asked before, joins its stratum late, which shifts n / N by as much as there are
such pairs.

Where the design changes, or what it knows of the pairs, a new phase begins (two-phase sampling), in which the
pairs marked before are known and the new marks stand for all others. Either phase speaks for all pairs;
`strata.masses` averages the two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

from router_lab import arguments
from router_lab.analysis.evidence.strata import StratumParts, parts_of

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class UnmarkedPair:
    """What a design may know of a pair before it is marked."""

    comparison_id: str
    task_type: str
    comparator: str
    agreement: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Design:
    """Puts each pair of a task type into a group, and says how many of the marks each group gets.

    `shares` are relative and positive; a group without one gets 1. `name` tells designs apart: what was
    drawn by one is not extended by another. One that puts a pair into another group than before needs
    another name.
    """

    name: str
    group: Callable[[UnmarkedPair], str]
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """A pair to be marked, and the stratum it stands for."""

    comparison_id: str
    stratum: str
    stratum_pairs: int


def differing_more(below: float = 1.0, share: float = 0.625) -> Design:
    """Most marks, `share` of them, to pairs whose agreement is under `below`; the others get the rest.

    A mistake is likelier where the answers differ, and a comparator that calls different answers equal
    is only found out among the others.
    """
    arguments.share("share", share)
    arguments.share("below", below, to_one=True)

    def group(pair: UnmarkedPair) -> str:
        return "differing" if pair.agreement is None or pair.agreement < below else "others"

    name = "agreement" if below == 1.0 else f"agreement below {below:g}"
    return Design(name, group, {"differing": share, "others": 1 - share})


def draw(
    pairs: Iterable[UnmarkedPair],
    marked: Mapping[str, str],
    count: int,
    *,
    seed: int,
    design: Design,
    others: Collection[str] = (),
) -> list[DrawnPair]:
    """Up to `count` pairs in the order in which to mark them.

    `marked` are the pairs that were drawn and marked before, with their strata, `others` the strata of what
    was drawn for other people, with whose samples this one goes together. Task types share the marks
    evenly, groups by `design.shares`, earlier and later pairs by their numbers.
    """
    strata = _strata(list(pairs), marked, design, others)
    done = Counter(marked.values())
    left = {stratum: len(members) for stratum, members in strata.items()}
    sizes = {stratum: left[stratum] + done[stratum] for stratum in strata}
    wanted = _allocated(left, done, sizes, count, design)
    queue = []
    for stratum, members in strata.items():
        if wanted[stratum] == 0:
            continue
        order = sorted(members, key=partial(random_bytes, *_order_of(stratum, seed)))
        for place, one in enumerate(order[: wanted[stratum]]):
            # The first of each stratum come first: a stratum without any mark would be estimated by nothing.
            key = (place / wanted[stratum], random_bytes(seed, "queue", one))
            queue.append((key, DrawnPair(one, stratum, sizes[stratum])))
    return [drawn for _, drawn in sorted(queue, key=lambda item: item[0])]


def _order_of(stratum: str, seed: int) -> tuple[object, ...]:
    """What the order in a stratum depends on. A later phase has an order of its own: in that of the phases
    before, the first pairs are marked already, and what is left would be no random sample.
    """
    parts = parts_of(stratum)
    return (seed,) if parts is None or parts.phase == 1 else (seed, "phase", parts.phase)


def random_bytes(*parts: object) -> bytes:
    """Eight bytes that look random and depend on `parts` alone."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _strata(
    pairs: Sequence[UnmarkedPair], marked: Mapping[str, str], design: Design, others: Collection[str]
) -> dict[str, list[str]]:
    """The pairs that are not marked yet by their strata, in the order of their names."""
    before = [parts for parts in map(parts_of, set(marked.values())) if parts is not None]
    of_others = [parts for parts in map(parts_of, set(others)) if parts is not None]
    draws, phases = _earlier_draws(before, of_others), _phases(before, design)
    newest: dict[tuple[str, str], datetime] = {}
    for pair in pairs:
        kind = (pair.task_type, pair.comparator)
        newest[kind] = max(newest.get(kind, pair.created_at), pair.created_at)
    strata: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair.comparison_id in marked:
            continue
        kind = (pair.task_type, pair.comparator)
        place = bisect_left(draws[kind], pair.created_at)
        until = draws[kind][place] if place < len(draws[kind]) else newest[kind]
        instant = until.astimezone(UTC).isoformat(timespec="microseconds")
        parts = StratumParts(*kind, design.name, design.group(pair), instant)
        phase = phases.get(parts.stretch, 1)
        strata[replace(parts, phase=phase).name].append(pair.comparison_id)
    return dict(sorted(strata.items()))


def _earlier_draws(
    own: Iterable[StratumParts], others: Iterable[StratumParts]
) -> defaultdict[tuple[str, str], list[datetime]]:
    """The newest pair of each earlier draw, by task type and comparator, oldest first; of draws for other
    people those since one's own, whose stretches stay as they are.
    """
    found: defaultdict[tuple[str, str], set[datetime]] = defaultdict(set)
    for parts in own:
        found[parts.task_type, parts.comparator].add(datetime.fromisoformat(parts.until))
    last = {kind: max(times) for kind, times in found.items()}
    for parts in others:
        kind, until = (parts.task_type, parts.comparator), datetime.fromisoformat(parts.until)
        if kind not in last or until > last[kind]:
            found[kind].add(until)
    return defaultdict(list, {key: sorted(times) for key, times in found.items()})


def _phases(strata: Iterable[StratumParts], design: Design) -> dict[tuple[str, str, str], int]:
    """Which phase of each stretch of pairs a draw by this design is: its last one, or the next."""
    last: dict[tuple[str, str, str], StratumParts] = {}
    for parts in strata:
        if parts.stretch not in last or parts.phase > last[parts.stretch].phase:
            last[parts.stretch] = parts
    return {
        stretch: parts.phase if parts.design == design.name else parts.phase + 1
        for stretch, parts in last.items()
    }


def _allocated(
    left: Mapping[str, int], done: Mapping[str, int], sizes: Mapping[str, int], count: int, design: Design
) -> dict[str, int]:
    """How many of the next marks each stratum gets."""
    tree: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for stratum in left:
        parts = parts_of(stratum)
        assert parts is not None  # noqa: S101 - it was named here
        tree[parts.task_type][parts.group].append(stratum)

    def room(strata: Iterable[str]) -> int:
        return sum(left[stratum] for stratum in strata)

    wanted: dict[str, int] = {}
    of_type = spread(count, {kind: sum(map(room, groups.values())) for kind, groups in tree.items()})
    for kind, groups in tree.items():
        shares = {group: design.shares.get(group, 1.0) for group in groups}
        of_group = spread(of_type[kind], {group: room(names) for group, names in groups.items()}, shares)
        for group, names in groups.items():
            capacity = {name: left[name] for name in names}
            wanted |= spread(of_group[group], capacity, sizes, done)
    return wanted


def spread(
    count: int,
    capacity: Mapping[Key, int],
    shares: Mapping[Key, float] | None = None,
    given: Mapping[Key, int] | None = None,
) -> dict[Key, int]:
    """`count` marks over places of that `capacity`, as near to `shares` as whole numbers come.

    `given` are the marks they have already (Sainte-Laguë's method: who is owed most is next).
    """
    if count >= sum(capacity.values()):
        return dict(capacity)
    more = dict.fromkeys(capacity, 0)
    for _ in range(max(0, count)):
        more[_owed_most(capacity, more, shares or {}, given or {})] += 1
    return more


def _owed_most(
    capacity: Mapping[Key, int],
    more: Mapping[Key, int],
    shares: Mapping[Key, float],
    given: Mapping[Key, int],
) -> Key:
    def rank(key: Key) -> float:
        return (given.get(key, 0) + more[key] + 0.5) / shares.get(key, 1.0)

    return min((key for key in capacity if more[key] < capacity[key]), key=rank)


def candidates(table: Any) -> Iterable[UnmarkedPair]:
    """Rows of a `pyarrow.Table` with the columns of `UnmarkedPair`."""
    names: Sequence[str] = tuple(UnmarkedPair.__dataclass_fields__)
    columns = [table[name].to_pylist() for name in names]
    for comparison_id, task_type, comparator, agreement, created_at in zip(*columns, strict=True):
        yield UnmarkedPair(comparison_id, task_type, comparator or "", agreement, created_at)
