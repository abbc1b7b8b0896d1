"""Carries out a simulation on a GPU: chunk after chunk is simulated, reduced and folded, all on one stream."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._native import KernelError
from ..lowering import BACKWARD
from .buffers import Buffers
from .device import Accelerator, DeviceError, first_line
from .plan import Plan, best_segment, make_plan, steps
from .raw import Raw
from .results import fill_statistics

IN_FLIGHT = 2  # launches enqueued ahead of the one that runs


def run(
    accelerator: Accelerator,
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    report: Callable[[float], None] | None,
    shape: tuple[int, int] | None = None,
) -> Raw:
    """Adds networks first .. first + count - 1 of ``settings`` to ``arrays``; returns what is kept raw, on the device.

    ``arrays`` are those of `Sums.arrays` and the sums of quotients.

    ``shape`` is (threads of a team, where states are kept) instead of the best, for measurements.

    Raises
    ------
    DeviceError
        If memory does not suffice for the smallest chunk, or a kernel fails; names it and CUDA's error.
    KeyboardInterrupt
        Within a second or so; the device is idle again then.
    """
    threads, memory = shape or (-1, -1)
    runner: Runner | None = None
    with accelerator.active(), accelerator.torch.no_grad():
        try:

            def shape_of(network: dict[str, Any]) -> dict[str, Any]:
                properties = accelerator.properties
                return dict(accelerator.kernels.shape(network, settings["method"], properties, threads, memory))

            if "block" in network:
                multiprocessors, free = accelerator.properties["multiprocessors"], accelerator.free_bytes()
                segment = best_segment(network, settings["count"], shape_of, multiprocessors, free)
                network = network | {"segment": segment}
            chosen = shape_of(network)
            buffers, plan = _allocate(accelerator, network, settings, chosen, layers, arrays)
            runner = Runner(accelerator, network, settings, chosen, plan, buffers, report)
            runner.run()
            fill_statistics(buffers, arrays)
            return buffers.raw
        except accelerator.out_of_memory as error:
            raise DeviceError(f"{accelerator.name} ran out of memory: {first_line(error)}") from error
        except DeviceError:
            raise
        except RuntimeError as error:  # of a launch of ours, or of torch's own kernels
            if runner is not None and error is runner.of_report:
                raise
            raise _fault(accelerator, error, runner.suspects() if runner else []) from error


def _fault(accelerator: Accelerator, error: RuntimeError, suspects: list[str]) -> DeviceError:
    """What went wrong, in a sentence. An error inside a kernel shows at any later call: all that run are suspect."""
    try:
        lost = bool(accelerator.failure())
    except RuntimeError:
        lost = True
    text = first_line(error)
    if not lost:
        return DeviceError(f"{accelerator.name}: {text}; the device can be used again")
    if isinstance(error, KernelError):
        text = text.split(": ", 1)[-1]  # the kernel that was being launched is not the one that failed
    where = "".join(f", in kernel {name!r}" for name in suspects[:1])
    if suspects[1:]:
        where += f" or one after it ({', '.join(suspects[1:])})"
    return DeviceError(f"{accelerator.name}: {text}{where}; this process has lost its CUDA context: start a new one")


def _allocate(
    accelerator: Accelerator,
    network: dict[str, Any],
    settings: dict[str, Any],
    shape: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
) -> tuple[Buffers, Plan]:
    """Buffers for chunks as large as memory allows: halved until they fit."""
    most: int | None = None
    while True:
        free = accelerator.free_bytes()
        multiprocessors = accelerator.properties["multiprocessors"]
        plan = make_plan(network, settings, shape, len(layers), multiprocessors, free, most)
        try:
            return Buffers(accelerator, network, settings, shape, layers, plan, arrays), plan
        except accelerator.out_of_memory as error:
            needed = Buffers.bytes(network, settings, shape, len(layers), plan)
            most = plan.columns // 2
            if most < max(settings["batch"], 32):
                raise DeviceError(
                    f"{accelerator.name} has too little memory: {needed / 1e9:.3g} GB are needed for "
                    f"{plan.columns} networks at a time, {len(layers)} recorded layers, "
                    f"keep_samples={settings['keep_samples']} and keep_trajectories={settings['keep_trajectories']}, "
                    f"and {free / 1e9:.3g} GB are free; record fewer layers or keep less"
                ) from error


class Runner:
    """The loop over chunks and launches; keeps a few launches ahead of the device and watches them pass."""

    def __init__(
        self,
        accelerator: Accelerator,
        network: dict[str, Any],
        settings: dict[str, Any],
        shape: dict[str, Any],
        plan: Plan,
        buffers: Buffers,
        report: Callable[[float], None] | None,
    ) -> None:
        self.accelerator, self.network, self.settings, self.shape = accelerator, network, settings, shape
        self.plan, self.buffers, self.report = plan, buffers, report
        # Words that kernels read and write while they run: whether to stop, then layers done, by launch in turn.
        self.words, self.seen = accelerator.host_words(1 + 2 * (IN_FLIGHT + 1))
        self.pending: deque[tuple[Any, str, int]] = deque()  # (event, kernel, networks of the launch)
        self.done = 0  # networks
        self.enqueuing = ""  # the kernel
        self.of_report: BaseException | None = None  # raised by the caller's own function
        self.launches = self.passed = 0

    def run(self) -> None:
        """Every chunk. On any exception the device is told to stop and waited for."""
        stream = self.accelerator.stream()
        try:
            for first, begin, end in self.plan.chunks():
                self._chunk(stream, first, begin, end)
            self._wait(0)
            self._report(1.0)
        except BaseException:
            self.seen[0] = 1
            self._settle()
            raise

    def _chunk(self, stream: int, first: int, begin: int, end: int) -> None:
        ordinal, kernels, buffers = self.accelerator.ordinal, self.accelerator.kernels, self.buffers
        samples, paths = buffers.raw.wanted(first + begin - self.plan.first, end - begin)
        chunk = {"columns": self.plan.columns, "n_layers": buffers.n_layers}
        drawn = {"first": first, **{name: self.settings[name] for name in ("seed", "variant", "method")}}
        for at in range(begin, end, self.plan.part):
            stop = min(at + self.plan.part, end)
            slot = 1 + self.launches % (len(self.seen) - 1)
            self.seen[slot] = 0
            launch = {
                **chunk,
                **drawn,
                "begin": at,
                "end": stop,
                "output_begin": begin,
                "output_end": min(begin + samples, stop),
                "look_every": self.plan.look_every,
                "look_every_row": self.plan.look_every_row,
                "blocks": self.plan.workspace_blocks,
            }
            # Outputs of a launch are a part of the chunk's, whose first is column `begin`.
            pointers = {**buffers.simulate_pointers(first + begin - self.plan.first), **self._words(slot)}
            self.enqueuing = "simulate"
            kernels.simulate(self.network, launch, self.accelerator.properties, self.shape, pointers, ordinal, stream)
            self.launches += 1
            self._enqueued(stop - at)
        chunk |= {"begin": begin}
        self._reduce(first, chunk | {"end": end}, buffers.reduce_pointers(), stream)
        for name in ("growth", *buffers.ratios) if buffers.ratios else ():
            self._quotient(name, first, chunk | {"end": end}, paths, stream)
        if samples or paths:
            pointers = buffers.raw_pointers(first + begin - self.plan.first)
            self.enqueuing = "raw"
            wanted = {**chunk, "samples": samples, "paths": paths}
            kernels.raw(self.network["width"], wanted, pointers, ordinal, stream)
            self._enqueued()
        if self.settings["correlations"]:
            self.enqueuing = "products"
            buffers.add_products(first, begin, end)
            self._enqueued()

    def _reduce(self, first: int, columns: dict[str, int], pointers: dict[str, int], stream: int) -> None:
        """Sums over the networks of a chunk."""
        recorded = {name: self.settings[name] for name in ("batch", "bin_low", "bin_width", "n_bins")}
        self.enqueuing = "reduce"
        self.accelerator.kernels.reduce(
            self.network["width"], {"first": first, **columns, **recorded}, pointers, self.accelerator.ordinal, stream
        )
        self._enqueued()

    def _quotient(self, name: str, first: int, columns: dict[str, int], paths: int, stream: int) -> None:
        """Sums, final values and paths of a quotient; those of h itself lack its final values alone."""
        buffers = self.buffers
        if name != "growth":
            self._reduce(first, columns, buffers.reduce_quotient_pointers(name), stream)
        wanted = {**columns, "slot": 0 if name in BACKWARD else buffers.n_layers - 1, "paths": paths}
        pointers = buffers.quotient_pointers(name, first + columns["begin"] - self.plan.first)
        self.enqueuing = "quotient"
        self.accelerator.kernels.quotient(self.network["width"], wanted, pointers, self.accelerator.ordinal, stream)
        self._enqueued()

    def _words(self, slot: int) -> dict[str, int]:
        address = self.words.data_ptr()
        return {"stop": address, "progress": address + 4 * slot}

    def suspects(self) -> list[str]:
        """The kernels that may be running, in order."""
        return list(dict.fromkeys([kernel for _, kernel, _ in self.pending] + [self.enqueuing]))

    def _enqueued(self, networks: int = 0) -> None:
        self.pending.append((self.accelerator.record(), self.enqueuing, networks))
        self._wait(IN_FLIGHT)

    def _wait(self, most: int) -> None:
        """Until at most so many launches of networks are still on their way."""
        pause, reported = 2e-5, time.monotonic()
        while sum(networks > 0 for _, _, networks in self.pending) > most or (most == 0 and self.pending):
            event, _, networks = self.pending[0]
            if event.query():
                self.pending.popleft()
                self.done += networks
                self.passed += networks > 0
                pause = 2e-5
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, 0.002)
            if time.monotonic() - reported > 0.05:
                reported = time.monotonic()
                self._report(self._fraction())

    def _report(self, fraction: float) -> None:
        if self.report is None:
            return
        try:
            self.report(fraction)
        except BaseException as error:
            self.of_report = error
            raise

    def _fraction(self) -> float:
        """Of the networks, with the first wave of the running launch by its layers."""
        running = next((networks for _, _, networks in self.pending if networks), 0)
        layers = float(self.seen[1 + self.passed % (len(self.seen) - 1)])
        part = min(running, self.plan.wave) * min(1.0, layers / float(steps(self.network)))
        return min(1.0, (self.done + part) / self.plan.count)

    def _settle(self) -> None:
        """Waits for the device before its memory is let go; an error is reported already, or is about to be."""
        with contextlib.suppress(RuntimeError):
            self.accelerator.synchronize()
