"""Engines, which compute the shards: this process, processes of our own, any executor, or a Dask cluster.

An engine takes tasks and gives futures. A task does the same work with every engine (`resmc.sweep.compute`), and no
engine sees a result: shards go from the worker to the store.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent import futures
from typing import Any, Protocol

from .._system import checks
from .._system.cpus import usable_cpus
from .._system.words import brief
from ..engine import devices
from .compute import Done, ShardTask, compute_all
from .dask_engine import Dask
from .gpus import visible
from .processes import Processes


class Cluster(Protocol):
    """A ``distributed.Client``, as far as it is needed here, where Dask is not imported."""

    status: str

    def get_executor(self, **options: Any) -> Any:
        """Return an executor on the cluster."""


class Engine(Protocol):
    """The coordinator's view of all who compute shards."""

    threads: int  # CPU threads of a task; 0 for all
    pin: bool  # True if every worker holds a GPU of its own
    broken: tuple[type[BaseException], ...]  # exceptions that a future raises when its worker has died
    recovers: bool  # True if a task can be submitted again after its worker has died

    def places(self) -> int:
        """Return how many tasks to have submitted at a time."""

    def submit(self, tasks: Sequence[ShardTask]) -> Any:
        """Return a future of what tasks have done, with ``add_done_callback``, ``result`` and ``cancel``."""

    def close(self) -> None:
        """Stop the tasks that still run, and end the workers that the engine has started."""


def open_engine(engine: Any, workers: int | None, threads: int | None, device: str) -> Engine:
    """Open the engine that ``engine`` names.

    Raises
    ------
    ValueError
        If ``engine`` is none of None, "threads", "processes", an Executor, a Dask client; or if ``workers`` is given
        for an executor or a client, which have workers of their own.
    """
    kind, _ = devices.parse(device)
    cores = usable_cpus()
    if workers is not None:
        workers = checks.integer("workers", workers, 1, 4096, "4096")
    if threads is not None:
        threads = checks.integer("threads", threads, 1, 1 << 12, "4096")
    if isinstance(engine, str) and engine == "threads":
        engine = None
    if engine is None or (isinstance(engine, str) and engine == "processes"):
        if kind == "cuda":
            workers = workers or (1 if engine is None else max(1, len(visible())))
        workers = workers or max(1, cores // (threads or 1))
        threads = threads or max(1, cores // workers)
        return Threads(workers, threads) if engine is None else Processes(workers, threads, device)
    client = type(engine).__module__.partition(".")[0] == "distributed" and hasattr(engine, "get_executor")
    if workers is not None and (client or isinstance(engine, futures.Executor)):
        raise ValueError(f"workers={workers} is not allowed with an engine of your own: it knows its workers")
    if isinstance(engine, futures.Executor):
        processes = not isinstance(engine, futures.ThreadPoolExecutor)  # threads of one process see the same GPUs
        return External(engine, threads or 1, kind == "cuda" and processes)
    if client:
        if engine.status != "running":
            raise ValueError(f"engine={brief(engine)} is not allowed: the client is {engine.status}")
        return Dask(engine, threads or 1, kind == "cuda")
    raise ValueError(
        f"engine={brief(engine)} is not allowed: it must be None or 'threads', 'processes', a "
        "concurrent.futures.Executor, "
        "or a distributed.Client (of a cluster, distributed.Client(cluster))"
    )


class Threads:
    """An engine of threads in this process, which work side by side since kernels release the interpreter's lock.

    There are two threads for each worker: while one waits for the disk, another computes.
    """

    pin = False
    recovers = False
    broken: tuple[type[BaseException], ...] = ()

    def __init__(self, workers: int, threads: int) -> None:
        self.threads, self.workers = threads, workers
        self.stop = threading.Event()
        self.computing = threading.Semaphore(workers)
        self.pool = futures.ThreadPoolExecutor(2 * workers, "resmc-sweep")

    def places(self) -> int:
        return 2 * self.workers + 1  # one task waits in the queue, so that no thread waits for a task

    def submit(self, tasks: Sequence[ShardTask]) -> futures.Future[list[Done]]:
        return self.pool.submit(compute_all, tasks, self.stop, self.computing)

    def close(self) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)


class External:
    """An engine on an executor of the caller's, which is not shut down."""

    recovers = False
    broken: tuple[type[BaseException], ...] = (futures.BrokenExecutor,)

    def __init__(self, executor: futures.Executor, threads: int, pin: bool) -> None:
        self.executor, self.threads, self.pin = executor, threads, pin
        # An event reaches tasks of this process alone; those of others finish the shard that they compute.
        self.stop = threading.Event() if isinstance(executor, futures.ThreadPoolExecutor) else None
        workers = getattr(executor, "_max_workers", None)  # an attribute of the standard library's executors
        self.workers = workers if isinstance(workers, int) else usable_cpus()
        self.submitted: set[Any] = set()
        self.used = False

    def places(self) -> int:
        return 2 * self.workers

    def submit(self, tasks: Sequence[ShardTask]) -> Any:
        try:
            future = self.executor.submit(compute_all, tasks, self.stop)
        except futures.BrokenExecutor:
            if self.used:
                raise
            raise ValueError(f"engine={brief(self.executor)} is not allowed: a worker of it has died before") from None
        except RuntimeError as error:
            raise ValueError(f"engine={brief(self.executor)} is not allowed: it takes no more work ({error})") from None
        self.used = True
        self.submitted.add(future)
        future.add_done_callback(self.submitted.discard)
        return future

    def close(self) -> None:
        if self.stop is not None:
            self.stop.set()
        for future in list(self.submitted):
            future.cancel()
