"""One name, one idea: no class or module of the package is called as another one."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import router_lab

PACKAGE = Path(router_lab.__file__).parent


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_two_classes_have_one_name():
    assert twice((name.lstrip("_"), place) for place, name in classes()) == {}


def test_no_two_modules_have_one_name():
    """A command of the shell has its module in `cli`, called as what it is about."""
    modules = ((path.stem, str(path.relative_to(PACKAGE))) for path in sorted(PACKAGE.rglob("*.py")))
    again = twice((name, place) for name, place in modules if not name.startswith("__"))
    assert {name: places for name, places in again.items() if not _is_command(places)} == {}


def test_no_module_is_hidden_by_a_name_of_its_folder():
    """`from folder import module` and `import folder.module` must mean the same."""
    hidden = [
        f"{path.parent.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("__init__.py")
        for name, is_module in _brought_in(path)
        if not is_module and ((path.parent / name).is_dir() or (path.parent / f"{name}.py").exists())
    ]
    assert hidden == []


def _brought_in(path: Path) -> Iterator[tuple[str, bool]]:
    """The names a folder's `__init__` has, and whether each is the module below it of that name."""
    own = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    for node in parsed(path).body:
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                yield one.asname or one.name, (node.module, one.name) == (own, one.asname or one.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, False


def test_every_folder_says_where_to_begin():
    for path in PACKAGE.rglob("__init__.py"):
        words = ast.get_docstring(parsed(path)) or ""
        for name in re.findall(r"[Bb]egin (?:reading in|with)\s+`(\w+)(?:\.py)?`", words):
            assert (path.parent / f"{name}.py").exists(), f"{path}: {name}"


def test_a_docstring_says_more_than_its_name():
    """An override has that of its base; any other of fewer than four words says nothing, nor a copy."""
    said: dict[tuple[Path, str], list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, node in _documented(parsed(path).body):
            said[path.parent, ast.get_docstring(node) or ""].append(f"{path.relative_to(PACKAGE)}: {name}")
    assert {words: places for (_, words), places in said.items() if len(words.split()) < 4} == {}
    assert {words: places for (_, words), places in said.items() if len(places) > 1} == {}


def _documented(
    body: Sequence[ast.stmt], outer: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """The functions, classes and methods with a docstring of their own."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}{node.name}"
            is_override = any(ast.unparse(one).endswith("override") for one in node.decorator_list)
            if ast.get_docstring(node) is not None and not is_override:
                yield name, node
            if isinstance(node, ast.ClassDef):
                yield from _documented(node.body, f"{name}.")


def test_pyarrow_has_one_door():
    """`router_lab.arrow` loads it at first use; a module that is nothing without frames may import it."""
    inside = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset and path.name != "arrow.py"
        if any(name.partition(".")[0] == "pyarrow" for name in _imported(node))
    ]
    assert inside == []


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def _is_command(places: list[str]) -> bool:
    return len(places) == 2 and len([one for one in places if one.startswith("cli/")]) == 1


def classes() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                yield str(path.relative_to(PACKAGE)), node.name


def twice(named: Iterator[tuple[str, str]]) -> Mapping[str, list[str]]:
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return {name: where for name, where in places.items() if len(where) > 1}
