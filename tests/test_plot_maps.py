"""Maps: colours do not make signal of noise, cells have one format and errors, and marks say what they mean."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figure_cases import CASES, balanced_map, by_depth, resnet, unreliable
from figures import P, words
from matplotlib.collections import QuadMesh

from resmc.plot import maps
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here
NAN = np.nan


def mesh_of(ax) -> QuadMesh:
    (mesh,) = [one for one in ax.collections if isinstance(one, QuadMesh)]
    return mesh


@pytest.mark.parametrize("centred", [False, True])
def test_colours_of_noise_reach_four_standard_errors_and_those_of_signal_the_values(centred):
    noise = np.random.default_rng(1).normal(size=(9, 9))
    found = maps.scale(noise, np.ones((9, 9)), centred=centred)
    middle = 0.5 * (found.low + found.high)
    assert found.high - middle == pytest.approx(4.0)
    assert np.std((noise - found.low) / (found.high - found.low)) < 0.2  # of the range of colours
    signal = maps.scale(100.0 * noise, np.ones((9, 9)), centred=centred)
    ends = (-np.abs(noise).max(), np.abs(noise).max()) if centred else (noise.min(), noise.max())
    assert (signal.low, signal.high) == pytest.approx(tuple(100.0 * np.array(ends)), abs=1.0)
    assert signal.beyond == "neither"


def test_values_without_an_error_do_not_stretch_the_colours_and_the_bar_says_that_some_lie_beyond():
    found = maps.scale(np.array([[0.1, 0.9, -30.0, 50.0]]), np.array([[0.01, 0.01, NAN, NAN]]), centred=False)
    assert (found.low, found.high, found.beyond) == (pytest.approx(0.1), pytest.approx(0.9), "both")
    alone = maps.scale(np.array([[0.1, 0.9]]), np.full((1, 2), NAN), centred=False)
    assert (alone.low, alone.high) == (pytest.approx(0.1), pytest.approx(0.9))
    same = maps.scale(np.array([[2.0, 2.0]]), np.full((1, 2), NAN), centred=False)
    assert same.low < 2.0 < same.high


def test_a_map_of_what_is_exactly_0_is_pale():
    ax = P.plot_sweep(balanced_map(), "asymmetry")
    low, high = mesh_of(ax).get_clim()
    errors = balanced_map().estimates["asymmetry"].stderr
    assert high - low >= 7.9 * np.sqrt(np.mean(errors**2))


@pytest.mark.parametrize(
    ("values", "errors", "written"),
    [
        ([0.0939, 1.16], [0.004, 0.03], (["0.094", "1.160"], ["±0.004", "±0.030"])),
        ([13.6, -0.7], [0.4, 0.2], (["13.60", "−0.70"], ["±0.40", "±0.20"])),
        ([1234.5, 3.0], [20.0, 3.0], (["1234", "3"], ["±20", "±3"])),
        ([1e9, 1.0], [1e7, 1.0], (["1.0e+09", "1.0e+00"], ["±1.0e+07", "±1.0e+00"])),
        ([0.5, NAN], [NAN, NAN], (["0.500", ""], ["", ""])),
        ([-1e-9, 1.0], [0.1, 0.1], (["0.00", "1.00"], ["±0.10", "±0.10"])),
        ([0.0, 0.02], [np.nan, np.nan], (["0", "0.0200"], ["", ""])),
    ],
)
def test_all_cells_of_a_map_have_one_format(values, errors, written):
    said, with_errors = maps.numbers(np.array([values]), np.array([errors]))
    assert (said[0], with_errors[0]) == written


def test_cells_are_written_with_their_errors_and_as_many_decimals():
    for ax in (CASES["sweep"](), CASES["heat_map"]()):
        texts = [text.get_text() for text in ax.texts]
        assert min(text.get_zorder() for text in ax.texts) > max((line.get_zorder() for line in ax.lines), default=0)
        assert all(text.count("\n±") == 1 for text in texts)
        assert len({len(part.partition(".")[2]) for text in texts for part in text.split("\n")}) == 1


def test_cells_without_an_error_have_a_circle_or_the_legend_says_that_none_has_one():
    estimate = unreliable().estimates["growth"]
    bare = np.isfinite(estimate.value) & ~np.isfinite(estimate.stderr)
    assert bare.any()
    ax = P.plot_sweep(unreliable(), "growth")
    circles = [line for line in ax.lines if line.get_marker() == "o"]
    if bare.all():
        assert words(ax) == ["no cell has an error bar"]
    else:
        assert sum(len(line.get_xdata()) for line in circles) == bare.sum()
        assert "circle: no error bar" in words(ax)
    ax = CASES["interlayer dying"]()
    assert "circle: no error bar" in words(ax)
    assert words(CASES["heat_map few"]()) == ["no cell has an error bar"]


def test_dashes_are_on_all_cells_below_0_and_on_no_others():
    sims = [sim for beta in np.linspace(0, 1, 7) for sim in by_depth(float(beta), (4, 16))]
    ax = P.plot_heat_map(sims)
    values = np.asarray(mesh_of(ax).get_array()).reshape(2, 7)
    (dashes,) = [line for line in ax.lines if line.get_marker() == "_"]
    rows, columns = np.nonzero(values < 0.0)
    assert 0 < len(rows) < values.size
    assert {*zip(dashes.get_xdata().tolist(), dashes.get_ydata().tolist(), strict=True)} == {
        *zip(columns.tolist(), rows.tolist(), strict=True)
    }
    assert np.abs(values[values < 0.0]).min() < 0.1 * mesh_of(ax).get_clim()[1]  # also where the colour is pale
    assert words(ax) == ["dash: below 0"]


def test_a_deep_map_of_correlations_shows_the_layers_in_which_there_are_some():
    ax = CASES["interlayer deep"]()
    first, last = ax.get_xlim()
    assert last == 200.5
    assert 20 <= last - first <= 80
    assert ax.get_xlim() == ax.get_ylim()
    ax = P.plot_interlayer(resnet(30, 200), layers=(0, 200))
    assert ax.get_xlim() == (-0.5, 200.5)
    assert P.plot_interlayer(figures.ordinary()).get_xlim() == (-0.5, 30.5)
    for wrong in ((300, 400), (5, 2), 3, (1, 2, 3)):
        with pytest.raises(ValueError, match=r"^layers="):
            P.plot_interlayer(resnet(30, 200), layers=wrong)


def test_medians_and_means_of_ratios_have_colours_that_part_at_0_in_every_map():
    for ax in (CASES["sweep words"](), CASES["heat_map words"]()):
        mesh = mesh_of(ax)
        assert mesh.norm(0.0) == pytest.approx(0.5)
        assert mesh.get_cmap().name == st.diverging().name
