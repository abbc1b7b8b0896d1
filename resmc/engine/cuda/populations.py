"""Populations that are resampled, on a GPU: networks, weights and offspring stay there, and results come back.

All populations of a chunk advance together from one layer of the schedule to the next, are weighed and resampled, by
launches on torch's current stream; a network rests in memory of its own in between. What a population comes to depends
on itself alone, so that chunks change no bit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._system.progress import Report
from ..lowering import KernelNetwork, KernelResidual
from ..native import PopulationJob, population_stride
from .device import Accelerator, DeviceError, faults_in_words
from .kernels import PopulationLaunch, Shape
from .plan import LOOK_WORK, MEMORY_SHARE, normals_per_call, power_of_two
from .waiting import ended_by_exceptions, wait_for

PROJECTED = 0
TOGETHER = 1 << 20  # networks of a chunk at most, but for a single population that has more
PER_NETWORK = {
    "square": "float32", "exponent": "int32", "reached": "float64", "origin": "float64", "weight": "float64",
    "offspring": "int32", "parent": "int32",
}  # fmt: skip
RESULTS = ("top", "mean", "effective", "growth")
AHEAD = 2  # launches that may be on their way
SHARE = 2 * MEMORY_SHARE  # share of the free memory for populations, which have no records


def run_populations(
    accelerator: Accelerator,
    network: KernelNetwork,
    job: PopulationJob,
    layers: NDArray[np.int64],
    arrays: dict[str, NDArray[np.float64]],
    report: Report,
) -> None:
    """Take populations through all layers and fill ``arrays``, as `resmc.engine.native.populations` does.

    Raises
    ------
    DeviceError
        If memory does not suffice for one population, or a kernel fails.
    """
    with accelerator.active(), accelerator.torch.no_grad():
        with faults_in_words(accelerator):
            buffers = _allocate(accelerator, network, job, len(layers))
        Runner(accelerator, network, job, layers, buffers, report).run(arrays)


def bytes_of_population(shape: Shape, size: int, n_layers: int) -> int:
    """Bytes of device memory that a population takes."""
    network = 4.0 * shape.block_floats / shape.block_networks + sum(np.dtype(t).itemsize for t in PER_NETWORK.values())
    return int(population_stride(size) * network) + 8 * len(RESULTS) * n_layers


@dataclass(frozen=True, eq=False)
class Buffers:
    """Device memory for so many populations at a time, by the names that the kernels know it by."""

    shape: Shape
    populations: int
    tensors: dict[str, Any]

    @classmethod
    def of(
        cls, accelerator: Accelerator, network: KernelNetwork, shape: Shape, job: PopulationJob, n_layers: int, m: int
    ) -> Buffers:
        """Allocate memory for ``m`` populations; raises the device's own error."""
        torch, device = accelerator.torch, accelerator.device

        def there(array: NDArray[Any]) -> Any:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        columns = m * population_stride(job.size)
        blocks = -(-columns // shape.block_networks)
        tensors = {
            name: torch.empty(columns, dtype=getattr(torch, kind), device=device) for name, kind in PER_NETWORK.items()
        }
        tensors["workspace"] = torch.empty(blocks * shape.block_floats, dtype=torch.float32, device=device)
        tensors |= {name: torch.empty((m, n_layers), dtype=torch.float64, device=device) for name in RESULTS}
        if isinstance(network, KernelResidual):
            tensors["steps"] = there(network.steps)
            if network.n_in:
                tensors["input"] = there(network.input)
        return cls(shape, m, tensors)


def _allocate(accelerator: Accelerator, network: KernelNetwork, job: PopulationJob, n_layers: int) -> Buffers:
    """Buffers for as many populations at a time as memory allows: halved until they fit."""
    shape = accelerator.kernels.population_shape(network, accelerator.properties)
    each, free = bytes_of_population(shape, job.size, n_layers), accelerator.free_bytes()
    stride = population_stride(job.size)
    most = min(job.count, int(SHARE * free) // each, max(1, TOGETHER // stride))
    while most > 0:
        try:
            return Buffers.of(accelerator, network, shape, job, n_layers, most)
        except accelerator.out_of_memory:
            most //= 2
    raise DeviceError(
        f"{accelerator.name} has too little memory: {each / 1e9:.3g} GB are needed for a population of size={job.size} "
        f"and width={network.width} at {n_layers} layers, and {free / 1e9:.3g} GB are free: take smaller populations "
        "or fewer layers"
    )


class Runner:
    """The loop over chunks of populations, and over the layers at which they are resampled."""

    def __init__(
        self,
        accelerator: Accelerator,
        network: KernelNetwork,
        job: PopulationJob,
        layers: NDArray[np.int64],
        buffers: Buffers,
        report: Report,
    ) -> None:
        self.accelerator, self.network, self.job, self.buffers = accelerator, network, job, buffers
        self.layers: list[int] = layers.tolist()
        self.report = report
        # Words that kernels read and write while they run: whether to stop, then layers done, by launch in turn.
        self.words, self.seen = accelerator.host_words(1 + AHEAD)
        self.done = 0.0  # populations times layers

    def run(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Fill ``arrays``. On any exception the device is told to stop and waited for."""
        with ended_by_exceptions(self.accelerator, self.seen):
            for at in range(0, self.job.count, self.buffers.populations):
                count = min(self.buffers.populations, self.job.count - at)
                self._chunk(self.job.first + at, count)
                with faults_in_words(self.accelerator):
                    for name in RESULTS:
                        arrays[name][at : at + count] = self.buffers.tensors[name][:count].cpu().numpy()
            self.report(1.0)

    def _chunk(self, first: int, count: int) -> None:
        pending: deque[tuple[int, Any]] = deque()
        for slot in range(len(self.layers)):
            pending.append((slot, self._launch(first, count, slot)))
            while len(pending) >= AHEAD:
                self._wait(count, *pending.popleft())
        while pending:
            self._wait(count, *pending.popleft())

    def _launch(self, first: int, count: int, slot: int) -> Any:
        accelerator, shape, network, job = self.accelerator, self.buffers.shape, self.network, self.job
        draws = 3 if isinstance(network, KernelResidual) else 1  # draws for each neuron in a layer, about
        launch = PopulationLaunch(
            seed=job.seed,
            variant=job.variant,
            first=first * population_stride(job.size),
            populations=count,
            size=job.size,
            power=job.power,
            slot=slot,
            n_layers=len(self.layers),
            from_layer=self.layers[max(slot - 1, 0)],
            to_layer=self.layers[slot],
            resamples=0 < slot < len(self.layers) - 1,
            look_every=power_of_two(LOOK_WORK // (4 * shape.rounds * draws)),
            look_every_row=power_of_two(int(LOOK_WORK / normals_per_call(network, shape, PROJECTED))),
        )
        word = 1 + slot % AHEAD
        self.seen[word] = 0
        pointers = {name: tensor.data_ptr() for name, tensor in self.buffers.tensors.items()}
        pointers |= {"stop": self.words.data_ptr(), "progress": self.words.data_ptr() + 4 * word}
        with faults_in_words(accelerator):
            accelerator.kernels.populations(
                network, launch, accelerator.properties, shape, pointers, accelerator.ordinal, accelerator.stream()
            )  # fmt: skip
            return accelerator.record()

    def _wait(self, count: int, slot: int, event: Any) -> None:
        layers, whole = self.layers[slot] - self.layers[max(slot - 1, 0)], self.job.count * max(1, self.layers[-1])

        def fraction() -> float:
            return (self.done + count * min(float(self.seen[1 + slot % AHEAD]), float(layers))) / whole

        wait_for(self.accelerator, event, fraction, self.report)
        self.done += count * layers
        self.report(self.done / whole)
