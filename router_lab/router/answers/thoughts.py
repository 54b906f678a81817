"""What a model thought before it answered, taken off its answer.

Some servers send thoughts in a field of their own, others leave them in the text between tags; of some
models only the closing tag is there, because their prompt ends with the opening one. All of it is
separated here, once, before data is read out of an answer, before it is compared, judged or stored.

Only what stands before the answer is thoughts. A tag that an answer talks about stays: in the middle
of prose, in a code fence, in quotation marks, in the text of a JSON answer. Tags that prompts also ask
for in an answer (`<analysis>`, `<scratchpad>`) hold thoughts only where they open the text, close, and
an answer follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from pydantic_core import from_json

from router_lab.records import Reply

# A character that a reader sees, and what stands between words besides: joiners, marks, fillers.
VISIBLE = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def is_blank(text: str | None) -> bool:
    """Whether nothing of a text can be seen: such an answer is none."""
    return not text or VISIBLE.search(text) is None


_NAME = r"(?:[a-z_]{1,20}:)?(?:ant)?(?:think|thinking|thoughts?|reasoning)"
_SPECIAL = r"(?:think(?:ing)?|thoughts?|reasoning)"
_OPENING = "|".join(
    (
        rf"<{_NAME}(?:\s[^<>\n]{{0,80}})?>",
        r"\[THINK\]",
        rf"<\|(?:(?:start|begin)_(?:of_)?)?{_SPECIAL}\|>",
        r"◁think▷",
        # Harmony, as gpt-oss writes it when a server does not take its channels apart.
        r"(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary(?! ?to=))[^<>\n]{0,40}<\|message\|>",
        # Gemma
        r"<\|channel>(?:thought|thinking|analysis)s?\b",
    )
)
_CLOSING = "|".join(
    (
        rf"</{_NAME}\s{{0,8}}>",
        r"\[/THINK\]",
        rf"<(?:/\||\|/|\|end_(?:of_)?){_SPECIAL}\|>",
        r"◁/think▷",
        r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final"
        r"(?:[^<>\n]|<\|constrain\|>){0,40}<\|message\|>",
        r"<channel\|>",
    )
)
# Tags that prompts ask for, too; behind those of the second kind other tags are parts of one document.
_SCRATCH = (
    r"thought_process|thinking_process|reasoning_process|scratch_?pad|cot|chain_of_thoughts?"
    r"|inner_(?:monologue|thoughts?)|internal_(?:monologue|thoughts?|reasoning)"
)
_PARTS = r"analysis|reflections?|reason|deliberation"
# These close thoughts that were opened; alone, `end` is only how some models end their answer.
_END = r"<\|(?:end|answer|response)\|>"
# An answer's own wrapping.
_WRAPPING = r"<\|(?:begin_of_(?:solution|answer|box)|start_(?:response|of_answer))\|>"
_WRAPPING_ENDS = tuple(
    f"<|{name}|>"
    for name in ("end_of_solution", "end_of_answer", "end_of_box", "end_response", "END_RESPONSE")
)
_MARKS = re.compile(
    rf"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<end>{_END})|(?P<wrapping>{_WRAPPING})"
    rf"|<(?P<asked>{_SCRATCH}|{_PARTS})(?:\s[^<>\n]{{0,80}})?>"
    r"|(?P<fence>```(?=(?P<info>[^`\n]*+)(?:\n|\Z)))",
    re.IGNORECASE,
)
_IS_PART = re.compile(_PARTS, re.IGNORECASE)
_OF_A_DOCUMENT = re.compile(
    r"<(?!/?(?:final_?)?(?:answer|response|output|result|reply|solution)\b)[a-z/!]|```\s*(?:xml|html)",
    re.IGNORECASE,
)
# Without one of these there is no mark but fences: most texts are done with here.
_HINTS = (
    "think", "thought", "reasoning", "<|channel", "<channel|>", "<scratch", "<cot", "<inner_", "<internal_",
    "<analysis", "<reflection", "<reason", "<deliberation", "<|begin_of_", "<|start_response|>",
    "assistantfinal",
)  # fmt: skip
_BARE_FENCE = re.compile(r"^[ \t]*+```[ \t]*+$", re.MULTILINE)
_HARMONY = "<|channel|>"
_HARMONY_ENDS = ("<|return|>", "<|end|>")

# Thoughts and answer told apart by words: Harmony without its marks, and Granite.
_WORDED = (
    re.compile(r"\s*analysis(?=[^\s:])(.*)assistantfinal(.*)", re.DOTALL),
    re.compile(
        r"\s*Here(?:'s| is) my thought process:(.*)\n[ \t]{0,20}Here(?:'s| is) my response:\s*(.*)",
        re.DOTALL | re.IGNORECASE,
    ),
)

_QUOTES = frozenset("\"'`“”‘’«»„")
# A sentence goes on behind the tag: it talks about it.
_GOES_ON = re.compile(r"[,.;:?!)](?:\s|\Z)")

# Reading an answer as JSON is tried this often; a text with more lone closing tags is no JSON.
_MAX_READINGS = 16

# Marks in words and in tags can stand around one another.
_MAX_LAYERS = 4


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
    thoughts: list[str] = []
    for _ in range(_MAX_LAYERS):
        before = text
        text = _without_marked(_without_worded(text, thoughts), thoughts)
        if text == before:
            break
    return text, "\n".join(filter(None, (part.strip() for part in thoughts)))


def _without_worded(text: str, thoughts: list[str]) -> str:
    for worded in _WORDED:
        if (found := worded.match(text)) and not is_blank(found[2]):
            thoughts.append(found[1])
            return found[2].lstrip()
    return text


def _without_marked(text: str, thoughts: list[str]) -> str:
    reading = _TagReader(text)
    for mark in _MARKS.finditer(text):
        if not reading.take(mark):
            break
    reading.finish()
    if not reading.start:
        return text
    thoughts += reading.thoughts
    answer = text[reading.first_visible() :]
    ends = _HARMONY_ENDS if _HARMONY in text[: reading.start].lower() else ()
    return _without_end_marks(answer, (*ends, *(_WRAPPING_ENDS if reading.is_wrapped else ())))


@dataclass(slots=True)
class _TagReader:
    """Goes over the marks of a text once, and knows where its answer starts as far as it has read."""

    text: str
    start: int = 0
    is_wrapped: bool = False
    thoughts: list[str] = field(default_factory=list)
    _thinking_from: int | None = None
    # Tags that the answer itself has opened, and not yet closed.
    _depth: int = 0
    _in_fence: bool = False
    _last_bare_fence: int | None = None
    _readings: int = 0
    _visible: int | None = None
    # The next closing tags by name, as far as they were looked for; None: there is none.
    _closings: dict[str, re.Match[str] | None] = field(default_factory=dict)

    def take(self, mark: re.Match[str]) -> bool:
        """Take the next mark in; False when nothing behind it can matter."""
        if mark.start() < self.start:
            return True
        if self._thinking_from is not None:
            if mark["closing"] or mark["end"] or mark["wrapping"]:
                self.is_wrapped |= bool(mark["wrapping"])
                self._answer_from(mark.end(), self.text[self._thinking_from : mark.start()])
        elif mark["fence"]:
            self._take_fence(mark)
        elif mark["end"] or self._in_fence or self._is_quoted(mark):
            return True
        elif mark["wrapping"]:
            if self.first_visible() == mark.start():
                self.start, self.is_wrapped, self._visible = mark.end(), True, None
        elif mark["asked"]:
            self._take_asked(mark)
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

    def _take_asked(self, mark: re.Match[str]) -> None:
        """Thoughts only where the text begins with the tag, and where an answer is left behind it."""
        name = mark["asked"].lower()
        if self.first_visible() != mark.start() or not (closing := self._closing(name, mark.end())):
            return
        follows = VISIBLE.search(self.text, closing.end())
        if follows is None:
            return
        if _IS_PART.fullmatch(name) and _OF_A_DOCUMENT.match(self.text, follows.start()):
            return
        self._answer_from(closing.end(), self.text[mark.end() : closing.start()])

    def _closing(self, name: str, start: int) -> re.Match[str] | None:
        known = self._closings.get(name)
        if name not in self._closings or (known is not None and known.start() < start):
            known = re.compile(rf"</{name}\s{{0,8}}>", re.IGNORECASE).search(self.text, start)
            self._closings[name] = known
        return known

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
            found = VISIBLE.search(self.text, self.start)
            self._visible = found.start() if found else len(self.text)
        return self._visible


def _without_end_marks(answer: str, marks: tuple[str, ...]) -> str:
    end = len(answer) if marks else 0
    while end:
        mark = next((mark for mark in marks if answer.endswith(mark, 0, end)), "")
        if not mark and not answer[end - 1].isspace():
            break
        end -= len(mark) or 1
    return answer[:end] if marks else answer
