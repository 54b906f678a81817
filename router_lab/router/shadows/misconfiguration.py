"""Shadows and judges that could never have worked: a model nobody pulled, a key that is not set.

Their failures say nothing of a model's quality, so they are told apart from it, and said early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from router_lab.errors import ConfigError, ProviderError, UnpricedModelError
from router_lab.router.alerts import Alerts
from router_lab.router.providers.stops import was_filtered
from router_lab.settings.models import ModelSettings

# So many in a row are no accident.
ALERT_AFTER = 3

# No answer ever comes: a proxy that cannot be used, certificates that are not there, a bad address.
_ENVIRONMENT = frozenset({"proxy", "tls", "url"})
# Refusals that come again for as long as nobody changes anything; 413 and 429 are not among them.
_STATUSES = frozenset({400, 401, 402, 403, 404, 405, 410, 422})

Role = Literal["shadow", "judge"]


def is_misconfigured(error: Exception) -> bool:
    """Whether a call failed of how it is set up. A prompt that a filter refuses is no such failure."""
    if isinstance(error, (ConfigError, UnpricedModelError)):
        return True
    if not isinstance(error, ProviderError) or error.retryable or was_filtered(error.kind):
        return False
    if error.status is None:
        return error.kind in _ENVIRONMENT
    return error.status in _STATUSES or 300 <= error.status < 400


def remedy(error: Exception, alias: str, model: ModelSettings) -> str:
    """What to do about it. Holds nothing of a prompt or an answer, and never a key."""
    status = error.status if isinstance(error, ProviderError) else None
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
    if status in (400, 405, 422):
        return f"its server refuses such requests: see its message, and models.{alias}"
    return f"set models.{alias}.base_url to the address it was moved to"


class Misconfigurations:
    """Counts failures of configuration in a row, by model alias and task type, and alerts once."""

    def __init__(self, models: Mapping[str, ModelSettings], alerts: Alerts) -> None:
        self._models = models
        self._alerts = alerts
        self._in_a_row: Counter[tuple[str, str]] = Counter()

    def failed(self, alias: str, task_type: str, error: Exception, role: Role = "shadow") -> str | None:
        """What to do about a failure of configuration, which is counted; None for any other failure."""
        if not is_misconfigured(error):
            return None
        advice = remedy(error, alias, self._models[alias])
        self._in_a_row[alias, task_type] += 1
        if self._in_a_row[alias, task_type] == ALERT_AFTER:
            status = error.status if isinstance(error, ProviderError) else None
            said = f"HTTP {status}; {advice}" if status is not None else advice
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
