"""Figures of laws: densities and quantiles are those of all networks, beside both limits."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import (
    HALF,
    P,
    lines,
    ordinary,
    segments,
    words,
)
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy import special, stats

import resmc
from resmc import theory
from resmc.plot import style as st
from resmc.plot.laws import _chi_square_density

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


def test_the_histogram_is_that_of_the_log_norms_of_all_living_networks():
    networks = 20_000
    run = resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, networks=networks, keep_samples=networks)
    ax = P.plot_log_norm(run)
    body, band = (patch.get_data() for patch in ax.patches)
    counts, _ = np.histogram(run.samples.log_norm, body.edges)
    width = np.diff(body.edges)
    assert np.sum(body.values * width) == pytest.approx(1.0, rel=1e-12)
    # a float32 histogram and its samples differ where a log-norm lies on an edge
    np.testing.assert_allclose(body.values * networks * width, counts, atol=3)
    p = body.values * width
    np.testing.assert_allclose(band.values - body.values, np.sqrt(p * (1 - p) / networks) / width, rtol=1e-9)
    np.testing.assert_allclose(body.values - band.baseline, band.values - body.values, rtol=1e-9)
    assert 20 < np.count_nonzero(counts) < 200


def test_the_lines_beside_the_histogram_are_the_densities_of_the_two_limits():
    ax = P.plot_log_norm(ordinary())
    limit = theory.log_norm(ordinary().model, [30])
    gauss, infinite = lines(ax, color=st.THEORY)[0], lines(ax, color=st.INFINITE)[0]
    x, y = gauss.get_data()
    np.testing.assert_allclose(y, stats.norm.pdf(x, limit.mean[0], limit.variance[0] ** 0.5), rtol=1e-9)
    x, y = infinite.get_data()
    (divisor,) = {int(text.partition("÷ ")[2].rstrip(")")) for text in words(ax) if "÷" in text}
    assert ax.get_ylim()[1] > y.max()  # the whole peak is there
    y = y * divisor
    np.testing.assert_allclose(np.trapezoid(y, x), 1.0, atol=1e-4)
    cdf = theory.chi_square_log_norm_cdf(30, x)
    np.testing.assert_allclose(0.5 * (y[1:] + y[:-1]) * np.diff(x), np.diff(cdf), atol=1e-6)
    assert y.max() > 2.5 * gauss.get_ydata().max()


def test_unnormalised_weights_and_inputs_move_both_limits():
    run = resmc.simulate(width=20, depth=10, alpha=1.0, lam=0.5, input_norm=3.0, networks=2000)
    ax = P.plot_log_norm(run)
    x, y = lines(ax, color=st.INFINITE)[0].get_data()
    assert x[np.argmax(y)] == pytest.approx(run.model.log_norm_offset(10), abs=0.02)
    low, high = ax.get_xlim()
    assert low < float(run.log_norm_mean.value[-1]) < high


def test_dead_networks_are_left_out_and_said_so():
    run = resmc.simulate(width=3, depth=8, alpha=0.0, lam=1.0, networks=5000)
    for ax in (P.plot_log_norm(run), P.plot_output(run)):
        assert f"{run.dead[-1]} dead" in words(ax)[0]


def test_a_handful_of_networks_has_a_figure_too():
    for networks in (1, 2, 33):
        run = resmc.simulate(width=6, depth=3, alpha=0.6, lam=0.8, networks=networks)
        for function in (P.plot_log_norm, P.plot_output, P.plot_hypoactivation, P.plot_growth):
            assert function(run, ax=Figure().subplots()).has_data()


@pytest.mark.parametrize(("width", "depth"), [(100, 100), (1000, 10)])
def test_the_axis_of_an_output_holds_its_law(width, depth):
    """Also where it is nearly a chi-square's, whose right side is steep."""
    run = resmc.simulate(width=width, depth=depth, alpha=HALF, lam=HALF, networks=2000, keep_samples=2000)
    outputs = np.log(run.samples.output[:, 0] ** 2)
    low, high = P.plot_output(run).get_xlim()
    plt.close("all")
    assert np.mean(outputs > high) < 0.004  # 0.001 and its error
    assert np.mean(outputs < low) < 0.06  # the left tail is long


@pytest.mark.parametrize("n_out", [1, 10, 2000])
def test_the_outputs_density_is_that_of_raw_outputs_mixed_from_the_histogram(n_out: int):
    networks = 40_000
    run = resmc.simulate(width=30, depth=20, alpha=HALF, lam=HALF, networks=networks, n_out=min(n_out, 10),
                         keep_samples=networks)  # fmt: skip
    ax = P.plot_output(run, n_out=n_out)
    x, y = ax.lines[0].get_data()
    step = x[1] - x[0]
    chi = run.samples.output**2 if n_out <= 10 else None
    if chi is None:  # the law needs no samples of so many outputs
        normals = np.random.default_rng(0).chisquare(n_out, networks)
        log_norm = run.samples.log_norm + np.log(normals)
    else:
        log_norm = np.log(chi.sum(axis=1))
    counts, _ = np.histogram(log_norm, np.append(x - 0.5 * step, x[-1] + 0.5 * step))
    p = y * step
    z = (counts - networks * p) / np.sqrt(networks * p * (1 - p) + 1.0)
    assert np.abs(z).max() < 4.5  # 200 cells: false alarm 0.1%
    assert np.std(z) < 1.3


def test_the_outputs_legend_holds_the_distances_with_their_errors():
    law = ordinary().log_gaussian_fit().output_norm
    text = words(P.plot_output(ordinary()))
    assert any(st.in_words(law.ks_log_gaussian) in t and "log-Gaussian" in t for t in text)
    assert any(st.in_words(law.ks_gaussian) in t and "infinite width" in t for t in text)
    assert "10 outputs" in P.plot_output(ordinary()).get_xlabel()
    assert "1 output" in P.plot_output(ordinary(), n_out=1).get_xlabel()


def test_quantiles_are_those_of_the_samples_within_their_bars():
    networks = 20_000
    run = resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, networks=networks, keep_samples=networks)
    ax = P.plot_qq(run)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    limit = theory.log_norm(run.model, [30])
    p = stats.norm.cdf(x, limit.mean[0], limit.variance[0] ** 0.5)
    low, high = segments(bars).T
    s = np.sqrt(p * (1 - p) / networks)
    ordered, most_in_a_bin = np.sort(run.samples.log_norm), run.histogram.counts.max()
    for found, wanted in ((y, p), (low, p - s), (high, p + s)):
        assert np.abs(np.searchsorted(ordered, found) - wanted * networks).max() <= most_in_a_bin + 1
    assert p[0] * networks == pytest.approx(10.0)
    gauss, infinite = lines(ax, color=st.THEORY)[0], lines(ax, color=st.INFINITE)[0]
    np.testing.assert_array_equal(gauss.get_xdata(), gauss.get_ydata())
    np.testing.assert_allclose(theory.chi_square_log_norm_cdf(30, infinite.get_ydata()), p, rtol=1e-9)


def test_the_chi_square_density_is_accurate_at_every_width():
    for width in (1, 2, 200, 1 << 24):
        x, y = _chi_square_density(width, 3.0)
        middle, h = np.argmax(y), 0.5 * width
        at = x[middle] - 3.0
        exact = h * (np.log(h) + at) - h * np.exp(at) - special.gammaln(h)
        assert np.log(y[middle]) == pytest.approx(exact, abs=1e-3 if width > 10**6 else 1e-9)
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("n_out", [1, 10, 131072])
def test_the_lines_beside_an_outputs_density_are_those_of_the_two_limits(n_out: int):
    ax = P.plot_output(ordinary(), n_out=n_out)
    limit = theory.log_norm(ordinary().model, [30])
    for colour, mean, variance in ((st.THEORY, limit.mean[0], limit.variance[0]), (st.INFINITE, 0.0, 0.0)):
        x, y = lines(ax, color=colour)[0].get_data()
        cdf = theory.output_norm_cdf(x, n_out, float(mean), float(variance))
        (label,) = [text for text in words(ax) if ("infinite" if colour == st.INFINITE else "log-Gauss") in text]
        y = y * int(label.partition("÷ ")[2].partition(")")[0] or 1)
        np.testing.assert_allclose(np.cumsum(0.5 * (y[1:] + y[:-1]) * np.diff(x)), cdf[1:] - cdf[0], atol=2e-3)
