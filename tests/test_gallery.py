"""The gallery: every script runs and says what it found, its claim holds, and fails for networks that do not obey it.

Claims are seen at 5 standard errors where the effect is 15 and more, which no false alarm threatens. What has to agree
may differ by 4.5 standard errors, and from a limit by a bound on the correction of order 1/n or 1/L besides: 68
numbers, whose errors have 31 degrees of freedom or more (five 15), so a false-alarm level of 8e-3 in all.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc.models.scaling import DepthScaling

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "examples" / "gallery"
NETWORKS = {"a_log_gaussian": 0.1, "b_hypoactivation": 0.15, "c_interlayer": 0.1, "d_growth": 0.15, "e_balanced": 0.1,
            "f_corrections": 0.1, "g_depth_regimes": 0.1, "h_depth_gradients": 0.1, "i_depth_law": 0.4,
            "j_smooth_depth": 0.05, "k_fractional_paths": 0.25, "l_heat_map": 0.5, "m_three_regimes": 0.5,
            "n_ode_distance": 0.2, "o_linear_descent": 0.5, "p_adjoint": 0.5, "q_trained_map": 0.5,
            "r_scaling_exponents": 0.5, "s_smoothness": 0.5, "t_trained_gradients": 0.5, "u_exact_law": 0.05,
            "v_moment_growth": 0.125, "w_rate_function": 0.125}  # fmt: skip
# Some constants are smaller here: a quarter of some depths, and of a map the rows whose numbers are told.
CHEAPER: dict[str, dict[str, Callable[[Any], Any]]] = {
    "l_heat_map": {"HURST": lambda rows: rows[::2]},
    "q_trained_map": {"HURST": lambda rows: rows[::3], "BETA": lambda columns: columns[1::3]},
    "r_scaling_exponents": {"DEPTHS": lambda depths: tuple(d // 2 for d in depths)},
    "m_three_regimes": dict.fromkeys(("ODE_DEPTHS", "ROUGH_DEPTHS"), lambda depths: tuple(d // 4 for d in depths)),
}
CLEAR, AGREE = 5.0, 4.5
# Smaller networks have the claims of all scripts in tests of their own (exact values, limits, regimes, moments ..), and
# `make docs` runs every script: the quick tests keep those that show what all have in common.
QUICK = ("a_log_gaussian", "b_hypoactivation", "c_interlayer", "g_depth_regimes")
EACH = [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in NETWORKS]


@dataclass
class Ran:
    """A script, what its main returned and printed, and the figure it left."""

    script: Any
    found: list[Any]
    printed: str
    figure: bytes


class Scripts(dict[str, Ran]):
    """Scripts by their names, each run once, when it is asked for, in a folder of its own with few networks."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        super().__init__({"__main__": Ran(_runner(), [], "", b"")})
        self.folders = folders

    def __missing__(self, name: str) -> Ran:
        script, printed, folder = importlib.import_module(name), io.StringIO(), self.folders.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            for constant, fewer in CHEAPER.get(name, {}).items():
                patch.setattr(script, constant, fewer(getattr(script, constant)))
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                found = script.main([f"--networks={NETWORKS[name]}"])
        self[name] = Ran(script, found, printed.getvalue(), (folder / f"{name}.png").read_bytes())
        assert [path.name for path in folder.iterdir()] == [f"{name}.png"]
        return self[name]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    """All scripts; what they import is forgotten in the end."""
    known = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(GALLERY)
        yield Scripts(tmp_path_factory)
    for name in set(sys.modules) - known:
        if str(ROOT / "examples") in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def _runner() -> Any:
    spec = importlib.util.spec_from_file_location("gallery_main", GALLERY / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few(networks: float) -> argparse.Namespace:
    return argparse.Namespace(networks=networks, seed=0)


def agrees(one: Any, correction: float = 0.0) -> bool:
    """Within 4.5 standard errors and a bound on what finite width adds."""
    return abs(one.value - one.reference) <= AGREE * one.stderr + correction


# --------------------------------------------------------------------------------------------------------------- claims


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


def variance_grows_on(found: list[Any]) -> bool:
    # the correction is some 6% at n = 40, and the limit is over 7 at the last depth
    vanilla, balanced = found[:4], found[4:]
    near = all(agrees(one, 0.1 * one.reference) and one.value > CLEAR * one.stderr for one in vanilla)
    return near and all(agrees(one) for one in balanced)


def moments_have_their_rates(found: list[Any]) -> bool:
    exact, vanilla = found[:4], found[4:]
    return all(agrees(one) for one in exact) and all(one.value > CLEAR * one.stderr for one in vanilla)


def nothing_of_it(found: list[Any]) -> bool:
    return all(agrees(one) for one in found)


# ---------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("name", EACH)
def test_a_script_prints_its_numbers_and_leaves_a_figure(ran, name):
    one = ran[name]
    assert one.found
    for found in one.found:
        assert str(found) in one.printed
        assert "±" in str(found)
    assert one.printed.endswith(f"figure: {name}.png\n")
    assert one.figure.startswith(b"\x89PNG")
    assert len(one.figure) > 20_000
    assert one.script.__doc__ is not None
    assert f"{name}.py" in one.script.__doc__


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


@pytest.mark.cpu
@pytest.mark.long
def test_the_whole_gallery_runs_from_anywhere(tmp_path):
    command = [sys.executable, GALLERY, "--networks=0.01", "--seed=3", "--output=pictures"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"{name}.png" for name in NETWORKS]


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("a_log_gaussian.py", ["--seed=-1"], "seed=-1"),
        pytest.param("f_corrections.py", ["--networks=0.0001"], "no standard error", marks=pytest.mark.long),
        pytest.param("__main__.py", ["--record", "--networks=0.5"], "leave --networks away", marks=pytest.mark.long),
        ("__main__.py", ["z_nothing"], "NAME='z_nothing' is not allowed"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, script, arguments, words):
    command = [sys.executable, GALLERY / script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------------- the documentation


def test_the_table_in_the_documentation_is_what_was_recorded(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    text = runner.PAGE.read_text(encoding="utf-8")
    inside = text.split(runner.BEGIN)[1].split(runner.END)[0]
    assert inside == f"\n{runner.page_table(recorded)}\n"


def test_scripts_that_are_recorded_alone_leave_the_others_as_they_were(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    new = recorded[1] | {"claim": "new", "made": recorded[1]["made"] | {"commit": "0123456789ab"}}
    both = runner.merged(recorded, [new])
    assert both == [recorded[0], new, *recorded[2:]]
    assert "\nb: Seed 0, commit 0123456789ab" in runner.page_table(both)
    assert runner.merged([], [recorded[2], recorded[0]]) == [recorded[0], recorded[2]]


def test_every_script_was_recorded_from_a_commit(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    assert [entry["script"] for entry in recorded] == list(runner.SCRIPTS) == list(NETWORKS)
    assert not any(entry["made"]["commit"].endswith("+") for entry in recorded)


@pytest.mark.parametrize("name", EACH)
def test_what_was_recorded_is_what_a_script_finds(ran, name):
    recorded = json.loads(ran["__main__"].script.RESULTS.read_text(encoding="utf-8"))
    (entry,) = (one for one in recorded if one["script"] == name)
    one = ran[name]
    assert entry["claim"] == one.script.CLAIM
    for then, now in zip(entry["findings"], one.found, strict=True):
        assert then["name"] == now.name
        assert then["stderr"] <= now.stderr  # equal where a script compares a fixed number of networks
        # not independent: the recorded networks begin with these; a KS distance exceeds the true one by its noise
        noise = now.reference if now.kind == "noise" else 0.0
        assert abs(then["value"] - now.value) < CLEAR * (then["stderr"] + now.stderr) + noise
