"""Images, tool definitions and schemas are in what is estimated and held; a size nobody can read is said."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from router_lab import Router, settings
from router_lab.ledger import Ledger
from router_lab.records import Alert, Image
from router_lab.router.estimators.features import IMAGE_BOUND, image_size, image_tokens
from scripted_server import openai, scripted

YAML = """
models: {{one: {{provider: openai, model: {model}, base_url: "{url}/v1", price: {{input: 1, output: 1}}}}}}
routing: {{t: {{model: one, max_tokens: 16}}}}
ledger: {{durability: os}}
"""


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(
        ">I", zlib.crc32(b"IHDR" + header)
    )  # fmt: skip


def jpeg(width: int, height: int, before: int = 0) -> bytes:
    preview = b"".join(b"\xff\xe1" + struct.pack(">H", 60_000) + bytes(59_998) for _ in range(before))
    return b"\xff\xd8" + preview + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03rest"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7"


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + size


def image(data: bytes, kind: str = "image/png") -> Image:
    return Image(kind, base64.b64encode(data).decode())


@pytest.mark.parametrize("size", [(1, 1), (640, 480), (4000, 3000), (65_535, 2)])
def test_sizes_are_read(size: tuple[int, int]) -> None:
    for made in (png(*size), jpeg(*size), jpeg(*size, before=3), gif(*size), webp(*size)):
        assert image_size(image(made)) == size


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10", b"RIFF0000WEBP", b"heic"]
)
def test_what_cannot_be_read_has_no_size(data: bytes) -> None:
    assert image_size(image(data)) is None
    assert image_tokens([image(data)]).bound == IMAGE_BOUND


@pytest.mark.parametrize(
    ("size", "documented"),
    [
        ((200, 200), 54),  # Anthropic's table
        ((1000, 1000), 1334),
        ((1092, 1092), 1590),
        ((1024, 1024), 765),  # OpenAI's examples of tiles
        ((2048, 4096), 1105),
        ((512, 512), 255),
    ],
)
def test_documented_counts_are_within_the_bounds(size: tuple[int, int], documented: int) -> None:
    known = image_tokens([image(png(*size))])
    assert documented <= known.upper <= known.bound


def test_a_model_that_counts_images_in_its_own_way() -> None:
    tokens = image_tokens([image(png(1024, 1024))], "gpt-4o-mini-2024-07-18")
    assert tokens.expected == tokens.bound == 2_833 + 5_667 * 4


async def called(folder: Path, model: str = "m", **asked: Any) -> tuple[Any, list[Alert]]:
    alerts: list[Alert] = []
    async with scripted({model: openai('{"a": 1}')}) as server:
        with Ledger(folder) as ledger:
            parsed = settings.parse(YAML.format(url=server.url, model=model))
            async with Router(parsed, ledger=ledger, on_alert=alerts.append) as router:
                for _ in range(2):
                    await router.complete(task_type="t", **asked)
            return ledger.attempts().iloc[0], alerts


def looking_at(data: bytes, kind: str) -> dict[str, Any]:
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


async def test_the_estimate_grows_with_the_image(tmp_path: Path) -> None:
    small, no_alerts = await called(tmp_path / "small", **looking_at(png(64, 64), "image/png"))
    large, _ = await called(tmp_path / "large", **looking_at(jpeg(1500, 1500), "image/jpeg"))
    mini, _ = await called(tmp_path / "mini", "gpt-4o-mini", **looking_at(jpeg(1500, 1500), "image/jpeg"))
    assert 768 <= small["estimated_tokens_in"] < large["estimated_tokens_in"] < 3000
    assert mini["estimated_tokens_in"] > 25_000
    assert not no_alerts


async def test_a_size_that_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    _, alerts = await called(tmp_path, **looking_at(b"ftypheic", "image/heic"))
    (alert,) = alerts
    assert alert.kind == "image_size_unknown" and "image/heic" in alert.message


async def test_tools_and_schemas_are_in_the_estimate(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(400))
    tool = {"type": "function", "function": {"name": "f", "description": words, "parameters": {}}}
    schema = {"type": "object", "description": words}
    plain, _ = await called(tmp_path / "plain", prompt="hi")
    tools, _ = await called(tmp_path / "tools", prompt="hi", tools=[tool])
    shaped, _ = await called(tmp_path / "schema", prompt="hi", schema=schema)
    for row in (tools, shaped):
        assert row["estimated_tokens_in"] > plain["estimated_tokens_in"] + 400
