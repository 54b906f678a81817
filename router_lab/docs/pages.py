"""Every page of the documentation as Markdown: prose as it was written, the reference as the code has it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib.resources import files

from router_lab.docs.api_pages import api_pages
from router_lab.docs.column_pages import columns_page, keys_page, words_page
from router_lab.docs.commands import commands_page
from router_lab.docs.error_pages import alerts_page, errors_page
from router_lab.docs.methods import comparators_page, metrics_page, providers_page, statistics_page

# The pages of prose, in the order one reads them.
PROSE = (
    "start", "verdict", "marking", "money", "asking", "truncation", "switch", "processes", "operating",
    "security", "comparison",
)  # fmt: skip
_INDEX = """\
# router_lab

May a cheaper model replace the one you pay for? This says how to find out, and how router_lab knows.

```{{toctree}}
:maxdepth: 1
:caption: Understanding

{prose}
```

```{{toctree}}
:maxdepth: 1
:caption: Notebooks

{notebooks}
```

```{{toctree}}
:maxdepth: 1
:caption: Reference

{reference}
```
"""


def pages(commands: Mapping[str, argparse.ArgumentParser]) -> dict[str, str]:
    """Each page's Markdown by its name, less notebooks. `commands` are those of the shell."""
    written = {name: (files("router_lab.docs") / f"{name}.md").read_text("utf-8") for name in PROSE}
    return written | reference(commands)


def reference(commands: Mapping[str, argparse.ArgumentParser]) -> dict[str, str]:
    """The pages that are made from the code."""
    return {
        **api_pages(),
        "reference/words": words_page(),
        "reference/errors": errors_page(),
        "reference/alerts": alerts_page(),
        "reference/tables": columns_page(),
        "reference/configuration": keys_page(),
        "reference/commands": commands_page(commands),
        "reference/comparators": comparators_page(),
        "reference/providers": providers_page(),
        "reference/metrics": metrics_page(),
        "reference/statistics": statistics_page(),
    }


def index(names: Mapping[str, str], notebooks: list[str]) -> str:
    """The first page: where everything is."""
    made = [name for name in names if name.startswith("reference/")]
    return _INDEX.format(
        prose="\n".join(name for name in names if name not in made),
        notebooks="\n".join(f"notebooks/{name}" for name in notebooks),
        reference="\n".join(made),
    )
