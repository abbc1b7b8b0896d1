"""Sums over networks, by group and recorded layer: what the kernels fill in, and how two sets of networks join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .moments import leave_one_out, merge_moments, merge_scaled
from .recording import GROUPS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LAYER_SUMS = np.dtype(
    [
        ("alive", np.int64),
        ("inactive", np.int64),
        ("active", np.int64),
        ("growth_exponent", np.int64),
        ("log_norm", np.float64, 4),
        ("growth_log", np.float64, 2),
        ("growth", np.float64, 2),
        ("asymmetry", np.float64),
        ("asymmetry_square", np.float64),
        ("active_square", np.float64),
    ]
)  # of one group at one layer: csrc/include/resmc/layer_sums.hpp, and the files of `resmc.results.storage`


@dataclass(frozen=True, eq=False)
class LayerSums:
    """Sums over networks by group (first axis, 32) and entry (last axis, R), of the normalised network.

    The entries are the recorded layers of one simulation, or one layer from each of many. Normalised:
    alpha^2 + lam^2 = 1 and unit input. W_l = \\|z_l\\|^2/\\|z_0\\|^2; A_l and active counts as in the theory.
    `resmc.results.layer_estimates` says what follows from them.
    """

    networks: Integers  # (32,), or (32, R) where entries differ
    alive: Integers  # (32, R)
    inactive: Integers  # (32, R), of those alive
    log_norm: Floats  # (32, 4, R): mean, and sums of 2nd to 4th powers of the distance from it, of L_l
    growth_log: Floats  # (32, 2, R): mean, sum of squared distances from it, of L_l - L_0
    growth: Floats  # (32, 2, R): sums of W_l and W_l^2, in units of 2^e and 2^(2 e)
    growth_exponent: Integers  # (32, R): e
    asymmetry: Floats  # (32, R): sum of A_l
    asymmetry_square: Floats  # (32, R): sum of A_l^2
    active: Integers  # (32, R): sum of active counts
    active_square: Floats  # (32, R): sum of (active count - width/2)^2

    @staticmethod
    def of_none(n_layers: int) -> LayerSums:
        """The sums of no network."""
        packed = np.zeros((GROUPS, n_layers), LAYER_SUMS)
        return LayerSums.unpacked(np.zeros(GROUPS, np.int64), packed)

    @staticmethod
    def stack(parts: Sequence[LayerSums]) -> LayerSums:
        """The entries of all ``parts`` one after the other; there is at least one part."""
        columns = {f.name: [getattr(p, f.name) for p in parts] for f in fields(LayerSums)}
        columns["networks"] = [
            np.broadcast_to(p.networks[:, None], p.alive.shape) if p.networks.ndim == 1 else p.networks for p in parts
        ]
        return LayerSums(**{name: np.concatenate(arrays, axis=-1) for name, arrays in columns.items()})

    @staticmethod
    def unpacked(networks: Integers, packed: NDArray[Any]) -> LayerSums:
        """From an array (32, R) of `LAYER_SUMS`."""
        arrays = {name: np.array(np.moveaxis(packed[name], 1, -1), order="C") for name in LAYER_SUMS.names or ()}
        return LayerSums(networks=networks, **arrays)

    def packed(self) -> NDArray[Any]:
        """All but ``networks`` as an array (32, R) of `LAYER_SUMS`."""
        out = np.empty(self.alive.shape, LAYER_SUMS)
        for name in LAYER_SUMS.names or ():
            out[name] = np.moveaxis(getattr(self, name), -1, 1)
        return out

    def final(self) -> LayerSums:
        """The last entry alone."""
        arrays = {f.name: np.ascontiguousarray(getattr(self, f.name)[..., -1:]) for f in fields(LayerSums)}
        if self.networks.ndim == 1:
            arrays["networks"] = self.networks
        return LayerSums(**arrays)

    def merged(self, other: Self) -> Self:
        """The sums over both sets of networks, group by group and entry by entry."""
        log_norm = merge_moments(self._moments(self.log_norm), other._moments(other.log_norm))
        growth_log = merge_moments(self._moments(self.growth_log), other._moments(other.growth_log))
        growth, unit = merge_scaled(
            self.growth.swapaxes(0, 1), self.growth_exponent, other.growth.swapaxes(0, 1), other.growth_exponent
        )
        folded: dict[str, Any] = {
            "log_norm": np.ascontiguousarray(log_norm[1:].swapaxes(0, 1)),
            "growth_log": np.ascontiguousarray(growth_log[1:3].swapaxes(0, 1)),
            "growth": np.ascontiguousarray(growth.swapaxes(0, 1)),
            "growth_exponent": unit,
        }
        rest = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name not in folded}
        return type(self)(**folded, **rest)

    def _moments(self, array: Floats) -> Floats:
        """(5, 32, R): n, mean, M2, M3, M4, the missing ones zero."""
        out = np.zeros((5, *self.alive.shape))
        out[0] = self.alive
        out[1 : 1 + array.shape[1]] = array.swapaxes(0, 1)
        return out

    @cached_property
    def pooled_log_norm(self) -> Floats:
        """(33, 5, R): moments of L_l over all networks, then without each group."""
        return leave_one_out(self._moments(self.log_norm).swapaxes(0, 1), merge_moments)

    @cached_property
    def pooled_growth_log(self) -> Floats:
        """(33, 5, R): moments of L_l - L_0 over all networks, then without each group; the 3rd and 4th are 0."""
        return leave_one_out(self._moments(self.growth_log).swapaxes(0, 1), merge_moments)

    def whole_moments(self, name: str) -> Floats:
        """(5, R): moments of "log_norm" or "growth_log" over all networks; those that are not kept are 0."""
        return reduce(merge_moments, self._moments(getattr(self, name)).swapaxes(0, 1))

    def pooled_growth(self) -> tuple[Floats, Integers]:
        """(33, 2, R) sums of W and W^2 in units of 2^e and 2^(2 e), and e (R,), the same for all 33."""
        empty = self.growth[:, 0] == 0.0
        lowest = np.iinfo(np.int64).min // 4
        unit = np.where(empty, lowest, self.growth_exponent).max(axis=0)
        unit = np.where(unit == lowest, 0, unit)
        shift = np.clip(self.growth_exponent - unit, -4000, 0).astype(np.int32)
        sums = np.stack([np.ldexp(self.growth[:, 0], shift), np.ldexp(self.growth[:, 1], 2 * shift)], axis=1)
        return leave_one_out(sums), unit


@dataclass(frozen=True, eq=False)
class Statistics(LayerSums):
    """All sums of one simulation; the entries of `LayerSums` are its recorded layers.

    Pairs l <= m are packed by rows of the upper triangle, R (R + 1)/2 of them.
    """

    products: Floats  # (32, pairs): sum of A_l A_m over networks alive at m; empty without correlations
    partial_sums: Floats  # (32, pairs): sum of A_l over networks alive at m; empty unless networks can die, too
    partial_squares: Floats  # (32, pairs): sum of A_l^2 over networks alive at m; likewise
    histogram: Integers  # (32, bins + 2): of the final log-norm; underflow first, overflow last

    @staticmethod
    def zeros(n_layers: int, bins: int, deaths_possible: bool, correlations: bool = True) -> Statistics:
        """Statistics of no network."""
        pairs = n_layers * (n_layers + 1) // 2 if correlations else 0
        partial = pairs if deaths_possible else 0

        def f(*shape: int) -> Floats:
            return np.zeros((GROUPS, *shape))

        def i(*shape: int) -> Integers:
            return np.zeros((GROUPS, *shape), np.int64)

        r = n_layers
        return Statistics(
            networks=i(), alive=i(r), inactive=i(r), log_norm=f(4, r), growth_log=f(2, r), growth=f(2, r),
            growth_exponent=i(r), asymmetry=f(r), asymmetry_square=f(r), active=i(r), active_square=f(r),
            products=f(pairs), partial_sums=f(partial), partial_squares=f(partial), histogram=i(bins + 2),
        )  # fmt: skip

    @staticmethod
    def bytes(n_layers: int, bins: int, deaths_possible: bool, correlations: bool = True) -> int:
        """Bytes of `zeros`."""
        pairs = n_layers * (n_layers + 1) // 2 if correlations else 0
        return 8 * GROUPS * (1 + 15 * n_layers + pairs * (3 if deaths_possible else 1) + bins + 2)
