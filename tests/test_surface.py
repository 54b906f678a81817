"""What people rely on: public names, commands, columns, YAML keys. A change is meant or a mistake.

Where it is meant, `python tests/test_surface.py` writes `tests/surface.txt` anew; the change belongs into the
CHANGELOG.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import router_lab as rl
from lab import laboratory
from router_lab import errors, records
from router_lab.cli.command import parser
from router_lab.ledger.schema import TABLES
from router_lab.reference import yaml_keys

KEPT = Path(__file__).with_name("surface.txt")
MODULES = {
    "rl": rl,
    "rl.analysis": rl.analysis,
    "rl.plots": rl.plots,
    "rl.panels": rl.panels,
    "rl.scores": rl.scores,
    "rl.sim": rl.sim,
    "rl.replay": rl.replay,
    "rl.settings": rl.settings,
    "rl.steering": rl.steering,
    "router_lab.errors": errors,
    "router_lab.records": records,
}


def surface() -> list[str]:
    """One line for each thing one can rely on, sorted within its kind."""
    return [
        *_names(),
        *_columns(),
        *sorted(f"yaml {key}" for key, _, _ in yaml_keys()),
        *_options(parser(), "router-lab"),
    ]


def _names() -> Iterator[str]:
    for place, module in MODULES.items():
        for name in sorted(module.__all__):
            value = getattr(module, name)
            yield f"{place}.{name}{_shape(value)}"


def _shape(value: object) -> str:
    if inspect.isclass(value) and is_dataclass(value):
        return f"({', '.join(field.name for field in fields(value))})"
    if inspect.isclass(value) and not issubclass(value, BaseException):
        public = [name for name in dir(value) if not name.startswith("_")]
        return f" [{', '.join(public)}]"
    if inspect.isfunction(value):
        return f"({', '.join(map(_parameter, inspect.signature(value).parameters.values()))})"
    return ""


def _parameter(one: inspect.Parameter) -> str:
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
    return star + one.name + ("=" if one.default is not one.empty else "")


def _columns() -> Iterator[str]:
    for name, table in sorted(TABLES.items()):
        for column in table.columns:
            yield f"table {name}.{column.name}: {column.kind}{' or null' if column.optional else ''}"


def _options(one: argparse.ArgumentParser, command: str) -> Iterator[str]:
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in sorted(action.choices.items()):
                yield from _options(inner, f"{command} {name}")
        else:
            yield f"{command} {' '.join(action.option_strings) or action.dest.upper()}"


def test_it_is_what_it_was():
    now, kept = surface(), KEPT.read_text("utf-8").splitlines()
    gone, new = sorted(set(kept) - set(now)), sorted(set(now) - set(kept))
    assert (gone, new) == ([], []), "meant? then `python tests/test_surface.py`, and say so in the CHANGELOG"


@pytest.mark.parametrize("place", MODULES)
def test_every_public_name_is_there_and_explained(place):
    module = MODULES[place]
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"{place}.{name} has no docstring"


@pytest.mark.parametrize("place", MODULES)
def test_no_submodule_is_hidden_by_a_name(place):
    """`from package import module` and `import package.module` must mean the same."""
    module = MODULES[place]
    if not hasattr(module, "__path__") or place == "rl":
        return
    for name in module.__all__:
        below = Path(module.__path__[0]) / name
        is_module = below.is_dir() or below.with_suffix(".py").exists()
        assert not is_module or inspect.ismodule(getattr(module, name)), f"{place}.{name}"


def test_every_way_to_ask_shows_every_parameter():
    asked = inspect.signature(rl.Router.complete).parameters
    for method in (rl.Router.complete_sync, rl.Router.stream):
        assert inspect.signature(method).parameters == asked
    assert "temperature" in asked


def test_a_wrong_argument_is_a_value_error_too():
    with pytest.raises(ValueError, match="threshold"):
        rl.analysis.ExitPlan(threshold=2.0).margin()
    with pytest.raises(ValueError, match="no such file"):
        rl.settings.load("nowhere.yaml")


def test_a_script_needs_no_event_loop(tmp_path):
    with laboratory(tmp_path) as lab:
        with lab.router("routing: {ask: {model: local}}") as router:
            done = router.complete_sync("hello", task_type="ask")
        assert done.text
        assert lab.ledger.attempts().outcome.tolist() == ["ok"]


def test_a_score_is_given_by_its_parts(tmp_path):
    with rl.Ledger(tmp_path / "ledger") as ledger:
        ledger.score(comparison_id="c1", side="shadow", value=0.5, by="ana", note="half right")
        ledger.score(attempt_id="a1", by="ana", verdict="unsure")
        kept = ledger.scores()
        assert kept["quality_score"].tolist()[0] == 0.5
        assert kept["by"].tolist() == ["ana", "ana"]
        for wrong in ({"value": 0.5}, {"by": "ana", "comparison_id": "c1"}, {"value": 2, "by": "ana"}):
            with pytest.raises(rl.ConfigError):
                ledger.score(**wrong)
        assert len(ledger.scores()) == 2


if __name__ == "__main__":
    KEPT.write_text("\n".join(surface()) + "\n", "utf-8")
