"""What a sweep takes beyond its kernels, measured within its runs, and beside runs of the kernels alone.

Two runs on a busy machine differ by more than 2%, so their ratio cannot show an overhead of less. What happens outside
the kernels can be timed by itself: the processor time of the threads that plan, hash, write and sync, and the
time in which a worker had no kernel to run though shards were left. The time over that of bare calls of the
kernels stays as the check that nothing was forgotten, such as kernels that run slower in a sweep.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from resmc import Sweep
from resmc.engine.devices import Device
from resmc.engine.run import run
from resmc.sweep import compute, engines
from resmc.sweep.shards import shard_networks

from .harness import Spread, by_turns, ratios

HALF = 0.5**0.5
SHARDS = 4  # of each worker


class Watch:
    """When the kernels of a sweep in this process ran, and how long its threads worked outside of them."""

    def __init__(self) -> None:
        self.kernels: dict[int, list[tuple[float, float]]] = {}  # of each thread: when they began and ended
        self.outside = 0.0  # processor time
        self.lock = threading.Lock()

    @contextmanager
    def outside_kernels(self, sign: float = 1.0) -> Iterator[None]:
        """Counts this thread's processor time, which has no part in the native threads that run a kernel."""
        before = time.thread_time()
        yield
        with self.lock:
            self.outside += sign * (time.thread_time() - before)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Stands between a sweep and its kernels."""
        whole, kernel = engines.compute_all, compute.run

        def task(*args: Any) -> Any:
            with self.outside_kernels():
                return whole(*args)

        def simulate(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            with self.outside_kernels(-1.0):
                found = kernel(*args, **options)
            with self.lock:
                self.kernels.setdefault(threading.get_ident(), []).append((begin, time.perf_counter()))
            return found

        engines.compute_all, compute.run = task, simulate
        try:
            with self.outside_kernels():
                yield
        finally:
            engines.compute_all, compute.run = whole, kernel

    def idle(self, begin: float, end: float, workers: int) -> float:
        """Time in which workers ran no kernel, over that in which they did; not while another had the last shard.

        Workers are not threads: while one thread of a worker waits for the disk, another runs the next kernel.
        """
        runs = [run for each in self.kernels.values() for run in each]
        last_start, last_stop = (max(times) for times in zip(*runs, strict=True))
        changes = sorted([(start, 1) for start, _ in runs] + [(stop, -1) for _, stop in runs])
        waits, at, running = workers * (end - last_stop), begin, 0
        for when, change in changes:
            if when <= last_start:
                waits += max(workers - running, 0) * (when - at)
                at = when
            running += change
        return waits / sum(stop - start for start, stop in runs)


def plan_of(workers: int, updates: int) -> Sweep:
    """LNR's setting, with so many shards of so much work for each worker."""
    size = {"width": 200, "depth": 200 if updates > 1 << 28 else 10, "alpha": HALF, "lam": HALF}
    networks = shard_networks(Sweep(**size, networks=1 << 20).point(0, 1 << 20), updates)
    return Sweep(**size, networks=SHARDS * workers * networks, shard_updates=updates)


def bare(plan: Sweep, workers: int) -> None:
    """The kernels alone: the plan's ranges from as many threads, nothing kept."""
    point = plan.point(0, plan.networks)
    size = shard_networks(point, plan.shard_updates or 1)

    def one(start: int) -> None:
        run(point.request(start, min(start + size, plan.networks), Device("cpu", None), threads=1))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(0, plan.networks, size)))


def overhead(workers: int, rounds: int, seconds: float, folder: Path) -> dict[str, Any]:
    """`Watch` over sweeps with shards of so many seconds, and their time over that of `bare`, by turns."""
    probe = plan_of(1, int(seconds * 5e8))
    begin = time.perf_counter()
    bare(probe, 1)
    rate = probe.networks * probe.point(0, probe.networks).updates / (time.perf_counter() - begin)
    plan = plan_of(workers, int(seconds * rate))
    store = folder / "overhead"
    processor, idle = list[float](), list[float]()

    def swept() -> None:
        watch, begin, before = Watch(), time.perf_counter(), time.process_time()
        with watch.watching():
            plan.run(store, workers=workers, threads=1, progress=False)
        end, used = time.perf_counter(), time.process_time() - before
        processor.append(watch.outside / (used - watch.outside))
        idle.append(watch.idle(begin, end, workers))
        shutil.rmtree(store)

    bare(plan, workers)
    taken = by_turns((swept, lambda: bare(plan, workers)), rounds)
    shards = SHARDS * workers
    return {
        "workers": workers,
        "shards": shards,
        "shard_seconds": float(np.median(taken[1])) * workers / shards,
        "processor": asdict(Spread.of(processor)),
        "idle": asdict(Spread.of(idle)),
        "over_bare": asdict(ratios(*taken)),
        "seconds": taken,
    }
