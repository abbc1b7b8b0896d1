"""Populations of networks, weighted by their norm and resampled on the way: unbiased products of weights' means.

A population has ``size`` networks. At some layers l_1 < l_2 < .. each has the weight w_i = (|z_l|/|z_k|)^(2q), k being
the layer before among these, and all are resampled by their weights. Then

    Z_l = (mean of w at l_1) (mean of w at l_2) .. (mean of w at l)

has the expectation E (|z_l|/|z_0|)^(2q) exactly, whatever the size: Del Moral 2004, *Feynman-Kac Formulae*, section
7.4.2. Networks that grow most have many descendants, so that they need not be met by chance at the last layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.memory import available_memory
from .._system.progress import Report
from .._system.stopping import look, stoppable
from .._system.words import brief_repr
from . import cuda, native
from .devices import Device
from .lowering import Lowered
from .request import MAX_NETWORK

Floats = NDArray[np.float64]

MOST = 0.9  # the largest share of the memory that is taken of what is available


@dataclass(frozen=True, eq=False)
class Weighted:
    """Populations by layer (P, R), in the model's units.

    Attributes
    ----------
    log_product : ndarray
        log Z_l; -infinity once all networks of a population are dead.
    growth : ndarray
        Mean of log |z_l|^2/|z_0|^2 by weights.
    effective : ndarray
        (sum w)^2/(size sum w^2) of the weights at the layer.
    numerics : str
        The numerics class.
    """

    __repr__ = brief_repr

    log_product: Floats
    growth: Floats
    effective: Floats
    numerics: str


def networks_of(first: int, count: int, size: int) -> tuple[int, int]:
    """Return the range of networks, start and stop, whose random numbers populations take."""
    stride = native.population_stride(size)
    return first * stride, (first + count) * stride


def most_populations(size: int) -> int:
    """Return how many populations there are numbers of networks for."""
    return MAX_NETWORK // networks_of(0, 1, size)[1]


def spacing(lowered: Lowered, q: float, tilt: float, fewest: int) -> int:
    """Return how many layers apart populations are resampled.

    The logarithm of |z_{l+1}|^2/|z_l|^2 has about the variance v = r (4 + r)/n, r being the branch's share of the mean
    square, and so a weight's logarithm q^2 v for each layer: no more than ``tilt`` in all, and at least ``fewest``
    times.
    """
    model = lowered.general
    gain = float(np.max(model.scales**2)) * model.sigma.mean_square()
    whole = model.carry**2 + gain
    share = gain / whole if whole > 0.0 else 0.0
    variance = q**2 * share * (4.0 + share) / min(model.width, model.inner)
    most = max(1, -(-model.depth // fewest))
    return most if variance * most <= tilt else max(1, math.floor(tilt / variance))


@stoppable()
def run(
    lowered: Lowered,
    layers: NDArray[np.int64],
    job: native.PopulationJob,
    device: Device,
    threads: int,
    report: Report | None = None,
) -> Weighted:
    """Take populations through all layers, on the CPU's threads or a GPU; no bit depends on how many at a time.

    Raises
    ------
    ValueError
        If memory does not suffice.
    DeviceError
        If there is no GPU to use that was asked for, if its memory does not suffice, or if it fails.
    Stopped, SystemExit
        As `look` does.
    """
    network, job = lowered.kernel(False, False), replace(job, variant=lowered.variant)
    names = ("top", "mean", "effective", "growth")

    def empty() -> dict[str, Floats]:
        return {name: np.empty((job.count, len(layers))) for name in names}

    def watch(fraction: float) -> None:
        look()
        if report is not None:
            report(fraction)

    if device.kind == "cpu":
        instructions, threads = instruction_set(), min(threads, job.count)
        each = native.population_thread_bytes(network.width, job.size, instructions)
        _check_memory(network.width, job, len(layers), threads * each)
        arrays, numerics = empty(), f"cpu/{instructions}"
        native.populations(network, job, layers, arrays, threads, instructions, watch)
    else:
        accelerator = cuda.open_cuda(device.ordinal)
        _check_memory(network.width, job, len(layers), 0)
        arrays, numerics = empty(), accelerator.numerics
        cuda.run_populations(accelerator, network, job, layers, arrays, watch)
    offsets = lowered.growth_offsets(layers)
    with np.errstate(divide="ignore"):
        products = np.cumsum(arrays["top"] + np.log(arrays["mean"]), axis=1) + job.power * offsets
    return Weighted(products, arrays["growth"] + offsets, arrays["effective"], numerics)


def _check_memory(width: int, job: native.PopulationJob, n_layers: int, states: int) -> None:
    """Refuse numbers by layer, and ``states`` that threads have, that this machine has no memory for."""
    needed, available = states + 6 * 8 * job.count * n_layers, available_memory()
    if needed > MOST * available:
        raise ValueError(
            f"populations={job.count} of size={job.size} and width={width} at {n_layers} layers need "
            f"{needed / 1e9:.3g} GB of memory and {available / 1e9:.3g} GB are available: take fewer or smaller "
            "populations, fewer threads or fewer layers"
        )
