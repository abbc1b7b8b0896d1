"""Inputs that share a network; today there is one (m = 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._system.words import brief, brief_repr
from .weight_law import WeightLaw

MAX_INPUTS = 1 << 17


@dataclass(frozen=True)
class Inputs:
    """The input of a network, as the first layer h_0 = A x needs it; entries of A have variance 1/len(x).

    Attributes
    ----------
    x : tuple of float
        The input's entries where A is drawn entry by entry; otherwise one number, the input's size, because A x then
        has the law size N(0, I) and one column of normals is enough.
    explicit : bool
        True if A is drawn entry by entry: where the input's entries are given and the weights are not Gaussian.
    """

    __repr__ = brief_repr

    x: tuple[float, ...]
    explicit: bool

    @cached_property
    def size(self) -> float:
        """|x|/sqrt(n_in), the standard deviation of an entry of h_0."""
        return _size(self.x)


def meeting(entries: Sequence[float] | None, norm: float, law: WeightLaw) -> Inputs:
    """Return the input of these ``entries``, or of size ``norm`` without them, as weights of ``law`` need it."""
    if entries is None:
        return Inputs((norm,), explicit=False)
    if law.projected:
        return Inputs((_size(entries),), explicit=False)
    return Inputs(tuple(entries), explicit=True)


def checked_input(given: Any) -> tuple[float, ...]:
    """Return the entries of an input as floats, finite and not all 0."""
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"input={brief(given)} is not allowed: it must be an array of numbers") from None
    if array.ndim != 1 or not 1 <= array.size <= MAX_INPUTS:
        raise ValueError(f"input of shape {array.shape} is not allowed: it must be a vector of 1 to 2^17 numbers")
    if not np.isfinite(array).all() or not array.any():
        raise ValueError("input is not allowed to hold infinite numbers or NaN, or nothing but 0")
    return tuple(array.tolist())


def _size(x: Sequence[float]) -> float:
    return math.hypot(*x) / math.sqrt(len(x))
