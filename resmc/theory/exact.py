"""Laws and moments that hold exactly at every width n and depth d: the first tests any simulation has to pass.

All of them follow from one fact: given z_l, the vector W_l phi(z_l) has the law |phi(z_l)| g with a fresh
g ~ N(0, I_n). The networks are those of Li, Nica, Roy 2021 (arXiv 2106.04013); alpha and lam need not be normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .._system.words import brief
from ..models.layer_widths import no_widths
from ..models.residual_network import ResidualNetwork
from ..models.resnet import ResNet
from .kernels import Floats, mean_log_chi_square
from .limits import Integers, layer_indices, log_scales
from .mean_squares import log_growth


@dataclass(frozen=True)
class FirstLayer:
    """The law of L_0 (mean, variance, skewness, excess kurtosis) and the variance of A_0, whose mean is 0."""

    mean: float
    variance: float
    skewness: float
    excess_kurtosis: float
    asymmetry_variance: float


@dataclass(frozen=True, eq=False)
class BalancedMoments:
    """log(E|z_l|^2/|z_0|^2) and log(E|z_l|^4/|z_0|^4) at each of ``layers``; three arrays of one shape."""

    layers: Integers
    log_second_moment: Floats
    log_fourth_moment: Floats


@dataclass(frozen=True, eq=False)
class DropoutMoments:
    """log(E|h_l|^2/|h_0|^2), log(E|h_l|^4/|h_0|^4) and log(E sum_i h_{l,i}^4/|h_0|^4) at each of ``layers``."""

    layers: Integers
    log_second_moment: Floats
    log_fourth_moment: Floats
    log_sum_of_fourth_powers: Floats


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """A network without skip, at each of ``layers``; arrays of one shape.

    ``mean`` to ``excess_kurtosis`` are those of L_l given that the network is alive (z_l != 0), ``dead_probability``
    is P(z_l = 0). In ``log_second_moment`` = log(E|z_l|^2/|z_0|^2) and ``log_fourth_moment`` = log(E|z_l|^4/|z_0|^4)
    a dead network counts as 0.
    """

    layers: Integers
    mean: Floats
    variance: Floats
    skewness: Floats
    excess_kurtosis: Floats
    dead_probability: Floats
    log_second_moment: Floats
    log_fourth_moment: Floats


@dataclass(frozen=True, eq=False)
class SkipOnly:
    """The law of L_l of a network without residual branch at each of ``layers``; arrays of one shape."""

    layers: Integers
    mean: Floats
    variance: Floats
    skewness: Floats
    excess_kurtosis: Floats


def first_layer(model: ResNet) -> FirstLayer:
    """Return the law of L_0 = log(chi^2_n/n) + 2 log(input_norm), for any network, and Var A_0 = 3/(n + 2).

    The cumulants of log(chi^2_n) are polygammas at n/2: mean digamma(n/2) - log(n/2) + 2 log(input_norm), variance
    trigamma(n/2), and so on. At alpha = 0 the variance of A_l is 3/(n + 2) at every layer, given alive.
    """
    half = model.width / 2.0
    mean = float(mean_log_chi_square(model.width)) + 2.0 * math.log(model.input_norm)
    variance, third, fourth = (float(special.polygamma(order, half)) for order in (1, 2, 3))
    return FirstLayer(mean, variance, third / variance**1.5, fourth / variance**2, 3.0 / (model.width + 2.0))


def one_step(model: ResNet, asymmetry: ArrayLike) -> Floats:
    """Return E[|z_{l+1}|^2 | z_l]/|z_l|^2 = alpha^2 + lam^2 (1 + A_l), for any network, layer and z_l != 0.

    ``asymmetry`` holds values of A_l, any shape; the result has the same shape.
    """
    return model.alpha**2 + model.lam**2 * (1.0 + np.asarray(asymmetry, dtype=np.float64))


def balanced_moments(model: ResNet, layers: ArrayLike | None = None) -> BalancedMoments:
    """Return second and fourth moments of the norm of a balanced network with independent signs.

    With alpha^2 + lam^2 = 1, E|z_l|^2 = |z_0|^2, and R = E|z_l|^4/|z_0|^4, Q = E sum_i z_{l,i}^4/|z_0|^4 obey

    .. code-block:: text

        R' = [alpha^4 + (2 + 4/n) alpha^2 lam^2 + (1 + 2/n) lam^4] R + (1 + 2/n) lam^4 Q
        Q' = [6 alpha^2 lam^2/n + 3 lam^4/n] R + [alpha^4 + 3 lam^4/n] Q

    from R = 1, Q = 3/(n + 2), the moments of a uniform direction. Logarithms are returned, so no depth overflows.

    Parameters
    ----------
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default. The time is proportional to the largest.

    Raises
    ------
    ValueError
        If ``model.variant`` is not "balanced" ("balanced-half" has other fourth moments), or for other ``layers``.
    """
    if model.variant != "balanced":
        raise ValueError(f"variant={model.variant!r} is not allowed in balanced_moments: it must be 'balanced'")
    index = layer_indices(model, layers)
    _, lam = model.normalised
    largest = int(index.max(initial=0))
    excess, _ = _fourth_moments(np.broadcast_to(lam**2, largest), 1.0, model.width)
    second = log_scales(model, index)
    return BalancedMoments(index, second, excess[index] + 2.0 * second)


def dropout_moments(model: ResidualNetwork, layers: ArrayLike | None = None) -> DropoutMoments:
    """Return second and fourth moments of a phi-in network with dropout, and a linear or balanced activation.

    Given h the branch is s |x|/sqrt(n) g with x = m h/sqrt(p) and p = ``keep``, whose |x|^2 has the mean |h|^2 and the
    variance (1/p - 1) sum_i h_i^4. So, with carry c and the scale s of the layer, R = E|h_l|^4/|h_0|^4 and Q = E sum_i
    h_{l,i}^4/|h_0|^4 obey

    .. code-block:: text

        R' = [c^4 + (2 + 4/n) c^2 s^2 + (1 + 2/n) s^4] R + (1 + 2/n) s^4 (1/p - 1) Q
        Q' = [6 c^2 s^2/n + 3 s^4/n] R + [c^4 + 3 s^4/n (1/p - 1)] Q

    from R = 1, Q = 3/(n + 2), the moments of a uniform direction, and E|h_l|^2/|h_0|^2 grows by c^2 + s^2. A balanced
    activation is dropout by half, in law: it stands for p/2 and s/sqrt(2), and with ``keep=1`` this is
    `balanced_moments`. Logarithms are returned, so no depth overflows. Weights are Gaussian and independent, without
    bias.

    Parameters
    ----------
    model : ResidualNetwork
        Of any carry, scaling and ``keep``, 1 included.
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default. The time is proportional to the largest.

    Raises
    ------
    ValueError
        For a network of which no such recursion is known; the message says why. For other ``layers``.

    Source: derived here; for p = 1/2 it is the recursion of `balanced_moments`.
    """
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a resmc.ResidualNetwork")
    if refusal := no_dropout_moments(model):
        raise ValueError(refusal)
    index = layer_indices(model, layers)
    halved = 0.5 if model.sigma.signed else 1.0
    skip, branch = model.carry**2, halved * model.scales[: int(index.max(initial=0))] ** 2
    with np.errstate(invalid="ignore"):  # a layer of neither has no share, and leaves nothing
        share = np.where(skip + branch > 0.0, branch / (skip + branch), 0.0)
    excess, powers = _fourth_moments(share, 1.0 / (halved * model.keep) - 1.0, model.width)
    second = log_growth(model)[index]
    fourth = excess[index] + 2.0 * second
    return DropoutMoments(index, second, fourth, fourth + np.log(powers[index]))


def no_dropout_moments(model: ResidualNetwork) -> str | None:
    """Return why `dropout_moments` has nothing on ``model``, in a sentence; None if it has."""
    sigma = model.sigma
    if model.block != "phi-in" or not (model.activation == "linear" or (sigma.signed and not sigma.half)):
        return (
            f"block={model.block!r} with activation={model.activation!r} is not allowed in dropout_moments: it must be "
            "'phi-in' with 'linear' or 'balanced'"
        )
    if not (model.independent and model.weight_law.gaussian):
        return (
            f"weights={brief(model.weights)} are not allowed in dropout_moments: they must be 'gaussian', and layers "
            "independent of each other"
        )
    if model.bias > 0.0:
        return f"bias={model.bias!r} is not allowed in dropout_moments: it must be 0"
    if model.norm is not None:
        return f"norm={model.norm!r} is not allowed in dropout_moments: it must be None"
    return no_widths(model, "exact fourth moment with dropout")


def _fourth_moments(branch: Floats, spread: float, width: int) -> tuple[Floats, Floats]:
    """Return log R_l and Q_l/R_l for l = 0 .. L, of layers with s^2 = branch (L,) and c^2 = 1 - branch; spread 1/p - 1.

    R'/R = 1 + r_from_r + r_from_q (Q/R), where the 1 is (c^2 + s^2)^2; the rest is only O(1/n), and is summed.
    """
    skip, cross, square = (1.0 - branch) ** 2, (1.0 - branch) * branch, branch**2
    r_from_r, r_from_q = (4.0 * cross + 2.0 * square) / width, (1.0 + 2.0 / width) * spread * square
    q_from_r, q_from_q = (6.0 * cross + 3.0 * square) / width, skip + 3.0 * spread * square / width
    count, alike = len(branch), bool((branch == branch[:1]).all())
    excess, powers = np.empty(count), np.empty(count + 1)
    powers[0] = q_over_r = 3.0 / (width + 2.0)
    columns = zip(*(one.tolist() for one in (r_from_r, r_from_q, q_from_r, q_from_q)), strict=True)
    for layer, (r1, r2, q1, q2) in enumerate(columns):
        excess[layer] = step = r1 + r2 * q_over_r
        powers[layer + 1] = after = (q1 + q2 * q_over_r) / (1.0 + step)
        if alike and after == q_over_r:
            excess[layer:], powers[layer:] = step, after
            break
        q_over_r = after
    return np.concatenate([[0.0], np.cumsum(np.log1p(excess))]), powers


def fully_connected(model: ResNet, layers: ArrayLike | None = None) -> FullyConnected:
    """Return the law of a network with alpha = 0: |z_{l+1}|^2/|z_l|^2 are independent copies of lam^2 (2/n) chi^2_K.

    K ~ Binomial(n, 1/2) is the number of active neurons, and the network dies when K = 0. Given alive at layer l, L_l
    is therefore L_0 plus l independent copies of log(lam^2 (2/n) chi^2_K) given K >= 1: the cumulants add up. The
    probability of being dead is 1 - (1 - 2^-n)^l, E|z_l|^2/|z_0|^2 = lam^(2l), E|z_l|^4/|z_0|^4 = lam^(4l) (1 + 5/n)^l.

    Parameters
    ----------
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default.

    Raises
    ------
    ValueError
        If ``model.alpha`` is not 0, or for other ``layers``.
    """
    if model.alpha != 0.0:
        raise ValueError(f"alpha={model.alpha} is not allowed in fully_connected: it must be 0")
    index = layer_indices(model, layers)
    n = model.width
    first = first_layer(model)
    step_mean, step_variance, step_third, step_fourth = _log_chi_square_mixture(n)
    second, steps = log_scales(model, index), index.astype(np.float64)
    variance = first.variance + steps * step_variance
    third = first.skewness * first.variance**1.5 + steps * step_third
    fourth = first.excess_kurtosis * first.variance**2 + steps * step_fourth
    return FullyConnected(
        layers=index,
        mean=first.mean + steps * step_mean + second,
        variance=variance,
        skewness=third / variance**1.5,
        excess_kurtosis=fourth / variance**2,
        dead_probability=0.0 - np.expm1(steps * math.log1p(-(0.5**n))),
        log_second_moment=second,
        log_fourth_moment=2.0 * second + steps * math.log1p(5.0 / n),
    )


def skip_only(model: ResNet, layers: ArrayLike | None = None) -> SkipOnly:
    """Return the law of a network with lam = 0: z_l = alpha^l z_0, so L_l = L_0 + l log(alpha^2).

    ``layers`` are as in `balanced_moments`. Raises ValueError if ``model.lam`` is not 0, or for other ``layers``.
    """
    if model.lam != 0.0:
        raise ValueError(f"lam={model.lam} is not allowed in skip_only: it must be 0")
    index = layer_indices(model, layers)
    first = first_layer(model)
    return SkipOnly(
        layers=index,
        mean=first.mean + log_scales(model, index),
        variance=np.full(index.shape, first.variance),
        skewness=np.full(index.shape, first.skewness),
        excess_kurtosis=np.full(index.shape, first.excess_kurtosis),
    )


def _log_chi_square_mixture(n: int) -> tuple[float, float, float, float]:
    """Return the first four cumulants of log((2/n) chi^2_K), K ~ Binomial(n, 1/2) given K >= 1."""
    # The binomial has nothing (below e^-200) beyond 20 standard deviations, so a window keeps n = 2^24 cheap. The
    # weights come from quotients of neighbours: differences of log-gammas of size n log n would lose the digits.
    reach = math.ceil(10.0 * math.sqrt(n))
    k = np.arange(max(1, n // 2 - reach), min(n, n // 2 + reach) + 1, dtype=np.float64)
    log_weights = np.concatenate([[0.0], np.cumsum(np.log((n - k[:-1]) / (k[:-1] + 1.0)))])
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()

    given_mean = mean_log_chi_square(k) + np.log(2.0 * k / n)
    variance, third, fourth = (special.polygamma(order, k / 2.0) for order in (1, 2, 3))
    mean = float(weights @ given_mean)
    shift = given_mean - mean
    # Central moments of the mixture about its own mean, then cumulants.
    second_moment = float(weights @ (variance + shift**2))
    third_moment = float(weights @ (third + 3.0 * shift * variance + shift**3))
    kurtosis_part = fourth + 3.0 * variance**2 + 6.0 * shift**2 * variance + 4.0 * shift * third + shift**4
    return mean, second_moment, third_moment, float(weights @ kurtosis_part) - 3.0 * second_moment**2
