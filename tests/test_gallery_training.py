"""Claims of the gallery about networks that are trained, and about gradients that need no stored states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gallery_scripts import AGREE, CLEAR, agrees

pytest.importorskip("matplotlib")


def linear_networks_come_together(found: list[Any]) -> bool:
    # at these depths the order from zeros differs from 1 by a part of order 1/N, at most 1/32
    zeros, independent = found
    return agrees(zeros, 0.03) and independent.value + CLEAR * independent.stderr < 0.5


def heun_trains_in_fewer_layers(found: list[Any]) -> bool:
    # at these depths the orders differ from 1 and 3 by parts of order 1/N
    euler, heun, fewer, more = found
    orders = agrees(euler, 0.06) and agrees(heun, 0.06)
    return orders and fewer.value - more.value > CLEAR * (fewer.stderr + more.stderr)


def training_fails_where_networks_explode(found: list[Any]) -> bool:
    rough_growth, rough, smooth_growth, smooth, _, small = found
    explodes = smooth_growth.value - rough_growth.value > CLEAR * (smooth_growth.stderr + rough_growth.stderr)
    fails = rough.value - smooth.value > CLEAR * (rough.stderr + smooth.stderr)
    return explodes and fails and small.value - rough.value > CLEAR * (small.stderr + rough.stderr)


def trend_is_learnt_and_noise_stays(found: list[Any]) -> bool:
    # exponents of these depths, down to 8 and 16, are off by at most .06 and .02
    learnt, noise = found[0::3], found[1::3] + found[2::3]
    return all(agrees(one, 0.08) for one in learnt) and all(agrees(one, 0.04) for one in noise)


def what_is_learnt_is_as_rough_as_states(found: list[Any]) -> bool:
    # increments over 1 to 4 of 64 layers of what is smooth in k/L, and which Adam divides by its size, are off by .07
    before, changes = found[0::5], found[1::5]
    learnt = [one for i, one in enumerate(found) if i % 5 >= 2]
    kept = all(abs(one.value) + AGREE * one.stderr < 0.01 for one in changes)
    return kept and all(agrees(one) for one in before) and all(agrees(one, 0.08) for one in learnt)


def adam_lets_gradients_grow(found: list[Any]) -> bool:
    # before training the corrections at these depths are of order 1/L, at most .02
    fresh, before, descent, adam = found
    flat = abs(descent.value) < AGREE * descent.stderr + 0.05
    return agrees(fresh, 0.02) and agrees(before, 0.02) and flat and adam.value > 0.2 + CLEAR * adam.stderr


# --------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.long
def test_linear_networks_tend_to_an_equation_from_zeros_and_not_from_independent_weights(ran):
    o = ran["o_linear_descent"]
    assert linear_networks_come_together(o.found)
    zeros, independent = o.found
    assert not linear_networks_come_together([replace(zeros, value=independent.value), independent])
    assert not linear_networks_come_together([zeros, replace(independent, value=zeros.value)])
    assert o.printed.count("gradient descent of linear residual networks") == 2


@pytest.mark.long
def test_training_with_the_adjoint_takes_fewer_layers_of_heun_than_of_euler(ran):
    p = ran["p_adjoint"]
    assert heun_trains_in_fewer_layers(p.found)
    euler, heun, fewer, more = p.found
    assert not heun_trains_in_fewer_layers([replace(euler, value=heun.value), heun, fewer, more])
    assert not heun_trains_in_fewer_layers([euler, replace(heun, value=euler.value), fewer, more])
    assert not heun_trains_in_fewer_layers([euler, heun, more, fewer])
    assert "failures are not the adjoint's alone" not in p.printed
    few, many = (p.script.kept(depth, "adjoint") for depth in (16, 64))
    assert few == many < 0.05 * p.script.kept(16, "autograd")


@pytest.mark.long
def test_smoother_weights_explode_and_fail_to_train_at_an_exponent_at_which_rough_ones_learn(ran):
    q = ran["q_trained_map"]
    assert training_fails_where_networks_explode(q.found)
    assert not training_fails_where_networks_explode([*q.found[2:4], *q.found[:2], *q.found[4:]])
    assert not training_fails_where_networks_explode([*q.found[:4], *q.found[:2]])
    assert "map of trained v-phi-w relu" in q.printed


@pytest.mark.long
def test_a_trend_is_learnt_that_adds_up_alike_at_every_depth_and_noise_stays_as_it_was(ran):
    r = ran["r_scaling_exponents"]
    assert trend_is_learnt_and_noise_stays(r.found)
    swapped = [replace(one, value=other.value) for one, other in zip(r.found, r.found[3:] + r.found[:3], strict=True)]
    assert not trend_is_learnt_and_noise_stays(swapped)
    for place in (0, 1, 2):
        one_swapped = [swapped[i] if i == place else one for i, one in enumerate(r.found)]
        assert not trend_is_learnt_and_noise_stays(one_swapped)
    assert r.printed.count("what was learnt") >= 4


@pytest.mark.long
def test_smooth_weights_stay_smooth_and_what_is_learnt_has_the_exponents_of_the_states(ran):
    s = ran["s_smoothness"]
    assert what_is_learnt_is_as_rough_as_states(s.found)
    for place in (2, 3, 4):  # Each law's own exponent, and no other's.
        other = s.found[place + 1 if place < 4 else 2]
        swapped = [replace(one, value=other.value) if i == place else one for i, one in enumerate(s.found)]
        assert not what_is_learnt_is_as_rough_as_states(swapped)
    rougher = [replace(one, value=one.value - 0.05) if "after" in one.name else one for one in s.found]
    assert not what_is_learnt_is_as_rough_as_states(rougher)
    assert s.printed.count("weights moved by 0.") == 6


@pytest.mark.long
def test_gradients_grow_with_the_depth_where_adam_has_trained_and_not_where_descent_has(ran):
    t = ran["t_trained_gradients"]
    assert adam_lets_gradients_grow(t.found)
    fresh, before, descent, adam = t.found
    assert not adam_lets_gradients_grow([fresh, before, adam, descent])
    assert not adam_lets_gradients_grow([replace(fresh, reference=0.5 + 1 / 16), before, descent, adam])
    assert not adam_lets_gradients_grow([fresh, replace(before, value=descent.value + 0.1), descent, adam])
