"""Mistakes that users make, with what is said of them: `mistakes.yaml`, which a test holds to the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: what was written, in which language, and what is said of it."""

    title: str
    language: Literal["python", "yaml", "sh"]
    text: str
    says: str


@cache
def mistakes() -> Mapping[str, tuple[Mistake, ...]]:
    """All of them by topic, in the order of the file."""
    read = yaml.safe_load((files("router_lab.docs") / "mistakes.yaml").read_text("utf-8"))
    return {topic: tuple(Mistake(**one) for one in group) for topic, group in read.items()}
