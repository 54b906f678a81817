"""What a model thought before it answered, taken off its answer.

Some servers send thoughts in a field of their own, others leave them in the text between tags; of some
models only the closing tag is there, because their prompt ends with the opening one. All of it is
separated here, once, before data is read out of an answer, before it is compared, judged or stored.

Only what stands before the answer is thoughts. A tag that an answer talks about stays: in the middle
of prose, in a code fence, in quotation marks, in the text of a JSON answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from pydantic_core import from_json

from router_lab.records import Reply

_NAME = r"(?:[a-z_]{1,20}:)?(?:think|thinking|thoughts?|reasoning)"
_OPENING = "|".join(
    (
        rf"<{_NAME}(?:\s[^<>\n]{{0,80}})?>",
        r"\[THINK\]",
        r"<\|(?:START_THINKING|begin_of_thought)\|>",
        r"◁think▷",
        # Harmony, as gpt-oss writes it when a server does not take its channels apart.
        r"(?:<\|start\|>assistant)?<\|channel\|>analysis[^<>\n]{0,40}<\|message\|>",
    )
)
_CLOSING = "|".join(
    (
        rf"</{_NAME}\s{{0,8}}>",
        r"\[/THINK\]",
        r"<\|(?:END_THINKING|end_of_thought)\|>",
        r"◁/think▷",
        r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final[^<>\n]{0,40}<\|message\|>",
    )
)
# `end` closes thoughts that were opened; alone it is only how some models end their answer.
_MARKS = re.compile(
    rf"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<end><\|end\|>)"
    r"|(?P<fence>```(?=(?P<info>[^`\n]*+)(?:\n|\Z)))",
    re.IGNORECASE,
)
# Without one of these there is no mark but fences: most texts are done with here.
_HINTS = ("think", "thought", "reasoning", "<|channel|>")
_BARE_FENCE = re.compile(r"^[ \t]*+```[ \t]*+$", re.MULTILINE)
_VISIBLE = re.compile(r"[^\s\ufeff]")
_HARMONY = "<|channel|>"
_HARMONY_ENDS = ("<|return|>", "<|end|>")

_QUOTES = frozenset("\"'`“”‘’«»„")
# A sentence goes on behind the tag: it talks about it.
_GOES_ON = re.compile(r"[,.;:?!)](?:\s|\Z)")

# Reading an answer as JSON is tried this often; a text with more lone closing tags is no JSON.
_MAX_READINGS = 16


def without_thoughts(reply: Reply) -> Reply:
    """`reply` with its text cleared of thoughts, and all of them in `thinking`."""
    text, thoughts = separated(reply.text)
    if text == reply.text:
        return reply
    return replace(reply, text=text, thinking="\n".join(filter(None, (reply.thinking, thoughts))))


def separated(text: str) -> tuple[str, str]:
    """A model's text as (answer, thoughts); one without thoughts is left as it is, to the last blank.

    Thoughts that never end are all there is: the answer is then empty. Linear in the length of the text,
    and separating an answer again changes nothing.
    """
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text, ""
    reading = _Reading(text)
    for mark in _MARKS.finditer(text):
        if not reading.take(mark):
            break
    reading.finish()
    if not reading.start:
        return text, ""
    answer = text[reading.first_visible() :]
    if _HARMONY in lowered[: reading.start]:
        answer = _without_end_marks(answer)
    return answer, "\n".join(filter(None, (part.strip() for part in reading.thoughts)))


@dataclass(slots=True)
class _Reading:
    """Goes over the marks of a text once, and knows where its answer starts as far as it has read."""

    text: str
    start: int = 0
    thoughts: list[str] = field(default_factory=list)
    _thinking_from: int | None = None
    # Tags that the answer itself has opened, and not yet closed.
    _depth: int = 0
    _in_fence: bool = False
    _last_bare_fence: int | None = None
    _readings: int = 0
    _visible: int | None = None

    def take(self, mark: re.Match[str]) -> bool:
        """Take the next mark in; False when nothing behind it can matter."""
        if self._thinking_from is not None:
            if mark["closing"] or mark["end"]:
                self._answer_from(mark.end(), self.text[self._thinking_from : mark.start()])
        elif mark["fence"]:
            self._take_fence(mark)
        elif mark["end"] or self._in_fence or self._is_quoted(mark):
            return True
        elif mark["opening"]:
            self._take_opening(mark)
        elif self._depth:
            self._depth -= 1
        elif self._is_json():
            return False
        else:
            self._answer_from(mark.end(), self.text[self.start : mark.start()])
        return True

    def finish(self) -> None:
        """The text ends: thoughts that are still open reach to here."""
        if self._thinking_from is not None:
            self._answer_from(len(self.text), self.text[self._thinking_from :])

    def _answer_from(self, start: int, thoughts: str) -> None:
        self.thoughts.append(thoughts)
        self.start, self._thinking_from, self._visible = start, None, None

    def _take_opening(self, mark: re.Match[str]) -> None:
        if self.first_visible() == mark.start():
            self._thinking_from = mark.end()
        else:
            self._depth += 1

    def _take_fence(self, mark: re.Match[str]) -> None:
        """As in CommonMark a fence is a line of its own; one that never closes is prose."""
        line = max(self.start, self.text.rfind("\n", self.start, mark.start()) + 1)
        if self.text[line : mark.start()].strip():
            return
        if self._in_fence:
            self._in_fence = bool(mark["info"].strip())
        else:
            self._in_fence = mark.start() < self._last_fence()

    def _last_fence(self) -> int:
        if self._last_bare_fence is None:
            ends = [found.end() for found in _BARE_FENCE.finditer(self.text)]
            self._last_bare_fence = ends[-1] - 3 if ends else -1
        return self._last_bare_fence

    def _is_quoted(self, mark: re.Match[str]) -> bool:
        before = self.text[mark.start() - 1] if mark.start() > self.start else ""
        after = self.text[mark.end()] if mark.end() < len(self.text) else ""
        if before in _QUOTES and after in _QUOTES:
            return True
        return bool(mark["closing"] and _GOES_ON.match(self.text, mark.end()))

    def _is_json(self) -> bool:
        first = self.first_visible()
        if self.text[first : first + 1] not in ("{", "[", '"') or self._readings == _MAX_READINGS:
            return False
        self._readings += 1
        try:
            from_json(self.text[first:].strip())
        except (TypeError, ValueError):
            return False
        return True

    def first_visible(self) -> int:
        """Where the answer's first character stands that is no blank."""
        if self._visible is None:
            found = _VISIBLE.search(self.text, self.start)
            self._visible = found.start() if found else len(self.text)
        return self._visible


def _without_end_marks(answer: str) -> str:
    end = len(answer)
    while end:
        mark = next((mark for mark in _HARMONY_ENDS if answer.endswith(mark, 0, end)), "")
        if not mark and not answer[end - 1].isspace():
            break
        end -= len(mark) or 1
    return answer[:end]
