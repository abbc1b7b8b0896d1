"""Labelled data for training: a user's arrays, or scikit-learn's digits; a fifth of it is held out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._system.words import brief
from ...results.estimates import Floats

HELD_OUT = 0.2
FEWEST = 10  # examples, of which two are held out


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
        If ``given`` is no pair of an array (M, F) of finite numbers, not all alike, and M labels of several classes.
    """
    x, y = _arrays(_digits() if given is None else given)
    order = rng.permutation(len(x))
    labels, y = np.unique(y[order], return_inverse=True)
    x, trained = x[order], len(x) - round(HELD_OUT * len(x))
    x = x - x[:trained].mean(axis=0)
    size = float(np.sqrt(np.mean(x[:trained] ** 2)))
    if len(labels) < 2 or not 0.0 < size < np.inf:
        raise ValueError(f"data of {len(labels)} classes is not allowed, or of examples that are all the same")
    return Data(x / size, y.astype(np.int64), len(labels), trained)


def _digits() -> tuple[Any, Any]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "data=None means the digits of scikit-learn, which is missing: install resmc[digits], or give data=(X, y)"
        ) from None
    x, y = load_digits(return_X_y=True)
    return x, y


def _arrays(given: Any) -> tuple[Floats, NDArray[Any]]:
    allowed = "it must be a pair (X, y) of finite numbers (M, F) and of M labels, M at least 10"
    try:
        x, y = given
        x, y = np.array(x, np.float64), np.array(y)
    except (TypeError, ValueError):
        raise ValueError(f"data={brief(given)} is not allowed: {allowed}") from None
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < FEWEST or not x.shape[1] or not np.isfinite(x).all():
        raise ValueError(f"data of shapes {x.shape} and {y.shape} is not allowed: {allowed}")
    return x, y
