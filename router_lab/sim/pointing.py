"""Settings that send every model to a simulated server instead of the real one."""

from __future__ import annotations

from router_lab.settings.models import Settings

_PATHS = {"anthropic": "", "ollama": "", "openai": "/v1"}


def pointed_at(settings: Settings, url: str) -> Settings:
    """The same settings with every model's `base_url` on the server at `url` and no API keys needed."""
    base = url.rstrip("/")
    models = {
        alias: model.model_copy(update={"base_url": base + _PATHS[model.provider], "api_key_env": None})
        for alias, model in settings.models.items()
    }
    return settings.model_copy(update={"models": models})
