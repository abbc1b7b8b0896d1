"""A request: which networks to simulate, what to record of them, and on what. Checked once, then it never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.cpus import usable_cpus
from .._system.words import brief, brief_repr
from ..models.fields import GENERAL, LOG_GAUSSIAN, SHARED, check_together, network_of
from ..models.layer_widths import DISPLACEMENT, GPU, refuse_widths
from ..models.network import CHOICES, METHODS
from ..models.residual_network import Model
from ..models.resnet import MAX_WIDTH_DENSE
from ..models.spelling import checked
from ..models.weight_law import WEIGHTS
from . import devices
from .devices import Device
from .joint_request import Asked, check_recording, joint_of, named
from .lowering import KernelNetwork, KernelResidual, Lowered, lower
from .recording import JointRecording, batch_size, histogram_bins, recorded_layers

MAX_NETWORK = 1 << 48  # a network's number has 48 bits of the counter


class NetworkRange(NamedTuple):
    """Networks start .. stop - 1, put into groups by (network // batch) mod 32."""

    start: int
    stop: int
    batch: int  # networks that are summed together


@dataclass(frozen=True, eq=False)
class Recording:
    """Quantities to record of every network, and how many networks keep more than sums.

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
        Those of `recorded_layers`.
    correlations : bool
        True to sum the products of A over all pairs of recorded layers.
    gradients, displacement : bool
        True to follow the gradient of one output back to layer 0, and h_l - h_0.
    samples, trajectories : int
        How many of the first networks keep their final values, and their paths.
    on_device : bool
        True to leave samples and trajectories on the GPU.
    joint : JointRecording or None
        Several inputs, a tangent kernel or tangents; None where each network has one input, forward or back.
    joint_samples : int
        How many of the first networks keep final values of all inputs, where there are no ``samples``.
    """

    layers: NDArray[np.int64]
    correlations: bool = True
    gradients: bool = False
    displacement: bool = False
    samples: int = 0
    trajectories: int = 0
    on_device: bool = False
    joint: JointRecording | None = None
    joint_samples: int = 0

    @property
    def kept(self) -> int:
        """How many of the first networks keep final values, of one input or of several."""
        return self.samples or self.joint_samples


@dataclass(frozen=True)
class Job:
    """All that the kernels are told besides the network and its layers."""

    variant: int
    method: int
    seed: int
    first: int
    count: int
    batch: int
    keep_samples: int
    keep_trajectories: int
    deaths_possible: bool
    activity: bool
    correlations: bool
    mean_square: bool
    bin_low: float
    bin_width: float
    n_bins: int

    def part(self, first: int, count: int) -> Job:
        """Return the job of ``count`` of its networks from number ``first`` on."""
        at = first - self.first
        return replace(
            self,
            first=first,
            count=count,
            keep_samples=min(max(self.keep_samples - at, 0), count),
            keep_trajectories=min(max(self.keep_trajectories - at, 0), count),
        )


@dataclass(frozen=True, eq=False)
class Request:
    """All that decides on a simulation, and where it runs; made by `check`, or by a sweep for each of its shards.

    Attributes
    ----------
    lowered : Lowered
    networks : NetworkRange
    seed : int
    method : {"projected", "dense"}
    recording : Recording
    device : Device
    threads : int
        CPU threads.
    """

    __repr__ = brief_repr

    lowered: Lowered
    networks: NetworkRange
    seed: int
    method: str
    recording: Recording
    device: Device
    threads: int

    @property
    def count(self) -> int:
        """How many networks."""
        return self.networks.stop - self.networks.start

    def network(self) -> KernelNetwork:
        """The network as the kernels take it; errors as for `Lowered.kernel`."""
        network = self.lowered.kernel(self.recording.gradients, self.recording.displacement)
        if self.method != "dense" or not self.lowered.general.weight_law.orthogonal:
            return network
        # Matrices are handed in; what kernels draw besides, the first layer and the readout, is Gaussian.
        assert isinstance(network, KernelResidual)
        return replace(network, weight_law=WEIGHTS["gaussian"].number)

    @property
    def hands_in_weights(self) -> bool:
        """True if weights are drawn as arrays: of layers that depend on each other, and orthogonal ones written out."""
        written_out = self.method == "dense" and self.lowered.general.weight_law.orthogonal
        return written_out or not self.lowered.independent

    def job(self) -> Job:
        """All else that the kernels are told."""
        return self._job

    @cached_property
    def _job(self) -> Job:
        bins = histogram_bins(self.lowered.model)
        return Job(
            variant=self.lowered.variant,
            method=METHODS.index(self.method),
            seed=self.seed,
            first=self.networks.start,
            count=self.count,
            batch=self.networks.batch,
            keep_samples=self.recording.samples,
            keep_trajectories=self.recording.trajectories,
            deaths_possible=self.lowered.can_die,
            activity=self.lowered.has_asymmetry,
            correlations=self.recording.correlations,
            mean_square=self.lowered.follows_mean_square,
            bin_low=bins.low,
            bin_width=bins.width,
            n_bins=bins.count,
        )


def check(
    model: Model | None,
    model_fields: dict[str, Any],
    *,
    networks: Any,
    seed: Any,
    first_network: Any,
    method: Any,
    gradients: Any,
    displacement: Any,
    layers: Sequence[int] | NDArray[np.int64] | None,
    correlations: Any,
    device: Any,
    threads: Any,
    keep_samples: Any,
    keep_trajectories: Any,
    keep_on_device: Any,
    asked: Asked | None = None,
) -> Request:
    """The request that the arguments of `resmc.simulate` make.

    Raises
    ------
    ValueError
        For any argument out of range, naming the argument, its value and what is allowed.
    """
    network, joint = joint_of(_model(model, model_fields, asked), asked or Asked(), gradients)
    lowered = lower(network)
    networks = checks.integer("networks", networks, 1, MAX_NETWORK, "2^48")
    first = checks.integer("first_network", first_network, 0, MAX_NETWORK - networks, "2^48 - networks")
    seed = checks.integer("seed", seed, 0, (1 << 64) - 1, "2^64 - 1")
    method = chosen_method(lowered, method)
    gradients, displacement = _followed(lowered, gradients, displacement)
    where = devices.parse(device)
    _check_device(where, lowered)
    if joint is not None:
        check_recording(named(joint), where, keep_on_device)
        gradients, displacement = joint.backward, True
    _check_on_device(keep_on_device, where, lowered, gradients or displacement)
    correlations = checks.boolean("correlations", correlations) and lowered.log_gaussian is not None
    recorded = recorded_layers(lowered.model.depth, layers)
    if threads is None:
        threads = usable_cpus()
    threads = min(checks.integer("threads", threads, 1, 1 << 12, "4096"), networks)
    samples = min(checks.integer("keep_samples", keep_samples, 0, MAX_NETWORK, "2^48"), networks)
    paths = min(checks.integer("keep_trajectories", keep_trajectories, 0, MAX_NETWORK, "2^48"), networks)
    return Request(
        lowered=lowered,
        networks=NetworkRange(first, first + networks, batch_size(networks)),
        seed=seed,
        method=method,
        recording=Recording(
            recorded,
            correlations,
            gradients,
            displacement,
            0 if joint else samples,
            paths,
            keep_on_device,
            joint,
            samples if joint else 0,
        ),
        device=where,
        threads=threads,
    )


def _model(model: Model | None, model_fields: dict[str, Any], asked: Asked | None) -> Model:
    names = (*SHARED, *LOG_GAUSSIAN, *GENERAL)
    for name in model_fields:
        if name not in names:
            raise TypeError(f"simulate() got an unexpected keyword argument {name!r}; a model's are {', '.join(names)}")
    if model is None:
        needed = ("width", "depth") if check_together(model_fields) else ("width", "depth", "alpha", "lam")
        missing = [name for name in needed if name not in model_fields]
        if missing:
            raise ValueError(
                f"{missing[0]} is missing: give a ResNet or a ResidualNetwork, or at least "
                f"{', '.join(needed[:-1])} and {needed[-1]}"
            )
        said = [name for name in ("gram", "inputs") if getattr(asked, name, None) is not None]
        for name in ("input_norm", "input"):
            if said and name in model_fields:
                raise ValueError(f"{name} is not allowed beside {said[0]}: {said[0]} says it already")
        return network_of(model_fields)
    if model_fields:
        raise ValueError(f"{next(iter(model_fields))} is not allowed beside a model: give one or the other")
    return checked(model)


def _followed(lowered: Lowered, gradients: Any, displacement: Any) -> tuple[bool, bool]:
    """(gradients, displacement): which of them are followed."""
    gradients = checks.boolean("gradients", gradients)
    if displacement is None:
        return gradients, lowered.has_displacement and (gradients or lowered.follows_displacement)
    displacement = checks.boolean("displacement", displacement)
    if displacement:
        refuse_widths(lowered.model, *DISPLACEMENT)
    if gradients and lowered.has_displacement and not displacement:
        raise ValueError("displacement=False is not allowed with gradients=True: gradients are followed beside it")
    return gradients, displacement


def chosen_method(lowered: Lowered, given: Any) -> str:
    """Return the method of a network: the one that is ``given``, or the one that "auto" stands for.

    Raises
    ------
    ValueError
        For a method that cannot simulate the network; the message says why.
    """
    named = checks.choice("method", given, CHOICES)
    method = lowered.exact_method if named == "auto" else named
    if method == "projected" and lowered.exact_method != "projected":
        if not lowered.independent:
            raise ValueError(
                f"weights={brief(lowered.general.weights)} are not allowed with method='projected', which draws what "
                "each layer sees of its matrices anew, as if layers were independent: use method='dense'"
            )
        if lowered.law == "gaussian":
            raise ValueError(
                f"bias_law={lowered.general.bias_law!r} is not allowed with method='projected', which draws W h + b as "
                "one Gaussian vector: use method='dense'"
            )
        if lowered.general.weight_law.orthogonal:
            raise ValueError(
                f"bias={lowered.general.bias!r} is not allowed with weights='orthogonal' and method='projected': how "
                "W^T goes on from W x + b is not derived; use method='dense'"
            )
        raise ValueError(
            f"weights={lowered.law!r} are not allowed with method='projected', which rests on W x having the law "
            "of |x| g or of a rotated x, as Gaussian and orthogonal weights alone do: use method='dense'"
        )
    width = lowered.model.width
    if method == "dense" and width > MAX_WIDTH_DENSE:
        if named == "auto":
            raise ValueError(
                f"width={width} is too large for weights={brief(lowered.general.weights)}, which are written out "
                f"(method='dense'): it must be at most {MAX_WIDTH_DENSE}"
            )
        raise ValueError(f"width={width} is too large for method='dense': it must be at most {MAX_WIDTH_DENSE}")
    inner = lowered.model.inner
    if method == "dense" and inner > MAX_WIDTH_DENSE:
        raise ValueError(
            f"inner_width={inner} is too large for weights that are written out (method='dense'): it must be at most "
            f"{MAX_WIDTH_DENSE}"
        )
    return method


def _check_device(device: Device, lowered: Lowered) -> None:
    """Refuse weights that a GPU's kernels do not draw, and widths that they do not have."""
    if device.kind != "cpu":
        refuse_widths(lowered.model, *GPU)
    if device.kind != "cpu" and lowered.law not in WEIGHTS:
        raise ValueError(
            f"weights={brief(lowered.law)} are not allowed with device='cuda', whose kernels draw 'gaussian', "
            "'uniform' and 'rademacher' weights alone: use device='cpu'"
        )


def _check_on_device(keep: Any, device: Device, lowered: Lowered, more_than_h: bool) -> None:
    if not checks.boolean("keep_on_device", keep):
        return
    if device.kind != "cuda":
        raise ValueError("keep_on_device=True is not allowed on the CPU: it needs device='cuda'")
    if more_than_h or lowered.log_gaussian is None:
        raise ValueError(
            "keep_on_device=True is not allowed with gradients, displacement, or a network that no ResNet can spell: "
            "what is followed there is kept on the host"
        )


def group_sizes(networks: NetworkRange) -> NDArray[np.int64]:
    """How many of ``networks`` fall into each of the 32 groups."""
    return _sizes_of(networks) if isinstance(networks.start, int) else _sizes(networks)


@lru_cache(maxsize=64)  # points of a sweep have the same networks
def _sizes_of(networks: NetworkRange) -> NDArray[np.int64]:
    found = _sizes(networks)
    found.setflags(write=False)
    return found


def _sizes(networks: NetworkRange) -> NDArray[np.int64]:
    batch = networks.batch

    def below(stop: int) -> NDArray[np.int64]:
        cycles, rest = divmod(stop, 32 * batch)
        return cycles * batch + np.clip(rest - batch * np.arange(32), 0, batch)

    return np.asarray(below(networks.stop) - below(networks.start), np.int64)
