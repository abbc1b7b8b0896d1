"""Two inputs of fully connected networks with shaped activations: how their correlation moves, layer by layer.

With slopes 1 + c_plus/sqrt(n) and 1 + c_minus/sqrt(n) on the two sides of 0, and weights whose variance keeps the mean
square, the correlation rho of the states of two inputs tends to the neural covariance equation, in the time t = l/n,

.. code-block:: text

    d rho = (nu(rho) + mu(rho)) dt + (1 - rho^2) dB
    nu(rho) = (c_plus - c_minus)^2/(2 pi) (sqrt(1 - rho^2) - rho arccos rho)    mu(rho) = -rho (1 - rho^2)/2

as width and depth grow with d/n fixed. nu is what the activation does at infinite width, mu and the variance are what a
finite width does to any angle: with c_plus = c_minus, a linear network, they are all there is.

Source: Li, Nica, Roy (2022, arXiv 2206.02768); nu is (c_plus - c_minus)^2/4 times `resmc.theory.kernels.kink`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .kernels import Floats, kink


def correlation_drift(rho: ArrayLike, c_plus: float = 0.0, c_minus: float = 0.0) -> Floats:
    """Return nu(rho) + mu(rho), the drift of the correlation of two inputs per unit of l/n, of the shape of ``rho``.

    Parameters
    ----------
    rho : array of float
        Correlations, -1 to 1.
    c_plus, c_minus : float
        The activation's slopes are 1 + c_plus/sqrt(n) above 0 and 1 + c_minus/sqrt(n) below; 0 and 0 are linear.

    Raises
    ------
    ValueError
        For a correlation out of range, or a number that is not finite.
    """
    c_plus, c_minus, found = checks.real("c_plus", c_plus), checks.real("c_minus", c_minus), _correlations(rho)
    shaped = (c_plus - c_minus) ** 2 / 4.0 * kink(np.arccos(found))
    return np.asarray(shaped - 0.5 * found * (1.0 - found) * (1.0 + found))


def correlation_variance(rho: ArrayLike) -> Floats:
    """Return (1 - rho^2)^2, the variance of the correlation of two inputs per unit of l/n, of the shape of ``rho``.

    It does not depend on the activation's slopes.

    Raises
    ------
    ValueError
        For a correlation out of range.
    """
    found = _correlations(rho)
    return np.asarray(((1.0 - found) * (1.0 + found)) ** 2)


def _correlations(rho: ArrayLike) -> Floats:
    found = checks.numbers("rho", rho)
    if not (np.abs(found) <= 1.0).all():
        raise ValueError("rho is not allowed to be beyond -1 or 1: it is a correlation")
    return found
