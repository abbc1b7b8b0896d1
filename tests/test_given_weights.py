"""Kernels whose weights are handed in as arrays: columns of one network, against the NumPy twin on the same arrays.

float32 against float64: logarithms agree within 1e-4 (ARCHITECTURE.md, contract 3).
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import request
from handed import (
    BY_LAYER,
    FIRST,
    INSIDE,
    NAMES,
    SEED,
    TOLERANCE,
    Handed,
    differences,
    follow,
    handed,
    same_bits,
    small,
    twin_of_column,
)  # fmt: skip

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, ResNet, SmoothProcess, Weights, _native
from resmc._system.build import VARIABLE, instruction_set
from resmc.engine import column_plan, native
from resmc.engine.arrays import Arrays
from resmc.engine.columns import Threads, add_networks, aligned_bytes
from resmc.engine.lowering import KernelResidual, lower
from resmc.engine.run import run
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.reference import simulate_residual

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_columns_are_those_of_the_reference(block, activation):
    for scaling in (BY_LAYER, INSIDE) if block == "phi-out" else (BY_LAYER,):
        for bias, carry in ((0.0, 1.0), (0.7, -0.8)):
            model = small(block, activation, scaling=scaling, bias=bias, carry=carry)
            assert differences(model) < TOLERANCE, model


@pytest.mark.parametrize("block", BLOCKS)
def test_one_layer_of_weights_serves_for_all(block):
    for law, bias in (("gaussian", 0.4), ("rademacher", 0.0)):
        model = small(block, "relu", scaling=DepthScaling(0.5), bias=bias, weights=Weights(law, "tied"))
        assert differences(model, handed(model, layers=1)) < TOLERANCE, model


@pytest.mark.parametrize("width", [1, 3, 4, 40, 131])
def test_any_width_and_any_number_of_columns_is_simulated(width):
    """Less than a quad, whole quads, more terms than are summed in a run; less than a pack of columns, and several."""
    for block, count in itertools.product(BLOCKS, (1, 37)):
        model = ResidualNetwork(width, 5, block, "tanh", bias=0.3)
        factors = np.linspace(0.3, 1.2, count).astype(np.float32)
        bound = TOLERANCE if width > 3 else 10 * TOLERANCE  # a few neurons may come back to where they began
        assert differences(model, factors=factors) < bound, (block, count)


def test_every_instruction_set_follows_the_same_columns(monkeypatch):
    for (name, _), block in itertools.product(resmc._native.instruction_sets(), BLOCKS):
        monkeypatch.setenv(VARIABLE, name)
        assert differences(small(block, "gelu", scaling=BY_LAYER, bias=0.2)) < TOLERANCE, (name, block)


def test_the_comparison_sees_a_wrong_network():
    """Negative control: matrices transposed, exchanged, and of the next layer; a bias left out; factors that differ."""
    model = small("v-phi-w", "gelu", scaling=BY_LAYER, bias=0.2)
    right = handed(model)
    swapped = {"outer": right.arrays["inner"], "inner": right.arrays["outer"]}
    for wrong in (
        {"outer": right.arrays["outer"].swapaxes(2, 3)},
        {"inner": right.arrays["inner"].swapaxes(2, 3)},
        swapped,
        {"outer": np.roll(right.arrays["outer"], 1, axis=1)},
        {"bias": 0.0 * right.arrays["bias"]},
    ):
        assert differences(model, right, Handed({**right.arrays, **wrong})) > 100 * TOLERANCE
    assert differences(replace(model, scaling=tuple(np.array(BY_LAYER) * 1.001)), right) < TOLERANCE


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "balanced"])
def test_chunks_of_layers_change_no_bit(block, activation, monkeypatch):
    """Weights of all layers at a time, or of few; h kept of all layers, or computed again by segments."""
    model = ResidualNetwork(7, 23, block, activation, bias=0.2, scaling=DepthScaling(0.5))
    given, h0 = handed(model), np.random.default_rng(2).standard_normal((2, 7, 20))
    factors = np.linspace(0.1, 2.0, 20)
    whole = follow(model, factors, given, 2, h0)
    assert given.asked == [(range(FIRST, FIRST + 2), 0, 23)]
    layer = column_plan.layer_bytes(lower(model).in_own_units(True))
    for held, kept, draws in ((layer, 1 << 28, 45), (7 * layer, 1 << 28, 7), (layer, 1, 45), (11 * layer, 1, 5)):
        monkeypatch.setattr(column_plan, "WEIGHTS_HELD", held)
        monkeypatch.setattr(column_plan, "STATES_HELD", kept)
        given.asked.clear()
        same_bits(follow(model, factors, given, 2, h0), whole)
        assert len(given.asked) == 2 * draws, (held, kept)  # of each network forward and back, the last layers once
    monkeypatch.undo()
    monkeypatch.setattr(column_plan, "STATES_HELD", 1)  # all weights, and segments
    same_bits(follow(model, factors, given, 2, h0), whole)


def test_threads_change_no_bit():
    model = ResidualNetwork(9, 12, "v-phi-w", "relu", scaling=DepthScaling(0.5))
    given, factors = handed(model, 3), np.linspace(0.1, 2.0, 90)
    h0 = np.random.default_rng(2).standard_normal((3, 9, 90))
    one = follow(model, factors, given, 3, h0)
    for threads in (2, 3, 50):
        same_bits(follow(model, factors, given, 3, h0, threads=threads), one)


def test_columns_do_not_influence_each_other():
    """A column has the same bits alone, in another slot, and beside columns that explode or vanish."""
    model = ResidualNetwork(9, 12, "phi-out", "leaky_relu", scaling=DepthScaling(0.0))
    given, factors = handed(model, 2), np.array([1.0, 1e9, 0.7, 1e-9, 0.0, *np.linspace(0.1, 2.0, 35)])
    h0 = np.random.default_rng(2).standard_normal((2, 9, 40))
    h0[:, :, 7] = 0.0
    together = follow(model, factors, given, 2, h0)
    for c in (0, 2, 7, 30, 39):
        alone = follow(model, factors[[c]], given, 2, h0[:, :, [c]])
        for name, values in alone.values.items():
            np.testing.assert_array_equal(values[..., 0], together.values[name][..., c], err_msg=name)


def test_a_column_that_begins_at_0_has_no_growth():
    model = ResidualNetwork(5, 4, "phi-in", "relu")
    found = follow(model, np.ones(2), handed(model), 2, np.zeros((2, 5, 2)))
    assert np.isposinf(found.final("growth")).all()
    assert np.isposinf(found.final("displacement")).all()
    assert np.isfinite(found.final("gradient")).all()


def test_a_step_of_0_is_the_identity():
    model = ResidualNetwork(5, 4, "v-phi-w", "relu")
    found = follow(model, np.array([0.0, 1.0]), handed(model), 2, np.ones((2, 5, 2)))
    for name in ("displacement", "gradient_displacement"):
        assert np.isneginf(found.final(name)[:, 0]).all()
        assert np.isfinite(found.final(name)[:, 1]).all()
    assert (found.final("growth")[:, 0] == 0.0).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_thousand_layers_of_any_size_neither_overflow_nor_underflow(block):
    """beta = 0 explodes beyond any float, and a step of 2^-40 leaves next to nothing of each layer."""
    model = ResidualNetwork(24, 1000, block, "relu", scaling=DepthScaling(0.0))
    factors = np.array([4.0, 2.0**-40, -(2.0**20)], np.float32)
    given = handed(model, 1)
    h0 = np.random.default_rng(5).standard_normal((1, 24, 3)).astype(np.float32)
    found = follow(model, factors, given, 1, h0)
    assert all(np.isfinite(found.final(name)).all() for name in ("growth", "displacement", "gradient"))
    assert found.final("growth")[0, 0] > 800.0
    for c in range(3):
        expected = twin_of_column(model, given, h0, c, factors, NAMES[:2])
        for name, twin in zip(NAMES[:2], expected, strict=True):
            apart = np.abs(found.values[name][1:, 0, c] - twin[0, 1:])
            assert apart.max() < 1e-3, (name, c)  # one network, at d/n = 40: contract 3's bound of the worst


def test_layers_and_gradients_change_no_bit_of_what_else_is_recorded():
    model = ResidualNetwork(9, 12, "v-phi-w", "tanh", bias=0.1)
    given, factors = handed(model), np.array([0.5, 1.0])
    h0 = np.random.default_rng(2).standard_normal((2, 9, 2))
    every = follow(model, factors, given, 2, h0)
    ends = follow(model, factors, given, 2, h0, layers=None)
    some = follow(model, factors, given, 2, h0, layers=np.array([0, 5, 12]), gradients=False)
    for name in NAMES:
        np.testing.assert_array_equal(ends.values[name], every.values[name][[0, 12]])
    for name in NAMES[:2]:
        np.testing.assert_array_equal(some.values[name], every.values[name][[0, 5, 12]])


def test_a_report_sees_the_work_go_on_and_may_stop_it():
    model = ResidualNetwork(24, 400, "v-phi-w", "tanh")
    given, factors, seen = handed(model, 1), np.ones(700), []
    h0 = np.ones((1, 24, 700))
    follow(model, factors, given, 1, h0, report=seen.append, layers=None)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    class Enough(Exception):
        pass

    def stop(fraction: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        follow(model, factors, given, 1, h0, report=stop, layers=None)


@pytest.mark.parametrize(("factors", "h0", "named"), [((), None, "factors"), ((1.0,), np.ones((2, 5, 1)), "h0")])
def test_shapes_that_do_not_fit_are_refused(factors, h0, named):
    model = ResidualNetwork(4, 3)
    with pytest.raises(ValueError, match=named):
        follow(model, np.array(factors), handed(model), 2, h0)


def test_what_no_memory_holds_is_refused_with_its_size():
    wide = ResidualNetwork(12000, 5, weights=Weights(depth="tied"))
    with pytest.raises(ValueError, match=r"width=12000 .* 0\.576 GB, and 0\.537 GB"):
        resmc.simulate(wide, networks=1, progress=False)
    for block, width in (("phi-in", 11585), ("v-phi-w", 8192)):  # the widest there are, as `ResidualNetwork` says
        for bias in (0.0, 1.0):
            kernel = lower(ResidualNetwork(width, 1000, block, bias=bias)).in_own_units(gradients=False)
            assert column_plan.plan(kernel, 2, 1, False, Threads(1).state_bytes).networks == 1
            with pytest.raises(ValueError, match=f"as of width={width}"):
                column_plan.plan(replace(kernel, width=width + 1), 2, 1, False, Threads(1).state_bytes)
    model = ResidualNetwork(8000, 1000, "phi-in")
    kernel = lower(model).in_own_units(gradients=True)
    with pytest.raises(ValueError, match=r"width=8000, depth=1000 and 700 columns .* GB"):
        column_plan.plan(kernel, 1, 700, False, Threads(1).state_bytes)


def columns_of(**wrong: Any) -> None:
    """Hand the kernels of columns arrays and numbers of which some are wrong."""
    model = ResidualNetwork(4, 6, "phi-in", "tanh")
    kernel = replace(lower(model).in_own_units(gradients=True), segment=wrong.pop("segment", 6))
    layers = wrong.pop("layers", np.array([0, 6], np.int64))
    records = native.empty_records(kernel, len(layers), 6, outputs=False)
    size = native.column_state_bytes(kernel, 2, 3, instruction_set())
    arrays = {
        "outer": np.zeros((2, 6, 4, 4), np.float32),
        "factors": np.ones(3, np.float32),
        "state": aligned_bytes(size),
    }
    arrays = {name: wrong.pop(name, array) for name, array in arrays.items()}
    records = {name: wrong.pop(name, array) for name, array in records.items()}
    job = native.ColumnJob(
        seed=0, first=0, networks=2, columns=3, backward=False, from_layer=0, to_layer=6, first_layer=0, n_layers=6,
        tied=False, row=6, row_first=0,
    )  # fmt: skip
    native.columns(kernel, replace(job, **wrong), layers, arrays, records, 1, instruction_set(), None)


def test_only_residual_networks_have_the_state_of_columns():
    described = native.plain(lower(ResNet(4, 6, 0.6, 0.8)).kernel(False, False))
    with pytest.raises(ValueError, match="columns are those of a residual network"):
        _native.column_state_bytes(described, 1, 1, instruction_set())


def test_kernels_refuse_what_would_read_or_write_elsewhere():
    columns_of()
    size = native.column_state_bytes(
        lower(ResidualNetwork(4, 6, "phi-in", "tanh")).in_own_units(True), 2, 3, "baseline"
    )
    for named, wrong in (
        ("outer", {"outer": np.zeros((2, 5, 4, 4), np.float32)}),
        ("outer", {"outer": np.zeros((2, 6, 4, 4))}),
        ("factors", {"factors": np.ones(2, np.float32)}),
        ("state", {"state": aligned_bytes(64)}),
        ("state", {"state": aligned_bytes(size + 1)[1:]}),
        ("square", {"square": np.zeros((2, 5), np.float32)}),
        ("row", {"row_first": 1}),
        ("to_layer", {"to_layer": 7}),
        ("to_layer", {"from_layer": 4, "to_layer": 3}),
        ("first_layer", {"from_layer": 1, "first_layer": 2}),
        ("n_layers", {"n_layers": 5}),
        ("networks", {"first": 2**48 - 1}),
        ("segment", {"segment": 4, "backward": True, "from_layer": 2, "to_layer": 6}),
        ("layers", {"layers": np.array([0, 5])}),
    ):
        with pytest.raises(ValueError, match=named):
            columns_of(**wrong)


# -- through the reducers -------------------------------------------------------------------------------------------

PROCESSES = (
    Weights(depth="tied"),
    Weights("rademacher", "tied"),
    Weights(depth=FractionalNoise(0.7)),
    Weights(depth=SmoothProcess()),
    Weights(depth=np.exp(-np.abs(np.subtract.outer(np.arange(9), np.arange(9))))),
)


@pytest.mark.parametrize(
    "weights", [*PROCESSES, Weights(depth=Mixture(SmoothProcess(), FractionalNoise(0.5)))], ids=str
)
@pytest.mark.parametrize("block", BLOCKS)
def test_networks_whose_layers_depend_on_each_other_are_those_of_the_reference(block, weights):
    scaling = DepthScaling(0.5)
    if isinstance(weights.depth, Mixture):
        if block == "v-phi-w":
            return
        scaling = DepthScaling(0.0, inside=block == "phi-out")
    model = small(block, "tanh", weights=weights, bias=0.3, n_out=2, scaling=scaling)
    kept = {"keep_trajectories": 40, "keep_samples": 40, "layers": range(10), "gradients": True}
    sim = resmc.simulate(model, networks=40, seed=SEED, first_network=FIRST, progress=False, threads=2, **kept)
    twin = simulate_residual(model, 40, SEED, FIRST, method="dense")
    ours = sim.trajectories
    pairs = [(ours.log_norm, twin.log_norm), (ours.ratios["overlap"], twin.overlap), (sim.samples.output, twin.output)]
    for name in NAMES[1:4]:
        pairs.append((ours.ratios[name], getattr(twin, f"log_{name}")))
    for a, b in pairs:
        np.testing.assert_allclose(np.maximum(a, -30.0), np.maximum(b, -30.0), atol=TOLERANCE, rtol=0.0)


def summed(model: ResidualNetwork, networks: int, threads: int = 1, **recording: Any) -> Arrays:
    """Networks of one column through `add_networks`, whatever their dependence."""
    asked = request(
        model, networks, seed=SEED, method="dense", displacement=True, threads=threads, correlations=False, **recording
    )
    kernel, job, layers = asked.network(), asked.job(), asked.recording.layers
    assert isinstance(kernel, KernelResidual)
    arrays = Arrays.empty(kernel, job, len(layers)).part(0, job)
    add_networks(asked.lowered, kernel, job, layers, arrays, Threads(threads), threads, instruction_set(), None)
    return arrays


@pytest.mark.parametrize("block", BLOCKS)
def test_independent_layers_handed_in_are_the_networks_of_the_dense_method(block):
    """All sums, samples, paths and final values, up to rounding."""
    model = ResidualNetwork(8, 6, block, "relu", bias=0.1, n_out=2)
    kept = {"gradients": True, "samples": 50, "trajectories": 20, "layers": [0, 2, 6]}
    ours = summed(model, 200, **kept)
    theirs = run(request(model, 200, seed=SEED, method="dense", displacement=True, correlations=False, **kept)).kept
    for name, array in ours.named().items():
        other = theirs.named()[name]
        if name.startswith("final") or (name == "path_asymmetry" and not model.has_asymmetry):
            continue  # parts have final values of their own; the kernels' A has no meaning there
        if array.dtype.names is None:
            np.testing.assert_allclose(array, other, rtol=2e-5, atol=2e-5, err_msg=name)
            continue
        for one in array.dtype.names:
            scale = np.abs(other[one]).max()
            np.testing.assert_allclose(array[one], other[one], rtol=2e-5, atol=2e-5 * scale, err_msg=f"{name} {one}")


def test_sums_do_not_depend_on_threads_or_on_how_much_is_held(monkeypatch):
    model = ResidualNetwork(5, 6, "v-phi-w", "relu", weights=Weights(depth=FractionalNoise(0.3)))
    one = summed(model, 5000, gradients=True).named()
    monkeypatch.setattr(column_plan, "WEIGHTS_HELD", 1 << 19)
    monkeypatch.setattr(column_plan, "STATES_HELD", 1 << 20)
    for threads in (1, 3):
        for name, array in summed(model, 5000, threads, gradients=True).named().items():
            np.testing.assert_array_equal(array, one[name], err_msg=name)
