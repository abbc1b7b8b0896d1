"""Several inputs through the compiled kernels: input 0 as it is alone, and all of it as the NumPy twin has it.

float32 against float64: logarithms and cosines agree within 1e-4 (ARCHITECTURE.md, contract 3), but where a kink of the
activation lies closer to a pre-activation than rounding does.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import AVAILABLE
from joint_kernels import START, Case, cosines, differences, products, written_out
from own_activations import OWN

from resmc import DepthScaling, ResidualNetwork, ResNet
from resmc.engine import native
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import RESNET_ACTIVATIONS

pytestmark = pytest.mark.cpu

TOLERANCE = 1e-4
INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = tuple(0.5 - 0.3 * (layer % 4) for layer in range(9))


def small(block: str, activation: str, **given: Any) -> ResidualNetwork:
    return ResidualNetwork(6 if activation == "balanced-half" else 7, 9, block, activation, **given)


def scalings(block: str) -> list[Any]:
    return [BY_LAYER, INSIDE] if block == "phi-out" else [BY_LAYER]


# ------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_masks_are_the_networks_for_all_inputs_tangents_and_both_passes(activation):
    for bias, keep, count in ((0.0, 0.6, 3), (0.4, 0.3, 2)):
        model = small("phi-in", activation, carry=0.9, scaling=BY_LAYER, bias=bias, keep=keep)
        for independent in (False, True):
            case = Case(
                model, START[:count, :count], 12, backward=True, independent=independent, tangents=3 - count, segment=4
            )
            for name, found in differences(case.records(), case.twins()).items():
                assert found.max(initial=0.0) < TOLERANCE, (name, found.max())
        other = differences(case.records(), replace(case, model=replace(model, keep=keep + 0.2)).twins())
        changed = [one.max() for name, one in other.items() if one.size and (name != "scale" or model.homogeneous)]
        assert min(changed) > 10.0 * TOLERANCE  # a negative control
        forward = Case(model, START, 70, tangents=2)
        joint, alone = forward.sums_of_input_0(), forward.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


# ------------------------------------------------------------------------------------------------- input 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_input_0_has_the_bits_that_it_has_alone(block, activation):
    for scaling, bias in itertools.product(scalings(block), (0.0, 0.4)):
        case = Case(small(block, activation, carry=0.9, scaling=scaling, bias=bias), START, 70, tangents=2)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        assert joint.keys() == alone.keys()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


@pytest.mark.parametrize("variant", ["vanilla", "balanced", "balanced-half"])
def test_input_0_of_a_log_gaussian_network_has_the_bits_that_it_has_alone(variant):
    for alpha, lam in ((0.8, 0.6), (0.0, 1.0), (1e-35, 1.0)):
        case = Case(ResNet(6, 12, alpha, lam, variant), START[:2, :2], 70)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


@pytest.mark.parametrize("block", BLOCKS)
def test_one_input_has_the_bits_of_its_gradient(block):
    for activation, bias in itertools.product(("balanced", "tanh"), (0.0, 0.4)):
        case = Case(small(block, activation, scaling=BY_LAYER, bias=bias), START[:1, :1], 70, backward=True)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        assert joint.keys() == alone.keys()
        assert "path_overlap" in joint
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


# ------------------------------------------------------------------------------------------------- the twin


def assert_twin(case: Case, instructions: str | None = None) -> None:
    """All networks agree but for 1 in 20, whose masks have flipped in float32."""
    for name, found in differences(case.records(instructions=instructions), case.twins()).items():
        worst = found.reshape(-1, case.networks).max(axis=0, initial=0.0)
        assert (worst > TOLERANCE).sum() <= case.networks // 20, (name, case.model, worst)
        assert np.median(worst) < TOLERANCE / 10.0, (name, case.model, worst)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_columns_gradients_and_kernels_are_those_of_the_twin(block, activation):
    """Three inputs with every scaling and bias. Of the fewer inputs each block and activation meets both, and both meet
    every scaling and bias: one input where two have the other bias, by turns over the activations."""
    turn = list(ACTIVATIONS).index(activation)
    for i, (scaling, bias) in enumerate(itertools.product(scalings(block), (0.0, 0.4))):
        model = small(block, activation, carry=0.9, scaling=scaling, bias=bias)
        assert_twin(Case(model, START, backward=True, tangents=2, segment=4))
        if (i + turn) % 2 == 0:
            assert_twin(Case(model, START[:2, :2], backward=True))
        else:
            assert_twin(Case(model, START[:1, :1], backward=True, segment=4))


@pytest.mark.parametrize("own", [own for own in OWN if own != "steep"])  # its networks multiply rounding by 10 a layer
@pytest.mark.parametrize("block", BLOCKS)
def test_activations_of_one_s_own_are_those_of_the_twin(block, own):
    model = small(block, OWN[own](), carry=0.9, scaling=BY_LAYER, bias=0.3)
    assert_twin(Case(model, START, backward=True, tangents=2))


@pytest.mark.parametrize("angle", [1e-6, 1e-20])
@pytest.mark.parametrize("activation", ["elu", "selu", "hard_tanh", "mish", "softplus", *OWN])
def test_differences_keep_their_digits_through_kinks_and_tables(activation, angle):
    start = np.array([[1.0, 0.0], [0.0, angle]])
    for block in BLOCKS:
        given = OWN[activation]() if activation in OWN else activation
        assert_twin(Case(ResidualNetwork(30, 12, block, given, bias=0.2), start, backward=True))


@pytest.mark.parametrize("block", BLOCKS)
def test_independent_gradients_are_those_of_the_twin(block):
    model = small(block, "relu", scaling=BY_LAYER, bias=0.4)
    for inputs in (1, 3):
        case = Case(model, START[:inputs, :inputs], backward=True, independent=True)
        assert_twin(case)
        tied = differences(case.records(), replace(case, independent=False).twins())
        assert np.median(tied["kernel"]) > TOLERANCE  # a negative control


@pytest.mark.parametrize("instructions", AVAILABLE)
def test_every_instruction_set_makes_the_twin_s_networks(instructions):
    assert_twin(Case(small("v-phi-w", "gelu", scaling=BY_LAYER), START, backward=True, tangents=1), instructions)


def test_sixteen_columns_are_those_of_the_twin():
    start = np.tril(np.random.default_rng(5).normal(size=(12, 12))) / 4.0 + np.eye(12)
    start[0, 0] = 1.0
    assert_twin(Case(ResidualNetwork(40, 6, "phi-in", "relu"), start, 5, tangents=4))
    assert_twin(Case(ResidualNetwork(40, 6, "v-phi-w", "tanh"), start, 5, backward=True))
    for inputs, activation in ((6, "relu"), (7, "gelu")):  # sums are made by four columns, and what is left over
        assert_twin(Case(ResidualNetwork(40, 6, "phi-in", activation), start[:inputs, :inputs], 5, backward=True))


def test_inputs_of_very_different_sizes_are_those_of_the_twin():
    start = np.array([[1.0, 0.0, 0.0], [1e15, 1e15, 0.0], [1e-12, 0.0, 1e-9]])
    for activation in RESNET_ACTIVATIONS:
        assert_twin(Case(ResidualNetwork(8, 6, "phi-in", activation), start, backward=True))


# ------------------------------------------------------------------------------------------------- differences


@pytest.mark.parametrize("block", BLOCKS)
def test_identical_inputs_stay_identical(block):
    for activation in ("relu", "balanced", "sigmoid", "gelu"):
        case = Case(small(block, activation, bias=0.3), np.array([[1.0, 0.0], [0.0, 0.0]]), backward=True)
        records = case.records()
        assert not records["gram"][:, 1:].any()
        equal = products(records["gradient_gram"], records["gradient_unit"])
        np.testing.assert_allclose(equal[:, 1:], np.repeat(equal[:, :1], 2, axis=1), rtol=1e-5)


@pytest.mark.parametrize("factor", [-1.0, 0.25, 3.0])
def test_collinear_inputs_of_linear_networks_stay_collinear(factor):
    model = ResidualNetwork(60, 200, "phi-in", "linear", scaling=DepthScaling(0.5))
    records = Case(model, np.array([[1.0, 0.0], [factor - 1.0, 0.0]])).records()
    g = records["gram"]
    sine = np.sqrt(np.maximum(1.0 - g[:, 1] ** 2 / (g[:, 0] * g[:, 2]), 0.0))
    assert sine.max() < 1e-6
    ratio = np.sqrt(products(g, records["unit"])[:, 2] / products(g, records["unit"])[:, 0])
    np.testing.assert_allclose(ratio, abs(factor - 1.0), rtol=2e-5)


@pytest.mark.parametrize("angle", [1e-6, 1e-20])
def test_nearly_equal_inputs_keep_the_digits_of_their_difference(angle):
    start = np.array([[1.0, 0.0], [0.0, angle]])
    for block, activation in itertools.product(BLOCKS, ("relu", "leaky_relu", "tanh", "gelu")):
        assert_twin(Case(ResidualNetwork(50, 20, block, activation), start, backward=True))


def test_tangents_are_the_limit_of_differences():
    model = ResidualNetwork(30, 12, "v-phi-w", "tanh", bias=0.2)
    records = Case(model, np.array([[1.0, 0.0], [0.0, 1e-9]]), 2000, tangents=1, reorthogonalise=5).records()
    far = cosines(records["gram"], records["unit"])[:, 2]
    grown, stretch = 0.5 * (far - far[:1]), records["log_stretch"][:, 0]
    error = np.hypot(grown.std(axis=1), stretch.std(axis=1))[1:] / math.sqrt(2000)
    assert (np.abs(grown.mean(axis=1) - stretch.mean(axis=1))[1:] < 5.0 * error).all()
    np.testing.assert_allclose(grown.std(axis=1)[1:], stretch.std(axis=1)[1:], rtol=0.1)


def test_mean_products_of_linear_networks_are_exact():
    """E c^a_l . c^b_l/n = (carry^2 + s^2)^l (start start^T)_ab; 6 z-scores, a false alarm in 10^5."""
    model, n = ResidualNetwork(10, 6, "phi-in", "linear", 0.9, DepthScaling(0.0, 0.4)), 20000
    records = Case(model, START, n).records()
    product = written_out(products(records["gram"], records["unit"]), records["log_scale"])[-1] / 10.0
    gram = (START @ START.T)[np.tril_indices(3)]

    def z_scores(expected: np.ndarray) -> np.ndarray:
        return np.abs(product.mean(axis=1) - expected) / (product.std(axis=1) / math.sqrt(n))

    assert z_scores((0.81 + 0.16) ** 6 * gram).max() < 5.0
    assert z_scores(gram).max() > 5.0


# ------------------------------------------------------------------------------------------------- same bits


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    for name, value in a.items():
        assert value.tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_threads_ranges_and_segments_change_no_bit(inputs):
    model = small("v-phi-w", "relu", scaling=BY_LAYER)
    case = Case(model, START[:inputs, :inputs], 100, backward=True, tangents=inputs // 3)
    whole = case.records()
    assert_same(whole, case.records(threads=3))
    assert_same(whole, replace(case, segment=2).records())
    parts = case.empty()
    for begin, end in ((0, 1), (1, 40), (40, 100)):
        job = replace(case.job, first=case.first + begin, networks=end - begin, row_first=begin)
        native.joint(case.kernel, job, case.layers, {**parts, "start": case.scaled_start}, 2, "auto", None)
    assert_same(whole, parts)


def test_two_inputs_have_the_bits_that_they_have_beside_a_third():
    for block in BLOCKS:
        three = Case(small(block, "balanced"), START).records()
        two = Case(small(block, "balanced"), START[:2, :2]).records()
        ours = {"gram": three["gram"][:, :3], "unit": three["unit"][:, :2], "log_scale": three["log_scale"][:, :1]}
        assert_same(two, three | ours)


def test_what_a_report_raises_stops_the_run():
    def report(fraction: float) -> None:
        raise RuntimeError("enough")

    case = Case(ResidualNetwork(100, 3000), START, 4000, backward=True)
    with pytest.raises(RuntimeError, match="enough"):
        case.records(threads=2, report=report)


# ------------------------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("inputs", 0, "'inputs' must be an integer from 1 to 16"),
        ("inputs", 17, "'inputs' must be an integer from 1 to 16"),
        ("tangents", 15, "'tangents' must be an integer from 0 to 14"),
        ("reorthogonalise", 0, "'reorthogonalise' must be"),
        ("networks", 0, "'networks' must be"),
        ("row", 19, "'row' is too short"),
        ("row_first", 1, "'row' is too short"),
        ("method", 2, "'method' must be"),
    ],
)
def test_the_extension_refuses_jobs_that_make_no_sense(entry, value, message):
    case = Case(small("phi-in", "relu"), START[:2, :2])
    arrays = {**case.empty(), "start": case.scaled_start}
    with pytest.raises(ValueError, match=message):
        native.joint(case.kernel, replace(case.job, **{entry: value}), case.layers, arrays, 1, "auto", None)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("start", np.array([[1.0, 0.1], [0.0, 1.0]]), "lower triangle"),
        ("start", np.array([[2.0, 0.0], [0.0, 1.0]]), "must begin with the network's size"),
        ("start", np.array([[1.0, 0.0], [0.0, np.nan]]), "finite"),
        ("start", np.eye(3), "'start' must have the shape"),
        ("gram", np.empty((5, 2, 20)), "'gram' must have the shape"),
        ("log_scale", np.empty((5, 2, 20)), "'log_scale' must have the shape"),
        ("unit", np.empty((5, 2, 20), np.int64), "'unit' must be a C-contiguous array of int32"),
        ("other", np.empty(3), "'other' is unknown"),
    ],
)
def test_the_extension_refuses_arrays_that_do_not_fit(name, array, message):
    case = Case(small("phi-in", "relu"), START[:2, :2])
    arrays = {**case.empty(), "start": case.scaled_start, name: array}
    with pytest.raises(ValueError, match=message):
        native.joint(case.kernel, case.job, case.layers, arrays, 1, "auto", None)


def test_explicit_inputs_are_not_projected():
    case = Case(ResidualNetwork(5, 3, weights="uniform", input=[1.0, 2.0]), START[:2, :2])
    with pytest.raises(ValueError, match="must be dense with an input"):
        case.records()


def test_thread_bytes_grow_with_columns_and_kept_layers():
    def bytes_of(**given: Any) -> int:
        case = Case(ResidualNetwork(50, 20), **{"start": START, **given})
        return native.joint_thread_bytes(case.kernel, case.job, "auto")

    assert bytes_of(start=START[:2, :2]) < bytes_of() < bytes_of(tangents=3) < bytes_of(backward=True)
