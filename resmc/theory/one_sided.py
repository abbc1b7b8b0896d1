"""Parts of laws with one singular point on whose left side densities go like powers, whose transforms fall slowly.

Products of shares (`resmc.theory.shares`) of ReLU are such: all are at most 1, and the logarithm of the product has the
atom 0 with few neurons, and near it densities like |x|^(m/2 - 1), as m neurons of all layers are not active. So

.. code-block:: text

    phi(t) ~ atom + sum_m c_m (1 + i r t)^(-m/2),      m = 1, 2, ..

each term of which belongs to -r times a variable of the gamma law with the shape m/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .kernels import Floats

TERMS = 20
REACH = 12.0  # r t at the last frequency
ROWS = 512  # frequencies that a fit sees


@dataclass(frozen=True, eq=False)
class OneSided:
    """An atom at 0 and gamma laws on the left of it: ``weights`` (M,) of the shapes 1/2, 1, 3/2, .. at the scale r."""

    atom: float
    r: float
    weights: Floats

    @classmethod
    def fit(cls, t: Floats, phi: NDArray[np.complex128], atom: float) -> OneSided:
        """Return the part that falls slowly, fitted to a characteristic function at the upper half of t."""
        upper = np.arange(len(t) // 2, len(t), max(1, len(t) // ROWS))
        r, values = REACH / float(t[-1]), phi[upper] - atom
        terms = _terms(r * t[upper])
        both = np.concatenate([terms.real, terms.imag])
        found = np.linalg.lstsq(both, np.concatenate([values.real, values.imag]), rcond=1e-14)[0]
        return cls(atom, r, np.asarray(found, np.float64))

    @property
    def mass(self) -> float:
        """The integral of all of it."""
        return self.atom + float(self.weights.sum())

    def phi(self, t: Floats) -> NDArray[np.complex128]:
        """Return the characteristic function."""
        return np.asarray(self.atom + _terms(self.r * t) @ self.weights)

    def misses(self, t: Floats, phi: NDArray[np.complex128]) -> float:
        """Return the largest difference from ``phi`` in the upper half of the frequencies t."""
        upper = slice(len(t) // 2, None, max(1, len(t) // ROWS))
        return float(np.abs(self.phi(t[upper]) - phi[upper]).max())

    def cdf(self, y: Floats) -> Floats:
        """Return the distribution function."""
        u = np.maximum(-y, 0.0) / self.r
        below = [special.gammaincc(0.5 * m, u) for m in range(1, len(self.weights) + 1)]
        return np.asarray(self.atom * (y >= 0.0) + np.tensordot(self.weights, below, 1))

    def pdf(self, y: Floats) -> Floats:
        """Return the density of all but the atom, infinite at 0."""
        u = np.maximum(-y, 0.0) / self.r
        with np.errstate(divide="ignore"):
            each = [
                np.exp(special.xlogy(0.5 * m - 1.0, u) - u - special.gammaln(0.5 * m))
                for m in range(1, len(self.weights) + 1)
            ]
        return np.where(y > 0.0, 0.0, np.tensordot(self.weights, each, 1) / self.r)


def _terms(rt: Floats) -> NDArray[np.complex128]:
    return np.asarray((1.0 + 1j * rt[:, None]) ** (-0.5 * np.arange(1, TERMS + 1)))
