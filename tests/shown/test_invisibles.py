"""What notebooks show of configurations, reasons and names hides no control character."""

from __future__ import annotations

from pathlib import Path

import router_lab as rl
from router_lab.sim import app, pointed_at, serve

HIDDEN = "\x1b[31m\u202e"
YAML = """
models:
  "a\\x1b\\u202eb": {provider: ollama, model: m, price: {input: 0.1, output: 0.1}}
routing:
  "ask\\x1b\\u202ex": {model: "a\\x1b\\u202eb"}
"""


async def test_reprs_in_notebooks_show_what_is_invisible(tmp_path: Path) -> None:
    with serve(app()) as server, rl.Ledger(tmp_path / "ledger") as ledger:
        settings = pointed_at(rl.settings.parse(YAML), server.url)
        async with rl.Router(settings, ledger=ledger) as router:
            ledger.switch.on(f"why {HIDDEN}", "ask\x1b\u202ex", minutes=5)
            shown = [router, ledger.switch, ledger, ledger.verify()]
            for page in [one._repr_html_() for one in shown] + [repr(ledger.switch)]:
                assert "\x1b" not in page and "\u202e" not in page
            assert "why" in ledger.switch._repr_html_()
