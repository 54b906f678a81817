"""What the simulated models say: right as often as configured, wrong in believable ways, always the same."""

from __future__ import annotations

import asyncio
import json
import string

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import sim
from router_lab.sim import tokenizer
from router_lab.sim.model_request import ModelRequest, Turn
from router_lab.sim.simulated_answers.known_answers import AnswerModel, Workload

LABELS = ("billing", "shipping", "technical", "account")
SYSTEM = "Answer with one label."
TICKETS = [
    {
        "prompt": f"Ticket {number}: {text}",
        "system": SYSTEM,
        "task_type": "classify",
        "expected": LABELS[number % 4],
    }
    for number, text in enumerate(["Something is wrong, please help me with it."] * 600)
]
ORDERS = [
    {
        "prompt": f"Order {number} from Mira Holt in Lyon, {number % 7 + 2} lamps.",
        "system": "Answer in JSON.",
        "task_type": "extract::order",
        "expected": {"number": number, "name": "Mira Holt", "city": "Lyon", "lamps": number % 7 + 2},
    }
    for number in range(600)
]


def model(name="m", skill=0.8, **options):
    return sim.SimModel(name, "ollama", "cl100k", 8192, skill, **options)


def answer(model, row, *, seed=0, workload=None, **ask):
    mind = AnswerModel(seed, Workload([row]) if workload is None else workload)
    turns = (Turn("system", row.get("system", "")), Turn("user", row["prompt"]))
    tokens = tokenizer.get(model.tokenizer)
    return mind.answer(
        model, tokens, ModelRequest(model.name, turns, **ask), seen=None, room=None, spoil=False
    )


def right(text, expected):
    return text.lower().rstrip(".") == expected


@pytest.mark.parametrize("skill", [0.97, 0.88, 0.5])
def test_a_model_is_right_as_often_as_its_skill_says(skill):
    workload = Workload(TICKETS)
    texts = [answer(model(skill=skill), row, workload=workload).text for row in TICKETS]
    share = sum(right(text, row["expected"]) for text, row in zip(texts, TICKETS, strict=True)) / len(TICKETS)
    assert share == pytest.approx(skill, abs=0.06)
    assert {text.lower().rstrip(".") for text in texts} == set(LABELS)  # mistakes are other labels


def test_skills_by_task_prefix_win_over_the_general_one():
    one = model(skill=0.0, skills={"extract": 1.0, "extract::invoice": 0.5})
    assert one.skill_for("extract::order::eu") == 1.0
    assert one.skill_for("extract::invoice::de") == 0.5
    assert one.skill_for("classify") == 0.0


def test_hard_prompts_are_hard_for_every_model():
    workload = Workload(TICKETS)
    errors = [
        {
            row["prompt"]
            for row in TICKETS
            if not right(answer(model(name), row, workload=workload).text, row["expected"])
        }
        for name in ("a", "b")
    ]
    together = len(errors[0] & errors[1]) / len(TICKETS)
    apart = len(errors[0]) * len(errors[1]) / len(TICKETS) ** 2
    assert together > 1.3 * apart


def test_wrong_objects_are_off_by_little():
    workload = Workload(ORDERS)
    wrong_one = model(skill=0.0, parse_failure_rate=0.0)
    for row in ORDERS[:200]:
        data = json.loads(answer(wrong_one, row, workload=workload, json=True).text)
        expected = row["expected"]
        assert data != expected
        assert set(data) <= set(expected)
        differing = [key for key in expected if data.get(key, ...) != expected[key]]
        assert len(differing) == 1


def test_the_manner_varies_and_the_parse_failures_have_their_rate():
    workload, writer = Workload(ORDERS), model(skill=1.0, parse_failure_rate=0.1)
    texts = [answer(writer, row, workload=workload).text for row in ORDERS]
    broken = 0
    for text, row in zip(texts, ORDERS, strict=True):
        core = text[text.find("{") : text.rfind("}") + 1]
        try:
            assert json.loads(core) == row["expected"]
        except json.JSONDecodeError:
            broken += 1
    assert broken / len(texts) == pytest.approx(0.1, abs=0.04)
    assert any(text.startswith("```json") for text in texts)
    assert any(text.startswith("Sure!") for text in texts)
    assert any(text.startswith("{") for text in texts)


def test_constrained_output_always_satisfies_the_schema():
    schema = {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "name": {"type": "string"},
            "city": {"enum": ["Lyon", "Rome"]},
        },
        "required": ["number", "name", "city"],
        "additionalProperties": False,
    }
    for row in ORDERS[:100]:
        data = json.loads(answer(model(skill=0.3), row, schema=schema).text)
        assert set(data) == {"number", "name", "city"}
        assert isinstance(data["number"], int)
        assert data["city"] in ("Lyon", "Rome")


async def test_answers_do_not_depend_on_order_or_concurrency():
    rows = TICKETS[:40] + ORDERS[:40]

    async def replies(order, *, together):
        app = sim.app(workload=rows, seed=11)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sim") as client:

            async def one(row):
                messages = [
                    {"role": "system", "content": row["system"]},
                    {"role": "user", "content": row["prompt"]},
                ]
                reply = await client.post(
                    "/v1/chat/completions", json={"model": "my-model", "messages": messages}
                )
                return row["prompt"], reply.json()["choices"][0]["message"]["content"], reply.json()["usage"]

            if together:
                return sorted(await asyncio.gather(*map(one, order)), key=str)
            return sorted([await one(row) for row in order], key=str)

    assert await replies(rows, together=False) == await replies(rows[::-1], together=True)


def test_another_seed_gives_other_answers():
    workload = Workload(TICKETS)
    first, second = [
        [answer(model(), row, seed=seed, workload=workload).text for row in TICKETS] for seed in (1, 2)
    ]
    assert first != second


@pytest.mark.parametrize(
    ("prompt", "check"),
    [
        (
            "Summarise:\n\nThe dam broke on Monday. Nobody was hurt. Repairs take a year.",
            lambda text: "dam" in text,
        ),
        ("Give me JSON.\n\nname: Ada\nage: 36", lambda text: '"name": "Ada"' in text),
        (
            "Classify as one of: spam, ham.\n\nThis ham is nice, really ham.",
            lambda text: "ham" in text.lower(),
        ),
        ("Write a python function `double(x)`.", lambda text: "def double(x):" in text),
        ("", lambda text: text),
        ("?", lambda text: text),
        ("总结：大坝星期一决堤。没有人受伤。修复需要一年。", lambda text: "大坝" in text),
    ],
)
def test_unknown_prompts_get_a_sensible_answer(prompt, check):
    best = model(skill=1.0, parse_failure_rate=0.0)
    assert check(answer(best, {"prompt": prompt}, workload=Workload()).text)


def test_arithmetic_ends_with_the_line_that_was_asked_for():
    row = {"prompt": "2 + 2?", "system": "End with a line '#### ' and the number.", "expected": "4"}
    assert answer(model(skill=1.0), row).text.endswith("\n#### 4")


def test_a_workload_file_is_read(tmp_path):
    file = tmp_path / "workload.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in TICKETS[:3]) + "\n\n", encoding="utf-8")
    assert sim.app(workload=file).log == []


hostile = st.text(max_size=300) | st.text(alphabet=string.punctuation + "one of:jsonde \n\t", max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "enum", "const", "anyOf", "minItems", "a", "$ref"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(hostile, st.floats(0, 1), st.integers(1, 40))
def test_any_prompt_gets_an_answer_within_its_limit(prompt, skill, max_tokens):
    got = answer(model(skill=skill), {"prompt": prompt}, workload=Workload(), max_tokens=max_tokens)
    assert 1 <= got.tokens <= max_tokens


@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "items", "enum", "anyOf", "minItems"]), json_values
    )
)
def test_any_schema_gets_json(schema):
    got = answer(
        model(),
        {"prompt": "number 5 and Ada Lovelace"},
        workload=Workload(),
        schema=schema or {"type": "null"},
    )
    json.loads(got.text)


@given(json_values, hostile)
def test_any_expected_answer_can_be_got_wrong(expected, prompt):
    row = {"prompt": prompt, "expected": expected}
    got = answer(model(skill=0.0), row)
    assert got.tokens >= 1
    assert got == answer(model(skill=0.0), row)
