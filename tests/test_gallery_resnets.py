"""Claims of the gallery about the log-Gaussian limit, its corrections, and moments that rare networks rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gallery_scripts import CLEAR, agrees, few, nothing_of_it

import resmc

pytest.importorskip("matplotlib")


def log_gaussian_is_nearer(found: list[Any]) -> bool:
    infinite, log_gaussian = found
    return infinite.value - log_gaussian.value > CLEAR * (infinite.stderr + log_gaussian.stderr)


def fewer_than_half_fire(found: list[Any]) -> bool:
    # the correction is 5% at n = 100
    return all(one.value < -CLEAR * one.stderr and agrees(one, 0.1 * abs(one.reference)) for one in found)


def layers_correlate(found: list[Any]) -> bool:
    # the correction is up to 2/n
    return all(agrees(one, 3.0 / 100.0) for one in found) and found[0].value > CLEAR * found[0].stderr


def variance_grows(found: list[Any]) -> bool:
    # the correction is some 3/n
    widths = [int(one.name.partition("n = ")[2]) for one in found]
    return all(
        one.value > CLEAR * one.stderr and agrees(one, 6.0 / n * one.reference)
        for one, n in zip(found, widths, strict=True)
    )


def variance_grows_on(found: list[Any]) -> bool:
    # the correction is some 6% at n = 40, and the limit is over 7 at the last depth
    vanilla, balanced = found[:4], found[4:]
    near = all(agrees(one, 0.1 * one.reference) and one.value > CLEAR * one.stderr for one in vanilla)
    return near and all(agrees(one) for one in balanced)


def moments_have_their_rates(found: list[Any]) -> bool:
    exact, vanilla = found[:4], found[4:]
    return all(agrees(one) for one in exact) and all(one.value > CLEAR * one.stderr for one in vanilla)


# --------------------------------------------------------------------------------------------------------------- tests


def test_the_log_gaussian_law_is_nearer_at_a_moderate_depth_alone(ran):
    a = ran["a_log_gaussian"]
    assert log_gaussian_is_nearer(a.found)
    assert "the log-Gaussian law is" in a.printed
    shallow = resmc.simulate(width=10_000, depth=1, alpha=0.6, lam=0.8, n_out=10, networks=1000)
    found = a.script.findings(shallow)
    assert not log_gaussian_is_nearer(found)
    assert "the infinite-width law is" in a.script.sentence(shallow, a.found[::-1])


def test_fewer_than_half_fire_in_vanilla_networks_alone(ran):
    b = ran["b_hypoactivation"]
    assert fewer_than_half_fire(b.found)
    assert "fewer than half" in b.printed
    sim = b.script.simulate(few(0.05), "balanced")
    found = b.script.findings(sim)
    assert not fewer_than_half_fire(found)
    assert "not clearly different from half" in b.script.sentence(sim, found)
    assert not fewer_than_half_fire([replace(one, value=1.3 * one.value) for one in b.found])


def test_layers_correlate_in_vanilla_networks_alone(ran):
    c = ran["c_interlayer"]
    assert layers_correlate(c.found)
    assert "it decays" in c.printed
    sims = c.script.simulate(few(0.05), "balanced")
    # what a balanced network is held against here is the limit of vanilla ones
    found = [
        replace(one, reference=limit.reference) for one, limit in zip(c.script.findings(sims), c.found, strict=True)
    ]
    assert not layers_correlate(found)
    assert "no clear decay" in c.script.sentence(sims, found)
    other = [replace(one, reference=float(resmc.theory.J(0.75**k)) / 3.0)
             for k, one in zip(c.script.LAGS, c.found, strict=True)]  # fmt: skip
    assert not layers_correlate(other)


@pytest.mark.long
def test_the_variance_grows_in_vanilla_networks_alone(ran):
    found = ran["d_growth"].found
    vanilla, balanced = found[:3], found[3:]
    assert variance_grows(vanilla)
    assert nothing_of_it(balanced)
    swapped = [replace(b, reference=v.reference) for v, b in zip(vanilla, balanced, strict=True)]
    assert not variance_grows(swapped)
    assert not nothing_of_it([replace(v, reference=0.0) for v in vanilla])
    assert ran["d_growth"].printed.count("it grows") == 3
    assert ran["d_growth"].printed.count("no clear growth") == 3


@pytest.mark.long
def test_balanced_networks_have_the_exact_values_and_vanilla_ones_do_not(ran):
    found = ran["e_balanced"].found
    vanilla, balanced = found[:3], found[3:]
    assert nothing_of_it(balanced)
    assert not any(agrees(one) for one in vanilla)


@pytest.mark.long
def test_extrapolated_values_have_the_limits_and_those_of_one_width_do_not(ran):
    f = ran["f_corrections"]
    values, corrections = f.found[::2], f.found[1::2]
    assert nothing_of_it(values)
    assert corrections[-1].value > CLEAR * corrections[-1].stderr  # there is something to extrapolate
    sim = resmc.simulate(width=192, depth=192, alpha=0.5**0.5, lam=0.5**0.5, networks=5000)
    alone = sim.interlayer_correlations().by_lag[1]
    assert not agrees(replace(values[-1], value=float(alone.value), stderr=float(alone.stderr)))


@pytest.mark.long
def test_variance_grows_where_no_plain_mean_sees_it(ran):
    found = ran["v_moment_growth"].found
    assert variance_grows_on(found)
    vanilla, balanced = found[:4], found[4:]
    for a, b in ((vanilla, vanilla[:3] + balanced[:1]), (balanced, balanced[:3] + vanilla[:1])):
        values = [replace(one, value=other.value) for one, other in zip(a, b, strict=True)]
        assert not variance_grows_on([*values, *balanced] if a is vanilla else [*vanilla, *values])
    assert "and an error only up to" in ran["v_moment_growth"].printed


@pytest.mark.long
def test_moments_grow_at_their_exact_rates(ran):
    found = ran["w_rate_function"].found
    assert moments_have_their_rates(found)
    chain, balanced = found[1], found[3]
    assert not moments_have_their_rates([found[0], replace(chain, value=balanced.value), *found[2:]])
    assert not moments_have_their_rates([*found[:4], replace(found[4], value=0.0), found[5]])
