"""Sweeps: many simulations, cut into shards that are never lost, computed anywhere, and read back as one result.

In reading order: `sweep` (what a user holds), `plan` (what is to be simulated), `point` and `shards` (how it is cut and
named), `store` (the directory), `compute` (what a worker does), `engines` and `dask_engine` (who the workers are),
`claims` (sharing work without locks), `pilot` (how many networks an error takes), `coordinator` (the loop), `result`
and `table` (what comes out).
"""

from pathlib import Path

from .cost import SweepEstimate
from .result import SweepResult
from .store import Store, StoreError
from .sweep import Sweep

__all__ = ["StoreError", "Sweep", "SweepEstimate", "SweepResult", "load_sweep"]


def load_sweep(path: str | Path) -> SweepResult:
    """What a store holds of the plan that was last run into it, finished or not.

    Raises
    ------
    StoreError
        If it is not a store, or holds no plan.
    """
    return Sweep.from_dict(Store(path).read_plan()).result(path)
