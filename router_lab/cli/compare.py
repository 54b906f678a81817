"""`router-lab compare --again`: another comparator over the stored pairs; only a judge calls a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.arguments import file_to_write
from router_lab.cli.common import Commands, add_command, add_config_option, add_ledger_option, option
from router_lab.counted import counted
from router_lab.errors import ConfigError, LedgerError
from router_lab.private_files import whole_file
from router_lab.shown.escape import plain
from router_lab.spreadsheets import guarded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from router_lab.ledger import Ledger

EXAMPLES = """\
  router-lab compare --again --comparator normalized
  router-lab compare --again --comparator json --option tolerance=0.01 --task-type extract
  router-lab compare --again --comparator my_module:my_function --out again.parquet
  router-lab compare --again --comparator judge                  what it would ask, and cost
  router-lab compare --again --comparator judge --yes            ask
"""
_FORMATS = (".parquet", ".csv")


def add_to(commands: Commands) -> None:
    """Add `router-lab compare` and its options to `commands`."""
    command = add_command(
        commands, "compare", "compare stored answers again, calling no model but a judge's", EXAMPLES
    )
    command.add_argument(
        "--again", action="store_true", required=True, help="say that stored pairs are to be compared again"
    )
    command.add_argument("--comparator", required=True, metavar="NAME", help="a name, or module:function")
    command.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the comparator"
    )
    command.add_argument("--task-type", metavar="PREFIX", help="only this task type and those below it")
    command.add_argument("--out", type=Path, metavar="FILE", help="write every pair: .parquet or .csv")
    command.add_argument("--raw", action="store_true", help="CSV texts as they are, formulas too")
    command.add_argument(
        "--yes", action="store_true", help="for a judge: ask its model now, also while the switch is off"
    )
    add_config_option(command)
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print old against new by task type, and say what could not be compared."""
    from router_lab.ledger import Ledger
    from router_lab.scores.recomparison import recompare

    if arguments.out is not None and arguments.out.suffix not in _FORMATS:
        raise ConfigError(f"--out {arguments.out}: the name must end in {' or '.join(_FORMATS)}")
    if arguments.out is not None:
        file_to_write("--out", arguments.out)  # before a judge is paid
    options = dict(option(text) for text in arguments.option)
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it, for a comparator of the user's own
    with Ledger(arguments.ledger) as ledger:
        if arguments.comparator == "judge":
            again = _judged(ledger, options, arguments)
        else:
            again = recompare(ledger, arguments.comparator, options, task_type=arguments.task_type)
    if again is None:
        return 0
    print(_report(again))
    if arguments.out is not None:
        _write(again, arguments.out, raw=arguments.raw)
        print(f"wrote {counted(len(again), 'pairs')} to {arguments.out}")
    return 0


def _write(again: pd.DataFrame, path: Path, *, raw: bool) -> None:
    """Raises `LedgerError` when the file cannot be written."""
    try:
        with whole_file(path) as partial:
            if path.suffix == ".parquet":
                again.to_parquet(partial, index=False)
            else:
                texts = [] if raw else again.select_dtypes(["object", "string", "category"]).columns
                shown = again.assign(**{name: again[name].astype(object).map(guarded) for name in texts})
                shown.to_csv(partial, index=False)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be written ({error})") from error


def _judged(ledger: Ledger, options: Mapping[str, Any], arguments: argparse.Namespace) -> pd.DataFrame | None:
    """Say what a judge will be asked and may cost; ask it if that is wanted."""
    from router_lab.router import Router
    from router_lab.router.comparators.compare import Judge, comparator
    from router_lab.scores.judging import judge_stored, plan_judging
    from router_lab.shown.wording import usd

    judge = comparator("judge", options)
    assert isinstance(judge, Judge)  # noqa: S101 - by its name
    router = Router.from_yaml(arguments.config, ledger=ledger)
    try:
        plan = plan_judging(ledger, judge, router, task_type=arguments.task_type)
        print(
            f"{plain(plan.by, 90)}: {counted(len(plan.pairs), 'pairs')} to judge, "
            f"{len(plan.before):,} judged before; "
            f"at most {counted(plan.calls, 'calls')}, about {usd(plan.usd)} at most, from the shadow's budget"
        )
        if not arguments.yes and plan.pairs:
            print("nothing was sent; add --yes to ask, which also works while the switch is off")
            return None
        return judge_stored(plan)
    finally:
        router.close_sync()


def _report(again: pd.DataFrame) -> str:
    from router_lab.scores.recomparison import summary

    lines = [
        f"{'task type':28}{'pairs':>8}{'compared':>10}{'in both':>9}{'old':>8}{'new':>8}{'changed':>9}",
        *(
            f"{plain(row.task_type, 26):28}{row.pairs:>8,}{row.compared:>10,}{row.both:>9,}"
            f"{_mean(row.old_agreement):>8}{_mean(row.agreement):>8}{row.changed:>9,}"
            for row in summary(again).itertuples()
        ),
    ]
    for side in ("primary", "shadow"):
        endings = again.loc[again["skipped"].isna(), f"{side}_ending"].dropna().value_counts()
        lines += [
            f"{count:>8,}  answers of the {side} are no answers: {plain(ending, 40)}"
            for ending, count in endings.items()
            if ending != "complete"
        ]
    skipped = again["skipped"].dropna().value_counts()
    if len(skipped):
        lines.append(f"{counted(skipped.sum(), 'pairs')} could not be compared again:")
        lines += [f"{count:>8,}  {plain(reason, 90)}" for reason, count in skipped.items()]
    if again["is_noise"].any():
        lines.append(f"{counted(again['is_noise'].sum(), 'noise pairs', 'are')} left out of the table")
    return "\n".join(lines)


def _mean(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
