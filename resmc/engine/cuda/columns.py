"""Columns of networks whose weights are handed in, on a GPU: weights are drawn and met there, and records come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._system.progress import Report
from ..arrays import Array
from ..column_plan import Plan
from ..columns import Passage, Places, Source, arrays_of
from ..lowering import KernelResidual, Lowered
from ..native import ColumnJob
from .device import Accelerator, faults_in_words
from .kernels import ColumnLaunch, Shape
from .plan import LOOK_WORK, MEMORY_DEVICE, power_of_two
from .waiting import ended_by_exceptions, wait_for

if TYPE_CHECKING:
    from ..weights import LayerWeights

DENSE = 1
MOST_THREADS = 256  # the most threads of a team: MAX_RESIDUAL_THREADS of csrc/cuda/arguments.hpp
TERMS = 128  # terms of a product between two looks at whether to stop


@dataclass(frozen=True)
class Device:
    """A GPU as the `resmc.engine.columns.Machine` of columns."""

    accelerator: Accelerator

    @property
    def numerics(self) -> str:
        """The numerics class of the records."""
        return self.accelerator.numerics

    def shape(self, network: KernelResidual) -> Shape:
        """Threads and memory of a column."""
        kernels, properties = self.accelerator.kernels, self.accelerator.properties
        shape = kernels.shape(network, DENSE, properties)
        if shape.threads > MOST_THREADS:
            shape = kernels.shape(network, DENSE, properties, (MOST_THREADS, MEMORY_DEVICE))
        return shape

    def state_bytes(self, network: KernelResidual, columns: int) -> int:
        """Bytes that so many columns of one network keep from one way through layers to the next."""
        shape = self.shape(network)
        return 4 * shape.block_floats * -(-columns // shape.block_networks)

    def source(self, lowered: Lowered, seed: int) -> Source:
        """Weights of a network's own counters, drawn by torch."""
        from ..weights import WeightSource
        from .weights import Tensors

        machine = Tensors(self.accelerator.torch, self.accelerator.device)
        return OnDeviceSource(self.accelerator, WeightSource(lowered.general, seed, 1, machine))

    def begin(self, plan: Plan, networks: int, places: Places) -> Passage:
        """Begin with the columns of so many networks."""
        with faults_in_words(self.accelerator):
            return OnDevice(self, plan, networks, places)


@dataclass(frozen=True)
class OnDeviceSource:
    """Weights drawn on a GPU, whose faults are put into words."""

    accelerator: Accelerator
    drawn: Source

    def draw(self, networks: range, begin: int, end: int) -> LayerWeights:
        """Return the weights of layers ``begin`` to ``end`` - 1."""
        with self.accelerator.active(), faults_in_words(self.accelerator):
            return self.drawn.draw(networks, begin, end)


class OnDevice:
    """Columns on their way through the layers, on a GPU."""

    def __init__(self, device: Device, plan: Plan, networks: int, places: Places) -> None:
        accelerator, network = device.accelerator, plan.network
        torch, here = accelerator.torch, accelerator.device
        self.accelerator, self.network, self.places = accelerator, network, places
        self.shape = shape = device.shape(network)
        self.count = networks * plan.columns
        types = {"float32": torch.float32, "int32": torch.int32, "uint32": torch.int32}

        def empty(array: Array) -> Any:
            return torch.empty((len(array), self.count), dtype=types[array.dtype.name], device=here)

        self.records = {name: empty(a) for name, a in places.records.items() if name != "output"}
        tensors = self.records | {
            "layers": self._there(places.layers.astype(np.int32)),
            **{name: self._there(array) for name, array in network.arrays.items()},
            "factors": self._there(places.factors),
            "workspace": torch.empty(
                -(-self.count // shape.block_networks) * shape.block_floats, dtype=torch.float32, device=here
            ),
        }
        tensors["active_square"] = tensors.pop("asymmetry")
        if places.h0 is not None:
            tensors["start"] = self._there(places.h0)
        if "output" in places.records:
            tensors["output"] = torch.empty((self.count, network.n_out), dtype=torch.float32, device=here)
        self.tensors = tensors
        self.words, self.seen = accelerator.host_words(2)  # a word to stop it, and layers done

    def _there(self, array: Any) -> Any:
        """Return an array as a tensor on the device, and a tensor as it is."""
        if not isinstance(array, np.ndarray):
            return array
        return self.accelerator.torch.from_numpy(np.ascontiguousarray(array)).to(self.accelerator.device)

    def go(self, job: ColumnJob, weights: LayerWeights, report: Report) -> None:
        """Take them through some layers, or back; on any exception the device is told to stop and waited for."""
        accelerator, n = self.accelerator, self.network.width
        launch = ColumnLaunch(
            columns=self.count,
            n_layers=len(self.places.layers),
            begin=0,
            end=self.count,
            first=job.first,
            seed=job.seed,
            output_begin=0,
            output_end=self.count if "output" in self.tensors else 0,
            look_every=power_of_two(LOOK_WORK // (4 * self.shape.rounds * n)),
            look_every_row=power_of_two(LOOK_WORK // (4 * min(n, TERMS))),
            columns_of_network=job.columns,
            backward=job.backward,
            from_layer=job.from_layer,
            to_layer=job.to_layer,
            first_layer=0 if job.tied else job.first_layer,
            given_layers=job.n_layers,
            tied=job.tied,
        )
        given = {name: self._there(getattr(weights, name)) for name in arrays_of(self.network)}
        pointers = {name: tensor.data_ptr() for name, tensor in (self.tensors | given).items()}
        pointers |= {"stop": self.words.data_ptr(), "progress": self.words.data_ptr() + 4}
        self.seen[1] = 0
        with accelerator.active(), faults_in_words(accelerator):
            accelerator.kernels.columns(
                self.network, launch, accelerator.properties, self.shape, pointers, accelerator.ordinal,
                accelerator.stream(),
            )  # fmt: skip
            event = accelerator.record()
        layers = job.to_layer - job.from_layer
        with ended_by_exceptions(accelerator, self.seen):
            wait_for(accelerator, event, lambda: min(1.0, float(self.seen[1]) / layers), report)
            report(1.0)

    def end(self) -> None:
        """Copy the records to where they are wanted."""
        places = self.places
        row = slice(places.first, places.first + self.count)
        with faults_in_words(self.accelerator):
            found = {name: tensor.cpu().numpy() for name, tensor in self.records.items()}
            if "output" in self.tensors:
                places.records["output"][:, row] = self.tensors["output"].cpu().numpy().T
        square, active_square = found["square"], found["asymmetry"]
        with np.errstate(divide="ignore", invalid="ignore"):
            found["asymmetry"] = np.where(square > 0.0, 2.0 * active_square / square - 1.0, 0.0)
        for name, array in found.items():
            places.records[name][:, row] = array
