"""Networks against their ordinary equations: distances, the bounds that they stay below, and slopes in the depth."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights
from resmc.experiments.networks import OneNetwork
from resmc.experiments.ode.groups import Setting
from resmc.experiments.ode.trajectories import Equation
from resmc.ode import WeightFunction, distance

pytestmark = pytest.mark.cpu

SMOOTH = Weights(depth=SmoothProcess())
ONE = DepthScaling(1.0)


def network(width: int = 6, **fields: Any) -> ResidualNetwork:
    return ResidualNetwork(width, 1, **({"scaling": ONE, "weights": SMOOTH, "activation": "tanh"} | fields))


def equation(model: ResidualNetwork, depth: int, seed: int = 0, interpolation: str = "linear") -> Equation:
    """The equation of network 0 at the last of an experiment's depths."""
    setting = Setting(model, [depth], seed, interpolation, None)
    members = setting.members(range(1))
    starts = np.stack([one.h0 * one.unit for one in members])
    return Equation(replace(model, depth=depth), depth, setting.over_time(members, depth), starts, [0])


# ---- the bounds ------------------------------------------------------------------------------------------------------

BLOCKS = ("phi-in", "phi-out", "v-phi-w")
ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "linear", "leaky_relu", "silu", "centred_softplus")
DEPENDENCES = (
    SmoothProcess(), SmoothProcess(0.3, "increments"), SmoothProcess(0.05), "tied", "iid", FractionalNoise(0.3),
    FractionalNoise(0.8),
)  # fmt: skip


def drawn(seed: int) -> tuple[ResidualNetwork, dict[str, Any]]:
    """A random network that has an equation, and how it is followed."""
    rng = np.random.default_rng(seed)
    block, activation = rng.choice(BLOCKS), rng.choice(ACTIVATIONS)
    inside = block == "phi-out" and rng.random() < 0.5
    depth = DEPENDENCES[rng.integers(len(DEPENDENCES))]
    beta, c = rng.choice([1.0, 1.0, 0.7]), rng.choice([-1.5, -0.4, 0.3, 1.0, 2.0])
    weights = Weights(rng.choice(["gaussian", "uniform"]), depth) if isinstance(depth, str) else Weights(depth=depth)
    model = ResidualNetwork(
        int(rng.integers(1, 7)), 1, str(block), str(activation), scaling=DepthScaling(beta, c, inside), weights=weights,
        bias=float(rng.choice([0.0, 0.7])), input_norm=float(rng.choice([0.1, 1.0, 5.0])),
    )  # fmt: skip
    how = {"depths": sorted(rng.choice([2, 3, 5, 8, 17, 32, 64], 3, replace=False).tolist()), "networks": 3}
    return model, how | {"seed": seed, "interpolation": str(rng.choice(["linear", "constant"])), "tolerance": 1e-6}


@pytest.mark.parametrize("seed", range(24))
def test_no_distance_is_above_its_bounds(seed: int) -> None:
    model, how = drawn(seed)
    found = distance(model, schemes="euler", **how)
    assert (found.euler > 0.0).all()
    assert (found.euler <= found.step_bound).all()
    assert (found.step_bound <= found.bound * (1.0 + 1e-12)).all()


@pytest.mark.long
def test_no_distance_is_above_its_bounds_in_many_more_networks() -> None:
    for seed in range(24, 600):
        model, how = drawn(seed)
        found = distance(model, schemes="euler", **how)
        assert (found.euler <= found.step_bound).all(), (model, how)
        assert (found.step_bound <= found.bound * (1.0 + 1e-12)).all(), (model, how)


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_the_bound_on_the_second_derivative_holds_all_along_the_solution(seed: int) -> None:
    """Differences of x' are means of x'' over the time between: none is above M, nor is M far above the largest."""
    model, how = drawn(seed)
    found = distance(model, schemes="euler", **how | {"networks": 1})
    one = equation(model, how["depths"][-1], seed, how["interpolation"])
    weights, edges = one.weights, one.weights.edges
    x = one.solved(edges, 1e-8)
    velocities = []
    for side, rows in enumerate(np.moveaxis(weights.ends(range(len(edges) - 1))[0], 1, 0)):
        velocities.append([one.force(weights.layout.matrices(row), x[k + side]) for k, row in enumerate(rows)])
    second = np.linalg.norm(np.diff(np.array(velocities), axis=0)[0], axis=2).max() * (len(edges) - 1)
    assert second <= found.second[-1, 0] * (1.0 + 1e-4)
    if not weights.interpolated:
        assert found.second[-1, 0] <= 12.0 * second


def constant(value: Any) -> WeightFunction:
    return WeightFunction(lambda t: np.asarray(value), lambda t: np.zeros_like(value), 0.0)


@pytest.mark.parametrize("a", [0.3, -7.0])
def test_the_bound_is_the_distance_where_the_bias_grows_evenly_and_nothing_else_acts(a: float) -> None:
    """dx/dt = a t v: Euler's distance is |a|/(2N) exactly, and so are both bounds."""
    v = np.ones(3) / np.sqrt(3.0)
    functions = {"V": constant(np.zeros((3, 3))), "b": WeightFunction(lambda t: a * t * v, lambda t: a * v, 0.0)}
    found = distance(network(3, block="phi-in"), (2, 7, 64, 512), networks=2, weights=functions)
    exact = np.abs(a) / (2.0 * found.depths[:, None])
    np.testing.assert_allclose(found.euler, np.broadcast_to(exact, (4, 2)), rtol=1e-6)
    for bound in (found.bound, found.step_bound):
        np.testing.assert_allclose(bound / found.euler, 1.0, rtol=1e-5)
    assert (found.heun < 1e-9).all()  # the trapezoidal rule is exact here
    assert (found.euler > found.bound / 1.001).all()  # the control: no bound that is lower would do


@pytest.mark.parametrize("L", [0.5, 2.0, 6.0])
def test_the_bound_is_off_by_a_known_factor_for_exponential_growth(L: float) -> None:
    """dx/dt = L x: the distance tends to L^2 e^L/(2N) times |x(0)|, the bound to (e^L - 1)/L times that."""
    model = network(1, block="phi-in", activation="linear")
    found = distance(model, (512, 1024), networks=2, weights={"V": constant([[L]])})
    start = np.array([abs(float((one := OneNetwork(model, 0, i, 0)).h0[0, 0])) * one.unit for i in range(2)])
    np.testing.assert_allclose(found.lipschitz, L, rtol=1e-9)
    np.testing.assert_allclose(found.second, np.broadcast_to(L**2 * np.exp(L) * start, (2, 2)), rtol=0.02)
    np.testing.assert_allclose(found.bound / found.euler, np.expm1(L) / L, rtol=0.03)
    np.testing.assert_allclose(found.step_bound / found.euler, 1.0, rtol=0.03)


def test_weights_that_come_after_a_long_rest_are_not_stepped_over():
    model = ResidualNetwork(1, 1, activation="linear", scaling=DepthScaling(1.0))
    width = 0.002

    def pulse(t):
        return [[np.exp(-(((t - 0.31) / width) ** 2)) / width]]

    found = distance(model, (8, 16), networks=2, weights={"V": pulse}, schemes="euler")
    grown = np.expm1(np.sqrt(np.pi))  # h(1)/h(0) - 1, as the pulse's integral is sqrt(pi); no layer of eight sees it
    starts = found.resolution[0] / found.tolerance / (1.0 + grown)
    np.testing.assert_allclose(found.euler[0] / starts, grown, rtol=1e-6)


def test_a_given_function_without_derivatives_gives_nearly_the_same_bound_and_says_that_it_is_an_estimate() -> None:
    def V(t: float) -> Any:
        return np.array([[np.sin(5.0 * t), 0.3], [-0.2, np.cos(4.0 * t)]])

    def slope(t: float) -> Any:
        return np.array([[5.0 * np.cos(5.0 * t), 0.0], [0.0, -4.0 * np.sin(4.0 * t)]])

    model = network(2, block="phi-in")
    known = distance(model, (16, 32), networks=2, weights={"V": WeightFunction(V, slope, 25.0)})
    plain = distance(model, (16, 32), networks=2, weights={"V": V})
    np.testing.assert_allclose(plain.bound, known.bound, rtol=1e-3)
    np.testing.assert_array_equal(plain.euler, known.euler)
    assert "an estimate" in plain.origin
    assert "an estimate" not in known.origin
    assert "an estimate" in str(plain)


# ---- the distances ---------------------------------------------------------------------------------------------------


def test_distances_of_linear_networks_are_those_of_powers_of_matrices() -> None:
    """Tied and linear: x(t) = e^(Wt) x_0, Euler (I + W/N)^k, Heun (I + W/N + W^2/(2 N^2))^k."""
    model = network(
        5, block="phi-out", activation="linear", weights=Weights(depth="tied"), scaling=DepthScaling(1, 1.5)
    )
    found = distance(model, (4, 9, 64), networks=3, seed=2)
    for i in range(3):
        one = OneNetwork(model, 2, i, 0)
        W, x = 1.5 * one.at(0.0).W, one.h0 * one.unit
        for j, N in enumerate(found.depths):
            A = W / N
            for steps, values in ((np.eye(5) + A, found.euler), (np.eye(5) + A + 0.5 * A @ A, found.heun)):
                powers = [np.linalg.matrix_power(steps, k) @ x - expm(k * A) @ x for k in range(N + 1)]
                assert values[j, i] == pytest.approx(max(map(np.linalg.norm, powers)), rel=1e-6)


@pytest.mark.parametrize("version", ["values", "increments"])
@pytest.mark.parametrize("block", BLOCKS)
def test_eulers_steps_are_the_network_itself(block: str, version: str) -> None:
    model = network(7, block=block, weights=Weights(depth=SmoothProcess(version=version)), bias=0.4)
    one = equation(model, 50)
    x = one.starts
    sets = list(one.sets())
    assert len(sets) == 51
    for now, after in pairwise(sets):
        x = one._euler(now, after, x)
    network_itself = OneNetwork(replace(model, depth=50), 0, 0, 0)
    np.testing.assert_allclose(x[0], network_itself.h0 + network_itself.followed(50, False).moved, rtol=1e-12)


@pytest.mark.parametrize("version", ["values", "increments"])
@pytest.mark.parametrize("block", BLOCKS)
def test_steps_of_both_schemes_are_those_of_the_modules(block: str, version: str) -> None:
    torch = pytest.importorskip("torch")
    model = network(6, block=block, weights=Weights(depth=SmoothProcess(version=version)), bias=0.3)
    model, one = replace(model, depth=32), equation(model, 32, seed=5)
    for scheme in ("euler", "heun"):
        x = one.starts
        for now, after in pairwise(one.sets()):
            x = getattr(one, f"_{scheme}")(now, after, x)
        module = model.to_torch(5, 0, scheme=scheme).double()
        with torch.no_grad():
            found = module(torch.ones(1, 1, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(found, (module.W_out.detach().numpy() @ x[0]).T, rtol=1e-9)


def test_starts_and_sizes_are_those_of_the_input() -> None:
    """A homogeneous network's distances have the unit of its input, whose size is nothing to their slopes."""
    model = network(5, block="v-phi-w", activation="relu")
    small, large = (distance(replace(model, input_norm=size), (8, 64), networks=2) for size in (1.0, 40.0))
    np.testing.assert_allclose(large.euler, 40.0 * small.euler, rtol=1e-6)
    np.testing.assert_allclose(large.bound, 40.0 * small.bound, rtol=1e-6)
    huge = distance(replace(model, input_norm=1e200), (8, 64), networks=2)  # squares of its states are no floats
    np.testing.assert_allclose(huge.euler, 1e200 * small.euler, rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "constant"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_equations_of_interpolated_weights_are_solved_to_the_tolerance(activation: str, interpolation: str) -> None:
    """Two solutions differ by less than the larger tolerance allows: no kink or jump in time is stepped over."""
    model = network(5, block="phi-in", activation=activation, weights="gaussian")
    how: dict[str, Any] = {"depths": (16, 32), "networks": 4, "interpolation": interpolation}
    rough, fine = (distance(model, tolerance=tolerance, **how) for tolerance in (1e-5, 1e-9))
    for name in ("euler", "heun"):
        assert (np.abs(getattr(rough, name) - getattr(fine, name)) <= rough.resolution).all()
    assert (fine.resolution < rough.resolution).all()


def test_networks_do_not_depend_on_how_many_are_followed() -> None:
    model = network(4, block="phi-in", weights="gaussian")
    many, few = (distance(model, (8, 16), networks=count, tolerance=1e-9) for count in (6, 2))
    np.testing.assert_allclose(many.euler[:, :2], few.euler, rtol=1e-6)
    np.testing.assert_allclose(many.bound[:, :2], few.bound, rtol=1e-6)


# ---- slopes ----------------------------------------------------------------------------------------------------------
# Of each slope: it lies within .05 of its limit, and four standard errors are less than that; a slope that is not
# where it should be is seen, and one that is fails once in 16,000 seeds.


def at_its_limit(slope: resmc.Estimate, limit: float) -> bool:
    assert 4.0 * float(slope.stderr) <= 0.05
    return abs(float(slope.value) - limit) <= 0.05


@pytest.mark.parametrize("block", ["phi-out", "v-phi-w"])
def test_smooth_networks_tend_to_their_equations_like_a_power_of_the_depth(block: str) -> None:
    found = distance(network(6, block=block, bias=0.5), (8, 64, 256), tolerance=1e-8)
    assert at_its_limit(found.euler_slope, -1.0)
    assert at_its_limit(found.heun_slope, -2.0)
    assert not at_its_limit(found.heun_slope, -1.0)
    assert not at_its_limit(found.euler_slope, 0.0)


def test_independent_layers_do_not_tend_to_an_equation_at_all() -> None:
    """At beta = 1/2 with linear interpolation the distance stays; at beta = 1 it falls, which is the control."""
    model = network(8, block="v-phi-w", weights="gaussian", scaling=DepthScaling(0.5))
    found = distance(model, (64, 512), networks=192, tolerance=1e-3)
    assert at_its_limit(found.euler_slope, 0.0)
    assert at_its_limit(found.heun_slope, 0.0)
    found = distance(replace(model, scaling=ONE), (64, 512), networks=32, tolerance=1e-4)
    assert abs(float(found.euler_slope.value)) > 0.05 + 4.0 * float(found.euler_slope.stderr)


def test_the_bound_does_not_fall_where_weights_are_not_smooth() -> None:
    """At beta = 1 with independent layers L is bounded, and M grows like N."""
    found = distance(network(6, block="phi-in", weights="gaussian"), (64, 256), networks=4, tolerance=1e-4)
    assert (found.lipschitz[1] < 2.0 * found.lipschitz[0]).all()
    assert (found.bound[1] > 0.5 * found.bound[0]).all()
    smooth = distance(network(6, block="phi-in"), (64, 256), networks=4)
    np.testing.assert_allclose(smooth.bound[1], 0.25 * smooth.bound[0], rtol=1e-6)


def test_slopes_are_those_of_deep_networks_alone() -> None:
    model = network(3, block="phi-out")
    found = distance(model, (2, 64, 128), networks=2)
    deep = distance(model, (64, 128), networks=2)
    assert float(found.euler_slope.value) == pytest.approx(float(deep.euler_slope.value), rel=1e-6)
    few = distance(model, (2, 64), networks=2)
    assert np.isnan(float(few.euler_slope.value))
    assert "two depths of at least 64" in str(few)


# ---- the result ------------------------------------------------------------------------------------------------------


def test_the_summary_has_what_was_asked_for() -> None:
    found = distance(network(3, block="phi-out"), (4, 8), networks=2, schemes="euler")
    assert found.heun is None
    assert found.heun_slope is None
    assert found.schemes == ("euler",)
    assert found.interpolation is None
    table = found.summary()
    assert [row["depth"] for row in table.records()] == [4, 8]
    assert "heun" not in str(table)
    assert found.log_distance("euler").value[1] == pytest.approx(np.log(found.euler[1]).mean())
    with pytest.raises(ValueError, match="scheme='heun' is not allowed"):
        found.log_distance("heun")
    other = distance(network(3, block="phi-in", weights="gaussian"), (4, 8), networks=2, schemes=["heun"])
    assert (other.interpolation, other.smooth, other.schemes) == ("linear", False, ("heun",))
    assert "which was not asked for" in str(other)


def test_the_means_of_bounds_in_the_summary_have_errors_unless_a_bound_is_infinite() -> None:
    found = distance(network(3, block="phi-out"), (4, 8), networks=32, schemes="euler", tolerance=1e-4)
    logs = np.log(found.bound)
    for row, log in zip(found.summary().records(), logs, strict=True):
        assert row["bound"]["value"] == pytest.approx(log.mean())
        assert row["bound"]["stderr"] == pytest.approx(log.std(ddof=1) / np.sqrt(32))
    wild = found.bound.copy()
    wild[0, 5] = np.inf
    said = replace(found, bound=wild).summary()
    assert "inf (no error bar)" in str(said)
    first, second = said.records()
    assert first["bound"]["stderr"] is None
    assert second["bound"]["stderr"] > 0.0


def test_weights_may_be_tensors_that_require_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    model, eye = network(3, block="phi-in", bias=0.0), torch.eye(3, dtype=torch.float64, requires_grad=True)
    given = (distance(model, (2, 4), networks=1, weights={"V": V}) for V in (lambda t: t * EYE, lambda t: t * eye))
    one, other = given
    assert np.array_equal(one.euler, other.euler)


def test_distances_within_the_error_of_the_solution_are_said_to_be_so() -> None:
    model = network(3, block="phi-out", weights=Weights(depth="tied"))
    said = "heun at 64: distances near what the solution is off; use a smaller tolerance"
    assert said in str(distance(model, (4, 64), networks=2, tolerance=1e-5))
    assert "smaller tolerance" not in str(distance(model, (4, 64), networks=2))


def test_progress_counts_networks() -> None:
    seen: list[tuple[int, int]] = []
    distance(network(2, block="phi-out"), (2, 4), networks=3, progress=lambda *done: seen.append(done))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_it_works_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import resmc; from resmc import DepthScaling, Weights;"
        "model = resmc.ResidualNetwork(2, 1, scaling=DepthScaling(1), weights=Weights(depth='tied'));"
        "resmc.ode.distance(model, (2, 4), networks=1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- bad input -------------------------------------------------------------------------------------------------------

EYE = np.eye(3)
GIVEN = {"block": "phi-in", "bias": 0.0}


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({"carry": 0.5}, {}, r"carry=0\.5 is not allowed: it must be 1"),
        ({"weights": Weights(depth=np.eye(1))}, {}, "a covariance matrix are not allowed: it has one depth"),
        ({"activation": "balanced", "weights": "gaussian"}, {}, "activation='balanced' is not allowed: its signs"),
        ({"scaling": [0.5]}, {}, "scaling layer by layer is not allowed"),
        ({}, {"depths": (1, 4)}, "depths=1 is out of range: it must be an integer from 2 to 65536"),
        ({}, {"depths": (8, 4)}, "at least two integers, increasing"),
        ({}, {"depths": (8,)}, "at least two integers, increasing"),
        ({}, {"depths": (8, 1 << 17)}, "depths=131072 is out of range"),
        ({}, {"depths": 8}, "at least two integers, increasing"),
        ({}, {"networks": 0}, "networks=0 is out of range"),
        ({}, {"schemes": "rk4"}, "schemes='rk4' is not allowed: it must be 'euler', 'heun' or both"),
        ({}, {"schemes": ()}, "it must be 'euler', 'heun' or both"),
        ({}, {"interpolation": "cubic"}, "interpolation='cubic' is not allowed"),
        ({}, {"tolerance": 1e-15}, "tolerance=1e-15 is out of range"),
        ({}, {"weights": EYE}, "it must be a mapping from 'V'"),
        ({}, {"weights": {"W": lambda t: EYE}}, r"weights=\['W'\] is not allowed with block='phi-in'"),
        ({}, {"weights": {"V": EYE}}, r"weights\['V'\]=.* is not allowed: it must be a function or a WeightFunction"),
        ({}, {"weights": {"V": lambda t: np.ones(3)}}, r"V at t=0 of shape \(3,\) is not allowed: it must be \(3, 3\)"),
        ({}, {"weights": {"V": lambda t: EYE, "b": lambda t: EYE}}, r"b at t=0 of shape \(3, 3\) is not allowed"),
        ({}, {"weights": {"V": lambda t: EYE * (np.nan if t > 0.7 else 1.0)}}, "not allowed to hold infinite numbers"),
        ({}, {"weights": {"V": lambda t: "x"}}, "V at t=0 cannot be had as an array of numbers"),
        ({}, {"weights": {"V": lambda: EYE}}, "V at t=0 cannot be had as an array of numbers"),
        ({}, {"weights": {"V": lambda t: 1j * EYE}}, "V at t=0 cannot be had as an array of numbers: .*complex"),
    ],
)  # fmt: skip
def test_bad_input_ends_in_a_sentence(fields: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    model = network(3 if "activation" not in fields else 4, block="phi-in", **fields)
    with pytest.raises(ValueError, match=message):
        distance(model, **{"depths": (4, 8), "networks": 2} | arguments)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": EYE}, "value=.* is not allowed: it must be a function"),
        ({"value": lambda t: EYE, "derivative": EYE}, "derivative=.* is not allowed: it must be a function"),
        ({"value": lambda t: EYE, "curvature": -1.0}, "curvature=-1.0 is not allowed"),
        ({"value": lambda t: EYE, "curvature": np.inf}, "curvature=inf is not allowed"),
    ],
)
def test_a_weight_function_says_what_is_wrong_with_it(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightFunction(**fields)


def test_a_network_that_leaves_the_range_of_numbers_is_named_with_its_layer() -> None:
    """dx/dt = -10^4 x falls; Euler's steps of 1/1024 multiply by -8.8 each, and squares overflow after 163 of them."""
    model = network(1, block="phi-in", activation="linear")
    with pytest.raises(ValueError, match=r"network 0 of depth 1024 is not finite after layer 16\d \(euler\)"):
        distance(model, (1024, 2048), networks=1, weights={"V": constant([[-1e4]])}, tolerance=1e-2)


@pytest.mark.parametrize("weights", [SMOOTH, "gaussian"])
def test_an_equation_that_leaves_the_range_of_numbers_is_named(weights: Any) -> None:
    model = network(2, block="phi-in", activation="linear", weights=weights, scaling=DepthScaling(0.0, 1e8))
    with pytest.raises(ValueError, match=r"the equation of network 0 cannot be solved"):
        distance(model, (4, 8), networks=1, tolerance=1e-2)


def test_mixtures_are_interpolated() -> None:
    mixture = Weights(depth=Mixture(SmoothProcess(), FractionalNoise(0.5)))
    found = distance(network(3, block="phi-in", weights=mixture, scaling=DepthScaling(0.0)), (16, 32), networks=2)
    assert found.interpolation == "linear"
    assert (found.euler <= found.step_bound).all()
    assert re.search("linear between layers", str(found))
