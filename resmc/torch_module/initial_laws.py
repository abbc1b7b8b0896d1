"""The law from which a matrix of torch was drawn: its kind and its standard deviation, read off its entries.

The initialisations that are known have the standard deviations

.. code-block:: text

    default             uniform on +-1/sqrt(fan_in): 1/sqrt(3 fan_in), a bias the same
    kaiming             gain/sqrt(fan), fan_in or fan_out           normal or uniform
    xavier              gain sqrt(2/(fan_in + fan_out))             normal or uniform
    a number            0.02, as in GPT-2                           normal or uniform
    zeros               0

with the gains 1, sqrt(2), 5/3 and 3/4 of ``torch.nn.init.calculate_gain``. One that is none of
these is handed in by its standard deviation.

A matrix is taken for a draw if it passes three tests, each of which a draw fails with a probability of 1e-6:

.. code-block:: text

    entries      sum w^2/s^2 over N entries within z sqrt(v N) of N, z = 4.9, v = Var w^2/s^2: 2, or uniform 4/5
    range        the largest |w|/s within the quantiles of 1e-6 and 1 - 1e-6 of its law, sqrt(3) for uniform ones
    directions   the largest singular value over s from r - 2 - z to r + z, r = sqrt(rows) + sqrt(columns): its mean is
                 at most r, and above r - 2 (Davidson, Szarek; for uniform entries, which are sub-Gaussian, too)

Orthogonal matrices of a width above 50 have too small a largest one. Training moves singular values, and sooner or
later the entries. A matrix that passes may have been trained a little, which no test can exclude.

Sources: Glorot, Bengio (2010); He, Zhang, Ren, Sun (arXiv 1502.01852); ``torch.nn.Linear.reset_parameters``; Davidson,
Szarek, Local operator theory (2001), theorem II.13, for the largest singular value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Floats = NDArray[np.float64]

LEVEL = 1e-6  # probability with which a draw fails a test
Z = float(-special.ndtri(0.5 * LEVEL))
SQRT3 = math.sqrt(3.0)
GAINS = (1.0, math.sqrt(2.0), 5.0 / 3.0, 0.75, 1.0 / SQRT3)
NUMBERS = (0.02,)
VARIANCE_OF_SQUARE = {"gaussian": 2.0, "uniform": 0.8}


@dataclass(frozen=True)
class InitialLaw:
    """A law of independent entries: "gaussian", "uniform" or "zeros", and the standard deviation."""

    kind: str
    deviation: float


def known_deviations(fan_in: int, fan_out: int) -> tuple[float, ...]:
    """Return the standard deviations of known initialisations, without repetitions, smallest first."""
    return _distinct([*NUMBERS, *(one for gain in GAINS for one in deviations_of(gain, fan_in, fan_out))])


def deviations_of(gain: float, fan_in: int, fan_out: int) -> tuple[float, float, float]:
    """Return the standard deviations that a gain gives: Kaiming's with either fan, and Xavier's."""
    return gain / math.sqrt(fan_in), gain / math.sqrt(fan_out), gain * math.sqrt(2.0 / (fan_in + fan_out))


def _distinct(found: Sequence[float]) -> tuple[float, ...]:
    """Return numbers in order, those that are one but for rounding once."""
    ordered = sorted(found)
    return tuple(one for i, one in enumerate(ordered) if i == 0 or one > ordered[i - 1] * (1.0 + 1e-9))


def misfit(entries: Floats, law: InitialLaw) -> str | None:
    """Return what speaks against entries being a draw of a law, in a few words; None if nothing does."""
    w, s, count = entries / law.deviation, law.deviation, entries.size
    size = float(np.max(np.abs(w)))
    if law.kind == "uniform":
        if size > SQRT3 * (1.0 + 1e-6):
            return f"an entry of size {size * s:.4g} is outside of +-{SQRT3 * s:.4g}"
        if size < SQRT3 * LEVEL ** (1.0 / count):
            return f"no entry is near the ends of +-{SQRT3 * s:.4g}"
    elif size > -special.ndtri(0.5 * LEVEL / count):
        return f"an entry of size {size * s:.4g} is too large for a standard deviation of {s:.4g}"
    elif size < -special.ndtri(-0.5 * math.expm1(math.log(LEVEL) / count)):
        return f"no entry is as large as those of a Gaussian law with a standard deviation of {s:.4g}"
    away = (float(np.sum(w**2)) - count) / math.sqrt(VARIANCE_OF_SQUARE[law.kind] * count)
    if abs(away) > Z:
        return f"the entries' mean square is {away:+.1f} standard errors from {s:.4g}^2"
    if w.ndim == 2 and min(w.shape) > 1:
        largest, expected = _largest_singular_value(w), math.sqrt(w.shape[0]) + math.sqrt(w.shape[1])
        if not expected - 2.0 - Z <= largest <= expected + Z:
            return f"the largest singular value, {largest * s:.4g}, is not that of independent entries"
    return None


def _largest_singular_value(w: Floats) -> float:
    """Return the largest singular value, from the smaller Gram matrix: many times faster than all of them."""
    gram = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
    last = len(gram) - 1
    return math.sqrt(linalg.eigvalsh(gram, subset_by_index=[last, last])[0])


def laws_of(entries: Floats, deviations: Sequence[float]) -> list[InitialLaw]:
    """Return the laws with one of these standard deviations that entries may be a draw of; the first of equal ones."""
    if not np.any(entries):
        return [InitialLaw("zeros", 0.0)]
    first = [s for i, s in enumerate(deviations) if not any(math.isclose(s, t, rel_tol=1e-9) for t in deviations[:i])]
    laws = [InitialLaw(kind, s) for s in first for kind in ("gaussian", "uniform") if s > 0.0]
    return [law for law in laws if misfit(entries, law) is None]
