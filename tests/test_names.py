"""One name, one idea: no class of the package is called as another one."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import router_lab

PACKAGE = Path(router_lab.__file__).parent


def test_no_two_classes_have_one_name():
    assert twice((name.lstrip("_"), place) for place, name in classes()) == {}


def classes() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield str(path.relative_to(PACKAGE)), node.name


def twice(named: Iterator[tuple[str, str]]) -> Mapping[str, list[str]]:
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return {name: where for name, where in places.items() if len(where) > 1}
