"""What is counted in a prompt before it is sent: character classes, messages, images.

Text is counted once per request, on the UTF-8 bytes: 10 us for 1 kB, 5 ms for 1 MB.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router_lab.records import Image, Message, Tool

PUNCTUATION, SPACE, LETTER, DIGIT, OTHER, CJK, CONTINUATION = range(1, 8)

# UTF-8 lead bytes E3 to ED are kana, CJK and Hangul; EF is mostly full-width forms.
_CJK_LEADS = frozenset((*range(0xE3, 0xEE), 0xEF))


def _class_of(byte: int) -> int:
    if byte >= 0xC0:
        return CJK if byte in _CJK_LEADS else OTHER
    if byte >= 0x80:
        return CONTINUATION
    character = chr(byte)
    if character.isalpha():
        return LETTER
    if character.isdigit():
        return DIGIT
    return SPACE if byte <= 0x20 or byte == 0x7F else PUNCTUATION


_CLASSES = bytes(_class_of(byte) for byte in range(256))
_IS_LETTER = bytes(_class_of(byte) == LETTER for byte in range(256))


@dataclass(frozen=True, slots=True)
class Features:
    """Counts of one prompt. All but `utf8_bytes` count characters, runs or parts, not bytes.

    `letters`, `digits`, `punctuation` and `whitespace` are ASCII; `words` are runs of ASCII
    letters; `cjk` are Chinese, Japanese and Korean characters; `other` the rest of Unicode.
    `repeats` are punctuation or white space equal to the character before: tokenizers put rules,
    indentation and padded tables into few tokens, so these are kept out of the two other counts.
    """

    chars: int
    utf8_bytes: int
    letters: int = 0
    digits: int = 0
    punctuation: int = 0
    whitespace: int = 0
    repeats: int = 0
    words: int = 0
    other: int = 0
    cjk: int = 0
    messages: int = 1
    images: int = 0
    tools: int = 0
    # What the JSON of tools, calls and a schema is longer by where a template writes it in ASCII.
    escapes: int = 0
    # Of the images, by their sizes; None where those are not known.
    image_tokens: ImageTokens | None = None

    @property
    def of_images(self) -> ImageTokens:
        """What the images come to."""
        return self.image_tokens if self.image_tokens is not None else of_unknown(self.images)


def features(
    text: str,
    *,
    messages: int = 1,
    images: int = 0,
    tools: int = 0,
    escapes: int = 0,
    image_tokens: ImageTokens | None = None,
) -> Features:
    """Count `text`, the texts of all `messages` joined; any string is accepted."""
    encoded = text.encode("utf-8", "surrogatepass")
    classes = encoded.translate(_CLASSES)
    count = classes.count
    repeated = _repeated(encoded, classes)
    repeated_punctuation, repeated_space = repeated.count(PUNCTUATION), repeated.count(SPACE)
    starts = encoded.translate(_IS_LETTER)
    return Features(
        chars=len(text),
        utf8_bytes=len(encoded),
        letters=count(LETTER),
        digits=count(DIGIT),
        punctuation=count(PUNCTUATION) - repeated_punctuation,
        whitespace=count(SPACE) - repeated_space,
        repeats=repeated_punctuation + repeated_space,
        words=starts.count(b"\0\1") + starts.startswith(b"\1"),
        other=count(OTHER),
        cjk=count(CJK),
        messages=messages,
        images=images,
        tools=tools,
        escapes=escapes,
        image_tokens=image_tokens,
    )


def _repeated(encoded: bytes, classes: bytes) -> bytes:
    """The classes of the bytes that equal the byte before."""
    characters = np.frombuffer(encoded, np.uint8)
    repeated: bytes = np.frombuffer(classes, np.uint8)[1:][characters[1:] == characters[:-1]].tobytes()
    return repeated


def prompt_features(
    messages: Sequence[Message],
    system: str | None = None,
    tools: Sequence[Tool] = (),
    *,
    schema: Mapping[str, Any] | None = None,
    model: str = "",
) -> Features:
    """Count a whole request: the system prompt, every message, tool calls and tool definitions.

    `schema` is one that is sent beside the prompt and read with it, `model` the one that counts images.
    """
    images = [image for message in messages for image in message.images]
    data: list[Any] = [[call.name, call.arguments] for message in messages for call in message.tool_calls]
    data += [] if schema is None else [schema]
    data += [[tool.name, tool.description, tool.parameters] for tool in tools]
    texts = [] if system is None else [system]
    texts += [message.text for message in messages]
    parts = [_as_json(value) for value in data]
    return features(
        "\n".join(texts + parts),
        messages=len(messages) + (system is not None),
        images=len(images),
        tools=len(tools),
        escapes=sum(map(_escapes, parts)),
        image_tokens=image_tokens(images, model),
    )


def droppable_features(messages: Sequence[Message]) -> tuple[Features, ...]:
    """Count, oldest first, each message that Ollama may silently drop: all but the last."""
    return tuple(
        features(
            _message_text(message), images=len(message.images), image_tokens=image_tokens(message.images)
        )
        for message in messages[:-1]
    )


def _message_text(message: Message) -> str:
    if not message.tool_calls:
        return message.text
    calls = (_as_json([call.name, call.arguments]) for call in message.tool_calls)
    return "\n".join((message.text, *calls))


def _as_json(value: Any) -> str:
    """As most templates write it: in its own script, so that Japanese is counted as Japanese."""
    return json.dumps(value, default=str, ensure_ascii=False)


def _escapes(written: str) -> int:
    """The bytes that ASCII escapes (`u` and four digits; two of them beyond the BMP) would add to UTF-8."""
    if written.isascii():
        return 0
    units = len(written.encode("utf-16-le", "surrogatepass")) // 2
    ascii_characters = sum(map(str.isascii, written))
    return 6 * (units - ascii_characters) - (len(written.encode("utf-8", "surrogatepass")) - ascii_characters)


# Of an image whose size is not known: what Ollama assumes, what common cloud models charge at most, and
# what any is known to charge.
IMAGE_EXPECTED = 768
IMAGE_UPPER = 1_600
IMAGE_BOUND = 16_384

# A size stands at the beginning, in a JPEG behind previews and colour profiles.
_READ_CHARS = 1 << 20

# Base and tile of models that count an image in their own way.
_DEAR = {"gpt-4o-mini": (2_833, 5_667), "computer-use-preview": (65, 129)}


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """Of all images of a prompt: the central guess, the most that is usual, and the most there can be."""

    expected: int = 0
    upper: int = 0
    bound: int = 0


def image_tokens(images: Iterable[Image], model: str = "") -> ImageTokens:
    """The tokens of `images` at a model, by their size in pixels. Reads their first bytes.

    Vendors count patches or tiles: Anthropic width x height / 750 of at most 1,568 pixels a side (docs:
    Vision), OpenAI's older models 85 + 170 a tile of 512 and its newer ones patches of 32 (docs: Images and
    vision; those of gpt-4o-mini cost 2,833 + 5,667 a tile), Gemini 258 a tile of 768, Qwen-VL a token a patch
    of 28, Ollama 768 whatever the size. Where the size cannot be read, the dearest is assumed, and said.
    """
    dear = next((rule for name, rule in _DEAR.items() if name in model), None)
    total = ImageTokens()
    for image in images:
        one = _of_size(image_size(image), dear)
        total = ImageTokens(total.expected + one.expected, total.upper + one.upper, total.bound + one.bound)
    return total


def of_unknown(images: int) -> ImageTokens:
    """The tokens of so many images of which nothing is known."""
    return ImageTokens(images * IMAGE_EXPECTED, images * IMAGE_UPPER, images * IMAGE_BOUND)


def _of_size(size: tuple[int, int] | None, dear: tuple[int, int] | None) -> ImageTokens:
    if dear is not None:
        # At most 768 pixels by 2,048, in tiles of 512.
        tokens = dear[0] + dear[1] * (8 if size is None else _tiles(size))
        return ImageTokens(tokens, tokens, tokens)
    if size is None:
        return of_unknown(1)
    width, height = size
    shrunk = min(1.0, 1568 / max(size))
    by_area = math.ceil(width * shrunk * height * shrunk / 750)
    patches = math.ceil(width / 28) * math.ceil(height / 28)
    tiles = 85 + 170 * _tiles(size)
    gemini = 258 * math.ceil(width / 768) * math.ceil(height / 768)
    newer = math.ceil(2.46 * min(math.ceil(width / 32) * math.ceil(height / 32), 1_536))
    return ImageTokens(
        expected=min(by_area, IMAGE_UPPER),
        upper=max(min(by_area, IMAGE_UPPER), tiles, IMAGE_EXPECTED),
        bound=min(max(patches, tiles, gemini, newer, IMAGE_EXPECTED), IMAGE_BOUND),
    )


def _tiles(size: tuple[int, int]) -> int:
    fitted = min(1.0, 2048 / max(size))
    short = min(1.0, 768 / (min(size) * fitted)) * fitted
    return math.ceil(size[0] * short / 512) * math.ceil(size[1] * short / 512)


def image_size(image: Image) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, JPEG, GIF or WebP; None for what cannot be read."""
    try:
        data = base64.b64decode(image.data[:_READ_CHARS] + "===")
        size = _png(data) or _gif(data) or _webp(data) or _jpeg(data)
    except (ValueError, struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if data[:8] == b"\x89PNG\r\n\x1a\n" else None


def _gif(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10]) if data[:6] in (b"GIF87a", b"GIF89a") else None


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The size stands in the first frame header, behind other segments."""
    if data[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xFF:
            place += 1
            continue
        place += 2 + int(struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None
