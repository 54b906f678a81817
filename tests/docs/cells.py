"""Running what a page shows: Python as a notebook's cell, commands as a shell would."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import shlex
from dataclasses import dataclass
from typing import Any

from router_lab.cli import main

SETTINGS = """
models:
  big: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
  small: {{provider: ollama, model: "qwen2.5:7b", base_url: "{url}", price: {{input: 0.1, output: 0.1}}}}
routing:
  ask: {{model: big, shadow: {{model: small}}}}
  "summarize::short": {{model: big, shadow: {{model: small}}}}
  judge: {{model: big}}
"""


async def run(text: str, names: dict[str, Any], where: str) -> None:
    """Run a block as a notebook's cell, `await` at its top included."""
    done = eval(compile(text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(done):
        await done


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    errors: str


def command(line: str) -> Said:
    """Run one line of `router-lab ...` in this process."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(shlex.split(line, comments=True)[1:])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    return Said(code, errors.getvalue())
