"""Ito's equation with a drift that residual networks tend to whose weights are a smooth trend plus noise.

With layers c_1 M(k/L)/L + c_2 dB_k, M a `SmoothProcess` and dB_k increments of Brownian motions, both over sqrt(n), and
the bias the same times its standard deviation, m and db,

.. code-block:: text

    phi-in                     dH = c_1 (M sigma(H) + m) dt + c_2 (dB sigma(H) + db)
    phi-out, scaling inside    dH = sigma'(0) [c_1 (M H + m) dt + c_2 (dB H + db)] + (c_2^2/2) sigma''(0) q 1 dt,
                               q = |H|^2/n + bias^2,    sigma in C^2, sigma(0) = 0

and the gradient, backwards in time, is -dP = D (c_1 M dt + c_2 dB)^T P, D = sigma'(H), or, inside, -dP = sigma'(0)
(c_1 M dt + c_2 dB)^T P + c_2^2 sigma''(0) H (1.P)/n dt. With the same M and B the distance of each network from its
equation is of order L^(-1/2). Only the gradient of phi-in with a kinked sigma has the order L^(-1/4): a coordinate of H
is within L^(-1/2) of the kink for a time of that order, slopes are wrong there, and what a Brownian motion adds in that
time is its root. In law the noise is that of `resmc.theory.depth` with c = c_2, to which the trend is added; with
"increments", M is length times the derivative of the process.

Sources: Cont, Rossier, Xu (arXiv 2212.08199), hypothesis 2.1 and theorem 2.2 for the scaling inside; for phi-in the
network is Euler's and Maruyama's scheme of the equation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..models.processes import Mixture, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from .depth import DepthSDE, depth_limit
from .depth_kinds import required_kind


@dataclass(frozen=True, eq=False)
class TrendNoiseSDE(DepthSDE):
    """The equation of a trend plus noise: a `DepthSDE` of the noise, c being c_2, and the trend.

    Attributes
    ----------
    trend : SmoothProcess
        The process M.
    c_trend : float
        c_1, or 0 where the trend vanishes.
    order : float
        The exponent by which the distance of a network from its own equation falls: L^-order.
    """

    trend: SmoothProcess
    c_trend: float
    order: float

    @property
    def backward_order(self) -> float:
        """The exponent by which the gradient's distance falls."""
        sigma = self.model.sigma
        kinked = sigma.homogeneous and not sigma.smooth
        return min(self.order, 0.25) if kinked and self.model.block == "phi-in" else self.order

    @property
    def push(self) -> float:
        """The factor of M sigma(H) + m or, with the scaling inside, of M H + m in the drift."""
        return self.c_trend * (self.model.sigma.slope_at_zero if self.model.inside else 1.0)


def trend_noise_limit(model: ResidualNetwork) -> TrendNoiseSDE:
    """Return the equation with a drift that ``model``, whose weights are a `Mixture`, tends to as its depth grows.

    Raises
    ------
    ValueError
        If there is none; the message says why.
    """
    kind = required_kind(model, "sde with drift", "Ito equation with a drift")
    mixture = model.dependence
    assert isinstance(mixture, Mixture)
    inside = model.block == "phi-out"
    noise = depth_limit(replace(model, weights=model.law, scaling=DepthScaling(0.5, mixture.cs[1], inside)))
    c_trend = mixture.cs[0] if mixture.betas[0] == 1.0 else 0.0
    law = noise.growth if c_trend == 0.0 else None
    return TrendNoiseSDE(
        model=model,
        c=noise.c,
        forward=_forward(model),
        backward=_backward(model),
        averages=noise.averages,
        curvature=noise.curvature,
        growth=law,
        gradient=noise.gradient if c_trend == 0.0 else None,
        trend=mixture.trend,
        c_trend=c_trend,
        order=kind.order,
    )


def _forward(model: ResidualNetwork) -> str:
    state = "H" if model.inside else "sigma(H)"
    trend, noise = (f"(M {state} + m)", f"(dB {state} + db)") if model.bias else (f"M {state}", f"dB {state}")
    text = f"c_1 {trend} dt + c_2 {noise}"
    if not model.inside:
        return f"dH = {text}"
    slope, curvature = model.sigma.slope_at_zero, model.sigma.curvature_at_zero
    text = text if slope == 1.0 else f"{slope:.4g} [{text}]"
    return f"dH = {text}" + (f" + {0.5 * curvature:.4g} c_2^2 q 1 dt,  q = |H|^2/n + bias^2" if curvature else "")


def _backward(model: ResidualNetwork) -> str:
    if not model.inside:
        return "-dP = D (c_1 M dt + c_2 dB)^T P,  D = sigma'(H)"
    slope, curvature = model.sigma.slope_at_zero, model.sigma.curvature_at_zero
    text = ("" if slope == 1.0 else f"{slope:.4g} ") + "(c_1 M dt + c_2 dB)^T P"
    return f"-dP = {text}" + (f" + {curvature:.4g} c_2^2 H (1.P)/n dt" if curvature else "")
