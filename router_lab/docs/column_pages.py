"""Pages of what is written down: the columns of the tables, the keys of the YAML, the words of verdicts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from router_lab.docs.markdown import code, prose, table
from router_lab.field_notes import field_notes
from router_lab.glossary import column_meanings
from router_lab.ledger.schema import TABLES, column_notes
from router_lab.reference import default_of, words, yaml_keys

_COLUMNS = """\
# Tables and columns

A ledger's tables, as `ledger.attempts()` and its siblings read them, and as the Parquet files have them.
`ledger.columns("attempts")` says the same in a notebook. Times are UTC with microseconds; names that end in
`_usd` are US dollars, `_ms` milliseconds. What a column could not be filled with is null, never a guess.
"""
_RESULTS = """\
## Columns of results

What analyses, panels and replays add to these in their frames. A name means the same in every one of them.
"""
_KEYS = """\
# Keys of the YAML

Every key, with its default. Only `models` and `routing` are needed. Under `models`, `routing`,
`cost.scopes` and `cost.users` names of your own come first: `models.NAME.provider`. Prices are USD per
million tokens; names that end in `_s` are seconds, in `_usd` US dollars. A wrong key is an error that
names file, line and the nearest one.
"""


_WORDS = """\
# Words

What verdicts, panels and reports say, word by word; `rl.help("floor")` says the same in a notebook.
"""


def words_page() -> str:
    """Every word of verdicts and reports with its meaning."""
    return f"{_WORDS}\n{table(('Word', 'Meaning'), ((word, prose(text)) for word, text in words().items()))}"


def columns_page() -> str:
    """Every column of every table: type, whether it may be null, what it holds."""
    parts = [_COLUMNS]
    for name, one in TABLES.items():
        rows = (
            (code(note.column), note.type, "may be null" if note.null else "", prose(note.meaning))
            for note in column_notes(name)
        )
        head = (inspect.getdoc(one.record) or "").partition("\n\n")[0]
        parts += [f"## `{name}`\n", prose(head) + "\n", table(("Column", "Type", "Null", "Meaning"), rows)]
    of_tables = {column for one in TABLES.values() for column in one.names}
    found = sorted(column_meanings().values(), key=lambda one: one.name)
    results = ((code(one.name), one.kind, prose(one.text)) for one in found if one.name not in of_tables)
    parts += [_RESULTS, table(("Column", "Type", "Meaning"), results)]
    return "\n".join(parts)


def keys_page() -> str:
    """Every key of the YAML: type, default, meaning."""
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for key, model, information in yaml_keys():
        sections.setdefault(key.partition(".")[0], []).append(_row(key, model, information))
    head = ("Key", "Type", "Default", "Meaning")
    return "\n".join([_KEYS, *(f"## `{name}`\n\n{table(head, rows)}" for name, rows in sections.items())])


def _row(key: str, model: type[BaseModel], information: FieldInfo) -> tuple[str, str, str, str]:
    is_section = any(True for _ in _models(information.annotation))
    default = "needed" if information.is_required() else default_of(information).removeprefix("default ")
    kind = "section" if is_section else code(_kind(information))
    shown = "" if is_section and default != "needed" else default if default == "needed" else code(default)
    return code(key), kind, shown, prose(field_notes(model)[key.rpartition(".")[2]])


def _kind(information: FieldInfo) -> str:
    written = inspect.formatannotation(information.annotation)
    for long, short in (
        ("typing.", ""),
        ("pydantic.types.", ""),
        ("Literal", "one of "),
        ("NoneType", "None"),
    ):
        written = written.replace(long, short)
    return written.split("Annotated[")[-1].split(", ")[0] if "Annotated[" in written else written


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
