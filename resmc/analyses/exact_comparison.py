"""Does a quotient have the law that it must have? Its quantiles and its distribution function against the exact ones.

Where layers multiply the squared norm by independent factors, the law of the growth and of the gradient's is known at
every width and depth (`resmc.theory.exact_law`). Against it every number has a z-score, and the whole distribution
function a Kolmogorov-Smirnov distance with a p-value. The final log-norm's distance is in `log_gaussian`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .._system import checks
from ..engine.finals import BIN_WIDTH
from ..results.estimates import MIN_NETWORKS, NORMAL_95, ROUNDING, Estimate, Floats, KSDistance, ks_resolution
from ..results.laws import Law
from ..results.record import Record
from ..theory import ExactLaw
from . import log_ratio
from ._result import Result

P = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_EDGES = 8192
KOLMOGOROV_MEAN, KOLMOGOROV_95 = 0.8687, 1.3581  # sqrt(n) times the distance of n values from their own law


@dataclass(frozen=True, eq=False, repr=False)
class ExactComparison(Result):
    """Quantiles of a quotient's final logarithm, and the distance of its law, beside the exact ones.

    Attributes
    ----------
    name : str
    p : ndarray, shape (7,)
        .01, .05, .25, .5, .75, .95, .99.
    quantile : Estimate, shape (7,)
        Simulated quantiles over all networks; a quotient of 0 counts as -infinity.
    exact_quantile : ndarray, shape (7,)
    z_score : ndarray, shape (7,)
        Of the quantiles; NaN where one has no error.
    ks : KSDistance
        Distance of the law, given that the quotient is not 0, from the exact one.
    p_value : float
        Probability of such a distance or a larger one, if the laws are one: `KSDistance.p_value`.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("p", "quantile", "exact_quantile", "z_score")

    name: str
    p: Floats
    quantile: Estimate
    exact_quantile: Floats
    z_score: Floats
    ks: KSDistance
    p_value: float


def compare(sim: Record, name: str) -> ExactComparison:
    """Return the comparison of one quotient of ``sim``, "growth" or "gradient", with its exact law.

    Raises
    ------
    ValueError
        If no exact law is known, the message saying why; or if the quotient was not followed.
    """
    checks.choice("name", name, ("growth", "gradient"))
    exact = sim.facts.exact_law(name)
    if exact is None:
        raise ValueError(f"{name!r} has nothing to be compared with: {sim.facts.no_exact_law(name)}")
    law = log_ratio.analyse(sim, name).law
    if law is None:
        raise ValueError(f"{name!r} has no law here: simulate with displacement=True or gradients=True")
    p = np.array(P)
    quantile, known = law.quantile(p), sim.facts.final_quantile(name, p)
    with np.errstate(invalid="ignore"):
        z = quantile.z_score(known)
    ks = distance(law, exact)
    return ExactComparison(name, p, quantile, known, z, ks, ks.p_value)


def distance(law: Law, exact: ExactLaw) -> KSDistance:
    """Return the distance of the finite values of ``law`` from an exact law, seen at edges of bins.

    Where the exact law has an atom, edges that rounding may move values across are left out.
    """
    n = int(law.counts.sum())
    cumulative = np.cumsum(law.counts)
    chosen = np.unique(np.searchsorted(cumulative, np.linspace(1.0, n, MOST_EDGES))) if n else np.zeros(0, np.intp)
    edges = (law.bins[chosen] + 1) * BIN_WIDTH + law.offset
    atom = exact.shift if exact.atom > 0.0 else math.inf
    away = np.abs(edges - atom) > ROUNDING
    edges, seen = edges[away], cumulative[chosen][away] / max(n, 1)
    if not len(edges) or not exact.parts:
        return KSDistance(np.asarray(np.nan), np.asarray(np.nan), np.asarray(n))
    known = exact.cdf(edges)
    apart = seen - known
    steps = float(np.abs(np.diff(apart)).max(initial=0.0))  # across an atom, both laws jump
    resolution = steps if exact.atom > 0.0 else ks_resolution(apart, known)
    enough = n >= MIN_NETWORKS
    floor = KOLMOGOROV_MEAN / math.sqrt(n) if enough else np.nan
    stderr = (KOLMOGOROV_95 / math.sqrt(n) + resolution) / NORMAL_95 if enough else np.nan
    return KSDistance(np.asarray(np.abs(apart).max()), np.asarray(stderr), np.asarray(n), np.inf, floor, resolution)
