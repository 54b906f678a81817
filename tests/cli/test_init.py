"""`router-lab init`: a configuration to begin with, which `check` and the router accept."""

from __future__ import annotations

import router_lab as rl
from router_lab.cli import main


def test_what_it_writes_can_be_loaded_and_is_never_written_over(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-to-be-shown")
    file = tmp_path / "new" / "router.yaml"
    assert main(["init", str(file)]) == 0
    said = capsys.readouterr().out
    assert "ANTHROPIC_API_KEY (anthropic)" in said and "not-to-be-shown" not in said
    assert f"router-lab check {file}" in said
    assert rl.settings.load(file).routing
    file.write_text("mine", "utf-8")
    assert main(["init", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text("utf-8") == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "config").write_text("a file", "utf-8")
    assert main(["init", str(tmp_path / "config" / "router.yaml")]) == 3
    assert "router-lab: " in capsys.readouterr().err
