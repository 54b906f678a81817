"""Text or file -> `Settings`, or one `ConfigError` that names everything there is to mend."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from router_lab import arguments
from router_lab.errors import ConfigError
from router_lab.plain_files import open_plain
from router_lab.settings import checks
from router_lab.settings.checks import explain
from router_lab.settings.document import MAX_CHARACTERS, Document, DocumentError, read_document
from router_lab.settings.models import ModelSettings, RouteSettings, Settings
from router_lab.settings.problems import Path, Problem, dotted, hide_secrets

MAX_REPORTED = 50

_SectionT = TypeVar("_SectionT", bound=BaseModel)

# No character takes more than four bytes in UTF-8; one byte more shows that the file is too long.
_MAX_BYTES = 4 * MAX_CHARACTERS + 1


def load(path: str | os.PathLike[str]) -> Settings:
    """Read a YAML file of settings.

    Raises `ConfigError` with one line per problem, such as `router.yaml:12: routing.chat.model: ...`.
    """
    source = str(arguments.path("path", path))
    try:
        with open_plain(source) as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{source}: there is no such file; give the path of your router YAML") from None
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source}:{line}: is not UTF-8 text; save the file as UTF-8") from None
    return parse(text, source=source)


def parse(text: str, source: str = "<string>") -> Settings:
    """Read YAML text; `source` is the name that errors give it. Raises `ConfigError` as `load` does."""
    try:
        document = read_document(text)
    except DocumentError as error:
        place = source if error.line is None else f"{source}:{error.line}"
        raise ConfigError(f"{place}: {hide_secrets(str(error))}") from None
    if not isinstance(document.data, dict):
        raise ConfigError(f"{source}: must hold the sections `models` and `routing`, each a mapping")
    settings, problems = _validate(document.data)
    if settings is None or document.problems or problems:
        raise ConfigError(_report((*document.problems, *problems), document, source))
    return settings


def _validate(data: Mapping[str, Any]) -> tuple[Settings | None, list[Problem]]:
    settings: Settings | None = None
    problems: list[Problem] = []
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        # The list of problems replaces the error, whose text would show the values.
        problems = [explain(each) for each in error.errors()]
    problems.extend(_cross_checks(data, settings))
    return settings, problems


def _cross_checks(data: Mapping[str, Any], settings: Settings | None) -> Iterator[Problem]:
    aliases = _names(data.get("models"))
    models = settings.models if settings else _sound(ModelSettings, data.get("models"))
    routing = _without_faults(RouteSettings, data.get("routing"))
    routes = settings.routing if settings else _sound(RouteSettings, routing)
    cost = data.get("cost")
    yield from checks.check_task_types(("routing",), _names(data.get("routing")))
    scopes = _names(_get(cost, "scopes"))
    yield from checks.check_task_types(("cost", "scopes"), scopes)
    yield from checks.check_scopes(scopes, _names(data.get("routing")))
    yield from checks.check_aliases(routes, aliases)
    yield from checks.check_fallbacks(routes)
    yield from checks.check_models(models)


def _sound(kind: type[_SectionT], section: Any) -> dict[str, _SectionT]:
    """The entries of a section that are valid by themselves."""
    sound = {}
    for name in _names(section):
        with suppress(ValidationError):
            sound[name] = kind.model_validate(section[name])
    return sound


def _without_faults(kind: type[BaseModel], section: Any) -> dict[str, Any]:
    """A section's entries without the keys that are wrong, so that one mistake does not hide the next."""
    mended = {}
    for name in _names(section):
        entry = section[name]
        try:
            kind.model_validate(entry)
        except ValidationError as error:
            faulty = {each["loc"][0] for each in error.errors() if each["loc"]}
            entry = {key: entry[key] for key in _names(entry) if key not in faulty}
        mended[name] = entry
    return mended


def _names(section: Any) -> list[str]:
    return list(section) if isinstance(section, dict) else []


def _get(section: Any, key: str) -> Any:
    return section.get(key) if isinstance(section, dict) else None


def _report(problems: tuple[Problem, ...], document: Document, source: str) -> str:
    placed = [(each.line or _line(each.path, document), each) for each in problems]
    placed.sort(key=lambda pair: pair[0])
    lines = []
    for line, problem in placed[:MAX_REPORTED]:
        place = f"{dotted(problem.path)}: " if problem.path else ""
        lines.append(f"{source}:{line}: {place}{problem.message}")
    if len(placed) > MAX_REPORTED:
        lines.append(f"{source}: and {len(placed) - MAX_REPORTED} more")
    return "\n".join(lines)


def _line(path: Path, document: Document) -> int:
    """The line of `path`, or of the nearest part above it that stands in the file."""
    while path and path not in document.lines:
        path = path[:-1]
    return document.lines.get(path, 1)
