"""What several commands share: their options, how a folder is opened, the files of the package."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.errors import ConfigError
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

# What `add_subparsers` returns; argparse gives its class no public name.
Commands = Any


def add_command(commands: Commands, name: str, text: str, examples: str) -> argparse.ArgumentParser:
    """A subcommand whose help ends with examples."""
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return added


def number(text: str) -> float:
    """An option's number; for one with a unit, the error says what it is without."""
    try:
        return float(text)
    except ValueError:
        pass
    bare = text.strip().strip("%$€ ").removesuffix("USD").strip()
    try:
        meant = float(bare) / 100 if text.strip().endswith("%") else float(bare)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write one such as 0.05") from None
    raise argparse.ArgumentTypeError(f"{text!r} is no number; write {meant:g}")


def add_ledger_option(parser: argparse.ArgumentParser) -> None:
    """`--ledger FOLDER`, the same everywhere; by default the one that `ROUTER_LAB_LEDGER` names."""
    parser.add_argument(
        "--ledger",
        default=os.environ.get("ROUTER_LAB_LEDGER") or "ledger",
        metavar="FOLDER",
        help="the ledger's folder (default: ROUTER_LAB_LEDGER where it is set, else ledger)",
    )


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, the same everywhere."""
    parser.add_argument(
        "--config", default="config/router.yaml", metavar="FILE", help="default: config/router.yaml"
    )


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Which rows of a dataset or ledger are taken, the same everywhere."""
    parser.add_argument(
        "--task-type", metavar="PREFIX", help="only this one and those below it; of rows without, theirs"
    )
    parser.add_argument("--since", metavar="TIME", help="only rows from then on, such as 2026-11-22")
    parser.add_argument("--sample", type=int, metavar="N", help="draw so many rows, by task type")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used")


def confirmed(plan: str, is_agreed: bool) -> bool:
    """Say what would be sent and cost; whether it shall be, as `--yes` says, or the person in front of it."""
    print("\n".join(plain(line, 300) for line in plan.splitlines()), flush=True)
    if is_agreed:
        return True
    if sys.stdin.isatty() and input("send it? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("nothing was sent; add --yes to send it")
    return False


def existing_ledger(folder: str) -> Ledger:
    """The ledger in `folder`. Raises `ConfigError` when there is none: a typo must not make a new one."""
    from router_lab.ledger import Ledger

    if "://" not in folder:
        path = Path(folder)
        if not any((path / name).exists() for name in ("_journal.sqlite", "attempts", "comparisons")):
            raise ConfigError(f"{path.resolve()} holds no ledger; check --ledger, or ROUTER_LAB_LEDGER")
    return Ledger(folder)


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


_PACKAGE = Path(__file__).resolve().parents[1]
_PATTERNS = ("notebooks/[0-9]*.ipynb", "config/*.yaml", "data/workload.jsonl")


def shipped_root() -> Path:
    """The folder that holds `notebooks`, `config` and `data`. Raises `ConfigError` when there is none.

    A checkout has them at its root; a wheel carries them inside the package.
    """
    for candidate in (_PACKAGE.parent, _PACKAGE / "shipped"):
        if (candidate / "config" / "demo.yaml").is_file() and (candidate / "notebooks").is_dir():
            return candidate
    raise ConfigError(
        f"neither {_PACKAGE.parent} nor {_PACKAGE / 'shipped'} holds the notebooks; install router-lab again"
    )


def shipped_files() -> Iterator[tuple[Path, Path]]:
    """Each shipped file with its place below `shipped_root()`."""
    folder = shipped_root()
    for pattern in _PATTERNS:
        for path in sorted(folder.glob(pattern)):
            yield path, path.relative_to(folder)
