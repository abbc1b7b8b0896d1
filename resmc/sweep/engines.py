"""Who computes the shards: this process, processes of our own, any executor, or a Dask cluster.

An engine takes tasks and gives futures. What a task does (`resmc.sweep.compute`) is the same everywhere, and no engine
sees a result: shards go from the worker to the store.
"""

from __future__ import annotations

import os
import threading
from concurrent import futures
from typing import Any, Protocol

from .._system import checks
from ..engine import devices
from .compute import Done, Task, compute
from .gpus import visible
from .processes import Processes


class Engine(Protocol):
    """What the coordinator needs."""

    threads: int  # of a task; 0: all
    pin: bool  # whether workers take a GPU each

    def places(self) -> int:
        """How many tasks to have submitted at a time."""

    def submit(self, task: Task) -> Any:
        """A future, with ``add_done_callback``, ``result`` and ``cancel``."""

    broken: tuple[type[BaseException], ...]  # what a future raises when its worker has died

    recovers: bool  # whether that task can be submitted again after that

    def close(self) -> None:
        """Stops what still runs, and lets go of what is ours."""


def open_engine(engine: Any, workers: int | None, threads: int | None, device: str) -> Engine:
    """The engine that ``engine`` names.

    Raises
    ------
    ValueError
        If it is none of None, "processes", an Executor, a Dask client; or workers are given to one that has its own.
    """
    kind, _ = devices.parse(device)
    cores = len(os.sched_getaffinity(0))
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
    if workers is not None:
        raise ValueError(f"workers={workers} is not allowed with an engine of your own: it knows its workers")
    if isinstance(engine, futures.Executor):
        processes = not isinstance(engine, futures.ThreadPoolExecutor)  # threads cannot have a GPU each to see
        return External(engine, threads or 1, kind == "cuda" and processes)
    if type(engine).__module__.partition(".")[0] == "distributed" and hasattr(engine, "get_executor"):
        if engine.status != "running":
            raise ValueError(f"engine={engine!r} is not allowed: the client is {engine.status}")
        from .dask_engine import Dask

        return Dask(engine, threads or 1, kind == "cuda")
    raise ValueError(
        f"engine={engine!r} is not allowed: it must be None or 'threads', 'processes', a concurrent.futures.Executor, "
        "or a distributed.Client (of a cluster, distributed.Client(cluster))"
    )


class Threads:
    """This process: threads that each run one shard at a time; the kernels run without the interpreter's lock."""

    pin = False
    recovers = False
    broken: tuple[type[BaseException], ...] = ()

    def __init__(self, workers: int, threads: int) -> None:
        self.threads, self.workers = threads, workers
        self.stop = threading.Event()
        self.pool = futures.ThreadPoolExecutor(workers, "resmc-sweep")

    def places(self) -> int:
        return self.workers + 1  # one more waits, so that no thread does

    def submit(self, task: Task) -> futures.Future[Done]:
        return self.pool.submit(compute, task, self.stop)

    def close(self) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)


class External:
    """An executor of the caller's; it is not shut down."""

    recovers = False
    broken: tuple[type[BaseException], ...] = (futures.BrokenExecutor,)

    def __init__(self, executor: futures.Executor, threads: int, pin: bool) -> None:
        self.executor, self.threads, self.pin = executor, threads, pin
        self.submitted: set[Any] = set()
        self.used = False

    def places(self) -> int:
        workers = getattr(self.executor, "_max_workers", None)  # of the standard library's, and those made like them
        return 2 * (workers if isinstance(workers, int) else len(os.sched_getaffinity(0)))

    def submit(self, task: Task) -> Any:
        try:
            future = self.executor.submit(compute, task)
        except futures.BrokenExecutor:
            if self.used:
                raise
            raise ValueError(f"engine={self.executor!r} is not allowed: a worker of it has died before") from None
        except RuntimeError as error:
            raise ValueError(f"engine={self.executor!r} is not allowed: it takes no more work ({error})") from None
        self.used = True
        self.submitted.add(future)
        future.add_done_callback(self.submitted.discard)
        return future

    def close(self) -> None:
        for future in list(self.submitted):
            future.cancel()
