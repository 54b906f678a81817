"""Alerts: a durable row, and a call to whoever listens. Neither can harm the call that raised it."""

from __future__ import annotations

import logging
from typing import Any

from router_lab.records import Alert
from router_lab.router.ports import Accounts, AlertCallback, Clock, Writes, new_id
from router_lab.router.secrets import Secrets

_log = logging.getLogger("router_lab.alerts")


class Alerts:
    """Writes alerts to the ledger and passes them to the user's callback."""

    def __init__(
        self, accounts: Accounts, clock: Clock, callback: AlertCallback | None, secrets: Secrets
    ) -> None:
        self._secrets = secrets
        self._accounts = accounts
        self._clock = clock
        self._callback = callback
        self._writes = Writes("an alert")

    def send(self, kind: str, subject: str, message: str, **details: Any) -> None:
        """Raise one alert. Must be called from an event loop's thread."""
        now = self._clock.now()
        alert = self._secrets.mask().value(
            Alert(alert_id=new_id(now), at=now, kind=kind, subject=subject, message=message, details=details)
        )
        _log.warning("%s: %s", kind, alert.message)
        self._writes.add(self._accounts.record_alert(alert))
        if self._callback is None:
            return
        try:
            self._callback(alert)
        except Exception:
            _log.exception("the alert callback failed on a %s alert", kind)

    async def drain(self) -> None:
        """Wait until every alert raised so far is durable, or has failed and been logged."""
        await self._writes.drain()
