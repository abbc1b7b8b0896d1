"""Figures of several inputs: angles by layer, and the tangent kernel against d/n, are the estimates and the theory."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import P, kernels, lines, ordinary, two_inputs, words

from resmc import theory
from resmc.engine import native
from resmc.plot import style as st

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(native._native, "joint"), reason="the extension was built without several inputs"),
]
no_figure_remains = figures.no_figure_remains  # around every test here


@pytest.mark.parametrize("quantity", ["cosine", "log_sine_squared"])
def test_angles_are_drawn_with_their_scatter_and_both_theories(quantity):
    found = two_inputs().angles()
    for result in (two_inputs(), found):
        ax = P.plot_angles(result, quantity=quantity, inputs=(1, 0))
        mean, limit = getattr(found, quantity)[:, 1, 0], getattr(found.infinite_width, quantity)[:, 1, 0]
        np.testing.assert_array_equal(lines(ax, color=st.DATA)[0].get_ydata(), mean.value)
        np.testing.assert_array_equal(lines(ax, color=st.INFINITE)[0].get_ydata(), limit)
        spread = np.sqrt(getattr(found, f"{quantity}_variance").value[:, 1, 0])
        edges = [part.get_paths()[0].vertices[:, 1] for part in ax.collections]
        most = 1.0 if quantity == "cosine" else np.inf
        assert max(edge.max() for edge in edges) == pytest.approx(min((mean.value + spread).max(), most))
        exact = [one.get_ydata() for one in lines(ax, color=st.EXACT)]
        np.testing.assert_array_equal(exact, [found.small_angle[:, 1, 0]] * (quantity == "log_sine_squared"))


def test_a_list_of_one_simulation_is_drawn_as_it_is():
    one, listed = (
        lines(P.plot_angles(given), color=st.DATA)[0].get_ydata() for given in (two_inputs(), [two_inputs()])
    )
    np.testing.assert_array_equal(one, listed)
    with pytest.raises(ValueError, match="result holds 2 simulations"):
        P.plot_angles([two_inputs()] * 2)


def test_the_law_of_small_angles_is_not_drawn_for_wide_ones():
    ax = P.plot_angles(two_inputs(1.0), quantity="log_sine_squared")
    assert lines(ax, color=st.EXACT) == []
    assert "infinite width" in words(ax)


def test_second_moments_are_drawn_in_the_order_of_the_aspect_with_what_is_known():
    ax = P.plot_tangent_kernel(kernels())
    sims = sorted(kernels(), key=lambda sim: sim.model.ratio)
    exact = lines(ax, color=st.EXACT)[0]
    known = {sim.model.ratio: theory.kernel_moments(sim.model).second_moment_ratio for sim in sims
             if theory.no_kernel_moments(sim.model) is None}  # fmt: skip
    there = np.isfinite(exact.get_ydata())
    assert sorted(exact.get_xdata()[there]) == sorted(known)
    assert set(exact.get_ydata()[there]) == set(known.values())
    curve = lines(ax, color=st.THEORY)[0]
    assert curve.get_ydata()[-1] == theory.kernel_moment_limit(curve.get_xdata()[-1])
    assert ax.get_yscale() == "log"


def test_means_are_drawn_over_those_of_infinite_width():
    ax = P.plot_tangent_kernel({str(i): sim for i, sim in enumerate(kernels())}, quantity="mean")
    drawn = np.concatenate([one.get_ydata() for one in lines(ax, marker="o")])
    found = [sim.tangent_kernel() for sim in kernels()]
    expected = [float(one.total.value[0, 0] / one.infinite_width.total[0, 0]) for one in found]
    np.testing.assert_allclose(sorted(drawn), sorted(expected))
    one = P.plot_tangent_kernel(two_inputs(), quantity="mean", inputs=(0, 1))
    kernel = two_inputs().tangent_kernel()
    drawn = np.concatenate([line.get_ydata() for line in lines(one, marker="o")])
    np.testing.assert_allclose(drawn, kernel.total.value[0, 1] / kernel.infinite_width.total[0, 1])


def test_few_networks_have_hollow_points():
    assert st.HOLLOW in words(P.plot_angles(two_inputs(1.0, 20)))
    assert st.HOLLOW in words(P.plot_tangent_kernel(kernels(20)))


@pytest.mark.parametrize(
    ("call", "given", "message"),
    [
        ("plot_angles", {"quantity": "angle"}, "quantity"),
        ("plot_angles", {"inputs": (0, 0)}, "two different inputs"),
        ("plot_angles", {"inputs": (0, 2)}, "inputs=2"),
        ("plot_angles", {"inputs": 1}, "two different inputs"),
        ("plot_tangent_kernel", {"quantity": "variance"}, "quantity"),
        ("plot_tangent_kernel", {"inputs": (0, 3)}, "inputs=3"),
    ],
)
def test_other_inputs_and_quantities_are_refused(call, given, message):
    with pytest.raises(ValueError, match=message):
        getattr(P, call)(two_inputs(), **given)


def test_simulations_without_such_results_are_refused():
    with pytest.raises(ValueError, match="several inputs"):
        P.plot_angles(ordinary())
    with pytest.raises(ValueError, match="tangent_kernel=True"):
        P.plot_tangent_kernel([ordinary()])
    with pytest.raises(ValueError, match="result"):
        P.plot_tangent_kernel([])
    with pytest.raises(ValueError, match="result"):
        P.plot_tangent_kernel([1])
