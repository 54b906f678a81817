"""What a notebook shows of an error of ours: the message and the caller's line, no frames of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import router_lab as rl


def test_the_traceback_is_cut_to_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.run_cell("import router_lab as rl\nrl.Router.from_yaml('no/such/file.yaml')")
    said = capsys.readouterr().out
    assert "rl.Router.from_yaml('no/such/file.yaml')" in said
    assert "ConfigError: " in said and "no/such/file.yaml" in said
    assert "router_lab/" not in said and len(said.splitlines()) <= 4


def test_setting_the_switch_says_how_to_flip_it(tmp_path: Path) -> None:
    with rl.Ledger(tmp_path) as ledger:
        for name in ("enabled", "state", "on"):
            with pytest.raises(rl.ConfigError, match=r"ledger\.switch\.on\(reason="):
                setattr(ledger.switch, name, True)
        assert not ledger.switch.state.on
