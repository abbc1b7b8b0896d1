"""Inputs whose norms drift apart keep the digits of their angle: kernels against the twin, and against exact laws.

In homogeneous networks all inputs are brought to the norm of input 0 at every layer. Statistical tests compare with
bounds of z = 4.5, at fixed seeds: a false alarm has a probability of 7e-6 each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from joint_kernels import Case, Records, differences

import resmc
import resmc.reference.joint as twin
from resmc import DepthScaling, ResidualNetwork, ResNet, theory
from resmc.engine.joint_states import States
from resmc.experiments.gram_chain import gram_chain
from resmc.models.blocks import BLOCKS
from resmc.models.joint_inputs import of_angle
from resmc.reference.columns import Columns, levelled
from resmc.results import manifest, storage

pytestmark = pytest.mark.cpu
Z = 4.5
FULLY_CONNECTED = ResidualNetwork(32, 300, "phi-in", "relu", 0.0, DepthScaling(0.0, 2.0**0.5))
VANILLA = ResNet(50, 200, 0.5**0.5, 0.5**0.5)  # d/n = 4


def start_of(angle: float) -> np.ndarray:
    return np.array(of_angle(angle, 1.0).start)


def sines(records: Records) -> tuple[np.ndarray, np.ndarray]:
    """ln sin^2 of the angle of both inputs, and where it has digits, (R, N)."""
    found = []
    for gram, unit, scale in zip(records["gram"], records["unit"], records["log_scale"], strict=True):
        states = States(gram, unit, scale)
        with np.errstate(divide="ignore"):
            found.append(states.log_sine_squared(1, 0, [np.log(norm) for norm in states.norms]))
    logs, known = zip(*found, strict=True)
    return np.array(logs), np.array(known)


# ------------------------------------------------------------------------------------------------ the twin


@pytest.mark.parametrize("angle", [1.0, 1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("model", [FULLY_CONNECTED, VANILLA])
def test_angles_of_deep_networks_are_those_of_the_twin(model: Any, angle: float):
    case = Case(model, start_of(angle), 16)
    (ours, known), (twins, theirs) = sines(case.records()), sines(case.twins())
    assert known.all()
    assert theirs.all()
    away = np.abs(ours - twins).max(axis=0)
    assert np.median(away) < 1e-4, away
    assert (away > 1e-4).sum() <= 1, away  # a mask has flipped: contract 3


def test_without_levels_the_same_angles_are_lost(monkeypatch: pytest.MonkeyPatch):
    """The negative control, in float64: columns that are along h^0 to 1e-6 are multiples of it for a matrix.

    It is the smaller angles that are lost.
    """
    monkeypatch.setattr(twin, "_levels", lambda model: False)
    case = Case(FULLY_CONNECTED, start_of(1e-3), 16)
    (ours, known), (twins, theirs) = sines(case.records()), sines(case.twins())
    assert known.all()
    lost = ~theirs[-1]
    assert 2 < lost.sum() < 14
    assert ours[-1, lost].mean() < ours[-1, ~lost].mean() - 5.0
    np.testing.assert_allclose(ours[:2], twins[:2], atol=1e-4)


@pytest.mark.parametrize("block", BLOCKS)
def test_scales_come_back_in_the_tangent_kernel_through_segments(block: str):
    model = ResidualNetwork(32, 50, block, "relu", 0.6, DepthScaling(0.0, 0.9))
    case = Case(model, start_of(2.0), 20, backward=True, segment=7)
    ours = case.records()
    assert np.abs(ours["log_scale"][-1]).max() > 0.2
    for name, found in differences(ours, case.twins()).items():
        away = found.reshape(-1, case.networks).max(axis=0, initial=0.0)
        assert np.median(away) < 1e-4, (name, away)


# ------------------------------------------------------------------------------------------------ exact laws


def assert_law(value: float, stderr: float, exact: float) -> None:
    assert np.isfinite(stderr)
    assert abs(value - exact) < Z * stderr, (value, stderr, exact)


@pytest.mark.parametrize(("width", "depth"), [(8, 100), (32, 300)])
def test_deep_networks_have_the_exact_law_of_small_angles(width: int, depth: int):
    """In narrow ones a single neuron is active in some layer of most: angles are then 0, and none is unresolved."""
    sim = resmc.simulate(
        ResNet(width, depth, 0.0, 1.0), networks=2048, seed=7, angle=1e-6, layers=range(depth + 1), progress=False
    )
    found = sim.angles()
    np.testing.assert_array_equal(found.unresolved, 0)
    np.testing.assert_array_equal(found.alive - found.separated - found.together, 0)
    alive = found.alive[-1, 0, 1]
    law = theory.small_angle(sim.model)
    mean, variance = found.log_sine_squared[-1, 0, 1], found.log_sine_squared_variance[-1, 0, 1]
    assert_law(float(mean.value), float(mean.stderr), float(found.small_angle[-1, 0, 1]))
    assert_law(float(variance.value), float(variance.stderr), float(law.variance[-1]))
    assert (found.together[-1, 0, 1] > alive // 2) == (width == 8)


def test_pairs_without_input_0_have_the_law_that_pairs_with_it_have():
    x = np.array([[1.0, 0.0, 0.0], [1.0, 1e-6, 0.0], [1.0, 0.0, 1e-6]])
    sim = resmc.simulate(ResNet(32, 300, 0.0, 1.0), networks=1024, seed=12, inputs=x, layers=[0, 300], progress=False)
    found = sim.angles()
    np.testing.assert_array_equal(found.unresolved, 0)
    for a, b in ((1, 0), (2, 0), (2, 1)):
        mean = found.log_sine_squared[-1, a, b]
        assert_law(float(mean.value), float(mean.stderr), float(found.small_angle[-1, a, b]))


def test_states_are_on_one_line_as_often_as_a_single_neuron_is_active():
    """Of networks that are alive, given that neuron counts K >= 1 are binomial and independent."""
    width, depth, networks = 6, 10, 20_000
    model = ResNet(width, depth, 0.0, 1.0)
    found = resmc.simulate(model, networks=networks, seed=8, angle=1e-7, progress=False).angles()
    share = (2.0**-width * width) / (1.0 - 2.0**-width)  # of K = 1 in a layer that leaves the network alive
    exact = 1.0 - (1.0 - share) ** depth
    alive = int(found.alive[-1, 0, 1])
    assert_law(found.together[-1, 0, 1] / alive, (exact * (1.0 - exact) / alive) ** 0.5, exact)
    np.testing.assert_array_equal(found.together[0, 0, 1], 0)
    np.testing.assert_array_equal(found.unresolved, 0)


def test_explicit_weights_have_the_law_that_projected_ones_have():
    model = ResidualNetwork(16, 60, "v-phi-w", "relu", 0.0, DepthScaling(0.0, 2.0**0.5))
    both = [
        resmc.simulate(model, networks=512, seed=9 + i, angle=1e-4, method=method, layers=[0, 60], progress=False)
        for i, method in enumerate(("projected", "dense"))
    ]
    angles = [sim.angles() for sim in both]
    for found in angles:
        np.testing.assert_array_equal(found.unresolved, 0)
    for name in ("log_sine_squared", "log_sine_squared_variance"):
        x, y = (getattr(found, name)[-1, 0, 1] for found in angles)
        assert_law(float(x.value - y.value), float(np.hypot(x.stderr, y.stderr)), 0.0)
    norms = [sim.joint_log_norms().mean[-1, 1] for sim in both]
    x, y = norms
    assert_law(float(x.value - y.value), float(np.hypot(x.stderr, y.stderr)), 0.0)


def test_the_gram_chain_keeps_the_digits_of_deep_networks():
    model = ResidualNetwork(20, 300, "v-phi-w", "relu", 0.0, DepthScaling(0.0, 2.0**0.5))
    found = gram_chain(model, of_angle(1e-9, 2.0), 400, seed=10).log_sine_squared[-1, 0]
    found = found[found > -np.inf]
    exact = 2.0 * np.log(1e-9) + theory.small_angle(model).mean[-1]
    assert exact < -70.0
    assert_law(found.mean(), found.std(ddof=1) / len(found) ** 0.5, exact)


# ------------------------------------------------------------------------------------------------ levels themselves


def test_levels_take_the_ratio_of_norms_and_leave_what_is_across():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 4, 12))
    x[:, 1:] *= np.array([0.3, 1e-9, 1.0])[:, None]
    x[:, 3] -= x[:, 0] * 0.7
    x[0, 2] = 0.0
    log = np.array([0.2, -300.0, 0.1, 0.0]) + np.zeros((5, 4))
    before = Columns(x, log[:, :, None])
    after, lost = levelled(before, 4, skip=True)
    first = np.exp(log[0, 0]) * x[:, 0]
    size = np.linalg.norm(first, axis=1)
    for a in (2, 3):
        was = first + np.exp(log[0, a]) * x[:, a]
        now = first + np.exp(after.log[:, a]) * after.v[:, a]
        np.testing.assert_allclose(np.exp(lost[:, a])[:, None] * now, was, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(np.linalg.norm(now, axis=1), size, rtol=1e-13)
    # An infinitely small difference loses what it has along input 0.
    along = (
        np.sum(after.v[:, 1] * x[:, 0], axis=1)
        / np.linalg.norm(after.v[:, 1], axis=1)
        / np.linalg.norm(x[:, 0], axis=1)
    )
    np.testing.assert_allclose(along, 0.0, atol=1e-14)


@pytest.mark.parametrize("skip", [False, True])
def test_states_on_one_line_are_left_or_joined(skip: bool):
    x = np.random.default_rng(2).standard_normal((3, 1, 9)) * np.array([1.0, 2.0, -2.0, -1.0, -0.5])[:, None]
    after, lost = levelled(Columns(x, np.zeros((3, 5, 1))), 5, skip)
    ratio = np.array([1.0, 3.0, 1.0, 1.0, 0.5])  # opposite ones and one that is 0 are left alone
    np.testing.assert_allclose(lost, np.zeros((3, 5)) + (0.0 if skip else np.log(ratio)), atol=1e-12)
    there = np.any(after.v != 0.0, axis=2)
    np.testing.assert_array_equal(there, np.zeros((3, 5), bool) + (True if skip else np.array([1, 0, 1, 1, 0], bool)))


# ------------------------------------------------------------------------------------------------ files and sweeps


def old(sim: resmc.Simulation) -> resmc.Simulation:
    """The simulation as it was saved before inputs were brought to one norm."""
    assert sim.joint is not None
    recording = replace(sim.joint.recording, version=1)
    together = np.zeros_like(sim.joint.together)
    return replace(sim, joint=replace(sim.joint, recording=recording, together=together))


def test_files_of_the_first_version_are_read_and_do_not_merge_with_others():
    sims = [
        resmc.simulate(ResNet(4, 20, 0.0, 1.0), networks=256, first_network=at, seed=11, angle=1e-3, progress=False)
        for at in (0, 256)
    ]
    assert sims[0].joint is not None
    lost = sims[0].joint.together.sum(axis=0)
    assert lost.any()
    found = storage.from_bytes(storage.to_bytes(old(sims[0])), resmc.Simulation)
    assert found.joint is not None
    assert found.joint.recording.version == 1
    np.testing.assert_array_equal(found.joint.together, 0)
    assert "version" not in found.joint.recording.to_dict()
    again = storage.from_bytes(storage.to_bytes(sims[0]), resmc.Simulation)
    assert again.joint is not None
    assert again.joint.recording.version == 2
    np.testing.assert_array_equal(again.joint.together, sims[0].joint.together)
    with pytest.raises(ValueError, match="different versions of several inputs do not merge: 1 and 2"):
        resmc.merge(old(sims[0]), sims[1])
    np.testing.assert_array_equal(old(sims[0]).angles().unresolved[:, 1, 0], lost[:, 1])
    assert resmc.merge(*sims).angles().together[-1, 1, 0] > 0


def test_files_of_a_version_that_there_is_not_are_refused():
    sim = resmc.simulate(ResNet(4, 3, 0.0, 1.0), networks=64, angle=1.0, progress=False)
    assert sim.joint is not None
    later = replace(sim, joint=replace(sim.joint, recording=replace(sim.joint.recording, version=3)))
    with pytest.raises(ValueError, match=r"joint.version=3 .* must be an integer from 2 to 2"):
        storage.from_bytes(storage.to_bytes(later), resmc.Simulation)
    with pytest.raises(ValueError, match=r"joint.version is not allowed with one input"):
        manifest._joint_version({"version": 2}, 1)
    for version in ("2", 2.0, True, None):
        with pytest.raises(ValueError, match=r"joint.version=.* must be an integer"):
            manifest._joint_version({"version": version}, 2)


def test_sweeps_simulate_several_inputs_anew_and_nothing_else():
    """Shards of the first version have keys without one; of one input, keys are what they were."""
    for gram, stays in (([[1.0, 0.5], [0.5, 1.0]], False), (None, True)):
        plan = resmc.Sweep(
            width=8, depth=4, alpha=0.0, lam=1.0, networks=64, layers=4, gram=gram, tangent_kernel=True, seed=1
        )
        point = plan.point(0, 64)
        assert point.joint is not None
        before = replace(point, joint=replace(point.joint, version=1))
        assert (before.key == point.key) == stays
