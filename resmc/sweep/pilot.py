"""How many networks a standard error takes: a pilot says, and is no part of the estimate, so that nothing is biased."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtri

from ..engine.recording import GROUPS, LARGEST_BATCH
from ..engine.sums import LayerSums
from .plan import FIRST_OF_PILOT, Plan
from .quantities import QUANTITIES, LastLayers
from .shards import Shard

UPDATES = 2**32  # of a pilot at most, if it still has FEWEST networks then
FEWEST, MOST = 1 << 12, GROUPS * LARGEST_BATCH
CONFIDENCE = 0.9  # with which the number suffices, as far as the pilot's own error goes
STEPS = 16  # numbers of networks are rounded up to 1/16 of an octave: pilots that differ by rounding agree


def pilot_shard(plan: Plan, index: int) -> Shard:
    """The pilot of a point: networks that no estimate uses, a power of two of them, at most max_networks."""
    updates = plan.point(index, MOST).updates
    affordable = min(max(UPDATES // updates, FEWEST), MOST, plan.max_networks)
    networks = 1 << affordable.bit_length() - 1
    return Shard(plan.point(index, networks), FIRST_OF_PILOT, FIRST_OF_PILOT + networks)


def wanted_networks(plan: Plan, indices: Sequence[int], sums: Sequence[LayerSums]) -> list[int]:
    """Networks for each of some points, given their pilots.

    A pilot of m networks with standard error e asks for m (e/target)^2 c networks, the most over all targets, where
    c = df/chi^2_{0.1}(df) allows for e being an estimate itself with df degrees of freedom (m - 1 for a mean). Growth
    takes besides as many as make it reliable, and half as many more; where it is ruled by rare networks in the pilot
    already, max_networks.
    """
    if not sums:
        return []
    pilots = LayerSums.stack(list(sums))
    estimates = LastLayers(pilots, [plan.models[i] for i in indices])
    networks = pilots.networks.sum(axis=0)  # with the dead, of which there will be more in the same proportion
    wanted = np.full(len(sums), 32.0)
    for name, target in plan.target_stderr.items():
        quantity = QUANTITIES[name]
        e = quantity.estimate(estimates)
        df = np.maximum(np.where(np.isfinite(e.df), e.df, np.asarray(e.n) - 1.0), 1.0)
        allowance = df / chdtri(df, CONFIDENCE)
        with np.errstate(invalid="ignore"):
            needed = networks * (e.stderr / target) ** 2 * allowance
            if quantity.least is not None:
                needed = np.maximum(needed, 1.5 * quantity.least(estimates))
        wanted = np.fmax(wanted, np.where(np.isfinite(needed), needed, np.inf))
    return [min(plan.max_networks, _rounded_up(w)) for w in np.minimum(wanted, float(plan.max_networks))]


def _rounded_up(wanted: float) -> int:
    octave = 2.0 ** np.floor(np.log2(wanted))
    return int(np.ceil(octave * np.ceil(wanted / octave * STEPS) / STEPS))
