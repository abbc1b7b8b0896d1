"""The four analyses: names, shapes, counts, and what has no value.

Statistical comparisons use |z| < 4 with fixed seeds, as in test_exact_values.py; there are about 150 of them here and
in test_invariants.py, a false-alarm probability of 1% in all.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from exact_comparisons import BOUND, assert_all_within, z_against_exact
from scipy import special, stats
from test_projected_and_dense_agree import z_of_two_counts

import resmc
from resmc import Estimate, KSDistance, ResNet, Simulation, theory
from resmc.analyses.summary import Row
from resmc.results.observables import OBSERVABLES

HALF = math.sqrt(0.5)


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    """No analysis may warn, not even when everybody is dead."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def sim() -> Simulation:
    """An ordinary one."""
    return resmc.simulate(
        width=20, depth=12, alpha=HALF, lam=HALF, networks=20_000, seed=20_000, layers=[0, 3, 4, 8, 12]
    )


# ----------------------------------------------------------------------------------------------------- names and shapes


def test_the_log_gaussian_fit_has_its_public_names(sim: Simulation):
    fit = sim.log_gaussian_fit()
    for name in ("mean", "variance", "skewness", "excess_kurtosis"):
        estimate = getattr(fit, name)
        assert type(estimate) is Estimate
        assert estimate.shape == ()
        assert float(estimate.value) == float(getattr(sim, f"log_norm_{name}").value[-1])
        assert float(estimate.stderr) == float(getattr(sim, f"log_norm_{name}").stderr[-1])
    limit = theory.log_norm(sim.model, [12])
    assert fit.theory.mean == limit.mean
    assert fit.theory.variance == limit.variance
    assert fit.exact is None
    distances = (
        fit.ks_fitted,
        fit.ks_theory,
        fit.ks_gaussian_limit,
        fit.output.ks_gaussian,
        fit.output.ks_log_gaussian,
    )
    for ks in distances:
        assert type(ks) is KSDistance
        assert ks.shape == ()
        assert 0.0 <= float(ks.value) <= 1.0
        assert 0.0 < float(ks.stderr) < 0.05
        assert 0.0 < ks.noise_floor < 0.05
        assert 0.0 < ks.resolution < 0.02
        assert int(ks.n) == 20_000
    # 'poorly captured' and 'remarkably well captured': the limit is nearer than the Gaussian of infinite width
    assert float(fit.ks_theory.value) < float(fit.ks_gaussian_limit.value)
    assert float(fit.output.ks_log_gaussian.value) < float(fit.output.ks_gaussian.value)


def test_exact_moments_stand_beside_the_fit_where_they_are_known():
    for model in (
        ResNet(6, 4, 0.0, 1.3, "balanced-half"),
        ResNet(6, 4, 0.0, -1.0),
        ResNet(6, 4, -2.0, 0.0, "balanced"),
    ):
        fit = resmc.simulate(model, networks=20_000, seed=20_001).log_gaussian_fit()
        assert fit.exact is not None
        assert_all_within(
            [
                (name, z_against_exact(getattr(fit, name), float(getattr(fit.exact, name)[0])))
                for name in ("mean", "variance", "skewness")
            ],
            at_least=3,
        )


def test_hypoactivation_has_its_public_names(sim: Simulation):
    hypo = sim.hypoactivation()
    np.testing.assert_array_equal(hypo.layers, [0, 3, 4, 8, 12])
    for name in ("asymmetry", "active_fraction"):
        assert type(getattr(hypo, name)) is Estimate
        assert getattr(hypo, name).shape == (5,)
        np.testing.assert_array_equal(
            getattr(hypo.theory, name), getattr(theory.hypoactivation(sim.model, sim.layers), name)
        )
    assert hypo.exact_asymmetry[0] == 0.0
    assert hypo.exact_active_fraction[0] == 0.5
    assert np.isnan(hypo.exact_asymmetry[1:]).all()
    assert np.isnan(hypo.exact_active_fraction[1:]).all()
    assert hypo.inactive.shape == hypo.dead.shape == (5,)
    assert not hypo.dead.any()
    assert (hypo.asymmetry.value[1:] + BOUND * hypo.asymmetry.stderr[1:] < 0.0).all()
    assert (hypo.active_fraction.value[1:] + BOUND * hypo.active_fraction.stderr[1:] < 0.5).all()


def test_interlayer_correlations_have_their_public_names(sim: Simulation):
    inter = sim.interlayer_correlations()
    np.testing.assert_array_equal(inter.layers, [0, 3, 4, 8, 12])
    np.testing.assert_array_equal(inter.lags, [0, 1, 3, 4, 5, 8, 9, 12])
    assert inter.matrix.shape == inter.theory.shape == (5, 5)
    assert inter.by_lag.shape == inter.theory_by_lag.shape == (8,)
    np.testing.assert_allclose(np.diagonal(inter.matrix.value), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(inter.matrix.value, inter.matrix.value.T)
    np.testing.assert_array_equal(inter.matrix.stderr, inter.matrix.stderr.T)
    np.testing.assert_array_equal(inter.theory_by_lag, theory.interlayer_correlation(sim.model, inter.lags))
    np.testing.assert_array_equal(
        inter.theory, theory.interlayer_correlation(sim.model, np.abs(np.subtract.outer(sim.layers, sim.layers)))
    )
    assert inter.exact is None
    m = inter.matrix.value
    for lag, pairs in {1: [(1, 2)], 4: [(0, 2), (2, 3), (3, 4)], 8: [(0, 3), (2, 4)], 9: [(1, 4)]}.items():
        k = int(np.flatnonzero(inter.lags == lag)[0])
        assert float(inter.by_lag.value[k]) == pytest.approx(np.mean([m[i, j] for i, j in pairs]), rel=1e-12)


def test_variance_growth_has_its_public_names(sim: Simulation):
    growth = sim.variance_growth()
    np.testing.assert_array_equal(growth.ratio, np.array([0, 3, 4, 8, 12]) / 20.0)
    for name in ("log_second_moment", "theory", "exact", "reliable", "effective_sample_size"):
        assert getattr(growth, name).shape == (5,), name
    np.testing.assert_array_equal(growth.theory, theory.variance_growth(sim.model, sim.layers))
    assert growth.log_second_moment.value[0] == 0.0
    assert growth.log_second_moment.stderr[0] == 0.0
    assert growth.reliable.dtype == np.bool_


@pytest.mark.parametrize(
    "analysis", ["log_gaussian_fit", "hypoactivation", "interlayer_correlations", "variance_growth"]
)
def test_results_are_frozen(sim: Simulation, analysis: str):
    result = getattr(sim, analysis)()
    for field in dataclasses.fields(result):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, field.name, None)


@pytest.mark.parametrize("variant", ["balanced", "balanced-half"])
def test_balanced_networks_have_exact_values_beside_everything(variant: str):
    run = resmc.simulate(width=10, depth=6, alpha=0.9, lam=-0.7, variant=variant, networks=50_000, seed=20_002)
    hypo, inter, growth = run.hypoactivation(), run.interlayer_correlations(), run.variance_growth()
    np.testing.assert_array_equal(hypo.exact_asymmetry, 0.0)
    np.testing.assert_array_equal(hypo.exact_active_fraction, 0.5)
    assert inter.exact == 0.0
    np.testing.assert_allclose(growth.exact, np.arange(7) * math.log(0.81 + 0.49))
    assert_all_within([(f"lag {k}", z_against_exact(inter.by_lag[k], 0.0)) for k in range(1, 7)], at_least=6)


# -------------------------------------------------------------------------------------------------- inactive and dead


def test_60_percent_of_the_narrow_networks_of_the_theory_are_inactive_and_stay_in_every_statistic():
    """n = 3, d = 12, alpha = lam = 1/sqrt(2)."""
    networks = 50_000
    model = ResNet(3, 12, HALF, HALF)
    run = resmc.simulate(model, networks=networks, seed=20_200, keep_trajectories=networks)
    hypo = run.hypoactivation()
    fraction = hypo.inactive[-1] / networks
    assert 0.57 < fraction < 0.63
    assert (np.diff(hypo.inactive) >= 0).all()  # an inactive network remains so
    np.testing.assert_array_equal(run.alive, networks)
    np.testing.assert_array_equal(hypo.dead, 0)
    np.testing.assert_array_equal(hypo.asymmetry.n, networks)
    silent = run.trajectories.asymmetry[:, -1] == -1.0
    assert hypo.inactive[-1] <= silent.sum() <= hypo.inactive[-1] * 1.02  # a float32's A may round to -1
    assert float(hypo.asymmetry.value[-1]) == pytest.approx(
        float(run.trajectories.asymmetry[:, -1].mean(dtype=float)), abs=1e-6
    )
    assert float(run.log_norm_mean.value[-1]) == pytest.approx(run.trajectories.log_norm[:, -1].mean(), abs=1e-6)
    dense = resmc.simulate(model, method="dense", networks=networks, seed=20_201)
    comparisons = [
        (f"layer {i}", z_of_two_counts(int(run.inactive[i]), int(dense.inactive[i]), networks, networks))
        for i in (0, 4, 12)
    ]
    assert_all_within(comparisons, at_least=3)
    assert f"at depth 12: {run.inactive[-1]} inactive, 0 dead" in run.summary()


def finite_or_absent(estimate: Estimate) -> bool:
    """No infinity anywhere, and NaN only where nobody contributes."""
    return bool((np.isfinite(estimate.value) | (np.isnan(estimate.value) & (estimate.n == 0))).all())


@pytest.mark.parametrize("networks", [60, 5_000])
@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_the_dead_are_counted_and_in_no_mean(variant: str, networks: int):
    run = resmc.simulate(
        width=2, depth=8, alpha=0.0, lam=0.9, variant=variant, networks=networks, seed=20_202,
        keep_trajectories=networks, keep_samples=networks,
    )  # fmt: skip
    dead = np.isneginf(run.trajectories.log_norm)
    np.testing.assert_array_equal(run.dead, dead.sum(axis=0))
    np.testing.assert_array_equal(run.hypoactivation().dead, run.dead)
    np.testing.assert_array_equal(run.alive, networks - run.dead)
    assert run.dead[-1] > 0
    assert run.alive[-1] > 0
    np.testing.assert_array_equal(np.isnan(run.trajectories.asymmetry), dead)
    np.testing.assert_array_equal(run.samples.output[:, 0] == 0.0, dead[:, -1])
    for estimate in (run.log_norm_mean, run.asymmetry_mean, run.active_fraction):
        assert finite_or_absent(estimate)
        np.testing.assert_array_equal(estimate.n, run.alive)
    np.testing.assert_allclose(
        run.log_norm_mean.value, [run.trajectories.log_norm[~d, i].mean() for i, d in enumerate(dead.T)], atol=1e-5
    )
    growth = run.variance_growth()
    w = np.exp(np.where(dead, -np.inf, run.trajectories.log_norm) - run.trajectories.log_norm[:, :1])
    np.testing.assert_allclose(growth.log_second_moment.value, np.log(w.mean(axis=0)), atol=1e-4)  # as 0, not left out
    np.testing.assert_array_equal(growth.log_second_moment.n, networks)
    assert run.histogram.counts.sum() + run.histogram.underflow + run.histogram.overflow == run.alive[-1]


@pytest.mark.parametrize("networks", [1, 10, 5_000])
@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_where_everybody_is_dead_there_is_no_value_and_n_is_0(variant: str, networks: int):
    run = resmc.simulate(
        width=1, depth=60, alpha=0.0, lam=1.0, variant=variant, networks=networks, seed=20_203, keep_samples=networks
    )
    assert run.dead[-1] == networks
    fit, hypo, growth = run.log_gaussian_fit(), run.hypoactivation(), run.variance_growth()
    scalars = [fit.mean, fit.variance, fit.skewness, fit.excess_kurtosis, hypo.asymmetry[-1], hypo.active_fraction[-1]]
    for estimate in [*scalars, run.asymmetry_variance[-1], run.interlayer_correlations().matrix[0, -1]]:
        assert np.isnan(estimate.value)
        assert np.isnan(estimate.stderr)
        assert int(estimate.n) == 0
    assert np.isnan(growth.log_second_moment.value[-1])
    assert not growth.reliable[-1]
    assert run.histogram.counts.sum() == 0
    assert (run.samples.output == 0.0).all()
    assert np.isneginf(run.samples.log_norm).all()
    assert not np.isinf(run.log_norm_mean.value).any()
    assert "no value" in run.summary()
    assert f"{networks} dead" in run.summary()
    run.to_xarray()


@pytest.mark.parametrize("networks", [1, 10, 5_000])
def test_where_everybody_is_dead_the_log_norm_has_no_distance_to_any_law(networks: int):
    run = resmc.simulate(width=1, depth=60, alpha=0.0, lam=1.0, networks=networks, seed=20_204)
    fit = run.log_gaussian_fit()
    for name in ("ks_fitted", "ks_theory", "ks_gaussian_limit"):
        ks = getattr(fit, name)
        assert int(ks.n) == 0
        assert np.isnan(ks.value), name
        assert np.isnan(ks.stderr), name
    # the output is 0 in all networks: a law, at distance 1/2 from every symmetric continuous one
    assert float(fit.output.ks_gaussian.value) == pytest.approx(0.5, abs=1e-3)


# -------------------------------------------------------------------------------------------------- tables and xarray


@pytest.mark.parametrize(
    "model", [ResNet(20, 12, HALF, HALF), ResNet(8, 5, 0.0, 1.3, "balanced"), ResNet(4, 3, -2.0, 0.0)]
)
def test_the_summary_contains_every_quantity(model: ResNet):
    run = resmc.simulate(model, networks=4_000, seed=20_300, first_network=500)
    table = str(run.summary())
    d = model.depth
    for name in (
        "mean L_0", "variance L_0", "variance A_0", f"mean L_{d}", f"variance L_{d}", f"skewness L_{d}",
        f"excess kurtosis L_{d}", "KS of L, fitted Gaussian", "KS of L, log-Gaussian limit", "KS of L, infinite width",
        "KS of output, log-Gaussian", "KS of output, infinite width", "E A_0", "E F_0", f"E A_{d}", f"E F_{d}",
        "Corr A, lag 1", "Corr A, lag 2", "Corr A, lag 3", f"log E|z_{d}|^2/|z_0|^2",
    ):  # fmt: skip
        assert sum(line.startswith(f"{name} ") for line in table.splitlines()) == 1, name
    for part in (
        model.variant,
        f"width {model.width}",
        f"depth {d}",
        "4000 networks",
        "500..4499",
        "projected",
        "seed 20300",
    ):
        assert part in table, part
    lines = {line[:30].strip(): line[30:] for line in table.splitlines()}
    mean = run.log_gaussian_fit().mean
    shown, _, error = lines[f"mean L_{d}"].split()[:3]
    assert abs(float(shown) - float(mean.value)) < 0.06 * float(mean.stderr)
    assert float(error) == pytest.approx(float(mean.stderr), rel=0.06)
    exact = model.alpha == 0.0 or model.lam == 0.0
    assert ("z = " in lines[f"mean L_{d}"]) == exact  # a z-score against an exact value only
    assert ("leading order" in lines[f"mean L_{d}"]) == (not exact)
    assert "exact" in lines["mean L_0"]


def test_to_xarray_has_labelled_dimensions(sim: Simulation):
    data = sim.to_xarray()
    assert dict(data.sizes) == {"layer": 5, "layer2": 5, "lag": 8, "bin": sim.bins.count}
    np.testing.assert_array_equal(data["layer"], sim.layers)
    np.testing.assert_array_equal(data["lag"], sim.interlayer_correlations().lags)
    edges = sim.histogram.edges
    np.testing.assert_array_equal(data["bin"], (edges[1:] + edges[:-1]) / 2.0)
    np.testing.assert_array_equal(data["ratio"], sim.layers / 20.0)
    estimates = {
        "log_norm_mean": sim.log_norm_mean, "log_norm_variance": sim.log_norm_variance,
        "log_norm_skewness": sim.log_norm_skewness, "log_norm_excess_kurtosis": sim.log_norm_excess_kurtosis,
        "asymmetry": sim.asymmetry_mean, "active_fraction": sim.active_fraction,
        "log_second_moment": sim.variance_growth().log_second_moment,
    }  # fmt: skip
    for name, estimate in estimates.items():
        assert data[name].dims == data[f"{name}_stderr"].dims == ("layer",)
        np.testing.assert_array_equal(data[name], estimate.value)
        np.testing.assert_array_equal(data[f"{name}_stderr"], estimate.stderr)
    assert data["asymmetry_correlation"].dims == ("layer", "layer2")
    assert data["asymmetry_correlation_by_lag"].dims == ("lag",)
    np.testing.assert_array_equal(data["asymmetry_correlation"], sim.interlayer_correlations().matrix.value)
    for name in ("log_norm_mean", "log_norm_variance", "asymmetry", "active_fraction", "log_second_moment"):
        assert data[f"{name}_theory"].dims == ("layer",)
    for name in ("alive", "inactive", "dead"):
        np.testing.assert_array_equal(data[name], getattr(sim, name))
    np.testing.assert_array_equal(data["histogram"], sim.histogram.counts)
    assert data.sel(layer=8)["log_norm_mean"] == sim.log_norm_mean.value[3]
    for name, value in sim.model.to_dict().items():
        assert data.attrs[name] == value
    assert data.attrs["networks"] == 20_000
    assert data.attrs["seed"] == 20_000


# ------------------------------------------------------------------------------------------------------- output's law


@pytest.mark.parametrize(
    "model",
    [ResNet(12, 18, HALF, HALF, input_norm=2.0), ResNet(5, 6, 0.0, 1.4), ResNet(30, 10, -0.4, 3.0, "balanced")],
    ids=lambda m: m.variant + str(m.width),
)
def test_ks_distances_of_the_output_are_those_of_direct_samples(model: ResNet):
    """By the triangle inequality they differ by no more than the samples' empirical law from the true one.

    That is below sqrt(log(2/p)/(2 N)) with probability 1 - p (Dvoretzky, Kiefer, Wolfowitz; Massart), p as for |z| < 4.
    """
    networks = 100_000
    run = resmc.simulate(model, networks=networks, seed=20_400, keep_samples=networks)
    output = run.log_gaussian_fit().output
    x = run.samples.output[:, 0] / math.exp(0.5 * model.log_norm_offset(model.depth))
    limit = theory.log_norm(model, [model.depth])
    mean, variance = float(limit.mean[0]) - model.log_norm_offset(model.depth), float(limit.variance[0])
    bound = math.sqrt(math.log(2.0 / 6.3e-5) / (2.0 * networks))
    laws = {"ks_gaussian": special.ndtr, "ks_log_gaussian": lambda t: theory.output_cdf(t, mean, variance)}
    for name, cdf in laws.items():
        direct = float(stats.ks_1samp(x, cdf).statistic)
        ks: KSDistance = getattr(output, name)
        print(name, float(ks.value), direct, bound)
        assert abs(float(ks.value) - direct) < bound
        # noise of the mixture is that of the log-norms only: less than that of samples
        assert ks.noise_floor < 0.87 / math.sqrt(networks)
    assert float(output.ks_gaussian.value) > 4.0 * bound  # the control: the other law's distance would not do
    assert abs(float(output.ks_gaussian.value) - float(output.ks_log_gaussian.value)) > bound or model.alpha == 0.0


@pytest.mark.parametrize(("value", "said"), [(-1e-4, "z = +0.00"), (1e-4, "z = +0.00"), (-0.5, "z = -0.50")])
def test_no_z_score_is_minus_zero(value: float, said: str):
    estimate = Estimate(np.array(value), np.array(1.0), np.array(1000))
    row = Row(OBSERVABLES["asymmetry"], "E A_0", estimate, 0, exact=0.0)
    assert row.comparison()[2] == said
    limited = Row(OBSERVABLES["asymmetry"], "E A_0", estimate / 100.0 + 1.0, 0, limit=1.0)
    assert limited.comparison()[2] == {-1e-4: "+0.00%", 1e-4: "+0.00%", -0.5: "-0.50%"}[value]
