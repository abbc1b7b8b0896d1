"""What the NumPy twin of any residual network draws: from which counters, and by which law.

Statistical comparisons are among those that `test_residual_oracles` counts.
"""

from __future__ import annotations

import importlib
import math
from functools import partial

import numpy as np
import pytest
from test_residual_oracles import BOUND

from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.weight_law import WEIGHTS
from resmc.reference import METHODS, normals, signs, simulate_residual, words
from resmc.reference.sources import Counters

residual = importlib.import_module("resmc.reference.residual")


PROJECTED_DRAWS = {
    "phi-in": {"residual": 5, "backward": 6},
    "phi-out": {"residual": 5, "backward": 6},
    "v-phi-w": {"residual": 5, "backward": 6, "inner": 5, "backward_inner": 6},
}
DENSE_DRAWS = {
    "phi-in": {"dense_weights": 25, "bias": 5},
    "phi-out": {"dense_weights": 25, "bias": 5},
    "v-phi-w": {"dense_weights": 25, "dense_inner": 25, "bias": 5},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", BLOCKS)
def test_every_number_comes_from_the_counters_that_are_its_own(block, method, monkeypatch):
    drawn: set[tuple[str, int, int]] = set()

    def watched(seed, networks, stream, layer, count):
        drawn.add((stream, layer, count))
        return normals(seed, networks, stream, layer, count)

    monkeypatch.setattr(residual, "Counters", partial(Counters, normals_of=watched))
    simulate_residual(ResidualNetwork(5, 2, block, bias=0.3, n_out=3), 1, method=method)
    by_layer = (PROJECTED_DRAWS if method == "projected" else DENSE_DRAWS)[block]
    ends = (
        {("output", 2, 3), ("gradient", 2, 5)}
        if method == "projected"
        else {("dense_output", 2, 15), ("dense_output", 2, 5)}
    )
    assert drawn == {("first_layer", 0, 5), *ends} | {(s, layer, n) for s, n in by_layer.items() for layer in (0, 1)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_signs_are_those_of_the_draw_that_makes_what_they_multiply(block, half, method, monkeypatch):
    asked: list[tuple[str, int, int, bool]] = []

    def watched(seed, networks, stream, layer, count, of_half):
        asked.append((stream, layer, count, of_half))
        return signs(seed, networks, stream, layer, count, of_half)

    monkeypatch.setattr(residual, "Counters", partial(Counters, signs_of=watched))
    model = ResidualNetwork(4, 2, block, "balanced-half" if half else "balanced")
    simulate_residual(model, 1, method=method)
    expected = {
        "phi-in": {("first_layer", 0), ("residual", 0), ("residual", 1)},
        "phi-out": {("residual", 0), ("residual", 1)},
        "v-phi-w": {("inner", 0), ("inner", 1)},
    }[block]
    assert set(asked) == {(*place, 4, half) for place in expected}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_follow_their_law_entry_by_entry(weights):
    model = ResidualNetwork(7, 3, "v-phi-w", weights=weights, input=(1.0, 2.0, 3.0))
    source = Counters(model, 9, np.array([2, 2**40 + 1], np.uint64))
    for stream, layer, rows, columns in (("dense_inner", 2, 7, 7), ("dense_input", 0, 7, 3), ("dense_output", 3, 1, 7)):
        found = source.entries(stream, layer, rows, columns)
        assert found.shape == (2, rows, columns)
        gaussian = normals(9, [2, 2**40 + 1], stream, layer, rows * columns)
        for i, j in np.ndindex(rows, columns):
            flat = i * columns + j
            word = int(words(9, [2**40 + 1], stream, layer, [flat // 4])[0, 0, flat % 4])
            signed = word - 2**32 if word >= 2**31 else word
            law = {
                "gaussian": gaussian[1, flat],
                "uniform": math.sqrt(3.0) * (2 * signed + 1) / 2**32,
                "rademacher": 1.0 if signed >= 0 else -1.0,
            }
            assert found[1, i, j] == pytest.approx(law[weights], rel=1e-14)


@pytest.mark.parametrize(("weights", "fourth"), [("gaussian", 3.0), ("uniform", 1.8), ("rademacher", 1.0)])
def test_weights_have_mean_0_variance_1_and_the_fourth_moment_of_their_law(weights, fourth):
    w = (
        Counters(ResidualNetwork(100, 1, weights=weights), 10, np.arange(20, dtype=np.uint64))
        .matrix("outer", 0)
        .ravel()
    )
    for power, exact in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        error = np.std(w**power) / math.sqrt(w.size)
        assert abs(np.mean(w**power) - exact) < BOUND * error + 1e-12, power


def test_an_input_is_multiplied_by_the_law_of_the_weights_and_enters_gaussian_networks_by_its_norm():
    x = (3.0, -4.0, 0.0, 12.0)
    for weights in WEIGHTS:
        model = ResidualNetwork(6, 1, weights=weights, input=x)
        found = simulate_residual(model, 3, seed=4, method="dense", layers=[0]).log_norm[:, 0]
        if weights == "gaussian":
            h = 6.5 * normals(4, np.arange(3), "first_layer", 0, 6)
        else:
            h = Counters(model, 4, np.arange(3, dtype=np.uint64)).first_layer() @ np.array(x) / 2.0
        np.testing.assert_allclose(found, np.log(np.mean(h**2, axis=1)), rtol=1e-13, atol=1e-13)
        without = ResidualNetwork(6, 1, weights=weights, input_norm=6.5)
        h = 6.5 * normals(4, np.arange(3), "first_layer", 0, 6)
        found = simulate_residual(without, 3, seed=4, method="dense", layers=[0]).log_norm[:, 0]
        np.testing.assert_allclose(found, np.log(np.mean(h**2, axis=1)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("weights", "fourth"), [("gaussian", 3.0), ("uniform", 1.8), ("rademacher", 1.0)])
def test_a_generator_gives_the_same_law_as_the_counters(weights, fourth):
    w = WEIGHTS[weights].generated(np.random.default_rng(11), (300, 700)).ravel()
    for power, exact in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        assert abs(np.mean(w**power) - exact) < BOUND * np.std(w**power) / math.sqrt(w.size) + 1e-12, power
