"""Ordinary equations as limits in depth: each network against its own equation, closed forms, and wrong equations.

Slopes are those of 32 networks, seeds fixed and none tried and replaced. A slope's bound is .05 and 4 of its standard
errors; a right one fails with probability 2e-4 (Student's t of 31 degrees), 10 of them by .2% in all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import expm

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights, theory
from resmc.experiments.convergence import convergence
from resmc.experiments.networks import OneNetwork
from resmc.experiments.ode_limit import distances_from, solved
from resmc.reference import simulate_residual

SMOOTH = {
    "values": Weights(depth=SmoothProcess(0.5)),
    "increments": Weights(depth=SmoothProcess(0.5, "increments")),
    "tied": Weights(depth="tied"),
}
INSIDE = DepthScaling(1.0, 1.0, inside=True)
BLOCKS = {
    "v-phi-w, tanh": {"block": "v-phi-w", "activation": "tanh", "bias": 0.5},
    "v-phi-w, relu": {"block": "v-phi-w"},
    "phi-out, tanh": {"block": "phi-out", "activation": "tanh", "scaling": DepthScaling(1.0, 2.0)},
    "phi-out, relu": {"block": "phi-out"},
    "phi-out, inside, gelu": {"block": "phi-out", "activation": "gelu", "scaling": DepthScaling(1.0, 2.0, inside=True)},
    "phi-out, inside, relu": {"block": "phi-out", "scaling": replace(INSIDE, c=-1.0)},
    "phi-in, relu": {"block": "phi-in", "bias": 0.3},
}


def network(width: int = 6, weights: str | Weights = SMOOTH["values"], **other: Any) -> ResidualNetwork:
    return ResidualNetwork(width, other.pop("depth", 50), weights=weights, **{"scaling": DepthScaling(1.0), **other})


def slopes_are_right(found: resmc.OdeLimit) -> bool:
    slopes = [found.convergence.forward_slope, found.convergence.backward_slope]
    print("ODE", found.model.title, *slopes)
    return all(abs(s.value + found.ode.order) < min(0.05, 4.0 * s.stderr + 0.01) for s in slopes)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("v-phi-w, tanh", "values"),
        pytest.param("phi-out, tanh", "increments", marks=pytest.mark.long),
        ("phi-out, inside, gelu", "values"),
        ("phi-in, relu", "tied"),
    ],
)
def test_networks_tend_to_their_own_equations_like_one_over_depth(name: str, version: str) -> None:
    model = network(weights=SMOOTH[version], **BLOCKS[name])
    assert slopes_are_right(resmc.limit(model, seed=100, depths=(64, 128, 256), progress=False))


@pytest.mark.long
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("version", SMOOTH)
def test_networks_of_width_20_tend_to_their_own_equations_like_one_over_depth(name: str, version: str) -> None:
    weights = SMOOTH[version] if version == "tied" else Weights(depth=SmoothProcess(version=version))
    found = resmc.limit(network(20, weights, **BLOCKS[name]), seed=101, progress=False)
    print("ODE", found.model.title, found.convergence)
    for slope in (found.convergence.forward_slope, found.convergence.backward_slope):
        assert abs(slope.value + 1.0) < 0.05


@pytest.mark.parametrize("name", ["v-phi-w, relu", "phi-out, inside, gelu", "phi-in, relu"])
@pytest.mark.parametrize("version", SMOOTH)
def test_the_networks_beside_their_equations_are_those_of_a_simulation(name: str, version: str) -> None:
    model = network(weights=SMOOTH[version], **BLOCKS[name])
    twin = simulate_residual(model, 2, seed=7, first_network=3, method="dense", layers=[0, model.depth])
    for i in range(2):
        one = OneNetwork(model, 7, 3 + i, model.depth)
        ends = one.followed(model.depth, gradients=True)
        for x, start, log in (
            (ends.moved, one.h0, twin.log_displacement[i, -1]),
            (ends.pulled, one.p1, twin.log_gradient_displacement[i, 0]),
        ):
            assert abs(np.log(np.sum(x**2) / np.sum(start**2)) - log) < 1e-11


WRONG = {
    "a factor that is 5% off": lambda ode: replace(ode, c=1.05 * ode.c),
    "values instead of increments": lambda ode: replace(ode, process=SmoothProcess(0.5)),
}


@pytest.mark.parametrize("control", WRONG)
def test_networks_do_not_tend_to_a_wrong_equation(control: str) -> None:
    """The negative controls: the distance stops falling, and the slope leaves its bound by far."""
    model, depths = network(weights=SMOOTH["increments"], **BLOCKS["phi-out, tanh"]), (64, 256)
    right = theory.depth_ode(model)
    wrong = WRONG[control](right)
    found = np.empty((2, len(depths), 6))
    for i in range(6):
        one = OneNetwork(model, 100, i, depths[-1])
        ends = [one.followed(depth, gradients=True) for depth in depths]
        if wrong.process != right.process:
            one.path.process = wrong.process
        limits = solved(wrong, one, gradients=True)
        found[:, :, i] = np.transpose([distances_from(limits, one, end) for end in ends])
    slopes = convergence(depths, *found, (1.0, 1.0))
    assert slopes.forward_slope.value > -0.1
    assert slopes.backward_slope.value > -0.1


def test_independent_layers_tend_to_no_curve_at_all() -> None:
    """The control that smoothness matters: at beta = 1/2 networks of depths L and 2 L that share noise stay apart."""
    model = network(weights="gaussian", block="phi-out", activation="tanh", scaling=DepthScaling(0.5))
    with pytest.raises(ValueError, match="no ordinary equation"):
        theory.depth_ode(model)
    apart = []
    for i in range(32):
        one = OneNetwork(model, 0, i, 512)
        ends = [one.followed(depth, gradients=False).moved for depth in (256, 512)]
        apart.append(np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(one.h0 + ends[1]))
    assert np.median(apart) > 0.1


def test_one_linear_neuron_is_the_exponential_of_its_weight() -> None:
    """Width 1, linear: H(1) = H(0) exp(c w) tied, and exp(c int_0^1 X dt) smooth, c length (X(1) - X(0)) increments."""
    for version, block in zip(SMOOTH, ("phi-in", "phi-out", "phi-in"), strict=True):
        model = network(1, SMOOTH[version], block=block, activation="linear", scaling=DepthScaling(1.0, 1.5))
        one = OneNetwork(model, 3, 5, 1)
        limits = solved(theory.depth_ode(model), one, gradients=True)
        weight = lambda t: float(one.path.at(t)[0])  # noqa: B023, E731
        exact = quad(weight, 0.0, 1.0, epsabs=1e-12)[0]
        if version == "increments":
            basis = one.path.series.basis(np.array([0.0, 1.0])).reshape(2, -1) @ one.path.coefficients
            assert abs(exact - 0.5 * float(basis[1, 0] - basis[0, 0])) < 1e-9
        for start, change in ((one.h0, limits.moved), (one.p1, limits.pulled)):
            assert abs(float(change[0, 0] / start[0, 0]) / np.expm1(1.5 * exact) - 1.0) < 1e-6


def test_tied_linear_networks_end_at_the_exponential_of_their_matrix() -> None:
    model = network(5, SMOOTH["tied"], block="phi-out", activation="linear", scaling=DepthScaling(1.0, -0.7))
    one = OneNetwork(model, 3, 5, 1)
    limits = solved(theory.depth_ode(model), one, gradients=True)
    flow = expm(-0.7 * one.at(0.0).W)
    np.testing.assert_allclose(one.h0 + limits.moved, flow @ one.h0, rtol=1e-6)
    np.testing.assert_allclose(one.p1 + limits.pulled, flow.T @ one.p1, rtol=1e-6)


@pytest.mark.parametrize("name", ["v-phi-w, tanh", "phi-out, inside, gelu", "phi-in, relu"])
def test_the_gradient_of_the_equation_is_the_derivative_of_its_end(name: str) -> None:
    model = network(4, **BLOCKS[name])
    ode, direction, step = theory.depth_ode(model), np.array([0.3, -1.0, 0.5, 0.8]), 1e-3
    one = OneNetwork(model, 3, 5, 1)
    ends = []
    for sign in (1.0, -1.0):
        beside = OneNetwork(model, 3, 5, 1)
        beside.h0 = one.h0 + sign * step * direction[:, None]
        ends.append(float(np.vdot(one.p1, beside.h0 + solved(ode, beside, gradients=False).moved)))
    exact = float(direction @ (one.p1 + solved(ode, one, gradients=True).pulled).ravel())
    assert abs((ends[0] - ends[1]) / (2.0 * step) - exact) < 1e-3 * abs(exact)


def test_vanishing_noise_leaves_the_trend_s_equation_and_slows_the_way_to_it() -> None:
    """Noise of H = .3 at b_2 = .9 falls like L^-.6, which is the order of the distance."""
    mixture = Mixture(SmoothProcess(0.5), FractionalNoise(0.3), betas=(1.0, 0.9))
    model = network(weights=Weights(depth=mixture), block="phi-in", activation="tanh", scaling=DepthScaling(0.0))
    found = resmc.limit(model, seed=100, depths=(128, 256, 512), progress=False)
    assert found.ode.order == pytest.approx(0.6)
    for slope in (found.convergence.forward_slope, found.convergence.backward_slope):
        assert abs(slope.value + 0.6) < 4.0 * slope.stderr + 0.03


def test_the_summary_says_equation_and_slopes_and_the_seed_alone_makes_the_numbers() -> None:
    calls: list[tuple[int, int]] = []
    model = network(3, SMOOTH["tied"], **BLOCKS["phi-out, tanh"])

    def run(seed: int) -> resmc.OdeLimit:
        return resmc.limit(
            model, networks=3, seed=seed, depths=(10, 20), progress=lambda done, of: calls.append((done, of))
        )

    found = run(1)
    text = str(found.summary())
    assert "dH/dt = c sigma(W(t) H)" in text
    assert "which tends to -1 as L grows" in text
    assert np.isnan(found.growth.mean.stderr)  # three networks have no error
    assert np.isnan(found.convergence.forward_slope.stderr)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal(found.convergence.forward, run(1).convergence.forward)
    assert not np.isin(found.growth.samples, run(2).growth.samples).any()
    half = resmc.limit(model, networks=3, seed=1, depths=(10, 20), gradients=False, progress=False)
    np.testing.assert_array_equal(half.convergence.forward, found.convergence.forward)
    assert half.gradient is None
    assert half.convergence.backward is None


def test_what_the_same_networks_have_is_dependent_and_two_seeds_are_not() -> None:
    model = network(2, SMOOTH["tied"], **BLOCKS["phi-out, tanh"])
    found, other = (
        resmc.limit(model, networks=32, seed=seed, depths=(4, 8), progress=False).convergence for seed in (1, 2)
    )
    assert np.isfinite(found.forward_slope.stderr)
    assert np.isnan((found.forward_slope - found.backward_slope).stderr)
    between = float((found.forward_slope - other.forward_slope).stderr)
    assert between == pytest.approx(np.hypot(found.forward_slope.stderr, other.forward_slope.stderr))


def test_a_start_that_all_share_is_the_start() -> None:
    model = network(3, SMOOTH["tied"], block="phi-out", activation="linear")
    h0 = np.array([1.0, 0.0, 0.0])
    found = resmc.limit(model, networks=2, depths=(4, 8), h0=h0, progress=False)
    for i in range(2):
        end = expm(OneNetwork(model, 0, i, 1).at(0.0).W) @ h0
        assert abs(found.growth.samples[i] - np.log(end @ end)) < 1e-6


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_quotients_of_homogeneous_networks_do_not_depend_on_the_size_of_the_start(size: float) -> None:
    model, h0 = network(3, SMOOTH["tied"], block="v-phi-w"), np.array([1.0, -0.5, 2.0])
    one, other = (resmc.limit(model, networks=2, depths=(4, 8), h0=c * h0, progress=False) for c in (1.0, size))
    np.testing.assert_allclose(other.growth.samples, one.growth.samples, atol=1e-6)
    np.testing.assert_allclose(other.convergence.forward, one.convergence.forward, rtol=1e-3)


def test_small_changes_keep_their_digits() -> None:
    """c = 2^-30 and linear: the displacement is c |W h_0| to first order."""
    model = network(4, SMOOTH["tied"], block="phi-out", activation="linear", scaling=DepthScaling(1.0, 2.0**-30))
    one = OneNetwork(model, 0, 0, 1)
    found = resmc.limit(model, networks=1, depths=(4, 8), progress=False)
    step = 2.0**-30 * one.at(0.0).W @ one.h0
    assert abs(found.displacement.samples[0] - np.log(np.sum(step**2) / np.sum(one.h0**2))) < 1e-6


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("steps=400 is not allowed: SciPy", {"steps": 400}),
        ("depths=10 is not allowed", {"depths": 10}),
        (r"depths=\(20, 10\) is not allowed", {"depths": (20, 10)}),
        ("depths=0 is out of range", {"depths": (0, 10)}),
        ("networks=0", {"networks": 0}),
        (r"h0 of shape \(4,\)", {"h0": np.ones(4)}),
        ("out of range: the states of one network", {"depths": (10, (1 << 20) - 1)}),
    ],
)
def test_bad_arguments_are_value_errors(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        resmc.limit(network(80, SMOOTH["tied"], block="phi-out", activation="tanh"), progress=False, **given)


def test_independent_weights_have_no_depths_to_compare() -> None:
    with pytest.raises(ValueError, match=r"depths=\(10, 20\) is not allowed: the limit of independent weights"):
        resmc.limit(ResidualNetwork(3, 10), depths=(10, 20))


def test_a_path_of_too_many_terms_is_refused_with_its_size() -> None:
    short = network(150, Weights(depth=SmoothProcess(0.001)), block="phi-out", activation="tanh")
    with pytest.raises(ValueError, match=r"width=150 is out of range: the \d+ terms of 22500 entries .* GiB"):
        resmc.limit(short, networks=1, depths=(10, 20), progress=False)


def test_an_equation_that_a_solver_does_not_come_to_the_end_of_is_refused(monkeypatch):
    monkeypatch.setattr("resmc.experiments.ode_limit.MOST_EVALUATIONS", 2000)
    model = ResidualNetwork(4, 20, scaling=DepthScaling(1.0, 100.0), weights=Weights(depth=SmoothProcess()))
    with pytest.raises(ValueError, match=r"c=100.0 is too large for the equation of network \d+: SciPy's solver has"):
        resmc.limit(model, networks=4, depths=[8, 16], progress=False)
