"""The pages and the executed notebooks as an HTML site that is searched and read offline.

Sphinx with MyST-NB makes it: it reads Markdown and notebooks with their saved outputs, checks every
link, and its search needs no server. Nothing is executed, and nothing is fetched by who reads it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from router_lab.docs.pages import index, pages
from router_lab.errors import ConfigError
from router_lab.extras import missing
from router_lab.private_files import make_folders

_SETTINGS = {
    "project": "router_lab",
    "html_title": "router_lab",
    "extensions": ["myst_nb"],
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "html_theme": "furo",
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "myst_enable_extensions": [],
    "highlight_language": "none",
    # Mistakes are shown as they are written, and words in examples of commands have apostrophes.
    "suppress_warnings": ["misc.highlighting_failure", "mystnb.unknown_mime_type"],
}


def build(out: Path, commands: Mapping[str, argparse.ArgumentParser], notebooks: Sequence[Path]) -> Path:
    """Write the site into `out`; gives its first page. Raises `ConfigError` where Sphinx is not installed.

    A warning is an error: it says what of the pages is wrong.
    """
    try:
        from sphinx.application import Sphinx
        from sphinx.errors import SphinxError
        from sphinx.util.console import nocolor
    except ModuleNotFoundError as error:
        raise missing(error) from error
    make_folders(out)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder) / "sources", commands, notebooks)
        said = StringIO()
        nocolor()
        try:
            site = Sphinx(
                sources, None, out, Path(folder) / "doctrees", "html", confoverrides=_SETTINGS,
                status=None, warning=said, warningiserror=True, freshenv=True,
            )  # fmt: skip
            site.build()
        except SphinxError as error:
            raise ConfigError(f"the pages cannot be built: {error}") from error
        if said.getvalue():
            raise ConfigError(f"the pages have faults:\n{said.getvalue()}")
    return out / "index.html"


def write_sources(
    folder: Path, commands: Mapping[str, argparse.ArgumentParser], notebooks: Sequence[Path]
) -> Path:
    """Write every page's Markdown, and the notebooks, into `folder`."""
    written = pages(commands)
    named = [path.stem for path in notebooks]
    for name, text in {**written, "index": index(written, named)}.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "notebooks").mkdir(exist_ok=True)
    for path in notebooks:
        shutil.copyfile(path, folder / "notebooks" / path.name)
    return folder
