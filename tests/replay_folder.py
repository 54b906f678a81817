"""What the replays that are killed are given: a configuration, and a log of what the primary answered."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = """
models:
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
  cheap: {{provider: anthropic, model: claude-haiku-4-5, base_url: "{url}", price: {{input: 1, output: 5}}}}
  other: {{provider: openai, model: my-model, base_url: "{url}/v1", price: {{input: 0.2, output: 0.6}}}}
routing:
  ask: {{model: cloud, max_tokens: 32}}
"""
AT_ONCE = "retry: {policies: {standard: {retries: 2, base_s: 0, max_s: 0}}}\n"
PRICES = {"claude-haiku-4-5": {"input": 1, "output": 5}, "my-model": {"input": 0.2, "output": 0.6}}


def write_config(folder: Path, url: str, more: str) -> None:
    (folder / "router.yaml").write_text(CONFIG.format(url=url) + more, encoding="utf-8")


def write_log(folder: Path, rows: int) -> None:
    log = [
        {"id": f"row-{number}", "task_type": "ask", "prompt": f"How heavy is {number}?", "output": "1"}
        for number in range(rows)
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
