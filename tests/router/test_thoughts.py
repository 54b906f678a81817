"""Thoughts are taken off an answer, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import Reply
from router_lab.router.thoughts import separated, without_thoughts

FINAL = "<|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("text", "answer", "thoughts"),
    [
        ("<think>a</think>\n\nb", "b", "a"),
        ("<THINK>a</Think> b", "b", "a"),
        ("\n <thinking>x</thinking>\n<think>y</think>z", "z", "x\ny"),
        ("<think></think>\n\nb", "b", ""),
        ("a</think>b", "b", "a"),
        ("<think>a", "", "a"),
        ("<think>a</think>  ", "", "a"),
        ("<thought>a</thought>b", "b", "a"),
        ("<reasoning>a</reasoning><answer>4</answer>", "<answer>4</answer>", "a"),
        ("<seed:think>a</seed:think>b", "b", "a"),
        ("[THINK]a[/THINK]b", "b", "a"),
        ("<|START_THINKING|>a<|END_THINKING|>b", "b", "a"),
        (f"<|channel|>analysis<|message|>a<|end|>{FINAL}b<|return|>", "b", "a"),
        ("<|channel|>final<|message|>b", "b", ""),
        ("<think>I mention <think> here</think>b", "b", "I mention <think> here"),
        ("<think>a <think>b</think> c</think> d", "d", "a <think>b\nc"),
        ("<think>an open ```json</think>{}", "{}", "an open ```json"),
        ("an open\n```py\ncode</think>\nb", "b", "an open\n```py\ncode"),
        ('<think>a</think>{"b": "see </think> it"}', '{"b": "see </think> it"}', "a"),
    ],
)
def test_thoughts_are_separated(text: str, answer: str, thoughts: str) -> None:
    assert separated(text) == (answer, thoughts)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "  blanks stay\n",
        "Close your thoughts with `</think>` and go on.",
        'The tag "</think>" ends them.',
        "Write </think>, then the answer.",
        "The tags <think> and </think> stand around thoughts.",
        "```\n<think>x</think>\n```\nis how it looks",
        "Like this:\n```html\nfoo</think>bar\n```\n",
        '{"a": 1, "b": "<think>x</think>"}',
        '{"b": "close </think> it"}',
        '["a </think> b"]',
        "Paris.<|end|>",
    ],
)
def test_what_an_answer_says_about_tags_stays(text: str) -> None:
    assert separated(text) == (text, "")


def test_thoughts_of_both_kinds_are_kept_together() -> None:
    reply = without_thoughts(Reply("<think>b</think>c", None, None, None, thinking="a"))
    assert (reply.text, reply.thinking) == ("c", "a\nb")


@given(st.text().filter(lambda text: not any(hint in text.lower() for hint in ("think", "thought", "<|"))))
def test_a_text_without_tags_is_untouched(text: str) -> None:
    if "reasoning" not in text.lower():
        assert separated(text) == (text, "")


TAGS = ["<think>", "</think>", "[THINK]", "[/THINK]", "<thought>", "</reasoning>", "<|end|>", "<|return|>"]
AROUND = [
    "```",
    "```json",
    "\n",
    " ",
    "`",
    '"',
    "{",
    "}",
    '{"a": "',
    '"}',
    "[",
    "]",
    ",",
    ".",
    "word",
    "\ufeff",
]
PIECES = st.sampled_from([*TAGS, *AROUND, "<|channel|>analysis<|message|>", FINAL, "\u3000"])


@given(st.lists(PIECES, max_size=14).map("".join))
def test_separating_again_changes_nothing(text: str) -> None:
    answer, thoughts = separated(text)
    assert separated(answer) == (answer, "")
    assert (answer, thoughts) == (text, "") or len(answer) < len(text)
    assert answer in text


class _Counted(str):
    """A text that counts the characters handed out by slicing it."""

    copied = 0

    def __getitem__(self, key: object) -> str:
        found = super().__getitem__(key)  # type: ignore[index]
        type(self).copied += len(found)
        return found


@pytest.mark.parametrize(
    "piece",
    [
        "</think>",
        "<think>",
        "<think></think>",
        "{</think>",
        '["a</think>',
        "```\n",
        "```</think>\n",
        "think`",
        FINAL,
    ],
)
@pytest.mark.parametrize("start", ["", "think ", f"<|channel|>analysis<|message|>x{FINAL}"])
def test_hostile_texts_cost_as_much_work_as_they_are_long(piece: str, start: str) -> None:
    text = _Counted(start + piece * 20_000)
    _Counted.copied = 0
    separated(text)
    assert _Counted.copied <= 20 * len(text)
