"""`KEY=VALUE` as several commands take it."""

from __future__ import annotations

from typing import Any

from router_lab.errors import ConfigError


def option(text: str) -> tuple[str, Any]:
    """The key, and the value as YAML reads it. Raises `ConfigError`."""
    import yaml

    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigError(f"--option {text!r} must be written KEY=VALUE, such as threshold=0.8")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        return key, value
