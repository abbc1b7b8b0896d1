"""Sums over networks, by group and recorded layer: what the kernels fill in, and how two sets of networks join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from .moments import leave_one_out, merge_moments, merge_scaled
from .recording import GROUPS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Records = NDArray[Any]

# Records of one group at one layer, as in csrc/include/resmc/layer_sums.hpp and in files (`resmc.results.storage`).
NORM_SUMS = np.dtype(
    [
        ("alive", np.int64),
        ("startless", np.int64),
        ("startless_alive", np.int64),
        ("growth_exponent", np.int64),
        ("log_norm", np.float64, 4),
        ("growth_log", np.float64, 2),
        ("growth", np.float64, 2),
    ]
)
ACTIVITY_SUMS = np.dtype(
    [
        ("inactive", np.int64),
        ("active", np.int64),
        ("asymmetry", np.float64),
        ("asymmetry_square", np.float64),
        ("active_square", np.float64),
    ]
)


def _side_by_side(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """The columns of all arrays; records of one type as their bytes, since NumPy compares types pair by pair."""
    kind = arrays[0].dtype
    if kind.names is None or any(array.dtype is not kind for array in arrays):
        return np.concatenate(arrays, axis=1)
    return np.concatenate([np.ascontiguousarray(array).view(np.uint8) for array in arrays], axis=1).view(kind)


@dataclass(frozen=True, eq=False)
class _Entries:
    """Records by group (first axis, 32) and entry (last axis, R)."""

    networks: Integers  # (32,), or (32, R) where entries differ
    records: Records

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """The entries of all ``parts`` one after the other; there is at least one part."""

        def by_entry(part: Self, name: str) -> NDArray[Any]:
            array: NDArray[Any] = getattr(part, name)
            return np.broadcast_to(array[:, None], part.records.shape) if array.ndim == 1 else array

        return cls(**{f.name: _side_by_side([by_entry(p, f.name) for p in parts]) for f in fields(cls)})

    def final(self) -> Self:
        """The last entry alone."""
        return self._cut(slice(-1, None))

    def first(self) -> Self:
        """The first entry alone."""
        return self._cut(slice(0, 1))

    def _cut(self, entries: slice) -> Self:
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{name: a if a.ndim == 1 else a[:, entries].copy() for name, a in arrays.items()})

    def _numbers(self, name: str) -> NDArray[Any]:
        """A view of one field: (32, R), or (32, k, R) if it has k numbers."""
        array: NDArray[Any] = self.records[name]
        return array if array.ndim == 2 else array.swapaxes(1, 2)


@dataclass(frozen=True, eq=False)
class NormSums(_Entries):
    """Sums of norms by group (first axis, 32) and entry (last axis, R), of the normalised network.

    The entries are the recorded layers of one simulation, or one layer from each of many. Normalised:
    alpha^2 + lam^2 = 1 and unit input. L_l = ln(|v_l|^2/n) and W_l = |v_l|^2/|start|^2, where v is h and
    the start h_0, or what else is followed: `resmc.Simulation.log_ratio`. `resmc.results.layer_estimates` says what
    follows from them. ``records`` (32, R) are of NORM_SUMS.
    """

    __repr__ = brief_repr

    @property
    def alive(self) -> Integers:
        """(32, R): networks with v_l != 0."""
        return self._numbers("alive")

    @property
    def startless(self) -> Integers:
        """(32, R): networks, alive or not, whose start is 0: they have no W_l, and are in none of its sums."""
        return self._numbers("startless")

    @property
    def startless_alive(self) -> Integers:
        """(32, R): networks with v_l != 0 whose start is 0."""
        return self._numbers("startless_alive")

    @property
    def grown(self) -> Integers:
        """(32, R): networks with a logarithm of W_l: alive, and from a start that is not 0."""
        return np.asarray(self.alive - self.startless_alive)

    @property
    def started(self) -> Integers:
        """(32,), or (32, R): networks with a W_l, those whose start is not 0."""
        if not self.startless.any():
            return self.networks
        networks = self.networks if self.networks.ndim == 2 else self.networks[:, None]
        return np.asarray(networks - self.startless)

    @property
    def log_norm(self) -> Floats:
        """(32, 4, R): mean, and sums of 2nd to 4th powers of the distance from it, of L_l."""
        return self._numbers("log_norm")

    @property
    def growth_log(self) -> Floats:
        """(32, 2, R): mean, sum of squared distances from it, of ln W_l."""
        return self._numbers("growth_log")

    @property
    def growth(self) -> Floats:
        """(32, 2, R): sums of W_l and W_l^2, in units of 2^e and 2^(2 e)."""
        return self._numbers("growth")

    @property
    def growth_exponent(self) -> Integers:
        """(32, R): e."""
        return self._numbers("growth_exponent")

    @staticmethod
    def of_none(n_layers: int) -> NormSums:
        """The sums of no network."""
        return NormSums(np.zeros(GROUPS, np.int64), np.zeros((GROUPS, n_layers), NORM_SUMS))

    def merged(self, other: NormSums) -> NormSums:
        """The sums over both sets of networks, group by group and entry by entry."""
        log_norm = merge_moments(self._log_norm_moments(), other._log_norm_moments())
        growth_log = merge_moments(self._growth_log_moments(), other._growth_log_moments())
        growth, unit = merge_scaled(
            self.growth.swapaxes(0, 1), self.growth_exponent, other.growth.swapaxes(0, 1), other.growth_exponent
        )
        out = NormSums(self.networks + other.networks, np.empty_like(self.records))
        for name in ("alive", "startless", "startless_alive"):
            out.records[name] = self.records[name] + other.records[name]
        out.log_norm[:] = log_norm[1:].swapaxes(0, 1)
        out.growth_log[:] = growth_log[1:3].swapaxes(0, 1)
        out.growth[:] = growth.swapaxes(0, 1)
        out.growth_exponent[:] = unit
        return out

    def _log_norm_moments(self) -> Floats:
        return self._moments(self.alive, self.log_norm)

    def _growth_log_moments(self) -> Floats:
        return self._moments(self.grown, self.growth_log)

    def _moments(self, n: Integers, array: Floats) -> Floats:
        """(5, 32, R): n, mean, M2, M3, M4, the missing ones zero."""
        out = np.zeros((5, *self.records.shape))
        out[0] = n
        out[1 : 1 + array.shape[1]] = array.swapaxes(0, 1)
        return out

    @cached_property
    def pooled_log_norm(self) -> Floats:
        """(33, 5, R): moments of L_l over all networks, then without each group."""
        return leave_one_out(self._log_norm_moments().swapaxes(0, 1), merge_moments)

    @cached_property
    def pooled_growth_log(self) -> Floats:
        """(33, 5, R): moments of ln W_l over all networks, then without each group; the 3rd and 4th are 0."""
        return leave_one_out(self._growth_log_moments().swapaxes(0, 1), merge_moments)

    def whole_moments(self, name: str) -> Floats:
        """(5, R): moments of "log_norm" or "growth_log" over all networks; those that are not kept are 0."""
        moments = self._growth_log_moments() if name == "growth_log" else self._log_norm_moments()
        return reduce(merge_moments, moments.swapaxes(0, 1))

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
class ActivitySums(_Entries):
    """Sums of A_l and of active counts over the networks alive, by group and entry as `NormSums`.

    ``records`` (32, R) are of ACTIVITY_SUMS.
    """

    __repr__ = brief_repr

    alive: Integers  # (32, R)

    @property
    def inactive(self) -> Integers:
        """(32, R): networks alive without an active neuron."""
        return self._numbers("inactive")

    @property
    def active(self) -> Integers:
        """(32, R): sum of active counts."""
        return self._numbers("active")

    @property
    def asymmetry(self) -> Floats:
        """(32, R): sum of A_l."""
        return self._numbers("asymmetry")

    @property
    def asymmetry_square(self) -> Floats:
        """(32, R): sum of A_l^2."""
        return self._numbers("asymmetry_square")

    @property
    def active_square(self) -> Floats:
        """(32, R): sum of (active count - width/2)^2."""
        return self._numbers("active_square")

    @staticmethod
    def of_none(n_layers: int) -> ActivitySums:
        """The sums of no network."""
        return ActivitySums.beside(NormSums.of_none(n_layers))

    @staticmethod
    def beside(norms: NormSums, records: Records | None = None) -> ActivitySums:
        """Over the networks of ``norms``, whose count of the living is seen here too; by default zeros."""
        if records is None:
            records = np.zeros(norms.records.shape, ACTIVITY_SUMS)
        return ActivitySums(norms.networks, records, norms.alive)

    def merged(self, other: ActivitySums) -> ActivitySums:
        """The sums over both sets of networks, group by group and entry by entry."""
        records = np.empty_like(self.records)
        for name in ACTIVITY_SUMS.names or ():
            records[name] = self.records[name] + other.records[name]
        return ActivitySums(self.networks + other.networks, records, self.alive + other.alive)


@dataclass(frozen=True, eq=False)
class LayerSums:
    """Sums of norms and of activity for some entries: the recorded layers of one simulation, or one layer from many."""

    __repr__ = brief_repr

    norms: NormSums
    activity: ActivitySums | None  # None where no network has an A

    @property
    def networks(self) -> Integers:
        """(32,), or (32, R) where entries differ: how many there are in each group."""
        return self.norms.networks

    @staticmethod
    def of_none(n_layers: int) -> LayerSums:
        """The sums of no network."""
        return LayerSums(NormSums.of_none(n_layers), ActivitySums.of_none(n_layers))

    @staticmethod
    def stack(parts: Sequence[LayerSums]) -> LayerSums:
        """The entries of all ``parts`` one after the other; those of networks without an A have an A of no network."""
        norms = NormSums.stack([p.norms for p in parts])
        if all(p.activity is None for p in parts):
            return LayerSums(norms, None)
        each = [p.activity or ActivitySums.of_none(p.norms.records.shape[1]) for p in parts]
        return LayerSums(norms, ActivitySums.stack(each))

    def final(self) -> LayerSums:
        """The last entry alone."""
        return LayerSums(self.norms.final(), None if self.activity is None else self.activity.final())

    def merged(self, other: Self) -> LayerSums:
        """The sums over both sets of networks, group by group and entry by entry."""
        activity = self.activity and other.activity and self.activity.merged(other.activity)
        return LayerSums(self.norms.merged(other.norms), activity)


@dataclass(frozen=True, eq=False)
class Sums(LayerSums):
    """All sums of one simulation; the entries of `LayerSums` are its recorded layers.

    Pairs l <= m are packed by rows of the upper triangle, R (R + 1)/2 of them.
    """

    __repr__ = brief_repr

    products: Floats  # (32, pairs): sum of A_l A_m over networks alive at m; empty without correlations
    partial_sums: Floats  # (32, pairs): sum of A_l over networks alive at m; empty unless networks can die, too
    partial_squares: Floats  # (32, pairs): sum of A_l^2 over networks alive at m; likewise
    histogram: Integers  # (32, bins + 2): of the final log-norm; underflow first, overflow last

    @staticmethod
    def zeros(
        n_layers: int, bins: int, deaths_possible: bool, correlations: bool = True, activity: bool = True
    ) -> Sums:
        """The sums of no network."""
        pairs = n_layers * (n_layers + 1) // 2 if correlations else 0
        norms, partial = NormSums.of_none(n_layers), pairs if deaths_possible else 0
        return Sums(
            norms,
            ActivitySums.beside(norms) if activity else None,
            products=np.zeros((GROUPS, pairs)),
            partial_sums=np.zeros((GROUPS, partial)),
            partial_squares=np.zeros((GROUPS, partial)),
            histogram=np.zeros((GROUPS, bins + 2), np.int64),
        )

    @staticmethod
    def bytes(n_layers: int, bins: int, deaths_possible: bool, correlations: bool = True, activity: bool = True) -> int:
        """Bytes of `zeros`."""
        pairs = n_layers * (n_layers + 1) // 2 if correlations else 0
        by_layer = NORM_SUMS.itemsize + (ACTIVITY_SUMS.itemsize if activity else 0)
        return GROUPS * (n_layers * by_layer + 8 * (1 + pairs * (3 if deaths_possible else 1) + bins + 2))

    def merged(self, other: Self) -> Sums:
        """The sums over both sets of networks, group by group, entry by entry, pair by pair."""
        layers = super().merged(other)
        names = ("products", "partial_sums", "partial_squares", "histogram")
        rest = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Sums(layers.norms, layers.activity, **rest)

    def by_name(self) -> dict[str, NDArray[Any]]:
        """Every sum by the name of its own: the fields of all records, and what there is for all layers."""
        out: dict[str, NDArray[Any]] = {"networks": self.networks}
        for part in (self.norms, self.activity):
            if part is not None:
                out |= {name: getattr(part, name) for name in part.records.dtype.names or ()}
        return out | {name: a for name, a in self.arrays().items() if a.dtype.names is None}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays that the kernels add to, by the names that they know them by."""
        activity = {} if self.activity is None else {"activity": self.activity.records}
        names = ("products", "partial_sums", "partial_squares", "histogram")
        return {"norms": self.norms.records, **activity, **{name: getattr(self, name) for name in names}}
