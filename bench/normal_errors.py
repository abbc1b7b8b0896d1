"""The errors of the normals over all their inputs: every radius (2^32 words) and every angle (2^30).

    g = r cos t or r sin t,  r = sqrt(-2 ln((w0 + 1/2) 2^-32)),  t from w1 as csrc/include/resmc/normal.hpp says

Both factors come out of the compiled kernels one at a time: the radius where the angle is so small that its cosine is
1, the cosine and sine where the radius is 1. What float64 says is taken for exact; its own errors are 1e-16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmc import _native

CHUNK = 1 << 15  # words at a time: what is made of them stays in a core's cache
TASKS = 256
Floats = NDArray[np.float64]
Words = NDArray[np.uint32]
Ordered = Callable[[Callable[[int], Any], Iterable[int], str], Iterator[Any]]  # maps tasks, in their order


@dataclass
class Worst:
    """The largest absolute and relative error, and the words where they are."""

    absolute: float = 0.0
    absolute_word: int = 0
    relative: float = 0.0
    relative_word: int = 0

    def see(self, words: Words, error: Floats, exact: Floats) -> None:
        error = np.abs(error)
        self._see("absolute", words, error)
        self._see("relative", words, np.divide(error, np.abs(exact), out=error))

    def _see(self, name: str, words: Words, error: Floats) -> None:
        at = int(error.argmax())
        if not error[at] <= getattr(self, name):
            setattr(self, name, float(error[at]))
            setattr(self, f"{name}_word", int(words[at]))

    def fold(self, other: Worst) -> None:
        for name in ("absolute", "relative"):
            if getattr(other, name) > getattr(self, name):
                setattr(self, name, getattr(other, name))
                setattr(self, f"{name}_word", getattr(other, f"{name}_word"))


def radii(instruction_set: str, words: Words) -> NDArray[np.float32]:
    """The kernels' radii of an even number of words."""
    quads = np.zeros((len(words) // 2, 4), np.uint32)  # angle 0: the cosine rounds to 1
    quads[:, 0::2] = words.reshape(-1, 2)
    return _native.normals(instruction_set, quads)[:, 0::2].ravel()


def exact_radii(words: Words) -> Floats:
    """All below 2^31, or none: nothing cancels as r tends to 0."""
    if words[0] < 1 << 31:
        log = np.log((words + 0.5) * 2.0**-32)
    else:
        log = np.log1p((words + (0.5 - 2.0**32)) * 2.0**-32)
    return np.sqrt(-2.0 * log)


def unit_radius(instruction_set: str) -> int:
    """A word whose radius is 1.0 to the last bit."""
    near = np.arange(-2048, 2048) + round(math.exp(-0.5) * 2.0**32)
    found = near[radii(instruction_set, near.astype(np.uint32)) == 1.0]
    if len(found) == 0:
        raise RuntimeError(f"no radius of {instruction_set} near word {near[2048]} is 1")
    return int(found[0])


def cosines_and_sines(instruction_set: str, words: Words, unit: int) -> tuple[Floats, Floats]:
    quads = np.full((len(words) // 2, 4), unit, np.uint32)
    quads[:, 1::2] = words.reshape(-1, 2)
    pairs = _native.normals(instruction_set, quads).astype(np.float64).reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _angles(instruction_set: str, unit: int, task: int) -> tuple[Worst, Floats]:
    """Sums of c, s, c^2, s^2, c s over a 256th of the cells of an arc, on all four arcs."""
    worst, sums = Worst(), np.zeros(5)
    size = (1 << 28) // TASKS
    for begin in range(task * size, (task + 1) * size, CHUNK):
        k = np.arange(begin, begin + CHUNK, dtype=np.int64) - (1 << 27)
        angle = (2 * k + 1) * (math.pi / 4.0 * 2.0**-28)
        c, s = np.cos(angle), np.sin(angle)
        for arc, (cosine, sine) in enumerate(((c, s), (s, c), (-c, s), (s, -c))):
            words = ((k % (1 << 28) << 2) + (arc << 30)).astype(np.uint32)
            got_c, got_s = cosines_and_sines(instruction_set, words, unit)
            worst.see(words, got_c - cosine, cosine)
            worst.see(words, got_s - sine, sine)
            products = (got_c * got_c, got_s * got_s, got_c * got_s)
            sums += [got_c.sum(), got_s.sum(), *(product.sum() for product in products)]
    return worst, sums


def _radii(instruction_set: str, angle_error: float, task: int) -> tuple[Worst, float, Floats]:
    """Sum of r^2 less the exact one over a 256th of the words, and bounds on the error of g, absolute and over r."""
    worst, excess, bounds = Worst(), 0.0, np.zeros(2)
    size = (1 << 32) // TASKS
    for begin in range(task * size, (task + 1) * size, CHUNK):
        words = np.arange(begin, begin + CHUNK, dtype=np.uint32)
        rounded, exact = radii(instruction_set, words), exact_radii(words)
        got = rounded.astype(np.float64)
        error = got - exact
        excess += float(np.vecdot(error, got + exact))
        # Of the product, |cosine| <= 1: the radius's error, the cosine's, and half a last place for rounding.
        bound = np.abs(error) + angle_error * got + 0.5 * np.spacing(rounded)
        bounds = np.maximum(bounds, [bound.max(), (bound / exact).max()])
        worst.see(words, error, exact)
    return worst, excess, bounds


def exhaustive(instruction_set: str, ordered: Ordered) -> dict[str, Any]:
    """Worst and mean errors over all inputs, as plain numbers."""
    unit = unit_radius(instruction_set)
    angle, sums = Worst(), np.zeros(5)
    for worst, part in ordered(partial(_angles, instruction_set, unit), range(TASKS), "angles"):
        angle.fold(worst)
        sums += part
    c, s, c2, s2, cs = (float(x) / 2.0**30 for x in sums)
    radius, excess, bounds = Worst(), 0.0, np.zeros(2)
    for worst, part, limits in ordered(partial(_radii, instruction_set, angle.absolute), range(TASKS), "radii"):
        radius.fold(worst)
        excess += part
        bounds = np.maximum(bounds, limits)
    cells = -math.log(2.0) * 2.0**-32  # exact radii at the centres of 2^32 cells: E r^2 = 2 - 2^-32 ln 2
    r2 = (excess / 2.0**32 + cells) / 2.0
    return {
        "radius": asdict(radius),
        "angle": asdict(angle),
        "normal_bound_absolute": float(bounds[0]),
        "normal_bound_over_radius": float(bounds[1]),
        "mean_cosine": c,
        "mean_sine": s,
        "mean_cosine_sine": cs,
        "bias_cosine_squared": 2.0 * c2 - 1.0,
        "bias_sine_squared": 2.0 * s2 - 1.0,
        "bias_radius_squared": r2,
        "bias_normal_squared": (1.0 + r2) * (c2 + s2) - 1.0,
    }
