"""The page of the shell: every command with its options, from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from router_lab.docs.markdown import block, code, prose, table

_INTRODUCTION = """\
# Commands

`router-lab COMMAND --help` says the same. Exit codes: 0 done, 1 a check found something wrong, 2 the
command or its configuration is wrong, 3 a provider, budget or ledger refused, 130 interrupted.
"""


def commands_page(commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """Every command, and what is below it."""
    parts = [_INTRODUCTION]
    for name, parser in sorted(commands.items()):
        parts.extend(_described(f"router-lab {name}", parser, 2))
    return "\n".join(parts)


def _described(name: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{name}`\n"
    yield prose(parser.description or "") + "\n"
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    rows = [_row(one) for one in parser._actions if one not in below and one.dest != "help"]
    if rows:
        yield table(("Option", "Default", "Meaning"), rows)
    if parser.epilog and not below:
        yield block("sh", "\n".join(line.strip() for line in parser.epilog.splitlines()[1:]))
    for action in below:
        for word, inner in sorted(action.choices.items()):
            yield from _described(f"{name} {word}", inner, level + 1)


def _row(one: argparse.Action) -> tuple[str, str, str]:
    value = one.metavar or (one.dest.upper() if one.nargs != 0 else "")
    named = ", ".join(one.option_strings)
    shown = f"{named} {_words(value)}".strip() if named else _words(one.metavar or one.dest.upper())
    choices = f" One of {', '.join(map(str, one.choices))}." if one.choices else ""
    said = (one.help or "").replace("%(default)s", str(one.default)).replace("%%", "%")
    return (
        code(shown),
        _default(one),
        prose(f"{said[:1].upper()}{said[1:]}{'.' * (not said.endswith('.'))}{choices}"),
    )


def _words(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _default(one: argparse.Action) -> str:
    if one.required:
        return "needed"
    is_said = one.default not in (None, False, argparse.SUPPRESS, []) and "default" not in (one.help or "")
    return code(str(one.default)) if is_said else ""
