"""Names for the handles of sliders, which ipywidgets leaves to be guessed by those who cannot see."""

from __future__ import annotations

from pathlib import Path

import anywidget


class SliderNames(anywidget.AnyWidget):
    """Invisible; names every slider of the panel it stands in by the label beside it."""

    _esm = Path(__file__).with_name("slider_names.js").read_text(encoding="utf-8")
