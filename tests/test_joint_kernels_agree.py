"""The kernels of several inputs, by both methods, against their NumPy twin: network by network, to float32's rounding."""

from __future__ import annotations

from typing import Any

import joint_twin
import numpy as np
import pytest

from resmc import _native
from resmc._system.build import instruction_set
from resmc.engine import native
from resmc.engine.lowering import lower
from resmc.models.activations import ACTIVATIONS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.models.weights import WEIGHTS
from resmc.reference import METHODS

pytestmark = pytest.mark.cpu

START = np.array([[1.3, 0.0, 0.0, 0.0], [-0.4, 0.9, 0.0, 0.0], [0.2, -0.3, 1e-3, 0.0], [-1e-6, 2e-6, 1e-6, 3e-6]])
CASES = [
    ("phi-in", DepthScaling(0.0, 0.7)),
    ("phi-out", DepthScaling(0.0, 0.7)),
    ("phi-out", DepthScaling(0.0, -0.7, inside=True)),
    ("v-phi-w", DepthScaling(0.0, 0.7)),
]


def arrays_of(network: Any, layers: int, row: int, m: int, k: int, start: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of a joint run, filled with what no network has."""
    found = native.empty_records(network, layers, row, False)
    pairs = m * (m + 1) // 2
    shapes = {"gram": (pairs, float), "unit": (m, np.int32), "log_stretch": (k, float)}
    if network.gradients:
        shapes |= {"gradient_gram": (pairs, float), "gradient_unit": (m, np.int32), "kernel": (pairs, float)}
    for name, (size, dtype) in shapes.items():
        found[name] = np.full((layers, size, row), -77, dtype)
    for array in found.values():
        array.fill(-77 if array.dtype.kind != "u" else 77)
    return found | {"start": np.ascontiguousarray(start)}


def both(
    model: ResidualNetwork, m: int, k: int = 0, method: str = "projected", backward: bool = True, **changes: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], slice]:
    """Arrays of the kernels and of the twin, and the places of the networks in their rows."""
    network = lower(model).in_own_units(backward)
    start = START[:m, :m] / (1.0 if not model.homogeneous else START[0, 0])
    if not model.homogeneous:
        start = start.copy()
        start[0, 0] = network.size
    layers = np.array(sorted({0, 2, model.depth - 1, model.depth}), np.uint32)
    count, first = 37, 2
    job = {
        "method": METHODS.index(method), "seed": 2**40 + 11, "first": 2**33 - 5, "networks": count, "inputs": m,
        "tangents": k, "backward": backward, "independent": False, "reorthogonalise": 2, "row": count + 4,
        "row_first": first,
    } | changes  # fmt: skip
    found = []
    for call in (_native.joint, joint_twin.joint):
        arrays = arrays_of(network, len(layers), job["row"], m, k, start)
        call(native.plain(network), job, layers, arrays, 1, instruction_set(), None)
        found.append(arrays)
    return found[0], found[1], slice(first, first + count)


def cosines(gram: np.ndarray, unit: np.ndarray | None, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the diagonal and cosines off it, from products of pairs, (R, P, N)."""
    a, b = np.tril_indices(m)
    diagonal = gram[:, a == b]
    log = np.log(diagonal) + (0.0 if unit is None else 2.0 * np.log(2.0) * unit)
    return log, gram / np.sqrt(diagonal[:, a] * diagonal[:, b])


def assert_agree(ours: dict[str, np.ndarray], twin: dict[str, np.ndarray], here: slice, m: int) -> None:
    """All arrays of all networks; a mask that rounding flips changes one network in some hundreds, by 1/width."""
    quotients = ["square", "displacement_square"]
    sets: list[tuple[str, str | None]] = [("gram", "unit")]
    if "kernel" in ours:
        sets += [("gradient_gram", "gradient_unit"), ("kernel", None)]
        quotients += ["gradient_square", "gradient_displacement_square"]
    off: dict[str, np.ndarray] = {"log_stretch": ours["log_stretch"][..., here] - twin["log_stretch"][..., here]}
    for name, unit in sets:
        last = -1 if name == "kernel" else len(ours[name])  # 0 at the last layer
        values = [x[name][:last, :, here] for x in (ours, twin)]
        units = [None if unit is None else x[unit][..., here] for x in (ours, twin)]
        (log, cosine), (twin_log, twin_cosine) = (cosines(x, u, m) for x, u in zip(values, units, strict=True))
        off |= {f"log {name}": log - twin_log, f"cosine {name}": cosine - twin_cosine}
    for name in quotients:
        exponent = name.replace("square", "exponent")
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.log(x[name][:, here]) + np.log(4.0) * x[exponent][:, here] for x in (ours, twin)]
            off[name] = np.where(logs[0] == logs[1], 0.0, logs[0] - logs[1])
    for name in ("overlap", "asymmetry"):
        if name in ours and np.isfinite(twin[name][:, here]).all() and (twin[name][:, here] != -77).all():
            off[name] = ours[name][:, here].astype(float) - twin[name][:, here]
    for name, error in off.items():
        if error.size:
            by_network = np.abs(error).reshape(-1, error.shape[-1]).max(axis=0)
            assert np.quantile(by_network, 0.9) < 3e-4, (name, np.sort(by_network)[-5:])
            assert np.median(by_network) < 3e-5, (name, np.median(by_network))
    for name, array in ours.items():  # nothing but the networks' places is touched
        if name not in ("start", "output"):
            outside = np.delete(array, np.r_[here], axis=-1)
            assert (outside == (77 if array.dtype.kind == "u" else -77)).all(), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_of_several_inputs_agree_with_the_twin(case, method):
    block, scaling = case
    for i, activation in enumerate(ACTIVATIONS):
        for bias in (0.0, 0.3):
            m, k = (1, 2, 3, 4)[i % 4], (i + 1) % 3 if bias else 0
            model = ResidualNetwork(18 + i % 2 * 2, 5, block, activation, 0.8, scaling, bias=bias, input_norm=1.3)
            ours, twin, here = both(model, m, k, method)
            assert_agree(ours, twin, here, m)
