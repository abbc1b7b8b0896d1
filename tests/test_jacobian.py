"""Singular values of Jacobians: against autograd, high precision, exact laws, and the twin's tangents.

Every statistical check passes with probability 1e-4 of a false alarm for a random seed, at seeds that are fixed.
"""

from __future__ import annotations

import math
from typing import Any

import figures
import numpy as np
import pytest
from figures import P, lines, words
from scipy.stats import norm as normal

import resmc
from resmc import DepthScaling, ResidualNetwork, theory
from resmc.experiments.matrix_product import DEPENDENT, Product, graded_singular_values
from resmc.plot import style as st
from resmc.reference.joint import simulate_joint

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here

FALSE_ALARM = 1e-4
CASES: dict[str, dict[str, Any]] = {
    "relu": {},
    "tanh, inside": {"block": "phi-out", "activation": "tanh", "bias": 0.2, "scaling": DepthScaling(0.5, 1.0, True)},
    "rademacher": {"block": "v-phi-w", "activation": "gelu", "weights": "rademacher", "input": (1.0, 2.0, -1.0)},
    "uniform": {"block": "phi-out", "activation": "silu", "weights": "uniform", "input": (0.5, 2.0, 1.0), "n_out": 2},
    "dropout": {"activation": "leaky_relu", "keep": 0.7},
    "balanced-half": {"activation": "balanced-half", "carry": 0.5},
    "layer norm": {"block": "v-phi-w", "activation": "gelu", "norm": "layer", "norm_at": "sandwich", "eps": 0.1},
    "rms norm": {"activation": "tanh", "bias": 0.2, "norm": "rms", "eps": 0.01},
    "rms norm after": {"block": "phi-out", "activation": "leaky_relu", "norm": "rms", "norm_at": "post", "eps": 1.0},
    "noise": {"block": "v-phi-w", "weights": resmc.Weights(depth=resmc.FractionalNoise(0.3))},
    "inner width": {"block": "v-phi-w", "inner_width": 9, "activation": "tanh"},
    "tied": {"activation": "sigmoid", "weights": resmc.Weights(depth="tied")},
}


def small(name: str) -> ResidualNetwork:
    """One of the cases, of width 6 and depth 7."""
    return ResidualNetwork(6, 7, **CASES[name])


def within(estimate: resmc.Estimate, exact: Any, checks: int = 1) -> bool:
    """Say whether estimates are within the errors that a false alarm in ``checks`` such checks allows."""
    bound = float(normal.isf(0.5 * FALSE_ALARM / (checks * max(np.size(exact), 1))))
    assert np.isfinite(estimate.stderr).all()
    return bool((np.abs(estimate.value - exact) < bound * estimate.stderr).all())


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_autograd(name):
    torch = pytest.importorskip("torch")
    model = small(name)
    found = resmc.jacobian_singular_values(model, networks=3, seed=5, first_network=10)
    for i in range(3):
        module = model.to_torch(5, 10 + i)
        with torch.no_grad():
            _, hs = module(return_layers=True)
        jacobian = torch.autograd.functional.jacobian(lambda h, module=module: module.states(h)[0], hs[0])
        expected = torch.linalg.svdvals(jacobian[0, :, 0]).log().numpy()
        np.testing.assert_allclose(found.log_values[i], expected, rtol=0.0, atol=1e-9)
    assert np.abs(found.log_values[0] - found.log_values[1]).max() > 0.01
    if not model.inputs.explicit:
        return
    whole = resmc.jacobian_singular_values(model, networks=3, seed=5, first_network=10, of="network")
    assert whole.log_values.shape == (3, model.n_out)
    for i in range(3):
        module = model.to_torch(5, 10 + i)
        jacobian = torch.autograd.functional.jacobian(module, module.x)
        expected = torch.linalg.svdvals(jacobian[0, :, 0]).log().numpy()
        np.testing.assert_allclose(whole.log_values[i], expected, rtol=0.0, atol=1e-9)


def test_norms_that_take_a_direction_away_are_refused():
    for given in (
        {"norm": "layer", "norm_at": "post"},
        {"norm": "rms", "norm_at": "post", "eps": 0.0},
        {"norm": "layer", "carry": 0.0},
    ):
        with pytest.raises(ValueError, match="every layer takes a direction away"):
            resmc.jacobian_singular_values(ResidualNetwork(5, 3, **given), networks=2)


@pytest.mark.parametrize("name", [name for name in CASES if name != "inner width"])
def test_stretching_is_that_of_the_twins_tangents(name):
    model = small(name)
    explicit = model.inputs.explicit
    start = [model.input] if explicit else [[1.0]]
    twin = simulate_joint(
        model, start, 3, seed=5, first_network=10, method="dense", layers=[7], explicit=explicit, tangents=6
    )
    found = resmc.jacobian_singular_values(model, networks=3, seed=5, first_network=10)
    np.testing.assert_allclose(found.log_stretch.value, twin.log_stretch[-1].mean(axis=1), rtol=0.0, atol=1e-9)


def test_a_gaussian_first_layer_meets_the_input_as_the_network_does():
    """J x is h_out of a linear network without bias, so |h_out|/|x| is at most s_1, and s_1 itself for one number."""
    model = ResidualNetwork(8, 3, "v-phi-w", "linear", input=(3.0,), n_out=4)
    found = resmc.jacobian_singular_values(model, networks=2, of="network")
    wide = resmc.jacobian_singular_values(
        ResidualNetwork(8, 3, "v-phi-w", "linear", input=(3.0, 4.0, 0.0), n_out=4), networks=2, of="network"
    )
    for i in range(2):
        weights = model.draw_weights(0, i)
        h = weights.A[:, 0]
        for s, V, W in zip(model.scales, weights.V, weights.W, strict=True):
            h = h + s * V @ (W @ h)
        size = math.log(np.linalg.norm(weights.readout @ h))
        assert found.log_values[i, 0] == pytest.approx(size, abs=1e-12)
        assert size - 0.5 * math.log(3.0) < wide.log_values[i, 0]
    assert wide.log_values.shape == (2, 3)


def test_digits_of_values_far_apart():
    """Against 700 digits: a range of e^-700, beyond what the product multiplied out has, and what float64 holds."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(1)
    for layers in (12, 260):
        matrices = rng.standard_normal((layers, 6, 6)) * 10.0 ** (-2.0 * rng.random((layers, 1, 6)))
        product = Product.of(np.linalg.qr(rng.standard_normal((1, 6, 6)))[0])
        with mpmath.workdps(700):
            exact = mpmath.eye(6)
            for matrix in matrices:
                product = product.multiplied(lambda t, matrix=matrix: matrix @ t)
                exact = mpmath.matrix(matrix.tolist()) * exact
            expected = [float(mpmath.log(s)) for s in mpmath.svd_r(exact, compute_uv=False)]
        found = product.log_singular_values[0]
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-9)
        assert found[0] - found[-1] > (40.0 if layers == 12 else 600.0)
        total = sum(np.linalg.slogdet(matrix)[1] for matrix in matrices)
        assert found.sum() == pytest.approx(total, abs=1e-9)
    multiplied = np.linalg.multi_dot(list(matrices[11::-1]))
    assert abs(np.log(np.linalg.svd(multiplied, compute_uv=False)[-1]) - found[-1]) > 1.0


def test_rows_beyond_the_range_of_floats_come_apart():
    rng = np.random.default_rng(2)
    log = np.sort(-1000.0 * rng.random(40))[::-1]
    triangle = np.triu(rng.standard_normal((40, 40)) / 6.0, 1) + np.eye(40)
    u = triangle / np.linalg.norm(triangle, axis=1, keepdims=True)
    found = graded_singular_values(log, u)
    determinant = log.sum() + np.linalg.slogdet(u)[1]
    assert found.sum() == pytest.approx(determinant, rel=1e-12)
    near = graded_singular_values(log[:20], u[:20, :20])
    assert np.abs(found[:5] - near[:5]).max() < 1.0
    assert (np.diff(found) <= 0.0).all()


def test_the_rank_is_that_of_the_layer_with_the_fewest_active_neurons():
    model, networks = resmc.ResNet(10, 6, 0.0, 1.0), 60
    found = resmc.jacobian_singular_values(model, networks=networks, seed=3)
    paths = resmc.reference.simulate(model, networks, seed=3, method="dense")
    active = np.nan_to_num(paths.active_fraction[:, :-1]) * model.width
    np.testing.assert_array_equal(found.rank, np.rint(active.min(axis=1)))
    assert found.nonzero.tolist() == [(found.rank > j).sum() for j in range(10)]
    assert found.rank.min() == 0  # a network without an active neuron in some layer
    assert 3 < found.rank.max() < 10
    assert found.mean.n.tolist() == found.nonzero.tolist()
    assert np.isneginf(found.quantile(0.5).value[-1])
    assert np.isnan(found.mean.value[-1])
    assert "60 networks with values 0, which means leave out" in found.summary()
    assert "sum of ln s_j" not in found.summary()


def test_a_direction_that_a_layer_all_but_ends_counts_as_lost():
    q = np.linalg.qr(np.random.default_rng(3).standard_normal((1, 3, 3)))[0]
    for size, rank in ((1e3 * DEPENDENT, 3), (1e-3 * DEPENDENT, 2)):
        by = np.diag([1.0, 1.0, size])
        assert Product.of(q).multiplied(lambda t, by=by: by @ t).rank.tolist() == [rank]


@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
@pytest.mark.parametrize("activation", ["linear", "leaky_relu"])
def test_determinants_have_their_exact_mean(block, activation):
    model = ResidualNetwork(6, 5, block, activation, carry=0.0, scaling=(1.0, 0.5, 2.0, 1.0, 3.0))
    found = resmc.jacobian_singular_values(model, networks=1500, seed=6)
    assert within(found.log_determinant, theory.log_determinant(model), 6)
    assert found.exact_log_determinant == theory.log_determinant(model)
    assert not within(
        found.log_determinant, theory.log_determinant(ResidualNetwork(6, 5, block, activation, carry=0.0))
    )
    assert f"exact {found.exact_log_determinant:.6g}, z = " in str(found)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_stretching_has_its_exact_mean_and_the_mean_square_too(activation):
    model = ResidualNetwork(8, 3, activation=activation, carry=0.0, scaling=DepthScaling(0.0, 1.2))
    found = resmc.jacobian_singular_values(model, networks=3000, seed=7)
    some = found.nonzero > 300
    exact = 3 * theory.lyapunov_exponents(model, 8)
    np.testing.assert_array_equal(found.exact_log_stretch, exact)
    assert within(found.log_stretch[some], exact[some], 4)
    assert not within(found.log_stretch[some], exact[some] + 0.2)
    assert some.sum() == (8 if activation == "linear" else 4)
    square = (1.2**2 * (0.5 if activation == "relu" else 1.0)) ** 3
    assert found.exact_mean_square == pytest.approx(square, rel=1e-12)
    assert within(found.mean_square, square, 4)


def test_rare_networks_leave_the_mean_square_no_error():
    found = resmc.jacobian_singular_values(resmc.ResNet(4, 40, 0.0, 1.0), networks=100)
    assert np.isnan(found.mean_square.stderr)
    assert np.isfinite(found.mean_square.value)


def test_quantiles_cover():
    """The exact 0.3-quantile of |J|^2, chi^2_4/4 of one linear layer of width 4 to one output, is within 2 errors."""
    from scipy.stats import chi2

    model = ResidualNetwork(4, 1, activation="linear", carry=0.0, input=(1.0,))
    inside = 0
    for seed in range(40):
        draws = np.log(chi2.rvs(4, size=(200, 1), random_state=seed))
        found = _values_of(model, draws).quantile(0.3)
        inside += abs(float(found.value[0]) - math.log(chi2.ppf(0.3, 4))) < 2.0 * float(found.stderr[0])
    assert inside >= 31  # 95% each: P(fewer) = 3e-5
    few = _values_of(model, draws[:40])
    assert np.isnan(few.quantile([0.001, 0.5]).stderr[0, 0])
    assert np.isfinite(few.quantile([0.001, 0.5]).stderr[1, 0])


def _values_of(model: ResidualNetwork, logs: np.ndarray) -> resmc.SingularValues:
    from resmc.experiments.singular_values import estimated

    return estimated(model, "network", 0, 0, logs, logs)


def test_ranges_and_chunks_are_parts_of_one_run(monkeypatch):
    model = small("tanh, inside")
    whole = resmc.jacobian_singular_values(model, networks=7, seed=1)
    monkeypatch.setattr("resmc.experiments.jacobian.ENTRIES", 1)
    part = resmc.jacobian_singular_values(model, networks=3, seed=1, first_network=4)
    np.testing.assert_allclose(part.log_values, whole.log_values[4:], rtol=0.0, atol=1e-12)


def test_a_table_a_frame_and_a_data_set_have_all_values():
    found = resmc.jacobian_singular_values(small("relu"), networks=40, seed=2)
    assert len(found.to_dataframe()) == 6
    assert "sum of ln s_j" in found.summary()
    data = found.to_xarray()
    assert dict(data.sizes) == {"value": 6, "network": 40}
    np.testing.assert_array_equal(data["log_value"], found.log_values)
    np.testing.assert_array_equal(data["log_value_mean_stderr"], found.mean.stderr)
    assert (found.mean + found.quantile(0.5)).stderr[0] != (found.mean.stderr[0])
    assert np.isnan((found.mean[0] + found.quantile(0.5)[0]).stderr)  # they share networks
    calls: list[tuple[int, int]] = []
    resmc.jacobian_singular_values(small("relu"), networks=2, progress=lambda done, all_: calls.append((done, all_)))
    assert calls[-1] == (2, 2)


def test_the_figure_has_the_means_and_the_exact_stretching():
    found = figures.singular_values()
    ax = P.plot_singular_values(found)
    known = np.isfinite(found.mean.stderr)
    x, y = ax.containers[0].lines[0].get_xydata().T
    assert x.tolist() == (np.flatnonzero(known) + 1).tolist()
    np.testing.assert_array_equal(y, found.mean.value[known])
    there = found.nonzero > 0
    np.testing.assert_array_equal(lines(ax, color=st.EXACT)[0].get_ydata(), found.exact_log_stretch[there])
    assert st.HOLLOW in words(ax)
    with pytest.raises(ValueError, match="result=3 is not allowed"):
        P.plot_singular_values(3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"networks": 0}, "networks=0 is out of range"),
        ({"networks": 2, "seed": -1}, "seed=-1 is out of range"),
        ({"networks": 2, "first_network": 2**48}, "first_network="),
        ({"networks": 2, "of": "layers"}, "of='layers' is not allowed"),
        ({"networks": 2, "of": "network"}, "which says n_in: give input="),
        ({"networks": 2, "model": 3}, "model=3 is not allowed"),
        ({"networks": 2, "model": ResidualNetwork(513, 1)}, "width=513 is out of range"),
        ({"networks": 2, "model": ResidualNetwork(4, 2, input=[1.0] * (2**16 + 1))}, "at most 2\\^16"),
        ({"networks": 2, "progress": 3}, "progress=3"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_a_sentence(given, words):
    with pytest.raises(ValueError, match=words):
        resmc.jacobian_singular_values(**{"model": ResidualNetwork(4, 2)} | given)


def test_states_beyond_float64_and_weights_beyond_memory_are_refused(monkeypatch):
    model = ResidualNetwork(4, 60, activation="silu", scaling=(1e12,) * 60)
    with pytest.raises(ValueError, match="states leave float64 are not allowed: some do at layer"):
        resmc.jacobian_singular_values(model, networks=2)
    monkeypatch.setattr("resmc.experiments.jacobian.available_memory", lambda: 10**4)
    with pytest.raises(ValueError, match="GB of memory and"):
        resmc.jacobian_singular_values(ResidualNetwork(40, 2), networks=2)


@pytest.mark.parametrize("p", [0.0, 1.0, [0.5, 2.0], math.nan])
def test_probabilities_are_strictly_between_0_and_1(p):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        figures.singular_values().quantile(p)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"carry": 0.5}, "carry=0.5 has no exact determinant"),
        ({"weights": "uniform"}, "weights='uniform' have no exact determinant"),
        ({"activation": "relu"}, "activation='relu' has no exact determinant"),
        ({"keep": 0.5}, "keep=0.5 has no exact determinant"),
        ({"block": "v-phi-w", "inner_width": 6}, "inner_width=6 has no exact determinant"),
        ({"scaling": (1.0, 0.0)}, "scaling 0 in a layer"),
    ],
    ids=str,
)
def test_why_there_is_no_exact_determinant(given, words):
    model = ResidualNetwork(4, 2, **{"activation": "linear", "carry": 0.0} | given)
    assert words in theory.no_log_determinant(model)
    with pytest.raises(ValueError, match="determinant"):
        theory.log_determinant(model)
