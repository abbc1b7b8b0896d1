"""`moment_growth`: moments of the norm that rare networks rule, by populations that are resampled on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.cpus import usable_cpus
from .._system.progress import Report, reporting
from .._system.stopping import stoppable
from ..engine import devices, gpus, native
from ..engine import populations as engine
from ..engine.devices import Device, Named
from ..engine.lowering import Lowered, lower
from ..engine.populations import Weighted
from ..engine.recording import recorded_layers
from ..engine.request import chosen_method
from ..models import layer_widths, normalisation
from ..models.residual_network import Model
from ..models.spelling import checked
from ..models.weight_law import refuse_orthogonal
from ..theory import fractions
from .moment_run import MomentRun

TILT = 0.5  # variance of the logarithm of a weight from one resampling to the next, about
FEWEST = 8  # times that a population is resampled, where its depth allows
LARGEST_SIZE = 1 << 24


@stoppable()
def moment_growth(
    model: Model,
    q: float = 1.0,
    *,
    populations: float = 64,
    size: float = 1024,
    seed: int = 0,
    layers: Sequence[int] | NDArray[np.int64] | None = None,
    device: Named = "auto",
    threads: int | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> MomentRun:
    """Estimate E |z_l|^2q/|z_0|^2q at any d/n, where networks that no simulation meets by chance rule the mean.

    Populations of ``size`` networks go through the layers side by side. At the layers l_1 < l_2 < .. each network is
    weighted by its growth |z_l|^2q/|z_k|^2q since the layer k before, and the population is resampled by these weights,
    systematically: those that grew have copies, which go on independently. The product of the weights' means,

    .. code-block:: text

        Z_l = (mean of |z_1|^2q/|z_0|^2q) .. (mean of |z_l|^2q/|z_k|^2q),

    has the mean E |z_l|^2q/|z_0|^2q exactly, whatever the size, as the schedule is fixed (Del Moral 2004, *Feynman-Kac
    Formulae*, section 7.4.2). Its relative error grows like sqrt(d/(n size)), that of a plain mean like
    exp(c d/n)/sqrt(networks).

    What no population meets, no estimate has. A ReLU network of the block phi-in without random signs may come to have
    no active neuron; it then shrinks by its skip alone, for ever, and below q = 0 such networks rule the moment at
    large depths, however rare they are. Where they would have more than a hundredth of it, it has no error.

    >>> run = resmc.moment_growth(resmc.ResNet(40, 200, 0.5**0.5, 0.5**0.5))
    >>> print(run.summary())

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        With Gaussian weights, independent over the layers: networks advance by the projected method.
    q : float
        Above -n/4, from where on the error exists (the moment does above -n/2); not below 0 where networks may die, as
        they do with rectifiers and without a skip (alpha or carry 0). Given that a ReLU network is alive there,
        `resmc.theory.exact_law` has moments above -1/2, since one neuron may be active alone.
    populations : int
        1 to 2^48/size; an error takes 32.
    size : int
        Networks of a population, 2 to 2^24.
    seed : int
        0 to 2^64 - 1. Population p has the numbers of networks from p ceil(size/32) 32 on.
    layers : sequence of int, optional
        Where populations are weighted and resampled, 0 and depth besides. By default every s layers, s such that a
        weight's logarithm has a variance of about 1/2, but at least 8 times.
    device : {"auto", "cpu", "cuda", "cuda:N"} or torch.device
        As for `simulate`. On a GPU all of it is done there; populations are weighted and resampled as on a CPU, and no
        bit depends on how many are there at a time.
    threads : int, optional
        Of the CPU, by default all; no bit depends on it.
    progress
        As for `simulate`.

    Raises
    ------
    ValueError
        For an argument out of range, or a model whose weights have to be written out.
    DeviceError
        As for `simulate`.
    """
    lowered = checked_model(model)
    q = checked_power(lowered, checks.real("q", q))
    cast = checked_populations(populations, size, seed, threads, device)
    chosen = schedule(lowered, q) if layers is None else recorded_layers(lowered.model.depth, layers)
    with reporting(progress, cast.count * cast.size, "moments") as report:
        return cast.run(lowered, q, chosen, report)


@dataclass(frozen=True)
class Populations:
    """How many populations of how many networks, of which seed and from which number on, and where."""

    first: int
    count: int
    size: int
    seed: int
    threads: int
    device: Device

    def run(self, lowered: Lowered, q: float, layers: NDArray[np.int64], report: Report | None) -> MomentRun:
        """Take them through the layers of a network."""
        found = self.weighted(lowered, q, layers, report)
        return MomentRun.of(lowered.model, q, layers, self.size, self.seed, [(self.first, found)])

    def weighted(self, lowered: Lowered, q: float, layers: NDArray[np.int64], report: Report | None) -> Weighted:
        """Take them through the layers of a network, and return their numbers alone."""
        job = native.PopulationJob(lowered.variant, self.seed, self.first, self.count, self.size, q)
        return engine.run(lowered, layers, job, self.device, self.threads, report)


def checked_populations(count: Any, size: Any, seed: Any, threads: Any, device: Any, runs: int = 1) -> Populations:
    """Return populations for some runs, those of the first; errors as for `moment_growth`."""
    size, count = checked_size(size, count, runs)
    seed = checks.integer("seed", seed, 0, (1 << 64) - 1, "2^64 - 1")
    if threads is None:
        threads = usable_cpus()
    threads = checks.integer("threads", threads, 1, 1 << 12, "4096")
    where = devices.parse(device)
    gpus.require(where, device)
    return Populations(0, count, size, seed, threads, where)


def checked_size(size: Any, count: Any, runs: int = 1) -> tuple[int, int]:
    """Return the size of populations and their number, for each of some runs."""
    size = checks.integer("size", size, 2, LARGEST_SIZE, "2^24")
    return size, checks.integer("populations", count, 1, engine.most_populations(size) // runs, "2^48 networks")


def checked_model(model: Any) -> Lowered:
    """Return a network that populations can be of."""
    lowered = lower(checked(model))
    normalisation.refuse_norm(model, *normalisation.POPULATIONS)
    layer_widths.refuse_widths(model, *layer_widths.POPULATIONS)
    refuse_orthogonal(model.weight_law, "in populations that are resampled")
    chosen_method(lowered, "projected")
    return lowered


def checked_power(lowered: Lowered, q: float) -> float:
    """Return q, where the moment of |z|^2q has an error."""
    width = lowered.model.width
    if 4.0 * q <= -width:
        raise ValueError(
            f"q={q!r} is not allowed at width={width}: it must be above -width/4 = {-width / 4:g}, or the variance of "
            "|z|^2q is infinite"
        )
    general = lowered.general
    if q < 0.0 and general.carry == 0.0 and fractions.dead_fraction(general)[-1] != 0.0:  # NaN where it is not known
        raise ValueError(
            f"q={q!r} is not allowed without a skip (alpha or carry 0) and with activation={general.activation!r}: "
            "networks may die there, and a moment below 0 is infinite"
        )
    return q


def schedule(lowered: Lowered, q: float) -> NDArray[np.int64]:
    """Return the layers at which populations are resampled by default: 0, s, 2s, .., depth."""
    return layers_every(lowered.model.depth, spacing(lowered, q))


def spacing(lowered: Lowered, q: float) -> int:
    """Return the distance s of the layers at which populations are resampled by default."""
    return engine.spacing(lowered, q, TILT, FEWEST)


def layers_every(depth: int, every: int) -> NDArray[np.int64]:
    """Return the layers 0, s, 2s, .., depth."""
    return recorded_layers(depth, range(0, depth + 1, every))
