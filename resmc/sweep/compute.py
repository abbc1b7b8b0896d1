"""The work on one shard, from its description to its file, as any worker does it in whatever process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from .._system.cpus import usable_cpus
from .._system.stopping import Stopped
from ..engine import devices
from ..engine.memory import check_memory
from ..engine.request import Request
from ..engine.run import Outcome, run
from ..results import storage
from ..results.archive import checksum_at_end
from ..results.record import Record
from ..results.storage import Trimmed
from .gpus import pin
from .point import Point
from .shards import Range, Shard
from .store import Store, Stored, stored_as


class Stop(Protocol):
    """An event, of this process or shared with others."""

    def is_set(self) -> bool: ...


MOST_HELD = 1 << 26  # bytes of computed shards that wait until others are computed
_AT_ONCE: AbstractContextManager[None] = nullcontext()


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

    def ready(self) -> Callable[[Callable[[float], None]], Begun]:
        """Check what can be checked before anything is computed, and return the call that computes the shard.

        The call takes a report as `make` does, and leaves for later what can wait until other shards are computed.
        """

        def begin(report: Callable[[float], None]) -> Begun:
            made = self.make(report)
            return Begun(lambda: made, len(made.data))

        return begin


@dataclass(frozen=True)
class Begun:
    """A computed shard whose file is not made yet: ``end`` makes it, of so many bytes of memory that wait for it."""

    end: Callable[[], Made]
    size: int


@dataclass(frozen=True)
class Task(ShardTask):
    """A shard of simulations."""

    shard: Shard[Point]
    laws: bool = False  # True to bring laws back, which are as large as the shard and only medians need

    def make(self, report: Callable[[float], None]) -> Made:
        return self.ready()(report).end()

    def ready(self) -> Callable[[Callable[[float], None]], Begun]:
        shard = self.shard
        request = shard.point.request(
            shard.start, shard.stop, device=devices.parse(self.device), threads=self.threads or usable_cpus()
        )
        check_memory(request, in_a_sweep=True)

        def begin(report: Callable[[float], None]) -> Begun:
            outcome = run(request, report)
            # Megabytes that are given back at once serve the next shard, without being brought in by the system anew.
            trimmed = Trimmed.of(outcome.sums)
            rest = outcome.without_histogram()
            return Begun(lambda: self._made(request, rest, trimmed), rest.size)

        return begin

    def _made(self, request: Request, outcome: Outcome, trimmed: Trimmed) -> Made:
        record = Record.of(request, outcome)
        final = record.final()
        data = storage.to_bytes(record, trimmed)
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


@lru_cache(maxsize=16)
def _store_at(path: str) -> Store:
    """Return the store of a folder; the tasks of a sweep ask for the same one again and again."""
    return Store(path)


def compute(task: ShardTask, stop: Stop | None = None) -> Done:
    """Compute a shard and write it, if there is a store; errors as for `compute_all`."""
    (done,) = compute_all((task,), stop)
    return done


def compute_all(
    tasks: Sequence[ShardTask], stop: Stop | None = None, permit: AbstractContextManager[Any] = _AT_ONCE
) -> list[Done]:
    """Compute some shards, as long as there is a ``permit``, and then write them, if there is a store.

    The steps of a shard's way are taken by one shard after the other, but where that would hold much memory: what
    surrounds the kernels of small shards takes half the time then, since a processor's caches hold one step at a time.

    Raises
    ------
    Stopped
        Within a tenth of a second after ``stop`` was set.
    StoreError, DeviceError, ValueError, MemoryError
        If a shard cannot be computed or written.
    """

    def report(fraction: float) -> None:
        if stop is not None and stop.is_set():
            raise Stopped("the run of the sweep was stopped")

    for task in tasks:
        if task.pin:
            pin(task.device)
    done, ready = list[Done](), deque(task.ready() for task in tasks)
    while ready:
        begun = list[Begun]()
        with permit:
            while ready and sum(one.size for one in begun) <= MOST_HELD:
                report(0.0)
                begun.append(ready.popleft()(report))
            made = [one.end() for one in begun]
        begun.clear()
        done += [_written(task, one) for task, one in zip(tasks[len(done) :], made, strict=False)]
    return done


def _written(task: ShardTask, made: Made) -> Done:
    """Write a shard's file, if there is a store."""
    shard = task.shard
    stored = stored_as(shard.point, Range(shard.start, shard.stop), made.numerics)
    checksum = checksum_at_end(made.data) if made.complete else b""
    if task.store is None:
        return Done(shard, stored, made.final, made.data, checksum)
    _store_at(task.store).write(stored, made.data)
    return Done(shard, stored, made.final, None, checksum)
