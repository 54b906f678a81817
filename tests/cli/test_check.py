"""`router-lab check`: what a configuration needs, asked of real servers."""

from __future__ import annotations

import pytest

from router_lab import sim
from router_lab.cli import main

CONFIG = """
models:
  local: {{provider: ollama, model: "{local}", base_url: "{url}", price: {{input: 0.1, output: 0.2}}}}
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", api_key_env: CLOUD_KEY,
          price: {{input: 3, output: 15}}}}
  other: {{provider: openai, model: {other}, base_url: "{url}/v1", price: {{input: 0, output: 0}},
          context_window: 4096}}
routing: {{ask: {{model: local, fallback: cloud}}}}
"""


@pytest.fixture
def server():
    with sim.serve(sim.app(api_keys={"anthropic": "secret-key-0123456789"})) as running:
        yield running


def check(tmp_path, capsys, url, *, local="qwen2.5:7b", other="my-model"):
    folder = tmp_path / "config"
    folder.mkdir(exist_ok=True)
    (folder / "router.yaml").write_text(CONFIG.format(url=url, local=local, other=other), "utf-8")
    code = main(["check", str(folder)])
    return code, capsys.readouterr().out


def test_what_is_there_is_ready_and_nothing_was_spent(tmp_path, capsys, monkeypatch, server):
    monkeypatch.setenv("CLOUD_KEY", "secret-key-0123456789")
    code, said = check(tmp_path, capsys, server.url)
    assert code == 0, said
    assert "ready to be called" in said
    assert "$0.1 in, $0.2 out per million tokens (config)" in said
    assert "4,096 tokens" in said
    assert "secret-key" not in said
    assert not list(server.app.log)


def test_each_thing_that_is_missing_has_its_remedy(tmp_path, capsys, monkeypatch, server):
    monkeypatch.delenv("CLOUD_KEY", raising=False)
    code, said = check(tmp_path, capsys, server.url, local="qwen2.5:70b", other="my-modell")
    assert code == 1
    assert "ollama pull qwen2.5:70b" in said
    assert "export CLOUD_KEY=" in said
    assert "did you mean my-model?" in said
    assert "mend local, cloud" in said


def test_what_only_a_call_can_tell_is_not_called_ready(tmp_path, capsys, monkeypatch, server):
    """Regression: a model that the server does not list was ready to be called."""
    monkeypatch.setenv("CLOUD_KEY", "secret-key-0123456789")
    code, said = check(tmp_path, capsys, server.url, other="my-modell")
    assert code == 0
    assert "only a call can tell of other" in said and "ready" not in said


def test_a_key_that_is_refused_names_its_variable_and_not_the_key(tmp_path, capsys, monkeypatch, server):
    monkeypatch.setenv("CLOUD_KEY", "wrong-key-0123456789")
    code, said = check(tmp_path, capsys, server.url)
    assert code == 1
    assert "answers 401: check the key in CLOUD_KEY" in said
    assert "wrong-key" not in said


def test_a_server_that_is_down_says_how_to_start_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CLOUD_KEY", "secret-key-0123456789")
    code, said = check(tmp_path, capsys, "http://127.0.0.1:9")
    assert code == 1
    assert "ollama serve" in said


def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nowhere.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
