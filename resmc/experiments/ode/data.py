"""Labelled data for training: a user's arrays, or scikit-learn's digits; a fifth of it is held out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.words import brief
from ...results.estimates import Floats
from ..examples import FEWEST, check_mask, classes_of, digits, labels_of, standardised

HELD_OUT = 0.2


class Data(NamedTuple):
    """Examples (M, F) and their classes 0 .. classes-1, in a random order; ``trained`` of them are for training."""

    x: Floats
    y: NDArray[np.int64]
    classes: int
    trained: int


def checked_data(given: Any, rng: np.random.Generator) -> Data:
    """Return examples in a random order, centred and so scaled that the mean of x^2 is 1 where they are for training.

    Raises
    ------
    ImportError
        If nothing is given and scikit-learn is not installed.
    ValueError
        If ``given`` is no pair of an array (M, F) of finite numbers, not all alike, and M labels of several classes,
        which are of one type and not NaN.
    """
    x, y = _arrays(_digits() if given is None else given)
    order = rng.permutation(len(x))
    labels, y = classes_of("data: y", y[order])
    trained = len(x) - round(HELD_OUT * len(x))
    x = standardised(x[order], trained)
    if len(labels) < 2:
        raise ValueError(f"data of {len(labels)} class is not allowed: there must be at least 2")
    if not x[:trained].any():
        raise ValueError("data of examples that are all the same is not allowed: nothing tells their classes apart")
    return Data(x, y, len(labels), trained)


def _digits() -> tuple[Any, Any]:
    try:
        return digits()
    except ImportError:
        raise ImportError(
            "data=None means the digits of scikit-learn, which is missing: install resmc[digits], or give data=(X, y)"
        ) from None


def _arrays(given: Any) -> tuple[Floats, NDArray[Any]]:
    allowed = f"it must be a pair (X, y) of finite numbers (M, F) and of M labels, M at least {FEWEST}"
    try:
        x, labels = given
        y = labels_of(labels)
    except (TypeError, ValueError):
        raise ValueError(f"data={brief(given)} is not allowed: {allowed}") from None
    check_mask("data: X", x)
    check_mask("data: y", labels)
    x = checks.numbers("data: X", x, allowed)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < FEWEST or not x.shape[1] or not np.isfinite(x).all():
        raise ValueError(f"data of shapes {x.shape} and {y.shape} is not allowed: {allowed}")
    return x, y
