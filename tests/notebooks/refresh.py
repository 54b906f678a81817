"""Execute notebooks in place and save them without noise: `python tests/notebooks/refresh.py [NOTEBOOK ...]`.

What is saved has outputs and execution counts, and no widget state, timings, view ids or versions,
so that running it twice gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
IGNORED = "NBVAL_IGNORE_OUTPUT"
_WIDGET = "application/vnd.jupyter.widget-view+json"


def refresh(path: Path) -> None:
    """Execute one notebook where it lies and save it, normalised."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    nbformat.write(normalised(notebook), path)


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with only what belongs under version control."""
    notebook.metadata = nbformat.from_dict({"kernelspec": _KERNEL, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if "tags" in cell.metadata else {})
        if IGNORED in cell.source:  # nbval does not compare it, so its log lines need not be kept
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET, None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(NOTEBOOKS.glob("*.ipynb")):
        refresh(Path(name).resolve())
        print(name)
