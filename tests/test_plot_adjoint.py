"""The figure of gradients without stored states: what is drawn is what was measured, and the legend says the slopes."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import P, adjoint_errors, segments, words

from resmc.plot import style as st

pytest.importorskip("torch")
pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


@pytest.mark.parametrize("kind", ["gradient", "inversion"])
def test_points_are_geometric_means_with_the_errors_of_their_logarithms(kind):
    found = adjoint_errors()
    ax = P.plot_adjoint_errors(found, kind)
    assert len(ax.containers) == 4
    for bars, values in zip(ax.containers, getattr(found, kind).reshape(4, 3, 32), strict=True):
        logs = np.log(values)
        x, y = bars.lines[0].get_xydata().T
        assert x.tolist() == found.depths.tolist()
        assert y == pytest.approx(np.exp(logs.mean(axis=1)))
        half = 0.5 * np.diff(segments(bars), axis=1)[:, 0]
        assert half == pytest.approx(y * logs.std(axis=1, ddof=1) / np.sqrt(32), rel=1e-6)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_the_legend_says_slopes_of_errors_above_rounding_alone():
    found = adjoint_errors()
    said = " ".join(words(P.plot_adjoint_errors(found)))
    assert f"Euler, float64: slope {st.in_words(found.gradient_slope('euler', 'float64'))}" in said
    assert "Heun, float32" in said
    assert "Heun, float32: slope" not in said
