"""Presets: addresses, keys for their vendors alone, dialects by name and by host."""

from __future__ import annotations

from typing import get_args

import pytest

from router_lab.errors import ConfigError
from router_lab.presets import PRESETS, guessed_dialect
from router_lab.settings import parse
from router_lab.settings.models import ModelSettings, ProviderName

PRICED = "price: {input: 1, output: 2}"


def model(text: str) -> ModelSettings:
    return parse(f"models: {{m: {{{text}, model: x, {PRICED}}}}}\nrouting: {{t: {{model: m}}}}").models["m"]


def test_every_preset_can_be_named():
    assert set(get_args(ProviderName)) == set(PRESETS)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"azure"}))
def test_a_preset_knows_its_address_and_the_variable_of_its_key(name):
    read = model(f"provider: {name}")
    assert read.base_url == PRESETS[name].base_url
    assert read.api_key_env == PRESETS[name].key_variable
    assert read.wire == PRESETS[name].wire


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_model_without_a_price_is_priced_by_its_vendors_list_or_named(name):
    address = 'base_url: "https://r.openai.azure.com", ' if name == "azure" else ""
    listed = {"azure": "gpt-4o", "deepseek": "deepseek-chat", "gemini": "gemini-2.5-flash", "xai": "grok-4"}
    text = f"models: {{m: {{provider: {name}, {address}model: {listed.get(name, 'no-such-model')}}}}}"
    if name in listed:
        assert parse(f"{text}\nrouting: {{t: {{model: m}}}}").models["m"].price is None
        return
    with pytest.raises(ConfigError, match=r"models\.m\.price: no price is known"):
        parse(f"{text}\nrouting: {{t: {{model: m}}}}")


def test_a_key_is_never_taken_for_an_address_that_is_not_its_vendors():
    assert model('provider: groq, base_url: "http://127.0.0.1:9"').api_key_env is None
    assert model('provider: groq, base_url: "https://api.groq.com.evil.example/v1"').api_key_env is None
    assert (
        model('provider: groq, base_url: "http://127.0.0.1:9", api_key_env: MY_KEY').api_key_env == "MY_KEY"
    )
    assert (
        model('provider: azure, base_url: "https://us.openai.azure.com"').api_key_env
        == "AZURE_OPENAI_API_KEY"
    )


def test_azure_needs_an_address_and_an_unknown_provider_names_the_nearest():
    with pytest.raises(ConfigError, match="base_url"):
        model("provider: azure")
    with pytest.raises(ConfigError, match="did you mean 'groq'"):
        model("provider: groqq")


@pytest.mark.parametrize(
    ("host", "like"),
    [
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://x.openai.azure.com/openai/v1", "azure"),
        ("https://openrouter.ai/api/v1", "openrouter"),
    ],
)
def test_a_vendor_is_known_by_its_host(host, like):
    assert guessed_dialect("openai", host) == PRESETS[like].dialect


def test_a_dialect_in_the_yaml_and_what_it_cannot_be():
    read = model("provider: openai, dialect: {response_format: none, stream_options: false}")
    assert (read.dialect.response_format, read.dialect.stream_options) == ("none", False)
    with pytest.raises(ConfigError, match="did you mean 'json_schema'"):
        model("provider: openai, dialect: {response_format: json_shema}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temperature: hot", "temperature: must be a number from 0 on"),
        ("top_p: 3", "top_p: must be a number from 0 to 1"),
        ("extra_body: {max_tokens: 4}", "extra_body: max_tokens: may not be said in extra_body"),
        ("extra_headers: {host: x}", "extra_headers: host: belongs to the connection"),
        ("think: high", "think: must be true, false or a budget"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_line(text, said):
    with pytest.raises(ConfigError) as wrong:
        head = "models:\n  m:\n    provider: openai\n    model: x\n"
        parse(f"{head}    {text}\n    {PRICED}\nrouting: {{t: {{model: m}}}}")
    assert "<string>:5: models.m." in str(wrong.value) and said in str(wrong.value)
