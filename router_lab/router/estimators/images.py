"""What an image of a prompt comes to in tokens, by its size in pixels.

Vendors count patches or tiles: Anthropic width x height / 750 of at most 1,568 pixels a side (docs: Vision),
OpenAI's older models 85 + 170 a tile of 512 and its newer ones patches of 32 (docs: Images and vision; those
of gpt-4o-mini cost 2,833 + 5,667 a tile), Gemini 258 a tile of 768, Qwen-VL a token a patch of 28, Ollama
768 whatever the size. Where the size cannot be read, the dearest of them is assumed, and said.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from router_lab.records import Image

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
    """The tokens of `images` at a model. Reads their first bytes."""
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
