"""What is tried in place of the primary: an alias, and what it is asked and told otherwise."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router_lab.arguments import wrong
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.parameters import CHECKS
from router_lab.records import Message
from router_lab.replay.dataset_rows import Row
from router_lab.router.request.request import Request
from router_lab.settings.models import ModelSettings, Settings

_LONGEST_NAME = 200
# Headers belong to a server, and no row keeps their values: they are written in the YAML.
_PARAMETERS = ("max_tokens", *(name for name in CHECKS if name != "extra_headers"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An alias of the configuration, with `parameters` that go before those of row, route and model.

    `system` takes the place of the row's system text, `prompt` that of its last user message; in both,
    `{system}` and `{prompt}` stand for the row's own. `name` is the pair's `shadow_alias`; left out, it is
    made of the alias and the parameters. Raises `ConfigError` for what cannot be asked.
    """

    alias: str
    name: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.alias, str) or not self.alias:
            raise ConfigError(f"a candidate's alias is one of `models`, not {self.alias!r}")
        object.__setattr__(self, "parameters", _checked(self.alias, self.parameters))
        for what, template in (("system", self.system), ("prompt", self.prompt)):
            if template is not None and not isinstance(template, str):
                raise ConfigError(f"candidate {self.alias}: `{what}` must be text")
        if self.prompt is not None and "{prompt}" not in self.prompt:
            raise ConfigError(f"candidate {self.alias}: its prompt must hold {{prompt}}, the row's own")
        if not isinstance(self.name, str):
            raise wrong("name", self.name, "a text, or left out")
        object.__setattr__(self, "name", self.name or self._described())
        if not self.name.isprintable() or len(self.name) > _LONGEST_NAME:
            raise ConfigError(f"candidate {self.name[:60]!r}: a name has 1 to 200 printable characters")

    def _described(self) -> str:
        said = [f"{name}={_shown(value)}" for name, value in sorted(self.parameters.items())]
        said += ["own system"] * (self.system is not None) + ["own prompt"] * (self.prompt is not None)
        return " ".join([self.alias, *said])[:_LONGEST_NAME]

    def identity(self, model: ModelSettings) -> str:
        """What makes its answers its own, as canonical JSON."""
        said = [self.name, model.server, model.model, dict(self.parameters), self.system, self.prompt]
        return json.dumps(said, sort_keys=True, ensure_ascii=False, default=str)

    @property
    def own_prompt(self) -> int | None:
        """A number that tells its texts from others' (rows keep numbers always); None for a row's own."""
        if self.system is None and self.prompt is None:
            return None
        told = json.dumps([self.system, self.prompt]).encode()
        return int.from_bytes(hashlib.sha256(told).digest()[:6])

    def model(self, settings: Settings) -> ModelSettings:
        """The alias's model as this candidate asks it. Raises `ConfigError` for an unknown alias."""
        model = settings.models.get(self.alias)
        if model is None:
            known = ", ".join(sorted(settings.models)) + nearest_hint(self.alias, settings.models)
            raise ConfigError(f"candidate {self.name!r}: models has no {self.alias!r}; there are {known}")
        extra = self.parameters.get("extra_body")
        return model if extra is None else model.model_copy(update={"extra_body": dict(extra)})

    def request(self, row: Row, own: Request) -> Request:
        """What it is asked for a row, whose own request is `own`. Raises `ConfigError`."""
        has_own_texts = self.prompt is not None or self.system is not None
        if not (has_own_texts or self.parameters):
            return own
        asked = {**row.parameters, **self.parameters}
        limit = asked.pop("max_tokens", row.max_tokens)
        if not has_own_texts:
            return own.asking(max_tokens=limit, **asked)
        prompt, messages, system = row.prompt, row.messages, row.system
        text = _last_user_text(messages) if messages is not None else prompt or ""
        if self.system is not None:
            system = self._filled(self.system, row.system, text)
        if self.prompt is not None:
            told = self._filled(self.prompt, row.system, text)
            messages = None if messages is None else _with_last_user_text(messages, told)
            prompt = None if messages is not None else told
        return row.request(prompt=prompt, messages=messages, system=system, max_tokens=limit, **asked)

    @staticmethod
    def _filled(template: str, system: str | None, prompt: str) -> str:
        """The template with the row's texts put in, once: what they hold is not read for placeholders."""
        parts = template.split("{prompt}")
        return prompt.join(part.replace("{system}", system or "") for part in parts)


def grid(
    aliases: Iterable[str],
    parameters: Sequence[Mapping[str, Any]] = ({},),
    prompts: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[Candidate, ...]:
    """Every alias with every set of parameters and every prompt, a name each.

    `prompts` maps names to templates, `{"short": {"system": "Be brief."}}` or `{"prompt": "..."}`; the name
    "" with none of them is the row's own prompt.
    """
    named = prompts or {"": {}}
    if not isinstance(named, Mapping) or not all(isinstance(texts, Mapping) for texts in named.values()):
        raise wrong("prompts", prompts, 'a mapping of names to templates, {"short": {"system": "Be brief."}}')
    for what, given in (("aliases", aliases), ("parameters", parameters)):
        if not isinstance(given, Iterable) or isinstance(given, str):
            raise wrong(what, given, "a list of aliases" if what == "aliases" else "a list of mappings")
    found = []
    for alias, asked, (name, texts) in itertools.product(aliases, parameters, named.items()):
        if not isinstance(texts, Mapping):
            raise wrong(
                "prompts", prompts, 'a mapping of names to templates, {"short": {"system": "Be brief."}}'
            )
        unknown = set(texts) - {"system", "prompt"}
        if unknown:
            hint = nearest_hint(min(unknown), ("system", "prompt"))
            raise ConfigError(f"prompts[{name!r}] has {min(unknown)!r}; it takes system and prompt{hint}")
        plain = Candidate(alias, parameters=asked).name
        found.append(Candidate(alias, f"{plain} prompt={name}" if name else plain, asked, **texts))
    return tuple(found)


def read_candidates(given: Any, settings: Settings) -> tuple[Candidate, ...]:
    """Candidates of aliases and records. Raises `ConfigError` for none, one twice, an alias that is none."""
    if isinstance(given, str | Candidate):
        given = [given]
    if not isinstance(given, Iterable):
        raise ConfigError(f"candidates: aliases of `models`, or Candidate records, not {given!r}")
    found = tuple(one if isinstance(one, Candidate) else Candidate(one) for one in given)
    if not found:
        raise ConfigError("candidates: name at least one alias of `models`")
    names = [one.name for one in found]
    again = next((name for name in names if names.count(name) > 1), None)
    if again is not None:
        raise ConfigError(f"candidates: there are two named {again!r}; give each a name of its own")
    for one in found:
        one.model(settings)
        if one.name in settings.models and one.name != one.alias:
            raise ConfigError(f"candidate {one.name!r} of {one.alias}: that is the name of another alias")
    return found


def _checked(alias: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"candidate {alias}: parameters are a mapping, not {type(given).__name__}")
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _PARAMETERS:
            raise ConfigError(
                f"candidate {alias}: no parameter {str(name)[:60]!r}; it takes {', '.join(_PARAMETERS)}"
            )
        if name == "max_tokens":
            if type(value) is not int or value < 1:
                raise ConfigError(f"candidate {alias}: max_tokens: a whole number above 0, not {value!r}")
            checked[name] = value
        elif value is not None:
            try:
                checked[name] = CHECKS[name](value)
            except ValueError as error:
                raise ConfigError(f"candidate {alias}: {error}") from None
    return checked


def _last_user_text(messages: Sequence[Any]) -> str:
    for message in reversed(messages):
        role, text = _role_and_text(message)
        if role == "user":
            if not isinstance(text, str):
                raise ConfigError("`messages`: a prompt template needs a last user message that is a text")
            return text
    raise ConfigError("`messages`: a prompt template needs a user message, and there is none")


def _with_last_user_text(messages: Sequence[Any], text: str) -> list[Any]:
    changed = list(messages)
    place = max(at for at, message in enumerate(changed) if _role_and_text(message)[0] == "user")
    changed[place] = {"role": "user", "content": text}
    return changed


def _role_and_text(message: Any) -> tuple[Any, Any]:
    if isinstance(message, Message):
        return message.role, message.text
    if isinstance(message, Mapping):
        return message.get("role"), message.get("content")
    return None, None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
