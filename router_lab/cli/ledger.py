"""`router-lab ledger`: look after a ledger from the shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger, number
from router_lab.counted import counted
from router_lab.errors import ConfigError, LedgerError
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.ledger import Ledger
    from router_lab.ledger.content import Content

EXAMPLES = """\
  router-lab ledger status --ledger out/ledger
  router-lab ledger verify
  router-lab ledger prune --before 2026-01-01
  router-lab ledger export --out attempts.csv
  router-lab ledger import spend_logs.json --source litellm --content hash
  router-lab ledger import spend_logs.json --source litellm --column task_type=request_tags.0
  router-lab ledger import calls.jsonl --source jsonl --column id=uuid --column tokens_in=usage.prompt
  router-lab ledger import-scores marks.csv --by ana --scale 1 5 --on task_id
  router-lab ledger marks
  router-lab ledger reconcile --provider anthropic usage.csv
"""

_DEFAULT_CONFIG = "config/router.yaml"

# Does one thing to an open ledger and returns the exit code.
Work = Callable[["Ledger", argparse.Namespace], int]


def add_to(commands: Commands) -> None:
    """Add the subcommand and its actions."""
    command = add_command(commands, "ledger", "inspect, seal, verify, clean, export and import", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "status", "say how many rows there are, sealed and not", _status)
    _add(actions, "seal", "move every settled row to Parquet", _seal)
    _add(actions, "verify", "check everything checkable; exit code 1 if something is wrong", _verify)
    _add(actions, "compact", "merge small Parquet files while others read", _compact)
    for name, text, work in (
        ("prune", "delete rows older than a day for good", _prune),
        ("redact", "replace prompts and outputs older than a day by their hashes", _redact),
    ):
        action = _add(actions, name, text, work)
        action.add_argument("--before", required=True, metavar="DAY", help="such as 2026-01-01, UTC")
    _add_export(actions)
    imported, scores = _add_import(actions), _add_import_scores(actions)
    _add(actions, "marks", "say who scored how many pairs, and how far they agree", _marks)
    for action in (imported, scores, _add_reconcile(actions)):
        action.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="OURS=THEIRS",
            help="where a column is in the file",
        )


def _add_export(actions: Commands) -> None:
    export = _add(actions, "export", "write one table to one file", _export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet, .csv or .jsonl")
    export.add_argument("--table", default="attempts", help="attempts (default), comparisons, alerts, ...")
    export.add_argument("--raw", action="store_true", help="CSV texts as they are, formulas too")


def _add_import(actions: Commands) -> argparse.ArgumentParser:
    imported = _add(actions, "import", "add attempts from another tool's log", _import)
    imported.add_argument("file", type=Path)
    imported.add_argument(
        "--source", choices=["litellm", "otel", "openinference", "langfuse", "jsonl"], required=True
    )
    imported.add_argument(
        "--strict", action="store_true", help="refuse the file for any row that cannot be used"
    )
    imported.add_argument(
        "--content",
        choices=["full", "hash", "none"],
        help="what to keep of prompts and outputs (default: ledger.content of the configuration)",
    )
    imported.add_argument(
        "--config", metavar="FILE", help=f"default: {_DEFAULT_CONFIG}, if it is there; else all is kept"
    )
    return imported


def _add_import_scores(actions: Commands) -> argparse.ArgumentParser:
    scores = _add(actions, "import-scores", "add people's ratings of stored pairs", _import_scores)
    scores.add_argument("file", type=Path, help=".csv, .tsv, .jsonl or .parquet, one rated pair a row")
    scores.add_argument("--by", required=True, metavar="NAME", help="who gave the scores")
    scores.add_argument(
        "--scale",
        nargs=2,
        type=number,
        default=(0.0, 1.0),
        metavar=("WORST", "BEST"),
        help="the ends of their scale (default: 0 1)",
    )
    scores.add_argument(
        "--on",
        choices=["task_id", "comparison_id", "prompt"],
        default="task_id",
        help="the column that says which pair was rated (default: task_id)",
    )
    scores.add_argument(
        "--all-rated", action="store_true", help="every pair was rated, none picked: marks speak for all"
    )
    scores.add_argument(
        "--skip-refused",
        action="store_true",
        help="import the rows that are right where others are not",
    )
    return scores


def _add_reconcile(actions: Commands) -> argparse.ArgumentParser:
    reconcile = _add(
        actions, "reconcile", "compare with a provider's export and settle unknown bills", _reconcile
    )
    reconcile.add_argument("file", type=Path, help="the provider's CSV")
    reconcile.add_argument("--provider", required=True, help="anthropic, openai, or any with --column")
    reconcile.add_argument("--compare-only", action="store_true", help="write nothing back")
    return reconcile


def _add(actions: Commands, name: str, text: str, work: Work) -> argparse.ArgumentParser:
    action = add_command(actions, name, text, EXAMPLES)
    add_ledger_option(action)
    action.set_defaults(run=lambda arguments: _run(work, arguments))
    return action


def _run(work: Work, arguments: argparse.Namespace) -> int:
    from router_lab.ledger import Ledger

    # Importing may be how a ledger begins; everything else looks after one that is there.
    open_ledger = Ledger if work is _import else existing_ledger
    with open_ledger(arguments.ledger) as ledger:
        return work(ledger, arguments)


def _status(ledger: Ledger, _: argparse.Namespace) -> int:
    print(ledger.status())
    return 0


def _seal(ledger: Ledger, _: argparse.Namespace) -> int:
    print(f"{counted(ledger.seal(), 'rows')} moved to Parquet")
    return 0


def _verify(ledger: Ledger, _: argparse.Namespace) -> int:
    with suppress(LedgerError):  # a folder that cannot be written is verified as it is
        ledger.recover()
    report = ledger.verify()
    print(report)
    return 0 if report.ok else 1


def _compact(ledger: Ledger, _: argparse.Namespace) -> int:
    print(f"{counted(ledger.compact(), 'files')} fewer")
    return 0


def _prune(ledger: Ledger, arguments: argparse.Namespace) -> int:
    print(f"{counted(ledger.prune(arguments.before), 'rows')} deleted")
    return 0


def _redact(ledger: Ledger, arguments: argparse.Namespace) -> int:
    print(f"{counted(ledger.redact(arguments.before), 'rows')} redacted")
    return 0


def _export(ledger: Ledger, arguments: argparse.Namespace) -> int:
    written = ledger.export(arguments.out, arguments.table, raw=arguments.raw)
    print(f"{counted(written, 'rows')} written to {arguments.out}")
    return 0


def _import(ledger: Ledger, arguments: argparse.Namespace) -> int:
    content = arguments.content or _configured_content(arguments.config)
    columns = _columns(arguments.column)
    # Not by configuring the ledger, which would flip its switch as well.
    added = ledger.import_file(arguments.file, arguments.source, columns, content, strict=arguments.strict)
    print(f"{counted(added, 'attempts')} added from {arguments.file}")
    if added and "task_type" not in (columns or ()):
        print(
            "all of one task type; where the log tells them apart, import it into a new ledger with "
            "--column task_type=<where it stands in a row>, such as request_tags.0"
        )
    if added.problems:
        print(f"{counted(len(added.problems), 'rows')} left out:")
    for problem in added.problems:
        print(f"  {plain(problem, limit=400)}")
    return 0


def _import_scores(ledger: Ledger, arguments: argparse.Namespace) -> int:
    """Exit code 1 when rows were refused."""
    done = ledger.import_scores(
        arguments.file,
        by=arguments.by,
        scale=tuple(arguments.scale),
        on=arguments.on,
        columns=_columns(arguments.column),
        drawn="all" if arguments.all_rated else None,
        strict=not arguments.skip_refused,
    )
    print(f"{done} from {arguments.file}")
    for problem in done.problems:
        print(f"  {problem}")
    return 1 if done.problems else 0


def _marks(ledger: Ledger, _: argparse.Namespace) -> int:
    from router_lab.analysis import marks, scorer_agreement

    said = marks(ledger)
    if said.empty:
        print("nobody has scored a pair yet: rl.spot_checks, the compare panel, or import-scores")
        return 0
    said = said.assign(
        drawn=said["stratum"].notna(), unsure=said["verdict"] == "unsure", speaks_for=1 / said["chance"]
    )
    counted = said.groupby(["task_type", "by", "kind"]).agg(
        pairs=("comparison_id", "size"),
        drawn=("drawn", "sum"),
        chosen=("chosen", "sum"),
        unsure=("unsure", "sum"),
        speaks_for=("speaks_for", "sum"),
    )
    agreement = scorer_agreement(ledger)
    for frame in (counted.reset_index(), agreement):
        if len(frame):
            names = [name for name in ("task_type", "by") if name in frame]
            shown = frame.assign(**{name: frame[name].map(plain) for name in names})
            print(shown.to_string(index=False, float_format="%.2f"), end="\n\n")
    if len(agreement):
        print(
            "alpha: Krippendorff's, 1 perfect, 0 as by chance; under .67 even tentative conclusions are shaky"
        )
    return 0


def _configured_content(config: str | None) -> Content:
    """What the configuration says; without one, what a ledger keeps that was told nothing."""
    from router_lab.settings.loading import load

    if config is None and not Path(_DEFAULT_CONFIG).exists():
        return "full"
    return load(config or _DEFAULT_CONFIG).ledger.content


def _reconcile(ledger: Ledger, arguments: argparse.Namespace) -> int:
    """Exit code 1 when the two sides differ."""
    compared = ledger.reconcile(
        arguments.provider,
        arguments.file,
        _columns(arguments.column),
        settle=not arguments.compare_only,
    )
    print(compared.to_string(index=False))
    return 0 if compared.empty or set(compared["finding"]) <= {"agrees"} else 1


def _columns(pairs: list[str]) -> dict[str, str] | None:
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals:
            raise ConfigError(f"--column {pair}: write it as OURS=THEIRS, such as tokens_in=prompt_tokens")
        if ours in columns:
            raise ConfigError(f"--column {pair}: {ours} is {columns[ours]!r} already; map it once")
        columns[ours] = theirs
    return columns or None
