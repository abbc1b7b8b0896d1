"""Figures: what is drawn is the data, it is told apart without colour, and nothing else is touched.

matplotlib's own state is compared before and after; no picture is compared with another.
"""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from scipy import special, stats

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import resmc
from resmc import Simulation, Sweep, theory
from resmc.plot import style as st
from resmc.sweep import SweepResult

pytestmark = pytest.mark.cpu

HALF = math.sqrt(0.5)
P = resmc.plot


@pytest.fixture(autouse=True)
def no_figure_remains() -> Iterator[None]:
    """And no function warns."""
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def sim() -> Simulation:
    """An ordinary one."""
    return resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, networks=20_000, n_out=10, keep_trajectories=40)


@pytest.fixture(scope="module")
def deep() -> Simulation:
    """One whose growth is not reliable at its end."""
    return resmc.simulate(width=20, depth=60, alpha=HALF, lam=HALF, networks=20_000)


@pytest.fixture(scope="module")
def balanced() -> Simulation:
    """One with exact values beside everything."""
    return resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, variant="balanced", networks=20_000)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """Three widths, three ratios, two variants."""
    plan = Sweep(width=[8, 16, 24], ratio=[0.5, 1, 2], alpha=HALF, lam=HALF, variant=["vanilla", "balanced"],
                 networks=4000)  # fmt: skip
    return plan.run(tmp_path_factory.mktemp("grid") / "store", progress=False)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A grid of which only the first width was run."""
    store = tmp_path_factory.mktemp("unfinished") / "store"
    given: dict[str, Any] = {"ratio": [0.5, 1], "alpha": HALF, "lam": HALF, "networks": 500}
    Sweep(width=[8], **given).run(store, progress=False)
    return Sweep(width=[8, 16], **given).result(store)


FIGURES: dict[str, Callable[..., Axes]] = {
    "log_norm": lambda g, **k: P.plot_log_norm(g("sim"), **k),
    "output": lambda g, **k: P.plot_output(g("sim"), **k),
    "qq": lambda g, **k: P.plot_qq(g("sim"), **k),
    "hypoactivation": lambda g, **k: P.plot_hypoactivation(g("sim"), **k),
    "interlayer": lambda g, **k: P.plot_interlayer(g("sim"), **k),
    "interlayer_by_lag": lambda g, **k: P.plot_interlayer_by_lag(g("sim"), **k),
    "growth": lambda g, **k: P.plot_growth(g("deep"), **k),
    "growth_of_sweep": lambda g, **k: P.plot_growth(g("grid"), sel={"variant": "vanilla"}, **k),
    "extrapolation": lambda g, **k: P.plot_extrapolation(_extrapolation(g("grid")), **k),
    "sweep": lambda g, **k: P.plot_sweep(g("grid"), sel={"variant": "vanilla"}, **k),
    "trajectories": lambda g, **k: P.plot_trajectories(g("sim"), **k),
}
every_figure = pytest.mark.parametrize("name", FIGURES)


def _extrapolation(grid: SweepResult) -> Any:
    return resmc.extrapolate(grid.simulations(ratio=1, variant="vanilla"))


def draw(request: pytest.FixtureRequest, name: str, **options: Any) -> Axes:
    return FIGURES[name](request.getfixturevalue, **options)


def words(ax: Axes) -> list[str]:
    """Of the legend."""
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def lines(ax: Axes, **look: Any) -> list[Any]:
    """The lines of a colour, a line style or a marker."""
    return [one for one in ax.lines if all(getattr(one, f"get_{k}")() == v for k, v in look.items())]


def segments(container: Any) -> Any:
    """Ends of an errorbar's bars, (points, 2)."""
    return np.array([bar[:, 1] for bar in container.lines[2][0].get_segments()])


# ------------------------------------------------------------------------------------------------------ of every figure


@every_figure
def test_every_figure_has_labels_on_both_axes_and_explains_its_lines(request, name):
    ax = draw(request, name)
    assert isinstance(ax, Axes)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    if name in ("sweep", "interlayer"):  # a colour bar says what the colours are
        (bar,) = (other for other in ax.figure.axes if other is not ax)
        assert bar.get_ylabel()
    else:
        assert len(words(ax)) >= 2
        assert any("±" in text or "s.e." in text or "networks" in text for text in words(ax))


@every_figure
def test_a_new_figure_has_the_width_of_a_column_and_pyplot_knows_it_once(request, name):
    ax = draw(request, name)
    assert ax.figure.get_figwidth() == P.COLUMN == 3.4
    assert [plt.figure(number) for number in plt.get_fignums()] == [ax.figure]


@every_figure
def test_given_axes_are_drawn_on_and_nothing_global_is_touched(request, name):
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    before = dict(matplotlib.rcParams)
    assert draw(request, name, ax=ax) is ax
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    assert figure.get_figwidth() == matplotlib.rcParams["figure.figsize"][0]


@every_figure
def test_settings_are_the_same_after_a_new_figure(request, name):
    before = dict(matplotlib.rcParams)
    draw(request, name)
    assert dict(matplotlib.rcParams) == before


@every_figure
def test_nothing_that_is_written_is_clipped_by_the_figure_or_lies_on_the_axes(request, name, tmp_path: Path):
    ax = draw(request, name)
    ax.figure.canvas.draw()
    frame, page = ax.get_window_extent(), ax.figure.bbox
    for other in ax.figure.axes:
        box = other.get_tightbbox()
        assert box.x0 >= page.x0 - 1.0
        assert box.x1 <= page.x1 + 1.0
        assert box.y0 >= page.y0 - 1.0
        assert box.y1 <= page.y1 + 1.0
    if ax.get_legend() is not None:
        assert ax.get_legend().get_window_extent().y1 <= ax.xaxis.label.get_window_extent().y0 < frame.y0
    ax.figure.savefig(tmp_path / "figure.pdf")


@every_figure
def test_a_legend_stays_inside_where_no_layout_makes_room_for_it(request, name):
    ax = draw(request, name, ax=Figure(figsize=(8, 6)).subplots())
    ax.figure.canvas.draw()
    if ax.get_legend() is not None and name != "sweep":
        inner, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert frame.y0 <= inner.y0
        assert inner.y1 <= frame.y1


@every_figure
def test_the_style_goes_to_the_data(request, name):
    ax = draw(request, name, alpha=0.314)
    artists = [*ax.lines, *ax.collections, *ax.patches]
    assert any(artist.get_alpha() == 0.314 for artist in artists)


@pytest.mark.parametrize("name", ["output", "qq", "hypoactivation", "growth", "trajectories"])
def test_a_style_may_use_the_short_names_and_overrides_ours(request, name):
    ax = draw(request, name, c="#123456", lw=2.5)
    assert [one for one in ax.lines if one.get_color() == "#123456"]
    long = draw(request, name, color="#123456", linewidth=2.5)
    assert len(lines(long, color="#123456")) == len(lines(ax, color="#123456"))


@every_figure
def test_axes_of_another_kind_are_refused_in_a_sentence(request, name):
    with pytest.raises(ValueError, match=r"^ax=3 is not allowed: it must be a matplotlib Axes"):
        draw(request, name, ax=3)


@every_figure
def test_of_a_figure_that_fails_nothing_remains(request, name):
    with pytest.raises((AttributeError, TypeError)):
        draw(request, name, no_such_style=1)
    assert plt.get_fignums() == []


@every_figure
def test_a_missing_matplotlib_is_said_in_a_sentence_that_names_the_extra(request, name, monkeypatch):
    request.getfixturevalue("sim"), request.getfixturevalue("deep"), request.getfixturevalue("grid")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    function = "plot_" + name.removesuffix("_of_sweep")
    with pytest.raises(ImportError, match=rf"^{function} needs matplotlib: install resmc\[plot\]$"):
        draw(request, name)


def test_matplotlib_is_imported_when_a_figure_is_drawn_and_not_before():
    code = (
        "import sys, resmc; resmc.plot.plot_log_norm; assert 'matplotlib' not in sys.modules\n"
        "resmc.plot.plot_log_norm(resmc.simulate(width=4, depth=2, alpha=.6, lam=.8, networks=64))\n"
        "assert 'matplotlib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=_environment())


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(Path(resmc.__file__).parents[1]), "MPLBACKEND": "Agg"}


# ------------------------------------------------------------------------------------------------------------- in grey


def luminance(colour: Any) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_curves_of_one_figure_differ_in_marker_and_line_style_and_not_in_colour_alone():
    assert len({series.marker for series in st.SERIES}) == len(st.SERIES)
    assert len({str(series.line) for series in st.SERIES}) == len(st.SERIES)
    assert len({series.colour for series in st.SERIES}) == len(st.SERIES)
    assert st.DOTTED not in [series.line for series in st.SERIES]  # infinite width alone
    assert len({"-", str(st.DASHED), str(st.DOTTED)}) == 3


def test_curves_are_dark_enough_on_white_and_what_is_pale_lies_under_them():
    for colour in (st.DATA, st.THEORY, st.INFINITE, *(series.colour for series in st.SERIES[:4])):
        assert 1.05 / (luminance(colour) + 0.05) > 2.5, colour
    for colour in (st.PALE, st.MISSING):
        assert luminance(colour) - luminance(st.THEORY) > 0.3


def test_a_centred_map_is_white_at_0_and_its_ends_differ_in_grey():
    colours = st.diverging()(np.linspace(0.0, 1.0, 101))
    grey = np.array([luminance(c[:3]) for c in colours])
    assert grey[50] > 0.98
    assert (np.diff(grey[:51]) > 0).all()
    assert (np.diff(grey[50:]) < 0).all()
    assert grey[0] - grey[-1] > 0.1


# ----------------------------------------------------------------------------------------------------------------- laws


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


def test_the_lines_beside_the_histogram_are_the_densities_of_the_two_limits(sim):
    ax = P.plot_log_norm(sim)
    limit = theory.log_norm(sim.model, [30])
    gauss, infinite = lines(ax, color=st.THEORY)[0], lines(ax, color=st.INFINITE)[0]
    x, y = gauss.get_data()
    np.testing.assert_allclose(y, stats.norm.pdf(x, limit.mean[0], limit.variance[0] ** 0.5), rtol=1e-9)
    x, y = infinite.get_data()
    np.testing.assert_allclose(np.trapezoid(y, x), 1.0, atol=1e-4)
    cdf = theory.chi_square_log_norm_cdf(30, x)
    np.testing.assert_allclose(0.5 * (y[1:] + y[:-1]) * np.diff(x), np.diff(cdf), atol=1e-6)
    assert f"peak {y.max():.2g}" in " ".join(words(ax))
    assert ax.get_ylim()[1] < y.max()


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
            function(run).figure.canvas.draw()
            plt.close("all")


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


def test_the_outputs_legend_holds_the_distances_with_their_errors(sim):
    law = sim.log_gaussian_fit().output_norm
    text = words(P.plot_output(sim))
    assert any(st.in_words(law.ks_log_gaussian) in t and "log-Gaussian" in t for t in text)
    assert any(st.in_words(law.ks_gaussian) in t and "infinite width" in t for t in text)
    assert "10 outputs" in P.plot_output(sim).get_xlabel()
    assert "1 output" in P.plot_output(sim, n_out=1).get_xlabel()


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


# --------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("quantity", ["active_fraction", "asymmetry"])
def test_activations_are_drawn_with_band_limit_and_infinite_width(sim, quantity):
    hypo = sim.hypoactivation()
    for result in (sim, hypo):
        ax = P.plot_hypoactivation(result, quantity=quantity)
        estimate = getattr(hypo, quantity)
        curve = lines(ax, color=st.DATA)[0]
        np.testing.assert_array_equal(curve.get_xdata(), hypo.layers)
        np.testing.assert_array_equal(curve.get_ydata(), estimate.value)
        edge = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert edge.max() == pytest.approx((estimate.value + estimate.stderr).max())
        assert edge.min() == pytest.approx((estimate.value - estimate.stderr).min())
        limit = lines(ax, color=st.THEORY)[0]
        np.testing.assert_array_equal(limit.get_ydata(), getattr(hypo.theory, quantity))
        half = 0.5 if quantity == "active_fraction" else 0.0
        assert list(lines(ax, color=st.INFINITE)[0].get_ydata()) == [half, half]


def test_where_infinite_width_is_exact_it_is_called_so_and_no_limit_is_drawn(balanced):
    ax = P.plot_hypoactivation(balanced)
    assert any(text.startswith("exact") for text in words(ax))
    assert lines(ax, color=st.THEORY) == []


def test_paths_are_those_kept_with_the_mean_and_spread_of_all(sim):
    ax = P.plot_trajectories(sim, most=7)
    paths = lines(ax, color=st.SKY)
    assert len(paths) == 7
    for path, kept in zip(paths, sim.trajectories.log_norm, strict=False):
        np.testing.assert_array_equal(path.get_ydata(), kept)
        np.testing.assert_array_equal(path.get_xdata(), sim.layers / 30)
    mean = lines(ax, color=st.BLUE)[0]
    np.testing.assert_array_equal(mean.get_ydata(), sim.log_norm_mean.value)
    limit = theory.log_norm(sim.model, sim.layers)
    found = [one.get_ydata() for one in lines(ax, color=st.THEORY)]
    np.testing.assert_allclose(found, [limit.mean + k * np.sqrt(limit.variance) for k in (0, -1, 1)])
    assert "7 networks" in words(ax)


def test_a_path_ends_where_its_network_dies():
    run = resmc.simulate(width=1, depth=6, alpha=0.0, lam=1.0, networks=64, keep_trajectories=64)
    ax = P.plot_trajectories(run, most=64)
    for path, kept in zip(lines(ax, color=st.SKY), run.trajectories.log_norm, strict=True):
        np.testing.assert_array_equal(np.isfinite(path.get_ydata()), np.isfinite(kept))


def test_the_map_of_correlations_holds_the_matrix_and_is_centred_at_0(sim):
    inter = sim.interlayer_correlations()
    for result in (sim, inter):
        ax = P.plot_interlayer(result)
        (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
        np.testing.assert_array_equal(mesh.get_array().reshape(31, 31), inter.matrix.value)
        assert mesh.get_clim() == (-1.0, 1.0)
        assert mesh.norm(0.0) == 0.5


def test_negative_cells_have_a_dash_that_grey_shows():
    run = resmc.simulate(width=30, depth=10, alpha=-0.8, lam=0.6, networks=20_000)
    ax = P.plot_interlayer(run)
    (dashes,) = ax.lines
    matrix = run.interlayer_correlations().matrix.value
    m, el = np.nonzero(matrix < -0.1)
    np.testing.assert_array_equal(dashes.get_xdata(), el)
    np.testing.assert_array_equal(dashes.get_ydata(), m)
    assert words(ax) == ["dash: below 0"]


def test_correlations_by_lag_are_the_estimates_with_bars_and_limit(sim):
    inter = sim.interlayer_correlations()
    ax = P.plot_interlayer_by_lag(sim, max_lag=9)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_array_equal(x, np.arange(1, 10))
    np.testing.assert_array_equal(y, inter.by_lag.value[1:10])
    np.testing.assert_allclose(np.diff(segments(bars))[:, 0], 2.0 * inter.by_lag.stderr[1:10])
    np.testing.assert_array_equal(lines(ax, color=st.THEORY)[0].get_ydata(), inter.theory_by_lag[1:10])
    assert any("J" in text for text in words(ax))


def test_by_default_lags_end_where_the_limits_are_small(sim, balanced):
    ax = P.plot_interlayer_by_lag(sim)
    x = ax.containers[0].lines[0].get_xdata()
    assert theory.interlayer_correlation(sim.model, [int(x[-1]), int(x[-1]) + 1])[0] >= 0.01
    assert theory.interlayer_correlation(sim.model, [int(x[-1]) + 1])[0] < 0.01
    assert "exact: 0" in words(P.plot_interlayer_by_lag(balanced))


def test_curves_of_a_mapping_have_their_labels_markers_and_own_lines(sim, balanced, deep):
    for function in (P.plot_interlayer_by_lag, P.plot_growth):
        ax = function({"one": sim, "two": balanced, "three": deep})
        assert words(ax)[:3] == ["one", "two", "three"] or {"one", "two", "three"} <= set(words(ax))
        markers = {c.lines[0].get_marker() for c in ax.containers}
        assert len(markers) == 3
        plt.close("all")


# --------------------------------------------------------------------------------------------------------------- growth


def test_growth_is_drawn_with_errors_limit_and_hollow_points_where_it_is_not_reliable(deep):
    growth = deep.variance_growth()
    assert 0 < growth.reliable.sum() < len(growth.layers)
    ax = P.plot_growth(deep, most=1000)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_array_equal(x, growth.ratio[growth.reliable])
    np.testing.assert_array_equal(y, growth.log_second_moment.value[growth.reliable])
    np.testing.assert_allclose(np.diff(segments(bars))[:, 0], 2.0 * growth.log_second_moment.stderr[growth.reliable],
                               atol=1e-12)  # fmt: skip
    (hollow,) = lines(ax, markerfacecolor="white")
    np.testing.assert_array_equal(hollow.get_ydata(), growth.log_second_moment.value[~growth.reliable])
    assert bars.lines[0].get_markerfacecolor() != "white"
    np.testing.assert_array_equal(lines(ax, color=st.THEORY)[0].get_ydata(), growth.theory)
    assert any(text.startswith("hollow") for text in words(ax))
    assert any("Gaussian limit: 0" in text for text in words(ax))
    assert list(lines(ax, color=st.INFINITE)[0].get_ydata()) == [0.0, 0.0]


def test_where_all_is_reliable_no_hollow_point_is_spoken_of(balanced):
    ax = P.plot_growth(balanced, most=5)
    kept = balanced.variance_growth()
    if kept.reliable.all():
        assert not any(text.startswith("hollow") for text in words(ax))
    assert len(ax.containers[0].lines[0].get_xdata()) <= 5


def test_the_gaussian_limit_of_unnormalised_weights_is_their_scale():
    run = resmc.simulate(width=20, depth=10, alpha=1.0, lam=0.5, networks=2000)
    ax = P.plot_growth(run.variance_growth(), most=100)
    gaussian = lines(ax, color=st.INFINITE)[0]
    np.testing.assert_allclose(gaussian.get_ydata(), np.arange(11) * math.log(1.25), rtol=1e-12)
    assert any("alpha" in text for text in words(ax))


def test_growth_over_a_sweep_is_its_last_layers(grid):
    ax = P.plot_growth(grid, sel={"variant": "vanilla"})
    assert words(ax)[:3] == ["$n$ = 8", "$n$ = 16", "$n$ = 24"]
    estimate, limits = grid.estimates["growth"], grid.limits["growth"]
    for index, bars in enumerate(ax.containers):
        value, stderr = estimate.value[index, :, 0], estimate.stderr[index, :, 0]
        good = np.isfinite(stderr)
        np.testing.assert_array_equal(bars.lines[0].get_ydata(), value[good])
        np.testing.assert_allclose(np.diff(segments(bars))[:, 0] if good.any() else [], 2.0 * stderr[good])
        series = st.SERIES[index]
        curve = next(one for one in lines(ax, color=series.colour) if one.get_linestyle() != "None")
        np.testing.assert_array_equal(curve.get_ydata(), limits[index, :, 0])
    assert ax.get_title() == "vanilla"


# -------------------------------------------------------------------------------------------------- widths, and sweeps


def test_an_extrapolation_shows_estimates_fit_value_and_limit(grid):
    found = _extrapolation(grid)
    ax = P.plot_extrapolation(found)
    estimates, value = ax.containers
    np.testing.assert_allclose(estimates.lines[0].get_xdata(), 1.0 / found.widths)
    np.testing.assert_array_equal(estimates.lines[0].get_ydata(), found.estimates.value)
    np.testing.assert_allclose(np.diff(segments(estimates))[:, 0], 2.0 * found.estimates.stderr)
    assert value.lines[0].get_xydata().tolist() == [[0.0, float(found.value.value)]]
    np.testing.assert_allclose(np.diff(segments(value))[:, 0], 2.0 * found.value.stderr)
    fit = next(one for one in lines(ax, color=st.DATA) if len(one.get_xdata()) > 100)
    x, y = fit.get_data()
    assert y[0] == pytest.approx(float(found.value.value))
    np.testing.assert_allclose(y, found.coefficients[0] + found.coefficients[1] * x)
    assert set(lines(ax, color=st.THEORY)[0].get_ydata()) == {found.limit}
    edge = ax.collections
    band = next(c for c in edge if len(c.get_paths()[0].vertices) > 300).get_paths()[0].vertices
    at_zero = band[band[:, 0] == 0.0][:, 1]
    assert at_zero.max() - at_zero.min() == pytest.approx(2.0 * float(found.value.stderr))


@pytest.mark.parametrize("show", ["value", "stderr", "relative"])
@pytest.mark.parametrize("quantity", ["log_norm.variance", "asymmetry"])
def test_a_map_of_a_sweep_holds_what_it_says(grid, show, quantity):
    ax = P.plot_sweep(grid, quantity, show=show, sel={"variant": "vanilla"})
    estimate, limit = grid.estimates[quantity], grid.limits[quantity]
    with np.errstate(divide="ignore"):  # of balanced networks
        relative = estimate.value / limit - 1.0
    wanted = {"value": estimate.value, "stderr": estimate.stderr, "relative": relative}[show]
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), wanted[:, :, 0])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.5", "1", "2"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["8", "16", "24"]
    assert len(ax.texts) == 9
    if show == "relative":
        assert mesh.norm(0.0) == pytest.approx(0.5)


def test_the_axes_of_a_map_may_be_exchanged_and_any_other_dimension_fixed(grid):
    ax = P.plot_sweep(grid, "growth", x="variant", y="ratio", sel={"width": 16})
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), grid.estimates["growth"].value[1])
    other = P.plot_sweep(grid, "growth", x="ratio", y="variant", sel={"width": 16})
    (mesh,) = (c for c in other.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), grid.estimates["growth"].value[1].T)
    assert other.get_title() == "$n$ = 16"


def test_points_without_a_value_are_hatched_and_said_so(unfinished, grid):
    ax = P.plot_sweep(unfinished)
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    assert sorted(patch.get_xy() for patch in hatched) == [(-0.5, 0.5), (0.5, 0.5)]
    assert words(ax) == ["no value"]
    missing = ~np.isfinite(grid.estimates["growth"].stderr[:, :, 1])
    ax = P.plot_sweep(grid, "growth", show="stderr", sel={"variant": "balanced"})
    assert missing.any()
    assert len([patch for patch in ax.patches if patch.get_hatch()]) == missing.sum()
    assert words(ax) == ["no standard error"]


def test_numbers_in_dark_cells_are_white_and_in_light_ones_black(grid):
    ax = P.plot_sweep(grid, sel={"variant": "vanilla"})
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    for text in ax.texts:
        column, row = (int(v) for v in text.get_position())
        ground, ink = luminance(mesh.to_rgba(mesh.get_array()[row, column])[:3]), luminance(text.get_color())
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) > 3.0


def test_a_large_map_has_few_ticks_and_no_numbers(tmp_path):
    plan = Sweep(width=list(range(4, 24)), depth=list(range(1, 10)), alpha=HALF, lam=HALF, networks=64)
    ax = P.plot_sweep(plan.run(tmp_path / "store", progress=False))
    assert len(ax.texts) == 0
    assert len(ax.get_yticks()) <= 8
    assert np.ptp(np.diff(ax.get_yticks())) == 0


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: P.plot_log_norm(3), "sim=3 is not allowed: it must be a resmc.Simulation"),
        (lambda s, g: P.plot_output(g), "sim=.* is not allowed: it must be a resmc.Simulation"),
        (lambda s, g: P.plot_output(s, n_out=0), "n_out=0 is out of range"),
        (lambda s, g: P.plot_output(s, n_out="ten"), "n_out='ten' is not allowed"),
        (lambda s, g: P.plot_qq("x"), "sim='x' is not allowed"),
        (lambda s, g: P.plot_qq(_of(31)), "sim has 31 living networks: .* at least 32"),
        (lambda s, g: P.plot_log_norm(_dead()), "sim has no living network at depth 60"),
        (lambda s, g: P.plot_hypoactivation(g), "result=.* must be a Simulation or a Hypoactivation"),
        (lambda s, g: P.plot_hypoactivation(s, quantity="F"), "quantity='F' is not allowed: .*'active_fraction'"),
        (lambda s, g: P.plot_interlayer(s.hypoactivation()), r"result=Hypoactivation"),
        (lambda s, g: P.plot_interlayer(_of(40, False)), "there are no correlations"),
        (lambda s, g: P.plot_interlayer_by_lag([s]), "result=.* or a mapping from labels"),
        (lambda s, g: P.plot_interlayer_by_lag({}), "result holds 0 curves: it must be 1 to"),
        (lambda s, g: P.plot_interlayer_by_lag({"a": 1}), r"result\['a'\]=1 is not allowed"),
        (lambda s, g: P.plot_interlayer_by_lag(s, max_lag=0), "max_lag=0 is out of range"),
        (lambda s, g: P.plot_growth(1), "result=1 is not allowed: .*SweepResult"),
        (lambda s, g: P.plot_growth(dict.fromkeys("abcdefgh", s)), "result holds 8 curves"),
        (lambda s, g: P.plot_growth(s, sel={"width": 1}), "sel=.* it chooses points of a SweepResult"),
        (lambda s, g: P.plot_growth(s, most=1), "most=1 is out of range"),
        (lambda s, g: P.plot_growth(g, sel={"ratio": 1}), "result has no dimension ratio or depth left"),
        (lambda s, g: P.plot_growth(g, sel={"depth": 1}), r"sel\['depth'\]=1 is not allowed: the dimensions are width"),
        (
            lambda s, g: P.plot_growth(g, sel={"width": 9}),
            r"sel\['width'\]=9 is not in the sweep: it has \(8, 16, 24\)",
        ),
        (lambda s, g: P.plot_growth(g, sel="vanilla"), "sel='vanilla' is not allowed: it must be a mapping"),
        (lambda s, g: P.plot_extrapolation(s), "result=.* must be an Extrapolation"),
        (lambda s, g: P.plot_sweep(s), "result=.* must be a SweepResult"),
        (lambda s, g: P.plot_sweep(g), "sel leaves width beside x='variant' and y|sel leaves .* fix them"),
        (lambda s, g: P.plot_sweep(g, "speed"), "quantity='speed' is not allowed: .*log_norm.mean"),
        (lambda s, g: P.plot_sweep(g, show="z"), "show='z' is not allowed: .*'relative'"),
        (lambda s, g: P.plot_sweep(g, x="depth"), "x='depth' is not allowed: the dimensions left are width, ratio"),
        (lambda s, g: P.plot_sweep(g, x="width", y="width"), "y='width' is not allowed: it is x already"),
        (lambda s, g: P.plot_sweep(g, sel={"width": 8, "ratio": 1}), r"result has 1 dimensions left \(variant\)"),
        (lambda s, g: P.plot_sweep(g, "growth", show="relative", sel={"variant": "balanced"}), "its limit is 0"),
        (lambda s, g: P.plot_sweep(g, "growth", show="stderr", sel={"variant": "vanilla"}), "show='stderr' of .* few"),
        (lambda s, g: P.plot_trajectories(_of(40)), "sim kept no trajectories: .*keep_trajectories=20"),
        (lambda s, g: P.plot_trajectories(s, most=0), "most=0 is out of range"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_leaves_no_figure(sim, grid, call, message):
    with pytest.raises(ValueError, match=message):
        call(sim, grid)
    assert plt.get_fignums() == []


def test_a_sweep_over_a_list_of_models_has_no_dimensions_to_draw_over(tmp_path):
    result = Sweep([resmc.ResNet(8, 4, 0.6, 0.8)], networks=64).run(tmp_path / "store", progress=False)
    for function in (P.plot_sweep, P.plot_growth):
        with pytest.raises(ValueError, match=r"^result is a sweep over a list of models"):
            function(result)


def _of(networks: int, correlations: bool = True) -> Simulation:
    return resmc.simulate(width=6, depth=3, alpha=0.6, lam=0.8, networks=networks, correlations=correlations)


def _dead() -> Simulation:
    run = resmc.simulate(width=1, depth=60, alpha=0.0, lam=1.0, networks=40)
    assert run.dead[-1] == 40
    return run


def test_the_infinite_width_density_is_accurate_at_every_width():
    from resmc.plot.laws import _infinite_width_density

    for width in (1, 2, 200, 1 << 24):
        run = resmc.simulate(width=width if width < 300 else 300, depth=1, alpha=0.6, lam=0.8, networks=2)
        object.__setattr__(run, "model", resmc.ResNet(width, 1, 0.6, 0.8))
        x, y = _infinite_width_density(run)
        x = x - run.model.log_norm_offset(1)
        h = 0.5 * width
        middle = np.argmax(y)
        exact = h * (np.log(h) + x[middle]) - h * np.exp(x[middle]) - special.gammaln(h)
        assert np.log(y[middle]) == pytest.approx(exact, abs=1e-3 if width > 10**6 else 1e-9)
