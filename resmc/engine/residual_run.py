"""Runs the kernels of any residual network: what is followed besides h, and the laws of where it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import Model
from ..results.laws import Law
from .lowering import ratio_offsets
from .sums import NormSums

RATIOS = ("growth", "displacement", "gradient", "gradient_displacement")
AT_START = ("gradient", "gradient_displacement")  # whose end is layer 0
PART = 1 << 18  # networks whose final values are held at a time

# Adds the networks of some settings to arrays, and reports the finished fraction.
Part = Callable[[dict[str, Any], dict[str, NDArray[Any]], Callable[[float], None] | None], None]


def followed(gradients: bool) -> tuple[str, ...]:
    """The ratios of a run."""
    return RATIOS if gradients else RATIOS[:2]


def run_residual(
    model: Model,
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.int64],
    arrays: dict[str, NDArray[Any]],
    simulate: Part,
    report: Callable[[float], None] | None,
) -> tuple[dict[str, Law], dict[str, NDArray[np.float64]]]:
    """Fills ``arrays`` by calls of ``simulate``, and adds to them the sums of every ratio and its paths.

    Parts of the range end at multiples of 2^18 networks, so that blocks stay whole and the groups meet them in order.

    Returns
    -------
    (laws, samples)
        By ratio: the law of ln(|v|^2/|start|^2) where it ends, and the values of the networks that are kept.
    """
    names, n = followed(network["gradients"]), len(layers)
    first, count, kept, paths = (settings[k] for k in ("first", "count", "keep_samples", "keep_trajectories"))
    for name in names[1:]:
        arrays[f"{name}.norms"] = NormSums.of_none(n).records
        arrays[f"path_{name}"] = np.empty((paths, n))
    arrays["path_overlap"] = np.empty((paths if network["gradients"] else 0, n), np.float32)
    offsets = ratio_offsets(model, layers)
    end = {name: float(offsets[name][0 if name in AT_START else -1]) for name in names}
    laws: dict[str, Law] = {}
    samples = {name: np.empty(kept) for name in names}
    at = 0
    while at < count:
        size = min(PART - (first + at) % PART, count - at)
        part = dict(settings)
        part |= {"first": first + at, "count": size}
        part |= {"keep_samples": min(max(kept - at, 0), size), "keep_trajectories": min(max(paths - at, 0), size)}
        views = {
            name: array[at : at + part["keep_samples" if name.startswith("sample_") else "keep_trajectories"]]
            if name.startswith(("sample_", "path_")) else array
            for name, array in arrays.items()
        }  # fmt: skip
        finals = {name: np.empty(size) for name in names}
        views |= {f"final_{name}": array for name, array in finals.items()}
        begin, share = at / count, size / count
        told = None if report is None else lambda done, b=begin, s=share: report(b + s * done)
        simulate(part, views, told)
        for name, values in finals.items():
            law = Law.of(values, end[name])
            laws[name] = Law.joined([laws[name], law]) if name in laws else law
            samples[name][at : at + size] = values[: max(kept - at, 0)] + end[name]
        at += size
    starts = dict.fromkeys(names, arrays["path_log_norm"][:, :1])
    if network["gradients"]:
        starts |= dict.fromkeys(AT_START, arrays["path_gradient"][:, -1:].copy())
    for name in names[1:]:
        arrays[f"path_{name}"] += offsets[name] - starts[name]
    return laws, samples
