"""`resmc.simulate`: checks once, allocates, runs the kernels on a device, returns a `Simulation`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks, _native, cuda, devices
from .build import instruction_set
from .model import MAX_WIDTH_DENSE, VARIANTS, ResNet
from .normalisation import log_norm_offsets, native_network
from .progress import reporting
from .recording import block_size, histogram_bins, recorded_layers
from .simulation import NetworkRange, Samples, Simulation, Trajectories
from .statistics import Statistics

METHODS = ("projected", "dense")
MAX_NETWORK = 1 << 48  # a network's number has 48 bits of the counter


def simulate(
    model: ResNet | None = None,
    *,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    layers: Sequence[int] | NDArray[np.int64] | None = None,
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
    model : ResNet, optional
        The network, or give its fields as keywords: width, depth, alpha, lam, variant, n_out, input_norm.
    networks : int
        How many, at least 1; below 32 there are no standard errors. 1e6 is accepted for 1_000_000.
    seed : int
        0 to 2^64 - 1. The same seed gives the same networks on every machine, whatever the threads and ranges.
    first_network : int
        Number of the first network; networks first_network .. first_network + networks - 1 < 2^48 are simulated.
        Disjoint ranges are independent and can be merged.
    method : {"projected", "dense"}
        ``projected``: exactly the law of the network at cost width per layer. ``dense``: every weight is drawn, cost
        width^2, the ground truth.
    layers : sequence of int, optional
        Layers to record; 0 and depth are always added. By default all up to depth 512, then every
        ceil(depth/512)-th.
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
        On a GPU: leave samples and trajectories there, as float64 and float32 tensors.

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
    networks = _checks.integer("networks", networks, 1, MAX_NETWORK, "2^48")
    first_network = _checks.integer("first_network", first_network, 0, MAX_NETWORK - networks, "2^48 - networks")
    seed = _checks.integer("seed", seed, 0, (1 << 64) - 1, "2^64 - 1")
    method = _checks.choice("method", method, METHODS)
    kind, ordinal = devices.parse(device)
    if not isinstance(keep_on_device, bool):
        raise ValueError(f"keep_on_device={keep_on_device!r} is not allowed: it must be True or False")
    if keep_on_device and kind != "cuda":
        raise ValueError("keep_on_device=True is not allowed on the CPU: it needs device='cuda'")
    if method == "dense" and model.width > MAX_WIDTH_DENSE:
        raise ValueError(f"width={model.width} is too large for method='dense': it must be at most {MAX_WIDTH_DENSE}")
    recorded = recorded_layers(model.depth, layers)
    if threads is None:
        threads = len(os.sched_getaffinity(0))
    threads = _checks.integer("threads", threads, 1, 1 << 12, "4096")
    threads = min(threads, networks)
    keep_samples = min(_checks.integer("keep_samples", keep_samples, 0, MAX_NETWORK, "2^48"), networks)
    keep_trajectories = min(_checks.integer("keep_trajectories", keep_trajectories, 0, MAX_NETWORK, "2^48"), networks)
    bins = histogram_bins(model)
    block = block_size(networks)

    network = native_network(model)
    settings = {
        "variant": VARIANTS.index(model.variant),
        "method": METHODS.index(method),
        "seed": seed,
        "first": first_network,
        "count": networks,
        "block": block,
        "keep_samples": keep_samples,
        "keep_trajectories": keep_trajectories,
        "deaths_possible": model.alpha == 0.0,
        "bin_low": bins.low,
        "bin_width": bins.width,
        "n_bins": bins.count,
    }
    native_layers = recorded.astype(np.uint32)

    def needed(n_layers: int) -> int:
        """Bytes on the host of a run that records so many layers."""
        each = 0
        if kind == "cpu":
            each = _native.thread_bytes(network, settings, np.arange(n_layers, dtype=np.uint32), instructions)
        raw = 0 if keep_on_device else keep_samples * (20 + 8 * model.n_out) + keep_trajectories * 12 * n_layers
        return Statistics.bytes(n_layers, bins.count, model.alpha == 0.0) + threads * each + raw

    instructions = instruction_set() if kind == "cpu" else ""
    _check_memory(model, len(recorded), keep_samples, keep_trajectories, needed)
    offsets = log_norm_offsets(model, recorded)
    try:
        accelerator = cuda.open_cuda(ordinal) if kind == "cuda" else None
    except cuda.DeviceError as error:
        if isinstance(device, str) and device == "auto":
            raise cuda.DeviceError(f"{error} ({devices.VARIABLE} asks for it)") from None
        raise
    with reporting(progress, networks, f"{model.variant} {model.width}x{model.depth}") as report:
        statistics = Statistics.zeros(len(recorded), bins.count, model.alpha == 0.0)
        arrays: dict[str, NDArray[Any]] = {
            f.name: getattr(statistics, f.name) for f in fields(statistics) if f.name != "networks"
        }
        if accelerator is not None:
            numerics = accelerator.numerics
            raw = cuda.run(accelerator, network, settings, native_layers, arrays, report)
            if not keep_on_device:
                arrays |= raw.to_numpy()
        else:
            numerics = f"cpu/{instructions}"
            arrays["sample_log_norm"] = np.empty(keep_samples)
            arrays["sample_output"] = np.empty((keep_samples, model.n_out))
            arrays["sample_exponent"] = np.empty(keep_samples, np.int32)
            arrays["path_log_norm"] = np.empty((keep_trajectories, len(recorded)))
            arrays["path_asymmetry"] = np.empty((keep_trajectories, len(recorded)), np.float32)
            _native.simulate(network, settings, native_layers, arrays, threads, instructions, report)

    numbers = [np.uint64(first_network) + np.arange(k, dtype=np.uint64) for k in (keep_samples, keep_trajectories)]
    if keep_on_device:
        samples = Samples(numbers[0], *raw.sample_tensors(offsets[-1]))
        trajectories = Trajectories(numbers[1], *raw.path_tensors(offsets))
    else:
        samples = Samples(numbers[0], *_samples(arrays, offsets[-1]))
        trajectories = Trajectories(numbers[1], arrays["path_log_norm"] + offsets, arrays["path_asymmetry"])
    statistics.networks[:] = group_sizes(first_network, networks, block)
    return Simulation(
        model=model,
        method=method,
        seed=seed,
        ranges=(NetworkRange(first_network, first_network + networks, block),),
        layers=recorded,
        bins=bins,
        statistics=statistics,
        samples=samples,
        trajectories=trajectories,
        numerics=(str(_native.NUMERICS_VERSION), numerics),
    )


def _model(model: ResNet | None, model_fields: dict[str, Any]) -> ResNet:
    names = [f.name for f in fields(ResNet)]
    for name in model_fields:
        if name not in names:
            raise TypeError(f"simulate() got an unexpected keyword argument {name!r}; a model's are {', '.join(names)}")
    if model is None:
        missing = [name for name in ("width", "depth", "alpha", "lam") if name not in model_fields]
        if missing:
            raise ValueError(f"{missing[0]} is missing: give a ResNet, or at least width, depth, alpha and lam")
        return ResNet(**model_fields)
    if model_fields:
        raise ValueError(f"{next(iter(model_fields))} is not allowed beside a ResNet: give one or the other")
    if not isinstance(model, ResNet):
        raise ValueError(f"model={model!r} is not allowed: it must be a resmc.ResNet")
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


def _check_memory(
    model: ResNet, n_layers: int, keep_samples: int, keep_trajectories: int, needed: Callable[[int], int]
) -> None:
    """Refuse a recording that would not fit, with its size and the spacing of layers that would."""
    available, size = available_memory(), needed(n_layers)
    if size <= 0.9 * available:
        return
    message = (
        f"width={model.width}, layers={n_layers} of them, keep_samples={keep_samples} and "
        f"keep_trajectories={keep_trajectories} need {size / 1e9:.3g} GB of memory and {available / 1e9:.3g} GB are "
        "available"
    )
    spacing = -(-model.depth // (n_layers - 1))
    while (fewer := model.depth // spacing + 2) > 3 and needed(fewer) > 0.5 * available:
        spacing *= 2
    if fewer >= n_layers or needed(fewer) > 0.5 * available:
        raise ValueError(f"{message}: keep fewer samples or trajectories, use fewer threads, or a smaller width")
    raise ValueError(f"{message}: layers=range(0, {model.depth + 1}, {spacing}) would fit")


def available_memory() -> int:
    """Bytes that this process may still take: what the kernel calls available."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
