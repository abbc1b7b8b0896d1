"""Memory of the host: what a simulation needs, what there is, and a refusal that says what would fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _native
from .._system.build import instruction_set
from ..models.residual_network import Model
from .residual_run import PART, followed
from .sums import Sums


def needed_memory(
    network: dict[str, Any], settings: dict[str, Any], n_layers: int, threads: int, keep_on_device: bool = False
) -> int:
    """Bytes of a run with the kernels' ``network`` and ``settings`` that records so many layers; 0 threads on a GPU."""
    each = 0
    if threads > 0:
        layers = np.arange(n_layers, dtype=np.uint32)
        each = _native.thread_bytes(network, settings, layers, instruction_set())
    raw = settings["keep_samples"] * (20 + 8 * network["n_out"]) + settings["keep_trajectories"] * 12 * n_layers
    if "block" in network:  # what is followed besides h: kept values and paths, and a part's final values
        ratios = len(followed(network["gradients"]))
        part = min(settings["count"], PART)
        raw += 8 * ratios * (settings["keep_samples"] + settings["keep_trajectories"] * n_layers + part)
    recorded = (settings[name] for name in ("n_bins", "deaths_possible", "correlations", "activity"))
    sums = Sums.bytes(n_layers, *recorded)
    return int(sums + threads * each + (0 if keep_on_device else raw))


def check_memory(
    model: Model, n_layers: int, needed: Callable[[int], int], kept: tuple[int, int] | None = None
) -> None:
    """Refuse a recording that would not fit, with its size and the layers that would.

    ``needed`` tells the bytes of recording so many layers; ``kept`` samples and trajectories besides. None: that of a
    sweep, which keeps none and whose ``layers`` are a number.
    """
    available, size = available_memory(), needed(n_layers)
    if size <= 0.9 * available:
        return
    what = f"width={model.width} and layers={n_layers}"
    if kept is not None:
        what = f"width={model.width}, layers={n_layers} of them, keep_samples={kept[0]} and keep_trajectories={kept[1]}"
    message = f"{what} need {size / 1e9:.3g} GB of memory and {available / 1e9:.3g} GB are available"
    spacing = -(-model.depth // (n_layers - 1))
    while (fewer := model.depth // spacing + 2) > 3 and needed(fewer) > 0.5 * available:
        spacing *= 2
    if fewer >= n_layers or needed(fewer) > 0.5 * available:
        fewer_kept = "" if kept is None else "keep fewer samples or trajectories, "
        raise ValueError(f"{message}: {fewer_kept}use fewer threads, or a smaller width")
    fits = f"layers={fewer}" if kept is None else f"layers=range(0, {model.depth + 1}, {spacing})"
    raise ValueError(f"{message}: {fits} would fit")


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
