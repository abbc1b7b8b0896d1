"""Estimates from `NormSums` and `ActivitySums`, of the layers of one simulation or of the same layer of many at once.

Every estimate has the shape (R,) of the sums' last axis, and that of an entry is the same in every bit whatever other
entries stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..engine.moments import leave_one_out
from ..engine.sums import ActivitySums, NormSums
from .estimates import MIN_NETWORKS, ROUNDING, Estimate, Floats, add_groups, jackknife, mean_estimate

Integers = NDArray[np.int64]

__all__ = [
    "SecondMoment",
    "active_fraction",
    "asymmetry_mean",
    "asymmetry_variance",
    "dead_fraction",
    "growth_log_mean",
    "growth_log_variance",
    "inactive_fraction",
    "log_norm_excess_kurtosis",
    "log_norm_mean",
    "log_norm_skewness",
    "log_norm_variance",
    "log_second_moment",
]

MOST_RELATIVE_ERROR = 0.05  # a mean square with a larger one has a logarithm without error bar
UNSEEN = 3.0  # networks, a neuron away from the others, that the error of A and F allows for, as `share` does
LIGHTER = 4.0  # times the scatter that a run shows, more than which the logarithms' variance is not believed
HEAVIER = 1.5  # times the scatter that the logarithms' variance explains, and more where that is large itself


def log_norm_mean(sums: NormSums, offsets: Floats | float = 0.0) -> Estimate:
    """Mean of L_l; ``offsets`` is what separates the normalised network's log-norm from the model's, by entry."""
    n, mean, m2 = sums.pooled_log_norm[0, :3]
    estimate = mean_estimate(mean * n, m2, sums.alive.sum(axis=0))
    return replace(estimate, value=estimate.value + offsets)


def log_norm_variance(sums: NormSums, least: Integers | int = 0) -> Estimate:
    """Variance of L_l (unbiased)."""
    n, _, m2 = sums.pooled_log_norm.swapaxes(0, 1)[:3]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _jackknife(sums, np.where(n > 1, m2 / (n - 1.0), np.nan), least)


def log_norm_skewness(sums: NormSums, least: Integers | int = 0) -> Estimate:
    """Skewness m3/m2^(3/2) of L_l; 0 for a Gaussian."""
    n, _, m2, m3 = sums.pooled_log_norm.swapaxes(0, 1)[:4]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _jackknife(sums, np.sqrt(n) * m3 / (m2 * np.sqrt(m2)), least)


def log_norm_excess_kurtosis(sums: NormSums, least: Integers | int = 0) -> Estimate:
    """Excess kurtosis m4/m2^2 - 3 of L_l; 0 for a Gaussian."""
    n, _, m2, _, m4 = sums.pooled_log_norm.swapaxes(0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _jackknife(sums, n * m4 / m2**2 - 3.0, least)


def growth_log_mean(sums: NormSums, offsets: Floats | float = 0.0) -> Estimate:
    """Mean of L_l - L_0, or of what else the sums hold from a start; ``offsets`` as for `log_norm_mean`."""
    n, mean, m2 = sums.pooled_growth_log[0, :3]
    estimate = mean_estimate(mean * n, m2, sums.grown.sum(axis=0))
    return replace(estimate, value=estimate.value + offsets)


def growth_log_variance(sums: NormSums, least: Integers | int = 0) -> Estimate:
    """Variance of L_l - L_0 (unbiased)."""
    n, _, m2 = sums.pooled_growth_log.swapaxes(0, 1)[:3]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(n > 1, m2 / (n - 1.0), np.nan)
    return _jackknife(sums, values, least, sums.grown.sum(axis=0))


def asymmetry_mean(sums: ActivitySums, width: Integers | int) -> Estimate:
    """Mean of A_l; ``width`` by entry, or one for all."""
    n, total, squares = (add_groups(a) for a in (sums.alive, sums.asymmetry, sums.asymmetry_square))
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = squares - np.where(n > 0, total**2 / n, 0.0)
    return mean_estimate(total, centred + UNSEEN * (2.0 / width) ** 2, n)


def asymmetry_variance(sums: ActivitySums) -> Estimate:
    """Variance of A_l (unbiased)."""
    n, total, squares = (leave_one_out(a) for a in (sums.alive, sums.asymmetry, sums.asymmetry_square))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _jackknife(sums, (squares - total**2 / n) / (n - 1.0))


def active_fraction(sums: ActivitySums, width: Integers | int, largest: Integers | int | None = None) -> Estimate:
    """Mean of F_l, the fraction of neurons that fire; ``width`` by entry, or one for all.

    ``largest`` is the largest width of all layers, where these differ: the sums are of squares around half of it.
    """
    around = 0.5 * (width if largest is None else largest)
    n, active, squares = (add_groups(a) for a in (sums.alive, sums.active, sums.active_square))
    excess = active - n * around  # about width/2, where nothing cancels
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = squares - np.where(n > 0, excess**2 / n, 0.0)
    estimate = mean_estimate(excess / width, (centred + UNSEEN) / width**2, n)
    return replace(estimate, value=estimate.value + around / width)


def dead_fraction(sums: NormSums) -> Estimate:
    """Fraction of the networks where v_l = 0."""
    networks = np.broadcast_to(sums.networks.sum(axis=0), sums.records.shape[1:])
    return share(networks - sums.alive.sum(axis=0), networks)


def inactive_fraction(sums: ActivitySums) -> Estimate:
    """Fraction of the living networks without an active neuron."""
    return share(sums.inactive.sum(axis=0), sums.alive.sum(axis=0))


def share(count: NDArray[np.int64], n: NDArray[np.int64]) -> Estimate:
    """Return count/n with the standard error sqrt((count + 3) (n - count + 3)/(n + 6))/n.

    The plain error sqrt(p (1 - p)/n) is 0 where nothing was counted, and too small where little was. With this one, as
    summing the binomial law shows, intervals of 95% cover in at least 94.3% of samples from n = 32 on, whatever the
    probability (tests/test_observables.py). The idea is that of Agresti, Coull 1998, "Approximate is better than exact
    for interval estimation of binomial proportions", who add two to both counts and move the centre, too.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(n > 0, count / n, np.nan)
        stderr = np.sqrt((count + 3.0) * (n - count + 3.0) / (n + 6.0)) / n
    return Estimate(value, np.where(n >= MIN_NETWORKS, stderr, np.nan), n)


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """log E|z_l|^2/|z_0|^2, dead networks counting as 0, by entry; networks that started from 0 are left out.

    Rare networks rule the mean of W = |z_l|^2/|z_0|^2, and a run that lacks them underestimates the mean and, more
    so, its error. Whether it does is therefore asked of the logarithms, to which rare networks add little: were ln W
    Gaussian, of variance v and in a share s of living networks, the mean of W would have a relative error of

        sqrt(x/N),    x = exp(v)/s - 1.

    x is believed up to 4 times the scatter that W shows, N sum W^2/(sum W)^2 - 1: more comes of values near 0, which
    spread the logarithms alone. The estimate is called reliable where the error is at most 5%, and the scatter at most
    (1.5 + x) x: more comes of tails that are heavier than a Gaussian's, of which v says nothing. Displacements take
    more networks besides (`resmc.results.reliability`). The standard error is then the larger one of the jackknife's
    and of the one above. Elsewhere the value comes without an error.

    ``effective_sample_size`` is (sum W)^2 / sum W^2.
    """

    __repr__ = brief_repr

    estimate: Estimate
    reliable: NDArray[np.bool_]
    effective_sample_size: Floats
    least: Floats  # networks with which it would be reliable, as far as these say


@dataclass(frozen=True, eq=False)
class Rule:
    """Verdict on a mean of W > 0, as `SecondMoment` explains it.

    ``reliable`` where rare networks do not rule it, ``expected`` its relative error, ``least`` how many networks it
    takes, by entry.
    """

    reliable: NDArray[np.bool_]
    expected: Floats
    least: Floats

    @staticmethod
    def of(
        networks: Integers, alive: Floats | Integers, variance: Floats, effective: Floats, fewest: Integers | int = 0
    ) -> Rule:
        """Return it from the variance of ln W over the networks ``alive``, and (sum W)^2/sum W^2."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            explained = np.exp(variance) * networks / alive - 1.0
            scatter = np.where(effective > 0, networks / effective - 1.0, np.inf)
            believed = np.minimum(explained, LIGHTER * scatter)
            reliable = (
                (believed <= MOST_RELATIVE_ERROR**2 * networks)
                & (scatter <= (HEAVIER + explained) * explained + ROUNDING)
                & ((networks >= fewest) | (scatter <= ROUNDING))
            )
            least = np.maximum(np.maximum(believed, scatter) / MOST_RELATIVE_ERROR**2, fewest)
            expected = np.sqrt(np.maximum(believed, 0.0) / networks)
        return Rule(reliable, expected, least)


def log_second_moment(
    sums: NormSums, offsets: Floats | float = 0.0, fewest: Integers | int = 0, of_nothing: float = np.nan
) -> SecondMoment:
    """Return ln E W by entry.

    ``offsets`` is what the normalised network lacks in log-norm beyond its input, ``fewest`` how many networks an error
    takes, and ``of_nothing`` the value where W is 0 in every network.
    """
    growth, unit = sums.pooled_growth()
    total = leave_one_out(sums.started)
    if total.ndim == 1:
        total = total[:, None]
    networks = np.broadcast_to(total[0], unit.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = np.log(growth[:, 0] / total) + unit * np.log(2.0) + offsets
        effective = np.where(growth[0, 0] > 0, growth[0, 0] ** 2 / growth[0, 1], 0.0)
        logs = np.where(np.isfinite(logs), logs, of_nothing)
        n, _, m2 = sums.whole_moments("growth_log")[:3]
    rule = Rule.of(networks, n, m2 / np.maximum(n - 1.0, 1.0), effective, fewest)
    estimate = jackknife(logs, sums.started, networks)
    stderr = np.where(rule.reliable, np.maximum(estimate.stderr, rule.expected), np.nan)
    estimate = replace(estimate, stderr=stderr)
    return SecondMoment(estimate, rule.reliable, effective, rule.least)


def _jackknife(
    sums: NormSums | ActivitySums, values: Floats, least: Integers | int = 0, n: Integers | None = None
) -> Estimate:
    estimate = jackknife(values, sums.networks, sums.alive.sum(axis=0) if n is None else n)
    return replace(estimate, stderr=np.where(estimate.n >= least, estimate.stderr, np.nan))
