"""Mean square increments of paths over the layers, and the exponents by which they grow with the lag.

A weight theta_0 .. theta_{L-1}, one number to a layer, makes two paths, and X stands for either:

.. code-block:: text

    sums        S_k = theta_0 + .. + theta_{k-1}        k = 0 .. L
    weights     theta_k                                 k = 0 .. L - 1

    q(m) = mean over k of E (X_{k+m} - X_k)^2,          q(m) ~ m^(2 exponent)

.. code-block:: text

                                                  sums        weights
    independent                                   1/2         0
    fractional noise                              H           0, like (1 - r(2m))/(1 - r(m))
    a random walk over the layers                 near 1      1/2
    smooth, at lags below the correlation length  near 1      near 1

The first exponent tells noises apart, the second rough functions of k/L from smooth ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from ..models.processes import Covariance, Process
from .processes import covariance, covariance_by_lag

Floats = NDArray[np.float64]

PATHS = ("sums", "weights")


def increment_mean_squares(dependence: str | Process, depth: int, lags: ArrayLike, path: str = "sums") -> Floats:
    """Return the exact q(m) of weights of variance 1 (or of the process's own) in a network of ``depth``.

    For fractional noise q(m) of sums is m^(2H) at every lag; a smooth process's falls behind m^2 as m comes near its
    correlation length.

    Parameters
    ----------
    dependence : "iid", "tied", or a process
        As `resmc.ResidualNetwork.dependence` has it.
    depth : int
    lags : array of int, shape (K,)
        From 1 to depth for sums, to depth - 1 for weights.
    path : {"sums", "weights"}

    Returns
    -------
    float64 array (K,)
    """
    chosen = np.asarray(lags).tolist()
    if isinstance(dependence, Covariance):
        return _of_matrix(covariance(dependence, depth), chosen, path)
    if isinstance(dependence, str):
        checks.choice("dependence", dependence, ("iid", "tied"))
        r = np.ones(depth) if dependence == "tied" else np.eye(1, depth)[0]
    else:
        r = covariance_by_lag(dependence, depth)
    if path == "weights":
        return np.array([2.0 * (r[0] - r[m]) for m in chosen])
    return np.array([m * r[0] + 2.0 * np.arange(m - 1, 0, -1) @ r[1:m] for m in chosen])


def _of_matrix(c: Floats, lags: list[int], path: str) -> Floats:
    """Return q(m) of weights with this covariance, (L, L), the mean over places."""
    if path == "sums":  # the covariance of S_0 .. S_L
        c = np.pad(c.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    squares = c.diagonal()
    return np.array([np.mean(squares[m:] + squares[: len(c) - m] - 2.0 * c.diagonal(m)) for m in lags])


def path_exponents(lags: ArrayLike, mean_squares: Floats) -> Floats:
    """Return the exponents of q (K, ..) at K increasing lags, (K + 1, ..): those from lag to lag, and the slope.

    .. code-block:: text

        from lag to lag     (1/2) ln(q(m')/q(m))/ln(m'/m),     m' after m, and NaN at the first lag
        slope               of (1/2) ln q against ln m, by least squares without weights

    All are NaN where a q is 0.
    """
    x = np.log(np.asarray(lags, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        y = 0.5 * np.log(np.where(mean_squares > 0.0, mean_squares, np.nan))
        centred = x - x.mean()
        local = np.diff(y, axis=0) / np.diff(x).reshape((-1,) + (1,) * (y.ndim - 1))
        slope = np.tensordot(centred, y, 1) / (centred @ centred)
    return np.concatenate([np.full((1, *y.shape[1:]), np.nan), local, slope[None]])
