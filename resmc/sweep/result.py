"""The result of a sweep: estimates of every point with errors and theory, and the simulations behind them.

A store is read as it is, so that there is a result before all shards are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..engine.native import NUMERICS_VERSION
from ..engine.request import MAX_NETWORK
from ..results.archive import checksum, checksum_at_end
from ..results.arithmetic import share_networks
from ..results.datasets import to_netcdf, to_zarr
from ..results.entries import End, Entries, FinalSums
from ..results.estimates import Estimate, Floats
from ..results.merge import merged
from ..results.observable import Observable, Predictions
from ..results.observables import SWEPT
from ..results.propagation import Networks
from ..simulation import Simulation
from ..tables import Shown, Table
from ..tables.table import MOST_ROWS
from .pilot import pilot_shard, wanted_networks
from .places import places
from .plan import Plan, ends
from .shards import Range, cover
from .sound_shards import SoundShards
from .store import Listing, Store, Stored
from .summary import MOST_LINES, table
from .table import to_dataframe, to_xarray

if TYPE_CHECKING:
    import pandas
    import xarray

    from ..theory.facts import Facts


@dataclass(frozen=True, eq=False)
class SweepResult(Shown):
    """The outcome of a sweep; made by `Sweep.run`, `Sweep.result` and `resmc.load_sweep`.

    Attributes
    ----------
    plan : Plan
        The plan that was run.
    store : Path
        The directory of the shards.
    networks : ndarray of int, shape plan.shape
        Networks behind each point; 0 where there are none yet.
    wanted : ndarray of int, shape plan.shape
        Networks that each point shall have; 0 while the pilot that tells is missing.
    damaged : tuple of str
        Files that failed their checksum, and were set aside if the store can be written to.
    numerics : tuple of str
        Numerics version, then the numerics classes of the shards. Networks that two classes have computed are equal
        not to the last bit, but to within 1e-4 in their log-norms.
    """

    plan: Plan
    store: Path
    networks: NDArray[np.int64]
    wanted: NDArray[np.int64]
    damaged: tuple[str, ...]
    numerics: tuple[str, ...]
    _entries: Entries
    _shards: tuple[tuple[Stored, ...], ...]
    kind: ClassVar[str] = "sweep"  # the name that files and commands use

    @property
    def complete(self) -> bool:
        """True if every point has all networks that the plan asks for."""
        return self.points_complete == len(self.plan.models)

    @property
    def points_complete(self) -> int:
        """Number of points that have all their networks."""
        return int(((self.networks == self.wanted) & (self.wanted > 0)).sum())

    @property
    def shards(self) -> int:
        """Number of files behind the estimates; pilots do not count."""
        return len({stored for point in self._shards for stored in point})

    @property
    def inactive(self) -> NDArray[np.int64]:
        """Living networks without an active neuron at the last layer, of shape plan.shape."""
        return np.asarray(self._entries.activity.inactive.sum(axis=0)).reshape(self.plan.shape)

    @property
    def dead(self) -> NDArray[np.int64]:
        """Networks with z = 0 at the last layer, of shape plan.shape."""
        return np.asarray(self.networks - self._entries.norms.alive.sum(axis=0).reshape(self.plan.shape))

    @cached_property
    def quantities(self) -> dict[str, Observable]:
        """Quantities that there are at one point or more, by name: rows of `resmc.results.observables`."""
        there = frozenset[str]().union(*self.plan.observables)
        return {name: one for name, one in SWEPT.items() if name in there}

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Estimates of all quantities at the points' ends, by name, each of shape plan.shape.

        A point that has no such quantity has no value, and counts no network there. Gradients end at layer 0, all else
        at the last layer.
        """
        out, drawn = {}, np.empty(self.plan.shape, object)
        drawn.ravel()[:] = [Networks.of(seed, [(0, MAX_NETWORK)]) for seed in self.plan.seeds]
        for name, one in self.quantities.items():
            there = np.array([name in names for names in self.plan.observables])
            e = one.estimate_of(self._entries)
            if not there.all():
                e = _only(e, there)
            out[name] = share_networks(e.reshape(self.plan.shape), drawn)
        return out

    @cached_property
    def over_target(self) -> Floats:
        """Standard error over target at each point, the largest of all targets, of shape plan.shape.

        The value is infinite where there is no error, and NaN without targets. It is above 1 where ``max_networks`` was
        not enough; at one point in ten it is above 1 by some per cent, since a pilot knows an error only roughly.
        """
        out = np.full(self.plan.shape, np.nan)
        for name, target in (self.plan.target_stderr or {}).items():
            stderr = np.asarray(self.estimates[name].stderr)
            out = np.fmax(out, np.where(np.isfinite(stderr), stderr, np.inf) / target)
        return out

    @cached_property
    def limits(self) -> dict[str, Floats]:
        """Limits of all quantities, by name, of shape plan.shape; NaN where there is none.

        The ``limit_kind`` of `quantities` says of which kind: at leading order in 1/n, or as the depth grows.
        """
        return self._theory(lambda quantity: quantity.limit_value)

    @cached_property
    def second_order(self) -> dict[str, Floats]:
        """Limits with the next order in 1/n (`resmc.theory.next_order`), by name, of shape plan.shape; else NaN.

        They are computed once, when they are asked for: some tens of milliseconds for each pair of weights.
        """
        return self._theory(lambda quantity: quantity.second_order_value)

    @cached_property
    def predictions(self) -> dict[str, Predictions]:
        """Exact values, limits, and these with the next order in 1/n, by name."""
        return {name: Predictions(self.exact[name], self.limits[name], self.second_order[name])
                for name in self.quantities}  # fmt: skip

    @cached_property
    def exact(self) -> dict[str, Floats]:
        """Exact values of all quantities, by name, of shape plan.shape; NaN where they are not known.

        They are computed once, when they are asked for: some milliseconds for every model whose quantiles are known.
        """
        return self._theory(lambda quantity: quantity.exact_value)

    def _theory(self, value_of: Callable[[Observable], Callable[[Facts], float]]) -> dict[str, Floats]:
        """Ask once for each of the models, which may stand at several points."""
        lowered = self.plan.lowered
        distinct = {id(one): one for one in lowered}
        out = {}
        for name, quantity in self.quantities.items():
            known = {key: value_of(quantity)(one.facts) for key, one in distinct.items()}
            out[name] = np.array([known[id(one)] for one in lowered]).reshape(self.plan.shape)
        return out

    # -- single points ------------------------------------------------------------------------------------------------

    def simulation(self, **where: Any) -> Simulation:
        """Load the simulation of one point, as ``result.simulation(width=200, ratio=1, variant="vanilla")``.

        The simulation has the model of the plan, however the shards spell it.

        Raises
        ------
        ValueError
            If not exactly one point has these coordinates, or it has no networks yet, or its shards are damaged.
        """
        found = places(self.plan, where)
        if len(found) != 1:
            raise ValueError(f"{len(found)} points have {where}: give {', '.join(self.plan.dims) or 'nothing'}")
        return self.load(found[0])

    def simulations(self, **where: Any) -> list[Simulation]:
        """Load the simulations of all points with these coordinates, as `resmc.extrapolate` takes them.

        Raises
        ------
        ValueError
            If there is no such point, or one has no networks yet.
        """
        found = places(self.plan, where)
        if not found:
            raise ValueError(f"no point has {where}")
        return [self.load(index) for index in found]

    def load(self, index: int) -> Simulation:
        """Load the simulation of point number ``index``, merged from its shards."""
        shards = self._shards[index]
        if not shards:
            raise ValueError(f"there are no networks yet at {self.plan.describe(index)}")
        store = Store(self.store)
        parts = (store.read(stored) for stored in shards)  # read one after the other, so that memory stays bounded
        whole = reduce(lambda whole, part: merged([whole, part]), parts)
        return Simulation.of_record(replace(whole, model=self.plan.models[index]))

    # -- tables -------------------------------------------------------------------------------------------------------

    def summary(self, width: int | None = None) -> Table:
        """Return a table of all points: networks, and each quantity's estimate beside its limit.

        ``print`` draws it as text, a notebook as a table. Lines that would be longer than ``width`` become a paragraph
        for each point.
        """
        return replace(self._table(MOST_LINES), text_width=width)

    def _table(self, most: int = MOST_ROWS) -> Table:
        return table(self, most)

    def report(self, path: str | Path) -> None:
        """Write one HTML page: what the points show, figures, all numbers, the plan (needs ``resmc[report]``)."""
        from ..report.sweep_page import write  # the only import that points upwards, so not before it is needed

        write(self, path)

    def to_xarray(self, *, laws: bool = False) -> xarray.Dataset:
        """Return all points as a labelled data set (needs ``resmc[xarray]``); see `resmc.sweep.table`."""
        return to_xarray(self, laws=laws)

    def to_dataframe(self, *, laws: bool = False) -> pandas.DataFrame:
        """Return a row for each point (needs ``resmc[pandas]``); see `resmc.sweep.table`."""
        return to_dataframe(self, laws=laws)

    def to_netcdf(self, path: str | Path, *, laws: bool = False) -> None:
        """Write the data set of `to_xarray` as a netCDF file (needs ``resmc[netcdf]``)."""

        to_netcdf(self.to_xarray(laws=laws), path)

    def to_zarr(self, path: str | Path, *, laws: bool = False) -> None:
        """Write the data set of `to_xarray` as a Zarr store (needs ``resmc[zarr]``)."""

        to_zarr(self.to_xarray(laws=laws), path)

    def __repr__(self) -> str:
        points = f"{self.points_complete} of {counted(len(self.plan.models), 'point')} complete"
        return f"SweepResult({self.plan!r}, {points}, {self.networks.sum():.4g} networks)"


Known = dict[Stored, tuple[bytes, FinalSums]]  # shards' checksums, and what is read of a file that has this checksum


def collect(plan: Plan, path: str | Path, set_aside: bool = True, known: Known | None = None) -> SweepResult:
    """Read the result that the store at ``path`` holds for ``plan``, verifying every file.

    Of a file that is ``known`` nothing but the checksum is taken, which is most of the time that a small one needs.

    Raises
    ------
    StoreError
        If there is no store.
    """
    store = Store(path)
    store.require()
    reader = Reader(plan, store, store.listing(), set_aside, known)
    return reader.result()


def _only(e: Estimate, there: NDArray[np.bool_]) -> Estimate:
    """Return an estimate without value and networks where the quantity is not there."""
    return Estimate(np.where(there, e.value, np.nan), np.where(there, e.stderr, np.nan), np.where(there, e.n, 0), e.df)


class Reader:
    """Reader of the shards of a plan; damaged shards count as missing, and are moved away if ``set_aside``."""

    def __init__(self, plan: Plan, store: Store, listing: Listing, set_aside: bool, known: Known | None = None) -> None:
        self.plan, self.store, self.listing, self.known = plan, store, listing, known or {}
        self.sound = SoundShards(store, listing, self._read, set_aside)
        self.pilots: set[Stored] = set()
        self.classes: set[str] = set()

    def result(self) -> SweepResult:
        """Collect the sums of every point."""
        identities = self.plan.identities
        distinct: dict[Any, int] = {}
        for index, identity in enumerate(identities):
            distinct.setdefault(identity, index)
        wanted = self._wanted(list(distinct.values()))
        found = {identity: self._point(index, wanted[index]) for identity, index in distinct.items()}
        points = [found[identity] for identity in identities]
        entries = ends(self.plan, range(len(points)), [p[0] for p in points])
        shape = self.plan.shape
        return SweepResult(
            plan=self.plan,
            store=self.store.path,
            networks=np.array(entries.networks).reshape(shape),
            wanted=np.array([wanted[distinct[i]] for i in identities], np.int64).reshape(shape),
            damaged=tuple(self.sound.damaged),
            numerics=(NUMERICS_VERSION, *sorted(self.classes)),
            _entries=entries,
            _shards=tuple(p[1] for p in points),
        )

    def _read(self, stored: Stored) -> FinalSums:
        if stored in self.known:
            expected, final = self.known[stored]
            data = self.store.content(stored)
            if expected == checksum(data) == checksum_at_end(data):
                return final
        return self.store.read_final(stored)

    def _wanted(self, indices: list[int]) -> dict[int, int]:
        """Return the networks that each point shall have; 0 where the pilot is missing."""
        if self.plan.networks is not None:
            return dict.fromkeys(indices, self.plan.networks)
        out, found, there = dict.fromkeys(indices, 0), [], []
        for index in indices:
            shard = pilot_shard(self.plan, index)
            pilot = self.sound.first(shard.point.key, Range(shard.start, shard.stop))
            if pilot is not None:
                there.append(index)
                found.append(pilot[1].end())
                self.pilots.add(pilot[0])
        return out | dict(zip(there, wanted_networks(self.plan, there, found), strict=True))

    def _point(self, index: int, networks: int) -> tuple[End, tuple[Stored, ...]]:
        """Add up the sums of a point's end over all its shards, in the order of the networks."""
        sums: FinalSums | None = None
        used: list[Stored] = []
        if networks:
            point = self.plan.point(index, networks)
            have, _ = cover(networks, networks, self.listing.ranges(point.key))
            for part in have:
                good = self.sound.first(point.key, part)
                if good is not None:
                    used.append(good[0])
                    sums = good[1] if sums is None else sums.merged(good[1])
                    self.classes.add(good[0].numerics)
        return (FinalSums.of_none() if sums is None else sums).end(), tuple(used)
