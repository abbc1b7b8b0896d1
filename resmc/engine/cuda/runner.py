"""Carries out a simulation on a GPU: chunk after chunk is simulated, reduced and folded, all on one stream."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lowering import BACKWARD, KernelNetwork, KernelResidual
from ..request import Job
from .buffers import Buffers
from .device import Accelerator, DeviceError, fault, first_line
from .kernels import BEST, Launch, Pointers, QuotientValues, RawValues, Reduction, Shape
from .plan import Plan, best_segment, make_plan, steps
from .raw import Raw
from .results import fill_statistics

IN_FLIGHT = 2  # launches enqueued ahead of the one that runs


def run(
    accelerator: Accelerator,
    network: KernelNetwork,
    job: Job,
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    report: Callable[[float], None] | None,
    shape: tuple[int, int] = BEST,
) -> Raw:
    """Adds networks first .. first + count - 1 of ``job`` to ``arrays``; returns what is kept raw, on the device.

    ``arrays`` are those of `Sums.arrays`, the sums of quotients and of the mean square.

    ``shape`` is (threads of a team, where states are kept) instead of the best, for measurements.

    Raises
    ------
    DeviceError
        If memory does not suffice for the smallest chunk, or a kernel fails; names it and CUDA's error.
    KeyboardInterrupt
        Within a second or so; the device is idle again then.
    """
    runner: Runner | None = None
    with accelerator.active(), accelerator.torch.no_grad():
        try:

            def shape_of(network: KernelNetwork) -> Shape:
                return accelerator.kernels.shape(network, job.method, accelerator.properties, shape)

            if isinstance(network, KernelResidual):
                multiprocessors, free = accelerator.properties.multiprocessors, accelerator.free_bytes()
                segment = best_segment(network, job.count, shape_of, multiprocessors, free)
                network = replace(network, segment=segment)
            chosen = shape_of(network)
            buffers, plan = _allocate(accelerator, network, job, chosen, layers, arrays)
            runner = Runner(accelerator, network, job, chosen, plan, buffers, report)
            runner.run()
            fill_statistics(buffers, arrays)
            return buffers.raw
        except accelerator.out_of_memory as error:
            raise DeviceError(f"{accelerator.name} ran out of memory: {first_line(error)}") from error
        except DeviceError:
            raise
        except RuntimeError as error:  # raised by a launch of ours, or by torch's own kernels
            if runner is not None and error is runner.of_report:
                raise
            raise fault(accelerator, error, runner.suspects() if runner else []) from error


def _allocate(
    accelerator: Accelerator,
    network: KernelNetwork,
    job: Job,
    shape: Shape,
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
) -> tuple[Buffers, Plan]:
    """Buffers for chunks as large as memory allows: halved until they fit."""
    most: int | None = None
    while True:
        free = accelerator.free_bytes()
        multiprocessors = accelerator.properties.multiprocessors
        plan = make_plan(network, job, shape, len(layers), multiprocessors, free, most)
        try:
            return Buffers(accelerator, network, job, shape, layers, plan, arrays), plan
        except accelerator.out_of_memory as error:
            needed = Buffers.bytes(network, job, shape, len(layers), plan)
            most = plan.columns // 2
            if most < max(job.batch, 32):
                raise DeviceError(
                    f"{accelerator.name} has too little memory: {needed / 1e9:.3g} GB are needed for "
                    f"{plan.columns} networks at a time, {len(layers)} recorded layers, "
                    f"keep_samples={job.keep_samples} and keep_trajectories={job.keep_trajectories}, "
                    f"and {free / 1e9:.3g} GB are free; record fewer layers or keep less"
                ) from error


class Runner:
    """The loop over chunks and launches; keeps a few launches ahead of the device and watches them pass."""

    def __init__(
        self,
        accelerator: Accelerator,
        network: KernelNetwork,
        job: Job,
        shape: Shape,
        plan: Plan,
        buffers: Buffers,
        report: Callable[[float], None] | None,
    ) -> None:
        self.accelerator, self.network, self.job, self.shape = accelerator, network, job, shape
        self.plan, self.buffers, self.report = plan, buffers, report
        # Words that kernels read and write while they run: whether to stop, then layers done, by launch in turn.
        self.words, self.seen = accelerator.host_words(1 + 2 * (IN_FLIGHT + 1))
        self.pending: deque[tuple[Any, str, int]] = deque()  # (event, kernel, networks of the launch)
        self.done = 0  # networks
        self.enqueuing = ""  # the kernel
        self.of_report: BaseException | None = None  # raised by the caller's own function
        self.launches = self.passed = 0
        self.reported = time.monotonic()

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
        ordinal, kernels, buffers, job = self.accelerator.ordinal, self.accelerator.kernels, self.buffers, self.job
        columns, n_layers, offset = self.plan.columns, buffers.n_layers, first + begin - self.plan.first
        samples, paths = buffers.raw.wanted(offset, end - begin)
        for at in range(begin, end, self.plan.part):
            stop = min(at + self.plan.part, end)
            slot = 1 + self.launches % (len(self.seen) - 1)
            self.seen[slot] = 0
            launch = Launch(
                columns, n_layers, at, stop, first, job.seed, job.variant, job.method,
                output_begin=begin,
                output_end=min(begin + samples, stop),
                look_every=self.plan.look_every,
                look_every_row=self.plan.look_every_row,
                blocks=self.plan.workspace_blocks,
            )  # fmt: skip
            # Outputs of a launch are a part of the chunk's, whose first is column `begin`.
            pointers = buffers.simulate_pointers(offset) | self._words(slot)
            self.enqueuing = "simulate"
            kernels.simulate(self.network, launch, self.accelerator.properties, self.shape, pointers, ordinal, stream)
            self.launches += 1
            self._enqueued(stop - at)
        reduction = Reduction(columns, n_layers, begin, end, first, job.batch, job.bin_low, job.bin_width, job.n_bins)
        self._reduce(reduction, buffers.reduce_pointers(), stream)
        if job.mean_square:
            self._reduce(reduction, buffers.reduce_mean_square_pointers(), stream)
        for name in self.network.quotients:
            if name != "growth":  # the sums of h itself are there already
                self._reduce(reduction, buffers.reduce_quotient_pointers(name), stream)
            self.enqueuing = "quotient"
            values = QuotientValues(columns, n_layers, begin, end, 0 if name in BACKWARD else n_layers - 1, paths)
            kernels.quotient(self.network.width, values, buffers.quotient_pointers(name, offset), ordinal, stream)
            self._enqueued()
        if samples or paths:
            self.enqueuing = "raw"
            wanted = RawValues(columns, n_layers, begin, samples, paths)
            kernels.raw(self.network.width, wanted, buffers.raw_pointers(offset), ordinal, stream)
            self._enqueued()
        if job.correlations:
            self.enqueuing = "products"
            buffers.add_products(first, begin, end)
            self._enqueued()

    def _reduce(self, reduction: Reduction, pointers: Pointers, stream: int) -> None:
        self.enqueuing = "reduce"
        self.accelerator.kernels.reduce(self.network.width, reduction, pointers, self.accelerator.ordinal, stream)
        self._enqueued()

    def _words(self, slot: int) -> Pointers:
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
        pause = 2e-5
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
            if time.monotonic() - self.reported > 0.05:
                self.reported = time.monotonic()
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
        """The finished fraction of the networks, the first wave of the running launch counted by its layers."""
        running = next((networks for _, _, networks in self.pending if networks), 0)
        layers = float(self.seen[1 + self.passed % (len(self.seen) - 1)])
        part = min(running, self.plan.wave) * min(1.0, layers / float(steps(self.network)))
        return min(1.0, (self.done + part) / self.plan.count)

    def _settle(self) -> None:
        """Waits for the device before its memory is let go; an error is reported already, or is about to be."""
        with contextlib.suppress(RuntimeError):
            self.accelerator.synchronize()
