"""Worker processes of our own, each with a pipe that it shares with nobody.

Workers are started as programs. A fork does not survive CUDA, and `multiprocessing` would import the caller's script in
every worker, which would run the sweep there as well if the script has no main guard. In a `ProcessPoolExecutor`, all
workers share queues and locks: a worker that is killed while it holds one breaks the pool.
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
from collections.abc import Sequence
from concurrent import futures
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from .._system.stopping import Stopped
from .compute import Done, ShardTask, compute_all
from .gpus import pin

PROGRAM = "import sys; from resmc.sweep.processes import work; work(*sys.argv[1:])"
LOOK = 0.2  # seconds between a worker's checks that its parent still runs


class WorkerDied(Exception):
    """A worker process has ended in the middle of a task: it was killed, ran out of memory, or crashed."""


class Processes:
    """An engine of worker processes, with a thread in this process for each of them.

    The threads start the processes: no signal's handler runs in a thread, so Ctrl-C leaves no process that nobody knows
    of. The threads block Ctrl-C, which processes inherit; else a process that is still importing would answer Ctrl-C
    with a traceback.
    """

    pin = True
    recovers = True
    broken: tuple[type[BaseException], ...] = (WorkerDied,)

    def __init__(self, workers: int, threads: int, device: str) -> None:
        self.threads, self.workers, self.device = threads, workers, device
        self.stopped = False
        self.path = python_path()  # read now: the program may change its folder before a worker is started
        self.own = threading.local()  # each thread's worker
        self.started: list[Worker] = []
        self.pool = futures.ThreadPoolExecutor(
            workers, "resmc-sweep", signal.pthread_sigmask, (signal.SIG_BLOCK, {signal.SIGINT})
        )

    def places(self) -> int:
        return self.workers + 1

    def submit(self, tasks: Sequence[ShardTask]) -> futures.Future[list[Done]]:
        return self.pool.submit(self._compute, tasks)

    def _compute(self, tasks: Sequence[ShardTask]) -> list[Done]:
        """Let this thread's process compute tasks, and start the process if there is none yet."""
        worker: Worker | None = getattr(self.own, "worker", None)
        if worker is None:
            worker = self.own.worker = Worker(self.device, self.path)
            self.started.append(worker)
        if self.stopped:  # asked only now that `close` knows the worker: asked before, `close` could miss it
            raise Stopped("the run of the sweep was stopped")
        try:
            return worker.compute(tasks)
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

    def __init__(self, device: str, path: str) -> None:
        self.connection, theirs = Pipe()
        with theirs:  # closed in this process, so that our side notices when the worker's process ends
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, str(theirs.fileno()), str(os.getpid()), device],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
            )

    def compute(self, tasks: Sequence[ShardTask]) -> list[Done]:
        """Send tasks and wait for their end; raise the exception that one raised there, or `WorkerDied`."""
        try:
            self.connection.send(tasks)
            outcome = self.connection.recv()
        except (EOFError, OSError):
            self.close()
            raise WorkerDied(f"exit status {self.process.returncode}") from None
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, list)
        return outcome

    def stop(self) -> None:
        """Tell the process to end at once, even if it computes; a thread that waits for a task gets `Stopped`."""
        try:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_WR)
        except OSError:  # the process has ended already
            pass

    def close(self) -> None:
        """Close the pipe, at which the process ends, and wait for its end."""
        self.connection.close()
        self.process.wait()


def python_path() -> str:
    """Return the folders where this process finds modules, for a process that it starts.

    The last is this package's own. In another folder than that of the program's start, '' would not lead to it.
    """
    return os.pathsep.join([*map(os.path.abspath, sys.path), str(Path(__file__).parents[2])])


class Closed:
    """An event that is set when the parent has closed its side of a pipe, or ended.

    During a task, nothing else makes the pipe readable: the parent sends the next task after the result of this one.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def is_set(self) -> bool:
        return self.pipe.poll()


def work(pipe: str, parent: str, device: str) -> None:
    """Compute the tasks that come through a pipe, one after the other, until the parent closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent handles it
    threading.Thread(target=_end_with_parent, args=(int(parent),), daemon=True).start()
    pin(device)
    parent_side = Connection(int(pipe))
    while True:
        try:
            tasks = parent_side.recv()
        except (EOFError, OSError):
            return
        outcome: list[Done] | Exception
        try:
            outcome = compute_all(tasks, Closed(parent_side))
        except Exception as error:
            error.add_note(f"In a worker process: {traceback.format_exc()}")
            outcome = error
        try:
            parent_side.send(outcome)
        except OSError:  # nobody listens any more
            return
        except Exception:  # raised if the task's exception cannot be pickled
            parent_side.send(RuntimeError(f"{type(outcome).__name__}: {outcome}"))


def _end_with_parent(parent: int) -> None:
    """End this process with its parent, even if a fork of the parent keeps the other side of the pipe open."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
