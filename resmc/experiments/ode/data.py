"""Labelled data for training: a user's arrays, or scikit-learn's digits; a fifth of it is held out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
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
        If ``given`` is no pair of an array (M, F) of finite numbers, not all alike, and M labels of several classes,
        which are of one type and not NaN.
    """
    x, y = _arrays(_digits() if given is None else given)
    order = rng.permutation(len(x))
    labels, y = _classes(y[order])
    # Squares stay in the range of numbers, and every bit is that of the data as they are: 2^k is the largest |x|.
    x = np.ldexp(x[order], -int(np.frexp(np.abs(x).max())[1]))
    trained = len(x) - round(HELD_OUT * len(x))
    x = x - x[:trained].mean(axis=0)
    size = float(np.sqrt(np.mean(x[:trained] ** 2)))
    if labels < 2:
        raise ValueError(f"data of {labels} class is not allowed: there must be at least 2")
    if size == 0.0:
        raise ValueError("data of examples that are all the same is not allowed: nothing tells their classes apart")
    return Data(x / size, y, labels, trained)


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
        x, labels = given
        y = np.asarray(checks.detached(labels))
        if y.dtype.kind in "US" and not hasattr(labels, "dtype"):  # NumPy would make words of numbers beside words.
            y = np.array(labels, object)
    except (TypeError, ValueError):
        raise ValueError(f"data={brief(given)} is not allowed: {allowed}") from None
    x = checks.numbers("data: X", x, allowed)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < FEWEST or not x.shape[1] or not np.isfinite(x).all():
        raise ValueError(f"data of shapes {x.shape} and {y.shape} is not allowed: {allowed}")
    return x, y


def _classes(labels: NDArray[Any]) -> tuple[int, NDArray[np.int64]]:
    """Return how many classes there are, and those of the labels as numbers from 0 on."""
    try:
        missing = int(np.sum(labels != labels))  # NaN is not even itself.
        different, y = (labels, labels) if missing else np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"data: y of labels that cannot be sorted is not allowed ({error}): use one type") from None
    if missing:
        raise ValueError(
            f"data: y is not allowed to hold NaN, as {missing} of {len(labels)} labels are: leave these out"
        )
    return len(different), y.astype(np.int64)
