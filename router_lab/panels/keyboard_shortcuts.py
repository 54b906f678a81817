"""Keyboard shortcuts: a visible list of keys that hears them while the panel around it is in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import traitlets


class KeyboardShortcuts(anywidget.AnyWidget):
    """A line of keys and what they do. `on_press` is called with the key, one of those in `meanings`.

    It has the focus after a click anywhere in its panel that is not on a control, or by the Tab key;
    typing into a text field is never taken for a shortcut.
    """

    _esm = Path(__file__).with_name("keyboard_shortcuts.js").read_text(encoding="utf-8")
    meanings: traitlets.List[list[str]] = traitlets.List().tag(sync=True)
    current = traitlets.Int(1).tag(sync=True)

    def __init__(self, meanings: Mapping[str, str], on_press: Callable[[str], None]) -> None:
        super().__init__(meanings=[[key, words] for key, words in meanings.items()])

        def heard(_widget: object, content: object, _buffers: object) -> None:
            key = content.get("key") if isinstance(content, dict) else None
            if key in meanings:
                on_press(str(key))

        self.on_msg(heard)
