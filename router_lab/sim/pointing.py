"""Settings that send every model to a simulated server instead of the real one."""

from __future__ import annotations

from router_lab.presets import PRESETS
from router_lab.settings.models import Settings


def pointed_at(settings: Settings, url: str) -> Settings:
    """The same settings with every model's `base_url` on the server at `url` and no API keys needed."""
    base = url.rstrip("/")
    models = {
        alias: model.model_copy(
            update={
                "base_url": base + _path(model.provider),
                "api_key_env": None,
            }
        )
        for alias, model in settings.models.items()
    }
    return settings.model_copy(update={"models": models})


def _path(provider: str) -> str:
    return "/v1" if PRESETS[provider].wire == "openai" and provider != "azure" else ""
