"""A Dask cluster as the engine: the way past one machine (https://distributed.dask.org)."""

from __future__ import annotations

import uuid
from typing import Any

from .compute import Task, compute

RETRIES = 3  # of a task that fails with an exception; those of a worker that dies are the scheduler's business


class Dask:
    """Tasks on a ``distributed.Client``. The workers must see the store under the same path."""

    recovers = True  # a task that the scheduler has given up after several of its workers had died

    def __init__(self, client: Any, threads: int, pin: bool) -> None:
        from distributed import KilledWorker

        self.broken: tuple[type[BaseException], ...] = (KilledWorker,)
        self.client, self.threads, self.pin = client, threads, pin
        self.run = uuid.uuid4().hex[:8]  # a shard that is computed again is a new task to the scheduler
        self.submitted: dict[str, Any] = {}
        self.count = 0

    def places(self) -> int:
        """Two for each thread of each worker that is there now."""
        return max(1, 2 * int(sum(self.client.nthreads().values())))

    def submit(self, task: Task) -> Any:
        self.count += 1
        key = f"resmc-shard-{self.run}-{self.count}"
        future = self.client.submit(compute, task, key=key, pure=False, retries=RETRIES)
        self.submitted[key] = future
        future.add_done_callback(lambda f: self.submitted.pop(f.key, None))
        return future

    def close(self) -> None:
        if self.submitted:
            self.client.cancel(list(self.submitted.values()))
        self.submitted.clear()
