"""Who computes the shards: this process, processes of our own, any executor, or a Dask cluster.

An engine takes tasks and gives futures. What a task does (`resmc.sweep.compute`) is the same everywhere, and no engine
sees a result: shards go from the worker to the store.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from concurrent import futures
from multiprocessing import connection
from typing import Any, Protocol

from .. import _checks, devices
from .compute import Done, Task, compute
from .gpus import pin, visible

# What tells a worker process that its run was stopped.
_stop: Flag | None = None


class Engine(Protocol):
    """What the coordinator needs."""

    threads: int  # of a task; 0: all
    pin: bool  # whether workers take a GPU each

    def places(self) -> int:
        """How many tasks to have submitted at a time."""

    def submit(self, task: Task) -> Any:
        """A future, with ``add_done_callback``, ``result`` and ``cancel``."""

    broken: tuple[type[BaseException], ...]  # what a future raises when its worker has died

    def recover(self) -> str:
        """After that: which tasks are lost, "all" or the "one" that raised; or "nothing" can be done."""

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
        workers = _checks.integer("workers", workers, 1, 4096, "4096")
    if threads is not None:
        threads = _checks.integer("threads", threads, 1, 1 << 12, "4096")
    if engine is None or engine == "processes":
        if kind == "cuda":
            workers = workers or (1 if engine is None else max(1, len(visible())))
        workers = workers or max(1, cores // (threads or 1))
        threads = threads or max(1, cores // workers)
        return Threads(workers, threads) if engine is None else Processes(workers, threads, device)
    if workers is not None:
        raise ValueError(f"workers={workers} is not allowed with an engine of your own: it knows its workers")
    if isinstance(engine, futures.Executor):
        return External(engine, threads or 1, kind == "cuda")
    if type(engine).__module__.partition(".")[0] == "distributed" and hasattr(engine, "scheduler_info"):
        from .dask_engine import Dask

        return Dask(engine, threads or 1, kind == "cuda")
    raise ValueError(
        f"engine={engine!r} is not allowed: it must be None, 'processes', a concurrent.futures.Executor or a "
        "distributed.Client"
    )


class Threads:
    """This process: threads that each run one shard at a time; the kernels run without the interpreter's lock."""

    pin = False
    broken: tuple[type[BaseException], ...] = ()

    def __init__(self, workers: int, threads: int) -> None:
        self.threads, self.workers = threads, workers
        self.stop = threading.Event()
        self.pool = futures.ThreadPoolExecutor(workers, "resmc-sweep")

    def places(self) -> int:
        return self.workers + 1  # one more waits, so that no thread does

    def submit(self, task: Task) -> futures.Future[Done]:
        return self.pool.submit(compute, task, self.stop)

    def recover(self) -> str:
        return "nothing"

    def close(self) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)


class Flag:
    """An event between processes without a lock: a worker killed while it held one would stop all the others."""

    def __init__(self, context: multiprocessing.context.SpawnContext) -> None:
        self.value = context.RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        self.value.value = True

    def is_set(self) -> bool:
        return bool(self.value.value)


class Processes:
    """New processes, started by spawning, since CUDA does not survive a fork. They end with this process.

    They are started from a thread, which no signal's handler interrupts: Ctrl-C in the middle of a start would leave a
    worker that nobody knows of, and for which this process would wait when it ends. Ctrl-C is blocked in the thread,
    and so in what it starts: a worker does not answer it with a traceback while it is still importing.
    """

    pin = True
    broken: tuple[type[BaseException], ...] = (futures.BrokenExecutor,)

    def __init__(self, workers: int, threads: int, device: str) -> None:
        self.threads, self.workers, self.device = threads, workers, device
        self.context = multiprocessing.get_context("spawn")
        self.stop = Flag(self.context)
        self.starter = futures.ThreadPoolExecutor(
            1, "resmc-starter", signal.pthread_sigmask, (signal.SIG_BLOCK, {signal.SIGINT})
        )
        self.pool = self._pool()

    def _pool(self) -> futures.ProcessPoolExecutor:
        return futures.ProcessPoolExecutor(self.workers, self.context, _enter, (self.stop, self.device))

    def places(self) -> int:
        return self.workers + 1

    def submit(self, task: Task) -> futures.Future[Done]:
        return self.starter.submit(self.pool.submit, _compute, task).result()

    def recover(self) -> str:
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = self._pool()
        return "all"

    def close(self) -> None:
        self.stop.set()
        self.starter.shutdown(wait=True, cancel_futures=True)
        self.pool.shutdown(wait=True, cancel_futures=True)


class External:
    """An executor of the caller's; it is not shut down."""

    broken: tuple[type[BaseException], ...] = (futures.BrokenExecutor,)

    def __init__(self, executor: futures.Executor, threads: int, pin: bool) -> None:
        self.executor, self.threads, self.pin = executor, threads, pin
        self.submitted: set[Any] = set()

    def places(self) -> int:
        workers = getattr(self.executor, "_max_workers", None)  # of the standard library's, and those made like them
        return 2 * (workers if isinstance(workers, int) else len(os.sched_getaffinity(0)))

    def submit(self, task: Task) -> Any:
        future = self.executor.submit(compute, task)
        self.submitted.add(future)
        future.add_done_callback(self.submitted.discard)
        return future

    def recover(self) -> str:
        return "nothing"

    def close(self) -> None:
        for future in list(self.submitted):
            future.cancel()


def _enter(stop: Flag, device: str) -> None:
    """First of all in a worker process."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent handles it
    pin(device)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _compute(task: Task) -> Done:
    return compute(task, _stop)
