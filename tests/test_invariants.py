"""Invariants of networks that every analysis shows: what a scale, a sign, or nothing at all may change.

Statistical comparisons are among those that `test_analyses` counts.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from exact_comparisons import assert_all_within, z_of_probability
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from test_projected_and_dense_agree import law_comparisons

import resmc
from resmc import ResNet, Simulation
from resmc.analyses import log_gaussian

HALF = math.sqrt(0.5)
VARIANTS = ("vanilla", "balanced", "balanced-half")
Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    """No analysis may warn, not even when everybody is dead."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


models = st.builds(
    lambda width, depth, alpha, lam, variant: ResNet(
        width + (width % 2 if variant == "balanced-half" else 0), depth, alpha, lam or 0.5, variant
    ),
    st.integers(1, 9),
    st.integers(1, 7),
    st.sampled_from([0.0, 0.3, HALF, 0.95, 1.7, -0.4, -2.0]),
    st.sampled_from([0.0, 0.2, HALF, -0.9, 3.0]),
    st.sampled_from(VARIANTS),
)


def run_of(model: ResNet, networks: int = 200, seed: int = 3) -> Simulation:
    """A quick one that keeps everything."""
    return resmc.simulate(
        model, networks=networks, seed=seed, keep_samples=networks, keep_trajectories=networks, threads=1
    )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(model=models, power=st.integers(-40, 40), seed=st.integers(0, 2**64 - 1))
def test_scaling_alpha_and_lam_by_a_power_of_two_changes_the_offsets_only(model: ResNet, power: int, seed: int):
    c = math.ldexp(1.0, power)
    scaled = dataclasses.replace(model, alpha=c * model.alpha, lam=c * model.lam)
    a, b = run_of(model, seed=seed), run_of(scaled, seed=seed)
    for name, array in a.statistics.arrays().items():
        np.testing.assert_array_equal(array, b.statistics.arrays()[name], err_msg=name)
    np.testing.assert_array_equal(a.trajectories.asymmetry, b.trajectories.asymmetry)
    shift = a.layers * 2.0 * power * math.log(2.0)
    alive = a.alive > 0
    np.testing.assert_allclose(
        (b.log_norm_mean.value - a.log_norm_mean.value)[alive], shift[alive], rtol=1e-11, atol=1e-11
    )
    np.testing.assert_array_equal(a.log_norm_mean.stderr, b.log_norm_mean.stderr)
    np.testing.assert_array_equal(a.asymmetry_mean.value, b.asymmetry_mean.value)
    np.testing.assert_array_equal(a.histogram.counts, b.histogram.counts)
    np.testing.assert_allclose(b.histogram.edges - a.histogram.edges, shift[-1], rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(
        (b.variance_growth().log_second_moment.value - a.variance_growth().log_second_moment.value)[alive],
        shift[alive], rtol=1e-11, atol=1e-11,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for law in ("one_output", "output_norm"):  # laws of the output take most of the time, and are no part of this
            patch.setattr(log_gaussian, law, lambda *_: None)
        fits = a.log_gaussian_fit(), b.log_gaussian_fit()
    for name in ("ks_fitted", "ks_gaussian_limit", "ks_theory"):
        x, y = (float(getattr(fit, name).value) for fit in fits)
        assert x == pytest.approx(y, abs=1e-7, nan_ok=True)
    np.testing.assert_allclose(b.samples.output, a.samples.output * c**model.depth, rtol=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(model=models, factor=st.floats(1e-3, 1e3))
def test_scaling_alpha_and_lam_by_any_factor_changes_the_offsets_only(model: ResNet, factor: float):
    """The normalised network is then the same up to a float32's rounding."""
    scaled = dataclasses.replace(model, alpha=factor * model.alpha, lam=factor * model.lam)
    a, b = run_of(model), run_of(scaled)
    shift = a.layers * 2.0 * math.log(factor)
    alive = np.isfinite(a.trajectories.log_norm)
    np.testing.assert_array_equal(np.isfinite(b.trajectories.log_norm), alive)
    error = np.abs((b.trajectories.log_norm - shift)[alive] - a.trajectories.log_norm[alive])
    assert np.quantile(error, 0.99) < 1e-4  # contract 3's measure for two machines
    np.testing.assert_array_equal(a.inactive, b.inactive)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(model=models)
def test_reversing_z_maps_a_balanced_network_to_itself_path_by_path(model: ResNet):
    """With all normals and all signs reversed, the reference follows -z: the same |z|, A and F, the reversed output."""
    balanced = dataclasses.replace(model, variant="balanced")

    def reversed_normals(*where: object) -> Floats:
        return -resmc.reference.normals(*where)  # type: ignore[arg-type]

    def reversed_signs(*where: object) -> Floats:
        return -resmc.reference.signs(*where)  # type: ignore[arg-type]

    a = resmc.reference.simulate(balanced, 50, seed=7)
    b = resmc.reference.simulate(balanced, 50, seed=7, normals=reversed_normals, signs=reversed_signs)
    for name in ("log_norm", "asymmetry", "active_fraction"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.output, -b.output)
    vanilla = dataclasses.replace(model, variant="vanilla")
    c, d = (
        resmc.reference.simulate(vanilla, 50, seed=7, normals=f) for f in (resmc.reference.normals, reversed_normals)
    )
    assert not np.array_equal(c.asymmetry, d.asymmetry, equal_nan=True)  # the control: a vanilla one is not


def test_reversing_z_maps_balanced_to_itself_in_law():
    """So A and -A have one law, as have alpha and -alpha: odd moments vanish and final laws agree."""
    networks = 60_000
    runs = [
        resmc.simulate(
            width=4, depth=5, alpha=alpha, lam=0.8, variant="balanced", networks=networks, seed=20_500 + i,
            keep_samples=networks, keep_trajectories=networks,
        ) for i, alpha in enumerate((0.6, -0.6))
    ]  # fmt: skip
    found = list(law_comparisons(*runs))
    for run in runs:
        a = run.trajectories.asymmetry[:, -1].astype(float)
        half = networks // 2
        found.append(("A and -A", z_of_probability(stats.ks_2samp(a[:half], -a[half:]).pvalue)))
        out = run.samples.output[:, 0]
        found.append(("output and its reverse", z_of_probability(stats.ks_2samp(out[:half], -out[half:]).pvalue)))
    assert_all_within(found, at_least=40)
    vanilla = resmc.simulate(
        width=4, depth=5, alpha=0.6, lam=0.8, networks=networks, seed=20_502, keep_trajectories=networks
    )
    a = vanilla.trajectories.asymmetry[:, -1].astype(float)
    assert stats.ks_2samp(a[: networks // 2], -a[networks // 2 :]).pvalue < 1e-10  # the control


@settings(max_examples=40, deadline=None, derandomize=True)
@given(model=models)
def test_observables_stay_in_their_ranges(model: ResNet):
    run = run_of(model)
    a = run.trajectories.asymmetry
    alive = np.isfinite(run.trajectories.log_norm)
    assert (np.abs(a[alive]) <= 1.0).all()
    assert ((run.inactive <= run.alive) & (run.alive <= run.networks)).all()
    active, n = run.active_fraction, run.alive
    assert ((active.value[n > 0] >= 0.0) & (active.value[n > 0] <= 1.0)).all()
    correlation = run.asymmetry_correlation.value
    assert (np.abs(correlation[np.isfinite(correlation)]) <= 1.0 + 1e-9).all()
    assert (run.log_norm_variance.value[n > 1] >= 0.0).all()
    assert run.histogram.counts.sum() + run.histogram.underflow + run.histogram.overflow == n[-1]
    if model.variant == "vanilla" and model.alpha > 0.0:
        assert (np.diff(run.inactive) >= 0).all()
    if model.alpha != 0.0:
        np.testing.assert_array_equal(n, run.networks)
