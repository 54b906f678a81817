"""Whether an account is out of quota or credit, so that no waiting helps, in the words of any server."""

from __future__ import annotations

import re

# Errors that waiting does not mend although their status says so: the account is out of money.
NO_FUNDS = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_error",
        "billing_not_active",
        "billing_hard_limit_reached",
        "exceeded_current_quota_error",
        "Arrearage",
        "AllocationQuota.FreeTierOnly",
        "AccountOverdueError",
        "account_deactivated",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_funds",
        "quota_exhausted",
        # LiteLLM
        "budget_exceeded",
        "ExceededBudget",
        # Zhipu, SiliconFlow, Baidu, Spark
        "1113",
        "30001",
        "336006",
        "11200",
        "11201",
        # MiniMax
        "base_resp 1008",
        "base_resp 2056",
    }
)

# An account out of quota or credit, in the words of many servers and whatever the status.
_NO_FUNDS_TEXT = re.compile(
    r"insufficient[ _-]?(?:balance|quota|credits?|funds)"
    r"|(?:credit )?balance is (?:too low|insufficient|not enough)"
    r"|exceeded your current quota|out of (?:credits?|funds|quota)|(?:no|not enough|more|add|purchase|buy)"
    r" (?:remaining |prepaid )?credits|billing (?:hard )?limit|payment (?:is )?required"
    r"|quota (?:is |has been )?"
    r"(?:exhausted|used up|depleted)|exceeded your (?:monthly|weekly|daily|included|free)\b.{0,40}"
    r"(?:credits?|quota|usage|limit)"
    r"|(?:usage|spend(?:ing)?) limits? (?:has been |was |is )?(?:reached|exceeded)"
    r"|key limit exceeded|used (?:up )?all (?:of )?(?:your |its |the )?(?:available )?credits"
    r"|reach(?:ed|ing) (?:the|its) (?:monthly|weekly|daily) spend(?:ing)? limit|free tier .{0,40}exhausted"
    r"|reached your .{0,30}(?:usage|spend(?:ing)?) limit|arrear(?:s|age)\b"
    r"|overdue (?:payment|balance|bill|invoice)|account(?: is)? overdue"
    r"|unpaid (?:invoice|balance|bill)|past invoices"
    r"|account (?:is|was|has been) (?:not active|inactive|deactivated|suspended|frozen)"
    r"|trial key.{0,40}limited to [\d,]+ api calls ?(?:/|per) ?month"
    r"|(?:spend(?:ing)?|budget) cap\b|(?:enable billing|billing to be enabled|requires billing)"
    r"|daily (?:request |usage |free )?(?:limit|quota) (?:is |has been )?(?:reached|exceeded)"
    r"|(?:not|n't) (?:have )?enough (?:credits?|balance|funds|quota)|\brecharge (?:your|the|and)\b"
    r"|\btop[ -]?up your\b|余额不足|欠费|充值|额度(?:已)?(?:用尽|不足|用完)",
    re.IGNORECASE,
)
# A request larger than what the account may send in a minute: no waiting mends that.
_OVER_RATE = re.compile(
    r"tokens per (?:min|minute|day).{0,80}?limit:? (\d+).{0,40}?requested:? (\d+)", re.I | re.S
)

# Any order of what is owned and what has become of it, near one another.
_MONEY = (
    r"(?:\bcredits?\b|\bbalance\b|\bfunds?\b|\bwallet\b|\bprepa(?:id|yment)s?\b|\bguthaben\b|\bsaldo\b|\bsolde\b"
    r"|\bcr[eé]ditos?\b|余额|残高)"
)
_GONE = (
    r"(?:\bdeplet|\bnegativ|\bexhaust|\binsufficient|\binsuffisant|\binsuficiente|\baufgebraucht|\bagotado"
    r"|\bépuisé|(?:\bnot|n['’]t) (?:have |be )?(?:sufficient|enough)|\b(?:run|ran|running) (?:out|low|dry)"
    r"|\bused[ -]up|\btoo low|\blow\b|\bempty\b|\bzero\b|\bbelow\b|\bexpired?\b|\bno (?:more|remaining)\b"
    r"|(?:\bis|\bof|\bat|:|=)\s?[$€£¥]?-?0(?:\.0+)?(?![.\d])|\bnone (?:left|remaining)|\bconsumed\b|\bspent\b"
    r"|\black|不足|用尽|用完|耗尽|为零)"
)
_QUOTA = r"(?:\bquotas?\b|\ballowance\b|\bfree (?:tier|usage|requests|tokens)\b|额度|配额)"
_USED = (
    r"(?:\bdeplet|\bused[ -]up|\b(?:run|ran) out|\binsufficient"
    r"|(?:\bnot|n['’]t) (?:have |be )?(?:sufficient|enough)|\bno remaining\b|\bnone left"
    r"|\bconsumed\b|不足|用尽|用完|耗尽)"
)
_BUDGET = re.compile(
    r"\bbudget\b.{0,25}?\b(?:exceeded|exhausted|reached|spent|used up)|\bover (?:its |your |the )?budget\b",
    re.IGNORECASE,
)
_THOUGHTS = re.compile(r"think|thought|reason|token", re.IGNORECASE)  # their budget is no money
_ACCOUNT = (
    r"\baccount\b.{0,25}?\b(?:past due|delinquent|on hold|in debt|in arrears)\b"
    r"|\b(?:subscription|free trial|trial)\b.{0,15}?\b(?:expired|ended|lapsed|is over)\b"
    r"|\bno active subscription\b"
    r"|\b(?:add|no|valid|missing) (?:a |an )?(?:valid |active )?payment method\b"
    r"|\bpayment (?:was |has )?(?:failed|declined)\b"
    r"|\bcard (?:was |has been )?declined\b|\b(?:can only|cannot|can't|can not) afford\b"
    r"|\b(?:0|zero) (?:remaining )?credits\b"
)
_SAID = re.compile(
    f"{_MONEY}.{{0,40}}?{_GONE}|{_GONE}.{{0,40}}?{_MONEY}|{_QUOTA}.{{0,40}}?{_USED}|{_USED}.{{0,40}}?{_QUOTA}"
    f"|{_ACCOUNT}",
    re.IGNORECASE | re.DOTALL,
)
# What comes back within the hour is a rate, even where it is called a quota.
_RATE = re.compile(r"(?:\bper|/) ?(?:second|sec|minute|min|hour)\b|\brate limit|\b[rt]p[ms]\b", re.IGNORECASE)


def is_out_of_funds(kind: str | None, message: str, wait: float | None) -> bool:
    """Whether an error of this kind and message says so; `wait` is how long the server asks to wait."""
    if kind in NO_FUNDS:
        return True
    if (over := _OVER_RATE.search(message)) and int(over[2][:18]) > int(over[1][:18]):
        return True
    # A limit that comes back by itself is a rate, whatever it is called.
    if wait is not None:
        return False
    if _NO_FUNDS_TEXT.search(message):
        return True
    spent = _SAID.search(message) or (_BUDGET.search(message) and not _THOUGHTS.search(message))
    return bool(spent) and not _RATE.search(message)
