"""Pages of what goes wrong: errors, the mistakes that lead to them, and alerts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType

from router_lab import errors
from router_lab.docs.markdown import block, code, prose, table
from router_lab.docs.notes import Mistake, mistakes

# Every kind of alert, as `alerts.kind` has it, and what it says.
ALERTS: Mapping[str, str] = MappingProxyType(
    {
        "breaker_opened": "A server failed so often that it is left alone for `breaker.recovery_s`.",
        "breaker_closed": "It answers again.",
        "breaker_short_circuit": "Calls are refused, or go to the fallback, while its breaker is open.",
        "budget_warning": "A budget has passed `cost.warning_ratio`, reservations included.",
        "image_size_unknown": "The tokens of an image cannot be told, so budgets hold the most it may cost.",
        "judge_misconfigured": "A judge cannot work as it is set up: no such model, no key.",
        "judge_unanswered": "A judge has not answered once.",
        "monitor_alert": "The monitor found what no policy acts on, such as answers that differ.",
        "monitor_audit": "Shadows were turned on for a few pairs, to look again after an exit.",
        "monitor_exit": "A verdict was reached and the shadow turned off.",
        "monitor_rearm": "What an audit saw has changed, so shadows were turned on again.",
        "monitor_stop": "The shadow was turned off: it is worse, differs, or no verdict is in reach.",
        "provider_cost_differs": "The provider states another cost than its tokens have at the prices here.",
        "shadow_misconfigured": "A shadow cannot work as it is set up: no such model, no key.",
        "shadow_unanswered": "A shadow has not answered once.",
        "truncation_suspected": "A prompt was probably cut without a word, so its answer was not used.",
    }
)

_ERRORS = """\
# Errors

Every error this package raises on purpose is a `RouterLabError`; a notebook shows its message and your
line, and none of the frames below. What was sent, and may be billed, has its row whatever is raised.
"""
_MISTAKES = """\
## Mistakes and what is said

Each of these is a test: the message is what is said now, nothing was sent and nothing was paid.
"""
_ALERTS = """\
# Alerts

An alert is a row of `alerts`, written once per change, and a call of `Router(on_alert=...)`. None can
harm the call that raised it.
"""


def errors_page() -> str:
    """Every error with what to do about it, and every mistake that is tried with what is said of it."""
    tree = (inspect.getdoc(errors) or "").partition("\n\n")[2]
    parts = [_ERRORS, block("text", tree), "## Every error\n"]
    for name in errors.__all__:
        kind = getattr(errors, name)
        parts += [f"### `{name}`\n", prose(inspect.getdoc(kind) or "") + "\n"]
    parts.append(_MISTAKES)
    for topic, group in mistakes().items():
        parts.append(f"### {topic}\n")
        parts += map(_tried, group)
    return "\n".join(parts)


def _tried(one: Mistake) -> str:
    return f"{prose(one.title)}\n\n{block(one.language, one.text)}\n{block('text', one.says)}"


def alerts_page() -> str:
    """Every kind of alert."""
    rows = ((code(kind), prose(said)) for kind, said in sorted(ALERTS.items()))
    return "\n".join([_ALERTS, table(("Kind", "What it says"), rows)])
