"""Estimates for many simulations at once are those of each alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

import resmc
from resmc import ResNet, Simulation
from resmc.engine.lowering import lower
from resmc.engine.sums import ACTIVITY_SUMS, NORM_SUMS, ActivitySums, LayerSums, NormSums, Sums
from resmc.results import layer_estimates, reliability
from resmc.results.estimates import Estimate, jackknife


def simulations() -> list[Simulation]:
    """Of random models and sizes: some of fewer groups than 32, fewer networks than 32, deaths, unreliable growth."""
    rng = np.random.default_rng(3)
    out = []
    for i, networks in enumerate(
        [1, 2, 5, 15, 16, 20, 31, 32, 33, 40, 63, 64, 100, 300, 511, 512, 700, 2000, 5000] * 2
    ):
        alpha = 0.0 if i % 4 == 0 else float(rng.uniform(-1, 1))
        variant = ("vanilla", "balanced")[i % 3 == 0]
        model = ResNet(int(rng.integers(1, 12)), int(rng.integers(1, 12)), alpha, float(rng.uniform(0.1, 2)), variant)
        first = int(rng.integers(0, 10**6))
        out.append(resmc.simulate(model, networks=networks, seed=i, first_network=first, progress=False, threads=1))
    gaps = [out[5], out[11], out[14]]
    return out + [
        replace(s, statistics=without_groups(s.statistics, slice(0, k))) for s, k in zip(gaps, (3, 9, 17), strict=True)
    ]


def without_groups(statistics: Sums, gone: slice) -> Sums:
    """The same with nobody in some groups."""
    arrays = {name: array.copy() for name, array in statistics.arrays().items()}
    networks = statistics.networks.copy()
    for array in (networks, *arrays.values()):
        array[gone] = np.zeros((), array.dtype)
    norms = NormSums(networks, arrays.pop("norms"))
    return Sums(norms, ActivitySums.beside(norms, arrays.pop("activity")), **arrays)


@pytest.fixture(scope="module")
def sims() -> list[Simulation]:
    return simulations()


def offset(sim: Simulation) -> float:
    return float(lower(sim.model).offsets(sim.layers[-1:])[0])


def activity_of(sums: LayerSums) -> ActivitySums:
    assert sums.activity is not None
    return sums.activity


ESTIMATES: dict[str, Callable[[LayerSums, NDArray[np.int64], NDArray[np.float64]], Estimate]] = {
    "log_norm_mean": lambda sums, width, offsets: layer_estimates.log_norm_mean(sums.norms, offsets),
    "log_norm_variance": lambda sums, width, offsets: layer_estimates.log_norm_variance(sums.norms),
    "log_norm_skewness": lambda sums, width, offsets: layer_estimates.log_norm_skewness(sums.norms),
    "log_norm_excess_kurtosis": lambda sums, width, offsets: layer_estimates.log_norm_excess_kurtosis(sums.norms),
    "asymmetry_mean": lambda sums, width, offsets: layer_estimates.asymmetry_mean(activity_of(sums), width),
    "asymmetry_variance": lambda sums, width, offsets: layer_estimates.asymmetry_variance(activity_of(sums)),
    "active_fraction": lambda sums, width, offsets: layer_estimates.active_fraction(activity_of(sums), width),
    "log_second_moment": lambda sums, width, offsets: layer_estimates.log_second_moment(sums.norms, offsets).estimate,
}


MOMENTS = {
    "log_norm_variance": reliability.VARIANCE,
    "log_norm_skewness": reliability.SKEWNESS,
    "log_norm_excess_kurtosis": reliability.KURTOSIS,
}


def inputs(sims: list[Simulation]) -> tuple[LayerSums, NDArray[np.int64], NDArray[np.float64]]:
    stacked = LayerSums.stack([s.statistics.final() for s in sims])
    return stacked, np.array([s.model.width for s in sims]), np.array([offset(s) for s in sims])


@pytest.mark.parametrize("name", ESTIMATES)
def test_an_entry_is_the_same_in_every_bit_alone_and_among_others(sims, name):
    whole = ESTIMATES[name](*inputs(sims))
    dfs = np.broadcast_to(whole.df, whole.shape)
    low, high = whole.interval()
    for i, sim in enumerate(sims):
        alone = ESTIMATES[name](*inputs([sim]))
        unstacked = ESTIMATES[name](sim.statistics.final(), *inputs([sim])[1:])  # group sizes of shape (32,)
        for one in (alone, unstacked):
            for a, b in ((whole.value[i], one.value[0]), (whole.stderr[i], one.stderr[0]), (whole.n[i], one.n[0])):
                np.testing.assert_array_equal(a, b, err_msg=f"{i} {sim}")
            np.testing.assert_array_equal(dfs[i], one[0].df)
            np.testing.assert_array_equal([low[i], high[i]], [x[0] for x in one.interval()])
        assert whole[i].df == dfs[i]


@pytest.mark.parametrize("name", [name for name in ESTIMATES if name != "log_second_moment"])
def test_the_last_layer_of_a_simulation_is_an_entry(sims, name):
    whole = ESTIMATES[name](*inputs(sims))
    for i, sim in enumerate(sims):
        np.testing.assert_allclose(whole.value[i], getattr(sim, name).value[-1], rtol=1e-13, atol=1e-15)
        few = name in MOMENTS and sim.alive[-1] < reliability.least_networks(MOMENTS[name], sim.lowered)
        expected = np.nan if few else whole.stderr[i]
        np.testing.assert_allclose(expected, getattr(sim, name).stderr[-1], rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(whole[i].df, getattr(sim, name)[-1].df)


def test_reliability_and_effective_sample_size_are_those_of_each_alone(sims):
    sums, _, offsets = inputs(sims)
    whole = layer_estimates.log_second_moment(sums.norms, offsets)
    for i, sim in enumerate(sims):
        alone = sim.variance_growth()
        assert whole.reliable[i] == alone.reliable[-1]
        assert whole.effective_sample_size[i] == alone.effective_sample_size[-1]
    assert {False, True} == set(whole.reliable.tolist())


def test_the_simulations_here_have_all_that_is_special(sims):
    sums = inputs(sims)[0]
    used = (sums.networks > 0).sum(axis=0)
    assert used.min() < 16 < used.max() == 32
    assert len(set(used.tolist())) > 5
    assert (sums.norms.alive.sum(axis=0) < sums.networks.sum(axis=0)).any()


def test_degrees_of_freedom_may_differ_by_entry():
    rng = np.random.default_rng(0)
    values, sizes = rng.normal(size=(33, 2)), np.full((32, 2), 5)
    sizes[:10, 1] = 0
    both = jackknife(values, sizes)
    np.testing.assert_array_equal(both.df, [31, 21])
    assert (both[1].df, both[-1:].df.tolist()) == (21, [21])
    for i in (0, 1):
        alone = jackknife(values[:, i], sizes[:, i])
        assert (alone.stderr, alone.n, alone.df) == (both.stderr[i], both.n[i], both.df[i])
        assert [x[i] for x in both.interval(0.9)] == [float(x) for x in alone.interval(0.9)]


def same(a: NormSums | ActivitySums, b: NormSums | ActivitySums) -> None:
    assert type(a) is type(b)
    for f in fields(a):
        np.testing.assert_array_equal(getattr(a, f.name), getattr(b, f.name))


def test_sums_can_be_stacked_and_merged(sims):
    sim, other = sims[9], sims[17]
    sums = sim.statistics
    assert sums.norms.records.dtype == NORM_SUMS
    assert activity_of(sums).records.dtype == ACTIVITY_SUMS
    more = resmc.simulate(sim.model, networks=50, seed=1, first_network=10**7, progress=False)
    merged = sums.merged(more.statistics).final()
    parts = sums.final().merged(more.statistics.final())
    assert type(parts) is LayerSums
    same(parts.norms, merged.norms)
    same(activity_of(parts), activity_of(merged))
    stacked = LayerSums.stack([sums.final(), other.statistics.final()])
    twice = LayerSums.stack([stacked, stacked])
    np.testing.assert_array_equal(twice.networks, np.tile(stacked.networks, 2))
    same(twice.final().norms, stacked.final().norms)
    same(activity_of(twice).final(), activity_of(stacked).final())


def test_networks_without_an_asymmetry_have_no_estimate_of_it_beside_others(sims):
    tanh = resmc.simulate(resmc.ResidualNetwork(5, 4, activation="tanh"), networks=100, progress=False)
    assert tanh.statistics.activity is None
    assert LayerSums.stack([tanh.statistics.final()] * 2).activity is None
    stacked = LayerSums.stack([sims[9].statistics.final(), tanh.statistics.final()])
    np.testing.assert_array_equal(stacked.norms.alive.sum(axis=0)[1], 100)
    width = np.array([sims[9].model.width, 5])
    for estimate in (
        layer_estimates.asymmetry_mean(activity_of(stacked), width),
        layer_estimates.asymmetry_variance(activity_of(stacked)),
        layer_estimates.active_fraction(activity_of(stacked), width),
    ):
        assert np.isfinite(estimate.value).tolist() == [True, False]
        assert np.isfinite(estimate.stderr).tolist() == [True, False]
