"""The reference is made from the code: whatever is public stands on its pages, with what it is."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import command_line
import router_lab
from router_lab import errors
from router_lab.cli.command import parser
from router_lab.docs.api_pages import is_record, said_of
from router_lab.docs.error_pages import ALERTS
from router_lab.docs.notes import all_meanings, example_of, examples, result_column
from router_lab.docs.pages import reference
from router_lab.docs.public_names import Name, modules, public_names
from router_lab.ledger.schema import TABLES
from router_lab.presets import PRESETS
from router_lab.reference import yaml_keys
from router_lab.router.breaker import BreakerChange
from router_lab.router.comparators.compare import built_in
from router_lab.router.shadows.misconfiguration import Role
from router_lab.steering import Action

PACKAGE = Path(router_lab.__file__).parent
NAMES = [name for _, name in public_names()]
# What people write; what results and rows are like is shown where they come from.
CALLED = [name for name in NAMES if name.is_class or name.is_function]


def commands() -> dict[str, argparse.ArgumentParser]:
    """The commands of the shell, by name."""
    (below,) = [one for one in parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(below.choices)


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return reference(commands())


def whole(pages: dict[str, str]) -> str:
    return "\n".join(pages.values())


def every(name: Name) -> Iterator[Name]:
    yield name
    yield from name.members


def test_every_public_name_has_its_place(written: dict[str, str]):
    text = whole(written)
    described = {id(name.value): f"`{name.place}" in text for name in NAMES}
    missing = [
        f"{place}.{name}"
        for place, module in modules().items()
        for name in module.__all__
        if name not in errors.__all__ and not inspect.ismodule(getattr(module, name))
        if not described.get(id(getattr(module, name)))
    ]
    assert missing == []
    assert [name for name in errors.__all__ if f"### `{name}`" not in written["reference/errors"]] == []


def test_every_public_name_says_what_it_is():
    bare = [one.place for name in NAMES for one in every(name) if not one.text.strip()]
    assert bare == [], "write a docstring"


def test_a_field_of_a_result_means_what_a_column_of_its_name_does():
    """Seen once: `Decision.pairs` were distinct inputs, and `inputs` in the frame beside it."""
    records = [one for name in NAMES for one in every(name) if is_record(one)]
    columns = [
        (
            said_of(one, given.name),
            column.text.removesuffix(".").partition(";")[0],
            one.place,
            given.name,
        )
        for one in records
        for given in one.parameters
        if (column := result_column(one.place, one.value, given.name)) is not None
    ]
    assert len(columns) > 60
    assert [(*where, said) for said, wanted, *where in columns if not said.startswith(wanted)] == []


def test_whatever_is_said_of_a_name_is_said_somewhere():
    """Of arguments and fields that are gone nothing is left."""
    read = set()
    for one in (one for name in NAMES for one in every(name)):
        for given in one.parameters:
            if is_record(one) and result_column(one.place, one.value, given.name) is not None:
                read.add(f"{one.place}.{given.name}")
            else:
                read |= {given.name, f"{one.place}.{given.name}"}
    assert sorted(set(all_meanings()) - read) == []


def test_every_argument_and_field_says_what_it_is():
    bare = [
        f"{one.place}({given.name})"
        for name in NAMES
        for one in every(name)
        for given in one.parameters
        if not said_of(one, given.name)
    ]
    assert bare == [], "say what it is, and in what unit, in router_lab/docs/arguments.yaml"


def test_every_public_name_has_an_example():
    bare = [one.place for one in CALLED if one.place.rpartition(".")[2] not in errors.__all__]
    bare = [place for place in bare if not example_of(place)]
    assert bare == [], "show it in router_lab/docs/examples.md"


def test_every_example_is_of_something_public():
    known = {one.place for name in NAMES for one in every(name)} | {"rl.analysis.metrics"}
    shown = {place for heading in examples() for place in heading.split(", ")}
    elsewhere = {f"{place}.{name}" for place, module in modules().items() for name in module.__all__}
    assert sorted(shown - known - elsewhere) == []


def test_every_error_says_what_to_do():
    bare = [name for name in errors.__all__ if "What to do: " not in (getattr(errors, name).__doc__ or "")]
    assert bare == []


def test_every_column_and_every_key_is_there(written: dict[str, str]):
    columns, keys = written["reference/tables"], written["reference/configuration"]
    for table in TABLES.values():
        for name in table.names:
            assert f"| `{name}` |" in columns
    for key, _, _ in yaml_keys():
        row = next(line for line in keys.splitlines() if line.startswith(f"| `{key}` |"))
        assert row.rstrip(" |").endswith("."), f"{key} has no meaning in router_lab/settings/models.py"


def test_every_command_and_option_is_there(written: dict[str, str]):
    text = written["reference/commands"]

    def options(one: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, str]]:
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, inner in action.choices.items():
                    yield from options(inner, f"{name} {word}")
            elif action.dest != "help":
                yield name, ", ".join(action.option_strings) or str(action.metavar or action.dest.upper())

    for command, one in commands().items():
        for name, option in options(one, f"router-lab {command}"):
            part = text.partition(f" `{name}`\n")[2].partition("\n## ")[0]
            assert f"| `{option}" in part, f"{name} {option}"


def test_every_comparator_provider_metric_and_statistic_is_there(written: dict[str, str]):
    for kind in built_in():
        part = written["reference/comparators"].partition(f"## `{kind.name}`")[2].partition("\n## ")[0]
        assert all(f"| `{option}` |" in part for option in kind.model_fields)
    assert all(f"| `{name}` |" in written["reference/providers"] for name in PRESETS)
    for name in router_lab.analysis.metrics.__all__:
        assert f"## `rl.analysis.{name}`" in written["reference/metrics"]
    for path in (PACKAGE / "analysis" / "statistics").glob("[a-z]*.py"):
        assert f"`analysis.statistics.{path.stem}`" in written["reference/statistics"]


def sent_alerts() -> Iterator[str]:
    """The kinds that code sends, read from its source."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "send"
            )
            if not named or "alerts" not in ast.unparse(node.func):
                continue
            kind = node.args[0]
            if isinstance(kind, ast.Constant):
                yield kind.value
            elif isinstance(kind, ast.JoinedStr):
                end = kind.values[-1]
                assert isinstance(end, ast.Constant) and isinstance(kind.values[0], ast.FormattedValue)
                yield from (f"{role}{end.value}" for role in get_args(Role))
    yield from get_args(get_type_hints(BreakerChange)["kind"])
    yield from (f"monitor_{kind}" for kind in get_args(get_type_hints(Action)["kind"]))


def test_every_alert_is_there():
    assert sorted(set(sent_alerts())) == sorted(ALERTS)


def test_the_pages_are_written_without_sphinx(tmp_path: Path):
    done = command_line.router_lab("docs", "--markdown", tmp_path / "pages")
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "pages" / "index.md").read_text("utf-8")
    for line in index.splitlines():
        if line.startswith(("reference/", "notebooks/")):
            assert [*(tmp_path / "pages").glob(f"{line}.*")], line


@pytest.mark.soak
def test_the_site_has_every_page_and_is_found_by_search(tmp_path: Path):
    pytest.importorskip("sphinx", reason="pip install 'router-lab[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "router_lab.cli", "docs", "--out", str(tmp_path), "--no-browser"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = (tmp_path / "searchindex.js").read_text("utf-8")
    said = json.loads(found.partition("(")[2].rpartition(")")[0])
    assert {"reference/rl.analysis", "reference/errors", "notebooks/01_quickstart"} <= set(said["docnames"])
    for page in tmp_path.rglob("*.html"):
        text = page.read_text("utf-8")
        assert 'src="http' not in text and 'rel="stylesheet" type="text/css" href="http' not in text, page
