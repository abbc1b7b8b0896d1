"""The work on one shard, from its description to its file, as any worker does it in whatever process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from .._system.cpus import usable_cpus
from .._system.stopping import Stopped
from ..engine import devices
from ..engine.memory import check_memory
from ..engine.run import run
from ..results import storage
from ..results.archive import checksum_at_end
from ..results.record import Record
from .gpus import pin
from .point import Point
from .shards import Range, Shard
from .store import Store, Stored, stored_as


class Stop(Protocol):
    """An event, of this process or shared with others."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Made:
    """A computed shard: who has computed it, the content of its file, and what the coordinator asks of it at once."""

    numerics: str  # the numerics class, such as cpu/avx2
    data: bytes
    final: Any
    complete: bool = False  # True if ``final`` is all that is read of the file when results are collected


@dataclass(frozen=True)
class ShardTask(ABC):
    """A shard to compute into a store, with everything that another process needs to do so."""

    store: str | None  # None to bring the content of the shard's file back
    shard: Shard[Any]
    device: str
    threads: int  # CPU threads; 0 for all
    pin: bool = False  # True to let the worker's process hold one of several GPUs for itself

    @abstractmethod
    def make(self, report: Callable[[float], None]) -> Made:
        """Compute the shard, and report now and then the fraction that is done; a report may raise `Stopped`."""


@dataclass(frozen=True)
class Task(ShardTask):
    """A shard of simulations."""

    shard: Shard[Point]
    laws: bool = False  # True to bring laws back, which are as large as the shard and only medians need

    def make(self, report: Callable[[float], None]) -> Made:
        shard = self.shard
        request = shard.point.request(
            shard.start, shard.stop, device=devices.parse(self.device), threads=self.threads or usable_cpus()
        )
        check_memory(request, in_a_sweep=True)
        record = Record.of(request, run(request, report))
        final = record.final()
        data = storage.to_bytes(record)
        complete = self.laws or not final.laws
        return Made(record.numerics[-1], data, final if complete else final.without_laws(), complete)


@dataclass(frozen=True)
class Done:
    """A finished shard: its file, and what the task has made besides, such as the sums of its end."""

    shard: Shard[Any]
    stored: Stored
    final: Any
    data: bytes | None = None  # the content of the file, if the task names no store
    checksum: bytes = b""  # the file's, if ``final`` is all that is read of it when results are collected


def compute(task: ShardTask, stop: Stop | None = None) -> Done:
    """Compute a shard and write it, if there is a store.

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

    shard, made = task.shard, task.make(report)
    stored = stored_as(shard.point, Range(shard.start, shard.stop), made.numerics)
    checksum = checksum_at_end(made.data) if made.complete else b""
    if task.store is None:
        return Done(shard, stored, made.final, made.data, checksum)
    Store(task.store).write(stored, made.data)
    return Done(shard, stored, made.final, None, checksum)
