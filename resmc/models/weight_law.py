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
        True if an entry is as likely as its opposite; of orthogonal matrices, a row.
    matrices : callable or None
        Function from square matrices of Gaussian entries, (.., n, n), to those of the law, where entries of a matrix
        depend on each other. Entries of the first layer and of the readout are Gaussian then.
    """

    number: int
    generated: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    of_word: Callable[[NDArray[np.int32]], Floats] | None = None
    table: KernelTable | None = None
    cancels: bool = False
    symmetric: bool = True
    matrices: Callable[[Floats], Floats] | None = None

    @property
    def gaussian(self) -> bool:
        """True if all entries are Gaussian and independent."""
        return self.of_word is None and self.table is None and self.matrices is None

    @property
    def orthogonal(self) -> bool:
        """True if matrices are sqrt(n) times orthogonal ones, uniform among these."""
        return self.matrices is not None

    @property
    def projected(self) -> bool:
        """True if the law of W h depends on |h| alone, as the projected method needs it."""
        return self.gaussian or self.orthogonal

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


def _orthogonal(entries: Floats) -> Floats:
    """Return sqrt(n) Q of G = Q R, the diagonal of R positive, (.., n, n): uniform, as that of a rotated G is rotated.

    Source: Mezzadri (2007, arXiv math-ph/0609050).
    """
    q, r = np.linalg.qr(entries)
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0.0, -1.0, 1.0)
    return np.asarray(math.sqrt(entries.shape[-1]) * q * signs[..., None, :])


# A law of whole matrices: kernels draw what is seen of them, and do not write them out.
ORTHOGONAL = WeightLaw(4, lambda generator, shape: generator.standard_normal(shape), matrices=_orthogonal)


BIAS_LAWS = ("gaussian", "uniform")  # signs alone would cancel exactly


def refuse_orthogonal(law: WeightLaw, where: str) -> None:
    """Refuse orthogonal matrices by a ValueError that says ``where`` they are not allowed."""
    if law.orthogonal:
        raise ValueError(
            f"weights='orthogonal' are not allowed {where}: what is drawn of such matrices is what one input and one "
            "gradient see of them"
        )
