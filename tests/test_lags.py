"""Correlations between layers, by pair and by distance: packed triangles, and the means over them."""

from __future__ import annotations

import numpy as np
import pytest

import resmc
from resmc import ResNet
from resmc.results.pairs import places_of_pairs
from resmc.theory.lags import lags_of

MODELS = {"skip": ResNet(4, 9, 0.6, 0.8), "dying": ResNet(3, 7, 0.0, 1.3)}


@pytest.mark.parametrize("layers", [[0], [0, 1, 2, 3], [0, 3, 4, 9], [0, 7, 1 << 20]], ids=str)
def test_lags_are_the_distances_of_layers_and_each_pair_has_its_own(layers: list[int]) -> None:
    lags, which = lags_of(np.array(layers))
    distance = np.abs(np.subtract.outer(layers, layers))
    assert np.array_equal(lags, np.unique(distance))
    assert np.array_equal(lags[which], distance)


def test_a_packed_triangle_has_the_places_of_both_halves() -> None:
    where = places_of_pairs(3)
    assert where.tolist() == [[0, 1, 2], [1, 3, 4], [2, 4, 5]]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_correlation_is_that_of_the_networks_alive_at_both_layers(model: ResNet) -> None:
    sim = resmc.simulate(model, networks=300, keep_trajectories=300, seed=2, progress=False)
    paths = sim.trajectories.asymmetry
    alive = np.isfinite(paths)
    found = np.full((paths.shape[1],) * 2, np.nan)
    for first, second in np.ndindex(found.shape):
        both = alive[:, first] & alive[:, second]
        with np.errstate(invalid="ignore", divide="ignore"):
            found[first, second] = np.corrcoef(paths[both, first], paths[both, second])[0, 1]
    defined = np.isfinite(found)
    assert alive.all() == (model is MODELS["skip"])  # both ways of summing are met
    np.testing.assert_allclose(sim.asymmetry_correlation.value[defined], found[defined], rtol=1e-5, atol=1e-6)
    lags, which = lags_of(sim.layers)
    by_lag = [np.nanmean(sim.asymmetry_correlation.value[which == k]) for k in range(len(lags))]
    np.testing.assert_allclose(sim.interlayer_correlations().by_lag.value, by_lag, rtol=1e-12)
