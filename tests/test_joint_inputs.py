"""Several inputs, tangents and the tangent kernel as asked for: what is refused, and what the first layer sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import FractionalNoise, ResidualNetwork, ResNet, Weights
from resmc.engine import memory
from resmc.engine.joint_request import Asked, joint_of
from resmc.models import joint_inputs
from resmc.models.joint_inputs import JointInputs, factor, of_angle, of_gram, of_inputs, of_size

pytestmark = pytest.mark.cpu
MODEL = ResNet(8, 3, 0.6, 0.8)
TANH = ResidualNetwork(8, 3, "phi-out", "tanh")
GRAM = [[1.0, 0.5], [0.5, 1.0]]


def rows(start: Any) -> np.ndarray:
    """Inputs, from rows of the first one and of differences."""
    out = np.array(start)
    out[1:] += out[0]
    return out


# -------------------------------------------------------------------------------------- what the first layer sees


@pytest.mark.parametrize("m", [1, 2, 5, 16])
def test_inputs_and_their_gram_matrix_make_one_first_layer(m: int):
    x = np.random.default_rng(m).standard_normal((m, 20)) + 1.0
    given, by_gram = of_inputs(x), of_gram(x @ x.T / 20)
    np.testing.assert_allclose(given.gram, x @ x.T / 20, rtol=1e-13)
    np.testing.assert_allclose(rows(given.start) @ rows(given.start).T, x @ x.T / 20, rtol=1e-12)
    np.testing.assert_allclose(given.start, by_gram.start, atol=1e-10)
    assert not np.triu(np.array(given.start), 1).any()
    units = rows(given.unit_start)
    np.testing.assert_allclose(units @ units.T, cosines(x), atol=1e-12)


def cosines(x: np.ndarray) -> np.ndarray:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("angle", [1e-12, 1e-6, 0.3, 2.0, math.pi])
@pytest.mark.parametrize("size", [1.0, 7.0])
def test_an_angle_keeps_all_its_digits(angle: float, size: float):
    found = of_angle(angle, size)
    across, along = found.unit_start[1, 1], found.unit_start[1, 0]
    assert math.atan2(across, 1.0 + along) == pytest.approx(angle, rel=1e-15)
    np.testing.assert_allclose(np.array(found.start), size * found.unit_start, rtol=1e-12, atol=1e-16 * size)
    if angle == 1e-12:  # the negative control: a Gram matrix in double precision has lost it
        assert not of_gram(found.gram).unit_start[1].any()


def test_inputs_of_nearly_one_direction_keep_the_digits_of_their_difference():
    x = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    x[1, 0] += 2.0**-40
    difference = np.array(of_inputs(x).start)[1]
    assert math.hypot(*difference) == pytest.approx(2.0**-40 / math.sqrt(3.0), rel=1e-12)


@pytest.mark.parametrize(
    ("gram", "unit"),
    [
        ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]),
        ([[9.0, -3.0], [-3.0, 1.0]], [[1.0, 0.0], [-2.0, 0.0]]),
        (np.ones((3, 3)), [[1.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3]),
    ],
)
def test_collinear_inputs_leave_columns_of_zeros(gram: Any, unit: Any):
    np.testing.assert_array_equal(of_gram(gram).unit_start, unit)


def test_a_semidefinite_matrix_is_its_factor_times_its_transpose():
    rng = np.random.default_rng(0)
    low = rng.standard_normal((6, 3))
    low[2] = 0.0
    gram = low @ low.T
    found = factor(gram)
    np.testing.assert_allclose(found @ found.T, gram, atol=1e-12)
    assert np.count_nonzero(np.diagonal(found)) == 3


def test_inputs_are_read_back_from_their_description():
    for found in (of_size(2.0), of_angle(1e-9, 3.0), of_inputs(np.random.default_rng(1).standard_normal((4, 9)))):
        assert JointInputs.from_dict(found.to_dict()) == found
    wrong = of_angle(0.5, 1.0).to_dict()
    wrong["start"] = [[1.0, 0.0], [0.5, 0.5]]
    with pytest.raises(ValueError, match="a factor of gram"):
        JointInputs.from_dict(wrong)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("gram", "match"),
    [
        ("a", "square array of real numbers"),
        ([[None, 1.0], [1.0, 2.0]], "gram with None in it"),
        ([[True, 0.5], [0.5, 1.0]], "gram with True in it"),
        (np.eye(2) > 0.0, "gram of booleans"),
        (np.ma.masked_array(np.eye(2)), "masked array"),
        ([[1.0, 0.5]], "must be square"),
        (np.eye(17), "1 to 16"),
        (np.zeros((0, 0)), "1 to 16"),
        ([[1.0, np.nan], [np.nan, 1.0]], "infinite numbers or NaN"),
        ([[0.0, 0.0], [0.0, 1.0]], "must be above 0"),
        ([[1.0, 0.5], [0.4, 1.0]], r"gram\[0, 1\]=0.5 and gram\[1, 0\]=0.4: it must be symmetric"),
        ([[1.0, 1.1], [1.1, 1.0]], "eigenvalue -0.1 beside 2.1"),
        ([[1.0, 0.0], [0.0, 1e-31]], "from 2\\^-50"),
        ([[1.0, 0.0], [0.0, 1e-13]], "within a factor of 2\\^20"),
    ],
)
def test_a_matrix_that_no_inputs_have_is_refused(gram: Any, match: str):
    with pytest.raises(ValueError, match=match):
        resmc.simulate(MODEL, networks=4, gram=gram, progress=False)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ([1.0, 2.0], r"must be \(m, n_in\)"),
        ([[1.0], [1.0, 2.0]], "array of real numbers"),
        ([[1.0, np.inf]], "infinite numbers or NaN"),
        ([[0.0, 0.0]], "not all may be 0"),
        ([[1.0, 0.0], [0.0, 0.0]], "input 1 of norm 0"),
        (np.ones((17, 2)), "1 to 16"),
    ],
)
def test_inputs_that_are_none_are_refused(inputs: Any, match: str):
    with pytest.raises(ValueError, match=match):
        resmc.simulate(MODEL, networks=4, inputs=inputs, progress=False)


def test_the_largest_angle_may_be_rounded_to_float32():
    assert float(np.float32(math.pi)) > math.pi
    assert of_angle(np.float32(math.pi), 1.0) == of_angle(math.pi, 1.0)


@pytest.mark.parametrize("angle", [math.pi + 1e-6, -0.1, 4.0, 1e-13, np.nan, "right"])
def test_an_angle_that_is_none_is_refused(angle: Any):
    with pytest.raises(ValueError, match="angle="):
        resmc.simulate(MODEL, networks=4, angle=angle, progress=False)


@pytest.mark.parametrize(
    ("model", "asked", "match"),
    [
        (MODEL, {"gram": GRAM, "angle": 0.5}, "angle is not allowed beside gram"),
        (MODEL, {"gram": np.eye(10), "tangents": 7}, "at most 16"),
        (MODEL, {"tangents": 16}, "an integer from 0 to 15"),
        (ResNet(3, 3, 0.6, 0.8), {"tangents": 4}, "at most the width"),
        (MODEL, {"tangents": True}, "tangents=True"),
        (MODEL, {"tangent_kernel": 1}, "tangent_kernel=1 is not allowed"),
        (MODEL, {"independent_backward": True}, "there is no backward pass"),
        (MODEL, {"gram": GRAM, "device": "cuda"}, "device='cuda' is not allowed with several inputs"),
        (MODEL, {"tangents": 2, "device": "cuda"}, "not allowed with tangents"),
        (ResNet(8, 3, 0.6, 0.8, input_norm=2.0), {"gram": GRAM}, "input_norm=2.0 is not allowed beside gram"),
        (ResidualNetwork(8, 3, input=[1.0, 2.0]), {"gram": GRAM}, "beside a network with an input"),
        (ResidualNetwork(8, 3, input=[1.0, 2.0], weights="uniform"), {"angle": 0.5}, "give inputs"),
        (ResidualNetwork(8, 3, weights=Weights(depth=FractionalNoise(0.3))), {"angle": 0.5}, "independent of each"),
        (TANH, {"gram": np.diag([1.0, 1e-8])}, "cannot be rescaled"),
    ],
)
def test_what_does_not_go_together_is_refused(model: Any, asked: dict[str, Any], match: str):
    with pytest.raises(ValueError, match=match):
        resmc.simulate(model, networks=4, progress=False, **asked)


def test_a_sweep_takes_the_matrix_of_inputs_alone():
    with pytest.raises(ValueError, match=r"give gram=x @ x.T / n_in of its rows x, or angle="):
        resmc.Sweep(width=[8], depth=3, alpha=0.6, lam=0.8, networks=32, inputs=np.eye(2))  # type: ignore[arg-type]


def test_memory_that_is_not_there_is_said_to_be_that_of_inputs_tangents_and_layers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1e5)
    for asked, cure in (
        ({"gram": GRAM, "tangents": 2}, "take fewer inputs or tangents or recorded layers, use fewer threads"),
        (
            {"tangent_kernel": True, "keep_trajectories": 3},
            "trajectories, take fewer recorded layers, use fewer threads",
        ),
    ):
        with pytest.raises(ValueError, match=cure):
            resmc.simulate(MODEL, networks=4, progress=False, **asked)


def test_a_size_that_is_said_twice_is_refused():
    for name, value in (("input_norm", 1.0), ("input", [1.0])):
        with pytest.raises(ValueError, match=f"{name} is not allowed beside gram"):
            resmc.simulate(width=8, depth=3, block="phi-in", networks=4, gram=GRAM, progress=False, **{name: value})


# -------------------------------------------------------------------------------------------------- what is asked


def test_the_first_input_is_that_of_the_network():
    model, asked = joint_of(MODEL, Asked(gram=[[4.0, 1.0], [1.0, 9.0]]), False)
    assert model.input_norm == 2.0
    assert asked is not None
    assert (asked.count, asked.pairs, asked.kernel, asked.tangents) == (2, 3, False, 0)
    same, asked = joint_of(ResNet(8, 3, 0.6, 0.8, input_norm=3.0), Asked(angle=0.5), False)
    assert same.input_norm == 3.0
    assert asked is not None
    np.testing.assert_allclose(asked.inputs.sizes, 3.0)


def test_nothing_is_asked_for_without_an_argument_and_one_input_may_have_a_kernel_or_tangents():
    assert joint_of(MODEL, Asked(), True) == (MODEL, None)
    for asked in (Asked(tangent_kernel=True), Asked(tangents=3), Asked(independent_backward=True)):
        _, found = joint_of(MODEL, asked, True)
        assert found is not None
        assert found.inputs == of_size(1.0)
        assert found.kernel


def test_norms_may_differ_more_where_networks_can_be_rescaled():
    gram = np.diag([1.0, 1e-8])
    assert joint_of(MODEL, Asked(gram=gram), False)[1] is not None
    joint_inputs.check_in_own_units(of_gram(np.diag([1.0, 1e-6])), "tanh", 0.0)
