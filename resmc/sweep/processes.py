"""Worker processes of our own, each with a pipe that it shares with nobody.

They are started as programs: a fork does not survive CUDA, and `multiprocessing` would import the caller's script anew
in each of them, which runs the sweep there as well where it has no main guard. A `ProcessPoolExecutor` besides has
queues and locks for all workers: whoever is killed while it holds one breaks the pool.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent import futures
from multiprocessing.connection import Connection, Pipe

from .compute import Done, Stopped, Task, compute
from .gpus import pin

PROGRAM = "import sys; from resmc.sweep.processes import work; work(*sys.argv[1:])"
LOOK = 0.2  # seconds between looks at whether the parent still runs


class WorkerDied(Exception):
    """A worker process has ended in the middle of a task: killed, out of memory, or crashed."""


class Processes:
    """An engine: so many processes, with a thread here for each of them.

    The threads start the processes: no signal's handler runs in them, so Ctrl-C leaves no process that nobody knows of.
    They block Ctrl-C, and so does what they start, which would otherwise answer it with a traceback while it imports.
    """

    pin = True
    recovers = True
    broken: tuple[type[BaseException], ...] = (WorkerDied,)

    def __init__(self, workers: int, threads: int, device: str) -> None:
        self.threads, self.workers, self.device = threads, workers, device
        self.stopped = False
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
        worker: Worker | None = getattr(self.own, "worker", None)
        if worker is None:
            worker = self.own.worker = Worker(self.device)
            self.started.append(worker)
        if self.stopped:  # asked after the worker is known to `close`, which would otherwise miss it
            raise Stopped
        try:
            return worker.compute(task)
        except WorkerDied:
            self.own.worker = None
            self.started.remove(worker)
            raise

    def close(self) -> None:
        self.stopped = True
        for worker in list(self.started):
            worker.stop()
        self.pool.shutdown(wait=True, cancel_futures=True)
        for worker in self.started:
            worker.close()


class Worker:
    """A process that computes one task after the other, as seen from its parent."""

    def __init__(self, device: str) -> None:
        self.connection, theirs = Pipe()
        with theirs:  # closed here, so that ours is at its end when the process is
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno()), str(os.getpid()), device],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": python_path()},
            )  # fmt: skip

    def compute(self, task: Task) -> Done:
        """Waits for it; raises what it raised there, or `WorkerDied`."""
        try:
            self.connection.send(task)
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self.close()
            raise WorkerDied(f"exit status {self.process.returncode}") from None
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Done)
        return outcome

    def stop(self) -> None:
        """Nothing more will come: it ends, at once even if it computes. A thread that waits for it gets `Stopped`."""
        try:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_WR)
        except OSError:  # it has ended
            pass

    def close(self) -> None:
        """It ends, if it has not yet."""
        self.connection.close()
        self.process.wait()


def python_path() -> str:
    """Where this process finds modules, for one that it starts."""
    return os.pathsep.join(os.path.abspath(path) for path in sys.path)


class Closed:
    """Set when the parent has closed its side of a pipe, or ended; between tasks nothing else comes through."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def is_set(self) -> bool:
        return self.pipe.poll()


def work(pipe: str, parent: str, device: str) -> None:
    """All that a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent handles it
    threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True).start()
    pin(device)
    tasks = Connection(int(pipe))
    while True:
        try:
            task = tasks.recv()
        except (EOFError, OSError):
            return
        outcome: Done | Exception
        try:
            outcome = compute(task, Closed(tasks))
        except Exception as error:
            error.add_note(f"In a worker process: {traceback.format_exc()}")
            outcome = error
        try:
            tasks.send(outcome)
        except OSError:  # nobody listens any more
            return
        except Exception:  # of a kind that cannot be sent
            tasks.send(RuntimeError(f"{type(outcome).__name__}: {outcome}"))


def _end_with_parent(parent: int) -> None:
    """Even if another process, forked from it, holds the other end of our pipe."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
