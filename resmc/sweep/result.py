"""What a store holds of a plan: estimates of every point with errors and theory, and the simulations behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from ..engine.native import NUMERICS_VERSION
from ..engine.sums import LayerSums
from ..results.estimates import Estimate, Floats
from ..results.merge import merged
from ..simulation import Simulation
from ..tables import Table, html, text
from ..tables.table import MOST_ROWS
from .pilot import pilot_shard, wanted_networks
from .plan import Plan
from .quantities import QUANTITIES, LastLayers
from .shards import Range, cover
from .store import Damaged, Gone, Listing, Store, Stored
from .summary import MOST_LINES, table

if TYPE_CHECKING:
    import xarray


NOTHING = LayerSums.of_none(1)


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The outcome of a sweep; made by `Sweep.run`, `Sweep.result` and `resmc.load_sweep`.

    Attributes
    ----------
    plan : Plan
    store : Path
    networks : ndarray of int, shape plan.shape
        Networks behind each point; 0 where there are none yet.
    wanted : ndarray of int, shape plan.shape
        How many there shall be; 0 where a pilot has not said so yet.
    damaged : tuple of str
        Files that failed their checksum, and were set aside if the store can be written to.
    numerics : tuple of str
        Numerics version, then the numerics classes that computed it: points of several classes are not the same
        networks to the last bit, though to within 1e-4 of their log-norms.
    """

    plan: Plan
    store: Path
    networks: NDArray[np.int64]
    wanted: NDArray[np.int64]
    damaged: tuple[str, ...]
    numerics: tuple[str, ...]
    _sums: LayerSums
    _shards: tuple[tuple[Stored, ...], ...]

    @property
    def complete(self) -> bool:
        """Whether all that the plan asks for is there."""
        return self.points_complete == len(self.plan.models)

    @property
    def points_complete(self) -> int:
        """Points that have all their networks."""
        return int(((self.networks == self.wanted) & (self.wanted > 0)).sum())

    @property
    def shards(self) -> int:
        """Files behind the estimates, pilots not counted."""
        return len({stored for point in self._shards for stored in point})

    @property
    def inactive(self) -> NDArray[np.int64]:
        """Living networks without an active neuron at the last layer, of shape plan.shape."""
        activity = LastLayers(self._sums, list(self.plan.models)).activity
        return np.asarray(activity.inactive.sum(axis=0)).reshape(self.plan.shape)

    @property
    def dead(self) -> NDArray[np.int64]:
        """Networks with z = 0 at the last layer, of shape plan.shape; only possible when alpha = 0."""
        return np.asarray(self.networks - self._sums.norms.alive.sum(axis=0).reshape(self.plan.shape))

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every quantity of the last layer by its name, each an `Estimate` of shape plan.shape."""
        all_points = LastLayers(self._sums, list(self.plan.models))
        return {name: q.estimate(all_points).reshape(self.plan.shape) for name, q in QUANTITIES.items()}

    @cached_property
    def over_target(self) -> Floats:
        """Each point's standard error over its target, the largest of all targets, of shape plan.shape.

        Infinite where there is no error, NaN without targets. Above 1 where ``max_networks`` was not enough, and by
        some per cent at a point in ten, since a pilot knows an error only so well.
        """
        out = np.full(self.plan.shape, np.nan)
        for name, target in (self.plan.target_stderr or {}).items():
            stderr = np.asarray(self.estimates[name].stderr)
            out = np.fmax(out, np.where(np.isfinite(stderr), stderr, np.inf) / target)
        return out

    @cached_property
    def limits(self) -> dict[str, Floats]:
        """The limit of each quantity at leading order in 1/n, by name, of shape plan.shape."""
        return self._theory("limit")

    @cached_property
    def exact(self) -> dict[str, Floats]:
        """The exact value of each quantity, by name, of shape plan.shape; NaN where it is not known."""
        return self._theory("exact")

    def _theory(self, kind: str) -> dict[str, Floats]:
        models = list(dict.fromkeys(self.plan.models))
        out = {}
        for name, quantity in QUANTITIES.items():
            known = {model: getattr(quantity, kind)(model) for model in models}
            out[name] = np.array([known[model] for model in self.plan.models]).reshape(self.plan.shape)
        return out

    # -- single points ------------------------------------------------------------------------------------------------

    def simulation(self, **where: Any) -> Simulation:
        """The merged simulation of one point, as ``result.simulation(width=200, ratio=1, variant="vanilla")``.

        Raises
        ------
        ValueError
            If that is not exactly one point, or it has no networks yet, or its shards are damaged.
        """
        found = self._where(where)
        if len(found) != 1:
            raise ValueError(f"{len(found)} points have {where}: give {', '.join(self.plan.dims) or 'nothing'}")
        return self.load(found[0])

    def simulations(self, **where: Any) -> list[Simulation]:
        """The merged simulations of all points with these coordinates, as `resmc.extrapolate` takes them.

        Raises
        ------
        ValueError
            If there is none, or one has no networks yet.
        """
        found = self._where(where)
        if not found:
            raise ValueError(f"no point has {where}")
        return [self.load(index) for index in found]

    def _where(self, where: Mapping[str, Any]) -> list[int]:
        if self.plan.listed and set(where) == {"point"}:
            last = len(self.plan.models) - 1
            return [checks.integer("point", where["point"], 0, last, f"{last}, the last of the list")]
        return np.atleast_1d(points_at(self.plan, where)).ravel().tolist()

    def load(self, index: int) -> Simulation:
        shards = self._shards[index]
        if not shards:
            raise ValueError(f"there are no networks yet at {self.plan.describe(index)}")
        store = Store(self.store)
        parts = (store.read(stored) for stored in shards)  # one after the other, so that memory stays bounded
        return Simulation.of_record(reduce(lambda whole, part: merged([whole, part]), parts))

    # -- tables -------------------------------------------------------------------------------------------------------

    def summary(self, width: int | None = None) -> str:
        """A table of all points: networks, and each quantity's estimate beside its limit.

        A paragraph for each point, if the lines would be longer than ``width``.
        """
        return text.render(self._table(MOST_LINES), width)

    def _repr_html_(self) -> str:
        return html.render(self._table(MOST_ROWS))

    def _table(self, most: int) -> Table:
        return table(self, most)

    def report(self, path: str | Path) -> None:
        """Write one HTML page: what the points show, figures, all numbers, the plan (needs ``resmc[report]``)."""
        from ..report.sweep_page import write

        write(self, path)

    def to_xarray(self, *, laws: bool = False) -> xarray.Dataset:
        """All points as a labelled data set (needs ``resmc[xarray]``); see `resmc.sweep.table`."""
        from .table import to_xarray

        return to_xarray(self, laws=laws)

    def to_netcdf(self, path: str | Path, *, laws: bool = False) -> None:
        """`to_xarray` as a netCDF file (needs ``resmc[netcdf]``)."""
        from .table import to_netcdf

        to_netcdf(self.to_xarray(laws=laws), path)

    def to_zarr(self, path: str | Path, *, laws: bool = False) -> None:
        """`to_xarray` as a Zarr store (needs ``resmc[zarr]``)."""
        from .table import to_zarr

        to_zarr(self.to_xarray(laws=laws), path)

    def __repr__(self) -> str:
        points = f"{self.points_complete} of {len(self.plan.models)} points complete"
        return f"SweepResult({self.plan!r}, {points}, {self.networks.sum():.4g} networks)"


def points_at(plan: Plan, where: Mapping[str, Any], said: str = "{name}={value!r}") -> NDArray[np.int64]:
    """Numbers of the points with these coordinates, over the dimensions that are left; ``said``: what messages say.

    Raises
    ------
    ValueError
        If one is no dimension of the plan, or has not that value.
    """
    for name, value in where.items():
        if name not in plan.dims:
            dims = ", ".join(plan.dims) or "none"
            raise ValueError(f"{said.format(name=name, value=value)} is not allowed: the dimensions are {dims}")
        if value not in getattr(plan, name):
            raise ValueError(f"{said.format(name=name, value=value)} is not in the sweep: it has {getattr(plan, name)}")
    place = tuple(getattr(plan, name).index(where[name]) if name in where else slice(None) for name in plan.dims)
    return np.asarray(np.arange(len(plan.models)).reshape(plan.shape)[place])


def collect(plan: Plan, path: str | Path, set_aside: bool = True) -> SweepResult:
    """Reads what ``path`` holds of ``plan``, verifying every file: `Sweep.result`.

    Raises
    ------
    StoreError
        If there is no store.
    """
    store = Store(path)
    store.require()
    reader = Reader(plan, store, store.listing(), set_aside)
    return reader.result()


class Reader:
    """Collects the shards of a plan; damaged ones are set aside and count as missing."""

    def __init__(self, plan: Plan, store: Store, listing: Listing, set_aside: bool) -> None:
        self.plan, self.store, self.listing, self.set_aside = plan, store, listing, set_aside
        self.damaged: list[str] = []
        self.pilots: set[Stored] = set()
        self.classes: set[str] = set()

    def result(self) -> SweepResult:
        """Everything, point by point."""
        identities = list(zip(self.plan.models, self.plan.seeds, strict=True))
        distinct: dict[Any, int] = {}
        for index, identity in enumerate(identities):
            distinct.setdefault(identity, index)
        wanted = self._wanted(list(distinct.values()))
        found = {identity: self._point(index, wanted[index]) for identity, index in distinct.items()}
        points = [found[identity] for identity in identities]
        sums = LayerSums.stack([p[0] for p in points])
        shape = self.plan.shape
        return SweepResult(
            plan=self.plan,
            store=self.store.path,
            networks=sums.networks.sum(axis=0).reshape(shape),
            wanted=np.array([wanted[distinct[i]] for i in identities], np.int64).reshape(shape),
            damaged=tuple(self.damaged),
            numerics=(NUMERICS_VERSION, *sorted(self.classes)),
            _sums=sums,
            _shards=tuple(p[1] for p in points),
        )

    def _wanted(self, indices: list[int]) -> dict[int, int]:
        """The networks of each point; 0 where the pilot is missing."""
        if self.plan.networks is not None:
            return dict.fromkeys(indices, self.plan.networks)
        out, sums, there = dict.fromkeys(indices, 0), [], []
        for index in indices:
            shard = pilot_shard(self.plan, index)
            pilot = self._first_good(shard.point.key, Range(shard.start, shard.stop))
            if pilot is not None:
                there.append(index)
                sums.append(pilot[1])
                self.pilots.add(pilot[0])
        return out | dict(zip(there, wanted_networks(self.plan, there, sums), strict=True))

    def _point(self, index: int, networks: int) -> tuple[LayerSums, tuple[Stored, ...]]:
        """The sums of a point's last layer over all its shards, in the order of the networks."""
        sums: LayerSums | None = None
        used: list[Stored] = []
        if networks:
            point = self.plan.point(index, networks)
            have, _ = cover(networks, networks, self.listing.ranges(point.key))
            for part in have:
                good = self._first_good(point.key, part)
                if good is not None:
                    used.append(good[0])
                    sums = good[1] if sums is None else sums.merged(good[1])
                    self.classes.add(good[0].numerics)
        return (NOTHING if sums is None else sums), tuple(used)

    def _first_good(self, key: str, networks: Range) -> tuple[Stored, LayerSums] | None:
        """The first sound file of a range; those that are not are set aside."""
        while networks in self.listing.ranges(key):
            stored = self.listing.first(key, networks)
            try:
                return stored, self.store.read_final(stored)
            except Damaged as error:
                self.listing.remove(stored)
                if isinstance(error, Gone):
                    continue
                self.damaged.append(stored.file)
                if self.set_aside:
                    self.store.set_aside(stored)
        return None
