"""The table the demo ends with: per task type, what was called, what it cost, how the shadow did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router_lab.counted import counted

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger import Ledger
    from router_lab.replay import ReplayResult

COLUMNS = (
    "calls",
    "attempts",
    "retries",
    "truncation suspected",
    "cost USD",
    "shadow cost USD",
    "unconfirmed USD",
    "at most USD",
    "agreement",
    "pairs",
)

# Uses of pairs that say how alike the answers are.
_COUNTED = ("scored", "shadow_failed", "shadow_unusable")


def by_task_type(attempts: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """One row per task type with `COLUMNS`, and a last row `all`.

    A retry is an attempt after the first at the same model of the same call. Costs are as billed; what
    attempts whose bill is unknown are likely to cost is apart, `unconfirmed USD`, and the most that they
    can, `at most USD`. Agreement is the mean over pairs whose primary answered: a shadow that gave no answer
    one can judge agrees by 0, as in `analysis`. Noise pairs (the primary against itself) are left out.
    """
    import pandas as pd

    from router_lab.analysis.evidence.pairs import judged_pairs

    is_unknown = attempts["billing"] == "unknown"
    attempts = attempts.assign(
        billed=attempts["cost_usd"].mask(is_unknown, 0.0),
        unknown=attempts["cost_usd"].where(is_unknown, 0.0),
        at_most=attempts["worst_usd"].fillna(attempts["cost_usd"]).where(is_unknown, 0.0),
    )
    primary = attempts[~attempts["is_shadow"]]
    shadow = attempts[attempts["is_shadow"]]
    tries = primary.groupby(["task_type", "request_id", "model_alias"]).size() - 1
    pairs = judged_pairs(comparisons)
    pairs = pairs[~pairs["is_noise"] & pairs["use"].isin(_COUNTED) & pairs["agreement"].notna()]
    suspected = primary["truncation_signal"].notna() & (primary["outcome"] == "truncated")
    table = pd.DataFrame(
        {
            "calls": primary.groupby("task_type")["request_id"].nunique(),
            "attempts": attempts.groupby("task_type").size(),
            "retries": tries.groupby("task_type").sum(),
            "truncation suspected": suspected.groupby(primary["task_type"]).sum(),
            "cost USD": primary.groupby("task_type")["billed"].sum(),
            "shadow cost USD": shadow.groupby("task_type")["billed"].sum(),
            "unconfirmed USD": attempts.groupby("task_type")["unknown"].sum(),
            "at most USD": attempts.groupby("task_type")["at_most"].sum(),
            "agreement": pairs.groupby("task_type")["agreement"].mean(),
            "pairs": pairs.groupby("task_type").size(),
        }
    )
    counts = ["calls", "attempts", "retries", "truncation suspected", "pairs"]
    table[counts] = table[counts].fillna(0).astype(int)
    total = table.sum(numeric_only=True)
    total["agreement"] = float("nan")  # comparators differ between task types: no common mean
    table.loc["all"] = total
    return table[list(COLUMNS)]


def show(ledger: Ledger, result: ReplayResult) -> None:
    """Print the table, what the pairs say of quality, and what went wrong."""
    from router_lab.analysis import ab

    table = by_task_type(ledger.attempts(), ledger.comparisons())
    print()
    print(table.to_string(formatters=_FORMATS, na_rep="-"))
    print(
        "\nretries: attempts after the first at the same model.  truncation suspected: answers not used\n"
        "because the server had probably cut the prompt.  agreement: how alike the answers are, 0 to 1, not\n"
        "how right; a shadow that failed counts as 0.  unconfirmed: what attempts whose bill is unknown are\n"
        "likely to cost, and at most.\n"
    )
    print(ab(ledger))
    print(f"\n{result}")


def show_servers_record(ledger: Ledger, served: int) -> None:
    """Compare the ledger with what the servers counted: one row per request, no more and no less."""
    attempts = ledger.attempts()
    sent = int((attempts["http_status"].notna() | (attempts["billing"] != "unbilled")).sum())
    verdict = "one row for each" if served == sent else "THEY DIFFER: please report this"
    print(
        f"\nThe servers saw {counted(served, 'requests')}; the ledger has "
        f"{counted(sent, 'attempts')} that were sent: {verdict}."
    )


def _count(value: Any) -> str:
    return f"{value:.0f}"


_FORMATS = {
    "calls": _count,
    "attempts": _count,
    "retries": _count,
    "truncation suspected": _count,
    "cost USD": "{:.5f}".format,
    "shadow cost USD": "{:.5f}".format,
    "unconfirmed USD": "{:.5f}".format,
    "at most USD": "{:.5f}".format,
    "agreement": "{:.3f}".format,
    "pairs": _count,
}
