"""Angles that have lost their digits: counted, without errors; told from those of states on one line.

Statistical tests compare with bounds of z = 4.5, at fixed seeds: a false alarm has a probability of 7e-6 each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Simulation, theory
from resmc.analyses import Angles
from resmc.results.joint_estimates import JointEstimates

pytestmark = pytest.mark.cpu
Z = 4.5


def run(model: Any, networks: int = 256, **asked: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, seed=5, progress=False, **asked)


def has_errors(found: Angles, pair: tuple[int, int] = (1, 0)) -> np.ndarray:
    """Say at which layers ln sin^2 has an error; so has its variance there."""
    mean, variance = (x.stderr[:, *pair] for x in (found.log_sine_squared, found.log_sine_squared_variance))
    np.testing.assert_array_equal(np.isfinite(mean), np.isfinite(variance))
    return np.asarray(np.isfinite(mean))


# ------------------------------------------------------------------------------------------------ deep and narrow


def test_deep_narrow_networks_have_no_error_of_an_angle_that_some_of_them_have_lost():
    """Weights +-1 are not brought to one norm, as sums of them that are 0 would not stay so."""
    narrow = ResidualNetwork(16, 200, "phi-in", "relu", 0.0, DepthScaling(0.0, 2.0**0.5), "rademacher")
    found = run(narrow, angle=1.0, layers=[0, 5, 200], method="dense").angles()
    lost = found.unresolved[:, 0, 1]
    np.testing.assert_array_equal(lost + found.separated[:, 0, 1], found.alive[:, 0, 1])
    np.testing.assert_array_equal(lost[:2], 0)
    assert lost[2] > 100
    np.testing.assert_array_equal(has_errors(found), [True, True, False])
    assert np.isfinite(found.cosine.stderr[:, 0, 1]).all()
    # From an angle of 0.3 at layer 5 on, the mean moves at least by the law of small angles: the survivors' is above.
    model = ResNet(16, 195, 0.0, 1.0)
    assert (
        found.log_sine_squared.value[2, 0, 1]
        > found.log_sine_squared.value[1, 0, 1] + theory.small_angle(model).mean[-1]
    )
    (note,) = found._table().notes
    assert f"has lost its digits in {lost[2]} networks of {found.alive[2, 0, 1]} at layer 200" in note
    assert note.endswith("From layer 200 on it has no error bar, and is itself unresolved.")


def test_networks_that_keep_all_angles_have_all_errors():
    """The negative control."""
    found = run(ResNet(64, 10, 0.0, 1.0), gram=[[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]]).angles()
    np.testing.assert_array_equal(found.unresolved, 0)
    for pair in ((1, 0), (2, 0), (2, 1)):
        assert has_errors(found, pair).all()
    assert not found._table().notes


def test_one_lost_network_leaves_no_error_from_its_layer_on():
    sim = run(ResNet(32, 3, 0.0, 1.0), angle=1.0)
    assert sim.joint is not None
    separated = sim.joint.separated.copy()
    separated[4, 1, 1] -= 1
    found = replace(sim, joint=replace(sim.joint, separated=separated)).angles()
    np.testing.assert_array_equal(found.unresolved[:, 1, 0], [0, 1, 0, 0])
    np.testing.assert_array_equal(has_errors(found), [True, False, False, False])
    assert found._table().notes[0].endswith("From layer 1 on it has no error bar.")


# ------------------------------------------------------------------------------------- two inputs besides input 0


def beside(angle: float) -> list[list[float]]:
    """Three inputs of one size, the last two of which are far from the first and at this angle."""
    return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, np.cos(angle), np.sin(angle)]]


@pytest.mark.parametrize("angle", [1.0, 1e-2, 1e-3])
def test_an_angle_has_one_law_whichever_pair_of_inputs_has_it(angle: float):
    model = ResNet(32, 4, 0.0, 1.0)
    pair = run(model, 1024, inputs=beside(angle)).angles()
    first = resmc.simulate(model, networks=1024, seed=6, angle=angle, progress=False).angles()
    assert has_errors(pair, (2, 1)).all()
    x, y = pair.log_sine_squared[:, 2, 1], first.log_sine_squared[:, 1, 0]
    away = np.abs(x.value - y.value) / np.hypot(x.stderr, y.stderr)
    assert away.max() < Z
    assert (np.abs(x.value - pair.log_sine_squared.value[:, 1, 0]) / x.stderr).max() > 3.0 * Z or angle == 1.0


@pytest.mark.parametrize("angle", [2e-6, 1e-7, 1e-9])
def test_an_angle_far_below_the_distance_to_input_0_is_unresolved(angle: float):
    found = run(ResNet(32, 4, 0.6, 0.8), inputs=beside(angle)).angles()
    np.testing.assert_array_equal(found.unresolved[:, 2, 1], 256)
    assert not has_errors(found, (2, 1)).any()
    np.testing.assert_array_equal(found.unresolved[:, 1:, 0], 0)
    # The negative control: it is known where one of the two is input 0.
    close = run(ResNet(32, 4, 0.6, 0.8), angle=angle).angles()
    np.testing.assert_array_equal(close.unresolved, 0)
    assert has_errors(close).all()


# ------------------------------------------------------------------------------------------------------- one line


@pytest.mark.parametrize(
    ("model", "stay"),
    [
        (ResNet(16, 3, 0.6, 0.8), False),
        (ResidualNetwork(16, 3, "v-phi-w", "linear"), True),
        (ResidualNetwork(16, 3, "phi-in", "tanh"), True),
        (ResidualNetwork(16, 3, "phi-in", "tanh", bias=0.3), False),
    ],
)
def test_equal_and_opposite_inputs_are_on_one_line_and_not_unresolved(model: Any, stay: bool):
    """Equal ones stay equal, opposite ones stay so where the network is odd; no angle is lost in either case."""
    found = run(model, 64, inputs=[[1.0, 0.0], [0.2, 1.0], [0.2, 1.0], [-0.2, -1.0], [-1.0, 0.0]]).angles()
    np.testing.assert_array_equal(found.unresolved, 0)
    np.testing.assert_array_equal(found.separated[:, 2, 1], 0)
    for a, b in ((4, 0), (3, 1), (3, 2)):
        np.testing.assert_array_equal(found.separated[:, a, b], [0] + [0 if stay else 64] * 3)
    np.testing.assert_array_equal(found.separated[:, 1, 0], 64)


def test_a_single_neuron_has_no_angles():
    sim = run(ResidualNetwork(1, 2, "v-phi-w"), 64, angle=1.0)
    assert sim.joint is not None
    np.testing.assert_array_equal(JointEstimates(sim.joint, sim.lowered, sim.layers).unresolved, 0)


# --------------------------------------------------------------------------------------------------------- tables


def test_theory_beside_small_numbers_is_not_shown_as_0():
    model = ResidualNetwork(16, 2, "v-phi-w", "linear")
    for size in (1e-20, 1.0, 1e20):
        sim = run(model, 64, gram=size * np.eye(2), tangent_kernel=True)
        for found, value in ((sim.output_covariance(), 1.0), (sim.tangent_kernel(), 7.5)):
            shown = [row[3] for row in found._table().rows]
            assert f"{value * size:.6g}" in shown
            assert "0" in shown  # of different inputs, by symmetry
