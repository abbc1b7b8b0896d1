"""Columns of networks whose weights are arrays, and the NumPy twin on the same arrays, for several test files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from resmc import DepthScaling, ResidualNetwork
from resmc.engine.columns import ColumnValues, run_columns
from resmc.engine.lowering import lower
from resmc.engine.weights import LayerWeights
from resmc.reference.residual import _simulate_part
from resmc.reference.sources import Counters

TOLERANCE = 1e-4
SEED, FIRST = 3, 5
FACTORS = np.array([1.0, -1.3, 0.01], np.float32)
NAMES = ("log_norm", "displacement", "gradient", "gradient_displacement", "overlap")
BY_LAYER = tuple(0.5 - 0.3 * (layer % 4) for layer in range(9))
INSIDE = DepthScaling(0.0, 0.7, inside=True)


@dataclass
class Handed:
    """Weights that are arrays, of networks FIRST, FIRST + 1, ..; ``asked`` lists what was asked for."""

    arrays: dict[str, np.ndarray]  # (N, layers, ..)
    tied: bool = False
    asked: list[tuple[range, int, int]] = field(default_factory=list)

    def draw(self, networks: range, begin: int, end: int) -> LayerWeights:
        self.asked.append((networks, begin, end))
        some, layers = slice(networks.start - FIRST, networks.stop - FIRST), slice(None if self.tied else begin, end)
        cut = {name: np.ascontiguousarray(a[some, layers]) for name, a in self.arrays.items()}
        return LayerWeights(
            networks, begin, end, self.tied, cut.get("outer"), cut.get("inner"), cut.get("bias")
        )  # fmt: skip


def handed(model: ResidualNetwork, networks: int = 2, layers: int | None = None) -> Handed:
    random, n, depth = np.random.default_rng(7), model.width, layers or model.depth
    shapes = {place: (n, n) for place in (model.residual_block.V, model.residual_block.W) if place is not None}
    shapes |= {"bias": (n,)} if model.bias else {}
    arrays = {name: random.standard_normal((networks, depth, *shape)) for name, shape in shapes.items()}
    if model.law == "rademacher":
        arrays |= {name: np.sign(a) for name, a in arrays.items() if name != "bias"}
    return Handed({name: a.astype(np.float32) for name, a in arrays.items()}, tied=layers == 1)


@dataclass(frozen=True)
class Twin(Counters[ResidualNetwork]):
    """The same arrays for the twin, and an h_0."""

    given: Handed | None = None
    h0: np.ndarray | None = None  # (N, n)

    def matrix(self, place: str, layer: int) -> np.ndarray:
        assert self.given is not None
        return self.given.arrays[place][:, 0 if self.given.tied else layer].astype(float)

    def bias(self, layer: int) -> np.ndarray:
        return self.matrix("bias", layer)

    def first_layer(self) -> np.ndarray:
        return super().first_layer() if self.h0 is None else self.h0[:, :, None] / self.model.size


def twin_of_column(
    model: ResidualNetwork,
    given: Handed,
    h0: np.ndarray | None,
    c: int,
    factors: np.ndarray,
    names: tuple[str, ...] = NAMES,
) -> list[np.ndarray]:
    """(N, R) of ``names``, every layer recorded."""
    if model.inside:
        scaling: Any = DepthScaling(0.0, float(model.scales[0] * factors[c]), inside=True)
    else:
        scaling = tuple(model.scales * float(factors[c]))
    ids = np.arange(FIRST, FIRST + len(given.arrays["outer"]), dtype=np.uint64)
    source = Twin(replace(model, scaling=scaling), SEED, ids, given=given, h0=None if h0 is None else h0[:, :, c])
    found = _simulate_part(source, "dense", list(range(model.depth + 1)), gradients=names == NAMES)
    return [found[name if name in found else f"log_{name}"] for name in names]


def differences(
    model: ResidualNetwork,
    given: Handed | None = None,
    other: Handed | None = None,
    factors: np.ndarray = FACTORS,
    **settings: Any,
) -> float:
    """The largest difference of NAMES over networks, layers and columns; ``other``: what the twin is given instead."""
    given = given or handed(model)
    networks = len(given.arrays["outer"])
    h0 = np.random.default_rng(11).standard_normal((networks, model.width, len(factors))).astype(np.float32)
    found = follow(model, factors, given, networks, h0, **settings)
    worst = 0.0
    for c in range(len(factors)):
        for name, expected in zip(NAMES, twin_of_column(model, other or given, h0, c, factors), strict=True):
            ours = found.values[name][:, :, c].T
            if model.law == "rademacher":  # rounding decides what is 0
                ours, expected = np.maximum(ours, -30.0), np.maximum(expected, -30.0)
            with np.errstate(invalid="ignore"):
                apart = np.where(ours == expected, 0.0, np.abs(ours - expected))
            worst = max(worst, float(np.where(np.isnan(apart), np.inf, apart).max()))
    return worst


def follow(
    model: ResidualNetwork,
    factors: np.ndarray,
    given: Handed,
    networks: int,
    h0: np.ndarray | None,
    gradients: bool = True,
    threads: int = 1,
    **settings: Any,
) -> ColumnValues:
    """All layers of some columns."""
    numbers = range(FIRST, FIRST + networks)
    settings = {"layers": np.arange(model.depth + 1), **settings}
    return run_columns(lower(model), SEED, numbers, factors, h0, gradients, threads=threads, source=given, **settings)


def small(block: str, activation: str, **given: Any) -> ResidualNetwork:
    return ResidualNetwork(6 if activation == "balanced-half" else 7, 9, block, activation, **given)


def same_bits(a: ColumnValues, b: ColumnValues) -> None:
    for name, values in a.values.items():
        np.testing.assert_array_equal(values, b.values[name], err_msg=name)
