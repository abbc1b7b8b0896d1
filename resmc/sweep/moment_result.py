"""The result of a sweep of moments: the moment of every network and power at the last layer, and the runs behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..analyses.export import TITLE, Variable, needed, source
from ..engine.native import NUMERICS_VERSION
from ..engine.populations import Weighted
from ..experiments.moment_run import MomentRun, joined
from ..results.estimates import Estimate, Floats
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..tables.table import MOST_ROWS
from .moment_plan import MomentPlan
from .summary import fixed_fields
from .table import coordinates, rows

if TYPE_CHECKING:
    import pandas
    import xarray

NONE = Estimate(np.asarray(np.nan), np.asarray(np.nan), np.asarray(0))  # A point without populations has this.


@dataclass(frozen=True, eq=False)
class MomentSweep(Shown):
    """Moments of the norms of many networks, as `resmc.moment_sweep` returns them.

    Attributes
    ----------
    plan : MomentPlan
        The plan that was run; its ``dims`` are those of the networks, and ``q`` where several were given.
    populations : ndarray of int, shape plan.shape
        Populations of each point; ``networks`` are as many times their size.
    store : Path or None
        The directory of the shards.
    numerics : tuple of str
        Numerics version, then the numerics classes of those who have computed it.
    damaged : tuple of str
        Files that failed their checksum, and were set aside if the store can be written to.
    shards : int
        Number of files behind the numbers.
    runs : tuple of MomentRun or None
        The run of every point, the last dimension running fastest; None where there are no populations yet.
    """

    plan: MomentPlan
    populations: NDArray[np.int64]
    store: Path | None
    numerics: tuple[str, ...]
    damaged: tuple[str, ...]
    shards: int
    runs: tuple[MomentRun | None, ...]
    kind: ClassVar[str] = "moment sweep"  # the name that files and commands use

    @classmethod
    def of(cls, plan: MomentPlan, found: Sequence[Sequence[tuple[int, Weighted]]], store: Path | None,
           classes: Sequence[str], damaged: tuple[str, ...], shards: int) -> MomentSweep:  # fmt: skip
        """Make the result of the ranges of every point, each with the number of its first network, in their order."""
        runs = tuple(_run(plan, index, ranges) if ranges else None for index, ranges in enumerate(found))
        return cls(
            plan=plan,
            populations=np.array([0 if run is None else run.populations for run in runs]).reshape(plan.shape),
            store=store,
            numerics=(NUMERICS_VERSION, *classes),
            damaged=damaged,
            shards=shards,
            runs=runs,
        )

    # -- progress -----------------------------------------------------------------------------------------------------

    @property
    def networks(self) -> NDArray[np.int64]:
        """Networks of each point, of shape plan.shape."""
        return self.populations * self.plan.size

    @property
    def wanted(self) -> int:
        """Networks that each point shall have."""
        return self.plan.networks

    @property
    def complete(self) -> bool:
        """True if every point has all of its populations."""
        return self.points_complete == len(self.runs)

    @property
    def points_complete(self) -> int:
        """Number of points that have all of their populations."""
        return int((self.populations == self.plan.populations).sum())

    # -- numbers ------------------------------------------------------------------------------------------------------

    @cached_property
    def log_moment(self) -> Estimate:
        """log E |z_d|^2q/|z_0|^2q at the last layer, of shape plan.shape: that of `MomentRun`, with its errors."""
        return self._estimate(lambda run: run.log_moment[-1])

    @cached_property
    def tilted_growth(self) -> Estimate:
        """Mean of log |z_d|^2/|z_0|^2 over networks weighted by |z_d|^2q, of shape plan.shape."""
        return self._estimate(lambda run: run.tilted_growth[-1])

    @cached_property
    def exact(self) -> Floats:
        """The exact value of log_moment, of shape plan.shape, where theory knows it; else NaN."""
        values = [
            float(self.plan.lowered(index).facts.log_moment(row.q, np.array([0, row.model.depth]))[-1])
            for index, row in enumerate(self.plan.rows)
        ]
        return np.array(values).reshape(self.plan.shape)

    @property
    def z_score(self) -> Floats:
        """(log_moment - exact)/error, of shape plan.shape."""
        return self.log_moment.z_score(self.exact)

    @property
    def scatter(self) -> Floats:
        """Standard deviation over populations of log Z at the last layer, of shape plan.shape."""
        return self._numbers(lambda run: float(run.scatter[-1]), np.nan)

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """True where the scatter of populations tells the error at the last layer, of shape plan.shape."""
        return np.asarray(self._numbers(lambda run: float(run.reliable[-1]), 0.0) == 1.0)

    def _numbers(self, of: Callable[[MomentRun], float], missing: float) -> Floats:
        return np.array([missing if run is None else of(run) for run in self.runs]).reshape(self.plan.shape)

    def _estimate(self, of: Callable[[MomentRun], Estimate]) -> Estimate:
        found = [NONE if run is None else of(run) for run in self.runs]
        networks = [Networks(()) if run is None else run.networks for run in self.runs]
        return joined(found, networks).reshape(self.plan.shape)

    def run(self, **where: Any) -> MomentRun:
        """Return the run of one point with its moments by layer, as ``result.run(width=24, ratio=5, q=1)``.

        It has the bits of ``resmc.moment_growth`` with the run's own seed.

        Raises
        ------
        ValueError
            If not exactly one point has these coordinates, or it has no populations yet.
        """
        found = self.plan.places(where)
        if len(found) != 1:
            raise ValueError(f"{len(found)} points have {where}: give {', '.join(self.plan.dims) or 'nothing'}")
        run = self.runs[found[0]]
        if run is None:
            raise ValueError(f"there are no populations yet at {self.plan.describe(found[0])}")
        return run

    # -- tables -------------------------------------------------------------------------------------------------------

    def summary(self, width: int | None = None) -> Table:
        """Return a table of all points: the moment at the last layer, what is exact, and how much populations scatter.

        Lines that would be longer than ``width`` become a paragraph for each point.
        """
        return replace(self._table(len(self.runs)), text_width=width)

    def _table(self, most: int = MOST_ROWS) -> Table:
        shown = min(len(self.runs), most)
        found, exact, z = self.log_moment.reshape((-1,)), self.exact.ravel().tolist(), self.z_score.ravel().tolist()
        known, scatter = bool(np.isfinite(self.exact).any()), self.scatter.ravel().tolist()
        columns = [
            Column("point", "point", numeric=False, obvious=True),
            Column("populations", "populations"),
            Column("log E|z_d|^2q/|z_0|^2q", "log_moment"),
        ]
        columns += [Column("exact", "exact"), Column("z", "z_score", digits=2)] * known
        columns += [Column("scatter of a population", "scatter", digits=2)]
        cells: list[list[Any]] = []
        for i in range(shown):
            row = [self.plan.describe(i), int(self.populations.ravel()[i]), found[i]]
            cells.append([*row, *([exact[i], z[i]] * known), scatter[i]])
        why = "no error: fewer than 32 populations, or few of them or of their networks rule the mean"
        return Table(
            "moments",
            repr(self.plan),
            columns,
            cells,
            self._progress(),
            ["", why] if np.isnan(found.stderr).any() else [],
            left_out=len(self.runs) - shown,
            unit="points",
            whole="summary() has all of them",
            complete=(lambda: self._table(len(self.runs))) if shown < len(self.runs) else None,
        )

    def _progress(self) -> list[str]:
        made = f"{int(self.networks.sum())} networks, numerics {' '.join(self.numerics)}, store {self.store}"
        lines = [*fixed_fields(self.plan.points), made]
        if self.damaged:
            files = "1 file is" if len(self.damaged) == 1 else f"{len(self.damaged)} files are"
            lines.append(f"{files} damaged and left out: run the sweep again, which computes them anew")
        if not self.complete:
            lines.append(f"INCOMPLETE: {self.points_complete} of {counted(len(self.runs), 'point')} finished")
        return lines

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        points = f"{self.points_complete} of {counted(len(self.runs), 'point')} complete"
        return f"MomentSweep({self.plan!r}, {points}, {self.networks.sum():.4g} networks)"

    def to_xarray(self) -> xarray.Dataset:
        """Return all points as a labelled data set over the dimensions of the plan (needs ``resmc[xarray]``).

        Variables are ``log_moment`` and ``tilted_growth`` with ``_stderr``, ``log_moment_exact``, ``scatter``,
        ``reliable``, ``populations`` and ``seed``; the fields of the networks and ``q`` are coordinates.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        module = needed("to_xarray")
        data: xarray.Dataset = module.Dataset(
            {name: one.data() for name, one in self._variables().items()},
            coords={name: one.data() for name, one in self._coordinates().items()},
            attrs={
                "title": TITLE,
                "source": source(),
                "numerics": " ".join(self.numerics),
                "complete": int(self.complete),
                "plan": json.dumps(self.plan.to_dict()),
            },
        )
        return data

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a row for each point: its coordinates and all variables of `to_xarray` (needs ``resmc[pandas]``).

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return rows(self.plan.dims, self.plan.shape, self._coordinates(), self._variables())

    def _coordinates(self) -> dict[str, Variable]:
        q = np.array(self.plan.q)
        return {**coordinates(self.plan.points), "q": Variable(("q",) * q.ndim, q, "power q of |z|^2q")}

    def _variables(self) -> dict[str, Variable]:
        dims, moment, tilted = self.plan.dims, self.log_moment, self.tilted_growth
        seeds = np.array([row.seed for row in self.plan.rows], np.uint64).reshape(self.plan.shape)
        words, of_tilted = "log E |z_d|^2q/|z_0|^2q", "mean of log |z_d|^2/|z_0|^2 by weights |z_d|^2q"
        return {
            "log_moment": Variable(dims, moment.value, words),
            "log_moment_stderr": Variable(dims, moment.stderr, f"standard error of {words}"),
            "log_moment_exact": Variable(dims, self.exact, f"exact value, where it is known, of {words}"),
            "tilted_growth": Variable(dims, tilted.value, of_tilted),
            "tilted_growth_stderr": Variable(dims, tilted.stderr, f"standard error of the {of_tilted}"),
            "scatter": Variable(dims, self.scatter, "standard deviation over populations of log Z_d"),
            "reliable": Variable(dims, self.reliable, "true where the scatter of populations tells the error"),
            "populations": Variable(dims, self.populations, "independent populations"),
            "seed": Variable(dims, seeds, "seed of the point"),
        }


def _run(plan: MomentPlan, index: int, ranges: Sequence[tuple[int, Weighted]]) -> MomentRun:
    row = plan.rows[index]
    parts = [(start // row.size, found) for start, found in ranges]
    return MomentRun.of(plan.lowered(index).model, row.q, row.layers, row.size, row.seed, parts)
