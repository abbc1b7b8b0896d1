"""When a number has an error bar, and what is said where it has none."""

from __future__ import annotations

import math

import numpy as np
from exact_comparisons import assert_all_within, z_against_exact
from scipy import stats

import resmc
from resmc import ResidualNetwork, ResNet, theory

HALF = math.sqrt(0.5)


def test_reliable_marks_exactly_the_stated_rule_and_nothing_else_has_an_error():
    """n = 40, d/n = 5. The rule is evaluated anew, from the kept paths of all networks; rounding decides nowhere."""
    networks = 60_000
    run = resmc.simulate(
        width=40, depth=200, alpha=HALF, lam=HALF, networks=networks, seed=20_100, layers=range(0, 201, 4),
        keep_trajectories=networks,
    )  # fmt: skip
    growth = run.variance_growth()
    log_w = run.trajectories.log_norm - run.trajectories.log_norm[:, :1]
    w = np.exp(log_w)
    effective = w.sum(axis=0) ** 2 / (w**2).sum(axis=0)
    np.testing.assert_allclose(growth.effective_sample_size, effective, rtol=1e-3)
    explained = np.expm1(log_w.var(axis=0, ddof=1))
    scatter = networks / effective - 1.0
    believed = np.minimum(explained, 4.0 * scatter)
    margins = np.stack([0.05**2 * networks - believed, (1.5 + explained) * explained + 1e-4 - scatter])
    clear = (np.abs(margins[0]) > 1.0) & (np.abs(margins[1]) > 1e-5)
    assert clear.sum() >= 49
    np.testing.assert_array_equal(growth.reliable[clear], (margins > 0.0).all(axis=0)[clear])
    stderr, expected = growth.log_second_moment.stderr, np.sqrt(believed / networks)
    assert (stderr[growth.reliable] >= expected[growth.reliable] * (1.0 - 1e-6)).all()
    assert 3 < growth.reliable.sum() < 40
    assert not growth.reliable[-1]
    np.testing.assert_array_equal(np.isnan(growth.log_second_moment.stderr), ~growth.reliable)
    assert np.isfinite(growth.log_second_moment.value).all()  # the value still comes
    np.testing.assert_allclose(growth.log_second_moment.value, np.log(w.mean(axis=0)), rtol=1e-3, atol=1e-5)
    assert "No error bar of log E|z_200|^2" in str(run.summary())


def test_each_part_of_the_rule_can_decide():
    """A law that is too wide, or too few networks; tails that the logarithms' variance does not explain; too narrow."""
    rare = ResidualNetwork(2, 5, carry=0.0, scaling=resmc.DepthScaling(0.0, 1.0))
    narrow = ResidualNetwork(4, 6, "phi-out", "tanh")
    found = {}
    for name, model, networks in (
        ("reliable", ResNet(40, 8, HALF, HALF), 2_000),
        ("few networks, narrow law", ResNet(200, 1, 0.999, 0.04), 100),
        ("wide law", ResNet(40, 200, HALF, HALF), 2_000),
        ("tails", rare, 20_000),
        ("narrow network", narrow, 2_000),
        ("enough for a narrow network", narrow, 3_000),
    ):
        sim = resmc.simulate(model, networks=networks, seed=20_101, displacement=isinstance(model, ResidualNetwork))
        quotient = "displacement" if isinstance(model, ResidualNetwork) else "growth"
        found[name] = bool(np.isfinite(sim.log_ratio(quotient).final_log_second_moment.stderr))
    assert found == {
        "reliable": True,
        "few networks, narrow law": True,
        "wide law": False,
        "tails": False,
        "narrow network": False,
        "enough for a narrow network": True,
    }


def test_an_unreliable_mean_is_far_from_the_truth():
    """Why the rule exists: balanced, so E|z_d|^2 = |z_0|^2 exactly; at d/n = 20 the plain mean is e times below it."""
    run = resmc.simulate(width=20, depth=400, alpha=HALF, lam=HALF, variant="balanced", networks=50_000, seed=20_102)
    growth = run.variance_growth()
    log_w = growth.log_second_moment.value
    assert not growth.reliable[-1]
    assert log_w[-1] < -1.0
    reliable = np.flatnonzero(growth.reliable)[1:]
    assert_all_within(
        [(f"layer {i}", z_against_exact(growth.log_second_moment[i], 0.0)) for i in reliable[:: len(reliable) // 4]],
        at_least=4,
    )


def test_a_summary_says_where_gradients_lose_slopes_that_are_too_small():
    """A softplus that explodes: e^-|u| is far below what float32 can square; elsewhere nothing is said."""
    grown = ResidualNetwork(2, 40, "phi-out", "centred_softplus", bias=0.4, scaling=resmc.DepthScaling(0.0))
    calm = ResidualNetwork(2, 4, "phi-out", "centred_softplus", bias=0.4)
    for model, said in ((grown, True), (calm, False), (resmc.ResNet(2, 40, 1.0, 1.0), False)):
        sim = resmc.simulate(model, networks=64, seed=3, gradients=True, progress=False)
        assert ("Slopes of centred_softplus below 1e-19 count as 0" in str(sim.summary())) == said


def test_a_summary_says_how_many_networks_an_error_bar_takes_and_then_has_one():
    """Of narrow networks: the number it names gives errors, one network less does not."""
    model = ResNet(5, 4, HALF, HALF)
    text = str(resmc.simulate(model, networks=79, seed=3, progress=False).summary())
    assert "No error bar of variance L_0, variance L_4: it takes 80 networks or more." in text
    assert np.isfinite(resmc.simulate(model, networks=80, seed=3, progress=False).log_norm_variance.stderr).all()


def test_a_law_narrower_than_a_bin_has_no_distance_to_another():
    """Width 1, 10^6 layers: one bin holds every log-norm, of which no distance can be read."""
    sim = resmc.simulate(width=1, depth=10**6, alpha=HALF, lam=HALF, networks=64, layers=[0, 10**6], correlations=False)
    fit = sim.log_gaussian_fit()
    assert np.isnan(fit.ks_fitted.value)
    assert fit.ks_fitted.resolution > 0.1
    deep = resmc.simulate(width=1, depth=10**4, alpha=HALF, lam=HALF, networks=5000, layers=[0, 10**4])
    found = deep.log_gaussian_fit().ks_fitted
    low, high = found.interval()
    assert np.isnan(found.value) or low < 0.084 < high  # against all 5000 log-norms one by one


def test_correlations_have_errors_from_the_stated_numbers_of_networks_on():
    """At lag 0 a correlation is 1 by definition; the limit of neighbours is 0 in balanced networks."""
    alike = ResNet(4, 6, 0.99**0.5, 0.1)
    limit = float(theory.interlayer_correlation(alike, [1])[0])
    for model, least in (
        (ResNet(4, 6, HALF, HALF), 400),
        (ResNet(4, 6, HALF, HALF, "balanced"), 400),
        (alike, math.ceil(math.ceil(60.0 / (1.0 - limit)) / 4)),
    ):
        few, enough = (resmc.simulate(model, networks=networks, seed=20_102) for networks in (least - 1, least))
        for sim, known in ((few, False), (enough, True)):
            inter, apart = sim.interlayer_correlations(), ~np.eye(7, dtype=bool)
            for estimate, others in (
                (inter.matrix, apart),
                (sim.asymmetry_correlation, apart),
                (inter.by_lag, inter.lags > 0),
            ):
                assert (np.isfinite(estimate.stderr[others]) == known).all()
                np.testing.assert_array_equal(estimate.stderr[~others], 0.0)
            assert ("No error bar of Corr A, lag 1" in str(sim.summary())) == (not known)
        assert f"it takes {least} networks or more" in str(few.summary())


def test_correlations_of_few_changes_cover_with_enough_networks_and_not_with_an_eighth():
    """Two neurons, neighbouring layers correlated by .96: 400 seeds at 1e-4; the error of fewer is too small."""
    model = ResidualNetwork(2, 6, carry=0.9)
    options = {"layers": [0, 1, 6], "progress": False}
    truth = resmc.simulate(model, networks=1_000_000, seed=20_103, **options).asymmetry_correlation.value[0, 1]
    held = {}
    for networks in (800, 100):
        held[networks] = 0
        for seed in range(400):
            sim = resmc.simulate(model, networks=networks, seed=20_104 + seed, **options)
            found = sim.jackknife_pairs(sim.pooled_correlations)[0, 1]  # with its error, whatever the rule
            low, high = found.interval()
            held[networks] += bool(low <= truth <= high)
    least = stats.binom.ppf(1e-4, 400, 0.95)
    assert held[100] < least <= held[800], held
