"""What may be asked of a model beside the prompt, as options of a command."""

from __future__ import annotations

import argparse
import json
from typing import Any

from router_lab.cli.common import number
from router_lab.errors import ConfigError

_PLAIN = ("temperature", "top_p", "seed", "stop", "reasoning_effort", "think")
_JSON = ("extra_body", "extra_headers")


def add_parameter_options(command: argparse.ArgumentParser) -> None:
    """`--temperature` and its like: they go over what the route and the model say."""
    group = command.add_argument_group("parameters", "what is asked beside the prompt")
    group.add_argument("--temperature", type=number, metavar="NUMBER", help="from 0 on")
    group.add_argument("--top-p", type=number, metavar="NUMBER", help="from 0 to 1")
    group.add_argument("--seed", type=int, metavar="NUMBER", help="for servers that sample by one")
    group.add_argument("--stop", action="append", metavar="TEXT", help="ends the answer; may be repeated")
    group.add_argument("--reasoning-effort", metavar="LEVEL", help="such as low, medium or high")
    group.add_argument("--think", type=_think, metavar="true|false|TOKENS", help="whether, or how long")
    group.add_argument("--extra-body", metavar="JSON", help="an object put into the request as it is")
    group.add_argument("--extra-headers", metavar="JSON", help="an object of names to texts")


def parameters_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as `Router.complete` takes it. Raises `ConfigError` for what is no JSON."""
    given = {name: getattr(arguments, name) for name in _PLAIN}
    given |= {name: _object(name, getattr(arguments, name)) for name in _JSON}
    return {name: value for name, value in given.items() if value is not None}


def _think(written: str) -> bool | int:
    if written.lower() in ("true", "false"):
        return written.lower() == "true"
    return int(written)


def _object(name: str, written: str | None) -> Any:
    if written is None:
        return None
    option = f"--{name.replace('_', '-')}"
    try:
        value = json.loads(written)
    except (ValueError, RecursionError) as error:
        # Not repeated: a header may hold a secret.
        raise ConfigError(f"{option}: is not JSON ({error}); write it as {option} '{{\"key\": 1}}'") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{option}: must be a JSON object, not {type(value).__name__}")
    return value
