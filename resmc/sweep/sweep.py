"""`Sweep`: a plan that can be run. Its methods hand the plan on; the other files of this folder need only a `Plan`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal, Self

from ..engine.devices import Named
from ..tables import Shown, Table
from . import coordinator, cost, toml_file
from .cost import SweepEstimate
from .engines import Cluster
from .plan import Plan
from .result import SweepResult, collect
from .summary import plan_table


class Sweep(Plan, Shown):
    __doc__ = Plan.__doc__

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a plan from a TOML file with the arguments as keys; see `resmc.sweep.toml_file`."""
        return toml_file.read(path, cls)

    def _table(self) -> Table:
        return plan_table(self)

    # -- runs ---------------------------------------------------------------------------------------------------------

    def estimate(self, device: Named = "auto") -> SweepEstimate:
        """Estimate work, bytes, and time at a rate that is measured now (in about a second); see `resmc.sweep.cost`."""
        return cost.estimate(self, device)

    def run(
        self,
        store: str | Path,
        *,
        engine: Literal["threads", "processes"] | Executor | Cluster | None = None,
        workers: int | None = None,
        threads: int | None = None,
        device: Named = "auto",
        progress: bool | Callable[[int, int], object] | None = None,
        replace: bool = False,
    ) -> SweepResult:
        """Compute what ``store`` lacks of this plan, and return the result. See `resmc.sweep.engines`.

        After Ctrl-C, a crash or a full disk, the same call goes on where the run has stopped. Several processes may
        make this call at once, on one machine or on many that share the directory. Neither changes the result. A
        script that passes an executor of spawned processes needs a main guard, as such executors always do.

        Parameters
        ----------
        store : path
            A directory; made if it does not exist. A plan that has been extended finds its old shards there; points of
            fewer than 131072 networks are summed in smaller batches, and may have to be made anew when they grow.
            A directory with a plan that this one does not extend is refused, unless ``replace``.
        engine : None, "threads", "processes", concurrent.futures.Executor or distributed.Client
            None or ``threads``: this process, with ``workers`` threads. ``processes``: ``workers`` new processes, one
            to a GPU if the device is ``cuda``. Or a pool of any kind, or a Dask cluster.
        workers : int, optional
            How many shards are computed at a time; by default one to a CPU that this process may use, as in `simulate`,
            or one to a GPU. Not with an executor or a cluster, which have a number of their own.
        threads : int, optional
            CPU threads of each worker; by default the workers share the cores.
        device : {"auto", "cpu", "cuda", "cuda:N"}
            As for `resmc.simulate`, on the machine where the work is done.
        progress : None, bool or callable
            None: a bar in a terminal or notebook, a line a minute elsewhere. True: always a bar. False: nothing. A
            callable is called as progress(networks done, networks in all).
        replace : bool
            True to put this plan in the place of the one that ``store`` has, whatever that is. Shards stay, and so does
            the old plan, in the folder ``plans``; `result` reads what there is of it.

        Raises
        ------
        ValueError
            For an argument that is not allowed, and for a store with another plan; the message says what differs.
        OSError
            If the store cannot be written to; finished shards are safe.
        Stopped
            If `resmc.stop` was called in another thread; finished shards are safe.
        DeviceError
            As for `resmc.simulate`.
        """
        result: SweepResult = coordinator.run(
            self, store, engine=engine, workers=workers, threads=threads, device=device, progress=progress,
            replace=replace,
        )  # fmt: skip
        return result

    def result(self, store: str | Path) -> SweepResult:
        """Read this plan's result from ``store``, finished or not; points without networks have no value."""
        return collect(self, store)
