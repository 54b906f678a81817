"""Notebook magics, after `%load_ext router_lab`.

`%%route summarize::short` sends the cell's text through the notebook's `router` and shows the answer;
`%ledger` shows the ledger behind it.
"""

# IPython has no types for its decorators and bases.
# mypy: disable-error-code="untyped-decorator, no-untyped-call, misc, unused-ignore"

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from router_lab.ledger import Ledger
from router_lab.records import Completion
from router_lab.router import Router


@magics_class
class RouterMagics(Magics):
    """`%%route` and `%ledger`, over the notebook's own variables."""

    @magic_arguments()
    @argument("task_type", help="the task type, as routed in the YAML")
    @argument("--router", default="router", help="the variable that holds the Router (default: router)")
    @argument("--system", default=None, help="the system prompt")
    @argument("--max-tokens", type=int, default=None, help="the longest answer, in tokens")
    @argument("--into", default=None, help="also keep the Completion in this variable")
    @cell_magic
    def route(self, line: str, cell: str) -> Completion:
        """Answer the cell's text with the model its task type is routed to."""
        chosen = parse_argstring(self.route, line)
        router = self._variable(chosen.router, Router, "router = rl.Router.from_yaml(...)")
        done: Completion = router.complete_sync(
            cell.strip(), task_type=chosen.task_type, system=chosen.system, max_tokens=chosen.max_tokens
        )
        if chosen.into:
            self._variables[chosen.into] = done
        return done

    @line_magic
    def ledger(self, line: str) -> Ledger:
        """The ledger in the variable named (default: `ledger`)."""
        found: Ledger = self._variable(line.strip() or "ledger", Ledger, "ledger = rl.Ledger(...)")
        return found

    @property
    def _variables(self) -> dict[str, Any]:
        # Without a shell (its type allows for that) there are no variables.
        return self.shell.user_ns if self.shell is not None else {}

    def _variable(self, name: str, kind: type, example: str) -> Any:
        value = self._variables.get(name)
        if not isinstance(value, kind):
            held = "is not defined" if value is None else f"is a {type(value).__name__}"
            raise UsageError(f"{name} {held}; make one first: {example}")
        return value


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext router_lab` (or `router_lab.panels.magics`)."""
    shell.register_magics(RouterMagics)
