"""Claims of the gallery about networks of one width as their depth grows: exponents, laws and equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gallery_scripts import AGREE, CLEAR, agrees, few, nothing_of_it

import resmc
from resmc.models.scaling import DepthScaling

pytest.importorskip("matplotlib")


def powers_of_depth(found: list[Any]) -> bool:
    # what is left after a correction of order 1/L is of order 1/L^2: 0.01 at the depth of 10, and the fit begins there
    identity, neither, explosion = found
    return agrees(identity, 0.01) and agrees(neither, 0.01) and explosion.value > 1.0 + CLEAR * explosion.stderr


def law_at_half(found: list[Any]) -> bool:
    # the corrections are up to 2/L of the logarithm's mean, and of its variance
    return all(agrees(one, 0.0 if one.kind == "exact" else 0.005 * one.reference) for one in found)


def smooth_powers_of_depth(found: list[Any]) -> bool:
    # what is left after a correction of order 1/L is of order 1/L^2, as for independent weights
    *like_powers, forward, backward = found
    explode = all(one.value > 1.0 + CLEAR * one.stderr for one in (forward, backward))
    return all(agrees(one, 0.02) for one in like_powers) and explode


def frontier_rises(found: list[Any]) -> bool:
    # at L = 1000 it is below its limit, by an amount that falls like 1/log L
    near = all(-0.1 <= one.value - one.reference <= AGREE * one.stderr for one in found)
    return near and found[-1].value - found[0].value > CLEAR * (found[0].stderr + found[-1].stderr)


def regimes_part(found: list[Any]) -> bool:
    # the equations' slopes are nearly those of theory at these depths, Ito's by a term of order 1/L less so
    ordinary, stochastic, neither = found[:2], found[2:4], found[4:]
    return (
        all(agrees(one, 0.02) for one in ordinary)
        and all(agrees(one, 0.1) for one in stochastic)
        and all(agrees(one, 0.03) for one in neither)
    )


def smooth_weights_make_an_equation(found: list[Any]) -> bool:
    # the corrections at these depths are far below .05
    return all(agrees(one, 0.02) for one in found)


# --------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize(
    ("name", "way", "words"),
    [
        ("g_depth_regimes", "forward", "|h_L"),
        pytest.param("h_depth_gradients", "backward", "|p_0", marks=pytest.mark.long),
    ],
)
def test_ratios_go_like_powers_of_the_depth_and_not_like_those_of_another_exponent(ran, name, way, words):
    one = ran[name]
    assert powers_of_depth(one.found)
    assert [found.name for found in one.found] == ["β = 1, identity", "β = 0.5, non-trivial", "β = 0.25, explosion"]
    assert [line.split(": ")[1] for line in one.printed.splitlines()[:3]] == ["identity", "non-trivial", "explosion"]
    assert one.printed.count(f"{words} - ") == 3
    script = ran["g_depth_regimes"].script
    other = resmc.regime(script.network(0.6), script.DEPTHS, networks=200)
    (found,) = script.findings({0.6: other}, way)
    assert agrees(found, 0.01)
    assert not agrees(replace(found, reference=0.0), 0.01)
    assert not agrees(replace(found, reference=-0.5), 0.01)


@pytest.mark.long
def test_deep_networks_have_the_log_gaussian_law_at_the_exponent_1_2_alone(ran):
    i = ran["i_depth_law"]
    assert law_at_half(i.found)
    network = ran["g_depth_regimes"].script.network
    other = i.script.findings(i.script.simulate(few(0.4), network(0.55, 100)))
    assert not law_at_half([found for found in other if found.kind == "limit"])
    assert law_at_half([found for found in other if found.kind == "exact"])  # at every exponent
    narrow = i.script.findings(i.script.simulate(few(0.4), network(0.5, 30)))
    assert not law_at_half([replace(a, reference=b.reference) for a, b in zip(narrow, i.found, strict=True)])


@pytest.mark.long
def test_deep_networks_have_their_exact_law_and_the_limit_comes_near_it(ran):
    """Four numbers at 4.5 standard errors."""
    u = ran["u_exact_law"]
    assert all(agrees(one) for one in u.found if one.kind == "exact")
    assert all(one.value < 2.0 * one.reference for one in u.found if one.kind == "noise")
    shallow = resmc.theory.exact_law(replace(u.script.MODEL, depth=2))
    assert not agrees(replace(u.found[0], reference=shallow.mean - 0.1))
    near, far = u.script.distance(10, 40), u.script.distance(10, 10)
    assert near == pytest.approx(0.25 * far, rel=0.1)  # it falls like 1/L


@pytest.mark.long
def test_with_a_norm_sizes_and_gradients_grow_like_the_depth_and_those_of_post_do_not_grow(ran):
    """Four numbers, gradients within 0.1 of a logarithm for the next order in 1/n."""
    z = ran["z_norms"]
    sizes = [one for one in z.found if one.reference and "log E|h_L|" in one.name]
    gradients = [one for one in z.found if one.reference and "p_0" in one.name]
    assert [len(sizes), len(gradients)] == [2, 2]
    assert all(agrees(one) for one in sizes)
    assert all(agrees(one, 0.1) for one in gradients)
    assert not any(agrees(replace(one, reference=one.reference + 0.3), 0.1) for one in gradients)
    assert [one.value < -CLEAR * one.stderr for one in z.found if one.name.startswith("post")] == [True]
    without = replace(z.script.network("pre", 128), norm=None, norm_at="pre", eps=1e-5)
    assert resmc.theory.exact_law(without).moment(1.0) == pytest.approx(128 * np.log(2.0))


@pytest.mark.long
def test_smooth_weights_have_the_exponent_1_where_independent_ones_have_1_2(ran):
    j = ran["j_smooth_depth"]
    assert smooth_powers_of_depth(j.found)
    assert j.printed.count(": identity: ") == 2
    assert j.printed.count(": explosion: ") == 2
    independent = ran["g_depth_regimes"].found
    assert not agrees(replace(independent[0], reference=0.0), 0.02)  # beta = 1 is the identity there


@pytest.mark.long
def test_fractional_weights_add_up_to_the_exponent_asked_for_and_to_no_other(ran):
    k = ran["k_fractional_paths"]
    assert nothing_of_it(k.found)
    off = [replace(one, reference=one.reference + 0.03) for one in k.found]
    assert not any(agrees(one) for one in off)


@pytest.mark.long
def test_the_frontier_of_the_heat_map_rises_with_h(ran):
    found = ran["l_heat_map"].found
    assert frontier_rises(found)
    assert not frontier_rises([replace(one, reference=0.5) for one in found])
    assert not frontier_rises(found[::-1])


@pytest.mark.long
def test_the_three_regimes_have_their_exponents_and_not_each_others(ran):
    found = ran["m_three_regimes"].found
    assert regimes_part(found)
    others = [*found[2:4], *found[:2], found[5], found[4]]
    swapped = [replace(one, value=other.value) for one, other in zip(found, others, strict=True)]
    assert not any(agrees(one, 0.1) for one in swapped)


@pytest.mark.long
def test_networks_tend_to_their_equations_where_weights_are_smooth_and_nowhere_else(ran):
    n = ran["n_ode_distance"]
    assert smooth_weights_make_an_equation(n.found)
    swapped = [replace(one, value=other.value) for one, other in zip(n.found, n.found[::-1], strict=True)]
    assert not any(agrees(one, 0.02) for one in swapped)
    assert n.printed.count("distance from the ordinary equation") == 2
    assert "smooth in time" in n.printed
    assert "linear between layers" in n.printed


@pytest.mark.long
@pytest.mark.parametrize("weights", ["uniform", "rademacher"])
def test_other_weights_have_the_law_of_gaussian_ones(ran, weights):
    """Two numbers and two laws at 4.5 standard errors, Kolmogorov-Smirnov at 1e-4: a level of 3e-4."""
    i, network = ran["i_depth_law"], ran["g_depth_regimes"].script.network
    model = replace(network(0.5, 40, weights), depth=200)
    dense = i.script.simulate(few(0.2), model)
    gaussian = i.script.simulate(few(1.0), replace(model, weights="gaussian"))
    apart = i.script.simulate(few(1.0), replace(model, weights="gaussian", scaling=DepthScaling(0.52)))
    for ratio in i.script.RATIOS:
        one, same, other = (sim.log_ratio(ratio) for sim in (dense, gaussian, apart))
        for name in ("final_mean", "final_variance"):
            a, b = getattr(one, name), getattr(same, name)
            assert abs(a.value - b.value) < AGREE * float(np.hypot(a.stderr, b.stderr))
        assert two_sample_ks(one.law, same.law) < 1.0 < two_sample_ks(one.law, other.law)


def two_sample_ks(one: Any, other: Any) -> float:
    """The distance of two laws over what it exceeds with probability 1e-4 if they are the same."""
    assert abs(one.offset - other.offset) < 2.0**-20  # a small part of a bin, from the logarithm of a float32
    grid = np.union1d(one.bins, other.bins)
    below = [np.cumsum(law.counts)[np.searchsorted(law.bins, grid, side="right") - 1] * (grid >= law.bins[0])
             / law.networks for law in (one, other)]  # fmt: skip
    critical = np.sqrt(-0.5 * np.log(0.5e-4) * (1.0 / one.networks + 1.0 / other.networks))
    return float(np.max(np.abs(below[0] - below[1])) / critical)
