"""How a router's routes look in a notebook. Every name is hostile input and escaped."""

from __future__ import annotations

from router_lab.settings.models import Settings
from router_lab.shown.escape import show


def routes_html(settings: Settings) -> str:
    """A table of task type, model, fallback and shadow."""
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td style='text-align:left'>{show(text)}</td>"
            for text in (
                name,
                f"{route.model} ({settings.models[route.model].model})",
                ", ".join(route.fallback),
                route.shadow.model if route.shadow else "",
            )
        )
        + "</tr>"
        for name, route in sorted(settings.routing.items())
    )
    return (
        "<table><caption>Routes</caption><thead><tr><th>task type</th><th>model</th><th>fallback</th>"
        f"<th>shadow</th></tr></thead><tbody>{rows}</tbody></table>"
    )
