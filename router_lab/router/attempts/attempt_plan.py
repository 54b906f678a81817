"""What is known of an attempt before it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from router_lab.errors import ContextOverflowError
from router_lab.router.answers.data import AnswerLimits
from router_lab.router.attempts import tokens
from router_lab.router.providers.provider import ModelCall, WireRequest
from router_lab.router.request.targets import Target
from router_lab.router.secrets import Mask


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """What is known of an attempt before it is sent."""

    target: Target
    call: ModelCall
    wire: WireRequest
    features: tokens.Features
    estimate: tokens.Estimate
    max_tokens: int
    output_reserve: int
    window: int | None
    may_drop: bool
    mask: Mask

    @property
    def limits(self) -> AnswerLimits:
        """How large an answer to this may be."""
        return AnswerLimits.of(self.max_tokens)

    def check_window(self) -> None:
        """Raises `ContextOverflowError` when the estimate does not fit beside the answer."""
        if tokens.fits(self.estimate, self.window, self.output_reserve, may_drop=self.may_drop):
            return
        raise ContextOverflowError(
            f"{self.target.alias}: an estimated {self.estimate.tokens} input tokens do not fit a context "
            f"window of {self.window} with {self.output_reserve} kept for the answer; shorten the prompt, "
            f"raise num_ctx or give the route a fallback with a larger window",
            tokens_in=self.estimate.tokens,
            context_window=self.window,
            signal="estimate",
        )
