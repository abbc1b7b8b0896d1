r"""How does the output variance grow with depth?

E\|z_l\|^2/\|z_0\|^2 grows like exp(c l/n) in a vanilla ResNet and is exactly (alpha^2 + lam^2)^l in a balanced one (Li,
Nica, Roy 2021, arXiv 2106.04013). A network of depth d contains every depth below d: one run gives the whole curve.

The mean of \|z\|^2 is ruled by rare networks. It is called reliable where the effective sample size
(sum W)^2 / sum W^2 is at least 1000 and the standard deviation of L_l - L_0 is at most sqrt(2 ln N) - 2: beyond that, N
networks are unlikely to contain those that carry the mean. Elsewhere the value comes without an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import theory
from ..estimates import Estimate, Floats
from ..normalisation import rounding_correction
from ._result import Result

if TYPE_CHECKING:
    from ..simulation import Simulation

MIN_EFFECTIVE_SAMPLE = 1000.0


@dataclass(frozen=True, eq=False, repr=False)
class Growth(Result):
    r"""Growth of the second moment by recorded layer (R,).

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    ratio : ndarray, shape (R,)
        l/n.
    log_second_moment : Estimate, shape (R,)
        log E\|z_l\|^2/\|z_0\|^2, dead networks counting as 0; no error where it is not reliable.
    theory : ndarray, shape (R,)
        Its limit at leading order in 1/n.
    exact : ndarray, shape (R,)
        Its exact value where that is known (balanced, alpha = 0, lam = 0, layers 0 and 1), else NaN.
    reliable : ndarray of bool, shape (R,)
    effective_sample_size : ndarray, shape (R,)
    """

    layers: NDArray[np.int64]
    ratio: Floats
    log_second_moment: Estimate
    theory: Floats
    exact: Floats
    reliable: NDArray[np.bool_]
    effective_sample_size: Floats


def analyse(sim: Simulation) -> Growth:
    """The growth curve of ``sim``."""
    model, networks = sim.model, sim.networks
    sums, unit = sim.statistics.pooled_growth()
    total = np.concatenate([[networks], networks - sim.statistics.networks])[:, None]
    scale = sim.layers * model.log_scale
    shift = sim.layers * (model.log_scale + rounding_correction(model))  # the statistics lack this
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(sums[:, 0] / total) + unit * np.log(2.0) + shift
        effective = np.where(sums[0, 0] > 0, sums[0, 0] ** 2 / sums[0, 1], 0.0)
    logs = np.where(np.isfinite(logs), logs, np.nan)  # everybody dead: no value
    moments = sim.statistics.pooled_moments("growth_log")[0]
    deviation = np.sqrt(moments[2] / np.maximum(moments[0] - 1.0, 1.0))
    reliable = (effective >= MIN_EFFECTIVE_SAMPLE) & (deviation <= np.sqrt(2.0 * np.log(networks)) - 2.0)
    estimate = sim._jackknife(logs, np.full(len(sim.layers), networks))
    known = model.variant != "vanilla" or model.alpha == 0.0 or model.lam == 0.0
    return Growth(
        layers=sim.layers,
        ratio=sim.layers / model.width,
        log_second_moment=replace(estimate, stderr=np.where(reliable, estimate.stderr, np.nan)),
        theory=theory.variance_growth(model, sim.layers),
        exact=np.where(known | (sim.layers <= 1), scale, np.nan),
        reliable=reliable,
        effective_sample_size=effective,
    )
