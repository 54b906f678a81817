"""`router-lab complete`: one accounted call from the shell."""

from __future__ import annotations

import argparse
import sys

from router_lab.cli.common import (
    Commands,
    add_command,
    add_config_option,
    add_ledger_option,
    add_parameter_options,
    parameters_of,
)
from router_lab.counted import counted

EXAMPLES = """\
  router-lab complete --task-type summarize::short "The meeting began at nine ..."
  cat report.txt | router-lab complete --task-type summarize::long -
  router-lab complete --task-type ask --temperature 0 --seed 7 --extra-body '{"top_k": 20}' "Say hello."
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab complete` and its options to `commands`."""
    command = add_command(commands, "complete", "send one prompt through the router", EXAMPLES)
    command.add_argument("prompt", help="the prompt; - reads it from standard input")
    command.add_argument("--task-type", required=True, help="decides the route, such as summarize::short")
    command.add_argument("--system", help="a system prompt")
    command.add_argument("--max-tokens", type=int, help="most tokens the answer may have")
    add_parameter_options(command)
    add_config_option(command)
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer on standard output and its figures on standard error."""
    from router_lab.ledger import Ledger
    from router_lab.router import Router

    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    parameters = parameters_of(arguments)
    with Ledger(arguments.ledger) as ledger:
        router = Router.from_yaml(arguments.config, ledger=ledger)
        try:
            done = router.complete_sync(
                prompt,
                task_type=arguments.task_type,
                system=arguments.system,
                max_tokens=arguments.max_tokens,
                **parameters,
            )
        finally:
            router.close_sync()
    print(done.text)
    figures = done.metadata
    model = figures.model_actual or figures.model_alias
    print(
        f"{model}: {figures.tokens_in} tokens in, {figures.tokens_out} out, "
        f"{figures.cost_usd:.6f} USD, {counted(figures.attempts, 'attempts')}, {figures.latency_ms:.0f} ms",
        file=sys.stderr,
    )
    return 0
