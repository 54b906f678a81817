"""How many of what, in words."""

from __future__ import annotations

_IRREGULAR = {"were": "was", "have": "has", "are": "is"}


def counted(number: float, nouns: str, verb: str = "") -> str:
    """A count, its noun and its verb, such as `1 pair has` or `1,319 inputs have`, of the plurals given."""
    rounded = f"{number:,.0f}"
    if rounded != "1":
        return " ".join(filter(None, [rounded, nouns, verb]))
    singular = _IRREGULAR.get(verb, f"{verb}s") if verb else ""
    return " ".join(filter(None, [rounded, _singular(nouns), singular]))


def _singular(nouns: str) -> str:
    if nouns.endswith("people"):
        return f"{nouns.removesuffix('people')}person"
    if nouns.endswith("ies"):
        return f"{nouns.removesuffix('ies')}y"
    return nouns.removesuffix("es") if nouns.endswith(("ches", "shes", "xes")) else nouns.removesuffix("s")
