"""What is wrong with a settings file, said so that it can be mended, and never saying a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

Path = tuple[str | int, ...]

MAX_SHOWN = 60
MAX_NAMES = 12

# A vendor's prefix or a JSON web token; then any long run, of which keys are told from names below.
# Hiding a harmless name costs little; showing a key costs a key.
_SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|xai|hf|gh[pousr]|github_pat|xox[abprs])[-_][A-Za-z0-9_\-]{8,}"
    r"|(?<![A-Za-z0-9])(?:AKIA|AIza|eyJ)[A-Za-z0-9_\-.]{12,}"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9]{24,}")
_SECRET_KEY = re.compile(r"api[-_]?key|secret|passw|credential|authorization|bearer", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where it stands, and what to do. `line` overrides the path's own line."""

    path: Path
    message: str
    line: int | None = None


def dotted(path: Path) -> str:
    """`("models", "a", "bands", 0)` as `models.a.bands[0]`; keys that are no plain word are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        word = part if re.fullmatch(r"[\w:*/-]{1,80}", part) else quoted(part)
        text += f".{word}" if text else word
    return hide_secrets(text)


def quoted(text: str) -> str:
    """`text` in quotes on one line, cut to `MAX_SHOWN` characters, with secrets hidden."""
    # Hidden before it is cut, lest the cut leave too little of a key to recognise.
    shown = hide_secrets(text[:1000])
    return repr(shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…")


def hide_secrets(text: str) -> str:
    """`text` with everything that looks like a key replaced by `(hidden)`."""
    return _LONG_RUN.sub(_hide_if_random, _SECRET.sub("(hidden)", text))


def _hide_if_random(run: re.Match[str]) -> str:
    # Names carry a year or a version; keys are shot through with digits.
    return "(hidden)" if len(re.findall("[0-9]+", run[0])) >= 3 else run[0]


def describe(value: Any, path: Path) -> str:
    """A value in words, short; what stands under a key that names a secret is hidden."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if any(isinstance(part, str) and _SECRET_KEY.search(part) for part in path):
        return "a value (hidden)"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a huge number"
    if isinstance(value, int | float):
        return f"the number {value}"
    return f"the date {value}" if isinstance(value, date) else "binary data"


def did_you_mean(name: str, known: Iterable[str], *, what: str) -> str:
    """The nearest known name and the list of all, such as `did you mean 'local'? Models: cloud, local`."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:200], names, n=1)
    listing = ", ".join(quoted(each)[1:-1] for each in names[:MAX_NAMES])
    if len(names) > MAX_NAMES:
        listing += f" and {len(names) - MAX_NAMES} more"
    question = f"did you mean {quoted(near[0])}? " if near else ""
    return f"{question}{what}: {listing or 'none'}"
