"""Inputs that are nearly right: bytes and JSON of a seed, changed in a few places."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

LONGEST = 1 << 15
ODD_BYTES = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n\n",
        b"\x1b[31m",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
    ),
    *(b"{", b"}", b"[", b"]", b",", b":", b"{}" * 50, b"[" * 3000, b"data: ", b"event: error\n", b"[DONE]"),
    *(
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"9" * 400,
        b"0.1",
        b"true",
        b"=cmd()",
        b"${x}",
        b"!!python",
    ),
    *(
        b"&a [*a]",
        b"<<: *a",
        b"\xc3\x28",
        "\u202e\u2028".encode(),
        "𝟙".encode(),
        b"2026-13-45",
        b"9999-12-31",
    ),
]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1e999, float("nan"), 10**30, -(2**63), 0.5, "", "x" * 5000, "\ud800", "\x00"),
    *([], {}, [[]], {"": {}}, [None] * 300, "null", "1", "=1+1", "2026-11-28T00:00:00Z", {"type": "error"}),
]


def mutated(seeds: Sequence[bytes], random: Random) -> bytes:
    """One of `seeds`, changed one to six times."""
    data = random.choice(seeds)
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        change = _json if random.random() < 0.5 else _bytes
        data = change(data, random, seeds)[:LONGEST]  # each time: five hundred times itself again and again
    return data


def _bytes(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.choice([0, 1, 2, 8, 64, 1024]))
    piece = data[start:end]
    kind = random.randrange(7)
    if kind == 0:
        return data[:start] + random.choice(ODD_BYTES) + data[start:]
    if kind == 1:
        return data[:start] + random.choice(ODD_BYTES) + data[end:]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + piece * random.choice([1, 3, 2000]) + data[end:]
    if kind == 4 and data:
        place = min(start, len(data) - 1)
        return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]
    if kind == 5:
        return data[:start]
    other = random.choice(seeds)
    return data[:start] + other[random.randrange(len(other) + 1) :]


def _json(data: bytes, random: Random, seeds: Sequence[bytes]) -> bytes:
    """A node of one JSON text replaced, left out, doubled or nested; of other data, bytes."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    head, brace, rest = lines[place].partition(b"{")
    try:
        value = json.loads(brace + rest)
    except (ValueError, RecursionError):
        return _bytes(data, random, seeds)
    try:
        lines[place] = head + json.dumps(_changed(value, random)).encode()
    except (ValueError, RecursionError):
        return data
    return b"\n".join(lines)


def _changed(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        kind = random.random()
        if kind < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        if kind < 0.15:
            return {**value, random.choice(list(value)): value[key], str(key).upper(): value[key]}
        return {**value, key: _changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        place = random.randrange(len(value))
        kind = random.random()
        if kind < 0.1:
            return value * random.choice([2, 500])
        return [*value[:place], _changed(value[place], random), *value[place + (kind > 0.2) :]]
    if random.random() < 0.05:
        for _ in range(random.choice([5, 200])):
            value = [value] if random.random() < 0.5 else {"a": value}
        return value
    return random.choice(ODD_VALUES)
