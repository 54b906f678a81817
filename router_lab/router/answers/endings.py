"""How an answer ended: as an answer one can judge, or as a failure of the model that gave it."""

from __future__ import annotations

from router_lab.errors import ProviderError
from router_lab.records import Attempt, Ending
from router_lab.router.answers.thoughts import is_blank
from router_lab.router.providers.message_parts import was_cut, was_filtered, was_refused

# What a reason says of a side that gave no answer one can judge.
WORDS: dict[Ending, str] = {
    "complete": "is complete",
    "token_limited": "was cut at the token limit",
    "empty": "is empty",
    "refused": "is a refusal",
    "content_filter": "was stopped by a content filter",
    "failed": "failed",
}


def ending(stop_reason: str | None, *, token_limited: bool, has_answer: bool) -> Ending:
    """How an answer ended by what the provider said; `has_answer` is whether it has text or calls."""
    if token_limited or was_cut(stop_reason):
        return "token_limited"
    if was_filtered(stop_reason):
        return "content_filter"
    if was_refused(stop_reason):
        return "refused"
    return "complete" if has_answer else "empty"


def attempt_ending(row: Attempt | None, error: BaseException | None) -> Ending:
    """How a side of a pair ended: by its final attempt (None when nothing was sent) and its error."""
    if error is None and row is not None:
        has_answer = bool(row.tool_calls or not is_blank(row.output))
        return ending(row.stop_reason, token_limited=row.token_limited, has_answer=has_answer)
    if isinstance(error, ProviderError) and was_filtered(error.kind):
        return "content_filter"
    if row is None:
        return "failed"
    # An answer that could not be used: why it ended says more than that.
    found = ending(row.stop_reason, token_limited=row.token_limited, has_answer=True)
    return found if found != "complete" else "failed"
