"""Pages of how things are done: comparators, providers, metrics, statistics."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from router_lab.analysis import metrics, statistics
from router_lab.docs.markdown import code, prose, table
from router_lab.presets import PRESETS
from router_lab.router.comparators import answer_comparator, compare
from router_lab.router.comparators.pair import Options

_COMPARATORS = """\
# Comparators

`comparator:` of a route's shadow, `--comparator`, `rl.recompare`. Each gives an agreement from 0 to 1;
options go under `options:` or into `--option NAME=VALUE`. All are symmetric, and give 1 to two equal answers.
"""
_PROVIDERS = """\
# Providers and dialects

`provider:` names a wire format (anthropic, ollama, openai) or a preset of one. `router-lab providers`
prints this. A server that refuses a field (`max_tokens`, a JSON schema, the system role ...) is asked
again in its dialect, which is remembered; `dialect:` under a model says it beforehand.

Cache and batch are the vendors'; replays use the batches of anthropic and openai.
"""
_METRICS = """\
# Metrics

Each takes a ledger, its folder or its tables and gives a tidy frame. The sources of their intervals are
named here, those of the statistics behind the verdicts on the next page.
"""
_STATISTICS = """\
# Statistics

What verdicts, intervals and forecasts rest on, from the code that computes them, with where each method
comes from.
"""


def comparators_page() -> str:
    """Every built-in comparator with its options, and how to bring one's own."""
    parts = [
        _COMPARATORS,
        prose(_paragraphs(compare)[-1]) + "\n",
        prose(inspect.getdoc(answer_comparator) or "") + "\n",
    ]
    for kind in sorted(compare.built_in(), key=lambda one: one.name):
        likeness = "\n\nIt measures likeness: how alike two answers are, not whether they say the same."
        said = (inspect.getdoc(kind) or "") + likeness * kind.is_likeness
        rows = list(_options(kind))
        parts += [f"## `{kind.name}`\n", prose(said) + "\n"]
        parts += [table(("Option", "Type", "Default"), rows)] if rows else ["No options.\n"]
    return "\n".join(parts)


def _options(kind: type[Options]) -> Iterator[tuple[str, str, str]]:
    for name, information in kind.model_fields.items():
        written = inspect.formatannotation(information.annotation)
        default = (
            "needed"
            if information.is_required()
            else code(repr(information.get_default(call_default_factory=True)))
        )
        yield code(name), code(written.replace("typing.", "")), default


def providers_page() -> str:
    """Every preset: its wire format, address, key, and what is known of what it can do."""
    head = ("Provider", "Wire", "Streaming", "Tools", "Schema", "Usage", "Cache", "Batch")
    rows = (
        (
            code(one.name), one.wire, one.abilities.streaming, one.abilities.tools, one.abilities.schema,
            one.abilities.usage, one.abilities.cache, one.abilities.batch,
        )
        for one in PRESETS.values()
    )  # fmt: skip
    known = (
        (code(one.name), code(one.base_url) if one.base_url else "your own",
         code(one.key_variable) if one.key_variable else "", one.abilities.source)
        for one in PRESETS.values()
    )  # fmt: skip
    return "\n".join(
        [_PROVIDERS, table(head, rows), table(("Provider", "Address", "Key", "Known from"), known)]
    )


def metrics_page() -> str:
    """Every metric with its columns, and how repeated inputs are counted."""
    parts = [_METRICS]
    for name in metrics.__all__:
        parts += [f"## `rl.analysis.{name}`\n", prose(inspect.getdoc(getattr(metrics, name)) or "") + "\n"]
    parts += _modules(metrics)
    return "\n".join(parts)


def statistics_page() -> str:
    """The method of every module of statistics, and its source."""
    verdicts = ("ab_verdict", "evidence.ladder", "evidence.marks", "evidence.scorers", "exit.monitor")
    named = [import_module(f"router_lab.analysis.{one}") for one in verdicts]
    return "\n".join([_STATISTICS, *_modules(statistics), *map(_module, named)])


def _modules(package: ModuleType) -> list[str]:
    found = pkgutil.iter_modules(package.__path__)
    return [
        _module(import_module(f"{package.__name__}.{one.name}"))
        for one in sorted(found, key=lambda one: one.name)
    ]


def _module(module: ModuleType) -> str:
    first, _, rest = (inspect.getdoc(module) or "").partition("\n")
    name = module.__name__.removeprefix("router_lab.")
    return f"## {prose(first.rstrip('.'))}\n\n`{name}`\n\n{prose(rest.strip())}\n"


def _paragraphs(module: ModuleType) -> list[str]:
    return (inspect.getdoc(module) or "").split("\n\n")
