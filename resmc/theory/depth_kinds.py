"""Kinds of limits that a residual network of fixed width has as its depth L grows, whatever ties its layers.

Each layer adds a small step to h. How L of them add up decides (beta the exponent of the scaling, H that of fractional
noise, s = c L^-beta):

.. code-block:: text

    weights              sum of L steps                            beta with a limit    the limit
    independent          s L^(1/2)                                 1/2                  an Ito equation
    smooth, tied         s L                                       1                    an ordinary equation
    fractional noise,
      phi-in, inside     s L^H, and to second order s^2 L          max(H, 1/2)          none of the two
      v-phi-w            s L^max(H, 1/2)                           max(H, 1/2)          none is derived
    mixture              c_1 L^(1 - b_1), c_2 L^(H - b_2)          b_1 = 1, b_2 = 1/2   an Ito equation with a drift

A mixture's noise vanishes if b_2 > max(H, 1/2), its trend if b_1 > 1; what is left rules. With H < 1/2, beta = H and a
branch that is linear in its weights to first order, the change of h stays bounded while its quadratic variation, about
c^2 L^(1 - 2H), has no bound: the limit is neither ordinary nor Ito's (`resmc.quadratic_variation` shows both). That is
the first order in c. Products of the noise of two layers, X_k X_j with j < k, have a mean that contracts h, as the sum
of the covariances at all lags above 0 is -1/2: by c^2 L^(1 - 2H)/(2n) in a linear network. And they fluctuate by about
c^2 L^(1/2 - 2H), which grows for H < 1/4: below, no limit is known even of paths.

Sources: Cont, Rossier, Xu (arXiv 2212.08199), hypothesis 2.1 and theorems 2.1 to 2.3; Marion, Fermanian, Biau, Vert
(arXiv 2206.06929), section 4. The cases between those are derived from the sums above.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from .._system.words import brief
from ..models.normalisation import no_norm
from ..models.processes import Covariance, FractionalNoise, Mixture, Process, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from .depth import no_depth_limit


class DepthKind(NamedTuple):
    """A kind of limit, "ode", "sde", "sde with drift", "neither" or "none", and the reason in a sentence.

    ``order`` is the exponent by which the distance of a network of depth L from its own equation falls, L^-order; NaN
    where no equation has the network's own weights in it.
    """

    name: str
    reason: str
    order: float = math.nan


def depth_kind(model: ResidualNetwork) -> DepthKind:
    """Return the kind of limit that ``model`` has as its depth grows at fixed width; its own depth has no meaning.

    Raises
    ------
    ValueError
        If ``model`` is no ResidualNetwork.
    """
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    plain = as_independent(model)
    if plain is not None:
        refusal = no_depth_limit(plain)
        return _none(refusal) if refusal else DepthKind("sde", "independent layers add up to an Ito integral")
    if refusal := _no_limit_of_any_kind(model):
        return _none(refusal)
    process = model.dependence
    if isinstance(process, Mixture):
        return _mixture(model, process)
    assert isinstance(model.scaling, DepthScaling)
    beta = model.scaling.beta
    if isinstance(process, FractionalNoise):
        return _fractional(model, process.hurst, beta)
    if beta == 1.0:
        return DepthKind("ode", "weights that are smooth or constant in depth add up to an integral", 1.0)
    if beta > 1.0:
        return _none(f"beta={beta!r} has the input itself as its limit, as branches vanish: beta must be 1")
    return _none(
        f"beta={beta!r} has no limit in depth with weights that are smooth or constant in it: steps add up to "
        "L^(1 - beta); beta must be 1"
    )


def required_kind(model: ResidualNetwork, name: str, words: str) -> DepthKind:
    """Return the kind of limit of ``model``, which must have this name.

    Raises
    ------
    ValueError
        If there is no limit, or another one; the message says why, and calls the kind that is missed by ``words``.
    """
    kind = depth_kind(model)
    if kind.name == "none":
        raise ValueError(kind.reason)
    if kind.name != name:
        raise ValueError(f"the network has no {words} as its limit: {kind.reason}")
    return kind


def as_independent(model: ResidualNetwork) -> ResidualNetwork | None:
    """Return the network with independent layers that ``model`` is, fractional noise of H = 1/2 being that; or None."""
    if model.dependence == FractionalNoise(0.5):
        return replace(model, weights=model.law)
    return model if model.independent else None


def linear_in_weights(model: ResidualNetwork) -> bool:
    """Return True if small branches are sums of weights times what does not depend on the layer, to first order."""
    linear = model.block == "phi-out" and model.activation == "linear"
    same = model.block == "phi-in" and not model.sigma.signed  # signs are drawn in every layer
    return same or (model.inside and model.sigma.smooth) or linear


def noise_exponent(model: ResidualNetwork, hurst: float) -> float:
    """Return the exponent e of fractional noise: L small branches, all seen from h_0, add up to s L^e.

    The sum's variance is that of rho (phi-in, phi-out inside with a slope at 0), rho r (v-phi-w) or r (phi-out) over
    all pairs of layers, rho ~ lag^(2H - 2) being the noise's covariance and r about (E sigma)^2 + (E sigma')^2 rho that
    of activated noise. For H < 1/2 the sum of rho over all lags is 0, that of rho r is not.

    .. code-block:: text

        phi-in, phi-out inside with a slope at 0      H, or max(H, 1/2) where phi-in has random signs
        v-phi-w                                       max(H, 1/2), or max(2H - 1, 1/2) with an odd sigma
        phi-out outside                               1, or max(H, 1/2) with an odd sigma, H with a linear one
    """
    return {
        "H": hurst,
        "max(H, 1/2)": max(hurst, 0.5),
        "max(2H - 1, 1/2)": max(2.0 * hurst - 1.0, 0.5),
        "1": 1.0,
    }[noise_exponent_formula(model)]


def noise_exponent_formula(model: ResidualNetwork) -> str:
    """Return the formula of `noise_exponent`, in H."""
    if linear_in_weights(model):
        return "H"
    if model.block == "phi-in":  # fresh signs halve what two layers share of sigma(h): the sum is L + L^(2H)
        return "max(H, 1/2)"
    if model.block == "v-phi-w":
        return "max(2H - 1, 1/2)" if model.sigma.odd else "max(H, 1/2)"
    return "max(H, 1/2)" if model.sigma.odd else "1"


def response_slopes(model: ResidualNetwork) -> tuple[float, float]:
    """Return the exponents of L in |h_L - h_0| and in sum_k |h_{k+1} - h_k|^2 of small branches, as L grows."""
    process = model.dependence
    if isinstance(process, Mixture):
        exponents = 1.0, noise_exponent(model, process.noise.hurst)
        there = [(e, b) for e, b, c in zip(exponents, process.betas, process.cs, strict=True) if c]
    else:
        assert isinstance(model.scaling, DepthScaling)
        smooth = isinstance(process, SmoothProcess) or process == "tied"
        hurst = process.hurst if isinstance(process, FractionalNoise) else 0.5
        there = [(1.0 if smooth else noise_exponent(model, hurst), model.scaling.beta)]
    return max(e - b for e, b in there), max(1.0 - 2.0 * b for _, b in there)


def _none(reason: str) -> DepthKind:
    return DepthKind("none", reason)


def _no_limit_of_any_kind(model: ResidualNetwork) -> str | None:
    """Return what speaks against every limit of layers that depend on each other."""
    if isinstance(model.dependence, Covariance):
        return "weights with a covariance matrix have no limit in depth: the matrix belongs to one depth"
    if model.carry != 1.0:
        return f"carry={model.carry!r} has no limit in depth: it must be 1, or the input grows or dies with carry^L"
    if model.norm is not None:
        return no_norm(model, "limit in depth that is derived")
    if model.keep != 1.0:
        return f"keep={model.keep!r} has no limit in depth that is derived here: it must be 1"
    if not isinstance(model.scaling, DepthScaling):
        return "scaling layer by layer has no limit in depth: it must be a DepthScaling"
    given, sigma = f"activation={model.activation!r}", model.sigma
    if sigma.signed:
        return (
            f"{given} has no limit in depth with weights that depend on each other: its signs are drawn in every "
            "layer, whatever the weights do"
        )
    if model.inside and sigma.at_zero != 0.0:
        return (
            f"{given} has no limit in depth with the scaling inside: sigma(0) = {sigma.at_zero:g} is added in each of "
            "the L layers; it must be 0"
        )
    return None


def _fractional(model: ResidualNetwork, hurst: float, beta: float) -> DepthKind:
    """Return the kind of fractional noise alone, H not 1/2."""
    if linear_in_weights(model):
        return _linear_noise(model, hurst, beta, f"beta={beta!r}")
    e, said = noise_exponent(model, hurst), f"beta={beta!r} has no limit in depth with fractional noise of H {hurst:g}"
    if beta > e:
        return _none(f"beta={beta!r} has the input itself as its limit, as branches vanish")
    if beta < e:
        return _none(f"{said}: steps add up to L^({e:g} - beta), which has no bound")
    return _none(f"{said} that is known: no equation is derived for activations of noise, or products of two noises")


def _linear_noise(model: ResidualNetwork, hurst: float, beta: float, given: str) -> DepthKind:
    """Return the kind of noise with H not 1/2 in a branch that is linear in its weights to first order."""
    said = f"{given} has no limit in depth with fractional noise of H {hurst:g}"
    if beta > max(hurst, 0.5):
        return _none(f"{given} has the input itself as its limit, as branches vanish")
    if beta < hurst:
        return _none(f"{said}: noise adds up to L^({hurst:g} - beta), which has no bound")
    if hurst > 0.5:
        return _none(
            f"{given} tends to an equation driven by fractional Brownian motion of H {hurst:g}, which is none of Ito's "
            "and is not simulated here"
        )
    if model.inside and model.sigma.curvature_at_zero != 0.0:
        return _none(
            f"{said}: sigma''(0) is not 0 for {model.activation!r}, and squares of the noise add up to L^(1 - 2 beta)"
        )
    if beta > hurst:
        return _none(
            f"{said}: to first order noise vanishes like L^({hurst:g} - beta), but products of that of different "
            "layers add up to L^(1 - 2 beta); beta must be above 0.5"
        )
    return DepthKind(
        "neither",
        f"{said}, neither an ordinary nor an Ito equation: to first order the change of h stays bounded and its "
        "quadratic variation does not; resmc.quadratic_variation(model) shows both",
    )


def _mixture(model: ResidualNetwork, mixture: Mixture) -> DepthKind:
    """Return the kind of a trend plus noise."""
    (b1, b2), (c1, c2), hurst = mixture.betas, mixture.cs, mixture.noise.hurst
    if c1 != 0.0 and b1 < 1.0:
        return _none(f"betas[0]={b1!r} has no limit in depth: the trend adds up to L^(1 - b_1); it must be 1")
    if c2 != 0.0 and not linear_in_weights(model):
        return _none(
            f"activation={model.activation!r} has no limit in depth with noise inside it: it has no slope at 0, and "
            "its mean drifts like L^(1 - b_2)"
        )
    trend = c1 != 0.0 and b1 == 1.0
    if c2 != 0.0 and b2 <= max(hurst, 0.5):
        if hurst != 0.5:
            return _linear_noise(model, hurst, b2, f"betas[1]={b2!r}")
        if b2 < 0.5:
            return _none(f"betas[1]={b2!r} has no limit in depth: noise adds up to L^(1/2 - b_2); it must be 1/2")
        order = min(0.5, b1 - 1.0) if c1 != 0.0 and not trend else 0.5
        return DepthKind("sde with drift", "independent noise adds up to an Ito integral, the trend to a drift", order)
    if not trend:
        return _none(f"betas={mixture.betas!r} have the input itself as their limit, as both parts vanish")
    order = 1.0 if c2 == 0.0 else min(1.0, b2 - hurst, 2.0 * b2 - 1.0)
    return DepthKind("ode", "the trend adds up to an integral over depth, and noise vanishes", order)


def time_process(model: ResidualNetwork) -> SmoothProcess | None:
    """Return the smooth process of an ordinary equation's weights; None for tied weights, which are constant."""
    process: str | Process = model.dependence
    if isinstance(process, Mixture):
        return process.trend
    return process if isinstance(process, SmoothProcess) else None
