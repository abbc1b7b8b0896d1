"""Contract 4: the same bits for any thread count, the same numbers for any split; and the numbers are right.

Bit for bit: the same range of networks, on any number of threads, with any selection of recorded layers. Integers
exactly and floats within 1e-12 of their natural scale: any other split of the range, merged. And all of it against
plain NumPy on the kept paths of the very same networks.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import resmc
from resmc import ResNet, Simulation, _native, reference
from resmc._system.build import VARIABLE
from resmc.engine.recording import Bins, batch_size
from resmc.engine.request import NetworkRange, group_sizes

HALF = math.sqrt(0.5)
SPLIT_TOLERANCE = 1e-12  # contract 4

SKIP = ResNet(4, 3, HALF, HALF)
PLAIN = ResNet(2, 6, 0.0, 1.0, n_out=2)  # alpha = 0: most networks die
TURNING = ResNet(3, 5, -0.6, 0.8, "balanced")
WILD = ResNet(2, 30, 1e-30, 1.0)  # silent networks shrink by 1e-60 a layer beside living ones


def run(model: ResNet, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, **{"progress": False, "threads": 1, **settings})


def assert_same_bits(a: Simulation, b: Simulation) -> None:
    sums = b.statistics.by_name()
    for name, x in a.statistics.by_name().items():
        assert (x.dtype, x.shape, x.tobytes()) == (sums[name].dtype, sums[name].shape, sums[name].tobytes()), (
            f"{name} differs"
        )
    for part in ("samples", "trajectories"):
        for f in (f for f in fields(getattr(a, part)) if f.name != "ratios"):
            x, y = getattr(getattr(a, part), f.name), getattr(getattr(b, part), f.name)
            assert x.dtype == y.dtype, f.name
            assert x.shape == y.shape, f.name
            assert x.tobytes() == y.tobytes(), f"{part}.{f.name} differs"
    assert a.layers.tolist() == b.layers.tolist()
    assert (a.model, a.method, a.seed, a.ranges, a.bins) == (b.model, b.method, b.seed, b.ranges, b.bins)


# -------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("model", "networks", "first", "method"),
    [
        (SKIP, 50, 0, "projected"),
        (SKIP, 50, 2**32 - 17, "dense"),
        (PLAIN, 1000, 3, "projected"),
        (TURNING, 5000, 2**40 + 1, "projected"),
        (TURNING, 5000, 77, "dense"),
        (PLAIN, 140_000, 4095, "projected"),
        (SKIP, 140_000, 0, "projected"),
        (ResNet(40, 600, HALF, HALF), 300, 0, "projected"),
    ],
)
def test_any_number_of_threads_gives_the_same_bits(model, networks, first, method):
    def with_threads(threads: int) -> Simulation:
        return run(
            model, networks, first_network=first, method=method, threads=threads, seed=3,
            keep_samples=networks // 2, keep_trajectories=networks // 3,
        )  # fmt: skip

    one = with_threads(1)
    for threads in (2, 3, 7):
        assert_same_bits(one, with_threads(threads))
    assert_same_bits(one, with_threads(7))  # and again, with other timing


def test_another_seed_and_another_range_give_other_bits():
    """Negative control for every comparison of bits here."""
    one = run(SKIP, 1000)
    for other in (run(SKIP, 1000, seed=1), run(SKIP, 1000, first_network=1), run(SKIP, 1000, method="dense")):
        with pytest.raises(AssertionError, match="differs"):
            assert_same_bits(one, other)


@pytest.mark.parametrize("model", [SKIP, PLAIN, TURNING])
def test_fewer_recorded_layers_are_the_same_layers_bit_for_bit(model):
    """But for the products on a GPU: a library makes them, and may sum a larger matrix in another order."""
    chosen = sorted({2, model.depth - 1})
    full = run(model, 3000, keep_trajectories=3000, keep_samples=10)
    part = run(model, 3000, keep_trajectories=3000, keep_samples=10, layers=chosen)
    kept = [0, *chosen, model.depth]
    assert part.layers.tolist() == kept
    size = len(full.layers)
    place = {pair: i for i, pair in enumerate(zip(*np.triu_indices(size), strict=True))}
    pairs = [place[kept[i], kept[j]] for i, j in zip(*np.triu_indices(len(kept)), strict=True)]
    sums = part.statistics.by_name()
    for name, whole in full.statistics.by_name().items():
        some = sums[name]
        if name in ("products", "partial_sums", "partial_squares"):
            whole = whole[:, pairs] if whole.size else whole
            if not full.numerics[1].startswith("cpu/"):
                np.testing.assert_allclose(some, whole, rtol=SPLIT_TOLERANCE, atol=SPLIT_TOLERANCE * 3000)
                continue
        elif name not in ("networks", "histogram"):
            whole = whole[..., kept]
        np.testing.assert_array_equal(some, whole, err_msg=name)
    np.testing.assert_array_equal(part.trajectories.log_norm, full.trajectories.log_norm[:, kept])
    np.testing.assert_array_equal(part.trajectories.asymmetry, full.trajectories.asymmetry[:, kept])
    np.testing.assert_array_equal(part.samples.output, full.samples.output)


# --------------------------------------------------------------------------------------------------------------- splits


def scaled_difference(a: Any, b: Any, scale: Any) -> float:
    """Largest |a - b| / scale; 0 where both are equal or both NaN, infinite where only one is NaN."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(a - b) / scale
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative)), initial=0.0))


Pooled = dict[str, tuple[NDArray[Any], NDArray[Any]]]  # value, and what 1 means for its error


def pooled(sim: Simulation, by_group: bool = False) -> tuple[dict[str, NDArray[Any]], Pooled]:
    """Integer sums, and float statistics per network with their natural scale; of all networks, or of each group."""
    s, size = sim.statistics, len(sim.layers)
    assert s.activity is not None

    def total(array: NDArray[Any]) -> NDArray[Any]:
        return array if by_group else array.sum(axis=0)

    integers = {name: total(s.by_name()[name]) for name in ("networks", "alive", "inactive", "active", "histogram")}
    integers["active_square"] = total(4 * s.activity.active_square)  # sums of squares of halves
    n = np.maximum(total(s.norms.alive), 1)
    rows, columns = np.triu_indices(size)
    floats: Pooled = {}
    for name, orders in (("log_norm", 4), ("growth_log", 2)):
        moments = np.zeros((1, 5, size))
        if by_group:
            moments = np.concatenate(
                [s.norms.alive[:, None], getattr(s.norms, name), np.zeros((32, 4 - orders, size))], axis=1
            )
        else:
            moments = s.norms.whole_moments(name)[None]
        count = np.maximum(moments[:, 0], 1)
        sigma = np.sqrt(moments[:, 2] / count)
        sigma = np.maximum(sigma, 1e-3)  # layer 0 of the growth has no spread
        floats[f"{name} mean"] = moments[:, 1], sigma
        for k in range(2, orders + 1):
            floats[f"{name} moment {k}"] = moments[:, k] / count, sigma**k
    if by_group:
        w = np.ldexp(s.norms.growth[:, 0], s.norms.growth_exponent.astype(np.int32)) / n
        w2 = np.ldexp(s.norms.growth[:, 1], 2 * s.norms.growth_exponent.astype(np.int32)) / n
    else:
        sums, unit = s.norms.pooled_growth()
        w, w2 = np.ldexp(sums[0, 0], unit.astype(np.int32)) / n, np.ldexp(sums[0, 1], 2 * unit.astype(np.int32)) / n
    floats["growth"] = w, np.sqrt(w2)
    floats["growth square"] = w2, w2
    square = total(s.activity.asymmetry_square) / n
    deviation = np.sqrt(square)
    floats["asymmetry"] = total(s.activity.asymmetry) / n, deviation
    floats["asymmetry square"] = square, square
    later = n[..., columns]
    floats["products"] = total(s.products) / later, deviation[..., rows] * deviation[..., columns]
    if s.partial_sums.size:
        floats["partial sums"] = total(s.partial_sums) / later, np.sqrt(total(s.partial_squares) / later)
        floats["partial squares"] = total(s.partial_squares) / later, total(s.partial_squares) / later
    return integers, floats


def worst_difference(a: Simulation, b: Simulation, by_group: bool = False) -> float:
    """Largest difference of float statistics in their natural scale; infinite if an integer or a count differs."""
    integers, floats = pooled(a, by_group)
    other_integers, other_floats = pooled(b, by_group)
    if any(not np.array_equal(integers[name], other_integers[name]) for name in integers):
        return math.inf
    worst = 0.0
    for name, (value, scale) in floats.items():
        worst = max(worst, scaled_difference(value, other_floats[name][0], scale))
    return worst


TOTAL, FIRST = 5000, 2**32 - 1234


@cache
def whole(model: ResNet) -> Simulation:
    return run(model, TOTAL, first_network=FIRST, threads=2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    model=st.sampled_from([SKIP, PLAIN, TURNING, WILD]),
    cuts=st.lists(st.integers(1, TOTAL - 1), min_size=1, max_size=4, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_any_split_merged_equals_the_whole(model, cuts, order):
    edges = [0, *sorted(cuts), TOTAL]
    parts = [run(model, b - a, first_network=FIRST + a) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    together = resmc.merge(*parts)
    assert together.networks == TOTAL
    assert worst_difference(together, whole(model)) < SPLIT_TOLERANCE
    np.testing.assert_allclose(together.log_norm_mean.value, whole(model).log_norm_mean.value, rtol=0, atol=1e-11)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(1, 299), min_size=2, max_size=6, unique=True), order=st.randoms(use_true_random=False))
def test_merging_step_by_step_in_any_order_equals_the_whole(cuts, order):
    edges = [0, *sorted(cuts), 300]
    parts = [run(PLAIN, b - a, first_network=a, seed=9) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    together = parts[0]
    for part in parts[1:]:
        together = resmc.merge(part, together)
    one = run(PLAIN, 300, seed=9)
    assert worst_difference(together, one) < SPLIT_TOLERANCE
    assert sum(r.stop - r.start for r in together.ranges) == 300


@pytest.mark.parametrize("model", [ResNet(2, 2, 0.0, 1.0), ResNet(3, 2, 0.8, 0.6)])
def test_long_runs_merge_group_by_group_so_that_standard_errors_agree_too(model):
    """Ranges of at least 131072 networks have the same blocks as the whole, wherever they are cut."""
    sizes = [131_072, 140_001, 133_333]
    edges = np.cumsum([12_345, *sizes])
    parts = [run(model, n, first_network=int(a), threads=2) for a, n in zip(edges, sizes, strict=False)]
    one = run(model, sum(sizes), first_network=12_345, threads=2)
    together = resmc.merge(*parts)
    assert together.ranges == one.ranges
    assert worst_difference(together, one, by_group=True) < SPLIT_TOLERANCE
    for name in ("log_norm_variance", "log_norm_skewness", "asymmetry_mean", "asymmetry_variance"):
        a, b = getattr(together, name).stderr, getattr(one, name).stderr
        np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=name)


def test_parts_of_equal_length_keep_their_blocks():
    parts = [run(SKIP, 1000, first_network=1000 * i) for i in range(3)]
    together = resmc.merge(*parts)
    assert together.ranges == (NetworkRange(0, 3000, batch_size(1000)),)
    np.testing.assert_array_equal(together.statistics.networks, group_sizes(together.ranges[0]))


def test_merge_does_not_depend_on_the_order_of_its_arguments():
    parts = [
        run(PLAIN, n, first_network=first, keep_samples=5, keep_trajectories=7)
        for first, n in ((0, 100), (100, 1), (150, 999), (2**40, 64))
    ]
    one = resmc.merge(*parts)
    for order in itertools.permutations(parts):
        assert_same_bits(one, resmc.merge(*order))
    assert one.networks == 1164
    assert [(r.start, r.stop) for r in one.ranges] == [(0, 100), (100, 101), (150, 1149), (2**40, 2**40 + 64)]
    numbers = [i for part in parts for i in part.samples.networks.tolist()]
    assert one.samples.networks.tolist() == numbers
    assert one.trajectories.networks.tolist() == [*range(7), 100, *range(150, 157), *range(2**40, 2**40 + 7)]


def test_merge_of_one_is_that_one():
    one = run(PLAIN, 100, keep_samples=3)
    assert_same_bits(resmc.merge(one), one)


def test_a_split_with_one_network_missing_or_wrong_is_noticed():
    """Negative control of `worst_difference`: one network of 5000 left out, or replaced by another."""
    for first, n in ((FIRST + 2000, TOTAL - 2001), (FIRST + 2001, TOTAL - 2000)):
        other = resmc.merge(run(SKIP, 2000, first_network=FIRST), run(SKIP, n, first_network=first))
        assert worst_difference(other, whole(SKIP)) > 1e-6


# ------------------------------------------------------------------------------------------------------- refused merges


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"different seed .*0 and 1"),
        ({"method": "dense"}, r"different method .*projected.*dense"),
        ({"model": ResNet(4, 3, HALF, -HALF)}, r"different model"),
        ({"model": ResNet(4, 3, HALF, HALF, n_out=2)}, r"different model"),
        ({"layers": [2]}, r"different layers .*\[0, 1, 2, 3\] and \[0, 2, 3\]"),
    ],
)
def test_merge_refuses_different_settings_in_words(change, message):
    a = run(SKIP, 40)
    change = dict(change)
    b = run(change.pop("model", SKIP), 40, first_network=40, **change)
    for pair in ((a, b), (run(SKIP, 40, first_network=80), a, b)):
        with pytest.raises(ValueError, match=message):
            resmc.merge(*pair)


def test_merge_refuses_different_bins_and_versions_in_words():
    a, b = run(SKIP, 40), run(SKIP, 40, first_network=40)
    for other, message in (
        (replace(b, bins=Bins(0.0, 0.5, b.bins.count)), "different bins"),
        (replace(b, histogram_version=99), "different histogram_version .*1 and 99"),
        (replace(b, numerics=("99", *b.numerics[1:])), "different numerics version .*'99'"),
    ):
        with pytest.raises(ValueError, match=message):
            resmc.merge(a, other)


@pytest.mark.parametrize(("first", "n"), [(0, 40), (39, 1), (0, 1), (20, 5), (20, 100)])
def test_merge_refuses_an_overlap_in_words(first, n):
    a, b = run(SKIP, 40), run(SKIP, n, first_network=first)
    far = run(SKIP, 10, first_network=1000)
    with pytest.raises(ValueError, match=r"overlap: networks \[\d+, \d+\) and \[\d+, \d+\)"):
        resmc.merge(a, far, b)
    with pytest.raises(ValueError, match="overlap"):
        resmc.merge(resmc.merge(a, far), b)


def test_merge_of_nothing_is_refused_in_words():
    with pytest.raises(ValueError, match=r"empty.*at least one"):
        resmc.merge()


@pytest.mark.cpu
def test_instruction_sets_merge_and_are_both_named(monkeypatch):
    names = [name for name, _ in _native.instruction_sets()]
    if len(names) < 2:
        pytest.skip(f"only {names[0]} on this machine")
    parts = []
    for i, name in enumerate(names):
        monkeypatch.setenv(VARIABLE, name)
        parts.append(run(SKIP, 100, first_network=100 * i))
    together = resmc.merge(*parts)
    assert together.numerics == (str(_native.NUMERICS_VERSION), *sorted(f"cpu/{name}" for name in names))


# --------------------------------------------------------------------------------------------------------------- groups


@settings(max_examples=200, deadline=None, derandomize=True)
@given(first=st.integers(0, 2**48 - 10_001), networks=st.integers(1, 10_000), log_batch=st.integers(0, 12))
def test_group_sizes_count_the_networks_of_each_group(first, networks, log_batch):
    batch = 1 << log_batch
    counted = np.bincount((first + np.arange(networks)) // batch % 32, minlength=32)
    np.testing.assert_array_equal(group_sizes(NetworkRange(first, first + networks, batch)), counted)


@pytest.mark.parametrize(("networks", "first"), [(1, 0), (31, 5), (32, 2**33 - 5), (1000, 7), (5000, 2**48 - 5000)])
def test_every_network_is_in_one_group(networks, first):
    sim = run(SKIP, networks, first_network=first)
    assert sim.networks == networks
    (only,) = sim.ranges
    assert only == NetworkRange(first, first + networks, batch_size(networks))
    np.testing.assert_array_equal(sim.statistics.norms.alive, np.repeat(sim.statistics.networks[:, None], 4, axis=1))
    np.testing.assert_array_equal(sim.statistics.networks, group_sizes(only))


def test_batches_are_powers_of_two_that_leave_at_least_32_of_them():
    for networks in (1, 31, 32, 33, 63, 64, 1000, 131_071, 131_072, 10**9):
        batch = batch_size(networks)
        assert batch & (batch - 1) == 0
        assert batch == 4096 or networks < 131_072
        assert batch == 1 or 32 * batch <= networks


# ------------------------------------------------------------------------------------- statistics of the kept networks


def discrepancies(sim: Simulation) -> dict[str, float]:
    """Statistics against plain NumPy on the kept paths of all networks: worst difference of each, in its natural scale.

    Active counts, inactive and dead networks come from the reference's networks of the same numbers.
    """
    paths, s, model = sim.trajectories, sim.statistics, sim.model
    n, size = len(paths.networks), len(sim.layers)
    assert s.activity is not None
    assert n == sim.networks
    (only,) = sim.ranges
    group = (paths.networks // np.uint64(only.batch) % np.uint64(32)).astype(int)
    x = paths.log_norm - sim.offsets
    alive = np.isfinite(x)
    a = np.where(alive, paths.asymmetry.astype(np.float64), 0.0)
    ref = reference.simulate(
        model, n, seed=sim.seed, first_network=only.start, method=sim.method, layers=sim.layers.tolist()
    )
    active = np.rint(np.where(alive, ref.active_fraction, 0.0) * model.width)
    low, width, count = sim.bins.low, sim.bins.width, sim.bins.count
    with np.errstate(invalid="ignore"):
        change = np.where(alive, x - x[:, :1], 0.0)
        w = np.where(alive, np.exp(x - x[:, :1]), 0.0)
        spot = np.floor((x[:, -1] - low) / width)
    bins = np.clip(np.where(alive[:, -1], spot, 0.0), -1, count).astype(int) + 1
    rows, columns = np.triu_indices(size)
    worst: dict[str, float] = {}

    def compare(name: str, got: Any, expected: Any, scale: Any = 1.0) -> None:
        worst[name] = max(worst.get(name, 0.0), scaled_difference(got, expected, scale))

    for g in range(32):
        mine = group == g
        here = alive[mine]
        m = here.sum(axis=0)
        compare("networks", s.networks[g], mine.sum())
        compare("alive", s.norms.alive[g], m)
        compare("active", s.activity.active[g], active[mine].sum(axis=0))
        squares = np.where(here, (active[mine] - 0.5 * model.width) ** 2, 0.0)
        compare("active square", s.activity.active_square[g], squares.sum(axis=0))
        compare("inactive", s.activity.inactive[g], (here & (active[mine] == 0)).sum(axis=0))
        inside = np.bincount(bins[mine & alive[:, -1]], minlength=count + 2)
        compare("histogram", s.histogram[g], inside)
        for name, values, stored in (
            ("log norm", x, s.norms.log_norm[g]),
            ("growth log", change, s.norms.growth_log[g]),
        ):
            v = np.where(here, values[mine], 0.0)
            mean = np.where(m > 0, v.sum(axis=0) / np.maximum(m, 1), 0.0)
            d = np.where(here, v - mean, 0.0)
            sigma = np.maximum(np.sqrt((d**2).sum(axis=0) / np.maximum(m, 1)), 1e-3)
            compare(f"{name} mean", stored[0], mean, sigma)
            for k in range(1, len(stored)):
                compare(
                    f"{name} moment {k + 1}", stored[k], (d ** (k + 1)).sum(axis=0), np.maximum(m, 1) * sigma ** (k + 1)
                )
        unit = np.exp2(s.norms.growth_exponent[g].astype(float))
        compare("growth", s.norms.growth[g, 0] * unit, w[mine].sum(axis=0), w[mine].sum(axis=0))
        compare("growth square", s.norms.growth[g, 1] * unit**2, (w[mine] ** 2).sum(axis=0), (w[mine] ** 2).sum(axis=0))
        products = (a[mine].T @ a[mine])[rows, columns]
        deviation = np.sqrt((a[mine] ** 2).sum(axis=0))
        compare("asymmetry", s.activity.asymmetry[g], a[mine].sum(axis=0), np.sqrt(np.maximum(m, 1)) * deviation)
        compare("asymmetry square", s.activity.asymmetry_square[g], deviation**2, deviation**2)
        compare("products", s.products[g], products, deviation[rows] * deviation[columns])
        if s.partial_sums.size:
            partial = (a[mine].T @ here)[rows, columns]
            squares = ((a[mine] ** 2).T @ here)[rows, columns]
            compare("partial sums", s.partial_sums[g], partial, np.sqrt(np.maximum(m[columns], 1) * squares))
            compare("partial squares", s.partial_squares[g], squares, squares)
    compare("dead", sim.dead, (~alive).sum(axis=0))
    compare("dead, by the reference", sim.dead, np.isneginf(ref.log_norm).sum(axis=0))

    n_alive = alive.sum(axis=0)
    covariance = np.full((size, size), np.nan)
    correlation = np.full((size, size), np.nan)
    for i, j in itertools.product(range(size), repeat=2):
        both = alive[:, i] & alive[:, j]
        if both.sum() > 1:
            c = np.cov(a[both, i], a[both, j])
            covariance[i, j] = c[0, 1]
            if c[0, 0] > 0 and c[1, 1] > 0:
                correlation[i, j] = c[0, 1] / math.sqrt(c[0, 0] * c[1, 1])
    compare("covariance", sim.asymmetry_covariance.value, covariance)
    compare("correlation", sim.asymmetry_correlation.value, correlation)
    compare("counts of pairs", sim.asymmetry_covariance.n, np.minimum.outer(n_alive, n_alive))

    final = x[alive[:, -1], -1]
    d = final - final.mean()
    compare("mean", sim.log_norm_mean.value[-1], final.mean() + sim.offsets[-1])
    compare("standard error", sim.log_norm_mean.stderr[-1], final.std(ddof=1) / math.sqrt(len(final)))
    compare("variance", sim.log_norm_variance.value[-1], final.var(ddof=1))
    compare("skewness", sim.log_norm_skewness.value[-1], (d**3).mean() / (d**2).mean() ** 1.5)
    compare("kurtosis", sim.log_norm_excess_kurtosis.value[-1], (d**4).mean() / (d**2).mean() ** 2 - 3.0)
    fraction = active[alive[:, -1], -1] / model.width
    compare("active fraction", sim.active_fraction.value[-1], fraction.mean())
    compare("its error", sim.active_fraction.stderr[-1], _with_unseen(fraction, 1.0 / sim.model.width))
    asymmetry = a[alive[:, -1], -1]
    compare("asymmetry mean", sim.asymmetry_mean.value[-1], asymmetry.mean())
    compare("asymmetry error", sim.asymmetry_mean.stderr[-1], _with_unseen(asymmetry, 2.0 / sim.model.width))
    compare("asymmetry variance", sim.asymmetry_variance.value[-1], asymmetry.var(ddof=1))
    return worst


INTEGERS = ("networks", "alive", "dead", "histogram", "counts of pairs", "dead, by the reference")


def _with_unseen(values: NDArray[Any], step: float) -> float:
    """The error of a mean of fractions, with three networks more that are a neuron away from it."""
    n = len(values)
    return math.sqrt((values.var() * n + 3.0 * step**2) / (n * (n - 1.0)))


BY_REFERENCE = ("active", "active square", "inactive", "active fraction", "its error")  # z near 0 may flip: see parity
FROM_FLOATS = ("growth", "growth square")  # from float32 |z|^2; the log-norm's own error is 3e-8


@pytest.mark.parametrize(
    ("model", "networks", "method"),
    [
        (ResNet(5, 6, HALF, HALF), 3000, "projected"),
        (ResNet(2, 8, 0.0, 1.0), 3000, "projected"),  # deaths at every layer
        (ResNet(3, 8, 0.0, -2.0, "balanced"), 1000, "dense"),
        (ResNet(4, 5, -0.8, 0.6, "balanced-half"), 5000, "projected"),
        (ResNet(6, 30, 3.0, 4.0, input_norm=7.0), 777, "projected"),
        (ResNet(2, 2, 0.0, 1.0), 140_000, "projected"),
        (ResNet(3, 2, 0.6, 0.8, "balanced"), 140_000, "projected"),
        (ResNet(8, 4, 1.0, 0.0), 400, "projected"),  # lam = 0: nothing grows
    ],
)
def test_statistics_are_those_of_the_kept_networks(model, networks, method):
    sim = run(model, networks, method=method, seed=4, first_network=9999, threads=2, keep_trajectories=networks)
    assert (sim.dead[-1] > 0) == (model.alpha == 0.0)
    for name, worst in discrepancies(sim).items():
        bound = 0.0 if name in INTEGERS + BY_REFERENCE[:3] else 2e-7 if name in FROM_FLOATS else 1e-10
        assert worst <= bound, f"{name}: {worst}"


def test_statistics_of_other_networks_are_not_those_of_the_kept_ones():
    """Negative control of `discrepancies`: the paths of the neighbouring range, one network in 3000 different."""
    model = ResNet(5, 6, HALF, HALF)
    sim = run(model, 3000, seed=4, keep_trajectories=3000)
    other = run(model, 3000, seed=4, first_network=1, keep_trajectories=3000)
    paths = replace(other.trajectories, networks=sim.trajectories.networks)
    found = discrepancies(replace(sim, trajectories=paths))
    for name in ("histogram", "log norm mean", "log norm moment 4", "growth", "asymmetry", "products", "covariance"):
        assert found[name] > 1e-6, name


def test_the_histogram_holds_every_living_network():
    sim = run(PLAIN, 5000, seed=2)
    h = sim.histogram
    assert h.counts.sum() + h.underflow + h.overflow == sim.alive[-1]
    assert len(h.edges) == len(h.counts) + 1


def test_histogram_and_kept_log_norms_agree_at_depth_5000_within_the_parity_error():
    """The edges are in the units of the log-norms, float32 rounding of alpha and lam included."""
    model = ResNet(3, 5000, 0.9, 0.1)
    sim = run(model, 4000, keep_samples=4000, layers=[0])
    h, x = sim.histogram, np.sort(sim.samples.log_norm)
    below = h.underflow + np.concatenate([[0], np.cumsum(h.counts)])
    assert np.all(below >= np.searchsorted(x, h.edges - 1e-9))
    assert np.all(below <= np.searchsorted(x, h.edges + 1e-9))
