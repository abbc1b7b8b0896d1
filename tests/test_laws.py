"""The law of a number over all networks: quantiles and their errors."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmc.engine import finals
from resmc.engine.cuda import tally
from resmc.results.laws import BIN_WIDTH, Law
from resmc.results.medians import median, paired_medians

INF = math.inf


@given(
    st.lists(st.floats(-1e4, 1e4) | st.sampled_from([-math.inf, math.inf]), min_size=1, max_size=50),
    st.floats(0.01, 0.99),
)
@settings(deadline=None, max_examples=200)
def test_quantiles_are_those_of_the_values_within_a_bin(values, p):
    x = np.array(values)
    found = float(Law.of(x).quantile(p).value)
    below, reached = np.sort(x)[[max(math.ceil(p * len(x)) - 1, 0), min(math.floor(p * len(x)), len(x) - 1)]]
    if math.isinf(found) or math.isinf(below):
        assert found == below
        return
    assert min(below, found) == found or found - below <= 2 * BIN_WIDTH or found <= reached + BIN_WIDTH
    assert found >= below - 2 * BIN_WIDTH


def test_joined_laws_are_the_law_of_all():
    x = np.random.default_rng(0).normal(0.0, 1.0, 3000)
    x[::50], x[1::100] = -np.inf, np.inf
    whole, joined = Law.of(x, 0.5), Law.joined([Law.of(part, 0.5) for part in np.split(x, 3)])
    np.testing.assert_array_equal(whole.bins, joined.bins)
    np.testing.assert_array_equal(whole.counts, joined.counts)
    for one in (whole, joined):
        assert (one.zeros, one.exploded, one.offset, one.networks) == (60, 30, 0.5, 3000)


@pytest.mark.parametrize("middle", [lambda x: float(Law.of(x).median.value), lambda x: float(median(x).value)])
def test_nobody_is_left_out_of_a_median(middle):
    """0 is -infinity and exploded +infinity, in laws and in samples."""
    x = np.arange(1000.0)
    for below, above, expected in ((0, 500, 749), (500, 0, 249), (300, 300, 499), (1001, 0, -INF), (0, 1001, INF)):
        values = np.concatenate([np.full(below, -INF), x, np.full(above, INF)])
        assert middle(values) == expected if math.isinf(expected) else abs(middle(values) - expected) <= 1.0
    assert middle(np.full(50, INF)) == INF
    assert middle(np.full(50, -INF)) == -INF


def test_a_quantile_whose_error_reaches_infinity_has_none():
    for end in (-INF, INF):
        values = np.concatenate([np.full(490, end), np.random.default_rng(3).normal(size=510)])
        for found in (Law.of(values).median, median(values)):
            assert math.isfinite(float(found.value))
            assert math.isnan(float(found.stderr))


def test_nan_has_no_place_in_a_law():
    with pytest.raises(ValueError, match="values holds 2 NaN: a law has numbers and infinities alone"):
        Law.of(np.array([1.0, math.nan, math.nan]))
    assert math.isnan(float(median(np.array([1.0, math.nan])).value))


@pytest.mark.parametrize("n", [64, 1000])
def test_intervals_of_medians_cover_at_least_as_often_as_they_say(n):
    """600 samples of each law, one of them with an atom beside the median; 0.95 less 4 standard deviations of it."""
    rng = np.random.default_rng(4)
    edge = lambda: np.where(rng.random(n) < 0.125, 0.0, rng.normal(0.2, 1.0, n))  # noqa: E731
    laws = {"normal": (lambda: rng.normal(size=n), 0.0), "skew": (lambda: rng.exponential(size=n), math.log(2.0)),
            "edge": (edge, 0.2 - 0.18001237)}  # fmt: skip
    for name, (draw, exact) in laws.items():
        ends = np.array([median(draw()).interval() for _ in range(600)])
        covered = float(np.mean((ends[:, 0] <= exact) & (exact <= ends[:, 1])))
        assert covered > 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / 600), name
        assert name == "edge" or covered < 0.995  # and not by being wide


def test_paired_medians_know_their_difference_better_than_either():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        x = rng.normal(size=1000)
        found = paired_medians(x + 0.1 + 0.05 * rng.normal(size=1000), x)
        low, high = found.interval()
        covered += bool(low < 0.1 < high)
        assert float(found.stderr) < 0.6 * float(median(x).stderr)
    assert covered / 400 > 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / 400)


def test_intervals_of_quantiles_cover_as_often_as_they_say():
    """95% intervals of three quantiles of 1000 log-normals, 600 times: 95% +- 4 standard deviations of such a count."""
    rng, p = np.random.default_rng(1), np.array([0.1, 0.5, 0.9])
    exact = np.array([-1.2815515655446004, 0.0, 1.2815515655446004])
    covered = np.zeros(3)
    for _ in range(600):
        low, high = Law.of(rng.normal(0.0, 1.0, 1000)).quantile(p).interval()
        covered += (low <= exact) & (exact <= high)
    assert np.all(np.abs(covered / 600 - 0.95) < 4.0 * math.sqrt(0.95 * 0.05 / 600)), covered / 600


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_the_degrees_of_freedom_of_a_quantile_are_those_that_its_error_scatters_with(p):
    """An error with df degrees scatters by 1/sqrt(2 df) of itself; 400 samples, +- 5 standard deviations of that."""
    rng = np.random.default_rng(8)
    found = [Law.of(rng.normal(0.0, 1.0, 4000)).quantile(p) for _ in range(400)]
    errors = np.array([float(one.stderr) for one in found])
    scatter = errors.std(ddof=1) / errors.mean()
    assert abs(scatter * np.sqrt(2.0 * float(found[0].df)) - 1.0) < 5.0 / np.sqrt(2.0 * 399.0)


def test_the_error_of_a_quantile_is_that_of_a_bin_where_all_values_are_in_one():
    for x in (0.0, 207.944154, -1e-9):
        law = Law.of(np.full(20_000, x))
        assert abs(float(law.median.z_score(x))) <= 1.0 + 1e-6
        assert abs(float(law.median.value) - x) < BIN_WIDTH


def test_where_quantiles_have_no_error_none_is_given():
    assert np.isnan(Law.of(np.arange(31.0)).median.stderr)  # fewer than 32
    assert np.isfinite(Law.of(np.arange(32.0)).median.stderr)
    assert np.isnan(Law.of(np.arange(100.0)).quantile(0.001).stderr)  # beyond the sample
    dead = Law.of(np.concatenate([np.full(80, -np.inf), np.zeros(20)]))
    assert dead.median.value == -np.inf
    assert np.isnan(dead.median.stderr)
    assert str(dead.median) == "log 0"
    assert Law.of(np.full(40, -np.inf)).median.value == -np.inf


@pytest.mark.parametrize("p", [0.0, 1.0, -0.5, math.nan, "half"])
def test_a_quantile_that_is_none_is_refused_in_a_sentence(p):
    with pytest.raises(ValueError, match="is not allowed"):
        Law.of(np.arange(50.0)).quantile(p)


def test_a_density_integrates_to_the_networks_that_have_a_value():
    x = np.random.default_rng(2).normal(0.0, 1.0, 10_000)
    x[:1000] = -np.inf
    edges, density = Law.of(x, 3.0).histogram(50)
    assert np.sum(density * np.diff(edges)) == pytest.approx(0.9)
    assert edges[0] < 3.0 < edges[-1]
    with pytest.raises(ValueError, match="logarithm of 0"):
        Law.of(np.full(3, -np.inf)).histogram()


@pytest.mark.parametrize("most_bins", [1 << 22, 5000])
def test_counts_made_on_a_device_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch, most_bins: int) -> None:
    """In parts, and whatever leaves the device on the way."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(tally, "MOST_BINS", most_bins)
    monkeypatch.setattr(finals, "LEAST_JOINED", 1000)
    accelerator = SimpleNamespace(torch=torch, out_of_memory=MemoryError)
    there, here = tally.DeviceTally(accelerator), finals.Tally()
    rng = np.random.default_rng(1)
    parts = [rng.normal(3.0 * i, 10.0**-i, 3000) for i in range(5)] + [np.full(7, -np.inf), np.array([0.0, -0.0, 2e9])]
    parts[1][::7] = -np.inf
    for part in parts:
        there.add(torch.from_numpy(part))
        here.add(part)
    whole = finals.FinalCounts.counted(np.concatenate(parts))
    for found in (there.counts(), here.counts()):
        np.testing.assert_array_equal(found.bins, whole.bins)
        np.testing.assert_array_equal(found.counts, whole.counts)
        assert (found.zeros, found.counts.dtype, found.bins.dtype) == (whole.zeros, np.int64, np.int64)
    assert there.counts().zeros == whole.zeros  # asked twice, it is the same


def test_parts_are_joined_seldom() -> None:
    """Joining each as it comes would sort the whole law once more for every part."""
    counted, joined = finals.Tally(), []
    for part in np.arange(400_000.0).reshape(400, 1000):
        counted.add(part)
        joined.append(counted.joined)
    assert len({id(law) for law in joined}) == 1
    assert counted.counts().counts.sum() == 400_000
