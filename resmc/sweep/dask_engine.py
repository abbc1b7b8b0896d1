"""A Dask cluster as the engine of a sweep on several machines (https://distributed.dask.org)."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from .compute import Done, ShardTask, compute_all

RETRIES = 3  # times that a task which raises is computed again; after a worker's death the scheduler has its own rule
LOOK = 1.0  # seconds between questions to the scheduler about its workers


class Dask:
    """An engine on a ``distributed.Client``. The workers must see the store under the same path."""

    recovers = True  # a task that the scheduler has given up, since several workers died with it, may be sent again

    def __init__(self, client: Any, threads: int, pin: bool) -> None:
        from distributed import KilledWorker

        self.broken: tuple[type[BaseException], ...] = (KilledWorker,)
        self.client, self.threads, self.pin = client, threads, pin
        self.run = uuid.uuid4().hex[:8]  # makes task names unique: the scheduler would not compute a known task again
        self.submitted: set[Submitted] = set()
        self.count, self.workers, self.looked = 0, 0, -LOOK

    def places(self) -> int:
        """Return two places for each thread of the workers that are there now, so that no thread waits."""
        if time.monotonic() - self.looked > LOOK:
            self.workers = int(sum(self.client.nthreads().values()))
            self.looked = time.monotonic()
        return max(1, 2 * self.workers)

    def submit(self, tasks: Sequence[ShardTask]) -> Submitted:
        self.count += 1
        key = f"resmc-shard-{self.run}-{self.count}"
        future = Submitted(self.client.submit(compute_all, tasks, key=key, pure=False, retries=RETRIES), self.submitted)
        self.submitted.add(future)
        return future

    def close(self) -> None:
        """Cancel the tasks that have not begun; a worker finishes the shard that it is computing."""
        left = [submitted.future for submitted in self.submitted]
        self.submitted.clear()
        if left:
            with contextlib.suppress(Exception):  # if scheduler or client are gone, the tasks are gone with them
                self.client.cancel(left)


class Submitted:
    """A future of Dask's that the scheduler may forget as soon as the result has been asked for, good or bad.

    Dask's own futures are forgotten when nothing refers to them any more. The traceback of an exception refers to the
    future that raised it, and may be kept for long.
    """

    def __init__(self, future: Any, among: set[Submitted]) -> None:
        self.future, self.among = future, among

    def add_done_callback(self, call: Callable[[Submitted], None]) -> None:
        self.future.add_done_callback(lambda future: call(self))

    def result(self) -> list[Done]:
        from distributed import CancelledError

        try:
            done: list[Done] = self.future.result()
            return done
        except CancelledError as error:
            reason = getattr(error, "reason", error)
            raise RuntimeError(
                f"the Dask scheduler has dropped a shard ({reason}). Finished shards are safe; run the same again"
            ) from None
        finally:
            self.among.discard(self)
            self.future.release()
