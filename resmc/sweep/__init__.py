"""Sweeps: many simulations, cut into shards that are never lost, computed anywhere, and read back as one result.

In reading order: `sweep` (the class that users meet), `plan` (models, networks and what is recorded), `point` and
`shards` (how a plan is cut and its parts named), `store` (the directory), `plans` and `extension` (which plan a store
has, and what may take its place), `errors` (of stores), `compute` (a worker's task), `engines`,
`processes` and `dask_engine` (kinds of workers), `claims` (sharing work without locks), `pilot` (how many networks an
error takes), `coordinator` (the loop), `result`, `summary` and `table` (the outcome).
"""

from pathlib import Path

from .cost import SweepEstimate
from .errors import StoreError
from .heat_map_run import heat_map, load_heat_map
from .result import SweepResult
from .store import Store
from .sweep import Sweep

__all__ = ["StoreError", "Sweep", "SweepEstimate", "SweepResult", "heat_map", "load_heat_map", "load_sweep"]


def load_sweep(path: str | Path) -> SweepResult:
    """Read the result of the plan that was last run into a store, finished or not.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none.
    """
    return stored_plan(path).result(path)


def stored_plan(path: str | Path) -> Sweep:
    """Read the plan that was last run into a store, or prepared for workers.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none.
    """
    return Store(path).plan(Sweep.from_dict, "resmc.load_sweep")
