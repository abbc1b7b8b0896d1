"""Examples that networks are trained with, checked and brought to one scale, whoever trains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from ..results.estimates import Floats

FEWEST = 10  # examples


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scikit-learn's 1,797 handwritten digits, X of shape (1797, 64) with entries 0 to 16, and their labels.

    Raises
    ------
    ImportError
        If scikit-learn is not installed (the extra ``resmc[digits]``).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("the digits are scikit-learn's, which is missing: install resmc[digits]") from None
    x, y = load_digits(return_X_y=True)
    return x, y


def check_mask(name: str, given: Any) -> None:
    """Refuse an array of NumPy's with masked entries, which are missing values; ValueError says how many."""
    masked = int(np.sum(np.ma.getmaskarray(given))) if isinstance(given, np.ma.MaskedArray) else 0
    if masked:
        raise ValueError(
            f"{name} is not allowed to have masked entries, as {masked} of {given.size} are: leave these examples out, "
            "or fill in what is missing"
        )


def labels_of(given: Any) -> NDArray[Any]:
    """Return labels as an array; TypeError or ValueError if they are none. Numbers beside words stay numbers."""
    found = np.asarray(checks.detached(given))
    if found.dtype.kind in "US" and not hasattr(given, "dtype"):  # NumPy would make words of numbers beside words.
        return np.array(given, object)
    return found


def classes_of(name: str, labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the different labels in order, and the place there of every label.

    Raises
    ------
    ValueError
        For labels of types that cannot be sorted, and for NaN.
    """
    try:
        missing = int(np.sum(labels != labels))  # NaN is not even itself.
        different, y = (labels, labels) if missing else np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"{name} of labels that cannot be sorted is not allowed ({error}): use one type") from None
    if missing:
        raise ValueError(
            f"{name} is not allowed to hold NaN, as {missing} of {len(labels)} labels are: leave these out"
        )
    return different, y.astype(np.int64)


def standardised(x: Floats, trained: int) -> Floats:
    """Return examples, (M, F), less the mean of the first ``trained`` and over one number, so that these have a mean
    of x^2 of 1; all of them 0 where these are all the same."""
    # Squares stay in the range of numbers, and every bit is that of the data as they are: 2^k is the largest |x|.
    x = np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))
    x = x - x[:trained].mean(axis=0)
    size = float(np.sqrt(np.mean(x[:trained] ** 2)))
    return x / size if size > 0.0 else np.zeros_like(x)
