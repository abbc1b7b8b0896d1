"""What a worker does, in whatever process: one shard, from its description to its file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from ..engine import devices
from ..engine.lowering import native_network
from ..engine.memory import check_memory, needed_memory
from ..engine.simulate import native_settings, simulate_range
from ..engine.sums import LayerSums
from ..results import storage
from ..simulation import NetworkRange
from .gpus import pin
from .shards import Range, Shard
from .store import Store, Stored, stored_as


class Stop(Protocol):
    """An event, of this process or shared with others."""

    def is_set(self) -> bool: ...


class Stopped(Exception):
    """The run was asked to stop while a shard was being computed."""


@dataclass(frozen=True)
class Task:
    """A shard to compute into a store, on a device. Everything that another process needs."""

    store: str
    shard: Shard
    device: str
    threads: int  # 0: all
    pin: bool = False  # whether this process takes one of several GPUs for itself


@dataclass(frozen=True)
class Done:
    """A finished shard: its file, and the sums of its last layer."""

    shard: Shard
    stored: Stored
    final: LayerSums


def compute(task: Task, stop: Stop | None = None) -> Done:
    """Computes a shard and writes it.

    Raises
    ------
    Stopped
        Within a tenth of a second after ``stop`` was set.
    StoreError, DeviceError, ValueError, MemoryError
        What keeps it from being computed or written.
    """
    if task.pin:
        pin(task.device)

    def report(fraction: float) -> None:
        if stop is not None and stop.is_set():
            raise Stopped

    shard, point = task.shard, task.shard.point
    networks = NetworkRange(shard.start, shard.stop, point.block)
    device = devices.parse(task.device)
    threads = min(task.threads or len(os.sched_getaffinity(0)), shard.stop - shard.start)
    network = native_network(point.model)
    settings = native_settings(point.model, networks, point.seed, point.method, point.correlations)
    on_cpu = threads if device[0] == "cpu" else 0
    check_memory(point.model, len(point.recorded), lambda n: needed_memory(network, settings, n, on_cpu))
    simulation = simulate_range(
        point.model,
        networks,
        seed=point.seed,
        method=point.method,
        layers=point.recorded,
        correlations=point.correlations,
        device=device,
        threads=threads,
        report=report,
    )
    stored = stored_as(point, Range(shard.start, shard.stop), simulation.numerics[-1])
    Store(task.store).write(stored, storage.to_bytes(simulation))
    return Done(shard, stored, simulation.statistics.final())
