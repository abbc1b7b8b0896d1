"""The work on one shard, from its description to its file, as any worker does it in whatever process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .._system.cpus import usable_cpus
from .._system.stopping import Stopped
from ..engine import devices
from ..engine.memory import check_memory
from ..engine.run import run
from ..results import storage
from ..results.entries import FinalSums
from ..results.record import Record
from .gpus import pin
from .shards import Range, Shard
from .store import Store, Stored, stored_as


class Stop(Protocol):
    """An event, of this process or shared with others."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Task:
    """A shard to compute into a store, with everything that another process needs to do so."""

    store: str
    shard: Shard
    device: str
    threads: int  # CPU threads; 0 for all
    pin: bool = False  # True to let the worker's process hold one of several GPUs for itself
    laws: bool = False  # True to bring laws back, which are as large as the shard and only medians need


@dataclass(frozen=True)
class Done:
    """A finished shard: its file, and the sums of its end."""

    shard: Shard
    stored: Stored
    final: FinalSums


def compute(task: Task, stop: Stop | None = None) -> Done:
    """Compute a shard and write it.

    Raises
    ------
    Stopped
        Within a tenth of a second after ``stop`` was set.
    StoreError, DeviceError, ValueError, MemoryError
        If the shard cannot be computed or written.
    """
    if task.pin:
        pin(task.device)

    def report(fraction: float) -> None:
        if stop is not None and stop.is_set():
            raise Stopped("the run of the sweep was stopped")

    shard, point = task.shard, task.shard.point
    request = point.request(
        shard.start, shard.stop, device=devices.parse(task.device), threads=task.threads or usable_cpus()
    )
    check_memory(request, in_a_sweep=True)
    record = Record.of(request, run(request, report))
    stored = stored_as(point, Range(shard.start, shard.stop), record.numerics[-1])
    Store(task.store).write(stored, storage.to_bytes(record))
    final = record.final()
    return Done(shard, stored, final if task.laws else final.without_laws())
