"""How far does a residual network go from its input, and its gradient from the output's?

The answer is the logarithm of one of four quotients, by layer and as a final value (Marion, Fermanian, Biau, Vert,
arXiv 2206.06929):

.. code-block:: text

    growth                  ln |h_l|^2 / |h_0|^2            l = 0 .. L
    displacement            ln |h_l - h_0|^2 / |h_0|^2
    gradient                ln |p_l|^2 / |p_L|^2            final value at layer 0
    gradient_displacement   ln |p_l - p_L|^2 / |p_L|^2

Quotients are of squares, as the log-norm is: ln |h_L|/|h_0| is half of the first. p_L is a row of the readout,
symmetric and independent of all layers, so no quotient depends on a loss. A network whose quotient is 0 has no
logarithm: it is left out of means and variances, with the number of the others beside them, and is -infinity in medians
and quantiles, which leave nobody out. A network whose start is 0 has no quotient: it is left out of second moments,
too, and is +infinity in medians and quantiles. Weights of +-1 make h_0 = 0 where an input's entries cancel in all
neurons. A network that has exploded would be +infinity as well; here none can be, since norms are kept with their
exponents, but in `resmc.limit` some are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from ..engine.lowering import BACKWARD, QUOTIENTS
from ..results.estimates import Estimate
from ..results.laws import Law
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class LogRatio(Result):
    """The logarithm of one of the four quotients, X_l = ln(|v_l|^2/|start|^2), by recorded layer (R,).

    Attributes
    ----------
    name : str
    layers : ndarray of int, shape (R,)
    mean, variance : Estimate, shape (R,)
        Mean and variance of X_l, over the networks where neither v_l nor the start is 0.
    log_second_moment : Estimate, shape (R,)
        ln E |v_l|^2/|start|^2 over the networks whose start is not 0; v_l = 0 counts as 0; no error where it is not
        reliable
        (`resmc.results.layer_estimates.SecondMoment`).
    end : int
        The layer of the final value: the depth, or 0 for gradients.
    median : Estimate or None
        Median of the final value of X over all networks; None where there is no ``law``.
    law : Law or None
        Law of the final value of X over all networks; None where a simulation kept no final values (one that follows
        h alone, with the log-Gaussian kernels).
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("layers", "mean", "variance", "log_second_moment")

    name: str
    layers: NDArray[np.int64]
    mean: Estimate
    variance: Estimate
    log_second_moment: Estimate
    end: int
    median: Estimate | None
    law: Law | None

    @property
    def final_mean(self) -> Estimate:
        """Mean of the final value of X."""
        return self.mean[self._last]

    @property
    def final_variance(self) -> Estimate:
        """Variance of the final value of X."""
        return self.variance[self._last]

    @property
    def final_log_second_moment(self) -> Estimate:
        """ln E |v|^2/|start|^2 of the final value."""
        return self.log_second_moment[self._last]

    @property
    def _last(self) -> int:
        return 0 if self.end == 0 else -1

    def quantile(self, p: ArrayLike) -> Estimate:
        """Return quantiles of the final value of X over all networks, with errors: `Law.quantile`."""
        if self.law is None:
            raise ValueError("there is no law: simulate with displacement=True or gradients=True")
        return self.law.quantile(p)


def analyse(sim: Record, name: str) -> LogRatio:
    """Return one quotient of ``sim``: growth, displacement, gradient or gradient_displacement."""
    checks.choice("name", name, QUOTIENTS)
    if name != "growth" and name not in sim.ratios:
        wanted = "gradients=True" if name in BACKWARD else "displacement=True"
        raise ValueError(f"{name!r} was not followed: simulate with {wanted} (there are {', '.join(sim.followed)})")
    law = sim.laws.get(name)
    return LogRatio(
        name=name,
        layers=sim.layers,
        mean=OBSERVABLES[f"{name}.mean"].estimate_of(sim.entries),
        variance=OBSERVABLES[f"{name}.variance"].estimate_of(sim.entries),
        log_second_moment=OBSERVABLES[name if name == "growth" else f"{name}.second_moment"].estimate_of(sim.entries),
        end=0 if name in BACKWARD else int(sim.layers[-1]),
        median=None if law is None else law.median,
        law=law,
    )
