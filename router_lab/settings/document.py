"""YAML text -> plain data and the line of every key, with the surprises of YAML 1.1 taken out.

Values follow `yaml.safe_load`. Keys are taken as they are written, so a route may be called `on` or
`2026`. Anchors, aliases and merge keys work. Files made to exhaust memory or time are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from router_lab.settings.problems import Path, Problem, quoted

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 50_000

_STANDARD = "tag:yaml.org,2002:"
_MAP, _SEQ, _MERGE = (_STANDARD + name for name in ("map", "seq", "merge"))
# Numbers YAML 1.1 reads in base 60 or base 8, to everyone's surprise: `1:30` is 90, `010` is 8.
_OLD_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|0[0-7_]+)")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, `lines` (path -> 1-based line of its key) and what was wrong on the way."""

    data: Any
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]


class DocumentError(Exception):
    """The text is no YAML that can be read on; `line` is 1-based, None when it concerns the whole."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def read_document(text: str) -> Document:
    """Read one YAML document. Raises `DocumentError` where reading cannot go on."""
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"is longer than {MAX_CHARACTERS:,} characters; is it the right file?")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError(f"holds a character YAML does not allow ({error.character!r})", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(_syntax(error), mark.line + 1 if mark else None) from None
    if node is None:
        raise DocumentError("is empty; it needs the sections `models` and `routing`")
    visit = _Visit(loader)
    return Document(visit.value(node, ()), visit.lines, tuple(visit.problems))


class _Loader(yaml.SafeLoader):
    """Composes nodes lazily, so that a hostile text is refused before it is read to its end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise DocumentError(f"is nested more than {MAX_DEPTH} levels deep", line)
        if self._nodes > MAX_VALUES:
            raise DocumentError(f"holds more than {MAX_VALUES:,} values; is it the right file?", line)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


# YAML 1.1 wants a point and a sign in the exponent, so it reads `1e-6` as text; everyone means a number.
_Loader.add_implicit_resolver(
    _STANDARD + "float",
    re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+"),
    list("-+.0123456789"),
)


@dataclass(slots=True)
class _Visit:
    """One walk over the nodes, aliases followed: builds the data and notes lines and problems."""

    loader: _Loader
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _visited: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode):
            self._count(node)
            return self._scalar(node, path)
        expected = _MAP if isinstance(node, yaml.MappingNode) else _SEQ
        if node.tag != expected:
            self._problem(path, f"the YAML tag {quoted(node.tag)} is not supported; remove it", node)
            return None
        with self._enter(node):
            return self._mapping(node, path) if expected == _MAP else self._sequence(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if not node.tag.startswith(_STANDARD):
            self._problem(path, f"the YAML tag {quoted(node.tag)} is not supported; remove it", node)
            return None
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._problem(path, f"cannot read {quoted(node.value)}; put it in quotes if it is text", node)
            return None
        if isinstance(value, int | float) and _OLD_NUMBER.fullmatch(node.value):
            message = f"YAML reads {node.value} as {value}; write {value}, or put it in quotes if it is text"
            self._problem(path, message, node)
        return value

    def _sequence(self, node: yaml.Node, path: Path) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            inner = (*path, index)
            self.lines[inner] = item.start_mark.line + 1
            items.append(self.value(item, inner))
        return items

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        data = {}
        for key, (key_node, value_node) in self._entries(node, path).items():
            inner = (*path, key)
            self.lines[inner] = key_node.start_mark.line + 1
            data[key] = self.value(value_node, inner)
        return data

    def _entries(self, node: yaml.Node, path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping's own entries, then those merged in with `<<` that it does not override."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merges: list[yaml.Node] = []
        for key_node, value_node in node.value:
            self._count(key_node)
            if key_node.tag == _MERGE:
                is_list = isinstance(value_node, yaml.SequenceNode)
                merges.extend(value_node.value if is_list else [value_node])
            elif not isinstance(key_node, yaml.ScalarNode):
                message = "a key must be text; a value that begins with { or [ needs quotes"
                self._problem(path, message, key_node)
            elif key_node.value in own:
                first = own[key_node.value][0].start_mark.line + 1
                message = f"this key is given twice, first on line {first}; keep one of them"
                self._problem((*path, key_node.value), message, key_node)
            else:
                own[key_node.value] = (key_node, value_node)
        for source in merges:
            if not isinstance(source, yaml.MappingNode):
                self._problem((*path, "<<"), "can only merge a mapping, or a list of mappings", source)
                continue
            with self._enter(source):
                for key, entry in self._entries(source, path).items():
                    own.setdefault(key, entry)
        return own

    @contextmanager
    def _enter(self, node: yaml.Node) -> Iterator[None]:
        self._count(node)
        if id(node) in self._open:
            raise DocumentError("this value contains itself through an alias", node.start_mark.line + 1)
        self._open.add(id(node))
        yield
        self._open.remove(id(node))

    def _count(self, node: yaml.Node) -> None:
        self._visited += 1
        if self._visited > MAX_VALUES:
            message = f"aliases expand this file to more than {MAX_VALUES:,} values"
            raise DocumentError(message, node.start_mark.line + 1)

    def _problem(self, path: Path, message: str, node: yaml.Node) -> None:
        self.problems.append(Problem(path, message, node.start_mark.line + 1))


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    message = f"is not valid YAML: {problem}"
    if error.context:
        message += f" ({error.context})"
    if r"'\t'" in problem:
        return f"{message}; YAML indents with spaces, replace the tab"
    if "single document" in (error.context or ""):
        return f"{message}; keep one document, without `---` between sections"
    return message
