"""`resmc.simulate`: checks once, allocates, runs the kernels on a device, returns a `Simulation`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from .._system import checks
from .._system.build import instruction_set
from .._system.progress import reporting
from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE, VARIANTS, ResNet
from ..results.laws import Law
from ..simulation import NetworkRange, Samples, Simulation, Trajectories
from . import cuda, devices
from .lowering import log_norm_offsets, native_network, native_residual
from .memory import check_memory, needed_memory
from .recording import block_size, histogram_bins, recorded_layers
from .residual_run import followed, run_residual
from .sums import NormSums, Sums

METHODS = ("projected", "dense")
MAX_NETWORK = 1 << 48  # a network's number has 48 bits of the counter


def simulate(
    model: Model | None = None,
    *,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    gradients: bool = False,
    displacement: bool | None = None,
    layers: Sequence[int] | NDArray[np.int64] | None = None,
    correlations: bool = True,
    device: Any = "auto",
    threads: int | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
    keep_samples: int = 0,
    keep_trajectories: int = 0,
    keep_on_device: bool = False,
    **model_fields: Any,
) -> Simulation:
    r"""Simulate independent random networks and return their statistics.

    >>> sim = resmc.simulate(width=200, depth=200, alpha=0.5**0.5, lam=0.5**0.5, networks=100_000)
    >>> print(sim.summary())

    Parameters
    ----------
    model : ResNet or ResidualNetwork, optional
        The network; or give the fields of a `ResNet` as keywords: width, depth, alpha, lam, variant, n_out, input_norm.
    networks : int
        How many, at least 1; below 32 there are no standard errors. 1e6 is accepted for 1_000_000.
    seed : int
        0 to 2^64 - 1. The same seed gives the same networks on every machine, whatever the threads and ranges.
    first_network : int
        Number of the first network; networks first_network .. first_network + networks - 1 < 2^48 are simulated.
        Disjoint ranges are independent and can be merged.
    method : {"projected", "dense"}
        ``projected``: exactly the law of the network at cost width per layer. ``dense``: every weight is drawn, cost
        width^2, the ground truth, and the way for weights that are not Gaussian.
    gradients : bool
        Also follow the gradient of one output back to layer 0: \|p_l\|/\|p_L\| and \|p_l - p_L\|/\|p_L\|
        (`Simulation.log_ratio`). Costs two to four times as much.
    displacement : bool, optional
        Whether to follow \|h_l - h_0\|/\|h_0\|. By default for a `ResidualNetwork`; always where gradients are.
    layers : sequence of int, optional
        Layers to record; 0 and depth are always added. By default all up to depth 512, then every
        ceil(depth/512)-th.
    correlations : bool
        Whether to sum the products of A over all pairs of recorded layers, for `asymmetry_correlation` and the like.
        False: all else is the same in every bit, smaller by far where many layers are recorded, and faster.
        Only for networks that a `ResNet` can spell; others never sum them.
    device : {"auto", "cpu", "cuda", "cuda:N"} or torch.device
        ``cuda``: torch's current GPU, on torch's current stream (needs ``resmc[torch]``); the same networks, their
        log-norms within 1e-4 (ARCHITECTURE.md, contract 3). ``auto``: what the environment variable RESMC_DEVICE
        names, else the CPU.
    threads : int, optional
        CPU threads, at least 1; by default all that this process may use. Does not change a bit of the result.
    progress : None, bool or callable
        None: a bar on a terminal if it takes longer than a second; True: always; False: never; a callable is called
        as progress(done, networks).
    keep_samples : int
        Of how many of the first networks to keep the final log-norm and the output.
    keep_trajectories : int
        Of how many of the first networks to keep the paths of log-norm and A over the recorded layers.
    keep_on_device : bool
        On a GPU: leave samples and trajectories there, as float64 and float32 tensors. Not with gradients or
        displacement.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        For any argument out of range, before any work, naming the argument, its value and what is allowed.
    DeviceError
        If a GPU was asked for and there is none to use, its memory does not suffice, or it fails. Nothing is computed
        on the CPU instead.
    KeyboardInterrupt
        On Ctrl-C, within a second; no thread is left behind.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013) for the model.
    """
    model = _model(model, model_fields)
    networks = checks.integer("networks", networks, 1, MAX_NETWORK, "2^48")
    first_network = checks.integer("first_network", first_network, 0, MAX_NETWORK - networks, "2^48 - networks")
    seed = checks.integer("seed", seed, 0, (1 << 64) - 1, "2^64 - 1")
    method = checks.choice("method", method, METHODS)
    gradients, displacement = _followed(model, gradients, displacement)
    if method == "projected" and isinstance(model, ResidualNetwork) and model.weights != "gaussian":
        raise ValueError(
            f"weights={model.weights!r} are not allowed with method='projected', which rests on W x having the law of "
            "|x| g, as Gaussian weights alone do: use method='dense'"
        )
    kind, ordinal = devices.parse(device)
    checks.boolean("keep_on_device", keep_on_device)
    if keep_on_device and kind != "cuda":
        raise ValueError("keep_on_device=True is not allowed on the CPU: it needs device='cuda'")
    if method == "dense" and model.width > MAX_WIDTH_DENSE:
        raise ValueError(f"width={model.width} is too large for method='dense': it must be at most {MAX_WIDTH_DENSE}")
    correlations = checks.boolean("correlations", correlations) and model.as_resnet is not None
    recorded = recorded_layers(model.depth, layers)
    if threads is None:
        threads = len(os.sched_getaffinity(0))
    threads = checks.integer("threads", threads, 1, 1 << 12, "4096")
    threads = min(threads, networks)
    keep_samples = min(checks.integer("keep_samples", keep_samples, 0, MAX_NETWORK, "2^48"), networks)
    keep_trajectories = min(checks.integer("keep_trajectories", keep_trajectories, 0, MAX_NETWORK, "2^48"), networks)

    wanted = NetworkRange(first_network, first_network + networks, block_size(networks))
    settings = native_settings(model, wanted, seed, method, correlations, keep_samples, keep_trajectories)
    network, on_cpu = _native_model(model, gradients, displacement), threads if kind == "cpu" else 0
    if keep_on_device and "block" in network:
        raise ValueError(
            "keep_on_device=True is not allowed with gradients, displacement, or a network that no ResNet can spell: "
            "what is followed there is kept on the host"
        )
    check_memory(
        model,
        len(recorded),
        lambda n_layers: needed_memory(network, settings, n_layers, on_cpu, keep_on_device),
        (keep_samples, keep_trajectories),
    )
    if kind == "cuda":
        _look_for_gpu(device, ordinal)
    with reporting(progress, networks, _title(model)) as report:
        return simulate_range(
            model,
            wanted,
            seed=seed,
            method=method,
            gradients=gradients,
            displacement=displacement,
            layers=recorded,
            correlations=correlations,
            device=(kind, ordinal),
            threads=threads,
            report=report,
            keep_samples=keep_samples,
            keep_trajectories=keep_trajectories,
            keep_on_device=keep_on_device,
        )


def simulate_range(
    model: Model,
    networks: NetworkRange,
    *,
    seed: int,
    method: str,
    gradients: bool = False,
    displacement: bool = False,
    layers: NDArray[np.int64],
    correlations: bool,
    device: tuple[str, int | None],
    threads: int,
    report: Callable[[float], None] | None,
    keep_samples: int = 0,
    keep_trajectories: int = 0,
    keep_on_device: bool = False,
) -> Simulation:
    """What `simulate` does once it has checked its arguments: for callers with many ranges of one model and one block.

    Networks are put into groups by the block that the range names. ``layers`` are those of `recorded_layers`,
    ``device`` is what `devices.parse` made of it, and no more networks are kept than there are. Any thread of Python
    may call this, several at a time. ``report`` is called from that thread with the finished fraction, about twenty
    times a second; what it raises stops the run and comes out here. Ctrl-C does the same in the main thread alone.

    Raises
    ------
    DeviceError
        As `simulate`.
    """
    settings = native_settings(model, networks, seed, method, correlations, keep_samples, keep_trajectories)
    network, offsets = _native_model(model, gradients, displacement), log_norm_offsets(model, layers)
    bins = histogram_bins(model)
    native_layers = layers.astype(np.uint32)
    accelerator = cuda.open_cuda(device[1]) if device[0] == "cuda" else None
    recorded = (settings[name] for name in ("deaths_possible", "correlations", "activity"))
    statistics = Sums.zeros(len(layers), bins.count, *recorded)
    laws: dict[str, Law] = {}
    final: dict[str, NDArray[np.float64]] = {}
    arrays = statistics.arrays()
    residual = "block" in network
    if accelerator is None or residual:
        arrays["sample_log_norm"] = np.empty(keep_samples)
        arrays["sample_output"] = np.empty((keep_samples, model.n_out))
        arrays["sample_exponent"] = np.empty(keep_samples, np.int32)
        arrays["path_log_norm"] = np.empty((keep_trajectories, len(layers)))
        arrays["path_asymmetry"] = np.empty((keep_trajectories, len(layers)), np.float32)
    instructions = instruction_set() if accelerator is None else ""
    numerics = f"cpu/{instructions}" if accelerator is None else accelerator.numerics
    if residual:

        def part(
            settings: dict[str, Any], arrays: dict[str, NDArray[Any]], report: Callable[[float], None] | None
        ) -> None:
            if accelerator is None:
                _native.simulate(network, settings, native_layers, arrays, threads, instructions, report)
                return
            kept = cuda.run(accelerator, network, settings, native_layers, arrays, report).to_numpy()
            for name, values in kept.items():
                arrays[name][:] = values

        laws, final = run_residual(model, network, settings, layers, arrays, part, report)
    elif accelerator is not None:
        raw = cuda.run(accelerator, network, settings, native_layers, arrays, report)
        if not keep_on_device:
            arrays |= raw.to_numpy()
    else:
        _native.simulate(network, settings, native_layers, arrays, threads, instructions, report)

    numbers = [np.uint64(networks.start) + np.arange(k, dtype=np.uint64) for k in (keep_samples, keep_trajectories)]
    if keep_on_device:
        samples = Samples(numbers[0], *raw.sample_tensors(offsets[-1]))
        trajectories = Trajectories(numbers[1], *raw.path_tensors(offsets))
    else:
        names = followed(gradients)[1:] if laws else ()
        paths = {name: arrays[f"path_{name}"] for name in names}
        if gradients:
            paths["overlap"] = arrays["path_overlap"].astype(np.float64)
        samples = Samples(numbers[0], *_samples(arrays, offsets[-1]), final)
        trajectories = Trajectories(numbers[1], arrays["path_log_norm"] + offsets, arrays["path_asymmetry"], paths)
    statistics.networks[:] = group_sizes(networks.start, networks.stop - networks.start, networks.block)
    if not model.has_asymmetry:  # what the kernels left there has no meaning
        arrays["path_asymmetry"][:] = np.nan
    return Simulation(
        model=model,
        method=method,
        seed=seed,
        ranges=(networks,),
        layers=layers,
        bins=bins,
        statistics=statistics,
        samples=samples,
        trajectories=trajectories,
        numerics=(str(_native.NUMERICS_VERSION), numerics),
        ratios={name: NormSums(statistics.networks, arrays[f"{name}.norms"]) for name in laws if name != "growth"},
        laws=laws,
    )


def _followed(model: Model, gradients: bool, displacement: bool | None) -> tuple[bool, bool]:
    """Whether the way back and how far h went are followed."""
    checks.boolean("gradients", gradients)
    if displacement is None:
        return gradients, gradients or isinstance(model, ResidualNetwork)
    checks.boolean("displacement", displacement)
    if gradients and not displacement:
        raise ValueError("displacement=False is not allowed with gradients=True: it is part of the way there and back")
    return gradients, displacement


def _native_model(model: Model, gradients: bool, displacement: bool) -> dict[str, Any]:
    """What the kernels take: those of log-Gaussian networks wherever they do."""
    resnet = model.as_resnet
    if resnet is None or gradients or displacement:
        return native_residual(model, gradients)
    return native_network(resnet)


def _title(model: Model) -> str:
    """Of a progress bar."""
    what = model.variant if isinstance(model, ResNet) else f"{model.block} {model.activation}"
    return f"{what} {model.width}x{model.depth}"


def native_settings(
    model: Model,
    networks: NetworkRange,
    seed: int,
    method: str,
    correlations: bool = True,
    keep_samples: int = 0,
    keep_trajectories: int = 0,
) -> dict[str, Any]:
    """What the kernels are told besides the network and its layers."""
    bins, resnet = histogram_bins(model), model.as_resnet
    return {
        "variant": 0 if resnet is None else VARIANTS.index(resnet.variant),
        "method": METHODS.index(method),
        "seed": seed,
        "first": networks.start,
        "count": networks.stop - networks.start,
        "batch": networks.block,
        "keep_samples": keep_samples,
        "keep_trajectories": keep_trajectories,
        "deaths_possible": resnet is not None and resnet.alpha == 0.0,
        "activity": model.has_asymmetry,
        "correlations": correlations,
        "bin_low": bins.low,
        "bin_width": bins.width,
        "n_bins": bins.count,
    }


def _look_for_gpu(device: Any, ordinal: int | None) -> None:
    """Says that there is none before a progress bar is drawn, and who asked for it."""
    try:
        cuda.open_cuda(ordinal)
    except cuda.DeviceError as error:
        if isinstance(device, str) and device == "auto":
            raise cuda.DeviceError(f"{error} ({devices.VARIABLE} asks for it)") from None
        raise


def _model(model: Model | None, model_fields: dict[str, Any]) -> Model:
    names = [f.name for f in fields(ResNet)]
    for name in model_fields:
        if name not in names:
            raise TypeError(f"simulate() got an unexpected keyword argument {name!r}; a model's are {', '.join(names)}")
    if model is None:
        missing = [name for name in ("width", "depth", "alpha", "lam") if name not in model_fields]
        if missing:
            raise ValueError(
                f"{missing[0]} is missing: give a ResNet or a ResidualNetwork, or at least width, depth, alpha and lam"
            )
        return ResNet(**model_fields)
    if model_fields:
        raise ValueError(f"{next(iter(model_fields))} is not allowed beside a model: give one or the other")
    if not isinstance(model, ResNet | ResidualNetwork):
        raise ValueError(f"model={model!r} is not allowed: it must be a resmc.ResNet or a resmc.ResidualNetwork")
    return model


def group_sizes(first: int, networks: int, block: int) -> NDArray[np.int64]:
    """How many of networks first .. first + networks - 1 fall into each group (network // block) mod 32."""

    def below(stop: int) -> NDArray[np.int64]:
        cycles, rest = divmod(stop, 32 * block)
        return cycles * block + np.clip(rest - block * np.arange(32), 0, block)

    return np.asarray(below(first + networks) - below(first), np.int64)


def _samples(arrays: dict[str, NDArray[Any]], offset: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-norms, and z_out = mantissa 2^exponent e^(offset/2), the last power split so that nothing overflows early."""
    powers, rest = divmod(0.5 * offset / math.log(2.0), 1.0)
    exponent = np.clip(arrays["sample_exponent"].astype(np.int64) + int(powers), -5000, 5000).astype(np.int32)
    with np.errstate(over="ignore", under="ignore"):
        output = np.ldexp(arrays["sample_output"] * 2.0**rest, exponent[:, None])
    return arrays["sample_log_norm"] + offset, output
