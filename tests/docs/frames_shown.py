"""The frames that a block of Python shows: what its expressions give, and what the package's objects hold."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

_SEEN = "_frame_seen"


@dataclass
class FramesShown:
    """Every frame that was seen, with the place where it was."""

    frames: list[tuple[str, pd.DataFrame]] = field(default_factory=list)

    def watched(self, text: str, names: dict[str, Any]) -> str:
        """The block with every call looked at as it ends: its value, and the frames which that holds."""
        names[_SEEN] = self._seen
        return ast.unparse(ast.fix_missing_locations(_Watched().visit(ast.parse(text))))

    def _seen(self, value: Any, place: str) -> Any:
        self.frames += _frames(value, place)
        return value


class _Watched(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        place = ast.unparse(node)
        return _looked_at(self.generic_visit(node), place)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        place = ast.unparse(node)
        return _looked_at(self.generic_visit(node), place)


def _looked_at(node: ast.AST, place: str) -> ast.Call:
    return ast.Call(ast.Name(_SEEN, ast.Load()), [node, ast.Constant(place)], [])


def _frames(value: Any, place: str) -> Iterator[tuple[str, pd.DataFrame]]:
    if isinstance(value, pd.DataFrame):
        yield place, value
    kind = type(value)
    if not kind.__module__.startswith("router_lab"):
        return
    for name in dir(kind):
        if not name.startswith("_") and "DataFrame" in _annotation(kind, name):
            held = getattr(value, name)
            yield from _frames(held() if inspect.ismethod(held) else held, f"{kind.__name__}.{name}")


def _annotation(kind: type, name: str) -> str:
    """What an attribute, or a method that needs no argument, gives."""
    for one in kind.__mro__:
        if name in inspect.get_annotations(one):
            return str(inspect.get_annotations(one)[name])
    found = inspect.getattr_static(kind, name)
    if isinstance(found, property):
        return str((found.fget.__annotations__ if found.fget else {}).get("return", ""))
    needs_none = inspect.isfunction(found) and len(inspect.signature(found).parameters) == 1
    return str(found.__annotations__.get("return", "")) if needs_none else ""
