"""Orthogonal weights: projected against matrices written out, kernels against the twin, norms that are kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from test_residual_kernels import TOLERANCE, differences
from test_residual_reference import RECORDS, autograd

import resmc
from resmc import DepthScaling, ResidualNetwork, Weights
from resmc.models.weight_law import ORTHOGONAL
from resmc.reference import simulate_residual
from resmc.theory.facts import facts

BOUND = 4.8  # of 35 moments in 4 networks: one in 4000 runs
CASES = {
    "phi-in relu": ResidualNetwork(3, 3, "phi-in", "relu", 0.7, weights="orthogonal"),
    "phi-in balanced": ResidualNetwork(6, 4, "phi-in", "balanced", 0.7, weights="orthogonal", keep=0.7),
    "phi-out tanh": ResidualNetwork(2, 3, "phi-out", "tanh", 0.7, weights="orthogonal"),
    "inside": ResidualNetwork(5, 4, "phi-out", "gelu", 0.9, DepthScaling(0.5, -1.3, inside=True), "orthogonal"),
    "v-phi-w relu": ResidualNetwork(3, 3, "v-phi-w", "relu", 0.7, weights="orthogonal"),
    "norms": ResidualNetwork(7, 4, "v-phi-w", "silu", weights="orthogonal", norm="layer", norm_at="sandwich"),
}


def features(model: ResidualNetwork, method: str, seed: int = 1) -> np.ndarray:
    """Logarithms at both ends and between, overlaps, and all products of two of them, network by network."""
    p = simulate_residual(model, 20_000, seed=seed, method=method)
    records = [p.log_norm[:, -1], p.log_norm[:, 1], p.log_gradient[:, 0], p.log_displacement[:, -1],
               p.log_gradient_displacement[:, 0], p.overlap[:, 0], p.overlap[:, 1]]  # fmt: skip
    x = np.stack([np.where(np.isfinite(one), one, -30.0) for one in records], axis=1)
    return np.concatenate([x, (x[:, :, None] * x[:, None, :])[:, *np.tril_indices(x.shape[1])]], axis=1)


def worst(a: np.ndarray, b: np.ndarray) -> float:
    errors = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    return float(np.abs((a.mean(axis=0) - b.mean(axis=0)) / np.where(errors > 0.0, errors, np.inf)).max())


@pytest.mark.parametrize("name", ["phi-in relu", "phi-out tanh", "v-phi-w relu", "norms"])
def test_what_is_drawn_has_the_joint_law_of_matrices_that_are_written_out(name):
    model = CASES[name]
    projected = features(model, "projected")
    assert worst(projected, features(model, "dense")) < BOUND
    gaussian = ResidualNetwork(**{**vars_of(model), "weights": "gaussian"})
    assert worst(projected, features(gaussian, "projected")) > 1.5 * BOUND  # negative control


def vars_of(model: ResidualNetwork) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("width", "depth", "block", "activation", "carry", "scaling", "norm",
                                                    "norm_at", "eps")}  # fmt: skip


WRITTEN_OUT = {
    **CASES,
    "bias": ResidualNetwork(6, 4, "phi-in", "tanh", 0.8, weights="orthogonal", bias=0.4),
    "bias, v-phi-w": ResidualNetwork(5, 3, "v-phi-w", "relu", weights="orthogonal", bias=0.3, bias_law="uniform"),
    "tied": ResidualNetwork(6, 5, "phi-out", "leaky_relu", 0.5, weights=Weights("orthogonal", "tied"), bias=0.2),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_kernels_write_out_the_matrices_of_the_twin(name):
    assert differences(WRITTEN_OUT[name], method="dense").max() < TOLERANCE


@pytest.mark.cpu
def test_written_out_matrices_do_not_depend_on_threads_or_ranges():
    model = WRITTEN_OUT["bias, v-phi-w"]
    whole = resmc.simulate(model, networks=100, seed=2, gradients=True, threads=2, keep_trajectories=100)
    part = resmc.simulate(model, networks=40, first_network=32, seed=2, gradients=True, threads=1, keep_trajectories=40)
    assert whole.method == part.method == "dense"
    np.testing.assert_array_equal(whole.trajectories.log_norm[32:72], part.trajectories.log_norm)
    for name, path in part.trajectories.ratios.items():
        np.testing.assert_array_equal(whole.trajectories.ratios[name][32:72], path)


@pytest.mark.cpu
def test_a_bias_adds_its_mean_square_beside_orthogonal_matrices():
    """E|h_{k+1}|^2/n = carry^2 E|h_k|^2/n + s^2 (E|h_k|^2/n + t^2)/2 of v-phi-w with a ReLU."""
    model = ResidualNetwork(8, 5, "v-phi-w", "relu", 0.8, weights="orthogonal", bias=0.5)
    paths = resmc.simulate(model, networks=10_000, seed=6, keep_trajectories=10_000).trajectories.log_norm
    squares, known = np.exp(paths), [1.0]
    for _ in range(5):
        known.append(0.64 * known[-1] + (known[-1] + 0.25) / 10)
    errors = squares.std(axis=0) / 100.0
    assert np.abs((squares.mean(axis=0) - known) / errors).max() < 4.5  # one in 20,000 runs
    assert np.abs((squares.mean(axis=0) - np.array(known) * 1.1) / errors).max() > 9.0  # negative control


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_kernels_draw_the_networks_of_the_twin(name):
    assert differences(CASES[name], method="projected").max() < TOLERANCE
    wide = ResidualNetwork(100, 20, CASES[name].block, "tanh", weights="orthogonal")
    assert differences(wide, method="projected").max() < TOLERANCE


def test_matrices_are_orthogonal_and_uniform():
    torch = pytest.importorskip("torch")
    model = ResidualNetwork(4, 2, "v-phi-w", weights="orthogonal")
    drawn = model.draw_weights(seed=2, network=5)
    for matrix in (*drawn.V, *drawn.W):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-12)
    from resmc.torch_module.generated import Generated

    generated = Generated(model, 4000, 2, torch.Generator().manual_seed(3)).matrix("outer", 0) / 2.0
    np.testing.assert_allclose(generated[0] @ generated[0].T, np.eye(4), atol=1e-12)
    # A coordinate of a point on the sphere in R^4 has the square Beta(1/2, 3/2); traces of two halves agree in sign.
    assert stats.kstest(generated[:, 2, 1] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-5
    assert stats.kstest(generated[:, 0, 0] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-5
    assert abs(np.sign(np.linalg.det(generated)).mean()) < 4.5 / math.sqrt(4000)
    raw = np.linalg.qr(np.random.default_rng(1).normal(size=(4000, 4, 4)))[0]
    assert (raw[:, 0, 0] < 0.0).mean() > 0.9  # negative control: without the signs of R it is not uniform
    assert ORTHOGONAL.projected
    assert not ORTHOGONAL.gaussian


@pytest.mark.parametrize("name", ["phi-in relu", "phi-out tanh", "norms"])
def test_the_dense_gradient_is_autograds(name):
    pytest.importorskip("torch")
    paths = simulate_residual(CASES[name], 2, seed=71, method="dense")
    for row in range(2):
        found = autograd(CASES[name], 71, row)
        for record in RECORDS:
            ours = getattr(paths, record)[row]
            np.testing.assert_allclose(ours[1:-1], found[record][1:-1], rtol=1e-8, atol=1e-8, err_msg=record)


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
def test_linear_networks_without_a_skip_keep_their_norm_and_theory_says_so(block):
    model = ResidualNetwork(16, 200, block, "linear", 0.0, DepthScaling(0.0, 0.9), "orthogonal")
    sim = resmc.simulate(model, networks=64, seed=1, gradients=True, keep_samples=64)
    for name in ("growth", "gradient"):
        np.testing.assert_allclose(sim.samples.ratios[name], 200.0 * math.log(0.81), atol=1e-3)
        assert facts(model).quotient_moment(name, "mean", np.array([0, 200])).max() == pytest.approx(0.0)
        assert facts(model).quotient_moment(name, "variance", np.array([0, 100, 200])).any() == False  # noqa: E712
    known = facts(model).log_norm(np.array([0, 200]))
    start = special.digamma(8.0) + math.log(2.0 / 16.0)
    np.testing.assert_allclose(known.mean, [start, start + 200.0 * math.log(0.81)])
    beside = ResidualNetwork(16, 200, block, "linear", 0.5, weights="orthogonal")
    assert facts(beside).log_norm(np.array([0, 200])) is None


@pytest.mark.cpu
def test_a_relu_layer_keeps_a_beta_share_of_the_norm():
    """|sigma(u)|^2 of u uniform on the sphere is Beta(k/2, (n - k)/2) with k active neurons, Binomial(n, 1/2)."""
    n, depth = 9, 4
    model = ResidualNetwork(n, depth, "phi-in", "relu", 0.0, DepthScaling(0.0), "orthogonal")
    growth = resmc.simulate(model, networks=200_000, seed=3).log_ratio("growth")
    k = np.arange(1, n)
    weights = np.append(stats.binom(n, 0.5).pmf(k), 0.5**n) / (1.0 - 0.5**n)
    means = np.append(special.digamma(k / 2.0) - special.digamma(n / 2.0), 0.0)
    spreads = np.append(special.polygamma(1, k / 2.0) - special.polygamma(1, n / 2.0), 0.0)
    mean = float(weights @ means)
    variance = float(weights @ (spreads + means**2)) - mean**2
    layers = np.arange(depth + 1)
    checked = layers > 0
    assert np.abs(growth.mean.z_score(mean * layers)[checked]).max() < 4.5
    assert np.abs(growth.variance.z_score(variance * layers)[checked]).max() < 4.5
    assert np.abs(growth.mean.z_score(1.02 * mean * layers)[checked]).max() > 9.0  # negative control


@pytest.mark.cpu
@pytest.mark.parametrize(("block", "activation"), [("v-phi-w", "relu"), ("phi-in", "balanced"), ("phi-out", "linear")])
def test_mean_squares_are_those_of_independent_entries(block, activation):
    model = ResidualNetwork(6, 6, block, activation, 0.8, weights="orthogonal")
    sim = resmc.simulate(model, networks=40_000, seed=5, gradients=True)
    for name in ("growth", "gradient"):
        known = facts(model).second_moment(name, sim.layers)
        moment = sim.log_ratio(name).log_second_moment
        checked = moment.stderr > 1e-6
        assert checked.sum() > 3
        assert np.abs(moment.z_score(known)[checked]).max() < 4.5, name
        assert np.abs(moment.z_score(known + 0.1)[checked]).max() > 9.0  # negative control


@pytest.mark.cpu
def test_files_and_sweeps_have_orthogonal_weights(tmp_path):
    model = CASES["phi-in relu"]
    sim = resmc.simulate(model, networks=64, seed=1)
    sim.save(tmp_path / "run.resmc")
    assert sim.method == resmc.load(tmp_path / "run.resmc").method == "projected"
    plan = resmc.Sweep(width=8, depth=3, weights=["orthogonal", "student_t(5)"], networks=64, block="phi-in")
    result = plan.run(tmp_path / "store", progress=False)
    assert result.simulation(weights="orthogonal").method == "projected"
    assert result.simulation(weights="student_t(5)").method == "dense"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: resmc.simulate(WRITTEN_OUT["bias"], networks=9, method="projected"), "bias=0.4 is not allowed"),
        (lambda: simulate_residual(WRITTEN_OUT["bias"], 9), "how W\\^T goes on from W x \\+ b"),
        (lambda: ResidualNetwork(1, 2, weights="orthogonal"), "at least 2"),
        (lambda: ResidualNetwork(8, 2, "v-phi-w", weights="orthogonal", inner_width=9), "such matrices are square"),
        (lambda: Weights("orthogonal", resmc.FractionalNoise(0.3)), "a process in depth is Gaussian"),
        (lambda: resmc.simulate(CASES["phi-in relu"], networks=9, angle=0.5), "not allowed with angle"),
        (lambda: resmc.simulate(CASES["phi-in relu"], networks=9, tangent_kernel=True), "one input and one gradient"),
        (lambda: resmc.simulate(CASES["phi-in relu"], networks=9, device="cuda"), "device='cpu'"),
        (lambda: resmc.moment_growth(CASES["phi-in relu"], 1.0), "in populations that are resampled"),
        (lambda: resmc.quadratic_variation(ResidualNetwork(8, 2, weights="orthogonal"), [2, 4]), "has every depth"),
    ],
)
def test_what_orthogonal_weights_do_not_go_with_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
