"""Entries: sums and facts of several layers, side by side: the layers of one simulation, or the ends of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..engine.lowering import MEAN_SQUARE, Lowered
from ..engine.sums import ActivitySums, LayerSums, NormSums
from .estimates import Estimate, Floats
from .laws import Law
from .layer_estimates import SecondMoment, log_second_moment
from .reliability import least_networks

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FinalSums:
    """Sums of one entry, the end of a simulation: of h and A at the last layer, of each quotient at its own end.

    Attributes
    ----------
    layers : LayerSums
    quotients : mapping of str to NormSums
        By name, gradients at layer 0.
    laws : mapping of str to Law
        Laws of the final values.
    """

    __repr__ = brief_repr

    layers: LayerSums
    quotients: Mapping[str, NormSums]
    laws: Mapping[str, Law]

    @property
    def networks(self) -> Integers:
        """Networks by group (32,)."""
        return self.layers.networks

    @staticmethod
    def of_none() -> FinalSums:
        """Return the sums of no network."""
        return FinalSums(LayerSums.of_none(1), {}, {})

    def without_laws(self) -> FinalSums:
        """Return the sums without the laws, whose size grows with the number of networks."""
        return FinalSums(self.layers, self.quotients, {})

    def end(self) -> End:
        """Return the end, with the laws' medians in place of the laws."""
        return End(self.layers, self.quotients, {name: law.median for name, law in self.laws.items()})

    def merged(self, other: FinalSums) -> FinalSums:
        """Return the sums over both sets of networks; what only one of them has is left out."""
        return FinalSums(
            self.layers.merged(other.layers),
            {name: q.merged(other.quotients[name]) for name, q in self.quotients.items() if name in other.quotients},
            {name: Law.joined([law, other.laws[name]]) for name, law in self.laws.items() if name in other.laws},
        )


@dataclass(frozen=True, eq=False)
class End:
    """A finished end: as `FinalSums`, with the laws' medians in place of the laws, so that many fit into memory."""

    __repr__ = brief_repr

    layers: LayerSums
    quotients: Mapping[str, NormSums]
    medians: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class Entries:
    """Sums of R entries: recorded layers of one simulation, or the end of each of R simulations.

    Attributes
    ----------
    sums : LayerSums
    quotients : mapping of str to NormSums
        By name; entries that have none count no network.
    medians : mapping of str to Estimate, shape (R,)
        Medians of final values, by quotient; only of ends.
    lowered : sequence of Lowered
        The network of every entry: R of them, or one for all.
    layers : ndarray of int, shape (R,)
        The layer of every entry.
    ends : bool
        True if the entries are ends: quotients of gradients are then those of layer 0.
    """

    __repr__ = brief_repr

    sums: LayerSums
    quotients: Mapping[str, NormSums]
    medians: Mapping[str, Estimate]
    lowered: Sequence[Lowered]
    layers: Integers
    ends: bool

    @staticmethod
    def of_ends(ends: Sequence[End], lowered: Sequence[Lowered]) -> Entries:
        """Return the ends of several simulations; there is at least one."""
        names = dict.fromkeys(name for end in ends for name in end.quotients)
        sums = LayerSums.stack([end.layers for end in ends])
        nothing = NormSums.of_none(1)
        return Entries(
            sums,
            {name: NormSums.stack([end.quotients.get(name, nothing) for end in ends]) for name in names},
            _medians([end.medians for end in ends]),
            lowered,
            np.array([one.model.depth for one in lowered]),
            ends=True,
        )

    @staticmethod
    def of_layers(sums: LayerSums, quotients: Mapping[str, NormSums], lowered: Lowered, layers: Integers) -> Entries:
        """Return the recorded layers of one simulation."""
        return Entries(sums, quotients, {}, [lowered], layers, ends=False)

    @cached_property
    def widths(self) -> Integers:
        """Neurons of the layers, by entry, or one for all where a network's layers have one width."""
        if all(one.model.widths is None for one in self.lowered):
            return self.largest_widths
        return self._by_entry(
            lambda one, layers: np.asarray(one.model.layer_widths[layers], np.float64), self.layers
        ).astype(np.int64)

    @cached_property
    def largest_widths(self) -> Integers:
        """Largest widths of the networks, by entry or one for all: those that kernels count with."""
        return np.array([one.model.width for one in self.lowered], np.int64)

    @property
    def networks(self) -> Integers:
        """Networks of every entry (R,)."""
        return np.broadcast_to(self.norms.networks.sum(axis=0), self.layers.shape)

    @property
    def norms(self) -> NormSums:
        """Sums of h."""
        return self.sums.norms

    @property
    def activity(self) -> ActivitySums:
        """Sums of A and of active counts; sums of no network where there is no A."""
        return self.sums.activity or ActivitySums.of_none(len(self.layers))

    @cached_property
    def offsets(self) -> Floats:
        """Differences of the models' log-norms from those in ``sums``, since kernels leave constant factors out."""
        return self._by_entry(Lowered.offsets, self.layers)

    def quotient_offsets(self, name: str) -> Floats:
        """Return the differences of the models' logarithms of a quotient from those in its sums."""
        if self.ends:  # gradients end at layer 0, and have come through as many layers as all else
            return self._offsets_of_ends
        return self._by_entry(lambda one, layers: one.quotient_offsets(layers)[name], self.layers)

    @cached_property
    def _offsets_of_ends(self) -> Floats:
        return self._by_entry(lambda one, layers: one.quotient_offsets(layers)["growth"], self.layers)

    def quotient(self, name: str) -> NormSums:
        """Return the sums of a quotient; those of "growth" are the sums of h."""
        if name == "growth":
            return self.norms
        return self.quotients.get(name) or NormSums.of_none(len(self.layers))

    def median(self, name: str) -> Estimate:
        """Return the median of a quotient's final value; NaN where none was kept."""
        if name in self.medians:
            return self.medians[name]
        none = np.full(len(self.layers), np.nan)
        return Estimate(none, none, np.zeros(len(self.layers), np.int64))

    def least(self, moment: str) -> Integers:
        """Return how many networks with a logarithm an error of a moment takes, by entry or one for all."""
        return np.array([least_networks(moment, one) for one in self.lowered], np.int64)

    def networks_for(self, moment: str, sums: NormSums) -> Floats:
        """Return how many networks an error of a moment takes, if as large a share of them has a logarithm as here."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.least(moment) * self.networks / sums.alive.sum(axis=0))

    @cached_property
    def growth(self) -> SecondMoment:
        """ln E|h_l|^2/|h_0|^2, and the networks that it takes to be reliable."""
        return log_second_moment(self.norms, self._by_entry(Lowered.growth_offsets, self.layers))

    @cached_property
    def mean_square(self) -> SecondMoment:
        """ln E|h_l|^2/n.

        Where growth is independent of |h_0| the mean square is the product of both means, and E|h_0|^2/n is known.
        Elsewhere the networks keep sums of their own; entries whose networks have kept none have no value.
        """
        own = np.broadcast_to(np.array([one.follows_mean_square for one in self.lowered]), self.layers.shape)
        kept = self.quotients.get(MEAN_SQUARE) or NormSums.of_none(len(self.layers))
        records = np.where(own[None, :], kept.records, self.norms.records)
        networks = self.norms.networks
        if own.any():
            each = [a if a.ndim == 2 else np.repeat(a[:, None], own.size, 1) for a in (kept.networks, networks)]
            networks = np.where(own[None, :], *each)

        def offsets(one: Lowered, layers: Integers) -> Floats:
            if one.follows_mean_square:
                return one.offsets(layers)
            widths = one.model.layer_widths
            start = 2.0 * np.log(one.model.inputs.size) + np.log(widths[0] / widths[layers])
            return np.asarray(one.growth_offsets(layers) + start, np.float64)

        return log_second_moment(NormSums(networks, records), self._by_entry(offsets, self.layers))

    def _by_entry(self, found: Callable[[Lowered, Integers], Floats], layers: Integers) -> Floats:
        if len(self.lowered) == 1:
            return found(self.lowered[0], layers)
        known: dict[tuple[int, int], float] = {}  # points of a sweep often share their network
        out = np.empty(len(layers))
        for i, (one, layer) in enumerate(zip(self.lowered, layers.tolist(), strict=True)):
            key = (id(one), layer)
            if key not in known:
                known[key] = float(found(one, np.array([layer]))[0])
            out[i] = known[key]
        return out


def _medians(ends: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Return the medians of final values by quotient, an entry for each of ``ends``; NaN where there is none."""
    nothing = Estimate(np.array(np.nan), np.array(np.nan), np.array(0))
    out = {}
    for name in dict.fromkeys(name for medians in ends for name in medians):
        each = [medians.get(name, nothing) for medians in ends]
        value, stderr, df = (np.array([float(getattr(e, part)) for e in each]) for part in ("value", "stderr", "df"))
        out[name] = Estimate(value, stderr, np.array([int(e.n) for e in each]), df)
    return out
