"""`moment_growth`: unbiased products, exact moments far beyond what a plain mean reaches, the same bits, refusals.

Every z-score is bounded by 4.5, of t with 31 degrees of freedom: 8.9e-5 each, for the 33 of them 3e-3 in all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from populations import fully_connected, v_phi_w

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, ResNet, Weights, moment_growth, theory
from resmc.engine import native, populations
from resmc.engine.lowering import lower
from resmc.experiments import moments

pytestmark = pytest.mark.cpu
HALF = 0.5**0.5
AGREE = 4.5


def far_off(estimate: resmc.Estimate, exact: float) -> float:
    return abs(float(estimate.value) - exact) / float(estimate.stderr)


# -- exact values -----------------------------------------------------------------------------------------------------


def test_balanced_second_moments_are_exact_to_ten_times_the_width():
    run = moment_growth(ResNet(24, 240, HALF, HALF, "balanced"), populations=32, size=512, seed=1, threads=1)
    at = [int(np.searchsorted(run.layers, 24 * ratio)) for ratio in (1, 2, 5, 10)]
    assert np.abs(run.z_score[at]).max() < AGREE
    assert (run.log_moment.stderr[at] < 0.3).all()
    assert run.log_second_moment is run.log_moment
    # one population's relative error grows like the root of the depth: a plain mean's would be e^(2.25 d/n/2)
    assert 1.5 < run.scatter[at[3]] / run.scatter[at[0]] < 6.0


def test_balanced_fourth_moments_are_exact():
    model = ResNet(24, 48, HALF, HALF, "balanced")
    run = moment_growth(model, 2.0, populations=32, size=1024, seed=2, threads=1)
    exact = float(resmc.theory.balanced_moments(model).log_fourth_moment[-1])
    assert run.exact[-1] == exact
    assert exact > 4.0  # far from the 0 that typical networks would say
    assert far_off(run.log_moment[-1], exact) < AGREE
    with pytest.raises(ValueError, match=r"q=2\.0 has no log_second_moment"):
        _ = run.log_second_moment


@pytest.mark.parametrize("q", [0.5, 3.0])
def test_networks_without_a_skip_have_the_moments_of_their_chain_at_any_power(q):
    n, depth = 16, 40
    run = moment_growth(ResNet(n, depth, 0.0, 1.0), q, populations=32, size=1024, seed=3, threads=1)
    assert run.exact[-1] == pytest.approx(depth * fully_connected(n, q), abs=1e-8)
    assert np.abs(run.z_score[[1, -1]]).max() < AGREE
    assert far_off(run.log_moment[-1], depth * fully_connected(n + 1, q)) > AGREE


@pytest.mark.parametrize("q", [1, 2])
def test_networks_of_two_matrices_have_the_moments_of_their_chain(q):
    n, depth, s = 12, 60, 0.5
    model = ResidualNetwork(n, depth, "v-phi-w", scaling=DepthScaling(0.0, s))
    run = moment_growth(model, q, populations=32, size=1024, seed=4, threads=1)
    assert run.exact[-1] == pytest.approx(depth * v_phi_w(n, s, q), abs=1e-8)
    assert np.abs(run.z_score[[1, -1]]).max() < AGREE
    assert far_off(run.log_moment[-1], depth * v_phi_w(n, 1.1 * s, q)) > AGREE


@pytest.mark.parametrize("q", [-1.5, 0.0, 1.0])
def test_the_plain_mean_is_the_same_where_it_is_good(q):
    model = ResidualNetwork(16, 8, "phi-out", "tanh", scaling=DepthScaling(0.0, 0.3), bias=0.2)
    run = moment_growth(model, q, populations=32, size=512, seed=5, threads=1, layers=[2, 5])
    sim = resmc.simulate(model, networks=20_000, seed=6, keep_samples=20_000, threads=1)
    power = np.exp(q * sim.samples.ratios["growth"])
    plain, error = float(np.log(power.mean())), float(power.std() / power.mean() / np.sqrt(len(power)))
    assert abs(float(run.log_moment.value[-1]) - plain) <= AGREE * np.hypot(run.log_moment.stderr[-1], error)
    assert run.layers.tolist() == [0, 2, 5, 8]
    if q == 0.0:  # all weights are 1, nothing is resampled, and the networks are those of a plain simulation
        plain_run = resmc.simulate(model, networks=32 * 512, seed=5, keep_samples=32 * 512, threads=1)
        paths = plain_run.samples.ratios["growth"].reshape(32, 512).mean(axis=1)
        assert run.growth[:, -1] == pytest.approx(paths, rel=1e-5, abs=1e-6)
        assert (run.log_product == 0.0).all()


def test_products_of_populations_are_unbiased_and_their_logarithms_are_not():
    """Populations of 2 networks, 4096 of them: E Z = 1 exactly, and E log Z is far below 0."""
    run = moment_growth(ResNet(32, 16, HALF, HALF, "balanced"), populations=4096, size=2, seed=7, threads=1)
    products = np.exp(run.log_product)
    for values, there in ((products[:, -1], True), (products[:, 3], True), (1.0 + run.log_product[:, -1], False)):
        z = (values.mean() - 1.0) / (values.std(ddof=1) / np.sqrt(len(values)))
        assert (abs(z) < AGREE) == there
        assert there or z < -2.0 * AGREE


def test_every_fixed_schedule_has_the_same_mean_product():
    """Every layer, every fourth, and none."""
    model = ResNet(32, 16, HALF, HALF)
    runs = [moment_growth(model, populations=64, size=512, seed=8 + i, layers=range(0, 17, s), threads=1)
            for i, s in enumerate((1, 4, 16))]  # fmt: skip
    last = [run.log_moment[-1] for run in runs]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert abs(float(last[a].value - last[b].value)) < AGREE * np.hypot(last[a].stderr, last[b].stderr)
    other = moment_growth(replace(model, lam=0.72), populations=64, size=512, seed=11, threads=1).log_moment[-1]
    assert abs(float(other.value - last[0].value)) > AGREE * np.hypot(other.stderr, last[0].stderr)


def test_a_tilted_mean_is_the_derivative_of_the_logarithm_of_the_moment():
    model = ResNet(16, 24, HALF, HALF, "balanced")
    low, mid, high = (moment_growth(model, q, populations=64, size=512, seed=20, threads=1, layers=range(25))
                      for q in (0.9, 1.0, 1.1))  # fmt: skip
    slope = float(high.log_moment.value[-1] - low.log_moment.value[-1]) / 0.2
    error = float(np.hypot(high.log_moment.stderr[-1], low.log_moment.stderr[-1])) / 0.2
    tilted = mid.tilted_growth[-1]
    assert abs(float(tilted.value) - slope) < AGREE * np.hypot(error, tilted.stderr)
    assert float(tilted.value) > 1.0 > 0.0 > -1.0 > typical(model)


def typical(model: ResNet) -> float:
    """Return the mean of log |z_d|^2/|z_0|^2 of networks that are not weighted."""
    means = resmc.simulate(model, networks=2048, threads=1).estimate("log_norm.mean").value
    return float(means[-1] - means[0])


# -- bits -------------------------------------------------------------------------------------------------------------


def test_threads_and_how_many_populations_there_are_change_no_bit():
    model = ResNet(9, 20, 0.0, 1.0)
    one = moment_growth(model, populations=7, size=45, seed=3, threads=1)
    for threads in (2, 5):
        other = moment_growth(model, populations=7, size=45, seed=3, threads=threads)
        for name in ("log_product", "growth", "effective"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    fewer = moment_growth(model, populations=3, size=45, seed=3, threads=1)
    assert fewer.log_product.tobytes() == one.log_product[:3].tobytes()
    assert moment_growth(model, populations=7, size=45, seed=4, threads=1).log_product[0, -1] != one.log_product[0, -1]


def test_populations_take_networks_of_their_own():
    assert populations.networks_of(0, 3, 45) == (0, 192)
    a = moment_growth(ResNet(9, 20, HALF, HALF), populations=32, size=45, seed=3, threads=1)
    sim = resmc.simulate(ResNet(9, 20, HALF, HALF), networks=1024, seed=3, threads=1)
    shared = a.log_moment[-1] - sim.estimate("growth")[-1]
    assert np.isnan(shared.stderr)  # they share random numbers, and so their covariance is not known


def test_the_exponential_is_that_of_the_library_and_offspring_are_fair(tmp_path):
    """By weights that are known: a run of one layer, q large, against NumPy on the very same networks."""
    model, q = ResNet(8, 1, HALF, HALF), 6.0
    sim = resmc.simulate(model, networks=4096, seed=9, keep_trajectories=4096, threads=1)
    paths = sim.trajectories.log_norm
    run = moment_growth(model, q, populations=1, size=4096, seed=9, threads=1)
    x = q * (paths[:, 1] - paths[:, 0])
    weights = np.exp(x - x.max())
    assert run.log_product[0, 1] == pytest.approx(x.max() + np.log(weights.mean()), abs=1e-6)
    assert run.effective[0, 1] == pytest.approx(weights.sum() ** 2 / (4096 * (weights**2).sum()), rel=1e-6)
    assert run.growth[0, 1] == pytest.approx((weights * (paths[:, 1] - paths[:, 0])).sum() / weights.sum(), abs=1e-6)


# -- where there is no error, and refusals --------------------------------------------------------------------------


def test_one_population_has_numbers_and_no_error():
    one = moment_growth(ResNet(8, 8, HALF, HALF), populations=1, size=64, threads=1)
    assert one.log_moment.value == pytest.approx(one.log_product[0], abs=1e-12)
    assert one.tilted_growth.value == pytest.approx(one.growth[0], abs=1e-12)
    assert np.isnan(one.log_moment.stderr).all()
    assert (one.log_moment.n == 1).all()
    assert "1 population of 64 networks" in str(one)


def test_there_is_no_error_where_few_rule():
    model = ResNet(8, 400, HALF, HALF)
    few = moment_growth(model, populations=31, size=64, threads=1)
    assert np.isnan(few.log_moment.stderr).all()
    scattered = moment_growth(model, populations=32, size=128, threads=1)
    assert scattered.reliable[1]
    assert not scattered.reliable[-1]
    assert np.isnan(scattered.log_moment.stderr[~scattered.reliable]).all()
    steep = moment_growth(model, 8.0, populations=32, size=128, threads=1)
    assert not steep.reliable[-1]


def test_below_0_there_is_no_error_where_networks_that_never_fire_may_rule():
    """Were populations to see no growth at all: e^(l ln(2)/2 - 20 ln 2) is 1/100 from layer 27 on."""
    vanilla = ResNet(20, 40, HALF, HALF)
    run = moment_growth(vanilla, -0.5, populations=32, size=256, threads=1)
    alike = replace(run, log_product=np.zeros_like(run.log_product))
    assert (alike.reliable == (run.layers < 27)).all()
    assert np.isnan(alike.log_moment.stderr[run.layers >= 27]).all()
    for other in (replace(alike, model=replace(vanilla, variant="balanced")), replace(alike, q=0.5)):
        assert other.reliable.all()


def test_dead_networks_count_as_0_and_populations_that_died_have_no_logarithm():
    n, depth = 2, 8
    run = moment_growth(ResNet(n, depth, 0.0, 1.0), 0.0, populations=2048, size=4, seed=1, threads=1)
    alive = np.exp(run.log_product[:, -1])
    error = alive.std(ddof=1) / np.sqrt(len(alive))
    assert np.isneginf(run.log_product).any()
    assert abs(alive.mean() - 0.75**depth) < AGREE * error
    assert np.isinf(run.scatter[-1])
    with pytest.raises(ValueError, match=r"q=-0\.25 is not allowed without a skip"):
        moment_growth(ResNet(n, depth, 0.0, 1.0), -0.25)


def test_networks_that_cannot_die_have_moments_below_0_without_a_skip_too():
    for block in ("phi-in", "v-phi-w"):
        model = ResidualNetwork(16, 6, block, "linear", carry=0.0, scaling=DepthScaling(0.0, 1.0))
        run = moment_growth(model, -1.0, populations=64, size=256, seed=2, threads=1)
        exact = float(theory.exact_law(model).moment(-1.0))
        assert exact > 0.3
        assert far_off(run.log_moment[-1], exact) < AGREE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"q": -2.0}, r"q=-2\.0 is not allowed at width=8: it must be above -width/4 = -2"),
        ({"q": float("nan")}, "q=nan"),
        ({"q": "1"}, "q='1'"),
        ({"populations": 0}, "populations=0"),
        ({"populations": 2**40}, r"populations=\d+ is out of range"),
        ({"size": 1}, "size=1"),
        ({"size": 2.5}, r"size=2\.5"),
        ({"seed": -1}, "seed=-1"),
        ({"threads": 0}, "threads=0"),
        ({"layers": [99]}, "layers=99"),
        ({"layers": "all"}, "layers='all'"),
        ({"device": "gpu"}, "device='gpu' is not allowed: it must be 'auto', 'cpu', 'cuda'"),
        ({"progress": 3}, "progress=3"),
        ({"model": "resnet"}, "model='resnet' is not allowed"),
        ({"model": ResidualNetwork(8, 8, weights="uniform")}, "'uniform'.*method='projected'"),
        ({"model": ResidualNetwork(8, 8, weights=Weights(depth=FractionalNoise(0.3)))}, "method='projected'"),
        ({"model": ResidualNetwork(8, 8, carry=0.0), "q": -1.0}, "without a skip"),
        ({"size": 2**24, "model": ResNet(100_000, 8, HALF, HALF)}, "GB of memory"),
    ],
)
def test_what_cannot_be_had_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        moment_growth(**{"model": ResNet(8, 8, HALF, HALF), "threads": 1, **arguments})


def test_the_extension_checks_what_it_is_handed():
    kernel = lower(ResNet(8, 8, HALF, HALF)).kernel(False, False)
    arrays = {name: np.empty((2, 3)) for name in ("top", "mean", "effective", "growth")}
    job, layers = native.PopulationJob(0, 0, 0, 2, 16, 1.0), np.array([0, 4, 8])
    native.populations(kernel, job, layers, arrays, 1, "auto", None)
    for wrong, words in (
        (replace(job, size=0), "size"),
        (replace(job, first=2**48 // 32), "first"),
        (replace(job, power=float("inf")), "power"),
        (replace(job, count=3), "top"),
    ):
        with pytest.raises(ValueError, match=words):
            native.populations(kernel, wrong, layers, arrays, 1, "auto", None)
    with pytest.raises(ValueError, match="rise from 0"):
        native.populations(kernel, job, np.array([1, 4, 8]), arrays, 1, "auto", None)


def test_progress_reaches_all_networks_and_may_stop_the_run():
    seen = []
    model = ResNet(16, 64, HALF, HALF)
    moment_growth(model, populations=4, size=64, threads=1, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (256, 256)

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moment_growth(model, populations=10**6, size=1024, threads=1, progress=stop, layers=[64])


def test_the_table_says_how_it_was_made_and_growth_points_here():
    model = ResNet(8, 64, HALF, HALF)
    run = moment_growth(replace(model, variant="balanced"), populations=32, size=64, threads=1)
    assert "32 populations of 64 networks, seed 0, resampled by |z|^2 every" in str(run)
    assert "exact" in str(run)
    assert len(run.to_dataframe()) == len(run._table().rows)
    plain = resmc.simulate(model, networks=64, threads=1).variance_growth()
    assert "resmc.moment_growth(model)" in repr(plain)
    assert "resmc.moment_growth(model)" in str(plain._table())
    good = resmc.simulate(replace(model, depth=1), networks=20_000, threads=1).variance_growth()
    assert "moment_growth" not in repr(good) + str(good._table())


def test_schedules_are_by_the_variance_of_weights():
    wide, narrow = (moments.schedule(lower(ResNet(n, 64, HALF, HALF)), 1.0) for n in (1000, 16))
    assert wide.tolist() == list(range(0, 65, 8))
    assert np.diff(narrow).max() < 8
    assert moments.schedule(lower(ResNet(16, 64, HALF, HALF)), 10.0).tolist() == list(range(65))
    assert moments.schedule(lower(ResNet(16, 64, 1.0, 0.0)), 10.0).tolist() == list(range(0, 65, 8))
