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
import traceback
from concurrent import futures
from multiprocessing import connection, resource_tracker
from typing import Any, Protocol

from .. import _checks, devices
from .compute import Done, Stopped, Task, compute
from .gpus import pin, visible


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


class Flag:
    """An event between processes without a lock: a worker killed while it held one would stop all the others."""

    def __init__(self, context: multiprocessing.context.SpawnContext) -> None:
        self.value = context.RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        self.value.value = True

    def is_set(self) -> bool:
        return bool(self.value.value)


class WorkerDied(Exception):
    """A worker process has ended in the middle of a task: killed, out of memory, or crashed."""


class Processes:
    """New processes, started by spawning, since CUDA does not survive a fork. They end with this process.

    Each has a thread here, and a pipe that it shares with nobody. A `ProcessPoolExecutor` has queues and locks for all
    workers: whoever is killed while it holds one breaks the pool, and who submits meanwhile may wait for ever.

    The threads start the processes: no signal's handler runs in them, so Ctrl-C leaves no process that nobody knows of.
    They block Ctrl-C, and so does what they start, which would otherwise answer it with a traceback while it imports.
    """

    pin = True
    recovers = True
    broken: tuple[type[BaseException], ...] = (WorkerDied,)

    def __init__(self, workers: int, threads: int, device: str) -> None:
        self.threads, self.workers, self.device = threads, workers, device
        self.context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # now: it would unblock Ctrl-C in the thread that starts it
        self.stop = Flag(self.context)
        self.own = threading.local()  # each thread's worker
        self.started: list[Worker] = []
        self.pool = futures.ThreadPoolExecutor(
            workers, "resmc-sweep", signal.pthread_sigmask, (signal.SIG_BLOCK, {signal.SIGINT})
        )

    def places(self) -> int:
        return self.workers + 1

    def submit(self, task: Task) -> futures.Future[Done]:
        return self.pool.submit(self._compute, task)

    def _compute(self, task: Task) -> Done:
        """In a thread: its process does it."""
        if self.stop.is_set():
            raise Stopped
        worker: Worker | None = getattr(self.own, "worker", None)
        if worker is None:
            worker = self.own.worker = Worker(self.context, self.stop, self.device)
            self.started.append(worker)
        try:
            return worker.compute(task)
        except WorkerDied:
            self.own.worker = None
            self.started.remove(worker)
            raise

    def close(self) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
        for worker in self.started:
            worker.close()


class Worker:
    """A process that computes one task after the other, as seen from its parent."""

    def __init__(self, context: multiprocessing.context.SpawnContext, stop: Flag, device: str) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, stop, device), daemon=True)
        self.process.start()
        theirs.close()  # so that ours is at its end when the process is

    def compute(self, task: Task) -> Done:
        """Waits for it; raises what it raised there, or `WorkerDied`."""
        try:
            self.connection.send(task)
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self.close()
            raise WorkerDied(f"exit status {self.process.exitcode}") from None
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Done)
        return outcome

    def close(self) -> None:
        """It ends, if it has not yet."""
        self.connection.close()
        self.process.join()


class External:
    """An executor of the caller's; it is not shut down."""

    recovers = False
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

    def close(self) -> None:
        for future in list(self.submitted):
            future.cancel()


def _work(tasks: Any, stop: Flag, device: str) -> None:
    """All that a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent handles it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pin(device)
    while True:
        try:
            task = tasks.recv()
        except EOFError:
            return
        outcome: Done | Exception
        try:
            outcome = compute(task, stop)
        except Exception as error:
            error.add_note(f"In a worker process: {traceback.format_exc()}")
            outcome = error
        try:
            tasks.send(outcome)
        except OSError:  # nobody listens any more
            return
        except Exception:  # of a kind that cannot be sent
            tasks.send(RuntimeError(f"{type(outcome).__name__}: {outcome}"))


def _end_with_parent() -> None:
    """Even if another process holds the other end of our pipe."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
