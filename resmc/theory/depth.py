"""Residual networks of fixed width n as their depth L grows, with branches of size c L^(-1/2) and independent weights.

For carry 1, beta = 1/2 and q = |H|^2/n + bias^2 the network tends to an Ito equation on [0, 1], B an n-dimensional
Brownian motion:

.. code-block:: text

    phi-in                      dH = c sqrt(|sigma(H)|^2/n + bias^2) dB
    v-phi-w                     dH = c sqrt(m(q)) dB,                         m(q) = E sigma(sqrt(q) g)^2
    phi-out, scaling outside    dH = c sqrt(m(q)) dB,                         sigma odd
    phi-out, scaling inside     dH = c sigma'(0) sqrt(q) dB + (c^2/2) sigma''(0) q 1 dt,    sigma in C^2, sigma(0) = 0

and the gradient, backwards in time and jointly, to P(r) = P(r + dr) + G^T P(r + dr), where G is Gaussian given H(r)
and dM = dH - drift, the increment of H in the same dr. Per dr and c^2,

.. code-block:: text

    Cov(dM) = v I,    Cov(dM_i, (G^T p)_j) = p_i D_j a_j x,    Cov(G^T p) = |p|^2/n D (e1 I + (e2 - e1) a a^T/(n q)) D

              v                     a         D                    x                        e1, e2
    phi-in    |a|^2/n + bias^2      sigma(H)  diag(sigma'(H))      1/n                      1, 1
    others    m(q)                  H         I                    m'(q)/n                  averages over sigma'

with e1 = E sigma'(sqrt(q) g)^2, e2 = E sigma'(sqrt(q) g)^2 g^2, m'(q) = E[sigma sigma'(sqrt(q) g) g]/sqrt(q); scaling
inside has sigma'(0)^2 for m(q)/q, m', e1 and e2, and G the drift c^2 sigma''(0) H 1^T/n dt. phi-in with a balanced
activation (averaged over signs) or a linear one is among the others. So, with g' fresh,

.. code-block:: text

    G^T p = D [a (p.dM) x/v + c sqrt(dr/n) |p| (sqrt(e1) (I - u u^T) + sqrt(e) u u^T) g'],    u = a/|a|,
    e = e1 + (|a|^2/(n q)) (e2 - e1) - |a|^2 n x^2/v

v-phi-w and phi-out with an odd sigma have one limit. Weights enter a limit through second moments of a layer alone: a
weight law that is not Gaussian changes the limit only where E sigma(W h + b)^2 and the like depend on it (`law_free`).

Sources: Marion, Fermanian, Biau, Vert (arXiv 2206.06929) for v-phi-w with ReLU; Cont, Rossier, Xu (arXiv 2212.08199)
for phi-out; the backward and joint limits are derived from the conditional law of W^T p given W h, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._system.words import brief
from ..models.normalisation import no_norm
from ..models.residual_network import ResidualNetwork
from ..models.scaling import SCALE_RANGE, DepthScaling
from .averages import Averages, homogeneous_averages, tabulated_averages
from .kernels import Floats
from .limits import Integers, layer_indices
from .mean_squares import jacobian_gain, log_gradient, log_growth, may_start_at_0


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian law."""

    mean: float
    variance: float


class Response(NamedTuple):
    """The terms of G^T p at H: direction a (n, N), slope D's diagonal (n, N) or None for I, and for each network (N,)
    pull x/v, across sqrt(e1) and along sqrt(e).
    """

    direction: Floats
    slope: Floats | None
    pull: Floats
    across: Floats
    along: Floats


@dataclass(frozen=True, eq=False)
class DepthSDE:
    """The equation that a network tends to as its depth grows, one of those in `resmc.theory.depth`, with known laws.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    c : float
        The factor c of the network's scaling.
    forward, backward : str
        The equation as text; q = |H|^2/n + bias^2.
    averages : callable or None
        m, e1, e2 and the elasticity of m as functions of q; None for phi-in, where H itself is activated.
    curvature : float
        sigma''(0) of an activation with scaling inside, from which the drift comes; otherwise 0.
    growth, gradient : Gaussian or None
        The laws of log(|H_1|^2/|H_0|^2) and log(|P_0|^2/|P_1|^2) where they are known: see `depth_limit`.
    """

    model: ResidualNetwork
    c: float
    forward: str
    backward: str
    averages: Callable[[Floats], Averages] | None
    curvature: float
    growth: Gaussian | None
    gradient: Gaussian | None

    def variance(self, h: Floats) -> Floats:
        """Return v of every network, (N,), at h (n, N): the variance of a coordinate of H per time and c^2."""
        if self.averages is None:
            return self._mean_square(self.model.sigma.value(h))
        return self.averages(self._mean_square(h)).m

    def drift(self, h: Floats) -> Floats | float:
        """Return the drift of every coordinate of H, (N,), per time and c^2."""
        return 0.5 * self.curvature * self._mean_square(h) if self.curvature else 0.0

    def response(self, h: Floats) -> Response:
        """Return the terms of the gradient's increment at h (n, N)."""
        n, bias = self.model.width, self.model.bias
        a, slope = h, None
        if self.averages is None:
            a, slope = self.model.sigma.value(h), self.model.sigma.slope(h)
        q = self._mean_square(a)
        known = bias**2 / np.where(q > 0.0, q, 1.0)  # 1 - |a|^2/(n q), without cancellation
        m, e1, e2, elasticity = homogeneous_averages(1.0)(q) if self.averages is None else self.averages(q)
        pull = elasticity / (n * np.where(q > 0.0, q, np.inf))
        # Given dM, with x = elasticity m/(n q), the part along a keeps less than its variance e2.
        left = e2 - elasticity**2 * m / np.where(q > 0.0, q, 1.0)
        along = np.sqrt(np.maximum(e1 * known + left * (1.0 - known), 0.0))
        return Response(a, slope, pull, np.sqrt(e1), along)

    def _mean_square(self, a: Floats) -> Floats:
        return np.asarray(np.einsum("ij,ij->j", a, a) / self.model.width + self.model.bias**2)

    def __str__(self) -> str:
        return f"{self.forward}\n{self.backward}"


def depth_limit(model: ResidualNetwork) -> DepthSDE:
    """Return the limit of ``model`` as its depth grows at fixed width, scaling = DepthScaling(0.5, c).

    Where the Jacobian of a layer tends to a matrix of independent Brownian motions of variance kappa c^2/n, whatever
    the state, |P_0|^2/|P_1|^2 is log-Gaussian with

        mean kappa c^2 (1 - 2/n)    and    variance 4 kappa c^2/n,

    and without bias so is |H_1|^2/|H_0|^2: v-phi-w with a homogeneous activation, kappa = E sigma(g)^2 (ReLU: 1/2);
    phi-in with a balanced activation, 1/2; linear ones anywhere, 1; scaling inside with sigma''(0) = 0, sigma'(0)^2.

    Raises
    ------
    ValueError
        If there is no such limit, or it depends on the weight law and that is not Gaussian, or c is out of range.
    """
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    if refusal := no_depth_limit(model):
        raise ValueError(refusal)
    assert isinstance(model.scaling, DepthScaling)
    c = model.scaling.c
    if not 1.0 / SCALE_RANGE <= abs(c) <= SCALE_RANGE:
        raise ValueError(f"c={c!r} is out of range: its size must be from 2^-40 to 2^40")
    kappa, curvature = jacobian_gain(model), 0.0
    if model.inside:
        kappa, curvature = model.sigma.slope_at_zero**2, model.sigma.curvature_at_zero
    averages = None
    if kappa is not None:
        averages = homogeneous_averages(kappa)
    elif model.block != "phi-in":
        averages = tabulated_averages(model.sigma)
    n, law = model.width, None
    if kappa is not None and curvature == 0.0:
        law = Gaussian(kappa * c**2 * (1.0 - 2.0 / n), 4.0 * kappa * c**2 / n)
    forward, backward = _formulas(averages is None, kappa, curvature)
    return DepthSDE(model, c, forward, backward, averages, curvature, law if model.bias == 0.0 else None, law)


def law_free(model: ResidualNetwork) -> bool:
    """Return True if the limit is the same for all symmetric weight laws of variance 1/width.

    With phi-in, with scaling inside and in linear networks, only second moments of the weights enter. With v-phi-w and
    a homogeneous activation, by the symmetry of W the slope of a neuron is independent of the sign of w.h, and sigma^2
    counts as kappa (w.h)^2. All other networks see more of the law of w.h than its variance: E sigma(w.h)^2.
    """
    return model.gaussian or model.block == "phi-in" or model.inside or jacobian_gain(model) is not None


@dataclass(frozen=True, eq=False)
class SecondMoments:
    """log(E|h_k|^2/|h_0|^2) and log(E|p_k|^2/|p_L|^2) at ``layers``; arrays of one shape.

    Values that are not known are NaN: the first with a bias, the second where a neuron that is exactly 0 has the slope
    of one side (with weights of +-1, and in a dead network with leaky_relu).
    """

    layers: Integers
    forward: Floats
    backward: Floats


def second_moments(model: ResidualNetwork, layers: ArrayLike | None = None) -> SecondMoments:
    """Return exact mean squares at finite width and depth, where a layer multiplies them by a number.

    .. code-block:: text

        E|h_k|^2/|h_0|^2 = prod_{j < k} (carry^2 + kappa s_j^2)        without bias
        E|p_k|^2/|p_L|^2 = prod_{j >= k} (carry^2 + kappa s_j^2)      times P(h_k is not 0) where rectifiers may die

    for v-phi-w with a homogeneous activation (kappa = E sigma(g)^2, ReLU: (1 + s^2/2)^L), phi-in with a balanced one
    (1/2), and linear networks (1), with any symmetric weight law of variance 1/width: `resmc.theory.mean_squares`
    derives them. A mean over few networks is far below the exact one where the log-norm varies much.

    Parameters
    ----------
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default.

    Raises
    ------
    ValueError
        For other models, or other ``layers``.
    """
    if refusal := no_second_moments(model):
        raise ValueError(refusal)
    index = layer_indices(model, layers)
    forward = log_growth(model)[index] if model.bias == 0.0 else np.full(index.shape, math.nan)
    return SecondMoments(index, forward, log_gradient(model)[index])


def no_second_moments(model: ResidualNetwork) -> str | None:
    """Return why exact mean squares are not known, in a sentence; None if they are."""
    if may_start_at_0(model):
        return (
            "weights='rademacher' with an input are not allowed in second_moments: W h is exactly 0 with positive "
            "probability, where the slope is that of one side"
        )
    if not model.independent:
        return f"weights={brief(model.weights)} are not allowed in second_moments: layers must be independent"
    if jacobian_gain(model) is None:
        return (
            f"block={model.block!r} with activation={model.activation!r} is not allowed in second_moments: only "
            "v-phi-w with a homogeneous activation and a symmetric weight law, phi-in with a balanced one, or any "
            "block with 'linear'"
        )
    return None


def no_depth_limit(model: ResidualNetwork) -> str | None:
    """Return why no limit in depth is known, in a sentence; None if one is."""
    if not model.independent:
        return f"weights={brief(model.weights)} have no stochastic limit in depth: layers must be independent"
    if model.carry != 1.0:
        return f"carry={model.carry!r} has no limit in depth: it must be 1, or the input grows or dies with carry^L"
    if model.norm is not None:
        return no_norm(model, "limit in depth that is derived")
    if model.keep != 1.0:
        return f"keep={model.keep!r} has no limit in depth that is derived here: it must be 1"
    if not isinstance(model.scaling, DepthScaling):
        return "scaling layer by layer has no limit in depth: it must be DepthScaling(0.5, c)"
    given, sigma = f"activation={model.activation!r}", model.sigma
    if model.inside and not sigma.smooth:
        return (
            f"{given} has no limit in depth with the scaling inside: it is not twice differentiable at 0, and its mean "
            f"drifts like L^(1/2)"
        )
    if model.inside and sigma.at_zero != 0.0:
        return (
            f"{given} has no limit in depth with the scaling inside: sigma(0) = {sigma.at_zero:g} is added in each of "
            f"the L layers; it must be 0"
        )
    if model.block == "phi-out" and not model.inside and not sigma.odd:
        return (
            f"{given} has no limit in depth with block='phi-out' and the scaling outside: E sigma(g) is not 0, as it "
            f"is for 'tanh' and 'linear', and its sum drifts like L^(1/2)"
        )
    beta = model.scaling.beta
    if beta < 0.5:
        return f"beta={beta!r} has no limit in depth: the network explodes; beta must be 0.5"
    if beta > 0.5:
        return f"beta={beta!r} has the input itself as its limit, as branches vanish: beta must be 0.5"
    if not law_free(model):
        if model.weight_law.gaussian:
            return (
                f"bias_law={model.bias_law!r} has no limit in depth with block={model.block!r} and {given} that is "
                "known: W h + b is not Gaussian then; it must be 'gaussian'"
            )
        return (
            f"weights={model.weights!r} is not allowed with block={model.block!r} and activation={model.activation!r}: "
            f"at a finite width the limit depends on the law of W h beyond its variance, and is known for 'gaussian'"
        )
    return None


def _formulas(local: bool, kappa: float | None, curvature: float) -> tuple[str, str]:
    """Return the forward and the backward equation, each as a line of text."""
    if local:
        return (
            "dH = c sqrt(Q) dB,  Q = |sigma(H)|^2/n + bias^2",
            "-dP = sigma'(H) [sigma(H) (P.dH)/(n Q) + c |P|/sqrt(n) (I - sigma(H) sigma(H)^T/(n Q))^(1/2) dB']",
        )
    if kappa is None:
        return (
            "dH = c sqrt(m(q)) dB,  m(q) = E sigma(sqrt(q) g)^2,  q = |H|^2/n + bias^2",
            "-dP = H (P.dH) m'(q)/(n m(q)) + c |P|/sqrt(n) (sqrt(e1) (I - u u^T) + sqrt(e) u u^T) dB',  u = H/|H|, "
            "e1 = E sigma'(sqrt(q) g)^2,  e = e1 + |H|^2/(n q) (E sigma'(sqrt(q) g)^2 (g^2 - 1) - m'(q)^2 q/m(q))",
        )
    scale = "" if kappa == 1.0 else f"{math.sqrt(kappa):.4g} "
    forward = f"dH = {scale}c sqrt(q) dB,  q = |H|^2/n + bias^2"
    backward = f"-dP = H (P.dM)/(n q) + {scale}c |P|/sqrt(n) (I - H H^T/(n q))^(1/2) dB',  dM = dH"
    if curvature:
        forward = forward.replace(" dB,", f" dB + {0.5 * curvature:.4g} c^2 q 1 dt,")
        backward = backward.replace(",  dM = dH", f" + {curvature:.4g} c^2 H (1.P)/n dt,  dM = dH less its drift")
    return forward, backward
