"""Write data/workload.jsonl, the sample workload: `python data/make_workload.py`.

With `--check`, only verify that the file is what this script writes. The standard library is enough.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # not every Python looks beside a script

from workload_parts import (
    classification,
    code,
    documents,
    extraction,
    mathematics,
    notes,
    translation,
)
from workload_parts.common import Item

SEED = 20261122
PATH = Path(__file__).with_name("workload.jsonl")

# Each kind draws from a random stream of its own: changing one leaves the others as they are.
KINDS: tuple[tuple[str, Callable[[Any, int], list[Item]], int], ...] = (
    ("order", extraction.orders, 50),
    ("invoice", extraction.invoices, 40),
    ("ticket", classification.tickets, 50),
    ("sentiment", classification.reviews, 42),
    ("summary", notes.summaries, 40),
    ("report", documents.reports, 24),
    ("code", code.functions, 40),
    ("zh", translation.chinese, 24),
    ("ja", translation.japanese, 24),
    ("math", mathematics.problems, 40),
)


def workload() -> str:
    """The whole file as text: one JSON object a line."""
    lines = []
    for name, make, count in KINDS:
        for number, item in enumerate(make(random.Random(f"{SEED}:{name}"), count), 1):
            lines.append(json.dumps(_row(f"{name}-{number:03d}", item), ensure_ascii=False))
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    text = workload()
    if arguments == ["--check"]:
        same = PATH.is_file() and PATH.read_text(encoding="utf-8") == text
        print(f"{PATH.name} is {'up to date' if same else 'out of date: run python data/make_workload.py'}")
        return 0 if same else 1
    if arguments:
        print(__doc__)
        return 2
    PATH.write_text(text, encoding="utf-8", newline="\n")
    print(f"{PATH.name}: {text.count(chr(10))} prompts, {len(text.encode()) / 1e6:.2f} MB")
    return 0


def _row(identity: str, item: Item) -> dict[str, Any]:
    return {
        "id": identity,
        "task_type": item.task_type,
        "system": item.system,
        "prompt": item.prompt,
        "expected": item.expected,
        "comparator": item.comparator,
        "options": item.options,
        "max_tokens": item.max_tokens,
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
