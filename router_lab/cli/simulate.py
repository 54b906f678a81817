"""`router-lab sim`: the simulated providers on a real port."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EADDRINUSE
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from router_lab.cli.common import Commands, add_command, number
from router_lab.cli.processes import serving

EXAMPLES = """\
  router-lab sim --port 8080
  router-lab sim --port 8080 --ollama-version 0.3.14 --seed 7
  router-lab sim --as groq
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab sim` and its options to `commands`."""
    command = add_command(commands, "sim", "serve simulated Ollama, Anthropic and OpenAI APIs", EXAMPLES)
    command.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    command.add_argument("--port", type=int, default=8080, help="0 takes any free port (default: 8080)")
    command.add_argument("--seed", type=int, default=0, help="the same seed gives the same answers")
    command.add_argument("--ollama-version", help="whose truncation to imitate, such as 0.3.14 or 0.30.11")
    command.add_argument(
        "--as", dest="persona", metavar="VENDOR", help="whose OpenAI-compatible server to play, such as groq"
    )
    command.add_argument("--latency", type=number, default=1.0, metavar="FACTOR", help="0 answers at once")
    command.add_argument("--workload", metavar="FILE", help="prompts with expected answers (JSON lines)")
    command.add_argument("--chaos", type=number, default=0.0, metavar="SHARE", help="share of 500s and 529s")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; the first line printed is the URL, for scripts to read."""
    from router_lab import sim
    from router_lab.arguments import share
    from router_lab.errors import ConfigError

    options: dict[str, Any] = {
        "seed": arguments.seed,
        "latency": arguments.latency,
        "persona": arguments.persona,
    }
    if arguments.ollama_version:
        options["ollama_version"] = arguments.ollama_version
    if arguments.workload:
        options["workload"] = arguments.workload
    if share("--chaos", arguments.chaos, from_zero=True, to_one=True):
        options["faults"] = sim.RandomFaults(
            {"500": arguments.chaos / 2, "529": arguments.chaos / 2}, arguments.seed
        )
    try:
        sim.run(sim.app(**options), arguments.port, host=arguments.host, on_ready=_say)
    except OSError as error:
        busy = error.errno == EADDRINUSE
        why = f"port {arguments.port} is taken; pass another --port, or 0 for a free one" if busy else error
        raise ConfigError(f"the simulated servers cannot start: {why}") from error
    except (OverflowError, ValueError) as error:
        raise ConfigError(f"the simulated servers cannot start: {error}") from error
    return 0


@dataclass(frozen=True, slots=True)
class SimulatedServers:
    """Simulated servers in a process of their own."""

    url: str

    def served(self) -> int:
        """How many requests to a model have reached them."""
        with urlopen(f"{self.url}/sim/requests", timeout=30) as answer:  # noqa: S310 - our own server
            return len(json.load(answer))


@contextmanager
def simulated_servers(
    workload: Path, latency: float = 0.05, chaos: float = 0.02
) -> Iterator[SimulatedServers]:
    """Simulated servers on a free port, knowing the workload's answers, failing now and then.

    The Ollama of the demo is 0.6.5, one of those that cut prompts silently whatever they are asked.
    """
    arguments = ["--port", "0", "--workload", str(workload), "--latency", str(latency)]
    arguments += ["--chaos", str(chaos), "--ollama-version", "0.6.5"]
    with serving("router_lab.cli", ["sim", *arguments]) as url:
        yield SimulatedServers(url)


def _say(url: str) -> None:
    print(url, flush=True)
    print(
        f"Ollama and Anthropic at {url}, OpenAI at {url}/v1; requests so far: {url}/sim/requests",
        file=sys.stderr,
    )
