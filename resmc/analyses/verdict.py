"""The rule by which a ratio explodes, tends to 0, or does neither as the depth L grows.

**The rule.** A ratio is the root of a quotient of squares, such as |h_L - h_0|/|h_0|. It asks for at least four
depths, the largest at least 10 times the smallest; with less, all is undecided. The median y(L) of its logarithm is
fitted by a + s ln L + b/L, weighted by the medians' standard errors: b/L is how a network of finite depth differs from
a limit. Where that does not fit (p below 0.001) the smallest depths are left out, as long as four are left and no more
than half are; a fit over less than a factor of 10 counts as none. Slope, curvature and level decide together. The *last
slope* is that to the largest depth from the next that is at most half of it, and the one before ends there. Intervals
are of 99.9%; errors of medians reach so far that they miss no more often, noisy as they are (`results.laws`):

.. code-block:: text

    explosion      the curve fits, and the interval of s lies above +threshold, that of the last slope above 0;
                   or it does not fit, the last slope's lies above +threshold, and that of the one before above 0;
                   and the last slope is no smaller than the one before
    identity       the curve fits, and the interval of s lies below -threshold, that of the last slope below 0, or
                   below -threshold if it is flatter than the one before; and the ratio at the largest depth is below 1
    non-trivial    the curve fits, and the interval of s lies between; the last slope's meets it; and nothing else
                   moves: neither the ratio's quartiles, nor median and quartiles of |h_L|/|h_0| or |p_0|/|p_L|
    undecided      otherwise; the sentence says why, or what would decide

A ratio that falls while it is above 1 may still rise: steps are not small there. A median may stand still while the law
gets wider, or while h_L itself tends to 0. A quartile moves if its slope's interval leaves that of +-threshold, or is
wider than 8 thresholds. A slope is smaller or flatter than another by more than 3 standard errors. With the scaling
inside, an activation that is curved at 0 makes networks grow that have left the region where its curvature is all that
counts, at whatever exponent: where its arguments are larger than 1 at the largest depth, there is no explosion.

**Its power.** s is about 1/2 - beta for independent weights, and no slope below the threshold is told from 0: at
threshold = 0.05 exponents from 0.45 to 0.55 may be called non-trivial. The error of s is some 0.12/sqrt(networks) for
the default depths: with 2000 networks beta = 1/2 is called non-trivial, |beta - 1/2| >= 0.07 is not, and between 0.04
and 0.07 some are undecided; with fewer than 100, beta = 1/2 often is undecided too. Where layers depend on each other s
is e - beta, e being 1 for weights that are smooth in depth, and for fractional noise what
`resmc.theory.depth_kinds.noise_exponent` says; noise comes near to its e only slowly, and gradients slower.

**Its blind spot** is all that happens beyond the largest depth. Where steps are not small there (tanh with scaling
inside and c = 3 saturates up to depths of 10^5) the ratio still moves, and the verdict is that of these depths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from .._system import checks
from .._system.words import brief
from ..models.resnet import MAX_DEPTH
from ..results.estimates import Estimate, Floats, format_estimate
from ._result import Result

THRESHOLD = 0.05
FEWEST = 4  # depths of a verdict
RANGE = 10.0  # the largest of them over the smallest, at least
LEVEL = 0.999
DECIDED = ("displacement", "gradient_displacement")
BENT = 3.0  # standard errors by which a slope is seen to differ from the one before
BAD_FIT = 1e-3  # p-value below which the curve does not fit
SHOWN = {
    "displacement": "|h_L - h_0|/|h_0|",
    "gradient_displacement": "|p_0 - p_L|/|p_L|",
    "growth": "|h_L|/|h_0|",
    "gradient": "|p_0|/|p_L|",
}
MOVES = {
    "explosion": "grows without bound",
    "identity": "tends to 0",
    "non-trivial": "tends neither to 0 nor to infinity",
}


@dataclass(frozen=True, eq=False, repr=False)
class Verdict(Result):
    """The behaviour of one ratio as the depth grows, with the evidence for it.

    Attributes
    ----------
    ratio : str
        "displacement" or "gradient_displacement".
    name : {"explosion", "non-trivial", "identity", "undecided"}
    slope : Estimate
        s of the fit a + s ln L + b/L to the median of the ratio's logarithm.
    interval : tuple of float
        The 99.9% interval of s.
    last_slope : Estimate
        The slope to the largest depth from the next that is at most half of it; NaN if there is none.
    correction : float
        b of the fit.
    smallest_depth : int
        The smallest depth that was fitted.
    p_value : float
        Probability of a larger chi-square if the curve is right; 1 where three depths leave nothing to test (and there
        is no verdict).
    threshold : float
    sentence : str
    """

    ratio: str
    name: str
    slope: Estimate
    interval: tuple[float, float]
    last_slope: Estimate
    correction: float
    smallest_depth: int
    p_value: float
    threshold: float
    sentence: str


def decide(
    ratio: str,
    depths: ArrayLike,
    log_ratio: Estimate,
    threshold: float = THRESHOLD,
    quartiles: Mapping[str, Estimate] | None = None,
    doubt: str = "",
) -> Verdict:
    """Apply the rule to the medians ``log_ratio`` (D,) of the logarithm of a ratio at ``depths`` (D,).

    ``quartiles`` (D,), by what they are in words, must stand still in what is non-trivial; those that are infinite at
    all depths do. ``doubt`` says why growth at these depths proves no explosion, if it does not.

    Raises
    ------
    ValueError
        For fewer than three depths, or an estimate without an error, or with the error 0.
    """
    checks.choice("ratio", ratio, DECIDED)
    chosen, threshold = check_depths(depths), check_threshold(threshold)
    known = np.isfinite(log_ratio.value) & np.isfinite(log_ratio.stderr) & (log_ratio.stderr > 0.0)
    if log_ratio.shape != (len(chosen),) or not known.all():
        raise ValueError(f"log_ratio={log_ratio} is not allowed: it must have a value and an error for every depth")
    x = np.array(chosen, np.float64)
    for start in range(_most_left_out(x) + 1):
        fit = _fit(x[start:], log_ratio[start:])
        if fit.p_value >= BAD_FIT:
            break
    found = _Found(
        ratio,
        threshold,
        fit,
        *_last_slopes(x, log_ratio),
        log_ratio[-1],
        [words for words, each in (quartiles or {}).items() if _moves(x[start:], each[start:], threshold)],
        int(log_ratio.n.min()),
        doubt,
    )
    name, reason = _judged(x, start, found)
    return Verdict(
        ratio=ratio,
        name=name,
        slope=fit.slope,
        interval=_interval(fit.slope),
        last_slope=found.last,
        correction=fit.correction,
        smallest_depth=int(x[start]),
        p_value=fit.p_value,
        threshold=threshold,
        sentence=f"{name}: {reason}",
    )


class _Fit(NamedTuple):
    """The fit a + s ln x + b/x."""

    slope: Estimate
    correction: float
    p_value: float  # chi-square's


class _Found(NamedTuple):
    """Evidence for a verdict."""

    ratio: str
    threshold: float
    fit: _Fit
    last: Estimate
    before: Estimate
    level: Estimate
    moving: list[str]
    networks: int
    doubt: str


def _fit(x: Floats, y: Estimate) -> _Fit:
    """Fit a + s ln x + b/x, weighted; s has the degrees of freedom of Satterthwaite."""
    scale = np.array([1.0, 1.0, x[0]])  # makes the columns of the design of size 1
    design = np.column_stack([np.ones_like(x), np.log(x), x[0] / x]) / y.stderr[:, None]
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ (y.value / y.stderr)
    freedom = len(x) - 3
    chi_square = float(np.sum((design @ coefficients - y.value / y.stderr) ** 2))
    parts = inverse[1] ** 2  # each estimate's share of the variance of s
    slope = Estimate(coefficients[1], np.sqrt(parts.sum()), y.n.sum(), _freedom(parts, y.df))
    p_value = float(gammaincc(0.5 * freedom, 0.5 * chi_square)) if freedom else 1.0
    return _Fit(slope, float(coefficients[2] * scale[2]), p_value)


def _freedom(parts: Floats, df: float | Floats) -> float:
    """Return the degrees of freedom of a sum of variances that are themselves estimated with ``df`` degrees."""
    return float(parts.sum() ** 2 / np.sum(parts**2 / df)) if np.isfinite(df).all() else np.inf


def _last_slopes(x: Floats, y: Estimate) -> tuple[Estimate, Estimate]:
    """Return the last slope against ln x and the one before, NaN where depths are too close for one."""
    found, end, df = [], len(x) - 1, np.broadcast_to(y.df, y.shape)
    for _ in range(2):
        start = int(np.searchsorted(x, 0.5 * x[end], side="right")) - 1
        if start < 0:
            found.append(Estimate(np.array(np.nan), np.array(np.nan), np.array(0)))
            continue
        pair, run = [start, end], np.log(x[end] / x[start])
        parts = (y.stderr[pair] / run) ** 2
        slope = (y.value[end] - y.value[start]) / run
        found.append(Estimate(slope, np.sqrt(parts.sum()), y.n[pair].sum(), _freedom(parts, df[pair])))
        end = start
    return found[0], found[1]


def _interval(slope: Estimate) -> tuple[float, float]:
    low, high = slope.interval(LEVEL)
    return float(low), float(high)


def _moves(x: Floats, y: Estimate, threshold: float) -> bool:
    """Return True if a quartile does not stand still, or is too uncertain to tell."""
    if np.isinf(y.value).all():
        return False
    if not (np.isfinite(y.value) & np.isfinite(y.stderr)).all():
        return True
    y = replace(y, stderr=np.maximum(y.stderr, 1e-6))  # the quartile of a law with an atom there has none
    low, high = _fit(x, y).slope.interval(LEVEL)
    return bool(low > threshold or high < -threshold or high - low > 8.0 * threshold)


def _most_left_out(x: Floats) -> int:
    """Return how many of the smallest depths may be left out: four must stay, and half of all."""
    return max(len(x) - max(FEWEST, (len(x) + 1) // 2), 0)


def _judged(x: Floats, start: int, found: _Found) -> tuple[str, str]:
    """Return the verdict's name, and what is said after it."""
    if len(x) < FEWEST or x[-1] < RANGE * x[0]:
        return "undecided", (
            f"a verdict needs at least {FEWEST} depths, the largest {RANGE:g} times the smallest or more; "
            f"there are {len(x)} from {x[0]:g} to {x[-1]:g}."
        )
    threshold, ratio = found.threshold, SHOWN[found.ratio]
    (low, high), (end_low, end_high) = _interval(found.fit.slope), _interval(found.last)
    last = f"at the largest depths it goes like L^({_number(found.last)})"
    goes = f"the median of {ratio} goes like L^({_number(found.fit.slope)})"
    ends = f"{100 * LEVEL:g}% interval [{low:.3f}, {high:.3f}]"
    bend = float((found.last.value - found.before.value) / np.hypot(found.before.stderr, found.last.stderr))
    if found.fit.p_value < BAD_FIT or x[-1] < RANGE * x[start]:  # no power of L over the range that it takes
        if end_low > threshold and _interval(found.before)[0] > 0.0 and bend > -BENT and not found.doubt:
            return "explosion", (
                f"{ratio} {MOVES['explosion']}; its median goes faster than any power, and {last}, "
                f"{100 * LEVEL:g}% interval [{end_low:.3f}, {end_high:.3f}], above {threshold:g}."
            )
        return "undecided", (
            f"{ratio} follows no power of L up to a correction in 1/L over a factor of {RANGE:g}, and {last}"
            f"{found.doubt and ', but '}{found.doubt}; larger depths would decide."
        )
    if low > threshold:
        if end_low > 0.0 and not bend < -BENT and not found.doubt:
            return "explosion", _said("explosion", found, goes, ends)
        return "undecided", f"{goes}, {ends}, but {found.doubt or last}; larger depths would decide."
    if high < -threshold:
        if end_high >= (-threshold if bend > BENT else 0.0):
            return "undecided", f"{goes}, {ends}, but {last}; larger depths would decide."
        if float(found.level.interval(LEVEL)[1]) >= 0.0:
            size = f"{np.exp(float(found.level.value)):.3g}"
            return "undecided", (
                f"{goes}, {ends}, but it is {size} at the largest depth, where a step is not small: it may still "
                "rise; larger depths would decide."
            )
        return "identity", _said("identity", found, goes, ends)
    if -threshold < low and high < threshold:
        if end_low > threshold or end_high < -threshold:
            return "undecided", f"{goes}, {ends}, but {last}; larger depths would decide."
        if found.moving:
            return (
                "undecided",
                f"{goes}, {ends}, but {found.moving[0]} does not stand still, or too few networks show it.",
            )
        return "non-trivial", _said("non-trivial", found, goes, ends)
    return "undecided", _crossed(found, goes, ends)


def _said(name: str, found: _Found, goes: str, ends: str) -> str:
    """Return what is said of a verdict that is one."""
    where = {"explosion": f"above {found.threshold:g}", "identity": f"below {-found.threshold:g}"}
    shown = goes.replace(f"the median of {SHOWN[found.ratio]}", "its median")
    return f"{SHOWN[found.ratio]} {MOVES[name]}; {shown}, {ends}, {where.get(name, f'within +-{found.threshold:g}')}."


def _crossed(found: _Found, goes: str, ends: str) -> str:
    """Return what is said where the interval of the slope holds a threshold: what would decide."""
    low, high = _interval(found.fit.slope)
    crossed = [end for end in (-found.threshold, found.threshold) if low <= end <= high]
    room = min(abs(float(found.fit.slope.value) - end) for end in crossed)
    wanted = found.networks * (0.75 * (high - low) / room) ** 2 if room else np.inf
    what = f"about {float(f'{wanted:.1g}'):.0f} networks" if wanted <= 1e4 * found.networks else "another threshold"
    held = " and ".join(f"{end:g}" for end in crossed)
    return f"{goes}, {ends}, which holds {held}; {what} or larger depths would decide."


def _number(estimate: Estimate) -> str:
    return format_estimate(float(estimate.value), float(estimate.stderr))


def check_depths(given: Any) -> list[int]:
    """Return the depths if they are at least three integers, increasing; else raise ValueError."""
    try:
        depths = [checks.integer("depths", depth, 1, MAX_DEPTH, "2^20 - 1") for depth in np.asarray(given).tolist()]
    except TypeError:
        depths = []
    if len(depths) < 3 or any(a >= b for a, b in pairwise(depths)):
        raise ValueError(f"depths={brief(given)} is not allowed: it must be at least three integers, increasing")
    return depths


def check_threshold(given: Any) -> float:
    """Return the threshold if it is a number above 0, at most 1/2; else raise ValueError."""
    threshold = checks.real("threshold", given, positive=True)
    if threshold > 0.5:
        raise ValueError(f"threshold={brief(threshold)} is not allowed: it must be at most 0.5")
    return threshold
