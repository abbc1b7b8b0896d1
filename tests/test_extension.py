"""The extension refuses what it is told under a wrong name, of a wrong type or out of range, and names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engines import request

from resmc import ResidualNetwork, ResNet, _native
from resmc.engine import native
from resmc.engine.arrays import Arrays
from resmc.engine.request import NetworkRange
from resmc.engine.sums import NORM_SUMS

pytestmark = pytest.mark.cpu

RESNET, TANH = ResNet(6, 4, 0.6, 0.8), ResidualNetwork(6, 4, "v-phi-w", "tanh")
KEPT, PATHS, NETWORKS, LAYERS = 5, 3, 64, np.arange(5, dtype=np.uint32)
Told = dict[str, dict[str, Any]]


def told(model: ResNet | ResidualNetwork) -> Told:
    """What `_native.simulate` takes of a small run."""
    asked = request(
        model, NetworkRange(0, NETWORKS, 2), correlations=model is RESNET, gradients=model is TANH, samples=KEPT,
        trajectories=PATHS,
    )  # fmt: skip
    network, job = asked.network(), asked.job()
    arrays = Arrays.empty(network, job, len(LAYERS)).part(0, job)
    return {"network": native.plain(network), "settings": native.plain(job), "arrays": arrays.named()}


def simulate(entries: Told, layers: Any = LAYERS) -> None:
    _native.simulate(entries["network"], entries["settings"], layers, entries["arrays"], 1, "auto", None)


@pytest.mark.parametrize("model", [RESNET, TANH])
def test_what_the_engine_tells_is_taken(model):
    entries = told(model)
    simulate(entries)
    assert entries["arrays"]["norms"]["alive"].sum(axis=0).tolist() == [NETWORKS] * len(LAYERS)
    assert ("activity" in entries["arrays"]) == (model is RESNET)


@pytest.mark.parametrize("model", [RESNET, TANH])
@pytest.mark.parametrize("where", ["network", "settings", "arrays"])
def test_every_name_has_to_be_there_and_no_other(model, where):
    for name in told(model)[where]:
        entries = told(model)
        if (where, name) == ("network", "block"):  # without it, it is another network
            continue
        del entries[where][name]
        with pytest.raises(ValueError, match=f"^{where}: '{name}' is missing$"):
            simulate(entries)
    entries = told(model)
    entries[where]["colour"] = 1
    with pytest.raises(ValueError, match=f"^{where}: 'colour' is unknown$"):
        simulate(entries)


def test_a_residual_network_is_not_taken_for_another():
    entries = told(TANH)
    del entries["network"]["block"]
    with pytest.raises(ValueError, match=r"^network: '.*' is unknown$"):
        simulate(entries)


def readonly(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


# (dictionary, name, wrong values, what is said)
WRONG: list[tuple[str, str, list[Any], str]] = [
    ("network", "width", [0, -1, 2**24 + 1, 2**32, 1.0, True, "6", None], "must be an integer from 1 to 16777216"),
    ("network", "carry_exponent", [2**31, -(2**31) - 1], "must be an integer from -2147483648 to 2147483647"),
    ("network", "carry", [1e39, float("nan"), float("inf"), "1", True, None], "must be a finite number that a float32"),
    ("network", "block", [3, -1, "phi-in"], "must be an integer from 0 to 2"),
    ("network", "inner", [0, 2**24 + 1, 1.0, None], "must be an integer from 1 to 16777216"),
    ("network", "activation", [19, -1, None], "must be an integer from 0 to 18"),
    ("network", "below", [float("nan"), 1e39, "1"], "must be a finite number that a float32 can hold"),
    ("network", "octaves", [25, -1], "must be an integer from 0 to 24"),
    ("network", "kinks_above", [9, 0.5], "must be an integer from 0 to 8"),
    ("network", "table", [np.zeros(1, np.float32), None], "must"),
    ("network", "weight_law", [5], "must be an integer from 0 to 4"),
    ("network", "weight_table", [np.zeros(1, np.float32), None], "must"),
    ("network", "norm", [4, -1, None], "must be an integer from 0 to 3"),
    ("network", "norm_after", [1, None], "must be True or False"),
    ("network", "kept_below", [-1, 2**32, 0.5], "must be an integer from 0 to 4294967295"),
    ("network", "gradients", [1, None], "must be True or False"),
    ("network", "depth", [-1, 2**20], "must be an integer from 0 to 1048575"),
    ("network", "n_out", [-1, 2**17 + 1], "must be an integer from 0 to 131072"),
    ("network", "segment", [0, 5, 2**32 - 1], "must be an integer from 1 to 4"),
    ("network", "steps", [np.zeros(4), [0.0] * 4, None], "must be a C-contiguous array of float32$"),
    ("network", "steps", [np.zeros(3, np.float32)], r"must have the shape \(4,\)"),
    ("network", "input", [np.zeros(12, np.float32)], r"must have the shape \(0,\)"),
    ("settings", "seed", [-1, 2**64, 0.5], "must be an integer from 0 to 18446744073709551615"),
    ("settings", "method", [2], "must be an integer from 0 to 1"),
    ("settings", "count", [0, 2**48 + 1], "must be an integer from 1 to 281474976710656"),
    ("settings", "batch", [0, 8192], "must be an integer from 1 to 4096"),
    ("settings", "batch", [3], "must be a power of two"),
    ("settings", "keep_samples", [65], "must be an integer from 0 to 64"),
    ("settings", "activity", [1], "must be True or False"),
    ("settings", "bin_width", [10**400, "wide"], "must be a finite number that a float64"),
    ("settings", "bin_width", [0, 0.0, -1.0], "must be above 0"),
    ("arrays", "norms", [np.zeros((32, 4), NORM_SUMS)], r"must have the shape \(32, 5\)"),
    ("arrays", "norms", [np.zeros((32, 5)), np.zeros((32, 10), NORM_SUMS)[:, ::2]], "must be a C-contiguous array"),
    ("arrays", "norms", [readonly(np.zeros((32, 5), NORM_SUMS))], "must be writable"),
    ("arrays", "histogram", [np.zeros((32, 1), np.int64)], r"must have the shape \(32, "),
    ("arrays", "path_overlap", [np.zeros((PATHS, 5))], "must be a C-contiguous array of float32$"),
    ("arrays", "final_gradient", [np.zeros(NETWORKS - 1)], r"must have the shape \(64,\)"),
]


@pytest.mark.parametrize(("where", "name", "values", "said"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_wrong_type_or_a_number_out_of_range_is_refused_with_its_name(where, name, values, said):
    for value in values:
        entries = told(TANH)
        entries[where][name] = value
        with pytest.raises(ValueError, match=f"^{where}: '{name}' {said}"):
            simulate(entries)


def test_blocks_of_one_matrix_have_no_other_width_within():
    entries = told(ResidualNetwork(6, 4, "phi-out", "tanh"))
    entries["network"]["inner"] = 7
    with pytest.raises(ValueError, match=r"^network: 'inner' must be the width in this block$"):
        simulate(entries)


def test_correlations_need_an_asymmetry():
    entries = told(TANH)
    entries["settings"]["correlations"] = True
    with pytest.raises(ValueError, match=r"^settings: 'correlations' need activity$"):
        simulate(entries)


@pytest.mark.parametrize("layers", [[0, 4, 2], [0, 2, 2, 4], [1, 4], [0, 3], [0, 5]])
def test_layers_rise_from_0_to_the_depth(layers):
    with pytest.raises(ValueError, match=r"^layers must rise from 0 to the depth$"):
        simulate(told(RESNET), np.array(layers, np.uint32))
    for shape in ((0,), (1, 5)):
        with pytest.raises(ValueError, match=r"^layers must have shape"):
            simulate(told(RESNET), np.zeros(shape, np.uint32))


def changed(call: Callable[..., None], arguments: tuple[Any, ...], where: str, at: int) -> None:
    """A GPU's call refuses each of its entries if it is missing, and an unknown one."""
    entries = arguments[at]
    for name in entries:
        if (where, name) in OPTIONAL:
            continue
        less = {key: value for key, value in entries.items() if key != name}
        with pytest.raises(ValueError, match=f"^{where}: '{name}' is missing$"):
            call(*arguments[:at], less, *arguments[at + 1 :])
    with pytest.raises(ValueError, match=f"^{where}: 'colour' is unknown$"):
        call(*arguments[:at], {**entries, "colour": 1}, *arguments[at + 1 :])


OPTIONAL = {("pointers", name) for name in ("histogram", "activity_batches", "asymmetry", "path", "path_overlap")} | {
    ("network", "block")
}


def test_the_calls_of_a_gpu_take_their_own_names_and_no_other(emulated_kernels, monkeypatch):
    """Every call of a run with gradients is refused with an entry less or more, before it is made."""
    import emulated

    from resmc import simulate as run
    from resmc.engine import cuda

    kernels = emulated_kernels
    places = {
        "simulate": ("network", "settings", "properties", "shape", "pointers"),
        "reduce": ("", "settings", "pointers"),
    }
    places |= dict.fromkeys(("raw", "quotient"), places["reduce"])
    seen = []

    class Checked:
        def __getattr__(self, name: str) -> Any:
            call = getattr(kernels, name)
            if name not in places:
                return call

            def checked(*arguments: Any) -> None:
                if name not in seen:
                    for at, where in enumerate(places[name]):
                        if where:
                            changed(call, arguments, where, at)
                seen.append(name)
                call(*arguments)

            return checked

    monkeypatch.setattr(cuda, "open_cuda", lambda ordinal: emulated.Emulated(Checked()))
    run(TANH, networks=40, gradients=True, keep_samples=3, keep_trajectories=2, device="cuda", progress=False)
    assert set(seen) == set(places)
