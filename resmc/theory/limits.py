"""Limits as depth d and width n grow with d/n fixed, in leading order (Li, Nica, Roy 2021, arXiv 2106.04013) and next.

With (alpha, lam) normalised to alpha^2 + lam^2 = 1 and rho_k = alpha^k, the log-norm is Gaussian in the limit and all
of its parameters are sums of kernels of rho_k over pairs of layers k apart:

.. code-block:: text

    balanced   Var log(|z_l|^2/|z_0|^2) = v_l,     v_l = (5 lam^4 + 4 alpha^2 lam^2) l/n
               E   log(|z_l|^2/|z_0|^2) = -v_l/2
    vanilla    Var = v_l + (2 lam^4/n) sum_{m<l} sum_{k=1}^{m} J(rho_k)
               E   = -v_l/2 + lam^2 sum_{m<l} E[A_m]
               E[A_l]       = -(lam^2/(2n)) sum_{k=1}^{l} rho_k J'(rho_k)
               E[F_l] - 1/2 = -(lam^2/(4n)) sum_{k=1}^{l} rho_k K'(rho_k)

Undoing the normalisation adds l log(alpha^2 + lam^2) to the log-norm of layer l. "balanced" stands for
"balanced-half" too: the two agree to this order. At a finite n these are approximations, with an error of relative
size O(1/n): at n = 48, d = 96, alpha = .8 the true variance is some 16% larger. What is exact is in
`resmc.theory.exact`.

With ``order=2`` the functions here add the next order, which is derived (`resmc.theory.next_order`) and no part of
that paper: c/n^2 to means, to E[A_l], E[F_l] and log(E|z_l|^2/|z_0|^2). Variances and correlations, which have a sign
to keep, are multiplied by exp(c/n). The errors that remain have the relative size O(1/n^2), at every d/n alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .._system.checks import integer
from .._system.words import brief
from ..models.residual_network import ResidualNetwork
from ..models.resnet import ResNet
from . import next_order
from .kernels import Floats, J, J_prime, K, K_prime, growth_kernel, mean_log_chi_square

Integers = NDArray[np.int64]
Kernel = Callable[[Floats], Floats]

_SMALLEST_CORRECTED = 1e-8  # rho_k beyond which correlations of A are left as they are: they are 0 to all digits shown
_DIRECT_TERMS = 1 << 16  # an infinite sum is continued by an integral beyond so many terms
_SHORTEST_KEPT, _LONGEST_KEPT = 1 << 10, 1 << 15  # layers whose sums are kept between calls: at most 64 MiB in all


@dataclass(frozen=True, eq=False)
class LogNormLimit:
    """Mean and variance of a Gaussian limit at each of ``layers``; three arrays of one shape."""

    layers: Integers
    mean: Floats
    variance: Floats


@dataclass(frozen=True, eq=False)
class HypoactivationLimit:
    """E[A_l] and E[F_l] at each of ``layers``; three arrays of one shape."""

    layers: Integers
    asymmetry: Floats
    active_fraction: Floats


@dataclass(frozen=True)
class RatioLimit:
    """Limits as n and d grow with d/n = ``ratio``; the meaning of each is in `infinite_depth_and_width`."""

    ratio: float
    log_norm_mean: float
    log_norm_variance: float
    scaled_asymmetry: float
    scaled_active_fraction: float
    log_second_moment: float


def layer_indices(model: ResNet | ResidualNetwork, layers: ArrayLike | None, name: str = "layers") -> Integers:
    """Return ``layers`` as an integer array of the same shape (a scalar: shape (1,)), or 0 .. depth for None.

    Raises
    ------
    ValueError
        If an entry is not an integer from 0 to ``model.depth``.
    """
    if layers is None:
        return np.arange(model.depth + 1, dtype=np.int64)
    found = np.atleast_1d(np.asarray(layers))
    if found.size == 0:
        return found.astype(np.int64)
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > model.depth:
        raise ValueError(f"{name}={brief(layers)} is not allowed: it must hold integers from 0 to depth={model.depth}")
    return found.astype(np.int64)


def log_scales(model: ResNet, index: Integers) -> Floats:
    """Return l log(alpha^2 + lam^2), which normalising alpha and lam takes from the log-norm of layer l."""
    return index.astype(np.float64) * model.log_scale


def log_norm(model: ResNet, layers: ArrayLike | None = None, order: int = 1) -> LogNormLimit:
    """Return the Gaussian limit of L_l = log(|z_l|^2/n), with the first layer's exact mean and variance.

    The limit is `log_norm_growth` plus the independent L_0 = log(chi^2_n/n) + 2 log(input_norm), of mean digamma(n/2) -
    log(n/2) + 2 log(input_norm) and variance trigamma(n/2). Given L_d, an output neuron is exp(L_d/2) Z with Z standard
    Gaussian.

    Parameters
    ----------
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default.
    order : {1, 2}
        1: the limit. 2: with the next order in 1/n, derived in `resmc.theory.next_order`.

    Raises
    ------
    ValueError
        If ``layers`` or ``order`` is anything else.
    """
    growth = log_norm_growth(model, layers, order)
    first_mean, first_variance = _first_layer(model.width)
    first_mean += 2.0 * math.log(model.input_norm)
    return LogNormLimit(growth.layers, growth.mean + first_mean, growth.variance + first_variance)


def log_norm_growth(model: ResNet, layers: ArrayLike | None = None, order: int = 1) -> LogNormLimit:
    """Return the Gaussian limit of log(|z_l|^2/|z_0|^2), including l log(alpha^2 + lam^2).

    Arguments and errors are those of `log_norm`.
    """
    index = layer_indices(model, layers)
    alpha, lam = model.normalised
    variance = (5.0 * lam**4 + 4.0 * alpha**2 * lam**2) / model.width * index.astype(np.float64)
    mean = log_scales(model, index) - variance / 2.0
    if not model.signed:
        per_pair = lam**4 / model.width
        mean = mean - 0.5 * per_pair * _sums(model, _rho_J_prime, index, twice=True)[index]
        variance = variance + 2.0 * per_pair * _sums(model, J, index, twice=True)[index]
    if _goes_on(model, order):
        more = _next_order(model, index)
        mean = mean + more.mean[index] / model.width**2
        relative = more.variance[index] / (model.width**2 * np.where(index > 0, variance, 1.0))
        variance = variance * np.exp(relative)
    return LogNormLimit(index, mean, variance)


def hypoactivation(model: ResNet, layers: ArrayLike | None = None, order: int = 1) -> HypoactivationLimit:
    """Return E[A_l] (below 0 for alpha > 0) and E[F_l] (below 1/2); 0 and 1/2 when balanced or at alpha = 0.

    Arguments and errors are those of `log_norm`.
    """
    index, goes_on = layer_indices(model, layers), _goes_on(model, order)
    if model.signed:
        return HypoactivationLimit(index, np.zeros(index.shape), np.full(index.shape, 0.5))
    factor = -(model.normalised[1] ** 2) / model.width
    asymmetry = 0.5 * factor * _sums(model, _rho_J_prime, index)[index]
    active_fraction = 0.5 + 0.25 * factor * _sums(model, _rho_K_prime, index)[index]
    if goes_on:
        more = _next_order(model, index)
        asymmetry = asymmetry + more.asymmetry[index] / model.width**2
        active_fraction = active_fraction + more.active_fraction[index] / model.width**2
    return HypoactivationLimit(index, asymmetry, active_fraction)


def interlayer_correlation(model: ResNet, lags: ArrayLike, order: int = 1, layers: ArrayLike | None = None) -> Floats:
    """Return Corr(A_l, A_{l+k}) for each lag k: J(alpha^k)/3 (vanilla), 0 for k > 0 when balanced, and 1 at k = 0.

    Var A_l = 3/n in this limit. With ``order`` = 2 the correlation depends on l as well; there is no lag at which that
    order is not known.

    Parameters
    ----------
    lags : array of int
        Distances k from 0 to depth, any shape.
    order : {1, 2}
        As for `log_norm`. Time and memory of the next order grow with the pairs of layers that differ, those of which
        the first is beyond some 10/(-log alpha) being alike.
    layers : array of int, optional
        The first of both layers, l, from 0 to depth - k; its shape and that of ``lags`` are broadcast. By default the
        two layers lie in the middle of the network, l = (depth - k) div 2.

    Returns
    -------
    ndarray
        Of the shape of ``lags`` and ``layers`` together.

    Raises
    ------
    ValueError
        If ``lags``, ``order`` or ``layers`` is anything else.
    """
    index, goes_on = layer_indices(model, lags, "lags"), _goes_on(model, order)
    index, first = _pairs(model, index, layers)
    if model.signed:
        return np.where(index == 0, 1.0, 0.0)
    rho = np.concatenate([[1.0], _correlations(*_rate(model), int(index.max(initial=0)))])
    found = (J(rho) / 3.0)[index]
    if goes_on and model.normalised[0] != 0.0:
        seen = (index > 0) & (np.abs(rho[index]) > _SMALLEST_CORRECTED)
        more = next_order.correlation(*model.normalised, _decay(model), first[seen], index[seen])
        found[seen] *= np.exp(more / model.width)
    return found


def _pairs(model: ResNet, lags: Integers, layers: ArrayLike | None) -> tuple[Integers, Integers]:
    """Return lags and first layers, of one shape."""
    if layers is None:
        return lags, (model.depth - lags) // 2
    first = layer_indices(model, layers)
    try:
        lags, first = (np.array(one) for one in np.broadcast_arrays(lags, first))
    except ValueError:
        shapes = f"{first.shape} and {lags.shape}"
        raise ValueError(f"layers={brief(layers)} is not allowed: with lags it has shapes {shapes}") from None
    if (first + lags > model.depth).any():
        raise ValueError(
            f"layers={brief(layers)} is not allowed: layers + lags must be at most depth={model.depth}, and one is "
            f"{(first + lags).max()}"
        )
    return lags, first


def variance_growth(model: ResNet, layers: ArrayLike | None = None, order: int = 1) -> Floats:
    """Return the limit of log(E|z_l|^2/|z_0|^2), including l log(alpha^2 + lam^2).

    Beyond that term the limit is (lam^4/n) sum_{m<l} sum_{k=1}^{m} growth_kernel(rho_k) for vanilla networks, above 0
    for alpha > 0 (exponential growth in d/n), and 0 for balanced networks. Arguments and errors are those of
    `log_norm`.
    """
    index, goes_on = layer_indices(model, layers), _goes_on(model, order)
    growth = log_scales(model, index)
    if not model.signed:
        lam = model.normalised[1]
        growth = growth + lam**4 / model.width * _sums(model, growth_kernel, index, twice=True)[index]
        if goes_on:
            growth = growth + _next_order(model, index).second_moment[index] / model.width**2
    return growth


def infinite_depth_and_width(model: ResNet) -> RatioLimit:
    """Return the limits n, d -> infinity at the model's d/n, for alpha, lam, variant and input_norm held fixed.

    Returns
    -------
    RatioLimit
        ``log_norm_mean``, ``log_norm_variance``: of L_d - d log s, with 2 log(input_norm) in the mean (the first
        layer's own mean and variance vanish like 1/n). ``scaled_asymmetry``: of n E[A_d].
        ``scaled_active_fraction``: of n (E[F_d] - 1/2). ``log_second_moment``: of log(E|z_d|^2/|z_0|^2) - d log s.

    Notes
    -----
    At lam = 0 nothing is random beyond the first layer and all but 2 log(input_norm) is 0. The sums over k run to
    infinity, to a relative accuracy near rounding for every alpha > 0, however close to 1.
    """
    alpha, lam = model.normalised
    per_layer = 5.0 * lam**4 + 4.0 * alpha**2 * lam**2
    vanilla = not model.signed and lam != 0.0
    sum_J, sum_K, sum_rho_J_prime, sum_rho_K_prime = (
        _infinite_sum(model, f) if vanilla else 0.0 for f in (J, K, _rho_J_prime, _rho_K_prime)
    )
    return RatioLimit(
        ratio=model.ratio,
        log_norm_mean=2.0 * math.log(model.input_norm) - model.ratio * (per_layer + lam**4 * sum_rho_J_prime) / 2.0,
        log_norm_variance=model.ratio * (per_layer + 2.0 * lam**4 * sum_J),
        scaled_asymmetry=-(lam**2) * sum_rho_J_prime / 2.0,
        scaled_active_fraction=-(lam**2) * sum_rho_K_prime / 4.0,
        log_second_moment=model.ratio * lam**4 * sum_K,
    )


def _goes_on(model: ResNet, order: int) -> bool:
    """Return True if the next order is to be added; without a branch it is 0 beyond the first layer."""
    return integer("order", order, 1, 2) == 2 and model.normalised[1] != 0.0


def next_order_layers(model: ResNet) -> int:
    """Return for how many layers the next order's recursion goes: its time and memory grow with that number."""
    return 0 if model.normalised[1] == 0.0 else min(model.depth, next_order.relaxed(_decay(model)))


def next_order_pairs(model: ResNet, layers: Integers) -> int:
    """Return how many steps of pairs the next order takes for the correlations of all ``layers``, at most."""
    decay, distinct = _decay(model), np.unique(layers)
    if model.signed or model.normalised[1] == 0.0 or not math.isfinite(decay) or not distinct.size:
        return 0
    first = np.unique(np.minimum(distinct, next_order.relaxed(decay)))
    longest = min(-math.log(_SMALLEST_CORRECTED) / decay, float(np.ptp(distinct)))
    return int(len(first) * longest)


def _next_order(model: ResNet, index: Integers) -> next_order.Coefficients:
    depth = int(index.max(initial=0))
    return next_order.coefficients(*model.normalised, model.signed, depth, _decay(model))


def _rho_J_prime(rho: Floats) -> Floats:
    return rho * J_prime(rho)


def _rho_K_prime(rho: Floats) -> Floats:
    return rho * K_prime(rho)


def _decay(model: ResNet) -> float:
    """Return -log|alpha| of the normalised alpha, from lam where alpha is too near 1 for an accurate logarithm."""
    alpha, lam = model.normalised
    if lam * lam < 0.5:
        return -0.5 * math.log1p(-lam * lam)
    return -math.log(abs(alpha)) if alpha else math.inf


def _rate(model: ResNet) -> tuple[float, bool]:
    """Return what determines rho_k = alpha^k: `_decay`, and True if the sign alternates."""
    return _decay(model), model.normalised[0] < 0.0


def _correlations(decay: float, alternating: bool, count: int) -> Floats:
    """Return rho_k = alpha^k for k = 1 .. count."""
    rho: Floats = np.exp(-decay * np.arange(1.0, count + 1.0))
    if alternating:
        rho[::2] *= -1.0
    return rho


def _sums(model: ResNet, kernel: Kernel, index: Integers, twice: bool = False) -> Floats:
    """Return sum_{k=1}^{l} kernel(rho_k), or with ``twice`` its sum over the layers below l, for l = 0 .. max(index).

    Models that differ in width and depth share these sums: the first terms of a long running sum are those of a short
    one. The result may be longer than asked for, and is read-only.
    """
    count = int(index.max(initial=0))
    if count > _LONGEST_KEPT:
        return _running_sums.__wrapped__(*_rate(model), kernel, twice, count)
    return _running_sums(*_rate(model), kernel, twice, max(_SHORTEST_KEPT, 1 << (count - 1).bit_length()))


@lru_cache(maxsize=256)
def _running_sums(decay: float, alternating: bool, kernel: Kernel, twice: bool, count: int) -> Floats:
    terms = kernel(_correlations(decay, alternating, count))
    sums = np.concatenate([[0.0], np.cumsum(terms)])
    if twice:
        sums = np.concatenate([[0.0], np.cumsum(sums[:-1])])
    sums.setflags(write=False)
    return sums


@lru_cache(maxsize=4096)
def _first_layer(width: int) -> tuple[float, float]:
    """Return mean and variance of log(chi^2_n/n)."""
    return float(mean_log_chi_square(width)), float(special.polygamma(1, width / 2.0))


def _infinite_sum(model: ResNet, kernel: Kernel) -> float:
    """Return sum_{k>=1} kernel(alpha^k) for an odd kernel and lam != 0."""
    decay = _decay(model)
    terms = math.ceil(min(42.0 / decay, 1e300))  # after so many terms rho_k < 1e-18
    if terms <= _DIRECT_TERMS:
        return float(np.sum(kernel(_correlations(*_rate(model), terms))))
    total = _slow_sum(decay, kernel)
    # An odd kernel turns (-rho)^k into a sign (-1)^k, and that sum is twice the even terms less all of them. Of the
    # two sums, near 1/decay, only O(1) remains; the prefactors lam^2 = O(decay) keep the loss to 1e-16 absolutely.
    return total if model.normalised[0] > 0.0 else 2.0 * _slow_sum(2.0 * decay, kernel) - total


def _slow_sum(decay: float, kernel: Kernel) -> float:
    """Return sum_{k>=1} f(exp(-decay k)) of an odd kernel f for a small decay, where very many terms matter.

    The terms k < M are added up. The rest is the midpoint rule for the integral from M - 1/2, with its first
    correction; the terms vary so slowly there that the next correction is below rounding. In r = exp(-decay k) = cos t
    the integral is (1/decay) int_0^R f(r)/r dr, analytic in t although f has a root singularity at r = 1.
    """
    k = np.arange(1, _DIRECT_TERMS + 1, dtype=np.float64)
    values = kernel(np.exp(-decay * k))
    start = 2.0 * math.asin(math.sqrt(-0.5 * math.expm1(-decay * (_DIRECT_TERMS - 0.5))))
    nodes, weights = np.polynomial.legendre.leggauss(64)
    t = start + (math.pi / 2.0 - start) * (nodes + 1.0) / 2.0
    integral = float(np.sum(weights * kernel(np.cos(t)) * np.tan(t))) * (math.pi / 2.0 - start) / 2.0
    return float(np.sum(values[:-1]) + integral / decay + (values[-1] - values[-2]) / 24.0)
