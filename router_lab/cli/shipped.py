"""The files that come with the package: notebooks, configurations and the sample workload.

A checkout has them at its root; a wheel carries them inside the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from router_lab.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
_PATTERNS = ("notebooks/[0-9]*.ipynb", "config/*.yaml", "data/workload.jsonl")


def root() -> Path:
    """The folder that holds `notebooks`, `config` and `data`. Raises `ConfigError` when there is none."""
    for candidate in (_PACKAGE.parent, _PACKAGE / "shipped"):
        if (candidate / "config" / "demo.yaml").is_file() and (candidate / "notebooks").is_dir():
            return candidate
    raise ConfigError(
        f"neither {_PACKAGE.parent} nor {_PACKAGE / 'shipped'} holds the notebooks; install router-lab again"
    )


def files() -> Iterator[tuple[Path, Path]]:
    """Each shipped file with its place below `root()`."""
    folder = root()
    for pattern in _PATTERNS:
        for path in sorted(folder.glob(pattern)):
            yield path, path.relative_to(folder)
