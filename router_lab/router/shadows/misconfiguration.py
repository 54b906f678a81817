"""Shadows and judges that could never have worked: a model nobody pulled, a key that is not set.

Their failures say nothing of a model's quality, so they are told apart from it, and said early.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from router_lab.errors import ConfigError, ProviderError, ResponseParseError, UnpricedModelError
from router_lab.router.alerts import Alerts
from router_lab.router.providers.failures import NO_API
from router_lab.router.providers.message_parts import was_filtered
from router_lab.settings.models import ModelSettings

# So many in a row are no accident.
ALERT_AFTER = 3

# No answer ever comes: a proxy that cannot be used, certificates that are not there, a host or an address
# that is none, an address where something else answers.
_ENVIRONMENT = frozenset({"proxy", "tls", "url", "dns", NO_API})
# Refusals that may not come again: of a moment, or of one request's size.
_PASSING = frozenset({408, 409, 413, 414, 423, 424, 425, 429, 431})

# What an error means whose status says nothing of it: one inside a 200, or behind a gateway's 500.
_MEANT_BY_KIND = (
    (401, re.compile(r"auth|api.?key|base_resp (?:1004|2049)", re.I)),
    (403, re.compile(r"permission|forbidden|denied", re.I)),
    (404, re.compile(r"not.?found", re.I)),
    (400, re.compile(r"invalid|unsupported|bad.?request|unprocessable", re.I)),
)
_MEANT_BY_WORDS = (
    (
        404,
        re.compile(
            r"\bmodel\b.{0,80}?\b(?:not (?:be )?found|(?:not|n't) exist|is unknown|not (?:been )?pulled)"
            r"|\b(?:unknown|no such|nonexistent) model\b",
            re.I | re.S,
        ),
    ),
    (
        401,
        re.compile(
            r"\b(?:invalid|incorrect|missing|wrong|no|expired) (?:api[ _-]?key|access token|credentials)\b"
            r"|\bunauthori[sz]ed\b|\bauthentication (?:failed|required)|\bnot authenticated\b|\blogin fail",
            re.I,
        ),
    ),
)

Role = Literal["shadow", "judge"]


def is_misconfigured(error: Exception) -> bool:
    """Whether a call failed of how it is set up. A prompt that a filter refuses is no such failure."""
    if isinstance(error, (ConfigError, UnpricedModelError)):
        return True
    if not isinstance(error, ProviderError) or was_filtered(error.kind):
        return False
    if error.exhausted or error.kind in _ENVIRONMENT or _by_words(error) is not None:
        return True
    status = _meant(error)
    if status is None or error.retryable:
        return status == 501
    return 300 <= status < 500 and status not in _PASSING


def _meant(error: ProviderError) -> int | None:
    """The HTTP status that an error amounts to; None where there was no answer."""
    if error.status is None or not 200 <= error.status < 300 or error.code is not None:
        return error.code or error.status
    found = (status for status, kinds in _MEANT_BY_KIND if kinds.search(error.kind or ""))
    return _by_words(error) or next(found, error.status)


def _by_words(error: ProviderError) -> int | None:
    """What the message means of an answer whose status says something else."""
    if error.status is None or error.code is not None or 300 <= error.status < 500:
        return None
    return next((status for status, words in _MEANT_BY_WORDS if words.search(str(error))), None)


def remedy(error: Exception, alias: str, model: ModelSettings) -> str:
    """What to do about it. Holds nothing of a prompt or an answer, and never a key."""
    if not isinstance(error, ProviderError):
        return str(error)[:300]
    if error.exhausted:
        return "its account has no quota or credit left"
    if error.kind in ("dns", NO_API):
        return f"correct models.{alias}.base_url"
    status = _by_words(error) or _meant(error)
    if status is None:
        return str(error)[:300]
    if status in (404, 410):
        if model.wire == "ollama":
            return f"run `ollama pull {model.model}` on its server, or correct models.{alias}.model"
        return f"correct models.{alias}.model ({model.model}) or its base_url"
    if status in (401, 403):
        if model.api_key_env is None:
            return f"name the variable that holds its key in models.{alias}.api_key_env"
        return f"set {model.api_key_env} to a key that may use {model.model}"
    if status == 402:
        return "its account has no credit left"
    if status < 400:
        return f"set models.{alias}.base_url to the address it was moved to"
    return f"its server refuses such requests: see its message, and models.{alias}"


class Misconfigurations:
    """Counts failures of configuration in a row, by model alias and task type, and alerts once.

    So it does of one that failed in whatever way and never answered here.
    """

    def __init__(self, models: Mapping[str, ModelSettings], alerts: Alerts) -> None:
        self._models = models
        self._alerts = alerts
        self._in_a_row: Counter[tuple[str, str]] = Counter()
        self._unanswered: Counter[tuple[str, str]] = Counter()
        self._answered: set[tuple[str, str]] = set()

    def failed(self, alias: str, task_type: str, error: Exception, role: Role = "shadow") -> str | None:
        """What to do about a failure of configuration, which is counted; None for any other failure."""
        if not is_misconfigured(error):
            self._went_unanswered(alias, task_type, error, role)
            return None
        advice = remedy(error, alias, self._models[alias])
        self._in_a_row[alias, task_type] += 1
        if self._in_a_row[alias, task_type] == ALERT_AFTER:
            said = f"HTTP {status}; {advice}" if (status := _status(error)) is not None else advice
            self._alerts.send(
                f"{role}_misconfigured",
                alias,
                f"the {role} {alias} ({self._models[alias].model}) cannot work for {task_type}, "
                f"{ALERT_AFTER} calls in a row: {said}",
                task_type=task_type,
                http_status=status,
            )
        return advice

    def worked(self, alias: str, task_type: str) -> None:
        """An answer came: whatever was wrong is mended."""
        self._in_a_row.pop((alias, task_type), None)
        self._answered.add((alias, task_type))

    def _went_unanswered(self, alias: str, task_type: str, error: Exception, role: Role) -> None:
        """Count a failure of one that never answered: an outage, or set up for something else."""
        key = (alias, task_type)
        if has_answer(error):
            self._answered.add(key)
        if key in self._answered:
            return
        self._unanswered[key] += 1
        if self._unanswered[key] == ALERT_AFTER:
            self._alerts.send(
                f"{role}_unanswered",
                alias,
                f"the {role} {alias} ({self._models[alias].model}) has not answered once for {task_type}, "
                f"{ALERT_AFTER} calls: {str(error)[:300]}; see `router-lab check`",
                task_type=task_type,
                http_status=_status(error),
            )


def has_answer(error: BaseException | None) -> bool:
    """Whether a side that failed did give an answer, only none that could be used."""
    return isinstance(error, ResponseParseError) or (
        isinstance(error, ProviderError) and was_filtered(error.kind)
    )


def _status(error: Exception) -> int | None:
    return error.status if isinstance(error, ProviderError) else None
