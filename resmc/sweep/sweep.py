"""`Sweep`: a plan that can be run. Its methods hand it on; nothing else in this folder knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from ..tables import Table, html
from . import coordinator, cost, toml_file
from .cost import SweepEstimate
from .plan import Plan
from .result import SweepResult, collect
from .summary import plan_table


class Sweep(Plan):
    __doc__ = Plan.__doc__

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """A plan from a TOML file with the arguments as keys; see `resmc.sweep.toml_file`."""
        return toml_file.read(path, cls)

    def _repr_html_(self) -> str:
        return html.render(self._table())

    def _table(self) -> Table:
        return plan_table(self)

    # -- doing it -----------------------------------------------------------------------------------------------------

    def estimate(self, device: Any = "auto") -> SweepEstimate:
        """Work, time at a rate measured here and now (about a second), and bytes. See `resmc.sweep.cost`."""
        return cost.estimate(self, device)

    def run(
        self,
        store: str | Path,
        *,
        engine: Any = None,
        workers: int | None = None,
        threads: int | None = None,
        device: Any = "auto",
        progress: Any = None,
    ) -> SweepResult:
        """Computes what ``store`` lacks of this plan, and returns the result. See `resmc.sweep.engines`.

        Stopped by Ctrl-C, a crash or a full disk, the same call again goes on where it was; several processes may run
        it at once, on one machine or on many that share the directory. Nothing of that changes the result. A script
        that passes an executor of spawned processes needs a main guard, as always with those.

        Parameters
        ----------
        store : path
            A directory; made if it does not exist. A plan that has been extended finds its old shards there; points of
            fewer than 131072 networks are summed in smaller blocks, and may have to be made anew when they grow.
        engine : None, "threads", "processes", concurrent.futures.Executor or distributed.Client
            None or ``threads``: this process, with ``workers`` threads. ``processes``: ``workers`` new processes, one
            to a GPU if the device is ``cuda``. Or a pool of any kind, or a Dask cluster.
        workers : int, optional
            By default one to a core of the CPU, or one to a GPU. Not with an executor or a cluster, which know.
        threads : int, optional
            CPU threads of each worker; by default the cores are shared among them.
        device : {"auto", "cpu", "cuda", "cuda:N"}
            As for `resmc.simulate`, on the machine where the work is done.
        progress : None, bool or callable
            None: a bar in a terminal or notebook, a line a minute elsewhere; True: always a bar; False: nothing; a
            callable is called as progress(networks done, networks in all).

        Raises
        ------
        ValueError
            For an argument that is not allowed.
        OSError
            If the store cannot be written to; what is finished is safe.
        DeviceError
            As for `resmc.simulate`.
        """
        return coordinator.run(
            self, store, engine=engine, workers=workers, threads=threads, device=device, progress=progress
        )

    def result(self, store: str | Path) -> SweepResult:
        """What ``store`` holds of this plan, finished or not; points without networks have no value."""
        return collect(self, store)
