"""Computing with estimates: with numbers, with other estimates, and with NumPy's functions.

Errors are carried to first order (the delta method): f(X, Y) has the variance f_x^2 s_x^2 + f_y^2 s_y^2. An estimate
that was computed remembers which estimates it was made of, and with which slopes, so that what stands in both operands
cancels or adds up as it should: x - x is 0 +- 0. Two different estimates are taken to be independent unless they are
known to share networks. Then their covariance is not known, and the result has no error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..tables.cells import format_estimate
from .propagation import BINARY, OF_VALUES, UNARY, Part, added, error

Floats = NDArray[np.float64]
E = TypeVar("E")
T = TypeVar("T")


class Arithmetic(Generic[E]):
    """Base of estimates: what makes them numbers to compute with. ``E`` is the type of what comes out."""

    value: Floats
    stderr: Floats
    n: NDArray[np.int64]
    df: float | Floats

    _source: bytes = b""
    _networks: Any = None
    _made_of: tuple[Part, ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make an estimate with a name of its own, which its copies share, in other processes too."""
        self = super().__new__(cls)
        object.__setattr__(self, "_source", os.urandom(16))
        return self

    def _new(self, value: Floats, stderr: Floats, n: NDArray[np.int64], df: float | Floats) -> E:
        """Return an estimate of these numbers."""
        raise NotImplementedError

    # -- where an estimate comes from

    def _parts(self) -> tuple[Part, ...]:
        """Return what the estimate was made of: itself, if it was not computed from others."""
        if not self._made_of:
            shape = self.value.shape
            part = Part(
                source=self._source,
                place=np.arange(self.value.size).reshape(shape),
                networks=np.broadcast_to(_as_array(self._networks), shape),
                slope=np.ones(shape),
                stderr=np.asarray(self.stderr),
                df=np.broadcast_to(np.asarray(self.df, np.float64), shape),
            )
            object.__setattr__(self, "_made_of", (part,))
        return self._made_of

    def _keeping(self, made: E, change: Callable[[Any], Any]) -> E:
        """Return ``made``, some entries of this estimate, with what these were made of."""
        object.__setattr__(made, "_made_of", tuple(part.each(change) for part in self._parts()))
        return made

    def _computed(self, value: Any, *terms: tuple[Any, Any]) -> E:
        """Return an estimate from its value, and from (operand, slope) for each operand; numbers have no error."""
        value = np.asarray(value, np.float64)
        shape, parts = value.shape, []
        for operand, slope in terms:
            for part in operand._parts():
                if part.place.shape != shape:
                    part = part.each(lambda array: np.broadcast_to(array, shape))
                parts.append(part.times(slope))
        made_of = added(parts)
        stderr, df = error(made_of, shape)
        stderr = np.where(np.isfinite(value), stderr, np.nan)
        n = np.minimum.reduce([np.broadcast_to(operand.n, shape) for operand, _ in terms])
        same = df.size > 0 and bool((df == df.flat[0]).all())
        made = self._new(value, stderr, n, float(df.flat[0]) if same else df)
        object.__setattr__(made, "_made_of", made_of)
        return made

    # -- numbers

    def __float__(self) -> float:
        if self.value.ndim:
            raise TypeError(
                f"an estimate of shape {self.value.shape} is not one number: choose an entry, as estimate[-1], or take "
                "estimate.value"
            )
        return float(self.value)

    def __bool__(self) -> bool:
        raise TypeError("an estimate is neither true nor false: compare its value, as estimate > 0, or with None")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.value, dtype, copy=copy)

    def __iter__(self) -> Iterator[E]:
        if not self.value.ndim:
            raise TypeError("an estimate of one number has no entries to go through")
        return (self[i] for i in range(len(self.value)))  # type: ignore[index]

    def __format__(self, spec: str) -> str:
        if re.fullmatch(r"(.?[<>^])?\d*s?", spec, re.DOTALL):  # for the text as a whole
            return format(str(self), spec)
        found = re.fullmatch(
            r"(?P<place>(?:.?[<>^])?)(?P<sign>[-+ ]?)(?P<width>(?:[1-9]\d*)?)(?P<rest>z?#?[,_]?(?:\.\d+)?[a-zA-Z%]?)",
            spec,
            re.DOTALL,
        )
        if found is None:
            raise ValueError(f"format {spec!r} is not allowed: an estimate takes what a float does, such as '.3f'")
        pairs = zip(self.value.flat, self.stderr.flat, strict=True)
        texts = [format_estimate(float(v), float(e), found["rest"], found["sign"]) for v, e in pairs]
        text = texts[0] if not self.value.ndim else f"[{', '.join(texts)}]"
        return format(text, found["place"] + found["width"])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]  # type: ignore[arg-type]
        return all(_same(a, b) for a, b in pairs)

    def __hash__(self) -> int:
        value = np.where(np.isnan(self.value), 0.0, self.value + 0.0)
        return hash((type(self), value.shape, value.tobytes(), np.ascontiguousarray(self.n).tobytes()))

    # -- operators

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        if method == "__call__" and ufunc in OF_VALUES:
            return ufunc(*(np.asarray(x) for x in inputs), **options)
        if method != "__call__" or options or (ufunc not in UNARY and ufunc not in BINARY):
            how = "with options " if method == "__call__" and options else ""
            raise TypeError(f"{name} {how}is not known for estimates: take estimate.value, or sum(..) over entries")
        found = self._operated(ufunc, *inputs)
        if found is NotImplemented:
            raise TypeError(f"{name} takes estimates and real numbers, not {_other(inputs)!r}")
        return found

    def _operated(self, ufunc: np.ufunc, *inputs: Any) -> Any:
        """Return a function of estimates and numbers; NotImplemented for what is no number."""
        values = []
        for x in inputs:
            numbers = x.value if isinstance(x, Arithmetic) else _numbers(x)
            if numbers is None:
                return NotImplemented
            values.append(numbers)
        with np.errstate(all="ignore"):
            slopes = (UNARY[ufunc](values[0]),) if len(values) == 1 else BINARY[ufunc](*values)
            terms = [(x, s) for x, s in zip(inputs, slopes, strict=True) if isinstance(x, Arithmetic)]
            if ufunc is np.multiply and len(terms) == 2:  # at 0 times 0 there is no error of first order
                terms = [(x, np.where((values[0] == 0.0) & (values[1] == 0.0), np.nan, s)) for x, s in terms]
            return self._computed(ufunc(*values), *terms)

    def __add__(self, other: Any) -> E:
        return cast(E, self._operated(np.add, self, other))

    def __radd__(self, other: Any) -> E:
        return cast(E, self._operated(np.add, other, self))

    def __sub__(self, other: Any) -> E:
        return cast(E, self._operated(np.subtract, self, other))

    def __rsub__(self, other: Any) -> E:
        return cast(E, self._operated(np.subtract, other, self))

    def __mul__(self, other: Any) -> E:
        return cast(E, self._operated(np.multiply, self, other))

    def __rmul__(self, other: Any) -> E:
        return cast(E, self._operated(np.multiply, other, self))

    def __truediv__(self, other: Any) -> E:
        return cast(E, self._operated(np.divide, self, other))

    def __rtruediv__(self, other: Any) -> E:
        return cast(E, self._operated(np.divide, other, self))

    def __pow__(self, other: Any) -> E:
        return cast(E, self._operated(np.power, self, other))

    def __rpow__(self, other: Any) -> E:
        return cast(E, self._operated(np.power, other, self))

    def __neg__(self) -> E:
        return cast(E, self._operated(np.negative, self))

    def __pos__(self) -> E:
        return cast(E, self._operated(np.positive, self))

    def __abs__(self) -> E:
        return cast(E, self._operated(np.absolute, self))

    def __lt__(self, other: Any) -> Any:
        return self._compared(np.less, other)

    def __le__(self, other: Any) -> Any:
        return self._compared(np.less_equal, other)

    def __gt__(self, other: Any) -> Any:
        return self._compared(np.greater, other)

    def __ge__(self, other: Any) -> Any:
        return self._compared(np.greater_equal, other)

    def _compared(self, ufunc: np.ufunc, other: Any) -> Any:
        value = other.value if isinstance(other, Arithmetic) else _numbers(other)
        return NotImplemented if value is None else ufunc(self.value, value)


def _as_array(networks: Any) -> NDArray[np.object_]:
    if isinstance(networks, np.ndarray):
        return networks
    found = np.empty((), object)
    found[()] = networks
    return found


def _numbers(x: Any) -> Floats | None:
    """Return real numbers as floats; None for what is none."""
    if x is None or isinstance(x, str | bytes) or np.iscomplexobj(x):
        return None
    try:
        found = np.asarray(x)
        return None if found.dtype.kind in "USMm" else found.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _other(inputs: tuple[Any, ...]) -> Any:
    return next(x for x in inputs if not isinstance(x, Arithmetic) and _numbers(x) is None)


def _same(a: ArrayLike, b: ArrayLike) -> bool:
    """Return True if two fields are equal in shape and in every entry, NaN being equal to NaN."""
    a, b = np.asarray(a), np.asarray(b)
    numbers = a.dtype.kind == b.dtype.kind == "f"
    return np.array_equal(a, b, equal_nan=numbers)


def share_networks(found: T, networks: Any) -> T:
    """Note which networks are behind every estimate in ``found``, an estimate or a result; return it.

    ``networks`` is a `Networks`, or an array of them, one for each entry. Estimates that share networks are dependent,
    in a way that is not known.
    """
    if isinstance(found, Arithmetic):
        object.__setattr__(found, "_networks", networks)
        known = _as_array(networks)
        parts = (replace(part, networks=np.broadcast_to(known, part.place.shape)) for part in found._made_of)
        object.__setattr__(found, "_made_of", tuple(parts))
    elif is_dataclass(found) and not isinstance(found, type):
        for field in fields(found):
            share_networks(getattr(found, field.name), networks)
    return found
