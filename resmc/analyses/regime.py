r"""Explosion, identity, or neither? What a residual network tends to as its depth L grows (arXiv 2206.06929).

With independent weights and branches of size c L^(-beta), \|h_L - h_0\|/\|h_0\| and the gradient's
\|p_0 - p_L\|/\|p_L\| tend to 0 like L^(1/2 - beta) for beta > 1/2 (the identity), to a law for beta = 1/2 (the only
non-trivial exponent), and grow for beta < 1/2: with unbounded activations faster than any power.

**The rule.** y(L), the median of the logarithm of a ratio, is fitted by a + s ln L + b/L, weighted by the medians'
standard errors: b/L is how a network of finite depth differs from a limit. Where that does not fit (p below 0.001) the
smallest depths are left out, down to the upper half of them, or three. The interval of s (99.9%, normal: the errors of
medians are known, not estimated from the scatter) decides:

.. code-block:: text

    explosion      it lies above +threshold
    identity       it lies below -threshold
    non-trivial    it lies between, and the curve fits
    undecided      otherwise; the sentence says what would decide it

**Its power.** s is about 1/2 - beta, and no slope below the threshold is told from 0: at threshold = 0.05 exponents
from 0.45 to 0.55 may be called non-trivial. The error of s is some 0.1/sqrt(networks) for the default depths: with 2000
networks beta = 1/2 is called non-trivial, \|beta - 1/2\| >= 0.07 is not, and between 0.04 and 0.07 some are undecided;
with fewer than 100, beta = 1/2 often is undecided too.

**What it cannot see** is what happens beyond the largest depth. Where steps are not small there (tanh with scaling
inside and c = 3 saturates up to depths of 10^5) the ratio still moves, and the verdict is that of these depths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from ..estimates import MIN_NETWORKS, Estimate, format_estimate
from ..model import MAX_DEPTH
from ..progress import reporting
from ..residual_network import DepthScaling, ResidualNetwork
from ..simulate import MAX_NETWORK, simulate
from ..simulation import Simulation
from ._result import Result

DEPTHS = (10, 30, 100, 300, 1000)
THRESHOLD = 0.05
LEVEL = 0.999
DECIDED = ("displacement", "gradient_displacement")
BAD_FIT = 1e-3  # p-value
SHOWN = {"displacement": "|h_L - h_0|/|h_0|", "gradient_displacement": "|p_0 - p_L|/|p_L|",
         "growth": "|h_L|/|h_0|", "gradient": "|p_0|/|p_L|"}  # fmt: skip
MOVES = {
    "explosion": "grows without bound",
    "identity": "tends to 0",
    "non-trivial": "tends neither to 0 nor to infinity",
}


@dataclass(frozen=True, eq=False, repr=False)
class Verdict(Result):
    """What one ratio does as the depth grows, and why.

    Attributes
    ----------
    ratio : str
        "displacement" or "gradient_displacement".
    name : {"explosion", "non-trivial", "identity", "undecided"}
    slope : Estimate
        s of the fit a + s ln L + b/L to the median of the ratio's logarithm.
    interval : tuple of float
        Of s, at 99.9%.
    correction : float
        b.
    smallest_depth : int
        Of those that were fitted.
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


@dataclass(frozen=True, eq=False, repr=False)
class Regime(Result):
    r"""The verdicts and their evidence; what `regime` returns.

    Attributes
    ----------
    depths : ndarray of int, shape (D,)
    displacement, growth : Estimate, shape (D,)
        Medians of ln \|h_L - h_0\|/\|h_0\| and ln \|h_L\|/\|h_0\|: without the squares of `LogRatio`.
    gradient_displacement, gradient : Estimate, shape (D,)
        Medians of ln \|p_0 - p_L\|/\|p_L\| and ln \|p_0\|/\|p_L\|.
    model : ResidualNetwork
        Its depth has no meaning here.
    forward, backward : Verdict
        On displacement and gradient_displacement.
    simulations : tuple of Simulation
        One for each depth.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("depths", "displacement", "growth", "gradient_displacement", "gradient")

    depths: NDArray[np.int64]
    displacement: Estimate
    growth: Estimate
    gradient_displacement: Estimate
    gradient: Estimate
    model: ResidualNetwork
    forward: Verdict
    backward: Verdict
    simulations: tuple[Simulation, ...]

    def summary(self) -> str:
        """A table by depth, and both sentences."""
        m, s = self.model, self.simulations[0]
        lines = [
            f"regime of {m.block}, {m.activation}  width {m.width}  {m.scaling}  {m.weights}, bias {m.bias:.6g}",
            f"{s.networks} networks for each depth, seed {s.seed}, {s.method}; medians of logarithms +- s.e.",
            "",
            "depth   " + "".join(f"{SHOWN[name]:<22}" for name in self._by_entry[1:]).rstrip(),
        ]
        for i, depth in enumerate(self.depths):
            cells = (getattr(self, name)[i] for name in self._by_entry[1:])
            lines.append(f"{depth:<8}" + "".join(f"{cell!s:<22}" for cell in cells).rstrip())
        return "\n".join([*lines, "", f"forward:  {self.forward.sentence}", f"backward: {self.backward.sentence}"])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Regime: forward {self.forward.name}, backward {self.backward.name}, depths {self.depths.tolist()}>"


def regime(
    model: ResidualNetwork,
    depths: Sequence[int] = DEPTHS,
    *,
    networks: int = 2000,
    seed: int = 0,
    method: str = "projected",
    threshold: float = THRESHOLD,
    progress: bool | Callable[[int, int], None] | None = None,
    device: Any = "auto",
    threads: int | None = None,
) -> Regime:
    r"""Simulate ``model`` at several depths, and say whether it explodes, tends to the identity, or does neither.

    For the forward pass and for the gradient, by the slope of the median of the ratios' logarithms against ln L with
    its interval: `resmc.analyses.regime` states the rule, its power, and what it cannot see.

    >>> found = resmc.regime(ResidualNetwork(40, 1, "v-phi-w", scaling=DepthScaling(0.5)))
    >>> print(found.summary())

    Parameters
    ----------
    model : ResidualNetwork
        With a `DepthScaling` and carry 1; its own depth has no meaning here.
    depths : sequence of int
        At least three, increasing. A factor of 30 and more between the ends tells most.
    networks : int
        For each depth, at least 32. Depth number i has the networks i * networks .. (i + 1) * networks - 1 of ``seed``,
        so that depths are independent.
    threshold : float
        Slopes between -threshold and threshold count as none.
    seed, method, progress, device, threads
        As for `simulate`.

    Raises
    ------
    ValueError
        For a model without depths to choose (a `ResNet`, scaling layer by layer), arguments out of range, or a ratio
        that is 0 in half of the networks, whose median has no logarithm.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929); the rule is ours.
    """
    _check_model(model)
    chosen = _depths(depths)
    networks = _checks.integer("networks", networks, MIN_NETWORKS, MAX_NETWORK // len(chosen), "2^48 over the depths")
    threshold = _threshold(threshold)
    models = [replace(model, depth=depth) for depth in chosen]
    total, before, simulations = sum(chosen), 0, []
    with reporting(progress, networks * len(chosen), "regime") as report:
        for i, one in enumerate(models):
            told: Any = False
            if report is not None:
                told = lambda done, n, b=before, d=one.depth: report((b + d * done / n) / total)  # noqa: E731
            simulations.append(
                simulate(one, networks=networks, seed=seed, first_network=i * networks, method=method, gradients=True,
                         layers=[0], correlations=False, progress=told, device=device, threads=threads)
            )  # fmt: skip
            before += one.depth
    found = {name: _medians(name, simulations) for name in SHOWN}
    forward, backward = (
        decide(name, chosen, found[name], threshold) for name in ("displacement", "gradient_displacement")
    )
    return Regime(np.array(chosen), model=model, forward=forward, backward=backward, simulations=tuple(simulations),
                  **found)  # fmt: skip


def decide(ratio: str, depths: ArrayLike, log_ratio: Estimate, threshold: float = THRESHOLD) -> Verdict:
    """The rule, applied to the medians ``log_ratio`` (D,) of the logarithm of a ratio at ``depths`` (D,).

    Raises
    ------
    ValueError
        For fewer than three depths, or an estimate without an error, or with the error 0.
    """
    _checks.choice("ratio", ratio, DECIDED)
    chosen, threshold = _depths(depths), _threshold(threshold)
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


def _fit(x: NDArray[np.float64], y: NDArray[np.float64], stderr: NDArray[np.float64]) -> tuple[Any, Any, float]:
    """Coefficients (a, s, b) of a + s ln x + b/x, their covariance, and the p-value of chi-square."""
    from scipy.special import gammaincc

    scale = np.array([1.0, 1.0, x[0]])  # columns of size 1
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


def _medians(name: str, simulations: Sequence[Simulation]) -> Estimate:
    """Of the ratio's logarithm, by simulation."""
    found = []
    for sim in simulations:
        median = sim.log_ratio(name).median
        if median is None or not np.isfinite(median.value):
            raise ValueError(f"{SHOWN[name]} is 0 in half of the networks at depth={sim.model.depth}: no logarithm")
        found.append(median)
    value, stderr = (0.5 * np.array([float(getattr(m, part)) for m in found]) for part in ("value", "stderr"))
    return Estimate(value, stderr, np.array([int(m.n) for m in found]))


def _check_model(model: Any) -> None:
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={model!r} is not allowed: it must be a ResidualNetwork, whose branches shrink with L")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("scaling layer by layer is not allowed: it has one depth, and a regime needs a DepthScaling")
    if model.carry != 1.0:
        raise ValueError(f"carry={model.carry!r} is not allowed: a regime needs 1, or all grows or falls like carry^L")


def _depths(given: Any) -> list[int]:
    try:
        depths = [_checks.integer("depths", depth, 1, MAX_DEPTH, "2^20 - 1") for depth in np.asarray(given).tolist()]
    except TypeError:
        depths = []
    if len(depths) < 3 or any(a >= b for a, b in pairwise(depths)):
        raise ValueError(f"depths={given!r} is not allowed: it must be at least three integers, increasing")
    return depths


def _threshold(given: Any) -> float:
    threshold = _checks.real("threshold", given, positive=True)
    if threshold > 0.5:
        raise ValueError(f"threshold={threshold!r} is not allowed: it must be at most 0.5")
    return threshold
