"""Pilots: short simulations of each point that tell how many networks a standard error takes.

A pilot's networks are no part of the estimate, so that nothing is biased.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import fdtri

from ..engine.recording import GROUPS, LARGEST_BATCH
from ..results.entries import End
from ..results.observables import SWEPT
from .plan import Plan, ends
from .plan_checks import FIRST_OF_PILOT
from .point import Point
from .shards import Shard

UPDATES = 2**32  # most updates in a pilot, unless fewer than FEWEST networks would be left
FEWEST, MOST = 1 << 12, GROUPS * LARGEST_BATCH
CONFIDENCE = 0.95  # by the F law; nine in ten where errors scatter more: those of growth and of fourth moments
MOST_DEGREES = 1e9  # like infinitely many
STEPS = 16  # numbers of networks are rounded up to 1/16 of an octave, so that pilots that differ by rounding agree


def pilot_shard(plan: Plan, index: int) -> Shard[Point]:
    """Return the pilot of a point: a power of two networks that no estimate uses, at most ``max_networks``."""
    updates = plan.point(index, MOST).updates
    affordable = min(max(UPDATES // updates, FEWEST), MOST, plan.most)
    networks = 1 << affordable.bit_length() - 1
    return Shard(plan.point(index, networks), FIRST_OF_PILOT, FIRST_OF_PILOT + networks)


def wanted_networks(plan: Plan, indices: Sequence[int], pilots: Sequence[End]) -> list[int]:
    """Return how many networks each of some points takes, given the ends of their pilots.

    A pilot of m networks with standard error e asks for m (e/target)^2 c networks, the most over all targets. Both e
    and the error that the estimate will have are estimates themselves, of df degrees of freedom (the networks for a
    mean, at most 31 for a jackknife, and about the root of the networks for a median, whose error is a distance of
    values in order), so that the ratio of their squares follows an F law: c is its quantile of 0.95. Growth
    takes at least 1.5 times the networks that make it reliable; if rare networks rule it in the pilot already, it takes
    ``max_networks``.
    """
    if not pilots:
        return []
    found = ends(plan, indices, pilots)
    networks = found.networks  # dead networks count, since the estimate will have the same share of them
    wanted = np.full(len(pilots), 32.0)
    for name, target in (plan.target_stderr or {}).items():
        quantity = SWEPT[name]
        e = quantity.estimate_of(found)
        n = np.asarray(e.n, np.float64)
        known = np.sqrt(n) if quantity.per == "end" else np.where(np.isfinite(e.df), e.df, n - 1.0)
        df = np.maximum(known, 1.0)
        with np.errstate(invalid="ignore"):
            more = (e.stderr / target) ** 2
            grows = 0.5 if quantity.per == "end" else np.where(np.isfinite(e.df), 0.0, 1.0)
            final = np.clip(df * np.where(np.isfinite(more), more, 1.0) ** grows, 1.0, MOST_DEGREES)
            needed = networks * more * fdtri(final, df, CONFIDENCE)
            if quantity.least is not None:
                needed = np.maximum(needed, 1.5 * quantity.least(found))
        wanted = np.fmax(wanted, np.where(np.isfinite(needed), needed, np.inf))
    return [min(plan.most, _rounded_up(w)) for w in np.minimum(wanted, float(plan.most))]


def _rounded_up(wanted: float) -> int:
    octave = 2.0 ** np.floor(np.log2(wanted))
    return int(np.ceil(octave * np.ceil(wanted / octave * STEPS) / STEPS))
