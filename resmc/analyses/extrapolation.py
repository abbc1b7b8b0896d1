"""Extrapolation from several widths at a fixed d/n to infinite width, where the limits of the theory hold.

A polynomial of degree p in 1/n is fitted, and its value c_0 at 1/n = 0 has two errors. The statistical one, s, comes
from the estimates. The other is that of the degree: the quantity is no polynomial, and what is left out, the power
p + 1 of 1/n and all higher ones, moves c_0. It is judged by two other fits, one of the next degree and one without the
narrowest width:

.. code-block:: text

    error^2 = s^2 + truncation^2,    truncation^2 = d^2 + (s_next/2)^2

with d the larger distance of their c_0 and s_next the next degree's statistical error, since d may be small by luck.
Intervals of 95% then hold the limit in 95 to 100% of 1000 syntheses for each of six sets of three to eight widths and
seven sizes of noise, 10^-5 to 3 10^-2, and in 85% at least for each of the ten functions in these; with s alone they
often never do. With as many widths as coefficients nothing tells the error of the degree, and there is no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaincc

from .._system import checks
from .._system.words import brief
from ..models.layer_widths import refuse_widths
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats
from ..results.observables import OBSERVABLES
from ..results.propagation import Networks
from ..results.record import Record
from . import found
from ._result import Result

BAD_FIT = 1e-3  # p-value below which the polynomial does not fit
FITTED = tuple(name for name, one in OBSERVABLES.items() if one.per != "run")  # a distance between laws has a floor


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
        c_0, with both errors; no error where the widths are as many as the coefficients.
    truncation : float
        The part of that error that comes from the degree (`resmc.analyses.extrapolation`); NaN where nothing tells it.
    coefficients, covariance : ndarray, shapes (p + 1,), (p + 1, p + 1)
        Of the fit; the covariance is the statistical one, propagated from the estimates.
    limit : float
        The theory's limit at this d/n; NaN where none is known.
    z_score : float
        (value - limit) / stderr: a limit can be tested at infinite width, and only there. NaN where no limit is known,
        where nothing tests the fit, and where the test rejects it (``p_value`` below 0.001).
    chi_square : float
        Chi-square of the fit, with S - p - 1 degrees of freedom.
    p_value : float
        Probability of a larger chi_square if the polynomial is right; NaN without degrees of freedom.
    remark : str
        Why there is a limit and no z; empty otherwise.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("widths", "estimates")

    quantity: str
    widths: Floats
    estimates: Estimate
    value: Estimate
    truncation: float
    coefficients: Floats
    covariance: Floats
    limit: float
    z_score: float
    chi_square: float
    p_value: float
    remark: str


def extrapolate(
    simulations: Sequence[Record], quantity: str = "log_norm.variance", degree: int | None = None
) -> Extrapolation:
    """Extrapolate a quantity of the final layer to infinite width by a weighted fit in 1/n.

    Parameters
    ----------
    simulations : sequence of Simulation
        At least two widths of one network: all of one d/n = depth/width, or networks that are no `ResNet` of one depth
        instead, and every other field the same. The fit takes them for independent: give each a seed of its own, as a
        `Sweep` does, or disjoint networks. With the same seed two widths would share the random numbers of the neurons
        that both have, and correlate.
    quantity : str
        A quantity that all of them have (`Simulation.observables`), at its end. Of a `ResNet` some are scaled, so that
        they tend to a limit that theory knows: ``log_norm.mean`` (without depth log(alpha^2 + lam^2)), ``asymmetry``
        (n E[A_d]), ``active_fraction`` (n (E[F_d] - 1/2)), ``growth`` (log E|z_d|^2/|z_0|^2, without depth
        log(alpha^2 + lam^2)); the limits of ``log_norm.variance``, ``log_norm.skewness``, ``log_norm.excess_kurtosis``
        and ``interlayer.lag1`` are known as they are. Of all others there is a value, and no limit beside it.
    degree : int, optional
        Degree of the polynomial in 1/n; by default 2 with at least four widths, else 1. With as many widths as
        coefficients nothing tests the fit, and there is neither an error nor a z.

    Raises
    ------
    ValueError
        If the simulations do not belong together, are too few, share random numbers, or an estimate has no error.
    """
    if hasattr(simulations, "model"):
        raise ValueError("simulations is a single one: extrapolate takes several, of different widths")
    for s in simulations:
        if not hasattr(s, "model"):
            raise ValueError(f"simulations holds {brief(s)}: extrapolate takes a sequence of Simulation objects")
        refuse_widths(s.model, "in extrapolate", "it fits what one width changes")
    sims = sorted(simulations, key=lambda s: s.model.width)
    widths = np.array([s.model.width for s in sims], np.float64)
    _check_alike(sims)
    there = [name for name in FITTED if all(name in s.observables for s in sims)]
    quantity = checks.choice("quantity", quantity, tuple(there))
    if len(set(widths)) < 2 or len(set(widths)) != len(widths):
        raise ValueError(f"simulations of widths {widths.astype(int).tolist()} are not enough: give different widths")
    for a, b in combinations(sims, 2):
        if a.seed == b.seed and any(r.start < s.stop and s.start < r.stop for r in a.ranges for s in b.ranges):
            raise ValueError(
                f"simulations of widths {a.model.width} and {b.model.width} are not independent: they share random "
                f"numbers (seed {a.seed}, the same networks). Give each a seed of its own, as a Sweep does"
            )
    if degree is None:
        degree = 2 if len(sims) >= 4 else 1
    degree = checks.integer("degree", degree, 1, len(sims) - 1, "one less than the number of widths")

    known = None if any(s.lowered.log_gaussian is None for s in sims) else OBSERVABLES[quantity].scaled
    several = [_scaled(s, quantity, *((1.0, 0.0) if known is None else known.scale(s.resnet))) for s in sims]
    value, stderr = (np.array([float(getattr(e, part)) for e in several]) for part in ("value", "stderr"))
    if not np.all(np.isfinite(stderr) & (stderr > 0)):
        bad = widths[~(np.isfinite(stderr) & (stderr > 0))].astype(int).tolist()
        raise ValueError(f"quantity={quantity!r} has no standard error at widths {bad}: it cannot be weighted")
    estimates = Estimate(value, stderr, np.array([int(e.n) for e in several]), min(e.df for e in several))
    share_networks(estimates, np.array([s.drawn for s in sims], object))

    coefficients, covariance, chi_square = _fit(widths, estimates, degree)
    freedom = len(sims) - degree - 1
    p_value = float(gammaincc(freedom / 2.0, chi_square / 2.0)) if freedom > 0 else float("nan")
    truncation = _truncation(widths, estimates, degree, float(coefficients[0]))
    whole = Estimate(coefficients[0], np.hypot(np.sqrt(covariance[0, 0]), truncation), estimates.n.sum(), estimates.df)
    share_networks(whole, Networks.of_all(s.drawn for s in sims))
    limit = float("nan") if known is None else float(known.limit(sims[-1].resnet))
    remark = _no_z(degree, p_value) if np.isfinite(limit) else ""
    return Extrapolation(
        quantity=quantity,
        widths=widths,
        estimates=estimates,
        value=whole,
        truncation=truncation,
        coefficients=coefficients,
        covariance=covariance,
        limit=limit,
        z_score=float("nan") if remark else float(whole.z_score(limit)),
        chi_square=chi_square,
        p_value=p_value,
        remark=remark,
    )


def _fit(widths: Floats, estimates: Estimate, degree: int) -> tuple[Floats, Floats, float]:
    """Return the coefficients of the weighted fit of a polynomial in 1/n, their covariance, and chi-square."""
    value, stderr = estimates.value, estimates.stderr
    weighted = np.vander(1.0 / widths, degree + 1, increasing=True) / stderr[:, None]
    covariance = np.linalg.pinv(weighted.T @ weighted, hermitian=True, rcond=1e-30)
    coefficients = np.linalg.lstsq(weighted, value / stderr, rcond=None)[0]
    return (
        np.asarray(coefficients),
        np.asarray(covariance),
        float(np.sum((weighted @ coefficients - value / stderr) ** 2)),
    )


def _truncation(widths: Floats, estimates: Estimate, degree: int, value: float) -> float:
    """Return the error of the degree, from the next one and without the narrowest width; NaN if nothing tells it."""
    if len(widths) < degree + 2:
        return float("nan")
    more, covariance, _ = _fit(widths, estimates, degree + 1)
    fewer, _, _ = _fit(widths[1:], estimates[1:], degree)
    moved = max(abs(float(other[0]) - value) for other in (more, fewer))
    return float(np.hypot(moved, 0.5 * np.sqrt(covariance[0, 0])))


def _no_z(degree: int, p_value: float) -> str:
    """Return why the value is not tested against the limit, in a sentence; empty if it is."""
    if np.isnan(p_value):
        return f"no error and no z: {degree + 1} widths leave nothing to test a polynomial of degree {degree} with"
    if p_value < BAD_FIT:
        return f"no z: a polynomial of degree {degree} does not fit (p = {p_value:.1g}); leave out the narrowest widths"
    return ""


def _check_alike(sims: Sequence[Record]) -> None:
    """Refuse simulations that differ in more than the width, and in the depth in proportion to it."""
    if all(s.lowered.log_gaussian is not None for s in sims):
        alike: dict[str, list[Any]] = {
            name: [getattr(s.resnet, name) for s in sims] for name in ("ratio", "alpha", "lam", "variant", "input_norm")
        }
    else:
        described = [s.lowered.general.to_dict() for s in sims]
        depth = "depth" if len({d["depth"] for d in described}) == 1 else "ratio"
        alike = {"ratio": [s.model.ratio for s in sims]} if depth == "ratio" else {}
        alike |= {name: [d[name] for d in described] for name in described[0] if name not in ("width", "depth")}
    for name, values in alike.items():
        if any(value != values[0] for value in values):
            distinct = [value for i, value in enumerate(values) if value not in values[:i]]
            raise ValueError(f"simulations differ in {name} ({brief(distinct)}): an extrapolation needs one")


def _scaled(sim: Record, quantity: str, factor: float, shift: float) -> Estimate:
    """Return factor (quantity - shift) at the quantity's end, or at lag 1."""
    estimate, one = found.estimate(sim, quantity), OBSERVABLES[quantity]
    if one.per == "lag":
        where = np.flatnonzero(found.places(sim, quantity) == 1)
        if not where.size:
            raise ValueError(
                f"quantity={quantity!r} needs two recorded layers at distance 1; layers={brief(sim.layers)}"
            )
        estimate = estimate[int(where[0])]
    elif one.per == "layer":
        estimate = estimate[0 if one.backward else -1]
    return Estimate(factor * (estimate.value - shift), factor * estimate.stderr, estimate.n, estimate.df)
