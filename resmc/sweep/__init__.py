"""Sweeps: many simulations, cut into shards that are never lost, computed anywhere, and read back as one result.

In reading order: `sweep` (the class that users meet), `plan` (models, networks and what is recorded), `point` and
`shards` (how a plan is cut and its parts named), `store` (the directory), `plans`, `kinds` and `extension` (which plan
a store has, and what may take its place), `errors` (of stores), `compute` (a worker's task), `engines`, `processes` and
`dask_engine` (kinds of workers), `claims` (sharing work without locks), `pilot` (how many networks an error takes),
`campaign` (what a run needs to know of a plan) and `coordinator` (the loop), `sweep_campaign`, `sound_shards`,
`result`, `summary` and `table` (the outcome). `heat_map_plan`, `heat_map_campaign` and `heat_map_run` send another kind
of plan the same way, and `trained_map_plan`, .. a third; `rows` has what both campaigns share, `plan_files` what their
plans share; `moment_plan`, `moment_campaign`, `moment_result` and `moment_sweep_run` do so for populations that are
resampled. `memory_store` keeps a plan without files.
"""

from pathlib import Path

from ..experiments.heat_map import HeatMap
from ..experiments.train.heat_map import TrainedHeatMap
from .campaigns import row_campaign
from .cost import SweepEstimate
from .errors import StoreError
from .heat_map_plan import HeatMapPlan
from .heat_map_run import heat_map, load_heat_map
from .kinds import kind_of
from .moment_plan import MomentPlan
from .moment_result import MomentSweep
from .moment_sweep_run import load_moment_sweep, moment_sweep
from .plan import Plan
from .result import SweepResult, collect
from .store import Store
from .sweep import Sweep
from .trained_map_plan import TrainedMapPlan

__all__ = [
    "MomentSweep",
    "StoreError",
    "Sweep",
    "SweepEstimate",
    "SweepResult",
    "heat_map",
    "load_heat_map",
    "load_moment_sweep",
    "load_sweep",
    "moment_sweep",
]


def load_sweep(path: str | Path) -> SweepResult:
    """Read the result of the plan that was last run into a store, finished or not.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none.
    """
    return stored_plan(path).result(path)


def load_stored(path: str | Path, set_aside: bool = True) -> SweepResult | HeatMap | TrainedHeatMap | MomentSweep:
    """Read the result of whatever plan was last run into a store: of a sweep, of a map, or of moments.

    Damaged files are moved away if ``set_aside``.

    Raises
    ------
    StoreError
        As for `load_sweep`.
    """
    plan = any_stored_plan(path)
    if isinstance(plan, Plan):
        return collect(plan, path, set_aside)
    return row_campaign(plan).collect(Store(path), set_aside=set_aside)


def any_stored_plan(path: str | Path) -> Sweep | HeatMapPlan | TrainedMapPlan | MomentPlan:
    """Read the plan of a store, of whatever kind; errors as for `stored_plan`."""
    store = Store(path)
    described = store.read_plan()
    kind = kind_of(described)
    read = Sweep.from_dict if kind is None or kind.name == SweepResult.kind else kind.read
    found: Sweep | HeatMapPlan | TrainedMapPlan | MomentPlan = store.made(described, read)
    return found


def stored_plan(path: str | Path) -> Sweep:
    """Read the plan that was last run into a store, or prepared for workers.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none.
    """
    return Store(path).plan(Sweep.from_dict, "resmc.load_sweep")
