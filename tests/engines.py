"""What tests ask of the engine from inside: what the kernels are told, and ranges with a batch of the test's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmc import ResNet, Simulation
from resmc.engine.devices import Device
from resmc.engine.lowering import KernelNetwork, KernelResidual, lower
from resmc.engine.recording import batch_size, recorded_layers
from resmc.engine.request import NetworkRange, Recording, Request
from resmc.engine.run import run
from resmc.models.residual_network import Model


def fast_network(model: Model) -> KernelNetwork:
    """A network as the log-Gaussian kernels take it."""
    return lower(model).network


def residual_network(model: Model, gradients: bool) -> KernelResidual:
    """A network as the general kernels take it."""
    found = lower(model).kernel(gradients, True)
    assert isinstance(found, KernelResidual)
    return found


def request(
    model: Model,
    networks: NetworkRange | int,
    *,
    seed: int = 0,
    method: str = "projected",
    layers: Any = None,
    correlations: bool = True,
    device: tuple[str, int | None] = ("cpu", None),
    threads: int = 1,
    **recording: Any,
) -> Request:
    """A request without any check of its arguments; ``recording``: other fields of a `Recording`."""
    wanted = networks if isinstance(networks, NetworkRange) else NetworkRange(0, networks, batch_size(networks))
    recorded: NDArray[np.int64] = recorded_layers(model.depth, layers)
    return Request(
        lower(model), wanted, seed, method, Recording(recorded, correlations, **recording), Device(*device), threads
    )


def simulate_range(
    model: ResNet, networks: NetworkRange, report: Callable[[float], None] | None = None, **settings: Any
) -> Simulation:
    """The networks of a range, put into groups by its batch."""
    asked = request(model, networks, **settings)
    return Simulation.of(asked, run(asked, report))
