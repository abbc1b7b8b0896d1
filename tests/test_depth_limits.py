"""The limits as depth grows at fixed width: against deep networks with explicit weights, closed forms, known numbers.

A comparison passes within 4 standard errors of the difference, those of covariances from the samples: a right one fails
with probability 6.3e-5 (4e-4 with Student's t of 31 degrees, of variances and medians), about 150 of them in this file
by 2% in all. Seeds are fixed, none was tried and replaced. Deep networks have L = 400 layers, the equations 400 steps;
what is left of 1/L is below a fifth of a standard error.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import resmc
from resmc import theory
from resmc.experiments import euler
from resmc.models.activations import ACTIVATIONS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.results.observables import OBSERVABLES
from resmc.theory.averages import gaussian_averages, homogeneous_averages, tabulated_averages
from resmc.theory.depth import DepthSDE, depth_limit, law_free

Floats = NDArray[np.float64]

BOUND = 4.0
DEPTH = 400
NETWORKS = 5_000
INSIDE = DepthScaling(0.5, 1.0, inside=True)
CASES = {
    "phi-in, relu": {"block": "phi-in", "activation": "relu"},
    "phi-in, gelu, bias": {"block": "phi-in", "activation": "gelu", "bias": 0.5},
    "phi-in, balanced, uniform": {"block": "phi-in", "activation": "balanced", "weights": "uniform"},
    "v-phi-w, relu, bias, rademacher": {"block": "v-phi-w", "bias": 0.7, "weights": "rademacher"},
    "v-phi-w, leaky_relu": {"block": "v-phi-w", "activation": "leaky_relu", "scaling": DepthScaling(0.5, 1.4)},
    "v-phi-w, tanh": {"block": "v-phi-w", "activation": "tanh", "input_norm": 1.5, "scaling": DepthScaling(0.5, 2.0)},
    "v-phi-w, gelu, bias": {"block": "v-phi-w", "activation": "gelu", "bias": 0.6, "scaling": DepthScaling(0.5, 1.5)},
    "phi-out, tanh, bias": {
        "block": "phi-out", "activation": "tanh", "bias": 0.5, "input_norm": 2.0, "scaling": DepthScaling(0.5, -2.0)
    },
    "phi-out, inside, centred softplus, bias": {
        "block": "phi-out", "activation": "centred_softplus", "bias": 0.5, "scaling": INSIDE, "input_norm": 0.7
    },
    "phi-out, inside, gelu, uniform": {
        "block": "phi-out", "activation": "gelu", "weights": "uniform", "scaling": INSIDE, "input_norm": 0.5
    },
}  # fmt: skip


def network(width: int = 5, **other: Any) -> ResidualNetwork:
    return ResidualNetwork(width, other.pop("depth", DEPTH), **other)


def deep_networks(model: ResidualNetwork, networks: int, seed: int) -> tuple[Floats, Floats]:
    """ln(|h_L|^2/|h_0|^2) and ln(|p_0|^2/|p_L|^2) of networks with explicit weights."""
    sim = resmc.simulate(
        model, networks=networks, seed=seed, method="dense", gradients=True, layers=[0], keep_samples=networks,
        progress=False,
    )  # fmt: skip
    return sim.samples.ratios["growth"], sim.samples.ratios["gradient"]


def moments(x: Floats, y: Floats) -> dict[str, tuple[float, float]]:
    """Means, variances and the covariance of two samples, with standard errors."""
    ok = np.isfinite(x) & np.isfinite(y)
    x, y = x[ok], y[ok]
    a, b = x - x.mean(), y - y.mean()
    terms = {"mean": x, "variance": a * a, "gradient mean": y, "gradient variance": b * b, "covariance": a * b}
    return {name: (float(t.mean()), float(t.std() / math.sqrt(t.size))) for name, t in terms.items()}


def differences(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> dict[str, float]:
    """In standard errors."""
    a, b = moments(*one), moments(*other)
    return {name: (a[name][0] - b[name][0]) / math.hypot(a[name][1], b[name][1]) for name in a}


def simulated(sde: DepthSDE, seed: int) -> tuple[Floats, Floats]:
    """As `samples` of `resmc.limit`, of an equation that may be a wrong one."""
    rng = np.random.Generator(np.random.Philox(seed))
    found = np.concatenate([euler.simulate(sde, rng, 1000, 400, None, True) for _ in range(NETWORKS // 1000)], axis=2)
    return found[0, 0], found[2, 0]


def samples(result: resmc.DepthLimit) -> tuple[Floats, Floats]:
    assert result.gradient is not None
    return result.growth.samples, result.gradient.samples


@cache
def deep(name: str) -> tuple[Floats, Floats]:
    return deep_networks(network(**CASES[name]), NETWORKS, 4000 + list(CASES).index(name))


@pytest.mark.parametrize(
    "name", [name if i % 2 == 0 else pytest.param(name, marks=pytest.mark.long) for i, name in enumerate(CASES)]
)
def test_deep_networks_have_the_law_of_the_limit(name: str) -> None:
    """Means and variances of ln(|H_1|^2/|H_0|^2) and ln(|P_0|^2/|P_1|^2), and their covariance."""
    result = resmc.limit(network(**CASES[name]), networks=NETWORKS, seed=4100 + list(CASES).index(name))
    assert result.exploded == 0
    found = differences(deep(name), samples(result))
    print(f"LIMIT {name:32}", {key: f"{z:+.2f}" for key, z in found.items()})
    assert {key: z for key, z in found.items() if not abs(z) < BOUND} == {}


CONTROLS = {
    "without the drift": (
        "phi-out, inside, centred softplus, bias",
        "gradient mean",
        lambda sde: replace(sde, curvature=0.0),
    ),
    "with forward and backward independent": (
        "v-phi-w, leaky_relu",
        "covariance",
        lambda sde: replace(sde, averages=lambda q: sde.averages(q)._replace(elasticity=0.0 * q)),
    ),
    "with tanh's gradient as if it were linear": (
        "v-phi-w, tanh",
        "gradient mean",
        lambda sde: replace(sde, averages=lambda q: sde.averages(q)._replace(e1=np.ones_like(q))),
    ),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_deep_networks_reject_a_wrong_equation(control: str) -> None:
    """The negative controls: each changes one term of the equation, and one moment leaves its bound."""
    name, moment, wrong = CONTROLS[control]
    found = differences(deep(name), simulated(wrong(depth_limit(network(**CASES[name]))), 4200))
    print(f"LIMIT {control}", {key: f"{z:+.2f}" for key, z in found.items()})
    assert abs(found[moment]) > BOUND


CLOSED = {
    "v-phi-w, relu": ({"block": "v-phi-w"}, 0.5),
    "v-phi-w, leaky_relu, rademacher": (
        {"block": "v-phi-w", "activation": "leaky_relu", "weights": "rademacher"}, 0.50005
    ),
    "phi-in, balanced-half": ({"activation": "balanced-half", "width": 6}, 0.5),
    "phi-out, linear": ({"block": "phi-out", "activation": "linear"}, 1.0),
    "phi-out, inside, tanh": ({"block": "phi-out", "activation": "tanh", "scaling": INSIDE}, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_the_equation_gives_the_log_gaussian_laws_in_closed_form(name: str) -> None:
    fields, kappa = CLOSED[name]
    result = resmc.limit(network(**fields), networks=4000, seed=4300 + list(CLOSED).index(name), steps=200)
    n = result.model.width
    for quantity in (result.growth, result.gradient):
        assert quantity is not None
        law = quantity.law
        assert law is not None
        assert law.mean == pytest.approx(kappa * (1.0 - 2.0 / n), rel=1e-12)
        assert law.variance == pytest.approx(4.0 * kappa / n, rel=1e-12)
        standard = (quantity.samples - law.mean) / math.sqrt(law.variance)
        for power, expected, spread in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
            z = ((standard**power).mean() - expected) / math.sqrt(spread / 4000)
            assert abs(z) < BOUND, (power, z)
        assert abs(quantity.samples.mean() - kappa) > 2.0 * BOUND * math.sqrt(law.variance / 4000)  # without 2/n
    # E|H_1 - H_0|^2/|H_0|^2 is e^kappa - 1, and exactly (1 + kappa/steps)^steps - 1 on the grid
    change = np.exp(result.displacement.samples)
    assert abs(change.mean() - (1.0 + kappa / 200) ** 200 + 1.0) < BOUND * change.std() / math.sqrt(4000)


def test_with_a_bias_the_gradient_alone_keeps_its_law() -> None:
    result = resmc.limit(network(block="v-phi-w", bias=1.0, width=8), networks=4000, seed=4400, steps=200)
    assert result.growth.law is None
    assert result.gradient is not None
    law = result.gradient.law
    assert law is not None
    assert abs(result.gradient.samples.mean() - law.mean) < BOUND * math.sqrt(law.variance / 4000)
    assert abs(result.growth.samples.mean() - law.mean) > 2.0 * BOUND * math.sqrt(law.variance / 4000)


@pytest.mark.parametrize(
    ("activation", "known", "error"), [("centred_softplus", 0.3640, 0.0008), ("tanh", 0.3167, 0.0008)]
)  # fmt: skip
def test_the_mean_coordinate_with_the_scaling_inside_is_the_known_one(
    activation: str, known: float, error: float
) -> None:
    """Width 10, equal coordinates of norm 1: from a program that shares nothing with this one."""
    model = network(10, block="phi-out", activation=activation, scaling=INSIDE)
    result = resmc.limit(model, networks=20_000, seed=4500, h0=np.full(10, math.sqrt(0.1)), gradients=False)
    assert result.average is not None
    mean = result.average.mean
    assert abs(float(mean.value) - known) < BOUND * math.hypot(float(mean.stderr), error)
    other = 0.3167 if activation == "centred_softplus" else 0.3640
    assert abs(float(mean.value) - other) > 2.0 * BOUND * math.hypot(float(mean.stderr), error)


def test_the_refinement_error_is_that_of_the_grid_and_halves_with_it() -> None:
    model = network(30, block="v-phi-w", scaling=DepthScaling(0.5, 1.5))
    law = theory.depth_limit(model).growth
    assert law is not None
    found = {steps: resmc.limit(model, networks=20_000, seed=4600, steps=steps) for steps in (8, 16, 32)}
    for steps, result in found.items():
        for quantity in (result.growth, result.gradient):
            assert quantity is not None
            grid = quantity.refinement.mean
            # the estimate and the refinement together are a value of second order in the step
            left = float(quantity.mean.value) + float(grid.value) - law.mean
            second_order = 0.3 * float(grid.value)
            assert abs(left) < BOUND * float(quantity.mean.stderr) + second_order
            assert float(grid.value) > 2.0 * BOUND * float(grid.stderr), steps
    errors = [float(r.growth.refinement.mean.value) for r in found.values()]
    assert 1.6 < errors[0] / errors[1] < 2.4
    assert 1.6 < errors[1] / errors[2] < 2.4
    unpaired = math.sqrt(2.0) * float(found[32].growth.mean.stderr)
    assert float(found[32].growth.refinement.mean.stderr) < 0.1 * unpaired
    coarse = found[8].growth
    assert abs(float(coarse.mean.value) - law.mean) > BOUND * float(coarse.mean.stderr)  # a grid that can be seen


def test_blocks_with_one_limit_have_the_same_numbers() -> None:
    def numbers(**fields: Any) -> Floats:
        return np.array(samples(resmc.limit(network(4, **fields), networks=50, steps=20)))

    tanh = numbers(block="v-phi-w", activation="tanh", bias=0.5)
    np.testing.assert_array_equal(numbers(block="phi-out", activation="tanh", bias=0.5), tanh)
    np.testing.assert_allclose(numbers(block="v-phi-w"), numbers(activation="balanced"), rtol=1e-10, atol=1e-12)
    linear = numbers(block="phi-in", activation="linear", bias=0.5)
    np.testing.assert_array_equal(numbers(block="phi-out", activation="linear", bias=0.5), linear)
    np.testing.assert_array_equal(numbers(block="v-phi-w", activation="linear", depth=7, bias=0.5), linear)
    assert not np.array_equal(linear, tanh)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu", "centred_softplus"])
def test_the_table_of_averages_is_the_quadrature(activation: str) -> None:
    q = np.exp(np.random.default_rng(4700).uniform(-100.0, 100.0, 400))
    table, exact = tabulated_averages(activation)(q), gaussian_averages(activation, q)
    for one, other in zip(table[:3], exact[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)
    np.testing.assert_allclose(table.elasticity, exact.elasticity, atol=1e-8)
    middle = q[(q > 1e-6) & (q < 1e6)]
    up, down = (gaussian_averages(activation, middle * math.exp(h)).m for h in (1e-4, -1e-4))
    slope = (np.log(up) - np.log(down)) / 2e-4
    np.testing.assert_allclose(gaussian_averages(activation, middle).elasticity, slope, atol=1e-7)
    assert gaussian_averages(activation, np.array(1.0)).m == pytest.approx(ACTIVATIONS[activation].mean_square())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
def test_the_averages_of_homogeneous_activations_are_closed_forms(activation: str) -> None:
    q = np.array([1e-20, 1e-3, 1.0, 50.0, 1e12])
    for one, other in zip(
        homogeneous_averages(ACTIVATIONS[activation].mean_square())(q), gaussian_averages(activation, q), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-11)


MOMENTS: list[tuple[dict[str, Any], float, float]] = [
    ({"block": "v-phi-w", "scaling": (1.0,) * 4}, 1.5**4, 1.5**4),
    ({"block": "v-phi-w", "scaling": (1.0,) * 4, "weights": "uniform"}, 1.5**4, 1.5**4),
    ({"block": "v-phi-w", "scaling": (0.5, 1.0, 0.2, 0.7), "carry": 0.8, "weights": "rademacher", "bias": 1.0},
     math.nan, (0.64 + 0.125) * (0.64 + 0.5) * (0.64 + 0.02) * (0.64 + 0.245)),
    ({"block": "phi-in", "activation": "balanced-half", "scaling": (1.0,) * 4}, 1.5**4, 1.5**4),
    ({"block": "phi-out", "activation": "linear", "scaling": DepthScaling(0.5)}, 1.25**4, 1.25**4),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "forward", "backward"), MOMENTS)
def test_mean_squares_are_exact_at_finite_width_and_depth(
    fields: dict[str, Any], forward: float, backward: float
) -> None:
    model = network(6, depth=4, **fields)
    exact = theory.second_moments(model)
    assert exact.forward[0] == exact.backward[-1] == 0.0 or model.bias > 0.0
    np.testing.assert_allclose(np.exp([exact.forward[-1], exact.backward[0]]), [forward, backward], rtol=1e-12)
    np.testing.assert_array_equal(theory.second_moments(model, [3, 0]).backward, exact.backward[[3, 0]])
    for log_ratio, expected in zip(deep_networks(model, 60_000, 4800), (forward, backward), strict=True):
        ratio = np.exp(log_ratio)
        error = ratio.std() / math.sqrt(ratio.size)
        assert math.isnan(expected) or abs(ratio.mean() - expected) < BOUND * error
        assert math.isnan(expected) or abs(ratio.mean() - 0.95 * expected) > BOUND * error  # the control


def test_a_relu_that_sees_the_state_itself_has_no_exact_mean_square() -> None:
    model = network(6, depth=4, scaling=(1.0,) * 4)
    growth = np.exp(deep_networks(model, 60_000, 4801)[0])
    assert abs(growth.mean() - 1.5**4) > 2.0 * BOUND * growth.std() / math.sqrt(growth.size)
    with pytest.raises(ValueError, match="block='phi-in' with activation='relu' is not allowed in second_moments"):
        theory.second_moments(model)


def test_networks_that_never_move_are_left_out_and_counted() -> None:
    result = resmc.limit(network(2), networks=4000, steps=20)
    still = np.isneginf(result.displacement.samples)
    assert abs(still.mean() - 0.25) < BOUND * math.sqrt(0.25 * 0.75 / 4000)
    assert int(result.displacement.mean.n) <= 4000 - int(still.sum())
    assert math.isfinite(float(result.displacement.mean.value))
    assert result.exploded == 0
    assert int(result.growth.mean.n) == 4000


def test_medians_of_the_limit_count_the_exploded_as_infinite_and_the_unmoved_as_0() -> None:
    """Known from other programs: .938 +- .03 with the exploded (.504 without them), and -1.44 +- .02 (-1.1 without)."""
    given: dict[str, Any] = {"networks": 5000, "seed": 1, "gradients": False}
    wild = network(2, block="phi-out", activation="gelu", scaling=DepthScaling(0.5, 1.5, inside=True), bias=0.4)
    growth = resmc.limit(wild, steps=200, **given).growth
    assert 0.11 < np.isposinf(growth.samples).mean() < 0.17
    assert int(growth.median.n) == 5000
    assert abs(float(growth.median.value) - 0.938) < BOUND * math.hypot(float(growth.median.stderr), 0.028)
    displacement = resmc.limit(network(3, activation="relu"), steps=100, **given).displacement
    assert np.isneginf(displacement.samples).any()
    deep = resmc.simulate(
        network(3, activation="relu"), networks=20_000, seed=2, displacement=True, progress=False
    ).log_ratio("displacement").median  # fmt: skip
    error = math.hypot(float(displacement.median.stderr), float(deep.stderr))
    assert abs(float(displacement.median.value) - float(deep.value)) < BOUND * error


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_quotients_of_homogeneous_networks_do_not_depend_on_the_size_of_the_start(size: float) -> None:
    """Its square is beyond float64."""
    given: dict[str, Any] = {"networks": 200, "seed": 5, "steps": 10}
    one, other = (resmc.limit(network(block="v-phi-w", input_norm=norm), **given) for norm in (1.0, size))
    assert other.exploded == 0
    np.testing.assert_allclose(one.growth.samples, other.growth.samples, atol=1e-12)
    average = resmc.limit(network(block="v-phi-w"), h0=np.full(5, size), **given).average
    assert average is not None
    assert 0.1 * size < float(average.mean.value) < 10.0 * size
    with pytest.raises(ValueError, match=r"h0 with a largest entry of 1e.*: it must be from 2"):
        resmc.limit(network(block="v-phi-w", activation="tanh"), h0=np.full(5, size), **given)


def test_where_most_explode_the_median_is_infinite() -> None:
    model = network(block="phi-out", activation="centred_softplus", scaling=INSIDE, input_norm=20.0)
    result = resmc.limit(model, networks=200, steps=50, h0=np.full(5, 20.0))
    for quantity in (result.growth, result.displacement, result.gradient, result.gradient_displacement, result.average):
        assert quantity is not None
        assert np.isposinf(quantity.samples).mean() > 0.6
        assert float(quantity.median.value) == math.inf
        assert math.isnan(float(quantity.median.stderr))
        assert not math.isfinite(float(quantity.refinement.median.value))


def test_a_quadratic_drift_explodes_and_says_so() -> None:
    model = network(block="phi-out", activation="centred_softplus", scaling=INSIDE, input_norm=8.0)
    result = resmc.limit(model, networks=400, steps=100)
    assert 0 < result.exploded < 400
    assert int(result.growth.mean.n) == 400 - result.exploded
    assert math.isfinite(float(result.growth.variance.value))
    assert f"{result.exploded} exploded" in result.summary()
    tame = resmc.limit(replace(model, input_norm=0.1), networks=400, steps=100)
    assert tame.exploded == 0


def test_the_summary_shows_every_quantity_with_its_errors() -> None:
    result = resmc.limit(network(block="v-phi-w"), networks=100, steps=10, h0=np.arange(5.0))
    lines = str(result).splitlines()
    there = [row["name"] for row in result.summary().records()]
    for name in ("growth", "displacement", "gradient", "gradient_displacement", "average"):
        for kind in ("mean", "variance", "median"):
            assert there.count(f"{name}.{kind}") == 1
            one = OBSERVABLES.get(f"{name}.{kind}")
            words = f"{kind} average of h_d" if one is None else one.called(0 if one.backward else "d")
            assert sum(line.startswith(f"{words}  ") and line.count("+-") == 2 for line in lines) == 1
    assert "dH = 0.7071 c sqrt(q) dB,  q = |H|^2/n + bias^2" in lines
    assert sum("z = " in line for line in lines) == 6
    assert "networks" in repr(result)
    forward = resmc.limit(network(block="v-phi-w"), networks=100, steps=10, gradients=False)
    assert forward.gradient is forward.covariance is forward.average is None
    assert "p_" not in str(forward).split("quantity")[1]


def test_numbers_depend_on_the_seed_alone_and_progress_reaches_the_end() -> None:
    calls: list[tuple[int, int]] = []

    def run(seed: int) -> Floats:
        model = network(3, activation="tanh", weights="uniform", input=(1.0, -2.0))
        progress = lambda done, networks: calls.append((done, networks))  # noqa: E731
        return resmc.limit(model, networks=1500, seed=seed, steps=4, progress=progress).growth.samples

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.isin(run(3), run(4)).any()
    assert calls[:2] == [(1024, 1500), (1500, 1500)]


REFUSED = {
    "carry=0.9": {"carry": 0.9},
    "scaling layer by layer": {"scaling": (0.1,) * DEPTH},
    "beta=0.25 .* explodes": {"scaling": DepthScaling(0.25)},
    "beta=1.0 .* the input itself": {"scaling": DepthScaling(1.0)},
    "'relu' .* inside: it is not twice differentiable": {"block": "phi-out", "scaling": INSIDE},
    "'leaky_relu' .* inside: it is not": {"block": "phi-out", "activation": "leaky_relu", "scaling": INSIDE},
    "'balanced' .* inside: it is not": {"block": "phi-out", "activation": "balanced", "scaling": INSIDE},
    r"'sigmoid' .* inside: sigma\(0\) = 0.5": {"block": "phi-out", "activation": "sigmoid", "scaling": INSIDE},
    r"'relu' .* outside: E sigma\(g\) is not 0": {"block": "phi-out"},
    "'balanced' .* outside": {"block": "phi-out", "activation": "balanced"},
    "'centred_softplus' .* outside": {"block": "phi-out", "activation": "centred_softplus"},
    "'gelu' .* outside": {"block": "phi-out", "activation": "gelu"},
    "'sigmoid' .* outside": {"block": "phi-out", "activation": "sigmoid"},
    "weights='uniform' .*'phi-out'": {"block": "phi-out", "activation": "tanh", "weights": "uniform"},
    "weights='rademacher' .*'v-phi-w'": {"block": "v-phi-w", "activation": "gelu", "weights": "rademacher"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_such_limit_is_refused_with_the_reason(message: str) -> None:
    model = network(**REFUSED[message])
    for refusing in (resmc.limit, theory.depth_limit):
        with pytest.raises(ValueError, match=message) as caught:
            refusing(model)
        assert str(caught.value).count("\n") == 0


def test_the_law_of_the_weights_is_said_to_matter_where_it_does() -> None:
    """The control of the refusals: v-phi-w with tanh and +-1 weights at width 2 is not the Gaussian limit."""
    model = network(2, block="v-phi-w", activation="tanh", depth=100, input_norm=2.0, scaling=DepthScaling(0.5, 2.0))
    other = replace(model, weights="rademacher")
    assert law_free(model)
    assert not law_free(other)
    gaussian = differences(deep_networks(model, NETWORKS, 4900), samples(resmc.limit(model, networks=NETWORKS)))
    rademacher = differences(deep_networks(other, NETWORKS, 4901), samples(resmc.limit(model, networks=NETWORKS)))
    assert max(map(abs, gaussian.values())) < BOUND
    assert max(map(abs, rademacher.values())) > 1.5 * BOUND


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("networks=0", {"networks": 0}),
        ("seed=-1", {"seed": -1}),
        ("steps=7", {"steps": 7}),
        ("steps=0", {"steps": 0}),
        ("gradients=1", {"gradients": 1}),
        (r"h0 of shape \(4,\)", {"h0": np.ones(4)}),
        ("h0 is not allowed", {"h0": np.zeros(5)}),
        ("h0=", {"h0": "five"}),
        ("progress=3", {"progress": 3}),
    ],
)
def test_bad_arguments_are_value_errors(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        resmc.limit(network(), **given)


def test_what_is_no_residual_network_or_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="model=3 is not allowed"):
        resmc.limit(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="GiB for one network: fewer steps or gradients=False"):
        resmc.limit(network(1 << 20))
