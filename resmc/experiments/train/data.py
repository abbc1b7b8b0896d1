"""Data to train with: scikit-learn's digits, an ordinary equation's flow, and targets that a random map makes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


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
