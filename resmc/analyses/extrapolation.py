"""Extrapolation from several widths at a fixed d/n to infinite width, where the limits of the theory hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from scipy.special import gammaincc

from .. import theory
from .._system import checks
from ..models.resnet import ResNet
from ..results.estimates import Estimate, Floats
from ..results.record import Record
from . import growth, interlayer
from ._result import Result


@dataclass(frozen=True, eq=False)
class Quantity:
    """A quantity that can be extrapolated: its estimate from a simulation, and its limit for a model."""

    estimate: Callable[[Record], Estimate]
    limit: Callable[[ResNet], float]


def _scaled(estimate: Estimate, factor: float, shift: float = 0.0) -> Estimate:
    return Estimate(factor * (estimate.value - shift), factor * estimate.stderr, estimate.n, estimate.df)


def _lag(sim: Record, lag: int = 1) -> Estimate:
    analysis = interlayer.analyse(sim)
    where = np.flatnonzero(analysis.lags == lag)
    if not where.size:
        raise ValueError(f"quantity='interlayer.lag1' needs two recorded layers at distance {lag}; layers={sim.layers}")
    return analysis.by_lag[int(where[0])]


def _minus_scale(sim: Record, estimate: Estimate) -> Estimate:
    return _scaled(estimate, 1.0, sim.resnet.depth * sim.resnet.log_scale)


QUANTITIES: dict[str, Quantity] = {
    "log_norm.mean": Quantity(
        lambda s: _minus_scale(s, s.log_norm_mean[-1]),
        lambda m: theory.infinite_depth_and_width(m).log_norm_mean,
    ),
    "log_norm.variance": Quantity(
        lambda s: s.log_norm_variance[-1], lambda m: theory.infinite_depth_and_width(m).log_norm_variance
    ),
    "log_norm.skewness": Quantity(lambda s: s.log_norm_skewness[-1], lambda m: 0.0),
    "log_norm.excess_kurtosis": Quantity(lambda s: s.log_norm_excess_kurtosis[-1], lambda m: 0.0),
    "asymmetry": Quantity(
        lambda s: _scaled(s.asymmetry_mean[-1], s.resnet.width),
        lambda m: theory.infinite_depth_and_width(m).scaled_asymmetry,
    ),
    "active_fraction": Quantity(
        lambda s: _scaled(s.active_fraction[-1], s.resnet.width, 0.5),
        lambda m: theory.infinite_depth_and_width(m).scaled_active_fraction,
    ),
    "interlayer.lag1": Quantity(_lag, lambda m: float(theory.interlayer_correlation(m, [1])[0])),
    "growth": Quantity(
        lambda s: _minus_scale(s, growth.analyse(s).log_second_moment[-1]),
        lambda m: theory.infinite_depth_and_width(m).log_second_moment,
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class Extrapolation(Result):
    """The fit c_0 + c_1/n + .. + c_p/n^p and its value c_0 at infinite width.

    Attributes
    ----------
    quantity : str
    widths : ndarray, shape (S,)
    estimates : Estimate, shape (S,)
        The fitted estimates, by width.
    value : Estimate
        c_0, with the error propagated from the estimates.
    coefficients, covariance : ndarray, shapes (p + 1,), (p + 1, p + 1)
    limit : float
        The theory's limit at this d/n.
    z_score : float
        (value - limit) / stderr: a limit can be tested at infinite width, and only there.
    chi_square : float
        Chi-square of the fit, with S - p - 1 degrees of freedom.
    p_value : float
        Probability of a larger chi_square if the polynomial is right; NaN without degrees of freedom.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("widths", "estimates")

    quantity: str
    widths: Floats
    estimates: Estimate
    value: Estimate
    coefficients: Floats
    covariance: Floats
    limit: float
    z_score: float
    chi_square: float
    p_value: float


def extrapolate(
    simulations: Sequence[Record], quantity: str = "log_norm.variance", degree: int | None = None
) -> Extrapolation:
    """Extrapolate a quantity of the final layer to infinite width by a weighted fit in 1/n.

    Parameters
    ----------
    simulations : sequence of Simulation
        At least two widths, of one d/n = depth/width, one alpha, lam, variant and input_norm. The fit takes them for
        independent: give each a seed of its own, as a `Sweep` does, or disjoint networks. With the same seed two widths
        would share the random numbers of the neurons that both have, and correlate.
    quantity : str
        ``log_norm.mean`` (without depth log(alpha^2 + lam^2)), ``log_norm.variance``, ``log_norm.skewness``,
        ``log_norm.excess_kurtosis``, ``asymmetry`` (n E[A_d]), ``active_fraction`` (n (E[F_d] - 1/2)),
        ``interlayer.lag1``, ``growth`` (log E\\|z_d\\|^2/\\|z_0\\|^2, without depth log(alpha^2 + lam^2)).
    degree : int, optional
        Degree of the polynomial in 1/n; by default 2 with at least four widths, else 1.

    Raises
    ------
    ValueError
        If the simulations do not belong together, are too few, share random numbers, or an estimate has no error.
    """
    quantity = checks.choice("quantity", quantity, tuple(QUANTITIES))
    if hasattr(simulations, "model"):
        raise ValueError("simulations is a single one: extrapolate takes several, of different widths")
    for s in simulations:
        if not hasattr(s, "model"):
            raise ValueError(f"simulations holds {s!r}: extrapolate takes a sequence of Simulation objects")
    sims = sorted(simulations, key=lambda s: s.resnet.width)
    widths = np.array([s.resnet.width for s in sims], np.float64)
    for name in ("ratio", "alpha", "lam", "variant", "input_norm"):
        values = {getattr(s.resnet, name) for s in sims}
        if len(values) > 1:
            raise ValueError(f"simulations differ in {name} ({sorted(values)}): an extrapolation needs one")
    if len(set(widths)) < 2 or len(set(widths)) != len(widths):
        raise ValueError(f"simulations of widths {widths.astype(int).tolist()} are not enough: give different widths")
    for a, b in combinations(sims, 2):
        if a.seed == b.seed and any(r.start < s.stop and s.start < r.stop for r in a.ranges for s in b.ranges):
            raise ValueError(
                f"simulations of widths {a.resnet.width} and {b.resnet.width} are not independent: they share random "
                f"numbers (seed {a.seed}, the same networks). Give each a seed of its own, as a Sweep does"
            )
    if degree is None:
        degree = 2 if len(sims) >= 4 else 1
    degree = checks.integer("degree", degree, 1, len(sims) - 1, "one less than the number of widths")

    found = [QUANTITIES[quantity].estimate(s) for s in sims]
    value, stderr = (np.array([float(getattr(e, part)) for e in found]) for part in ("value", "stderr"))
    if not np.all(np.isfinite(stderr) & (stderr > 0)):
        bad = widths[~(np.isfinite(stderr) & (stderr > 0))].astype(int).tolist()
        raise ValueError(f"quantity={quantity!r} has no standard error at widths {bad}: it cannot be weighted")
    estimates = Estimate(value, stderr, np.array([int(e.n) for e in found]), min(e.df for e in found))

    design = np.vander(1.0 / widths, degree + 1, increasing=True)
    weighted = design / stderr[:, None]
    covariance = np.linalg.pinv(weighted.T @ weighted, hermitian=True, rcond=1e-30)
    coefficients = np.linalg.lstsq(weighted, value / stderr, rcond=None)[0]
    chi_square = float(np.sum((weighted @ coefficients - value / stderr) ** 2))
    freedom = len(sims) - degree - 1
    whole = Estimate(coefficients[0], np.sqrt(covariance[0, 0]), estimates.n.sum(), estimates.df)
    limit = float(QUANTITIES[quantity].limit(sims[-1].resnet))
    return Extrapolation(
        quantity=quantity,
        widths=widths,
        estimates=estimates,
        value=whole,
        coefficients=coefficients,
        covariance=covariance,
        limit=limit,
        z_score=float(whole.z_score(limit)),
        chi_square=chi_square,
        p_value=float(gammaincc(freedom / 2.0, chi_square / 2.0)) if freedom > 0 else float("nan"),
    )
