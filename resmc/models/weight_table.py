"""Tables of weight laws: an entry is T(g), where g is the normal that the Gaussian law would draw in its place.

T = F^-1(Phi(g)) for the distribution function F of the law, shifted and scaled so that the entry has mean 0 and
variance 1: T is an increasing function on the interval of the normals that are drawn, |g| < 6.764, and a table of it
(`resmc.models.activation_table`, three octaves, so that it ends at 7) is the law. The largest entries are those of
probability 7e-12 on either side. Mean and variance are those of the entries as they are drawn, over all radii of
the method of Box and Muller: of a law with heavy tails, the part of the variance that rarer entries would have is not
among them (3e-4 of it with student_t(3), 5e-7 with student_t(5)), so that mean squares of layers are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .activation_table import Floats, KernelTable, coarsest

OCTAVES = 3
END = 2.0**OCTAVES - 1.0  # |g| up to which there is a table
RARE = 512  # radii of the smallest words, which are added up one by one
ANGLES = 128


def moments(of_normal: Callable[[Floats], Floats]) -> tuple[float, float]:
    """Return mean and standard deviation of T(g) over the normals that are drawn.

    These are r cos t with t uniform and r = sqrt(-2 ln((w + 1/2) 2^-32)) for w = 0 .. 2^32 - 1. Beyond the first words,
    the sum over w is an integral over -ln of its share, whose integrand is analytic.
    """
    rare = (np.arange(RARE) + 0.5) * 2.0**-32
    end = -math.log(RARE * 2.0**-32)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    v = 0.5 * end * (nodes + 1.0)
    radii = np.sqrt(2.0 * np.concatenate([-np.log(rare), v]))
    shares = np.concatenate([np.full(RARE, 2.0**-32), 0.5 * end * weights * np.exp(-v)])
    shares /= shares.sum()
    t = np.pi * (np.arange(ANGLES) + 0.5) / ANGLES
    found = of_normal(radii[:, None] * np.cos(t))
    mean = float(shares @ found.mean(axis=1))
    return mean, math.sqrt(float(shares @ ((found - mean) ** 2).mean(axis=1)))


def table_of(of_normal: Callable[[Floats], Floats]) -> KernelTable | float:
    """Return the table of a law, scaled to mean 0 and variance 1; or where it is not smooth enough for one.

    ``of_normal`` is F^-1(Phi(g)), increasing and finite up to |g| = 7. If it is odd, so is the table.
    """
    mean, deviation = moments(of_normal)
    near = np.linspace(0.0, END, 257)
    if np.array_equal(of_normal(near), -of_normal(-near)):
        mean = 0.0

    def scaled(g: Floats) -> Floats:
        return (of_normal(np.clip(g, -END, END)) - mean) / deviation

    table, worst = coarsest(scaled, None, (), (), OCTAVES)
    return worst if table is None else table


def is_odd(table: KernelTable) -> bool:
    """Say whether T(-g) = -T(g), for which entries are as likely as their opposites."""
    half = table.counts[0]
    return bool(np.array_equal(table.cells[:half], -table.cells[half:]))
