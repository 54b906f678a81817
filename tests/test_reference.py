"""What the product says of itself: every column is explained, and every name is found."""

from __future__ import annotations

import pytest

import router_lab as rl
from router_lab.ledger.schema import TABLES, column_notes
from router_lab.reference import words


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_every_table_is_explained(table):
    notes = column_notes(table)
    assert [note.column for note in notes] == TABLES[table].names
    for note in notes:
        assert note.meaning.endswith("."), note
        assert note.meaning[0].isupper(), note


def test_a_ledger_says_what_its_columns_hold(tmp_path):
    frame = rl.Ledger(tmp_path).columns("comparisons")
    assert list(frame.columns) == ["column", "type", "null", "meaning"]
    said = frame.set_index("column").loc["agreement"]
    assert said["type"] == "number" and said["null"] and "0 to 1" in said["meaning"]
    with pytest.raises(rl.ConfigError, match="attempts, comparisons"):
        rl.Ledger(tmp_path).columns("attempt")


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("interrupted", "column attempts.interrupted (boolean)"),
        ("comparisons.agreement", "column comparisons.agreement (number, may be null)"),
        ("rl.analysis.ab", "rl.analysis.ab(pairs, by="),
        ("max_queued", "YAML shadow.max_queued (default 256)"),
        ("BudgetExceededError", "error BudgetExceededError"),
        ("ComparePanel", "rl.panels.ComparePanel"),
    ],
)
def test_a_word_is_found_wherever_it_stands(word, place):
    assert place in repr(rl.help(word))


@pytest.mark.parametrize("word", ["interupted", "agrement"])
def test_a_word_that_is_nearly_one_is_asked_back(word):
    with pytest.raises(rl.ConfigError, match="did you mean"):
        rl.help(word)


def test_help_in_a_notebook_is_safe_and_whole():
    assert "&lt;" in rl.help("ab")._repr_html_() or "<script" not in rl.help("ab")._repr_html_()
    with pytest.raises(rl.ConfigError, match="nothing is called so"):
        rl.help("<script>alert(1)</script>")


@pytest.mark.parametrize(
    "word",
    [
        *("superior", "non-inferior", "not non-inferior", "differs", "inconclusive", "refused"),
        *(outcome.value for outcome in rl.analysis.Outcome),
        *("STABLE", "Non_Inferior", "estimand", "points", "badly off", "seen", "floor", "scores", "judge"),
    ],
)
def test_a_word_of_a_verdict_is_explained(word):
    said = rl.help(word)
    assert any(place.startswith(("word", "column")) for place in (one.place for one in said.entries))


def test_every_word_is_told_in_a_sentence():
    for word, meaning in words().items():
        assert meaning[0].isupper() and meaning.endswith("."), word
        assert rl.help(word.upper()).entries[0].text == meaning
    assert list(words()) == sorted(words())


@pytest.mark.parametrize(
    ("name", "said"), [("verdit", "did you mean 'verdict'"), ("monitor", "rl.help('monitor')")]
)
def test_a_name_that_is_not_here_says_where_to_look(name, said):
    with pytest.raises(AttributeError, match=said.replace("(", r"\(").replace(")", r"\)")):
        getattr(rl, name)
    assert "rl.analysis.monitor(" in repr(rl.help("monitor"))


@pytest.mark.parametrize(
    "word", ["Ledger.import_scores", "ledger.import_scores", "import_scores", "spot_checks", "plots"]
)
def test_methods_and_modules_are_explained_too(word):
    assert all(entry.text for entry in rl.help(word).entries)
