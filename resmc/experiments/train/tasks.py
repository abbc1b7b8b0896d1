"""Regression tasks that are made: an ordinary equation's flow, and a random linear map."""

from __future__ import annotations

import numpy as np

from ..._system import checks
from ...results.estimates import Floats

MOST_EXAMPLES = 10**7
MOST_NEURONS = 1 << 17
MOST_NOISE = 1e30
PERIODS = 5.0  # the equation's coefficients are sin and cos of 5 pi t


def ode_task(
    examples: float = 1280, *, seed: int = 0, dimension: int = 10, steps: int = 100, noise: float = 0.0
) -> tuple[Floats, Floats]:
    """Return inputs of unit norm and where a non-autonomous equation takes them, of unit norm too: (X, y).

    .. code-block:: text

        z_0     = uniform on [-1, 1]^d
        z_{t+1} = z_t + n^{-1/2} tanh(sin(5 pi t/n) z_t + cos(5 pi t/n))        t = 0 .. n-1
        x = z_0/|z_0|,    y = (z_n + noise g)/|z_n + noise g|                   g normal, d = dimension, n = steps

    It is the task of Cohen, Cont, Rossier and Xu, who train on 1,024 of these examples and test on 256. A network of
    ``width=dimension`` learns it with ``ends="identity"``.

    Parameters
    ----------
    examples : int
        M, 10 to 10^7.
    seed : int
        0 to 2^64 - 1.
    dimension : int
        d, 1 to 2^17.
    steps : int
        n, 1 to 10^6.
    noise : float
        Standard deviation of what is added to the end, 0 to 1e30.

    Returns
    -------
    X, y : ndarray, shape (M, d)

    Raises
    ------
    ValueError
        For an argument out of range.

    Source: Cohen, Cont, Rossier, Xu (arXiv 2105.12245), the synthetic data of their experiments; what is scaled when is
    taken from the program that they published, generate_dataset.py.
    """
    count, d = _sizes(examples, dimension=dimension)
    steps = checks.integer("steps", steps, 1, 10**6, "10^6")
    rng, noise = _generator(seed), _deviation(noise)
    start = rng.uniform(-1.0, 1.0, (count, d))
    z = start.copy()
    for t in PERIODS * np.pi * np.arange(steps) / steps:
        z += np.tanh(np.sin(t) * z + np.cos(t)) / np.sqrt(steps)
    z += noise * rng.standard_normal(z.shape)
    return (
        start / np.linalg.norm(start, axis=1, keepdims=True),
        z / np.linalg.norm(z, axis=1, keepdims=True),
    )


def gaussian_regression(
    examples: float = 1280, *, seed: int = 0, features: int = 10, outputs: int = 1, noise: float = 0.0
) -> tuple[Floats, Floats]:
    """Return normal inputs and what a random linear map makes of them: (X, y) with y = B x/sqrt(F) + noise g.

    Entries of X, B and g are independent N(0, 1), so that an entry of y has variance 1 + noise^2, and noise^2 is
    the least mean square loss that anybody can expect.

    Parameters
    ----------
    examples : int
        M, 10 to 10^7.
    seed : int
        0 to 2^64 - 1.
    features, outputs : int
        F and K, 1 to 2^17.
    noise : float
        0 to 1e30.

    Returns
    -------
    X : ndarray, shape (M, F)
    y : ndarray, shape (M, K)

    Raises
    ------
    ValueError
        For an argument out of range.
    """
    count, f, k = _sizes(examples, features=features, outputs=outputs)
    rng, noise = _generator(seed), _deviation(noise)
    x, b = rng.standard_normal((count, f)), rng.standard_normal((k, f))
    return x, x @ b.T / np.sqrt(f) + noise * rng.standard_normal((count, k))


def _sizes(examples: float, **sizes: int) -> tuple[int, ...]:
    count = checks.integer("examples", examples, 10, MOST_EXAMPLES, "10^7")
    return count, *(checks.integer(name, size, 1, MOST_NEURONS, "2^17") for name, size in sizes.items())


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")))


def _deviation(noise: float) -> float:
    noise = checks.real("noise", noise)
    if not 0.0 <= noise <= MOST_NOISE:
        raise ValueError(f"noise={noise!r} is out of range: it is a standard deviation, from 0 to {MOST_NOISE:g}")
    return noise
