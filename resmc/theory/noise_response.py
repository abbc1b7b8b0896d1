"""Small branches with fractional noise: how their sum over the layers grows with the depth, exactly where it is known.

With s so small that every layer sees h_0, h_L - h_0 is s times a sum of L terms whose covariance depends on the lag k
alone. rho_k is the noise's covariance, and r(rho) = E sigma(x) sigma(y) that of two activated neurons whose arguments
have the correlation rho, up to a factor; entries of V are independent of W's, so

.. code-block:: text

    E|h_L - h_0|^2 = s^2 constant S(L),     S(L) = L t_0 + 2 sum_{0 < k < L} (L - k) t_k

    t_k       phi-in, phi-out inside: rho_k          v-phi-w: rho_k r(rho_k)          phi-out: r(rho_k)

S(L) is L^{2H} with t = rho, and grows like L^{2 e}, e of `resmc.theory.depth_kinds.noise_exponent`, in the others. A
homogeneous sigma(x) = a x + b |x| has E sigma(x) sigma(y) = a^2 rho + b^2 (2/pi) (sqrt(1 - rho^2) + rho arcsin rho).

beta = e is the frontier between the identity and explosion (Marion, Fermanian, Biau, Vert, arXiv 2206.06929, section
4.2, see it in simulations): max(H, 1/2) for v-phi-w with a sigma of non-zero mean. The sums are ours.

The gradient of v-phi-w, p_0 - p_L = s sum W_k^T D_k V_k^T p_L, has the exponent of h_L - h_0 only in the direction of
h_0, which is one of n. Across it covariances of W_k, V_k and sigma' multiply, t_k = rho_k^2 E sigma'(x) sigma'(y), and
the exponent is max(2H - 1, 1/2). So for H > 1/2 gradients follow the frontier only once L^(2H - 1) is well above n.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..models.residual_network import ResidualNetwork
from .depth_kinds import linear_in_weights
from .kernels import Floats
from .processes import fractional_noise_covariance


def response_mean_square(model: ResidualNetwork, hurst: float, depths: ArrayLike) -> Floats:
    """Return S(L)/t_0 at ``depths``, of their shape: 1 at L = 1; NaN where it is not known.

    It is known for branches that are linear in their weights, and for homogeneous activations.

    Parameters
    ----------
    model : ResidualNetwork
        Its weights and its scaling's exponent have no meaning here.
    hurst : float
        H of fractional noise, above 0 and below 1.
    depths : array of int

    Raises
    ------
    ValueError
        For another H.
    """
    chosen = np.asarray(depths, np.int64)
    if linear_in_weights(model):
        return np.asarray(chosen.astype(np.float64) ** (2.0 * hurst))
    if not model.sigma.homogeneous or model.sigma.signed:
        return np.full(chosen.shape, math.nan)
    lags = np.arange(int(chosen.max(initial=1)))
    rho = fractional_noise_covariance(hurst, lags)
    terms = _activated(model, rho)
    if model.block == "v-phi-w":
        terms *= rho
    terms[1:] *= 2.0
    plain, weighted = np.cumsum(terms), np.cumsum(lags * terms)
    return np.asarray((chosen * plain[chosen - 1] - weighted[chosen - 1]) / terms[0])


def _activated(model: ResidualNetwork, rho: Floats) -> Floats:
    """Return E sigma(x) sigma(y) of a homogeneous activation of normals with the correlation rho."""
    up, down = (float(x) for x in model.sigma.value(np.array([1.0, -1.0])))
    even, odd = 0.5 * (up + down), 0.5 * (up - down)
    rho = np.clip(rho, -1.0, 1.0)
    return np.asarray(odd**2 * rho + even**2 * 2.0 / math.pi * (np.sqrt(1.0 - rho**2) + rho * np.arcsin(rho)))
