"""`moment_sweep`: moments of the norms of many networks, computed like a sweep, into a store or in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from ..engine.devices import Named
from ..models.residual_network import Model
from . import coordinator
from .engines import Cluster
from .memory_store import MemoryStore
from .moment_campaign import MomentCampaign
from .moment_plan import MomentPlan
from .moment_result import MomentSweep
from .store import Store


def moment_sweep(
    models: Sequence[Model] | None = None,
    *,
    q: float | Sequence[float] | NDArray[Any] = 1.0,
    populations: float = 64,
    size: float = 1024,
    seed: int = 0,
    store: str | Path | None = None,
    engine: Literal["threads", "processes"] | Executor | Cluster | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: Named = "auto",
    progress: bool | Callable[[int, int], object] | None = None,
    replace: bool = False,
    **fields: Any,
) -> MomentSweep:
    """Estimate E |z_d|^2q/|z_0|^2q of many networks at any d/n, as `resmc.moment_growth` does for one.

    Each network and each power has populations of its own, with a seed of its own, so that points are independent and a
    fit over them has honest errors.

    >>> found = resmc.moment_sweep(width=[24, 40], ratio=[1, 2, 5, 10], alpha=0.5**0.5, lam=0.5**0.5, store="moments")
    >>> print(found.summary())
    >>> found.run(width=24, ratio=10).log_moment  # by layer

    Parameters
    ----------
    models : sequence of ResNet and ResidualNetwork, optional
        A list instead of a grid, each as for `resmc.moment_growth`.
    q : float or sequence of float
        One power, or 1 to 256 different ones, which are the last dimension ``q`` in increasing order; each as for
        `resmc.moment_growth` at every network.
    populations, size : int
        Populations of each point, and networks of each, as for `resmc.moment_growth`. An error takes 32 populations.
    seed : int
        0 to 2^64 - 1.
    store : path, optional
        A directory, made if it does not exist, from which nothing is lost: after Ctrl-C, a crash or a full disk the
        same call goes on, several processes may make it at once, on one machine or on many, and `load_moment_sweep`
        reads it. More populations, networks or powers find what is there; another ``size`` makes all anew. By default
        everything stays in memory.
    engine, workers, threads, device, progress, replace
        As for `Sweep.run`. Progress counts networks.
    **fields
        The fields of the grid, as for `Sweep`: values, or sequences, each of which is a dimension.

    Returns
    -------
    MomentSweep

    Raises
    ------
    ValueError
        For an argument that is not allowed, and for a store with another plan; the message says what differs.
    OSError
        If the store cannot be written to; finished shards are safe.
    DeviceError
        As for `resmc.simulate`.
    Stopped
        If `resmc.stop` was called in another thread; finished shards are safe.

    Source: Del Moral 2004, *Feynman-Kac Formulae*, section 7.4.2.
    """
    plan = MomentPlan.of(models, fields, q, populations, size, seed)
    found: MomentSweep = coordinator.run(
        plan, MemoryStore() if store is None else store, engine=engine, workers=workers, threads=threads,
        device=device, progress=progress, replace=replace,
    )  # fmt: skip
    return found


def load_moment_sweep(path: str | Path) -> MomentSweep:
    """Read the sweep of moments that was last run into a store, finished or not.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none of a sweep of
        moments.
    """
    store = Store(path)
    return MomentCampaign(store.plan(MomentPlan.from_dict, "resmc.load_moment_sweep")).collect(store)
