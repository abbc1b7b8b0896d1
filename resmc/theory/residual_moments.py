"""Second moment of the tangent kernel of networks with two matrices in a branch, exact at every width and depth.

h' = a h + s V D W h, D the slopes: as in `resmc.theory.tangent_moments`, turning the signs of neurons by fair coins
makes D independent of the Gaussian V and W, of variance 1/n, and layers independent of each other. The tangent kernel
of one input is

.. code-block:: text

    K = sum_l (s_l^2/n) (|p_{l+1}|^2 |D W h_l|^2 + |D V^T p_{l+1}|^2 |h_l|^2) + |h_L|^2/n + |p_0|^2 |x|^2/n_in

For two layers l < m let Y be the product of the Jacobians between them and Q = Y Y^T. As h_l and p_{m+1} have uniform
directions, and the law of a layer does not change when V, W become O V, W O^T, averages over the two layers are
isotropic: with h' = J h for a unit vector h, kappa = E d^2 and eta = E d^4/kappa^2,

.. code-block:: text

    E |D W h|^2 h' h'^T              = v I                                               and mirrored for p' = J^T p
    E (V D^2 V^T)_ij h'_k h'_l       = u I_ij I_kl + w (I_ik I_jl + I_il I_jk)/2

with u = kappa (a^2 + s^2 kappa (1 + (eta - 1)/n))/n, w = 2 s^2 kappa^2 eta/n^2 and v = u + w, so that every product of
terms is linear in A = E (tr Q)^2 and B = E tr Q^2. These obey a linear recursion

.. code-block:: text

    A' = a^4 A + 2 a^2 s^2 kappa (A + 2B/n) + s^4 kappa^2 (X + 2Y/n)            X = (1 + (eta - 1)/n) A + (2 eta/n) B
    B' = a^4 B + 2 a^2 s^2 kappa ((1 + 1/n) B + A/n) + s^4 kappa^2 ((1 + 1/n) Y + X/n)
                                                                                Y = (eta/n) A + (1 + (2 eta - 1)/n) B

from A = n^2, B = n for Y = I; sums over l are carried along from layer to layer. |h_l|^4 and |p_l|^4 grow by the fourth
moment of `resmc.theory.chains`' factor. The derivation is ours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .kernels import Floats


class Averages(NamedTuple):
    """v, u and w of one layer, the growth of a fourth power of a norm, and the matrix of (A, B) -> (A', B')."""

    v: float
    u: float
    w: float
    growth: float
    step: Floats


def layer_averages(n: float, carry2: float, branch: float, eta: float) -> Averages:
    """Return the averages of a layer of width n with a^2 = ``carry2`` and s^2 kappa = ``branch``, in units of kappa."""
    mask, fourth = _masks(n, eta)
    u, w = (carry2 + branch * mask) / n, 2.0 * branch * eta / n**2
    growth = carry2**2 + (2.0 + 4.0 / n) * carry2 * branch + branch**2 * fourth * (1.0 + 2.0 / n)
    x, y = np.array([mask, 2.0 * eta / n]), np.array([eta / n, 1.0 + (2.0 * eta - 1.0) / n])
    crossed = 2.0 * carry2 * branch * np.array([[1.0, 2.0 / n], [1.0 / n, 1.0 + 1.0 / n]])
    step = carry2**2 * np.eye(2) + crossed + branch**2 * np.array([x + 2.0 * y / n, (1.0 + 1.0 / n) * y + x / n])
    return Averages(u + w, u, w, growth, step)


def _masks(n: float, eta: float) -> tuple[float, float]:
    """Return E (sum d^2)^2 and E |D g|^4, g of n standard normals, over the squared means."""
    return 1.0 + (eta - 1.0) / n, 1.0 + (3.0 * eta - 1.0) / n


def second_moment(n: float, carry2: Floats, branch: Floats, eta: float) -> tuple[float, float]:
    """Return E K and log E K^2 for |x|^2 = n_in, where carry^2 + s^2 kappa = 1 in every layer; arrays (depth,)."""
    distinct, which = np.unique(np.stack([carry2, branch]), axis=1, return_inverse=True)
    layers = [layer_averages(n, carried, added, eta) for carried, added in distinct.T.tolist()]
    order = [layers[i] for i in np.ravel(which).tolist()]
    first, last, start = n * n + 2.0 * n, 1.0 + 2.0 / n, np.array([n * n, n])  # E|h_0|^4, E|p_L|^4, (A, B) of Y = I
    mask, fourth = _masks(n, eta)
    # Sums over the layers before of their v, u and w times (A, B), over the growth of |h|^4: the first layer has v = 1.
    by_v, by_u, by_w = start, np.zeros(2), np.zeros(2)
    cross, own, log_growth = 0.0, first / n**2 + last, 0.0
    for one, size in zip(order, (branch / n).tolist(), strict=True):
        met = (one.v + one.u) * by_v[0] + one.w * by_v[1] + (one.v + one.u) * (by_u[0] + by_w[1])
        met += one.w * (by_u[1] + 0.5 * (by_w[0] + by_w[1]))
        cross += size * last * float(met) / one.growth
        own += size**2 * first * last * 2.0 * (fourth + mask) / one.growth
        source = size * first * start
        by_v, by_u, by_w = (
            (one.step @ found + weight * source) / one.growth
            for found, weight in ((by_v, one.v), (by_u, one.u), (by_w, one.w))
        )
        log_growth += math.log(one.growth)
    cross += float(by_v[0] + by_u[0] + by_w[1]) / n**2
    mean = 2.0 + 2.0 * float(np.sum(branch))
    return mean, math.log(2.0 * cross + own) + log_growth
