"""Checks of arguments, all in one place; every message names the argument, its value and what is allowed."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .words import brief


def integer(name: str, value: Any, low: int, high: int, why: str = "") -> int:
    """Return ``value`` as an int in ``low..high``; floats with an integral value (1e6) are accepted.

    ``why`` is the upper bound in other words, such as 2^24, which are said instead of a number of many digits.
    """
    allowed = f"an integer from {low} to {_last(high, why)}"
    if _is_bool(value):
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be {allowed}")
    try:
        result = operator.index(int(value) if isinstance(value, float) and value.is_integer() else value)
    except TypeError:
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be {allowed}") from None
    if not low <= result <= high:
        raise ValueError(f"{name}={brief(result)} is out of range: it must be {allowed}")
    return result


def _is_bool(value: Any) -> bool:
    """Return True for True and False, NumPy's and arrays of them too, which Python would take for 1 and 0."""
    return isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"


def _last(high: int, why: str) -> str:
    """Write an upper bound once: as a number, or as a power with what is said of it; other words stand beside it."""
    power = re.match(r"[0-9^]+( - 1)?", why)
    if power is None:
        return f"{high} ({why})" if why else str(high)
    return why if high >= 10**7 else f"{high}{why[power.end() :]}"


def real(name: str, value: Any, *, positive: bool = False) -> float:
    """Return ``value`` as a finite float, strictly positive if asked."""
    allowed = "a finite number" + (" above 0" if positive else "")
    if isinstance(value, str | bytes | complex | np.complexfloating) or _is_bool(value):
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be {allowed}")
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be {allowed}") from None
    if not math.isfinite(result) or (positive and result <= 0):
        raise ValueError(f"{name}={brief(result)} is not allowed: it must be {allowed}")
    return result


def numbers(name: str, given: Any, allowed: str = "it must be an array of real numbers") -> NDArray[np.float64]:
    """Return an array, a tensor or nested lists of real numbers as a float64 array of its own; gradients are not kept.

    Words are refused, and complex numbers, of which half would be lost; ``allowed`` says what would be right.
    """
    found, kind = None, ""
    try:
        array = np.asarray(detached(given))
        if array.dtype.kind == "O":
            array = np.array(array.tolist())
        kind = str(array.dtype.kind)
        found = array.astype(np.float64) if kind in "biufO" else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # Rows of different lengths are among these.
        pass
    if found is None:
        what = f"{name} of complex numbers" if kind == "c" else f"{name}={brief(given)}"
        raise ValueError(f"{what} is not allowed: {allowed}")
    return found


def detached(given: Any) -> Any:
    """Return a tensor, or lists of some, without what belongs to gradients, so that NumPy can read it."""
    if hasattr(given, "detach"):
        found = given.detach().cpu()
        short = found.is_floating_point() and found.element_size() < 4  # NumPy knows no bfloat16.
        return found.float() if short else found
    if isinstance(given, list | tuple) and any(hasattr(one, "detach") for one in given):
        return [np.asarray(detached(one)) for one in given]
    return given


def numbers_at(name: str, function: Callable[[float], Any], t: float) -> NDArray[np.float64]:
    """Return what a function has at t, as `numbers` does; ``name`` is that of the value in messages."""
    try:
        return numbers("its value", function(t))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be had as an array of numbers: {error}") from error


def increasing(name: str, given: Any, most: int) -> tuple[float, ...]:
    """Return the different numbers of a list in increasing order; ``most`` is how many there may be."""
    listed = isinstance(given, Sequence) or hasattr(given, "__array__")
    if not listed or isinstance(given, str | bytes) or getattr(given, "ndim", 1) != 1:
        raise ValueError(f"{name}={brief(given)} is not allowed: it must be a list of numbers")
    if not 1 <= len(given) <= most:
        raise ValueError(f"{name} has {len(given)} values: it must have 1 to {most}")
    values = sorted(real(name, value) for value in given)
    for a, b in pairwise(values):
        if a == b:
            raise ValueError(f"{name} holds {a!r} twice: its values must differ")
    return tuple(values)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be one of {listed}")
    return value


def choices(name: str, value: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return those of ``allowed`` that are asked for, one by its name or several, in the order of ``allowed``."""
    try:
        listed = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        listed = ()
    if not listed or not all(isinstance(one, str) and one in allowed for one in listed):
        *others, last = (repr(one) for one in allowed)
        several = "both" if len(allowed) == 2 else "several of them"
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be {', '.join([*others, last])} or {several}")
    return tuple(one for one in allowed if one in listed)


def path(name: str, value: Any) -> Path:
    """Return ``value`` as a path."""
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be the name of a file, a str or a Path")
    if "\0" in os.fspath(value):
        raise ValueError(f"{name}={brief(value)} is not allowed: no file can have a name with a zero byte")
    return Path(value)


def absolute(name: str, value: Any) -> Path:
    """Return ``value`` as the absolute path that it is now: the program may go to another folder later."""
    checked = path(name, value)
    try:
        return checked.absolute()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{name}={brief(str(value))} means a file in the current folder, which does not exist any more"
        ) from None


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be True or False")
    return value
