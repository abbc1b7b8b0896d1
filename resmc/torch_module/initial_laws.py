"""The law from which a matrix of torch was drawn: its kind and its standard deviation, read off its entries.

The initialisations that are known have the standard deviations

.. code-block:: text

    default             uniform on +-1/sqrt(fan_in): 1/sqrt(3 fan_in), a bias the same
    kaiming             gain/sqrt(fan), fan_in or fan_out           normal or uniform
    xavier              gain sqrt(2/(fan_in + fan_out))             normal or uniform
    a number            0.02, as in GPT-2                           normal or uniform
    truncated           those above, of a normal that is cut at 2 or 3 of its own standard deviations, and at 2 also as
                        the standard deviation of what is left
    orthogonal          gain/sqrt(n), square matrices
    zeros               0

with the gains 1, sqrt(2), 5/3 and 3/4 of ``torch.nn.init.calculate_gain``. One that is none of these is handed in by
its standard deviation s. The bounds of ``trunc_normal_`` are no multiples of s; at first they are +-2, or +-2/s in
standard deviations, which is another law than the normal one for s from 1/2 to 1 alone, and is known there.

A matrix is taken for a draw if it passes three tests, each of which a draw fails with a probability of 1e-6:

.. code-block:: text

    entries      sum w^2/s^2 over N entries within z sqrt(v N) of N, z = 4.9, v = Var w^2/s^2: 2, or uniform 4/5
    range        the largest |w|/s within the quantiles of 1e-6 and 1 - 1e-6 of its law, sqrt(3) for uniform ones
    directions   the largest singular value over s from r - 2 - z to r + z, r = sqrt(rows) + sqrt(columns): its mean is
                 at most r, and above r - 2 (Davidson, Szarek; for uniform and truncated entries, sub-Gaussian, too)

It takes 300 entries to tell a normal that is cut at 2 from one that is not, and 5,200 where it is cut at 3, in all
matrices together; fewer are taken for Gaussian ones.

An orthogonal matrix has W^T W within 1e-5 gain^2 of gain^2 times the identity, and is taken for a uniform one if its
trace over the gain, almost a standard normal, is within z, and no entry is larger than the quantile of 1e-6: an entry's
square has the beta law of 1/2 and (n - 1)/2. The identity and permutations fail.

Training moves singular values, and sooner or later the entries. A matrix that passes may have been trained a little,
which no test can exclude.

Sources: Glorot, Bengio (2010); He, Zhang, Ren, Sun (arXiv 1502.01852); ``torch.nn.Linear.reset_parameters``; Saxe,
McClelland, Ganguli (arXiv 1312.6120), orthogonal matrices; Davidson, Szarek, Local operator theory (2001), theorem
II.13, for the largest singular value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from ..models.weight_families import checked_law

Floats = NDArray[np.float64]

LEVEL = 1e-6  # probability with which a draw fails a test
Z = float(-special.ndtri(0.5 * LEVEL))
SQRT3 = math.sqrt(3.0)
GAINS = (1.0, math.sqrt(2.0), 5.0 / 3.0, 0.75, 1.0 / SQRT3)
NUMBERS = (0.02,)
CUTS = (2.0, 3.0)  # where a normal may be cut, in its own standard deviations
ORTHOGONAL = 1e-5  # how far W^T W may be from the identity


@dataclass(frozen=True)
class InitialLaw:
    """A law of a matrix's entries, by its name in resmc or "zeros", and their standard deviation.

    ``cut`` is the standard deviation of a normal before it was cut, and elsewhere None.
    """

    kind: str
    deviation: float
    cut: float | None = field(default=None, compare=False)

    @property
    def names(self) -> list[float]:
        """Standard deviations that a user may call it by."""
        return [self.deviation] if self.cut is None else [self.deviation, self.cut]

    def is_called(self, deviations: Sequence[float]) -> bool:
        """Return True if one of these standard deviations is this law's, or what was given with its bounds."""
        return any(math.isclose(s, one, rel_tol=1e-9) for s in deviations for one in self.names)


@dataclass(frozen=True)
class Form:
    """A law of entries w of standard deviation 1: Var w^2, the largest |w|, and F^-1(p) and F^-1(1 - p) of |w|."""

    variance_of_square: float
    bound: float
    lower: Callable[[float], float]
    upper: Callable[[float], float]


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


def truncated(cut: float) -> tuple[str, float]:
    """Return the name of a normal that is cut at +-``cut`` standard deviations, and what of these it keeps."""
    density = math.exp(-0.5 * cut * cut) / math.sqrt(2.0 * math.pi)
    kept = math.sqrt(1.0 - 2.0 * cut * density / (1.0 - 2.0 * float(special.ndtr(-cut))))
    return str(checked_law("weights", f"truncated_normal({-cut!r}, {cut!r})")), kept


@lru_cache(maxsize=64)
def _form(kind: str) -> Form:
    if kind == "uniform":
        return Form(0.8, SQRT3 * (1.0 + 1e-6), lambda p: SQRT3 * p, lambda p: SQRT3)
    if kind == "gaussian":
        return Form(
            2.0, math.inf, lambda p: -float(special.ndtri(0.5 * (1.0 - p))), lambda p: -float(special.ndtri(0.5 * p))
        )
    cut = 2.0 if "(" not in kind else float(kind.rstrip(")").split(",")[1])
    kept, within = truncated(cut)[1], 1.0 - 2.0 * float(special.ndtr(-cut))
    edge = 2.0 * cut * math.exp(-0.5 * cut * cut) / math.sqrt(2.0 * math.pi) / within
    fourth = 3.0 * kept**2 - cut * cut * edge
    return Form(
        fourth / kept**4 - 1.0,
        cut / kept * (1.0 + 1e-6),
        lambda p: -float(special.ndtri(0.5 * (1.0 - p * within))) / kept,
        lambda p: cut / kept,
    )


class Entries:
    """A matrix or a bias, and what the tests look at."""

    def __init__(self, entries: Floats) -> None:
        self.entries, self.count = entries, entries.size
        self.largest, self.square = float(np.max(np.abs(entries))), float(np.sum(entries**2))

    @cached_property
    def largest_singular_value(self) -> float:
        """The largest singular value, from the smaller Gram matrix: many times faster than all of them."""
        w = self.entries
        gram = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
        last = len(gram) - 1
        return math.sqrt(linalg.eigvalsh(gram, subset_by_index=[last, last])[0])

    @cached_property
    def gain(self) -> float | None:
        """The gain of a matrix whose rows or columns are orthogonal and of one length; None for others."""
        w = self.entries
        if w.ndim != 2 or min(w.shape) < 2 or not self.square:
            return None
        gram = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
        square = float(np.trace(gram)) / len(gram)
        if np.abs(gram / square - np.eye(len(gram))).max() > ORTHOGONAL:
            return None
        found = math.sqrt(square)
        return next((one for one in GAINS if math.isclose(one, found, rel_tol=1e-6)), float(f"{found:.6g}"))

    def misfit(self, law: InitialLaw) -> str | None:
        """Return what speaks against a draw of a law, as `misfit` does."""
        if law.kind == "orthogonal":
            return self._special()
        s, count, form = law.deviation, self.count, _form(law.kind)
        size = self.largest / s
        if size > form.bound:
            return f"an entry of size {self.largest:.4g} is outside of +-{form.bound * s:.4g}"
        if form.bound == math.inf and size > form.upper(LEVEL / count):
            return f"an entry of size {self.largest:.4g} is too large for a standard deviation of {s:.4g}"
        if size < form.lower(LEVEL ** (1.0 / count)):
            if form.bound == math.inf:
                return f"no entry is as large as those of a Gaussian law with a standard deviation of {s:.4g}"
            return f"no entry is near the ends of +-{form.upper(0.0) * s:.4g}"
        away = (self.square / s**2 - count) / math.sqrt(form.variance_of_square * count)
        if abs(away) > Z:
            return f"the entries' mean square is {away:+.1f} standard errors from {s:.4g}^2"
        shape = self.entries.shape
        if len(shape) == 2 and min(shape) > 1:
            largest, expected = self.largest_singular_value / s, math.sqrt(shape[0]) + math.sqrt(shape[1])
            if not expected - 2.0 - Z <= largest <= expected + Z:
                return f"the largest singular value, {largest * s:.4g}, is not that of independent entries"
        return None

    def _special(self) -> str | None:
        """Return what speaks against a matrix being uniform among the orthogonal ones."""
        n, gain = len(self.entries), self.gain
        if gain is None or self.entries.shape != (n, n):
            return "it is no square orthogonal matrix"
        trace = float(np.trace(self.entries)) / gain
        if abs(trace) > Z:
            return f"an orthogonal matrix with the trace {trace:.4g} is no draw of uniform ones"
        share = (self.largest / gain) ** 2
        if share >= 1.0 - ORTHOGONAL or n * n * special.betaincc(0.5, 0.5 * (n - 1), share) < LEVEL:
            return f"an orthogonal matrix with an entry of {math.sqrt(share):.4g} is no draw of uniform ones"
        return None


def misfit(entries: Floats, law: InitialLaw) -> str | None:
    """Return what speaks against entries being a draw of a law, in a few words; None if nothing does."""
    return Entries(entries).misfit(law)


def laws_of(entries: Floats, deviations: Sequence[float]) -> list[InitialLaw]:
    """Return the laws with one of these standard deviations that entries may be a draw of; the first of equal ones."""
    given = Entries(entries)
    if not given.square:
        return [InitialLaw("zeros", 0.0)]
    if given.gain is not None:
        law = InitialLaw("orthogonal", given.gain / math.sqrt(entries.shape[1]))
        return [law] if given.misfit(law) is None else []
    first = [s for i, s in enumerate(deviations) if not any(math.isclose(s, t, rel_tol=1e-9) for t in deviations[:i])]
    laws = [law for s in first if s > 0.0 for law in _laws_with(s)]
    return [law for law in laws if given.misfit(law) is None]


def _laws_with(s: float) -> list[InitialLaw]:
    """Return the laws that a standard deviation may belong to."""
    found = [InitialLaw("gaussian", s), InitialLaw("uniform", s)]
    for cut in (*CUTS, *([2.0 / s] if 0.5 <= s < 1.0 and 2.0 / s not in CUTS else [])):
        kind, kept = truncated(cut)
        found.append(InitialLaw(kind, s * kept, s))
        if cut == 2.0:  # variance_scaling in other libraries
            found.append(InitialLaw(kind, s, s / kept))
    return found
