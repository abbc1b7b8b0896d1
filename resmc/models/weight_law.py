"""The laws of weights' entries that the kernels know, in one table: how an entry of variance 1 is made.

From a counter's word, from a normal, or by a generator; the kernels make the same entries in
``csrc/include/resmc/dense.hpp``. `resmc.models.weight_families` has the laws that are a table, and says how all are
spelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .activation_table import Floats, KernelTable

SQRT3 = math.sqrt(3.0)


@dataclass(frozen=True)
class WeightLaw:
    """One law of independent entries with mean 0 and variance 1.

    Attributes
    ----------
    number : int
        The number by which the kernels know the law.
    generated : callable
        Function of (generator, shape) that returns entries from a generator of NumPy's.
    of_word : callable or None
        Function from signed random words of 32 bits (two's complement) to entries; None for laws whose entries are made
        of `resmc.reference.normals`, four from four words.
    table : KernelTable or None
        T, where an entry is T(g) of a normal g; None for the Gaussian law, of which the entry is g, and for those of
        words.
    cancels : bool
        True if sums of entries, and of entries times numbers that such sums have made, are exactly 0 with a positive
        probability. Rounding leaves a trace of them, which kernels and twin take for 0.
    symmetric : bool
        True if an entry is as likely as its opposite.
    """

    number: int
    generated: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    of_word: Callable[[NDArray[np.int32]], Floats] | None = None
    table: KernelTable | None = None
    cancels: bool = False
    symmetric: bool = True

    @property
    def gaussian(self) -> bool:
        """True if the law of W h depends on |h| alone, as the projected method needs it."""
        return self.of_word is None and self.table is None

    def of_normals(self, g: Floats) -> Floats:
        """Return the entries that are made of these normals, of a law that is not one of words."""
        return g if self.table is None else self.table.value(g)


def _fair_signs(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return 2.0 * generator.integers(0, 2, shape).astype(np.float64) - 1.0


WEIGHTS: dict[str, WeightLaw] = {
    "gaussian": WeightLaw(0, lambda generator, shape: generator.standard_normal(shape)),
    # from -sqrt(3) to sqrt(3)
    "uniform": WeightLaw(
        1,
        lambda generator, shape: generator.uniform(-SQRT3, SQRT3, shape),
        lambda w: np.asarray(SQRT3 * (2.0 * w + 1.0) * 2.0**-32),
    ),
    # -1 or 1
    "rademacher": WeightLaw(2, _fair_signs, lambda w: np.where(w >= 0, 1.0, -1.0), cancels=True),
}
TABLE = 3  # the kernels' number of all laws that are a table


BIAS_LAWS = ("gaussian", "uniform")  # signs alone would cancel exactly
