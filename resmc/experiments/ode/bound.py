"""A bound on the distance of Euler's steps from the solution of their ordinary equation, with every constant in it.

.. code-block:: text

    |x_k - x(k/N)| <= (e^L - 1)/(2 L N) M                      L >= Lipschitz constants of F(t, .), t in [0, 1]
                                                               M >= |x''(t)| = |d_t F + d_x F F|, along the solution
    |x_k - x(k/N)| <= e_k,     e_{k+1} = (1 + L_k/N) e_k + M_k/(2 N^2),     e_0 = 0

The first is that of Sander, Ablin, Peyre (arXiv 2205.14612), proposition 1; the second is the same argument with the
constants of each step, and lies below it. Both hold for weights with kinks or jumps at layers, as x'' is bounded
between them.

F(t, x) = V phi(u) + B, u = W x + b, with V or W the identity and b or B zero where a block lacks them, and phi steeper
nowhere than ell. So L = ell |V| |W| in spectral norms, and q = |V' phi(u) + B'| + ell |V| |u'| is at least |x''|. q is
known at both ends of short pieces of [0, 1], and grows no faster than

.. code-block:: text

    q' <= ell |V| |W| q + |V''| |phi| + ell |V'| |u'| + |B''| + ell |V| (|W''| |x| + 2 |W'| |x'| + |b''|)

so that each half of a piece has a bound from its own end. Nothing is asked of phi but its steepest slope: kinks are
allowed. Norms of matrices between points of a grid lie below the larger of both ends, by convexity, and a second
derivative times the square of the distance over 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..._system.stopping import look
from ...results.estimates import Floats
from ..branches import Matrices
from ..paths import CHUNK_BYTES
from .trajectories import Equation
from .weights import LayerWeights, lengths, named, spectral_norms

GRID = 256  # points of [0, 1] at most at which singular values of smooth weights are found
ROUNDING = 1.0 + 1e-12  # singular values are exact up to rounding


class Constants(NamedTuple):
    """Constants of P networks in each of J pieces of [0, 1], (J, P): Lipschitz constants of F, and bounds on |x''|."""

    lipschitz: Floats
    second: Floats


def constants(equation: Equation, solution: Floats) -> Constants:
    """Return the constants of an equation in the pieces of its weights; ``solution`` is that at their edges."""
    weights = equation.weights
    pieces, curvature = len(weights.edges) - 1, weights.curvature()
    outer, inner = norms(equation, "V", curvature), norms(equation, "W", curvature)
    slope = equation.depth * abs(equation.s) * equation.model.sigma.steepest
    second = np.empty((pieces, len(equation.starts)))
    step = max(1, CHUNK_BYTES // (64 * weights.layout.size * len(equation.starts)))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for first in range(0, pieces, step):
            look()
            part = range(first, min(first + step, pieces))
            at = slice(part.start, part.stop)
            ends = np.stack([solution[part.start : part.stop], solution[part.start + 1 : part.stop + 1]], axis=1)
            second[at] = _second(equation, part, ends, outer[at], inner[at], curvature, slope)
        return Constants(slope * outer * inner, second)


def norms(equation: Equation, name: str, curvature: Mapping[str, Floats]) -> Floats:
    """Return bounds on the spectral norms of V or W in each piece, (J, P); 1 where the block has the identity."""
    weights = equation.weights
    layout, pieces, networks = weights.layout, len(weights.edges) - 1, len(equation.starts)
    if not getattr(layout, name):
        return np.ones((pieces, networks))
    coarse = 1 if weights.interpolated else max(1, pieces // GRID)
    places = np.arange(0, pieces + 1, coarse)
    there = np.concatenate(
        [
            spectral_norms(named(layout, weights.rows(weights.edges[places[chunk.start : chunk.stop]]))[name])
            for chunk in layout.chunks(len(places))
        ]
    )
    if isinstance(weights, LayerWeights) and not weights.linear:
        largest = there[:-1]
    else:
        largest = np.maximum(there[:-1], there[1:]) + curvature[name] * (coarse / pieces) ** 2 / 8.0
    return np.repeat(largest, coarse, axis=0) * ROUNDING


def _second(
    equation: Equation,
    part: range,
    x: Floats,
    outer: Floats,
    inner: Floats,
    curvature: Mapping[str, Floats],
    slope: float,
) -> Floats:
    """Return bounds on |x''| in some pieces, (len, P), from both ends of each: x is (len, 2, P, n, 1)."""
    weights, sigma, scale = equation.weights, equation.model.sigma, equation.depth * equation.s
    half = 0.5 * (weights.edges[part.start + 1] - weights.edges[part.start])
    value, change = (weights.layout.matrices(rows) for rows in weights.ends(part))
    V, W = outer[:, None], inner[:, None]
    velocity, none = equation.force(value, x), np.zeros(1)
    (V1, V2), (W1, W2), (b1, b2) = (_changes(change, name, half, curvature) for name in ("V", "W", "b"))
    if value.W is None or change.W is None:  # u = x, and the bias is B
        u, moved = x, velocity
        B = none if value.b is None else abs(scale) * (lengths(value.b) + half * b1)
        B2, b1, b2 = abs(scale) * b2, none, none
    else:
        u, moved = _affine(value, x), _affine(change, x) + value.W @ velocity
        B, B2 = none, none
    phi = equation.depth * sigma.value(equation.s * u) if equation.model.inside else scale * sigma.value(u)
    turned = np.zeros_like(x) if change.V is None else change.V @ phi
    if value.W is None and change.b is not None:
        turned = turned + scale * change.b
    q = lengths(turned) + slope * V * lengths(moved)
    # Sizes in half a piece: X of x, S of phi, w of u', and D of x', each bounded by the others.
    X, S = lengths(x), lengths(phi)
    grows = half * slope * V * (half * W1 + W)
    D = np.divide(V * (S + half * slope * (W1 * X + b1)) + B, 1.0 - grows)
    D = np.where(grows < 1.0, D, np.inf)
    X = X + half * D
    w = W1 * X + b1 + W * D
    S = S + half * slope * w
    forced = V2 * S + slope * V1 * w + B2 + slope * V * (W2 * X + 2.0 * W1 * D + b2)
    found = (q + half * forced) * np.exp(half * slope * V * W)
    return np.asarray(np.where(np.isnan(found), np.inf, found).max(axis=1))


def _changes(change: Matrices, name: str, half: float, curvature: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return bounds on the first and second derivative of V, W or b in half a piece, 0 where there is none."""
    one: Floats | None = getattr(change, name)
    if one is None:
        return np.zeros(1), np.zeros(1)
    return lengths(one) + half * curvature[name], curvature[name]


def _affine(m: Matrices, x: Floats) -> Floats:
    assert m.W is not None
    u = m.W @ x
    return u if m.b is None else u + m.b


def uniform(found: Constants, depth: int) -> tuple[Floats, Floats, Floats]:
    """Return (e^L - 1)/(2 L N) M, and L and M, each (P,)."""
    L, M = found.lipschitz.max(axis=0), found.second.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        growth = np.where(L > 0.0, np.expm1(L) / np.where(L > 0.0, L, 1.0), 1.0)
        return np.where(M > 0.0, growth * M / (2.0 * depth), 0.0), L, M


def stepwise(found: Constants, depth: int) -> Floats:
    """Return e_N, (P,), with the constants of each step: the largest of the pieces that a step meets."""
    pieces = len(found.second)
    k = np.arange(depth)
    first, last = k * pieces // depth, -(-(k + 1) * pieces // depth)
    second = found.second[first]
    for offset in range(1, int((last - first).max())):
        second = np.maximum(second, found.second[np.minimum(first + offset, last - 1)])
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.log1p(found.lipschitz[first] / depth)
        after = np.cumsum(grown[::-1], axis=0)[::-1] - grown
        total = np.sum(np.where(second > 0.0, second * np.exp(after), 0.0), axis=0)
    return np.asarray(total / (2.0 * depth**2))
