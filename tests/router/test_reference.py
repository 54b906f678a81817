"""The names users type: a change here is a change for them."""

from __future__ import annotations

import inspect

import router_lab as rl
from router_lab import errors


def test_the_public_names():
    assert {"Router", "Ledger", "Completion", "analysis", "plots", "panels", "replay", "sim"} <= set(
        rl.__all__
    )
    assert all(getattr(rl, name) is not None for name in rl.__all__)


def test_complete_takes_what_the_contract_says():
    parameters = inspect.signature(rl.Router.complete).parameters
    assert list(parameters) == [
        "self",
        "prompt",
        "task_type",
        "messages",
        "system",
        "max_tokens",
        "tools",
        "schema",
        "user_id",
        "task_id",
        "tags",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "reasoning_effort",
        "think",
        "extra_body",
        "extra_headers",
    ]
    assert parameters["prompt"].default is None
    assert parameters["task_type"].default is inspect.Parameter.empty
    assert all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY
        for name, parameter in parameters.items()
        if name not in ("self", "prompt")
    )


def test_every_error_is_one_of_ours_and_drawn_in_the_tree():
    tree = errors.__doc__ or ""
    classes = [
        kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)
    ]
    assert len(classes) >= 11
    for kind in classes:
        assert issubclass(kind, rl.RouterLabError)
        assert kind.__name__ in tree
