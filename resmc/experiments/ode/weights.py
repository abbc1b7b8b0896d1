"""Weights as functions of time t in [0, 1]: of networks side by side, smooth, given, or interpolated between layers.

All entries of a network stand in one row, (size,), as `resmc.experiments.paths.Layout` has them; P networks are
(P, size). A network of N layers has the N + 1 sets of weights at t = k/N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..._system import checks
from ..._system.words import brief
from ...models.residual_network import ResidualNetwork
from ...results.estimates import Floats
from ..paths import ConstantPath, Layout, SmoothPath

PIECES = 1024  # parts of [0, 1] in which smooth weights are bounded one by one
DIFFERENCE = 1e-5  # step of difference quotients of given functions, whose error is 1e-10 times a third derivative


@dataclass(frozen=True)
class WeightFunction:
    """A weight matrix or a bias as a function of time, with what the bound on the distance has to know of it.

    Parameters
    ----------
    value : callable
        t in [0, 1] to the array at time t: (n, n) of a matrix, (n,) of a bias, with all of its scales.
    derivative : callable, optional
        t to the array's derivative in t.
    curvature : float, optional
        A bound on the second derivative over [0, 1]: of the spectral norm of a matrix, the Euclidean norm of a bias.

    What is not given is estimated by differences; the bound is then an estimate too, and says so.
    """

    value: Callable[[float], ArrayLike]
    derivative: Callable[[float], ArrayLike] | None = None
    curvature: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "derivative"):
            one = getattr(self, name)
            if not callable(one) and not (name == "derivative" and one is None):
                raise ValueError(f"{name}={brief(one)} is not allowed: it must be a function of the time t")
        if self.curvature is not None and checks.real("curvature", self.curvature) < 0.0:
            raise ValueError(f"curvature={self.curvature!r} is not allowed: it bounds a norm, so it is at least 0")


class OverTime(Protocol):
    """Weights of P networks over time.

    Attributes
    ----------
    layout : Layout
    edges : ndarray, shape (J + 1,)
        Times from 0 to 1 between which the weights are smooth.
    interpolated : bool
        True if the weights have kinks or jumps at the edges.
    finest : float
        Longest step of a solver; infinite where its control of errors alone sees all that weights do.
    origin : str
        The source of the constants of the bound, in words.
    """

    layout: Layout
    edges: Floats
    interpolated: bool
    finest: float
    origin: str

    def rows(self, t: Floats) -> Floats:
        """Return the entries at times t (T,), (T, P, size)."""
        ...

    def ends(self, pieces: range) -> tuple[Floats, Floats]:
        """Return entries and their derivatives at both ends of some pieces between edges, (len, 2, P, size)."""
        ...

    def curvature(self) -> Mapping[str, Floats]:
        """Return bounds on norms of second derivatives between edges, (P,), by place: "V", "W" and "b"."""
        ...


class _Smooth:
    """Weights of one network that are smooth on all of [0, 1], from functions of arrays of times to rows."""

    interpolated, finest = False, np.inf
    edges = np.arange(PIECES + 1) / PIECES

    def __init__(self, layout: Layout, value: Callable[[Floats], Floats], slope: Callable[[Floats], Floats]) -> None:
        self.layout, self.value, self.slope = layout, value, slope

    def rows(self, t: Floats) -> Floats:
        return self.value(t)[:, None]

    def ends(self, pieces: range) -> tuple[Floats, Floats]:
        t = self.edges[pieces.start : pieces.stop + 1]
        value, slope = self.value(t), self.slope(t)
        return _both_ends(value)[:, :, None], _both_ends(slope)[:, :, None]


def _both_ends(rows: Floats) -> Floats:
    """Return values at edges, (J + 1, ..), as those at both ends of the pieces between, (J, 2, ..)."""
    return np.stack([rows[:-1], rows[1:]], axis=1)


class SeriesWeights(_Smooth):
    """Weights of one network from a smooth process's series; increments are those over a step of 1/N."""

    origin = "the process's series: on a grid, with a bound of the second derivative by the series between its points"

    def __init__(self, layout: Layout, path: SmoothPath, depth: int) -> None:
        series, step = path.series, 1.0 / depth
        if path.process.version == "values":
            amplitudes = np.sqrt(series.variances)
            bases = series.basis, series.derivative
        else:
            amplitudes = series.increment_amplitudes(step)
            bases = (lambda t: series.increments(t, step)), (lambda t: series.increments_derivative(t, step))
        super().__init__(layout, lambda t: path.sums(bases[0](t)), lambda t: path.sums(bases[1](t)))
        self.path, self.waves = path, series.frequencies**2 * np.abs(amplitudes)

    def curvature(self) -> Mapping[str, Floats]:
        """Return sum_k w_k^2 amplitude_k (|g_k0|^2 + |g_k1|^2)^{1/2}, which no second derivative exceeds."""
        pairs = self.path.coefficients.reshape(2, len(self.waves), -1)
        norms = {name: spectral_norms(one) for name, one in named(self.layout, pairs).items()}
        return {name: self.waves @ np.hypot(*one)[:, None] for name, one in norms.items()}


class ConstantWeights(_Smooth):
    """Weights of one network that are the same at all times."""

    origin = "constant weights: exact"

    def __init__(self, layout: Layout, path: ConstantPath) -> None:
        super().__init__(layout, path.times, lambda t: np.zeros((len(t), layout.size)))

    def curvature(self) -> Mapping[str, Floats]:
        return dict.fromkeys(("V", "W", "b"), np.zeros(1))


class GivenWeights(_Smooth):
    """Given functions of time, the same for all networks; where they are 0, a solver would step over what comes."""

    finest = 1.0 / PIECES

    def __init__(self, layout: Layout, functions: Mapping[str, WeightFunction]) -> None:
        self.functions = [(name, functions[name]) for name in _names(layout)]
        super().__init__(layout, self._values, self._slopes)
        known = all(one.derivative is not None and one.curvature is not None for _, one in self.functions)
        given = "given functions on a grid, with the given bounds of second derivatives between its points"
        self.origin = given if known else "given functions on a grid, with differences: an estimate"

    def _values(self, times: Floats) -> Floats:
        return np.array([self._row(float(t), [(name, one.value) for name, one in self.functions]) for t in times])

    def _slopes(self, times: Floats) -> Floats:
        return np.array(
            [self._row(float(t), [(f"derivative of {n}", _slope(f)) for n, f in self.functions]) for t in times]
        )

    def _row(self, t: float, functions: list[tuple[str, Callable[[float], ArrayLike]]]) -> Floats:
        n = self.layout.n
        return np.concatenate(
            [_checked(name, function, t, (n,) if name.endswith("b") else (n, n)) for name, function in functions]
        )

    def curvature(self) -> Mapping[str, Floats]:
        found = {}
        inner = self.edges[1:-1]
        bent = np.diff(self._values(self.edges), 2, axis=0) * PIECES**2
        assert len(bent) == len(inner)
        for name, one in named(self.layout, bent).items():
            known = dict(self.functions)[name].curvature
            found[name] = np.array([spectral_norms(one).max() if known is None else known])
        return found


def _slope(function: WeightFunction) -> Callable[[float], ArrayLike]:
    """Return a given derivative, or quotients of differences, which stay within [0, 1]."""
    if function.derivative is not None:
        return function.derivative

    def quotient(t: float) -> Floats:
        before, after = max(t - DIFFERENCE, 0.0), min(t + DIFFERENCE, 1.0)
        values = (checks.numbers_at("the function", function.value, time) for time in (after, before))
        return np.asarray(np.subtract(*values) / (after - before))

    return quotient


def _checked(name: str, function: Callable[[float], ArrayLike], t: float, shape: tuple[int, ...]) -> Floats:
    found = checks.numbers_at(f"weights: {name} at t={t:g}", function, t)
    if found.shape != shape:
        raise ValueError(f"weights: {name} at t={t:g} of shape {found.shape} is not allowed: it must be {shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"weights: {name} at t={t:g} is not allowed to hold infinite numbers or NaN")
    return found.ravel()


class LayerWeights:
    """Weights of P networks that are known in layers alone, (N + 1, P, size), and in between are interpolated.

    "linear": on the straight line between two layers' weights; "constant": those of the layer before.
    """

    interpolated, finest = True, np.inf

    def __init__(self, layout: Layout, layers: Floats, interpolation: str) -> None:
        self.layout, self.layers, self.linear = layout, layers, interpolation == "linear"
        self.depth = len(layers) - 1
        self.edges = np.arange(self.depth + 1) / self.depth
        self.origin = f"layers and the {'lines' if self.linear else 'constants'} between them: exact"

    def rows(self, t: Floats) -> Floats:
        place = np.minimum(np.searchsorted(self.edges, t, "right") - 1, self.depth - 1)
        return np.stack([self.at(int(k), float(one)) for k, one in zip(place, t, strict=True)])

    def at(self, layer: int, t: float) -> Floats:
        """Return the entries at a time t in the piece from a layer on, (P, size)."""
        part = t * self.depth - layer if self.linear else 0.0
        return np.asarray((1.0 - part) * self.layers[layer] + part * self.layers[layer + 1])

    def ends(self, pieces: range) -> tuple[Floats, Floats]:
        rows = self.layers[pieces.start : pieces.stop + 1]
        if not self.linear:
            value = np.stack([rows[:-1], rows[:-1]], axis=1)
            return value, np.zeros_like(value)
        slope = self.depth * np.diff(rows, axis=0)
        return _both_ends(rows), np.stack([slope, slope], axis=1)

    def curvature(self) -> Mapping[str, Floats]:
        return dict.fromkeys(("V", "W", "b"), np.zeros(self.layers.shape[1]))


def _names(layout: Layout) -> list[str]:
    return [name for name in ("V", "W", "b") if getattr(layout, name)]


def named(layout: Layout, rows: Floats) -> dict[str, Floats]:
    """Return the matrices and the bias in rows, (.., size), by name: (.., n, n) and (.., n, 1)."""
    matrices = layout.matrices(rows)
    return {name: getattr(matrices, name) for name in _names(layout)}


def spectral_norms(matrices: Floats) -> Floats:
    """Return the largest singular values of matrices (.., n, m), and so the lengths of columns (.., n, 1)."""
    if matrices.shape[-1] == 1:
        return lengths(matrices)
    squares = np.linalg.eigvalsh(np.swapaxes(matrices, -1, -2) @ matrices)[..., -1]
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def lengths(arrays: Floats) -> Floats:
    """Return the lengths of columns (.., n, 1), or Frobenius norms of matrices (.., n, m)."""
    return np.asarray(np.sqrt(np.sum(arrays**2, axis=(-2, -1))))


def checked_functions(given: Any, model: ResidualNetwork) -> dict[str, WeightFunction]:
    """Return given functions by place, "V", "W" or "b", each a `WeightFunction`, if they are those of the block."""
    block = model.residual_block
    needed = [name for name in ("V", "W") if getattr(block, name)]
    allowed = (
        f"a mapping from {' and '.join(map(repr, needed))}, and 'b' if there is a bias, to functions of the time t"
    )
    if not isinstance(given, Mapping) or not set(needed) <= set(given) <= {*needed, "b"}:
        names = sorted(map(str, given)) if isinstance(given, Mapping) else given
        raise ValueError(f"weights={brief(names)} is not allowed with block={model.block!r}: it must be {allowed}")
    found = {}
    for name, one in given.items():
        if not isinstance(one, WeightFunction) and not callable(one):
            raise ValueError(
                f"weights[{name!r}]={brief(one)} is not allowed: it must be a function or a WeightFunction"
            )
        found[name] = one if isinstance(one, WeightFunction) else WeightFunction(one)
    return found
