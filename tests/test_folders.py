"""What a folder's head says of it holds: its `__init__` names the modules that other folders import.

`python tests/test_folders.py` writes those lines anew.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import router_lab

ROOT = Path(router_lab.__file__).parent
SAID = re.compile(r"\n\nNeighbours use ([^.]*)\.$")
WIDTH = 110


def modules() -> Mapping[str, Path]:
    """Every module by its name, folders by that of their `__init__`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(tree: ast.Module, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that are imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = (f"{node.module}.{one.name}" for one in node.names)
            yield from (one if one in known else node.module for one in whole)


def used_by_neighbours() -> Mapping[str, set[str]]:
    """By folder, the modules in it that something outside of the folder imports."""
    used: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        for target in imported(ast.parse(path.read_text("utf-8")), MODULES):
            folder, _, module = target.rpartition(".")
            is_inside = name == folder or name.startswith(f"{folder}.")
            if MODULES.get(target, path).name != "__init__.py" and folder in MODULES and not is_inside:
                used[folder].add(module)
    return used


USED = used_by_neighbours()


def said(folder: str) -> set[str]:
    """The modules that the folder's head says its neighbours use."""
    head = ast.get_docstring(ast.parse(MODULES[folder].read_text("utf-8"))) or ""
    found = SAID.search(head)
    return set(re.findall(r"`([a-z_]+)`", found[1])) if found else set()


@pytest.mark.parametrize(
    "folder", sorted(name for name, path in MODULES.items() if path.name == "__init__.py")
)
def test_the_head_of_a_folder_names_what_its_neighbours_use(folder: str) -> None:
    assert said(folder) == (set() if folder == "router_lab" else USED.get(folder, set()))


def test_tests_of_a_folder_are_in_one_of_its_name() -> None:
    """Or above it; what is about no folder of the package is about the whole of it."""
    own = Path(__file__).parent
    of_the_whole = {Path("fuzz"), Path("mixed_day"), Path("notebooks")}
    folders = {path.parent.relative_to(own) for path in own.rglob("test_*.py")} - of_the_whole
    assert [str(one) for one in sorted(folders) if not (ROOT / one / "__init__.py").exists()] == []


def sentence(names: set[str]) -> str:
    """The line of a head, broken as the code is."""
    listed = [f"`{name}`" for name in sorted(names)]
    told = " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    return textwrap.fill(f"Neighbours use {told}.", WIDTH, break_on_hyphens=False)


def written_anew() -> None:
    """Write the lines of all heads."""
    for folder, path in MODULES.items():
        if path.name != "__init__.py" or folder == "router_lab":
            continue
        text = path.read_text("utf-8")
        old = ast.get_docstring(ast.parse(text), clean=False) or ""
        bare = re.sub(r"\n\nNeighbours use [^.]*\.", "", old).rstrip("\n")
        used = USED.get(folder, set())
        new = f"{bare}\n\n{sentence(used)}\n" if used else (f"{bare}\n" if "\n" in bare else bare)
        path.write_text(text.replace(old, new, 1), "utf-8")


if __name__ == "__main__":
    written_anew()
