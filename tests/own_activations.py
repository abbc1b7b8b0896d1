"""Activations of a user's own, smooth and kinked, as tests need them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from resmc import Activation

Array = NDArray[np.float64]


def shifted(x: Array) -> Array:
    """Three kinks, none of them at a node; 0 on an interval about 0."""
    return np.maximum(x - 0.3, 0.0) - 0.5 * np.maximum(-x - 1.7, 0.0) + 0.25 * np.maximum(x - 5.1, 0.0)


OWN: dict[str, Callable[[], Activation]] = {
    "arctan": lambda: Activation(lambda x: np.arctan(x) + 0.1 * x, name="bent"),
    "softsign": lambda: Activation(lambda x: x / (1.0 + np.abs(x)), name="softsign"),
    "steep": lambda: Activation(lambda x: np.tanh(10.0 * x), name="steep"),
    "kinked": lambda: Activation(shifted, kinks=[0.3, -1.7, 5.1]),
    "at a node": lambda: Activation(lambda x: np.minimum(np.maximum(x, -1.0), 1.0) + 0.1 * x, kinks=[-1.0, 1.0]),
    "grounded": lambda: Activation(lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0), name="mine"),
}
