"""How does the angle between the states of two inputs of one network change from layer to layer?

Their states meet the same matrices. At infinite width the cosine follows a recursion (Cho, Saul 2009 for rectifiers;
Poole et al. 2016, arXiv 1606.05340), in which relu inputs collapse onto each other. At finite width cosines scatter
from network to network, and small angles, whose logarithm does a random walk, shrink faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..tables import Column, Table
from ..tables.table import MOST_LAYERS
from ..theory.infinite_width import InfiniteWidth, infinite_width
from ..theory.lyapunov import no_lyapunov_exponents, small_angle
from ._joint import MOST_PAIRS, THEORY, chosen_layers, estimates_of, nothing_known, pairs_below, sums_of, theory_cells
from ._result import Result

SMALL = 2.0 * math.log(0.1)  # ln sin^2 of the inputs' angle up to which the law of small angles stands beside it

MOST_UNRESOLVED = 0.01  # share of unresolved networks up to which the mean of the others still says something


@dataclass(frozen=True, eq=False, repr=False)
class Angles(Result):
    """Angles between the states h^a_l and h^b_l of inputs a and b, by recorded layer and pair, (R, m, m).

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    cosine, cosine_variance : Estimate, shape (R, m, m)
        Mean and variance of cos(angle) over the networks where neither state is 0.
    log_sine_squared, log_sine_squared_variance : Estimate, shape (R, m, m)
        Mean and variance of ln sin^2(angle), of the ``separated`` networks alone. In a homogeneous network, whatever
        the depth, an angle to input 0 keeps its digits, however small it is. In others, and where all weights are +-1,
        it does while it is above 1e-6 of how far the two norms have drifted apart, relative to them; the angle of two
        other inputs in any network, while it is above 1e-5 of how far both are from input 0, relative to its norm.
        Networks whose angle is smaller are ``unresolved``. They are not in the mean, which is above the true one then,
        and has no error; nor has it one at later layers, as rounding stays in an angle that grows again.
    alive, separated, together, unresolved : ndarray of int, shape (R, m, m)
        Networks where neither state is 0; of these those whose angle has its digits; those whose angle is 0; and those
        whose angle has lost its digits. The angle of identical inputs is 0; that of others is from a layer on where a
        single neuron is active for both, if there is no skip: the mean of ln sin^2 is given that it is not, as
        ``small_angle`` is. What is left are networks where states are on one line as the inputs are, as opposite ones
        in a linear network.
    infinite_width : InfiniteWidth
        ``cosine`` and ``log_sine_squared`` at infinite width (`resmc.theory.infinite_width`).
    small_angle : ndarray, shape (R, m, m)
        Mean of ln sin^2(angle) at this width in the limit of a small angle, where it is known exactly
        (`resmc.theory.small_angle`: networks without a skip) and the inputs' angle is below 0.1, else NaN.
    """

    layers: NDArray[np.int64]
    cosine: Estimate
    cosine_variance: Estimate
    log_sine_squared: Estimate
    log_sine_squared_variance: Estimate
    alive: NDArray[np.int64]
    separated: NDArray[np.int64]
    together: NDArray[np.int64]
    unresolved: NDArray[np.int64]
    infinite_width: InfiniteWidth
    small_angle: Floats

    def _table(self) -> Table:
        return self._rows(MOST_LAYERS, MOST_PAIRS)

    def _rows(self, most: int, most_pairs: int = 1 << 20) -> Table:
        pairs = pairs_below(self.cosine.shape[1], own=False)
        chosen = chosen_layers(len(self.layers), most)
        rows = []
        for i in chosen:
            for b, a in pairs[:most_pairs]:
                cosine, sine = self.cosine[i, a, b], self.log_sine_squared[i, a, b]
                limit = float(self.infinite_width.cosine[i, a, b])
                sine_limit = float(self.infinite_width.log_sine_squared[i, a, b])
                small = float(self.small_angle[i, a, b])
                theory = theory_cells(cosine, np.nan, limit)
                counts = (int(one[i, a, b]) for one in (self.separated, self.together, self.unresolved))
                last = [sine, sine_limit, small, *counts]
                rows.append([int(self.layers[i]), f"{b}, {a}", cosine, *theory, *last])
        columns = [
            Column("layer", "layer"),
            Column("inputs", "inputs", numeric=False),
            Column("cosine", "cosine"),
            *THEORY,
            Column("log sin^2", "log_sine_squared"),
            Column("infinite width", "log_sine_squared_infinite_width"),
            Column("small angle", "log_sine_squared_small_angle"),
            Column("separated", "separated"),
            Column(None, "together"),
            Column("unresolved", "unresolved"),
        ]
        left = len(self.layers) * len(pairs) - len(rows)
        complete = partial(self._rows, 1 << 20) if left else None
        return Table("angles", "Angles", columns, rows, notes=self._notes(), left_out=left, complete=complete)

    def _notes(self) -> list[str]:
        """Say of the pair with the most networks that its mean is without what that means for it."""
        return [*self._notes_of_unresolved(), *self._notes_of_together()]

    def _notes_of_together(self) -> list[str]:
        """Where inputs are not identical, and all are not together."""
        count = np.where(self.together < self.alive, self.together, 0)
        if not count.any():
            return []
        i, a, b = (int(x) for x in np.unravel_index(np.argmax(count), count.shape))
        return [
            f"The angle of inputs {min(a, b)}, {max(a, b)} is 0 in {counted(int(count[i, a, b]), 'network')} of "
            f"{int(self.alive[i, a, b])} at layer {self.layers[i]}: log sin^2 is the mean given that it is not."
        ]

    def _notes_of_unresolved(self) -> list[str]:
        if not self.unresolved.any():
            return []
        i, a, b = (int(x) for x in np.unravel_index(np.argmax(self.unresolved), self.unresolved.shape))
        count, alive = int(self.unresolved[i, a, b]), int(self.alive[i, a, b])
        first = int(self.layers[np.argmax(self.unresolved[:, a, b] > 0)])
        few = "" if count <= MOST_UNRESOLVED * alive else ", and is itself unresolved"
        return [
            f"The angle of inputs {min(a, b)}, {max(a, b)} has lost its digits in {counted(count, 'network')} of "
            f"{alive} at layer {self.layers[i]}: log sin^2 is the mean of the others, whose angles are larger. From "
            f"layer {first} on it has no error bar{few}."
        ]


def analyse(sim: Record) -> Angles:
    """Return the angles between the states of the inputs of ``sim``, with the limit beside them.

    Raises
    ------
    ValueError
        If there is one input alone.
    """
    inputs = sums_of(sim, "angles()", 2).recording.inputs
    found = estimates_of(sim)
    small = nothing_known((len(sim.layers), inputs.count, inputs.count))
    limit = infinite_width(sim.model, inputs, sim.layers)
    if no_lyapunov_exponents(sim.model) is None and sim.model.width > 1:
        theirs = infinite_width(sim.model, inputs, np.zeros(1, np.int64)).log_sine_squared
        small = theirs + small_angle(sim.model, sim.layers).mean[:, None, None]
        small[np.broadcast_to(~(theirs < SMALL), small.shape) | ~np.isfinite(small)] = np.nan
    return Angles(
        layers=sim.layers,
        cosine=found.cosine(),
        cosine_variance=found.variance("cosine"),
        log_sine_squared=found.log_sine_squared(),
        log_sine_squared_variance=found.variance("log_sine"),
        alive=found.alive,
        separated=found.separated,
        together=found.together,
        unresolved=found.unresolved,
        infinite_width=limit,
        small_angle=small,
    )
