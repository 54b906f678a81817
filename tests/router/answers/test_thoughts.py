"""Thoughts are taken off an answer, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import Reply
from router_lab.router.answers.thoughts import separated, without_thoughts

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
        ("<|thinking|>a<|/thinking|>b", "b", "a"),
        ("<|thinking|>a</|thinking|>b", "b", "a"),
        ("<|begin_of_thinking|>a<|end_of_thinking|>\n\nb", "b", "a"),
        ("<|thinking|>a<|answer|>b", "b", "a"),
        ("<|channel>thought\na<channel|>b", "b", "a"),
        ("a<channel|>b", "b", "a"),
        ("<|channel|>analysis<|message|>a<|end|>b", "b", "a"),
        (
            "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|constrain|>json<|message|>{}",
            "{}",
            "a",
        ),
        ("<|channel|>commentary<|message|>a<|end|>b", "b", "a"),
        ("analysisWe need it.assistantfinalParis.", "Paris.", "We need it."),
        ("Here is my thought process:\na\nHere is my response:\nb", "b", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n\n<|begin_of_solution|>b<|end_of_solution|>", "b", "a"),
        ("<|begin_of_solution|>\nb\n<|end_of_solution|>", "b", ""),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a"),
        ("<think>a</think>\u200b\u2060", "", "a"),
        ("\u200b<think>a</think>b", "b", "a"),
        ("<thought_process>a</thought_process>b", "b", "a"),
        ("<Reflection>a</Reflection>\nb", "b", "a"),
        ("<scratchpad>a</scratchpad>\n<grade>4</grade>", "<grade>4</grade>", "a"),
        ("<analysis>a</analysis>b", "b", "a"),
        ("<analysis>a</analysis><answer>b</answer>", "<answer>b</answer>", "a"),
        ('<analysis type="long">a</analysis>{"b": 1}', '{"b": 1}', "a"),
        ("<cot>a</cot><reason>c</reason>b", "b", "a\nc"),
        ("<inner_monologue>a</inner_monologue>b", "b", "a"),
        ("<think>a</think><analysis>c</analysis>b", "b", "a\nc"),
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
        "<analysis>all there is</analysis>",
        "<scratchpad>all there is</scratchpad>\n\u200b",
        "<analysis>never closed",
        "<reflection>never closed\n",
        "<analysis>the one part</analysis>\n<verdict>the other</verdict>",
        "<report><analysis>a</analysis>b</report>",
        "It says: <analysis>a</analysis>b",
        "<reason>why</reason><rule>4</rule>",
        "`<analysis>` and `</analysis>` stand around it.",
        "a</analysis>b",
        "analysis of it: assistantfinal is a word",
        "\u200b",
        "The box is <|begin_of_box|>4<|end_of_box|> here.",
    ],
)
def test_what_an_answer_says_about_tags_stays(text: str) -> None:
    assert separated(text) == (text, "")


def test_thoughts_of_both_kinds_are_kept_together() -> None:
    reply = without_thoughts(Reply("<think>b</think>c", None, None, None, thinking="a"))
    assert (reply.text, reply.thinking) == ("c", "a\nb")


@given(st.text().filter(lambda text: not any(hint in text.lower() for hint in ("think", "thought", "<|"))))
def test_a_text_without_tags_is_untouched(text: str) -> None:
    if "reasoning" not in text.lower() and not any(tag in text for tag in ("<", "assistantfinal")):
        assert separated(text) == (text, "")


TAGS = [
    "<analysis>",
    "</analysis>",
    "<cot>",
    "</cot>",
    "<|begin_of_solution|>",
    "<channel|>",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "<thought>",
    "</reasoning>",
    "<|end|>",
    "<|return|>",
]
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


@pytest.mark.few(8)
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
        "<analysis>",
        "<analysis></think>",
        "<cot></cot>",
        "<|begin_of_solution|>",
    ],
)
@pytest.mark.parametrize("start", ["", "think ", f"<|channel|>analysis<|message|>x{FINAL}"])
def test_hostile_texts_cost_as_much_work_as_they_are_long(piece: str, start: str) -> None:
    text = _Counted(start + piece * 20_000)
    _Counted.copied = 0
    separated(text)
    assert _Counted.copied <= 20 * len(text)
