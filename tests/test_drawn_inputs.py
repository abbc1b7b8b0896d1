"""Several inputs that weights of any law meet one by one: input 0 as it is alone, and all as the twin has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from joint_kernels import DenseCase, differences

import resmc
from resmc.engine.joint import rows_of, start_of
from resmc.engine.lowering import lower
from resmc.engine.recording import JointRecording
from resmc.models.blocks import BLOCKS
from resmc.models.joint_inputs import JointInputs, of_inputs
from resmc.models.residual_network import ResidualNetwork

pytestmark = pytest.mark.cpu

LAWS = ("uniform", "rademacher", "truncated_normal", "student_t(5)")
X = np.random.default_rng(1).normal(size=(3, 5))
X[1] = X[0] + 1e-4 * X[1]


def case(block: str, activation: str, x: np.ndarray = X, networks: int = 10, **given: Any) -> DenseCase:
    """These inputs in networks of a kind, as the engine hands them to the kernels."""
    inputs = of_inputs(x, drawn=True)
    model = ResidualNetwork(7, 6, block, activation, 0.9, input=tuple(x[0].tolist()), **given)
    lowered, recording = lower(model), JointRecording(inputs)
    network = lowered.in_own_units(False)
    rows = rows_of(lowered, recording)["rows"]
    return DenseCase(model, start_of(lowered, network, recording), networks, backward=True, tangents=1, rows=rows)


def worst(found: dict[str, np.ndarray]) -> float:
    return max(float(one.max(initial=0.0)) for one in found.values())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("block", BLOCKS)
def test_inputs_that_are_drawn_are_those_of_the_twin(block, law):
    for activation, bias in (("relu", 0.0), ("tanh", 0.2)):
        one = case(block, activation, weights=law, bias=bias)
        found = differences(one.records(), one.twins())
        assert worst(found) < 1e-4, {name: a.max(initial=0.0) for name, a in found.items()}
    other = replace(one, rows=np.roll(one.rows, 1, axis=1))  # negative control
    assert worst(differences(other.records(), one.twins())) > 1e-2


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("block", BLOCKS)
def test_input_0_of_drawn_inputs_has_the_bits_that_it_has_alone(block, law):
    for activation, bias in (("relu", 0.0), ("gelu", 0.4)):
        one = case(block, activation, networks=40, weights=law, bias=bias)
        joint, alone = one.sums_of_input_0(), one.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


def test_weights_of_plus_and_minus_1_see_more_of_inputs_than_their_gram_matrix():
    network = {"width": 8, "depth": 1, "scaling": (0.0,), "weights": "rademacher", "block": "phi-in"}
    turned = np.array([[1.0, 1.0], [1.0, -1.0]])  # A x is 0 or +-2 where the other's is not
    assert np.array_equal(turned @ turned.T, 2.0 * np.eye(2))
    for x, apart in ((turned, True), (np.diag([2.0**0.5, 2.0**0.5]), False)):
        found = resmc.simulate(**network, networks=50, inputs=x, keep_samples=50).joint_samples.cosine[:, 0, 1]
        assert (not np.nan_to_num(found).any()) == apart


def test_a_small_difference_of_drawn_inputs_keeps_its_digits():
    x = np.array([[1.0, -0.5, 2.0], [1.0, -0.5, 2.0 + 1e-9]])
    network = {"width": 60, "depth": 1, "carry": 1.0, "scaling": (0.0,), "weights": "uniform", "block": "phi-in"}
    found = resmc.simulate(**network, networks=4, seed=2, inputs=x, keep_samples=4).joint_samples
    for number in range(4):
        A = resmc.ResidualNetwork(**network, input=x[0]).draw_weights(seed=2, network=number).A
        a, d = A @ x[0], A[:, 2] * (x[1, 2] - x[0, 2])
        across = d - a * (a @ d) / (a @ a)
        exact = np.log((across @ across) / (a @ a))
        assert abs(found.log_sine_squared[number, 0, 1] - exact) < 1e-5


def test_files_and_pages_keep_inputs_that_are_drawn(tmp_path):
    x = X[:, :3]
    asked = {"width": 8, "depth": 3, "weights": "student_t(4)", "block": "phi-in", "networks": 64}
    sim = resmc.simulate(**asked, inputs=x, tangent_kernel=True)
    sim.save(tmp_path / "run.resmc")
    again = resmc.load(tmp_path / "run.resmc")
    assert again.joint.recording == sim.joint.recording
    assert again.model.input == tuple(x[0].tolist())
    assert again.joint.recording.inputs.x == tuple(map(tuple, x.tolist()))
    repeated = resmc.simulate(sim.model, networks=64, inputs=x, tangent_kernel=True)
    np.testing.assert_array_equal(repeated.tangent_kernel().total.value, sim.tangent_kernel().total.value)
    other = resmc.simulate(**asked, first_network=64, inputs=x[:, ::-1], tangent_kernel=True)
    with pytest.raises(ValueError, match="input"):
        resmc.merge([sim, other])
    with pytest.raises(ValueError, match="x is not allowed"):
        JointInputs.from_dict(sim.joint.recording.inputs.to_dict() | {"x": (2.0 * x).tolist()})


def test_one_input_and_its_tangent_kernel_go_with_every_law():
    model = resmc.ResidualNetwork(12, 4, weights="uniform", input=(1.0, -2.0))
    found = resmc.simulate(model, networks=50, tangent_kernel=True, tangents=2, keep_trajectories=50)
    alone = resmc.simulate(model, networks=50, gradients=True, keep_trajectories=50)
    for one, other in zip(found.trajectories.ratios.values(), alone.trajectories.ratios.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.joint.recording.inputs.x == ((1.0, -2.0),)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"angle": 0.5}, "does not see the angle of inputs alone: give inputs"),
        ({"gram": np.eye(2)}, "beside a network with an input"),
        ({"inputs": [[1.0, 2.0], [0.0, 1.0]]}, "beside a network with an input"),
    ],
)
def test_what_says_another_input_than_the_network_s_is_refused(asked, message):
    model = resmc.ResidualNetwork(12, 4, weights="uniform", input=(1.0, -2.0))
    with pytest.raises(ValueError, match=message):
        resmc.simulate(model, networks=20, **asked)
