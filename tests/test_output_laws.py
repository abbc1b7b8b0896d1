"""The law of the output's norm: against one output neuron, raw outputs, quadrature; and what is refused.

A comparison with samples is bounded by the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart at a false-alarm
probability of 6.3e-5, as in test_analyses.py; there are ten of them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

import resmc
from resmc import KSDistance, ResNet, Simulation, theory
from resmc.analyses import OutputNormLaw
from resmc.analyses.output_laws import output_norm, output_norm_cells

HALF = math.sqrt(0.5)
MODELS = [
    ResNet(12, 18, HALF, HALF, input_norm=2.0, n_out=10),
    ResNet(5, 6, 0.0, 1.4, n_out=10),
    ResNet(30, 10, -0.4, 3.0, "balanced", n_out=10),
]
NETWORKS = 100_000
BOUND = math.sqrt(math.log(2.0 / 6.3e-5) / (2.0 * NETWORKS))


@pytest.fixture(scope="module", params=MODELS, ids=lambda m: m.variant + str(m.width))
def run(request: pytest.FixtureRequest) -> Simulation:
    """With the outputs of all its networks."""
    return resmc.simulate(request.param, networks=NETWORKS, seed=20_500, keep_samples=NETWORKS)


def raw(sim: Simulation, outputs: int) -> np.ndarray:
    """Log of the outputs' squared norm, sorted, in units of infinite width; -inf for the dead."""
    with np.errstate(divide="ignore"):
        found = np.log((sim.samples.output[:, :outputs] ** 2).sum(axis=1))
    return np.sort(found - sim.model.log_norm_offset(sim.model.depth))


def direct(x: np.ndarray, cdf: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of sorted samples to a law given at them."""
    steps = np.arange(len(x) + 1) / len(x)
    return float(max(np.abs(cdf - steps[1:]).max(), np.abs(cdf - steps[:-1]).max()))


@pytest.mark.parametrize("outputs", [1, 3, 10])
def test_distances_of_the_outputs_norm_are_those_of_raw_outputs(run: Simulation, outputs: int):
    law = output_norm(run, n_out=outputs)
    limit = theory.log_norm(run.model, [run.model.depth])
    mean, variance = float(limit.mean[0]) - run.model.log_norm_offset(run.model.depth), float(limit.variance[0])
    x = raw(run, outputs)
    laws = {"ks_gaussian": (0.0, 0.0), "ks_log_gaussian": (mean, variance)}
    for name, (centre, spread) in laws.items():
        ks: KSDistance = getattr(law, name)
        with np.errstate(over="ignore"):
            found = direct(x, theory.output_norm_cdf(x, outputs, centre, spread))
        print(name, float(ks.value), found, BOUND, ks.resolution)
        assert abs(float(ks.value) - found) < BOUND + 0.1 * ks.resolution
        assert ks.noise_floor < 0.87 / math.sqrt(NETWORKS)  # of the log-norms only: less than that of samples
        assert 0.0 < float(ks.stderr) < 2.0 / math.sqrt(NETWORKS)


def test_the_control_a_law_with_another_number_of_outputs_is_told_apart(run: Simulation):
    x = raw(run, 3)
    wrong = output_norm(run, n_out=4)
    found = direct(x, theory.output_norm_cdf(x, 3, 0.0, 0.0))
    assert abs(float(wrong.ks_gaussian.value) - found) > BOUND + 0.1 * wrong.ks_gaussian.resolution


def test_with_one_output_the_distance_is_twice_that_of_the_output_neuron(run: Simulation):
    """By symmetry P(|z_out|^2 <= t^2) = 2 P(z_out <= t) - 1; the two are evaluated on different grids."""
    norm, neuron = output_norm(run, n_out=1), run.log_gaussian_fit().output
    for name in ("ks_gaussian", "ks_log_gaussian"):
        twice, once = getattr(norm, name), getattr(neuron, name)
        grid = 0.002 * float(twice.value) + 2e-5
        assert abs(float(twice.value) - 2.0 * float(once.value)) < grid
        noise = [1.96 * float(one.stderr) - one.resolution for one in (twice, once)]
        assert noise[0] == pytest.approx(2.0 * noise[1], rel=0.1)
        assert twice.noise_floor == pytest.approx(2.0 * once.noise_floor, rel=0.05)


def test_the_fit_holds_the_law_of_all_outputs_of_its_model(run: Simulation):
    fit = run.log_gaussian_fit()
    assert isinstance(fit.output_norm, OutputNormLaw)
    assert fit.output_norm.n_out == 10
    assert float(fit.output_norm.ks_gaussian.value) == float(output_norm(run).ks_gaussian.value)
    assert "output_norm" in repr(fit)


@pytest.mark.parametrize("outputs", [1, 10])
def test_cells_hold_the_share_of_raw_outputs_with_an_error_below_theirs(run: Simulation, outputs: int):
    offset = run.model.log_norm_offset(run.model.depth)
    edges = offset + np.linspace(-12.0, 6.0, 61)
    cells = output_norm_cells(run, edges, outputs)
    counts, _ = np.histogram(raw(run, outputs) + offset, edges)
    binomial = np.sqrt(cells.value * (1.0 - cells.value) / NETWORKS)
    z = (counts / NETWORKS - cells.value) / np.sqrt(binomial**2 + 1e-10)
    assert np.abs(z).max() < 4.5
    assert (cells.stderr <= 1.001 * binomial).all()  # mixing takes the noise of the output away
    assert (cells.stderr[cells.value > 1e-3] > 0.0).all()


def test_where_every_network_is_dead_the_distance_is_1():
    sim = resmc.simulate(width=1, depth=60, alpha=0.0, lam=1.0, networks=1000)
    assert sim.dead[-1] == 1000
    law = sim.log_gaussian_fit().output_norm
    assert float(law.ks_gaussian.value) == pytest.approx(1.0, abs=1e-6)
    assert (output_norm_cells(sim, np.array([-1e3, 0.0, 1e3])).value == 0.0).all()


@pytest.mark.parametrize(
    "model",
    [ResNet(1 << 20, 1, HALF, HALF), ResNet(10, 2000, HALF, HALF, n_out=3), ResNet(40, 5, 1.0, 0.0, n_out=2)],
    ids=["narrow", "wide", "skip only"],
)
def test_laws_far_narrower_and_wider_than_the_chi_square_are_mixed_in_bounded_work(model: ResNet):
    sim = resmc.simulate(model, networks=64)
    law = output_norm(sim)
    for ks in (law.ks_gaussian, law.ks_log_gaussian):
        assert 0.0 <= float(ks.value) <= 1.0
        assert ks.resolution < 0.2
    if model.depth < 10:  # hardly anything but the chi-square: no difference to be seen
        assert float(law.ks_log_gaussian.value) < 0.1


@pytest.mark.parametrize("n_out", [0, -1, 1.5, "1", (1 << 17) + 1, True])
def test_impossible_numbers_of_outputs_are_refused(n_out):
    sim = resmc.simulate(width=4, depth=2, alpha=0.6, lam=0.8, networks=64)
    for call in (
        lambda: output_norm(sim, n_out=n_out),
        lambda: output_norm_cells(sim, np.array([0.0, 1.0]), n_out),
        lambda: theory.output_norm_cdf(0.0, n_out, 0.0, 1.0),
    ):
        with pytest.raises(ValueError, match=r"^n_out=.*an integer from 1 to 131072"):
            call()


# ----------------------------------------------------------------------------------------------------- theory's mixture


def test_with_one_output_the_mixture_is_that_of_one_output_neuron():
    for variance in (0.0, 1e-4, 0.3, 4.9, 5.0, 30.0, 1e4):
        x = np.linspace(-60.0, 40.0, 801)
        twice = 2.0 * theory.output_cdf(np.exp(0.5 * x), 0.3, variance) - 1.0
        np.testing.assert_allclose(theory.output_norm_cdf(x, 1, 0.3, variance), twice, atol=1e-12)


@pytest.mark.parametrize("n_out", [2, 10, 1000])
@pytest.mark.parametrize("variance", [0.0019, 0.19, 0.23, 2.0])
def test_the_mixture_is_its_integral_on_either_side_of_the_change_of_nodes(n_out: int, variance: float):
    for x in np.log(n_out) + np.array([-3.0, -0.5, 0.0, 0.2, 2.0]):
        deviation = math.sqrt(variance)
        exact, _ = integrate.quad(
            lambda u, t=x, s=deviation: stats.norm.pdf(u) * special.gammainc(0.5 * n_out, 0.5 * np.exp(t - s * u)),
            -9.0, 9.0, epsabs=1e-13, epsrel=1e-13, limit=400,
        )  # fmt: skip
        assert float(theory.output_norm_cdf(x, n_out, 0.0, variance)) == pytest.approx(exact, abs=2e-11)


def test_the_mixture_keeps_the_shape_and_has_the_right_ends():
    found = theory.output_norm_cdf(np.array([[-np.inf, -200.0], [900.0, np.inf]]), 131072, 0.0, 2.0)
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 1.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, np.nan, 1.0), "mean="), ((1, 0.0, np.inf), "variance="), ((1, 0.0, -1.0), "variance=-1.0 is not allowed")],
)
def test_impossible_parameters_of_the_mixture_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        theory.output_norm_cdf(0.0, *arguments)
