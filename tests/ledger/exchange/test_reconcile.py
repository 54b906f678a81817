"""The ledger against the provider's own figures."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from ledger_rows import answered, lost, make_call

from kinds import examples
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.records import BudgetLine

MODEL = {"provider": "anthropic", "model_requested": "claude-sonnet-4-5-20250929"}


async def fill(ledger: Ledger) -> str:
    """Two billed calls on one day, one on the next with an unknown beside it; returns the unknown's id."""
    for day, hour in ((20, 1), (20, 23), (21, 0)):
        await make_call(ledger, started_at=datetime(2026, 11, day, hour, tzinfo=UTC), **MODEL)
    unknown = lost(started_at=datetime(2026, 11, 21, 5, tzinfo=UTC), **MODEL)
    await ledger.accounts.open_attempt(unknown, 0.01, [])
    await ledger.accounts.settle(unknown)
    unbilled = lost(started_at=datetime(2026, 11, 21, 6, tzinfo=UTC), **MODEL)
    await ledger.accounts.open_attempt(unbilled, 0.01, [])
    await ledger.accounts.settle(
        answered(unbilled, billing="unbilled", cost_usd=0.0, tokens_in=None, tokens_out=None)
    )
    return unknown.attempt_id


ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
usage_output_tokens,web_search_count
2026-11-20,claude-sonnet-4-5-20250929,k,w,message,≤ 200k,10,1,1,2,6,0
2026-11-21,claude-sonnet-4-5-20250929,k,w,message,≤ 200k,{tokens_in},0,0,0,{tokens_out},0
"""


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "verdict"),
    [
        (7, 3, "agrees"),
        (17, 6, "unknown rows would explain it"),
        (900_000_007, 3, "unknown rows explain only part of it"),
        (7, 5000, "unknown rows explain only part of it"),
        (1, 3, "the ledger counts more"),
        (5000, 1, "they differ both ways"),
    ],
)
async def test_reconciling_with_anthropics_usage_export(
    tmp_path: Path, tokens_in: int, tokens_out: int, verdict: str
) -> None:
    """What an unknown call can have used is bounded by its estimate and its reserve."""
    export = tmp_path / "usage.csv"
    export.write_text(ANTHROPIC_USAGE.format(tokens_in=tokens_in, tokens_out=tokens_out))
    with Ledger(tmp_path / "ledger") as ledger:
        unknown = await fill(ledger)
        found = ledger.reconcile("anthropic", export)
        assert found["finding"].tolist() == ["agrees", verdict]
        assert found["tokens_in_difference"].tolist() == [0, tokens_in - 7]
        assert found["unknown_attempt_ids"].tolist() == [[], [unknown]]


async def test_reconciling_with_cost_exports_and_mapped_columns(tmp_path: Path) -> None:
    export = tmp_path / "cost.csv"
    with Ledger(tmp_path / "ledger") as ledger:
        await fill(ledger)
        export.write_text(
            "usage_date_utc,model,token_type,cost_usd\n"
            "2026-11-20,claude-sonnet-4-5,input,0.003\n2026-11-20,claude-sonnet-4-5,output,0.005\n"
            "2026-11-21,claude-sonnet-4-5,input,0.5\n"
        )
        found = ledger.reconcile("anthropic", export)
        assert found["finding"].tolist() == ["agrees", "unknown rows explain only part of it"]
        export.write_text("day;llm;calls\n2026-11-20;claude-sonnet-4-5;3\n")
        columns = {"date": "day", "model": "llm", "requests": "calls"}
        found = ledger.reconcile("anthropic", export, columns)
        assert found[["requests_ledger", "requests_provider"]].to_numpy().tolist() == [[2, 3]]
        assert found["finding"].tolist() == ["the provider counts more"]
        with pytest.raises(ConfigError, match="has the columns day, llm, calls"):
            ledger.reconcile("anthropic", export)
        with pytest.raises(ConfigError, match="must map date, model"):
            ledger.reconcile("anthropic", export, {"date": "nope", "model": "llm"})


async def test_reconciling_with_openais_exports(tmp_path: Path) -> None:
    usage, costs = tmp_path / "usage.csv", tmp_path / "costs.csv"
    usage.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,input_tokens,output_tokens\n"
        "1,2,2026-11-22T00:00:00+00:00,2026-11-23T00:00:00+00:00,p,2,gpt-4o-2024-08-06,14,6\n"
        "1,2,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,,,,,\n"
    )
    costs.write_text(
        "start_time,start_time_iso,amount_value,amount_currency,line_item\n"
        '1,2026-11-22T00:00:00+00:00,0.003,usd,"gpt-4o-2024-08-06, input"\n'
        '1,2026-11-22T00:00:00+00:00,0.005,usd,"gpt-4o-2024-08-06, output"\n'
    )
    with Ledger(tmp_path / "ledger") as ledger:
        for _ in range(2):
            await make_call(ledger, provider="openai", model_requested="gpt-4o-2024-08-06")
        assert ledger.reconcile("openai", usage)["finding"].tolist() == ["agrees"]
        assert ledger.reconcile("openai", costs)["finding"].tolist() == ["agrees"]


COST = "usage_date_utc,model,token_type,cost_usd\n"
MAPPED = {"date": "day", "model": "llm", "cost_usd": "usd"}


async def one_call(folder: Path) -> Ledger:
    """A ledger of one call on 2026-11-20 for 0.004 USD."""
    with Ledger(folder / "ledger") as ledger:
        await make_call(ledger, started_at=datetime(2026, 11, 20, 5, tzinfo=UTC), **MODEL)
    return Ledger(folder / "ledger")


OPENAI = (
    "start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens\n"
    "2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,1,gpt-4o-2024-08-06,7,3\n"
)


@pytest.mark.parametrize(
    ("more", "days", "verdicts"),
    [
        ("", [20, 20], ["agrees", "the ledger counts more"]),
        (
            "2026-11-22T00:00:00+00:00,2026-11-23T00:00:00+00:00,1,gpt-4o,7,3\n",
            [20, 20, 21, 22],
            ["agrees", "the ledger counts more", "the ledger counts more", "agrees"],
        ),
        (
            "2026-11-21T00:00:00+00:00,2026-11-23T00:00:00+00:00,,,,\n",
            [20, 20, 21, 22],
            ["agrees", *["the ledger counts more"] * 3],
        ),
    ],
    ids=["a model", "a day between", "empty days"],
)
async def test_what_only_the_ledger_has_is_a_difference(
    tmp_path: Path, more: str, days: list[int], verdicts: list[str]
) -> None:
    """Seen once: it was said to agree."""
    (tmp_path / "usage.csv").write_text(OPENAI + more)
    with Ledger(tmp_path / "ledger") as ledger:
        for day, model in ((20, "gpt-4o"), (20, "gpt-5"), (21, "gpt-4o"), (22, "gpt-4o"), (23, "gpt-4o")):
            at = datetime(2026, 11, day, 5, tzinfo=UTC)
            await make_call(ledger, provider="openai", model_requested=model, started_at=at)
        found = ledger.reconcile("openai", tmp_path / "usage.csv")
        assert found["date"].tolist() == [f"2026-11-{day}" for day in days]
        assert found["finding"].tolist() == verdicts


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ('"1,234.50"', 1234.5),
        ("$1234.50", 1234.5),
        ("1234.50 USD", 1234.5),
        ('"1.234,50"', 1234.5),
        ('"1,234,567"', 1_234_567),
        ("-3", -3),
        ("1e-7", 1e-7),
    ],
)
async def test_amounts_are_read_as_people_write_them(tmp_path: Path, written: str, amount: float) -> None:
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text(f"\ufeff{COST}2026-11-20,claude-sonnet-4-5,input,{written}\n")
    found = ledger.reconcile("anthropic", tmp_path / "cost.csv")
    assert found["cost_usd_provider"].tolist() == [amount]


@pytest.mark.parametrize("written", ["0,004", "0.004"])
async def test_decimal_commas_agree(tmp_path: Path, written: str) -> None:
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text(f"day;llm;usd\n2026-11-20;claude-sonnet-4-5;{written}\n")
    assert ledger.reconcile("anthropic", tmp_path / "cost.csv", MAPPED)["finding"].tolist() == ["agrees"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day,llm,usd\n2026-11-20,m,1\n2026-11-20,m,n/a\n", r"line 3, column 'usd': 'n/a': no number"),
        ("day,llm,usd\n2026-11-20,m,€5\n", r"line 2, column 'usd': '€5': no number"),
        ('day,llm,usd\n2026-11-20,m,"1,234"\n', "thousands or decimals"),
        ("day;llm;usd\n2026-11-20;m;1.234\n", "thousands or decimals"),
        ("day,llm,usd\n2026-11-20,m,1,234.50\n", "line 2: 4 values for 3 columns"),
        ("day,llm,usd\n,m,55\n", r"line 2, column 'day': '': no time"),
        ("day,llm,usd\nTotal,,55\n", "'Total': no time.*if this is a line of totals, delete it"),
        ("day,llm,usd\n03/04/2026,m,1\n", "day or month first"),
        ("day,llm,usd\n2026,m,1\n", "'2026': no time"),
        ('day,llm,usd\n2026-11-20,"m,1\n', "line 2: cannot be read as CSV"),
        ("day,llm,usd,usd\n2026-11-20,m,1,2\n", "two columns are named 'usd'"),
        ("day,llm,usd\n", "has no rows"),
        ("\n\n", "is empty"),
        ("", "is empty"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    """Seen once: it counted as nothing."""
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text(text)
    with pytest.raises(ConfigError, match=rf"cost\.csv.*{message}"):
        ledger.reconcile("anthropic", tmp_path / "cost.csv", MAPPED)


@pytest.mark.parametrize(
    "day",
    [
        "20261120",
        "1795132800",
        "1795132800000",
        "2026/11/20",
        "11/20/2026",
        "Nov 20, 2026",
        "2026-11-19T22:00-05:00",
    ],
)
async def test_days_are_read_in_any_notation_of_one_meaning(tmp_path: Path, day: str) -> None:
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text(f"day\tllm\tusd\n{day}\tclaude-sonnet-4-5\t0.004\n")
    assert ledger.reconcile("anthropic", tmp_path / "cost.csv", MAPPED)["finding"].tolist() == ["agrees"]


async def test_what_is_billed_without_a_model_is_part_of_the_bill(tmp_path: Path) -> None:
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text(
        f"{COST}2026-11-20,claude-sonnet-4-5,input,0.004\n2026-11-20,,web_search,12.50\n2026-11-20,,credit,-3\n"
    )
    found = ledger.reconcile("anthropic", tmp_path / "cost.csv")
    assert found["model"].tolist() == ["(no model)", "claude-sonnet-4-5"]
    assert found["cost_usd_provider"].tolist() == [9.5, 0.004]
    assert found["finding"].tolist() == ["the provider counts more", "agrees"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
        ("claude-opus-4-20250514", "Claude Opus 4"),
        ("claude-3-5-haiku-20241022", "Claude Haiku 3.5"),
    ],
)
async def test_models_by_the_names_that_people_read(tmp_path: Path, model: str, name: str) -> None:
    """Anthropic's cost export calls them so."""
    (tmp_path / "cost.csv").write_text(f"{COST}2026-11-22,{name},output,0.004\n")
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, provider="anthropic", model_requested=model)
        assert ledger.reconcile("anthropic", tmp_path / "cost.csv")["finding"].tolist() == ["agrees"]


async def test_a_question_that_has_no_answer_is_refused(tmp_path: Path) -> None:
    ledger = await one_call(tmp_path)
    (tmp_path / "cost.csv").write_text("day,llm,usd\n2026-11-20,claude-sonnet-4-5,0.004\n")
    with pytest.raises(ConfigError, match="at least one of requests"):
        ledger.reconcile("anthropic", tmp_path / "cost.csv", {"date": "day", "model": "llm"})
    with pytest.raises(ConfigError, match="no attempts of it; it has anthropic"):
        ledger.reconcile("antropic", tmp_path / "cost.csv", MAPPED)


DAY = datetime(2026, 11, 20, 5, tzinfo=UTC)
LINES = [BudgetLine("daily", "2026-11-20", 9.0), BudgetLine("monthly", "2026-11", 9.0)]


async def unsure(ledger: Ledger, worst_usd: float, *lines: BudgetLine, **changes: object) -> None:
    """An attempt whose bill nobody saw."""
    given = {"cost_usd": worst_usd / 2, "worst_usd": worst_usd, "started_at": DAY, **MODEL, **changes}
    row = lost(**given)
    await ledger.accounts.open_attempt(row, worst_usd, [*LINES, *lines])
    await ledger.accounts.settle(row)


def cost_export(folder: Path, usd: float) -> Path:
    path = folder / "cost.csv"
    path.write_text(f"day,llm,usd\n2026-11-20,claude-sonnet-4-5,{usd!r}\n")
    return path


def spent(ledger: Ledger) -> dict[tuple[str, str], float]:
    return ledger.spend().set_index(["scope", "period"])["spent_usd"].round(9).to_dict()


@pytest.mark.parametrize("sealed", [False, True])
async def test_what_the_export_shows_is_written_back(tmp_path: Path, sealed: bool) -> None:
    """Budgets, reports and the rows say what was billed, however often it is reconciled."""
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, *LINES, started_at=DAY, **MODEL)  # 0.004
        for worst in (0.01, 0.03):
            await unsure(ledger, worst)
        await unsure(ledger, 0.5, started_at=DAY + timedelta(days=1))
        if sealed:
            ledger.seal()
        before = spent(ledger)
        export = cost_export(tmp_path, 0.012)
        looked = ledger.reconcile("anthropic", export, MAPPED, settle=False)
        assert looked["settled_rows"].tolist() == [0]
        assert spent(ledger) == before == {("daily", "2026-11-20"): 0.544, ("monthly", "2026-11"): 0.544}
        found = ledger.reconcile("anthropic", export, MAPPED)
        assert found[["finding", "settled_rows"]].to_numpy().tolist() == [
            ["unknown rows would explain it", 2]
        ]
        for again in (ledger, Ledger(tmp_path / "ledger")):
            found = again.reconcile("anthropic", export, MAPPED)
            assert found[["finding", "settled_rows"]].to_numpy().tolist() == [["agrees", 0]]
            rows = again.attempts().query("cost_source == 'reconciled'").sort_values("cost_usd")
            assert rows["cost_usd"].tolist() == rows["worst_usd"].tolist() == pytest.approx([0.002, 0.006])
            assert set(rows["billing"]) == {"billed"}
            assert spent(again) == {("daily", "2026-11-20"): 0.512, ("monthly", "2026-11"): 0.512}
            assert again.verify().ok, again.verify()


async def test_what_was_not_billed_costs_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, *LINES, started_at=DAY, **MODEL)
        await unsure(ledger, 0.02)
        found = ledger.reconcile("anthropic", cost_export(tmp_path, 0.004), MAPPED)
        assert found[["finding", "settled_rows"]].to_numpy().tolist() == [["agrees", 1]]
        row = ledger.attempts().query("cost_source == 'reconciled'").iloc[0]
        assert (row["cost_usd"], row["worst_usd"], row["billing"]) == (0.0, 0.0, "unbilled")
        assert spent(ledger)["daily", "2026-11-20"] == 0.004
        assert ledger.spend()["likely_usd"].tolist() == ledger.spend()["spent_usd"].tolist()


@pytest.mark.parametrize("usd", [0.003, 5.0])
async def test_a_doubt_settles_nothing(tmp_path: Path, usd: float) -> None:
    """The ledger counts more than the provider, or the provider more than the unknown rows can be."""
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, *LINES, started_at=DAY, **MODEL)
        await unsure(ledger, 0.02)
        found = ledger.reconcile("anthropic", cost_export(tmp_path, usd), MAPPED)
        assert found["settled_rows"].tolist() == [0]
        assert spent(ledger)["daily", "2026-11-20"] == 0.024


async def test_a_day_that_is_not_over_is_not_settled(tmp_path: Path) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)  # whose day is not over in this hour
    (tmp_path / "cost.csv").write_text(f"day,llm,usd\n{today:%Y-%m-%d},claude-sonnet-4-5,0.004\n")
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, started_at=today, **MODEL)
        await unsure(ledger, 0.02, started_at=today)
        found = ledger.reconcile("anthropic", tmp_path / "cost.csv", MAPPED)
        assert found[["finding", "settled_rows"]].to_numpy().tolist() == [["agrees", 0]]


async def test_requests_say_how_many_were_billed_and_tokens_follow(tmp_path: Path) -> None:
    columns = {**MAPPED, "requests": "calls", "tokens_in": "in", "tokens_out": "out"}
    path = tmp_path / "all.csv"
    path.write_text("day,llm,calls,in,out,usd\n2026-11-20,claude-sonnet-4-5,2,16,103,0.02\n")
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, *LINES, started_at=DAY, **MODEL)
        for worst in (0.01, 0.03):
            await unsure(ledger, worst)
        assert ledger.reconcile("anthropic", path, columns)["settled_rows"].tolist() == [2]
        rows = ledger.attempts().query("cost_source == 'reconciled'").sort_values("cost_usd")
        assert rows["billing"].tolist() == ["unbilled", "billed"]
        assert rows["cost_usd"].tolist() == pytest.approx([0.0, 0.016])
        assert rows.iloc[1][["tokens_in", "tokens_out"]].tolist() == [9, 100]
        assert ledger.reconcile("anthropic", path, columns)["finding"].tolist() == ["agrees"]


async def test_tokens_are_filled_in_after_the_cost(tmp_path: Path) -> None:
    """Anthropic exports cost and usage apart."""
    usage = tmp_path / "usage.csv"
    usage.write_text("day,llm,in,out\n2026-11-20,claude-sonnet-4-5,16,43\n")
    tokens = {"date": "day", "model": "llm", "tokens_in": "in", "tokens_out": "out"}
    with Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger, started_at=DAY, **MODEL)
        await unsure(ledger, 0.02)
        assert ledger.reconcile("anthropic", usage, tokens)["settled_rows"].tolist() == [0]
        assert ledger.reconcile("anthropic", cost_export(tmp_path, 0.01), MAPPED)[
            "settled_rows"
        ].tolist() == [1]
        assert ledger.reconcile("anthropic", usage, tokens)["settled_rows"].tolist() == [1]
        for export, columns in ((usage, tokens), (cost_export(tmp_path, 0.01), MAPPED)):
            found = ledger.reconcile("anthropic", export, columns)
            assert found[["finding", "settled_rows"]].to_numpy().tolist() == [["agrees", 0]]


@effort(max_examples=examples(15), deadline=None)
@given(
    worst=st.lists(st.floats(1e-6, 2.0), min_size=1, max_size=6),
    share=st.floats(0, 1),
    scopes=st.lists(st.sampled_from(["task:a/daily", "user:b/daily"]), max_size=6),
)
async def test_the_provider_has_the_last_word_whatever_it_says(
    worst: list[float], share: float, scopes: list[str]
) -> None:
    """Rows add up to the provider's figure, none costs more than was held, and budgets add up to the rows."""
    with tempfile.TemporaryDirectory() as made, Ledger(Path(made) / "ledger") as ledger:
        for usd, scope in zip(worst, [*scopes, *[""] * 6], strict=False):
            lines = [BudgetLine(scope, "2026-11-20", 99.0)] if scope else []
            await unsure(ledger, usd, *lines)
        total = sum(worst) * share
        found = ledger.reconcile("anthropic", cost_export(Path(made), total), MAPPED)
        assert found["settled_rows"].tolist() == [len(worst)]
        rows = ledger.attempts()
        assert rows["cost_usd"].sum() == pytest.approx(total, abs=1e-9)
        assert all(
            usd <= most * (1 + 1e-9)
            for usd, most in zip(sorted(rows["cost_usd"]), sorted(worst), strict=True)
        )
        assert spent(ledger)["daily", "2026-11-20"] == pytest.approx(total, abs=1e-8)
        assert ledger.verify().ok, ledger.verify()


OPENAI_TIMES = "start_time,end_time,start_time_iso,end_time_iso"
OPENAI_DAY = "1,2,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00"


async def calls_of_two_models(folder: Path) -> Ledger:
    """Two models of one provider on 2026-11-20, for 0.004 USD, 7 and 3 tokens each."""
    with Ledger(folder / "ledger") as ledger:
        for model in ("gpt-4o", "gpt-5"):
            at = datetime(2026, 11, 20, 5, tzinfo=UTC)
            await make_call(ledger, started_at=at, provider="openai", model_requested=model)
    return Ledger(folder / "ledger")


@pytest.mark.parametrize(
    "export",
    [
        f"{OPENAI_TIMES},amount_value,amount_currency,line_item,project_id\n{OPENAI_DAY},0.008,usd,,\n",
        f"{OPENAI_TIMES},amount_value,amount_currency\n{OPENAI_DAY},0.008,usd\n",
        f"{OPENAI_TIMES},num_model_requests,input_tokens,output_tokens\n{OPENAI_DAY},2,14,6\n",
        f"{OPENAI_TIMES},num_model_requests,model,input_tokens,output_tokens\n{OPENAI_DAY},2,,14,6\n",
        "start_time,end_time,amount_value\n1795132800,1795219200,0.008\n",
    ],
)
async def test_an_export_that_is_not_grouped_is_compared_by_day(tmp_path: Path, export: str) -> None:
    (tmp_path / "export.csv").write_text(export)
    with await calls_of_two_models(tmp_path) as ledger:
        found = ledger.reconcile("openai", tmp_path / "export.csv")
        assert found[["model", "finding"]].to_numpy().tolist() == [["(all models)", "agrees"]]
        less = export.replace("0.008", "0.004").replace(",14,", ",7,")
        (tmp_path / "export.csv").write_text(less)
        found = ledger.reconcile("openai", tmp_path / "export.csv")
        assert found["finding"].tolist() == ["the ledger counts more"]


async def test_an_export_without_any_amount_counts_nothing_and_settles_nothing(tmp_path: Path) -> None:
    with await calls_of_two_models(tmp_path) as ledger:
        unknown = lost(started_at=datetime(2026, 11, 20, 6, tzinfo=UTC), provider="openai")
        await ledger.accounts.open_attempt(unknown, 0.01, [])
        await ledger.accounts.settle(unknown)
        (tmp_path / "export.csv").write_text(f"{OPENAI_TIMES}\n{OPENAI_DAY}\n")
        found = ledger.reconcile("openai", tmp_path / "export.csv")
        assert set(found["finding"]) == {"the ledger counts more"}
        assert found["settled_rows"].sum() == 0


async def test_an_amount_of_a_month_is_not_compared_with_a_day(tmp_path: Path) -> None:
    month = "1,2,2026-11-01T00:00:00+00:00,2026-12-01T00:00:00+00:00,gpt-4o,1"
    (tmp_path / "export.csv").write_text(f"{OPENAI_TIMES},line_item,amount_value\n{month}\n")
    with await calls_of_two_models(tmp_path) as ledger, pytest.raises(ConfigError, match="export it by day"):
        ledger.reconcile("openai", tmp_path / "export.csv")


async def test_one_column_of_cache_writes_is_known(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text(
        "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_write,"
        "usage_input_tokens_cache_read,usage_output_tokens\n2026-11-20,claude-sonnet-4-5,4,1,2,3\n"
    )
    with await one_call(tmp_path) as ledger:
        assert ledger.reconcile("anthropic", tmp_path / "export.csv")["finding"].tolist() == ["agrees"]


@pytest.mark.parametrize("day", ["2026/11/20", "2026-11-20T00:00", "2026.11.20", "20 Nov 2026", "20261120"])
async def test_dates_with_one_meaning(tmp_path: Path, day: str) -> None:
    (tmp_path / "export.csv").write_text(f"{COST}{day},claude-sonnet-4-5,input,0.004\n")
    with await one_call(tmp_path) as ledger:
        assert ledger.reconcile("anthropic", tmp_path / "export.csv")["finding"].tolist() == ["agrees"]


@pytest.mark.parametrize(
    "data",
    [
        OPENAI.replace(
            "start_time_iso,end_time_iso,num_model_requests,model",
            "Start_Time_ISO,END_TIME_ISO,Num_Model_Requests,Model",
        ).encode(),
        OPENAI.encode("utf-16"),
        b"sep=,\r\n" + OPENAI.replace("\n", "\r\n").encode(),
        b'\xef\xbb\xbf"sep=;"\n' + OPENAI.replace(",", ";").encode(),
    ],
)
async def test_an_export_as_a_spreadsheet_saved_it(tmp_path: Path, data: bytes) -> None:
    export = tmp_path / "usage.csv"
    export.write_bytes(data)
    with Ledger(tmp_path / "ledger") as ledger:
        started_at = datetime(2026, 11, 20, 5, tzinfo=UTC)
        await make_call(ledger, started_at=started_at, provider="openai", model_requested="gpt-4o-2024-08-06")
        assert ledger.reconcile("openai", export)["finding"].tolist() == ["agrees"]


@pytest.mark.parametrize(
    ("currency", "other"), [("usd", None), ("USD", None), ("eur", "eur"), ("CNY", "CNY"), ("€", "€")]
)
async def test_amounts_of_another_currency_are_no_dollars(
    tmp_path: Path, currency: str, other: str | None
) -> None:
    export = tmp_path / "costs.csv"
    export.write_text(
        f"start_time_iso,amount_value,amount_currency,line_item\n2026-11-20,0.004,{currency},claude-sonnet-4-5\n"
    )
    mapped = {"date": "start_time_iso", "model": "line_item", "cost_usd": "amount_value"}
    with await one_call(tmp_path) as ledger:
        if other is None:
            assert ledger.reconcile("anthropic", export, mapped)["finding"].tolist() == ["agrees"]
        else:
            with pytest.raises(ConfigError, match=f"line 2, column 'amount_currency': '{other}'.*USD"):
                ledger.reconcile("anthropic", export, mapped)


@pytest.mark.parametrize("data", [b'{"object": "page"}', b"PK\x03\x04", b"<html></html>", b"\x1f\x8b\x08"])
async def test_what_is_no_table_says_what_to_export(tmp_path: Path, data: bytes) -> None:
    export = tmp_path / "usage.csv"
    export.write_bytes(data)
    with await one_call(tmp_path) as ledger, pytest.raises(ConfigError, match="CSV"):
        ledger.reconcile("openai", export)
