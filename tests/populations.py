"""Small populations and exact moments of the norm, for the tests of `resmc.moment_growth` and `resmc.rate_function`."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import binom


def log_chi_square_mixture(n: int, q: float) -> float:
    """Return log E (chi^2_K)^q, K ~ Binomial(n, 1/2), 0 counting as 0."""
    k = np.arange(1, n + 1)
    return float(logsumexp(binom.logpmf(k, n, 0.5) + q * np.log(2.0) + gammaln(k / 2.0 + q) - gammaln(k / 2.0)))


def fully_connected(n: int, q: float, lam: float = 1.0) -> float:
    """Return Lambda(q) = log E (2 lam^2 chi^2_K/n)^q of a ReLU network without skip: theory.md's section 9, exact."""
    return q * np.log(2.0 * lam**2 / n) + log_chi_square_mixture(n, q)


def v_phi_w(n: int, s: float, q: int) -> float:
    """Return log E (|h'|^2/|h|^2)^q, q = 1 or 2, of one layer h + s V relu(W h), weights of variance 1/n.

    |h'|^2/|h|^2 = 1 + 2 c g + c^2 chi^2_n, c^2 = s^2 T/n^2 with T = chi^2_K, K ~ Binomial(n, 1/2); g is one of the
    chi^2's normals.
    """
    one, two = n / 2.0, (n * (n - 1) / 4.0 + n / 2.0) + 2.0 * (n / 2.0)  # E T, E T^2
    c2, c4 = s**2 * one / n**2, s**4 * two / n**4
    mean = 1.0 + n * c2
    if q == 1:
        return float(np.log(mean))
    return float(np.log(1.0 + 2.0 * n * c2 + 4.0 * c2 + c4 * n * (n + 2.0)))
