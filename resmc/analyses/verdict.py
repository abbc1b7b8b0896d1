"""The rule by which a ratio explodes, tends to 0, or does neither as the depth L grows.

**The rule.** A ratio is the root of a quotient of squares, such as |h_L - h_0|/|h_0|. The median y(L) of its
logarithm is fitted by a + s ln L + b/L, weighted by the medians' standard errors: b/L is how a network of finite depth
differs from a limit. Where that does not fit (p below 0.001) the smallest depths are left out, down to the upper half
of them, or three. The interval of s (99.9%, normal: the errors of medians are known, not estimated from the scatter)
decides:

.. code-block:: text

    explosion      the interval lies above +threshold
    identity       the interval lies below -threshold
    non-trivial    the interval lies between, and the curve fits
    undecided      otherwise; the sentence says what would decide

**Its power.** s is about 1/2 - beta, and no slope below the threshold is told from 0: at threshold = 0.05 exponents
from 0.45 to 0.55 may be called non-trivial. The error of s is some 0.1/sqrt(networks) for the default depths: with 2000
networks beta = 1/2 is called non-trivial, |beta - 1/2| >= 0.07 is not, and between 0.04 and 0.07 some are undecided;
with fewer than 100, beta = 1/2 often is undecided too.

**Its blind spot** is all that happens beyond the largest depth. Where steps are not small there (tanh with scaling
inside and c = 3 saturates up to depths of 10^5) the ratio still moves, and the verdict is that of these depths.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from .._system import checks
from .._system.words import brief
from ..models.resnet import MAX_DEPTH
from ..results.estimates import Estimate, Floats, format_estimate
from ._result import Result

THRESHOLD = 0.05
LEVEL = 0.999
DECIDED = ("displacement", "gradient_displacement")
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
    correction : float
        b of the fit.
    smallest_depth : int
        The smallest depth that was fitted.
    p_value : float
        Probability of a larger chi-square if the curve is right; 1 where three depths leave nothing to test.
    threshold : float
    sentence : str
    """

    ratio: str
    name: str
    slope: Estimate
    interval: tuple[float, float]
    correction: float
    smallest_depth: int
    p_value: float
    threshold: float
    sentence: str


def decide(ratio: str, depths: ArrayLike, log_ratio: Estimate, threshold: float = THRESHOLD) -> Verdict:
    """Apply the rule to the medians ``log_ratio`` (D,) of the logarithm of a ratio at ``depths`` (D,).

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
    fewest = max(3, (len(x) + 1) // 2)
    for start in range(len(x) - fewest + 1):
        coefficients, covariance, p_value = _fit(x[start:], log_ratio.value[start:], log_ratio.stderr[start:])
        if p_value >= BAD_FIT:
            break
    slope = Estimate(coefficients[1], np.sqrt(covariance[1, 1]), log_ratio.n.sum())
    low, high = (float(end) for end in slope.interval(LEVEL))
    name = _name(low, high, p_value, threshold)
    return Verdict(
        ratio=ratio,
        name=name,
        slope=slope,
        interval=(low, high),
        correction=float(coefficients[2]),
        smallest_depth=int(x[start]),
        p_value=p_value,
        threshold=threshold,
        sentence=_sentence(ratio, name, slope, (low, high), p_value, threshold, int(log_ratio.n.min())),
    )


def _fit(x: Floats, y: Floats, stderr: Floats) -> tuple[Any, Any, float]:
    """Return coefficients (a, s, b) of a + s ln x + b/x, their covariance, and the p-value of chi-square."""
    scale = np.array([1.0, 1.0, x[0]])  # makes the columns of the design of size 1
    design = np.column_stack([np.ones_like(x), np.log(x), x[0] / x]) / stderr[:, None]
    coefficients = np.linalg.lstsq(design, y / stderr, rcond=None)[0]
    inverse = np.linalg.pinv(design)
    freedom = len(x) - 3
    chi_square = float(np.sum((design @ coefficients - y / stderr) ** 2))
    p_value = float(gammaincc(0.5 * freedom, 0.5 * chi_square)) if freedom else 1.0
    return coefficients * scale, inverse @ inverse.T * np.outer(scale, scale), p_value


def _name(low: float, high: float, p_value: float, threshold: float) -> str:
    if low > threshold:
        return "explosion"
    if high < -threshold:
        return "identity"
    if -threshold < low and high < threshold and p_value >= BAD_FIT:
        return "non-trivial"
    return "undecided"


def _sentence(
    ratio: str, name: str, slope: Estimate, interval: tuple[float, float], p_value: float, threshold: float, n: int
) -> str:
    power = f"L^({format_estimate(float(slope.value), float(slope.stderr))})"
    ends = f"{100 * LEVEL:g}% interval [{interval[0]:.3f}, {interval[1]:.3f}]"
    if name in MOVES:
        where = {"explosion": f"above {threshold:g}", "identity": f"below {-threshold:g}"}
        like = "faster than any power, on the whole like" if name == "explosion" and p_value < BAD_FIT else "like"
        return (
            f"{name}: {SHOWN[ratio]} {MOVES[name]}; its median goes {like} {power}, {ends}, "
            f"{where.get(name, f'within +-{threshold:g}')}."
        )
    if -threshold < interval[0] and interval[1] < threshold:
        return f"undecided: {SHOWN[ratio]} follows no power of L up to a correction in 1/L; larger depths would decide."
    crossed = [end for end in (-threshold, threshold) if interval[0] <= end <= interval[1]]
    room = min(abs(float(slope.value) - end) for end in crossed)
    wanted = n * (0.75 * (interval[1] - interval[0]) / room) ** 2 if room else np.inf
    what = f"about {float(f'{wanted:.1g}'):.0f} networks" if wanted <= 1e4 * n else "another threshold"
    return (
        f"undecided: the median of {SHOWN[ratio]} goes like {power}, {ends}, which holds "
        f"{' and '.join(f'{end:g}' for end in crossed)}; {what} or larger depths would decide."
    )


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
