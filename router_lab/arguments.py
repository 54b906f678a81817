"""What a caller passed, checked where it comes in: an error names argument and value, and what it may be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.private_files import make_folders

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

T = TypeVar("T")

_LONGEST = 120


def number(name: str, value: Any, what: str) -> float:
    """A finite number. `what` says in the error which numbers it may be."""
    if not isinstance(value, Real) or _is_flag(value) or not is_finite(value):
        raise wrong(name, value, what)
    return float(value)


def share(name: str, value: Any, *, from_zero: bool = False, to_one: bool = False) -> float:
    """A share between 0 and 1; the ends only where they are asked for."""
    left, right = "[" if from_zero else "(", "]" if to_one else ")"
    what = f"a share in {left}0, 1{right}{_as_share(value)}"
    found = number(name, value, what)
    if not (found > 0 or (from_zero and found == 0)) or not (found < 1 or (to_one and found == 1)):
        raise wrong(name, value, what)
    return found


def error_rate(name: str, value: Any) -> float:
    """The error rate of a test, strictly between 0 and 0.5."""
    what = "a number strictly between 0 and 0.5"
    found = number(name, value, what)
    if not 0 < found < 0.5:
        raise wrong(name, value, what)
    return found


def amount(name: str, value: Any) -> float:
    """A number above 0."""
    what = "a number above 0"
    found = number(name, value, what)
    if not found > 0:
        raise wrong(name, value, what)
    return found


def days(name: str, value: Any) -> float:
    """A number of days, 0 or more."""
    what = "a number of days, 0 or more"
    found = number(name, value, what)
    if found < 0:
        raise wrong(name, value, what)
    return found


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if not isinstance(value, Integral) or _is_flag(value) or value < least:
        raise wrong(name, value, f"a whole number of at least {least}")
    return int(value)


def text(name: str, value: Any, what: str = "a text that is not empty") -> str:
    """A text that says something."""
    if not isinstance(value, str) or not value.strip():
        raise wrong(name, value, what)
    return value


def texts(name: str, value: Any, what: str) -> list[str]:
    """Several texts, in order; a text by itself is a mistake for a list of one."""
    if isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; pass them as a list, [{shown(value)}]")
    try:
        found = list(value)
    except TypeError:
        raise wrong(name, value, what) from None
    if not all(isinstance(one, str) for one in found):
        raise wrong(name, value, what)
    return found


def instance(name: str, value: Any, kind: type[T], how: str) -> T:
    """A `kind`; `how` says in the error how to make one."""
    if not isinstance(value, kind):
        raise wrong(name, value, how)
    return value


def moment(name: str, value: Any) -> datetime:
    """A time with its zone."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise wrong(name, value, "a datetime with a time zone, such as datetime.now(UTC)")
    return value


def path(name: str, value: Any) -> Path:
    """The path of a file or folder that a file system can have."""
    try:
        os.fsencode(value)
        if "\0" not in os.fspath(value):
            return Path(value)
    except (TypeError, ValueError):
        pass
    raise wrong(name, value, "the path of a file or folder, as a text or a Path")


def file_to_write(name: str, value: Any) -> Path:
    """The path of a file whose folder is there, or is made now: before anything is paid for it."""
    wanted = path(name, value)
    try:
        make_folders(wanted.parent)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"{name}={shown(str(wanted))}: its folder cannot be made ({why})") from error
    return wanted


def there_are(value: Any, known: Iterable[Any]) -> str:
    """The end of an error about a value that nothing has: those there are, and the nearest of them."""
    values = list(known)
    return f"; there are {', '.join(map(shown, values[:20]))}{nearest_hint(value, map(str, values))}"


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """One of several words."""
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        hint = nearest_hint(value, known) if isinstance(value, str) else ""
        raise ConfigError(f"{name}={shown(value)}: choose one of {', '.join(known)}{hint}")
    return value


def optional(check: Callable[..., T], name: str, value: Any, *more: Any, **options: Any) -> T | None:
    """None, or what `check` lets pass."""
    return None if value is None else check(name, value, *more, **options)


def shares(name: str, values: Any) -> NDArray[float64]:
    """A sequence of numbers in [0, 1], none missing, as an array of one dimension."""
    found = numbers(name, values)
    if not bool(((found >= 0) & (found <= 1)).all()):
        raise wrong(name, values, "a sequence of numbers in [0, 1], none of them missing")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that only counts as one of them."""
    if not _is_flag(value):
        raise wrong(name, value, "True or False")
    return bool(value)


def names(name: str, value: Any) -> Mapping[str, str]:
    """Names by ours, none for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in (*value, *value.values())):
        raise wrong(name, value, "a mapping of our names to those of the file")
    return value


def numbers(name: str, values: Any) -> NDArray[float64]:
    """A sequence of numbers as an array of one dimension; NaN may be among them."""
    import numpy as np

    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise wrong(name, values, "a sequence of numbers") from None
    if found.ndim != 1:
        raise wrong(name, values, "a sequence of numbers")
    return found


def wrong(name: str, value: Any, what: str) -> ConfigError:
    """The error: what the argument is, and what it may be."""
    return ConfigError(f"{name} is {shown(value)}; it is {what}")


def _as_share(value: Any) -> str:
    """What a percentage such as "5%" or 5 would be."""
    try:
        percentage = float(value.strip().removesuffix("%") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return ""
    is_meant = percentage > 1 or (isinstance(value, str) and value.strip().endswith("%"))
    return f" ({percentage:g}% is {percentage / 100:g})" if is_meant and 0 < percentage < 100 else ""


def is_finite(number: Any) -> bool:
    """Whether a number is one that a float can hold."""
    try:
        return isfinite(number)
    except OverflowError:  # a whole one with hundreds of digits
        return False


def _is_flag(value: Any) -> bool:
    # NumPy's flags are no numbers either, but it does not say so of their type.
    return isinstance(value, bool)


def shown(value: Any) -> str:
    """A short `repr` that never fails."""
    try:
        said = repr(value).replace("\n", " ")
    except Exception:  # it may be anything at all
        said = f"<{type(value).__name__}>"
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
