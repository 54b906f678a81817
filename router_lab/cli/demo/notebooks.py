"""Execute notebooks on a ledger and keep them as HTML."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from router_lab.errors import ConfigError
from router_lab.private_files import make_file, write_text


def execute(folder: Path, ledger: Path, out: Path) -> None:
    """Run every notebook of `folder` on `ledger` into `out/NAME.html`; raises `ConfigError` if one fails."""
    try:
        import nbformat
        import papermill
        from nbconvert import HTMLExporter
    except ImportError:
        print("\nThe notebooks were not executed: pip install 'router-lab[lab]'", file=sys.stderr)
        return
    print()
    for notebook in sorted(folder.glob("[0-9]*.ipynb")):
        page = out / f"{notebook.stem}.html"
        executed = out / f"{notebook.stem}.ipynb"
        try:
            make_file(executed)  # papermill keeps its mode
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                parameters={"LEDGER": str(ledger.resolve())},
                cwd=str(folder),
                progress_bar=False,
                kernel_name="python3",
                kernel_manager_class=_quiet_kernels(),
            )
        except papermill.PapermillExecutionError as error:
            raise ConfigError(f"{notebook.name} failed in cell {error.cell_index}: {error.evalue}") from error
        except OSError as error:
            raise ConfigError(f"{executed}: the notebook cannot be executed ({error})") from error
        html, _ = HTMLExporter().from_notebook_node(_without_widgets(nbformat.read(executed, as_version=4)))
        executed.unlink()
        try:
            write_text(page, html)
        except OSError as error:
            raise ConfigError(f"{page}: the page cannot be written ({error})") from error
        print(f"executed {notebook.name} -> {page}")


def _quiet_kernels() -> type:
    """Kernels whose own output, such as that of a Java machine started by a cell, stays off the terminal."""
    from jupyter_client.manager import AsyncKernelManager

    class QuietKernels(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            await super().start_kernel(stdout=DEVNULL, stderr=DEVNULL, **options)

    return QuietKernels


def _without_widgets(notebook: Any) -> Any:
    """The notebook with each panel's static table in its place: a live widget needs a kernel and a CDN."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook
