"""Several inputs of one network: their Gram matrix, checked once, and its factor, with the digits of small angles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief_repr
from .inputs import MAX_INPUTS

Floats = NDArray[np.float64]
Rows = tuple[tuple[float, ...], ...]

MAX_JOINT = 16  # inputs and tangents of one network
NORM_RANGE = 2.0**50
NORM_QUOTIENT = 2.0**20  # norms that differ by more would leave few digits of the smaller input
NORM_QUOTIENT_IN_OWN_UNITS = 2.0**10  # where a network cannot be rescaled, inputs are followed as they are, in float32
LEAST_EIGENVALUE = -1e-9  # smallest eigenvalue of a Gram matrix over its largest one that rounding may leave
LEAST_PIVOT = 1e-12  # square of what is left of a unit vector, below which it depends on those before it
SMALLEST_ANGLE = 1e-12
SAME = 2.0**-48  # a difference of unit vectors below it is rounding
ROUNDING = 1e-12  # share of differences to input 0 below which two of them are equal, but for rounding


@dataclass(frozen=True)
class JointInputs:
    """Inputs x^0, .., x^{m-1} that share every network, as the first layer sees them.

    Gaussian weights see the Gram matrix alone. Other laws see the inputs themselves, which ``x`` holds then.

    Attributes
    ----------
    gram : tuple of tuples of float, (m, m)
        x^a . x^b/n_in.
    start : tuple of tuples of float, (m, m)
        Lower triangle whose rows are x^0, x^1 - x^0, .., x^{m-1} - x^0 over sqrt(n_in), in some orthonormal basis. A
        difference keeps its digits however small it is.
    x : tuple of tuples of float, (m, n_in)
        The inputs, where the first layer is drawn entry by entry; else empty.
    """

    gram: Rows
    start: Rows
    x: Rows = ()

    __repr__ = brief_repr

    @property
    def count(self) -> int:
        """Number of inputs, m."""
        return len(self.gram)

    @cached_property
    def sizes(self) -> Floats:
        """Norms |x^a|/sqrt(n_in), (m,)."""
        return np.asarray(np.sqrt(np.diagonal(np.array(self.gram))))

    @cached_property
    def unit_start(self) -> Floats:
        """Rows u^0, u^1 - u^0, .. as those of ``start``, (m, m), where u^a = x^a/|x^a|."""
        return self._unit(np.array(self.start))

    def directions_of_differences(self, unit: bool) -> Floats:
        """Return rows of norm 1 or 0 along x^0, x^1 - x^0, .., or with ``unit`` along u^0, u^1 - u^0, ..: (m, n_in)."""
        x = np.array(self.x)
        x[1:] -= x[0]
        rows = self._unit(x / math.sqrt(x.shape[1])) if unit else x
        sizes = np.array([math.hypot(*row) for row in rows])
        return np.asarray(np.divide(rows, sizes[:, None], out=np.zeros_like(rows), where=sizes[:, None] > 0.0))

    def _unit(self, rows: Floats) -> Floats:
        """Return u^0, u^1 - u^0, .. from x^0, x^1 - x^0, .. over sqrt(n_in), in any orthonormal basis."""
        first, size = rows[0], float(self.sizes[0]) if self.x else float(rows[0, 0])
        out = np.zeros_like(rows)
        out[0] = first / size
        for a in range(1, self.count):
            difference = rows[a]
            norm = math.hypot(*(first + difference))
            # 1/|x^a| - 1/|x^0| from |x^a|^2 - |x^0|^2, which is known to more digits than either.
            grown = 2.0 * float(first @ difference) + float(difference @ difference)
            row = difference / norm - first * (grown / ((size + norm) * size * norm))
            out[a] = row if math.hypot(*row) > SAME else 0.0
        return out

    @cached_property
    def directions(self) -> NDArray[np.int64]:
        """Matrix (m, m): 1 where two inputs have one direction, -1 where they have opposite ones, else 0."""
        rows = self.unit_start.copy()
        rows[0] = 0.0  # u^a - u^0
        size = np.linalg.norm(rows, axis=1)
        apart = np.linalg.norm(rows[:, None] - rows, axis=2)
        together = np.linalg.norm(rows[:, None] + rows + 2.0 * self.unit_start[0], axis=2)
        same = apart <= ROUNDING * np.maximum(size[:, None], size)
        return np.where(same, 1, np.where(together <= ROUNDING, -1, 0))

    def to_dict(self) -> Plain:
        """Return the matrices as lists."""
        found = {"gram": self.gram, "start": self.start} | ({"x": self.x} if self.x else {})
        return {name: [list(row) for row in rows] for name, rows in found.items()}

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> JointInputs:
        """Return the inputs that `to_dict` described.

        Raises
        ------
        ValueError
            For matrices that no inputs have.
        """
        gram = _checked_gram(described["gram"])
        start = checks.numbers("start", described["start"])
        if start.shape != gram.shape or not np.isfinite(start).all() or np.triu(start, 1).any():
            raise ValueError("start is not allowed: it must be a lower triangle of the shape of gram")
        rows = start + np.where(np.arange(len(start)) > 0, 1.0, 0.0)[:, None] * start[0]
        if not np.allclose(rows @ rows.T, gram, rtol=0.0, atol=1e-7 * float(np.diagonal(gram).max())):
            raise ValueError("start is not allowed: it must be a factor of gram")
        if "x" not in described:
            return JointInputs(_rows(gram), _rows(start))
        found = of_inputs(described["x"], drawn=True)
        if (found.gram, found.start) != (_rows(gram), _rows(start)):
            raise ValueError("x is not allowed: its inputs must have the Gram matrix gram and the factor start")
        return found


def of_size(size: float) -> JointInputs:
    """Return one input of this norm |x|/sqrt(n_in)."""
    return JointInputs(((size * size,),), ((size,),))


def of_gram(given: Any) -> JointInputs:
    """Return inputs of this Gram matrix, x^a . x^b/n_in; `JointInputs` are returned as they are.

    Raises
    ------
    ValueError
        If it is no symmetric matrix of 1 to 16 rows, has an eigenvalue below -1e-9 times the largest, or norms are out
        of range.
    """
    if isinstance(given, JointInputs):
        return given
    gram = _checked_gram(given)
    to_first = gram[:, 0] - gram[0, 0]
    differences = gram - gram[0] - gram[:, :1] + gram[0, 0]
    differences[0], differences[:, 0] = to_first, to_first
    differences[0, 0] = gram[0, 0]
    return JointInputs(_rows(gram), _rows(factor(differences)))


def of_inputs(given: Any, drawn: bool = False) -> JointInputs:
    """Return these inputs, the rows of an (m, n_in) array; they are kept where the first layer is ``drawn``.

    Raises
    ------
    ValueError
        If it is no array of 1 to 16 rows of finite numbers, or norms are out of range.
    """
    x = _numbers("inputs", given, "it must be an array of real numbers, a row for each input")
    if x.ndim != 2 or not 1 <= x.shape[1] <= MAX_INPUTS:
        raise ValueError(
            f"inputs of shape {x.shape} are not allowed: it must be (m, n_in), a row of 1 to 2^17 numbers for each"
        )
    _check_count("inputs", len(x))
    if not np.isfinite(x).all():
        raise ValueError("inputs are not allowed to hold infinite numbers or NaN")
    scaled = x / math.sqrt(x.shape[1])
    largest = float(np.abs(scaled).max())
    if not 0.0 < largest <= NORM_RANGE:
        raise ValueError(f"inputs with an entry of size {largest:g} are out of range: not all may be 0, or above 2^50")
    _check_sizes("inputs", np.array([math.hypot(*row) for row in scaled]))
    rows = scaled.copy()
    rows[1:] -= scaled[0]
    # By orthogonal transformations alone, which leave every row its digits, however small it is.
    triangle: Floats = np.asarray(np.linalg.qr(rows.T, mode="r")).T
    start = np.zeros((len(x), len(x)))
    start[:, : triangle.shape[1]] = triangle * np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
    return JointInputs(_rows(scaled @ scaled.T), _rows(np.tril(start)), _rows(x) if drawn else ())


def of_angle(given: Any, size: float) -> JointInputs:
    """Return two inputs of norm ``size`` at this angle in radians.

    Raises
    ------
    ValueError
        If the angle is not 0, or from 1e-12 to pi.
    """
    angle = checks.real("angle", given)
    if math.pi < angle <= float(np.float32(math.pi)):
        angle = math.pi  # float32 rounds pi up
    if angle != 0.0 and not SMALLEST_ANGLE <= angle <= math.pi:
        raise ValueError(f"angle={angle!r} is out of range: it must be 0, or from 1e-12 to pi, in radians")
    cosine, sine = math.cos(angle), 0.0 if angle == math.pi else math.sin(angle)
    across = -2.0 * math.sin(0.5 * angle) ** 2  # cos(angle) - 1
    gram = ((size * size, size * size * cosine), (size * size * cosine, size * size))
    return JointInputs(gram, ((size, 0.0), (size * across, size * sine)))


def check_in_own_units(inputs: JointInputs, activation: str, bias: float) -> None:
    """Refuse inputs whose norms differ too much for a network that cannot be rescaled.

    Raises
    ------
    ValueError
        If a norm is not from 2^-10 to 2^10 times that of input 0.
    """
    quotients = inputs.sizes / inputs.sizes[0]
    if max(quotients.max(), 1.0 / quotients.min()) > NORM_QUOTIENT_IN_OWN_UNITS:
        raise ValueError(
            f"inputs of norms from {inputs.sizes.min():g} to {inputs.sizes.max():g} are out of range with activation="
            f"{activation!r} and bias={bias!r}, whose networks cannot be rescaled: norms must be from 2^-10 to 2^10 "
            "times that of input 0"
        )


def factor(gram: Floats) -> Floats:
    """Return the lower triangle C of a semidefinite matrix C C^T, (m, m), each row with digits relative to its size.

    A vector that depends on those before it has a zero on the diagonal, and none after it makes use of that column.
    """
    size = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    unit = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    scaled = gram * unit * unit[:, None]
    out = np.zeros_like(gram)
    for j in range(len(gram)):
        pivot = scaled[j, j] - float(out[j, :j] @ out[j, :j])
        if pivot > LEAST_PIVOT:
            out[j, j] = math.sqrt(pivot)
            out[j + 1 :, j] = (scaled[j + 1 :, j] - out[j + 1 :, :j] @ out[j, :j]) / out[j, j]
    return np.asarray(out * size[:, None])


def _checked_gram(given: Any) -> Floats:
    gram = _numbers("gram", given, "it must be a square array of real numbers, x^a . x^b/n_in")
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"gram of shape {gram.shape} is not allowed: it must be square, a row for each input")
    _check_count("gram", len(gram))
    if not np.isfinite(gram).all():
        raise ValueError("gram is not allowed to hold infinite numbers or NaN")
    diagonal = np.diagonal(gram)
    if not (diagonal > 0.0).all():
        a = int(np.argmin(diagonal))
        raise ValueError(f"gram[{a}, {a}]={diagonal[a]:g} is not allowed: it is |x|^2/n_in, which must be above 0")
    _check_sizes("gram", np.sqrt(diagonal))
    away = np.abs(gram - gram.T)
    if away.max() > 1e-12 * diagonal.max():
        a, b = (int(i) for i in np.unravel_index(int(np.argmax(away)), away.shape))
        raise ValueError(
            f"gram is not allowed to have gram[{a}, {b}]={gram[a, b]:g} and gram[{b}, {a}]={gram[b, a]:g}: "
            "it must be symmetric"
        )
    gram = 0.5 * (gram + gram.T)
    values = np.linalg.eigvalsh(gram / diagonal.max())
    if values[0] < LEAST_EIGENVALUE * values[-1]:
        raise ValueError(
            f"gram has the eigenvalue {values[0] * diagonal.max():g} beside {values[-1] * diagonal.max():g}: no inputs "
            "have such a Gram matrix, whose eigenvalues must be at least -1e-9 times the largest"
        )
    return gram


def _numbers(name: str, given: Any, allowed: str) -> Floats:
    """Return an array of real numbers; masked ones and booleans are none, nor is None."""
    if np.ma.isMaskedArray(given):
        raise ValueError(f"{name} is not allowed to be a masked array: {allowed}")
    if isinstance(given, list | tuple):
        one = next((x for row in given for x in (row if isinstance(row, list | tuple) else [row]) if _no_number(x)), 0)
        if _no_number(one):
            raise ValueError(f"{name} with {one!r} in it is not allowed: {allowed}")
    elif str(getattr(given, "dtype", "")).endswith("bool"):
        raise ValueError(f"{name} of booleans is not allowed: {allowed}")
    return checks.numbers(name, given, allowed)


def _no_number(x: Any) -> bool:
    return x is None or isinstance(x, bool | np.bool_)


def _check_count(name: str, count: int) -> None:
    if not 1 <= count <= MAX_JOINT:
        raise ValueError(f"{name} has {count} rows: it must have 1 to {MAX_JOINT}, one for each input")


def _check_sizes(name: str, sizes: Floats) -> None:
    """Refuse norms |x|/sqrt(n_in) that are 0, extreme, or too different."""
    for a, size in enumerate(sizes.tolist()):
        if not 1.0 / NORM_RANGE <= size <= NORM_RANGE:
            raise ValueError(f"{name} has input {a} of norm {size:g}: |x|/sqrt(n_in) must be from 2^-50 to 2^50")
    if sizes.max() > NORM_QUOTIENT * sizes.min():
        raise ValueError(
            f"{name} has inputs of norms from {sizes.min():g} to {sizes.max():g}: they must be within a factor of 2^20"
        )


def _rows(matrix: Floats) -> Rows:
    return tuple(tuple(row) for row in matrix.tolist())
