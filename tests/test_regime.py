"""Explosion, identity, or neither: the statement of Marion, Fermanian, Biau, Vert, and the rule that decides it.

A verdict is wrong where the slope's estimate is off by what separates it from the threshold: 0.05 for beta = 1/2, whose
intervals of 99.9% reach 0.03 here, and more elsewhere: below 1e-8 for each of the verdicts. Slopes are compared
at 4.5 standard errors and a bound on what finite depth adds: 7e-6 each, 1e-4 in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import Estimate, FractionalNoise, SmoothProcess, Weights
from resmc.analyses import Regime, verdict
from resmc.analyses.regime import judge
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.theory.depth import depth_limit

DEPTHS = np.array([10, 30, 100, 300, 1000])
BLOCKS: dict[str, dict[str, Any]] = {
    "v-phi-w, relu": {"block": "v-phi-w", "activation": "relu"},
    "phi-in, relu": {"block": "phi-in", "activation": "relu"},
    "v-phi-w, tanh": {"block": "v-phi-w", "activation": "tanh"},
    "phi-out, tanh inside": {"block": "phi-out", "activation": "tanh", "inside": True},
}
NAMES = {1.0: "identity", 0.75: "identity", 0.5: "non-trivial", 0.35: "explosion", 0.25: "explosion"}

every_block = pytest.mark.parametrize("name", BLOCKS)


def network(beta: float, block: str = "v-phi-w", activation: str = "relu", inside: bool = False, **fields: Any) -> Any:
    return ResidualNetwork(40, 1, block, activation, scaling=DepthScaling(beta, inside=inside), **fields)


@cache
def found(name: str, beta: float) -> Regime:
    return resmc.regime(network(beta, **BLOCKS[name]), networks=400, seed=1, progress=False)


def synthetic(y: Any, stderr: float = 0.005, networks: int = 2000, noise: int | None = None) -> Estimate:
    """Medians at the depths, exact or with noise of a seed."""
    y = np.broadcast_to(np.asarray(y, np.float64), (np.size(y),))
    errors = np.zeros(len(y)) if noise is None else np.random.default_rng(noise).normal(0.0, stderr, len(y))
    return Estimate(y + errors, np.full(len(y), stderr), np.full(len(y), networks))


def decide(y: Any, depths: Any = DEPTHS, **given: Any) -> verdict.Verdict:
    return verdict.decide("displacement", depths, synthetic(y, **given))


# ------------------------------------------------------------------------------------------------------- the statement


def networks_and_exponents() -> Iterator[Any]:
    """All of both; exponents that are nearer to 1/2 are quick of the first network alone."""
    for i, name in enumerate(BLOCKS):
        for beta in NAMES:
            yield pytest.param(name, beta, marks=[pytest.mark.long] * (i > 0 and beta in (0.75, 0.35)))


@pytest.mark.parametrize(("name", "beta"), networks_and_exponents())
def test_one_half_is_the_only_exponent_that_is_neither_explosion_nor_identity(name, beta):
    one = found(name, beta)
    assert one.forward.name == NAMES[beta], one.forward.sentence
    assert one.backward.name == NAMES[beta], one.backward.sentence


@every_block
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("beta", [1.0, 0.75, 0.5])
def test_the_slope_is_that_of_the_exponent_and_not_of_another(name, way, beta):
    slope = getattr(found(name, beta), way).slope
    reach = 4.5 * float(slope.stderr) + 0.01  # what L^(1 - 2 beta) and 1/L^2 add at these depths
    assert abs(float(slope.value) - (0.5 - beta)) < reach
    assert abs(float(slope.value) - (0.4 - beta)) > reach
    assert abs(float(slope.value) - (0.6 - beta)) > reach


def test_the_ratio_of_a_bounded_activation_grows_like_a_power_and_that_of_relu_faster():
    tanh, relu = found("v-phi-w, tanh", 0.25).forward, found("v-phi-w, relu", 0.25).forward
    assert float(tanh.slope.value) < 0.5
    assert float(relu.slope.value) > 1.5
    local = np.diff(found("v-phi-w, relu", 0.25).displacement.value) / np.diff(np.log(DEPTHS))
    assert (np.diff(local) > 0.2).all()


def test_a_branch_with_a_mean_explodes_at_one_half_and_is_non_trivial_at_1():
    """Relu outside: theory.depth_limit refuses it, since its mean adds up like L^(1/2)."""
    with pytest.raises(ValueError, match="its sum drifts"):
        depth_limit(network(0.5, "phi-out"))
    given: dict[str, Any] = {"networks": 200, "seed": 2, "progress": False}
    assert resmc.regime(network(0.5, "phi-out"), **given).forward.name == "explosion"
    assert resmc.regime(network(1.0, "phi-out"), **given).forward.name == "non-trivial"


def test_other_weights_and_a_bias_have_the_same_exponent():
    depths = (10, 20, 50, 100)
    given: dict[str, Any] = {"networks": 600, "seed": 3, "threshold": 0.15, "progress": False}
    for beta, name in ((0.5, "non-trivial"), (1.0, "identity")):
        dense = resmc.regime(replace(network(beta, weights="uniform"), width=16), depths, method="dense", **given)
        biased = resmc.regime(network(beta, bias=0.5), depths, **given)
        assert [v.name for one in (dense, biased) for v in (one.forward, one.backward)] == [name] * 4


# ------------------------------------------------------------------------------------------------------------ the rule


def test_medians_that_go_like_a_power_are_called_by_their_power():
    for slope, name in ((-0.5, "identity"), (-0.1, "identity"), (-0.02, "non-trivial"), (0.0, "non-trivial"),
                        (0.02, "non-trivial"), (0.1, "explosion"), (0.25, "explosion")):  # fmt: skip
        one = decide(slope * np.log(DEPTHS) - 0.7, noise=5)
        assert one.name == name
        assert abs(float(one.slope.value) - slope) < 4.5 * float(one.slope.stderr)
        assert one.interval[0] < slope < one.interval[1]
        assert one.smallest_depth == 10
        assert one.sentence.startswith(f"{name}: |h_L - h_0|/|h_0| ")


def test_what_a_finite_depth_adds_is_not_taken_for_a_slope():
    """Without b/L these shallow networks, all with the limit 0.2, would be called an explosion."""
    depths = np.array([5, 10, 20, 40, 80])
    y = 0.2 - 3.0 / depths
    one = decide(y, depths)
    assert one.name == "non-trivial"
    assert one.correction == pytest.approx(-3.0)
    assert float(one.slope.value) == pytest.approx(0.0, abs=1e-9)
    plain = np.polyfit(np.log(depths[2:]), y[2:], 1)[0]
    assert plain - 3.3 * float(one.slope.stderr) > one.threshold


def test_where_the_curve_does_not_fit_the_smallest_depths_are_left_out():
    y = np.where(DEPTHS < 30, 1.0, 0.0) - 0.5 * np.log(DEPTHS)
    one = decide(y)
    assert one.smallest_depth == 30
    assert one.p_value > 0.99
    assert float(one.slope.value) == pytest.approx(-0.5)
    assert one.name == "identity"
    assert decide(np.where(DEPTHS < 100, 1.0, 0.0) - 0.5 * np.log(DEPTHS)).smallest_depth == 30  # four stay
    many = np.arange(100, 1100, 100)
    assert decide(np.where(many < 300, 1.0, 0.0), many).smallest_depth == 300
    assert decide(np.where(many < 900, 1.0, 0.0), many).smallest_depth == 600  # never more than half


def test_an_explosion_that_is_no_power_is_said_to_be_faster_than_any():
    many = np.arange(100, 1100, 100)
    one = decide(0.2 * many, many)
    assert one.name == "explosion"
    assert one.p_value < 1e-3
    assert "faster than any power" in one.sentence


def test_a_curve_that_is_neither_a_power_nor_constant_is_undecided():
    many = np.arange(100, 1100, 100)
    one = decide(0.002 * (-1.0) ** np.arange(10), many, stderr=0.0002)
    assert one.name == "undecided"
    assert "larger depths would decide" in one.sentence


@pytest.mark.parametrize("depths", [(1, 2, 3), (10, 30, 1000), (10, 11, 12, 13), (10, 20, 40, 99)])
def test_without_four_depths_over_a_factor_of_10_there_is_no_verdict(depths):
    one = decide(-0.5 * np.log(depths), depths)
    assert one.name == "undecided"
    assert f"there are {len(depths)} from {depths[0]} to {depths[-1]}." in one.sentence


def test_a_ratio_that_turns_at_the_largest_depths_has_no_verdict():
    falling, bent = -0.3 * np.log(DEPTHS), np.array([0.0, 0.0, 0.0, 0.0, 0.06])
    assert decide(falling, noise=6).name == "identity"
    assert decide(falling - 0.7 + 8.0 * bent, noise=6).name == "undecided"  # it rises from L = 300 on
    assert decide(-falling, noise=6).name == "explosion"
    assert decide(-falling - 8.0 * bent, noise=6).name == "undecided"
    saturating = np.array([0.0, 2.0, 3.0, 3.5, 3.62])
    assert decide(saturating).name == "undecided"
    slowing = decide(
        [4.32, 5.77, 7.9, 8.98], (5, 10, 30, 100), stderr=0.1
    )  # beta = 1/2, c = 5, still far from its limit
    assert slowing.p_value > 1e-3
    assert slowing.interval[0] > 0.05
    assert slowing.name == "undecided"


def test_a_ratio_above_1_does_not_tend_to_0_yet():
    """phi-in with c = 5 at beta = 0.4 falls up to L = 300, rises from there on, and explodes beyond L = 3000."""
    falling = -0.3 * np.log(DEPTHS)
    assert decide(falling + 1.5, noise=7).name == "identity"
    one = decide(falling + 3.0, noise=7)
    assert one.name == "undecided"
    assert "it is 2.52 at the largest depth, where a step is not small" in one.sentence


def test_growth_of_arguments_that_are_not_small_proves_no_explosion():
    model = ResidualNetwork(3, 1, "phi-out", "gelu", scaling=DepthScaling(0.55, 5.0, inside=True))
    one = resmc.regime(model, (10, 20, 50, 100), networks=200, seed=322, progress=False)
    assert one.forward.name == one.backward.name == "undecided"
    assert "arguments of the activation are of size" in one.forward.sentence
    for given, name in (("", "explosion"), ("arguments are large", "undecided")):
        assert verdict.decide("displacement", DEPTHS, synthetic(0.3 * np.log(DEPTHS)), doubt=given).name == name


def test_a_median_that_stands_still_while_the_law_moves_is_undecided():
    still = {"the upper quartile of |h_L|/|h_0|": synthetic(np.full(5, 0.8), noise=8)}
    moving = {"the upper quartile of |h_L|/|h_0|": synthetic(0.2 * np.log(DEPTHS))}
    unknown = {"the upper quartile of |h_L|/|h_0|": synthetic(np.full(5, 0.8), stderr=0.5)}
    never = {"the lower quartile of |h_L - h_0|/|h_0|": Estimate(np.full(5, -np.inf), np.nan, np.full(5, 2000))}
    for quartiles, name in (
        (still, "non-trivial"),
        (moving, "undecided"),
        (unknown, "undecided"),
        (never, "non-trivial"),
    ):
        one = verdict.decide("displacement", DEPTHS, synthetic(np.zeros(5), noise=9), quartiles=quartiles)
        assert one.name == name
    one = verdict.decide("displacement", DEPTHS, synthetic(np.zeros(5), noise=9), quartiles=moving)
    assert "but the upper quartile of |h_L|/|h_0| does not stand still" in one.sentence


HARD = {
    "late explosion": (ResidualNetwork(4, 1, "phi-in", "centred_softplus", scaling=DepthScaling(0.4, 5.0)), 1000, 1),
    "one neuron": (ResidualNetwork(1, 1, "phi-in", "linear", scaling=DepthScaling(0.3)), 1000, 1),
    "two neurons": (ResidualNetwork(2, 1, "v-phi-w", "linear", scaling=DepthScaling(0.3)), 1000, 1),
}


@pytest.mark.parametrize("name", HARD)
def test_networks_that_mislead_a_slope_are_not_called_what_they_are_not(name):
    """Theory: beta below 1/2 is neither the identity nor non-trivial, though |h_L| itself may tend to 0."""
    model, networks, seed = HARD[name]
    one = resmc.regime(model, networks=networks, seed=seed, progress=False)
    for each in (one.forward, one.backward):
        assert each.name in ("undecided", "explosion"), each.sentence


@pytest.mark.parametrize(("slope", "held"), [(0.045, "0.05"), (-0.045, "-0.05")])
def test_an_interval_that_holds_a_threshold_is_undecided_and_the_networks_it_says_decide_it(slope, held):
    y = slope * np.log(DEPTHS)
    one = decide(y)
    assert one.name == "undecided"
    assert f"which holds {held};" in one.sentence
    wanted = int(one.sentence.partition("about ")[2].partition(" networks")[0])
    assert wanted > 2000
    more = decide(y, stderr=0.005 * (2000 / wanted) ** 0.5, networks=wanted)
    assert more.name == "non-trivial"


def test_at_the_threshold_itself_no_number_of_networks_decides():
    assert "another threshold" in decide(0.05 * np.log(DEPTHS)).sentence


@pytest.mark.long
def test_the_interval_holds_the_slope_as_often_as_it_says():
    """99.9% of 20000: 20 +- 4.5 are missed; between 2 and 42 with a false-alarm level of 1e-4 or less."""
    y = -0.3 * np.log(DEPTHS) + 1.0 / DEPTHS
    missed = 0
    for seed in range(20_000):
        low, high = decide(y, noise=seed).interval
        missed += not low < -0.3 < high
    assert 2 <= missed <= 42


def test_its_power_is_as_documented():
    """The error of the slope is 0.12/sqrt(networks), so that 0.07 is told from 1/2 with 2000 networks, 0.03 is not."""
    one = resmc.regime(network(0.5), seed=4, progress=False)
    assert 0.1 < float(one.forward.slope.stderr) * 2000**0.5 < 0.14
    assert one.forward.name == one.backward.name == "non-trivial"
    for beta, name in ((0.57, "identity"), (0.43, "explosion"), (0.53, "non-trivial")):
        other = resmc.regime(network(beta), seed=4, progress=False)
        assert [other.forward.name, other.backward.name] == [name, name]
    few = resmc.regime(network(0.5), networks=32, seed=4, progress=False)
    assert few.forward.name == "undecided"


def test_a_smaller_threshold_tells_exponents_apart_that_are_nearer():
    narrow = resmc.regime(network(0.53), networks=3000, seed=5, threshold=0.01, progress=False)
    wide = judge(narrow.model, narrow.simulations, 0.05)
    assert wide.forward.name == "non-trivial"
    assert narrow.forward.name == "identity"
    assert narrow.forward.threshold == 0.01


# ---------------------------------------------------------------------------------------------------------- the result


def test_the_medians_are_those_of_the_simulations_without_squares():
    one = found("v-phi-w, relu", 0.5)
    assert one.depths.tolist() == DEPTHS.tolist() == [sim.model.depth for sim in one.simulations]
    for name in ("displacement", "growth", "gradient", "gradient_displacement"):
        medians = [sim.log_ratio(name).median for sim in one.simulations]
        assert getattr(one, name).value == pytest.approx([0.5 * float(m.value) for m in medians])
        assert getattr(one, name).stderr == pytest.approx([0.5 * float(m.stderr) for m in medians])
    assert one.simulations[0].layers.tolist() == [0, 10]


def test_depths_have_networks_of_their_own():
    ranges = [sim.ranges for sim in found("v-phi-w, relu", 0.5).simulations]
    assert [(r.start, r.stop) for (r,) in ranges] == [(400 * i, 400 * (i + 1)) for i in range(5)]
    assert {sim.seed for sim in found("v-phi-w, relu", 0.5).simulations} == {1}


def test_the_summary_holds_every_number_and_both_sentences():
    one = found("v-phi-w, relu", 0.5)
    text = str(one.summary())
    assert str(one) == text
    assert one.forward.sentence in text
    assert one.backward.sentence in text
    for name in ("displacement", "growth", "gradient", "gradient_displacement"):
        for entry in getattr(one, name):
            assert str(entry) in text
    assert max(map(len, text.splitlines()[:-2])) <= 120
    assert repr(one) == "<Regime: forward non-trivial, backward non-trivial, depths [10, 30, 100, 300, 1000]>"
    assert "non-trivial" in one._repr_html_()


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    given: dict[str, Any] = {"depths": (4, 8, 16), "networks": 64, "progress": False}
    a, b, c = (resmc.regime(network(0.5), seed=seed, **given) for seed in (1, 1, 2))
    assert np.array_equal(a.displacement.value, b.displacement.value)
    assert not np.array_equal(a.displacement.value, c.displacement.value)


def test_progress_goes_once_from_nothing_to_all():
    calls: list[tuple[int, int]] = []
    resmc.regime(network(0.5), (4, 8, 16), networks=64, progress=lambda done, n: calls.append((done, n)))
    assert calls[-1] == (192, 192)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_the_function_is_not_hidden_by_its_module():
    import resmc.experiments.regime as module

    assert callable(resmc.regime)
    assert resmc.regime is module.regime
    assert "regime" in dir(resmc)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": resmc.ResNet(8, 4, 0.6, 0.8)}, "model=ResNet.* must be a ResidualNetwork"),
        ({"model": 3}, "model=3 is not allowed: it must be a ResidualNetwork"),
        (
            {"model": ResidualNetwork(8, 2, scaling=(0.1, 0.2))},
            "scaling layer by layer is not allowed: it has one depth",
        ),
        ({"model": ResidualNetwork(8, 2, carry=0.5)}, "carry=0.5 is not allowed: a regime needs 1"),
        ({"depths": [10, 20]}, r"depths=\[10, 20\] is not allowed: it must be at least three integers, increasing"),
        ({"depths": [10, 30, 20]}, "at least three integers, increasing"),
        ({"depths": [10, 10, 20]}, "at least three integers, increasing"),
        ({"depths": 10}, "at least three integers, increasing"),
        ({"depths": [0, 10, 20]}, "depths=0 is out of range"),
        ({"depths": [1, 2, 1 << 20]}, "depths=1048576 is out of range"),
        ({"depths": [1.5, 10, 20]}, "depths=1.5 is not allowed"),
        ({"networks": 31}, "networks=31 is out of range"),
        ({"networks": 1 << 47}, "networks=.* is out of range"),
        ({"threshold": 0.0}, "threshold=0.0 is not allowed"),
        ({"threshold": 0.6}, "threshold=0.6 is not allowed: it must be at most 0.5"),
        ({"seed": -1}, "seed=-1"),
        ({"method": "fast"}, "method='fast'"),
        ({"progress": "yes"}, "progress='yes' is not allowed"),
        (
            {"model": ResidualNetwork(8, 2, weights="uniform"), "method": "projected"},
            "weights='uniform' are not allowed",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence(given, message):
    arguments: dict[str, Any] = {"model": network(0.5), "depths": (1, 2, 3), "networks": 32} | given
    with pytest.raises(ValueError, match=message):
        resmc.regime(**arguments)


def test_a_ratio_that_is_0_in_half_of_the_networks_has_no_median():
    with pytest.raises(ValueError, match=r"^\|h_L - h_0\|/\|h_0\| is 0 in about half of the networks at depth=1"):
        resmc.regime(ResidualNetwork(1, 1, "v-phi-w"), (1, 2, 3), networks=400, seed=1, progress=False)


@pytest.mark.parametrize(
    "estimate", [synthetic(np.zeros(4)), synthetic(np.full(5, np.nan)), synthetic(np.zeros(5), stderr=0.0)]
)
def test_the_rule_refuses_what_has_no_error(estimate):
    with pytest.raises(ValueError, match="it must have a value and an error for every depth"):
        verdict.decide("displacement", DEPTHS, estimate)


# ------------------------------------------------------------------------------------- layers that depend on each other


DEPENDENT = {
    "smooth, below 1": (SmoothProcess(), 0.6, "explosion"),
    "smooth, above 1": (SmoothProcess(), 1.4, "identity"),
    "persistent noise, below the frontier": (FractionalNoise(0.9), 0.6, "explosion"),
    "persistent noise, above the frontier": (FractionalNoise(0.9), 1.2, "identity"),
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_layers_that_depend_on_each_other_move_the_exponent_that_decides(case: str) -> None:
    """With independent layers all of these exponents, being above 1/2, would lead to the identity."""
    depth, beta, name = DEPENDENT[case]
    model = ResidualNetwork(6, 1, "v-phi-w", weights=Weights(depth=depth), scaling=DepthScaling(beta))
    regime = resmc.regime(model, (10, 30, 100, 300), networks=200, progress=False)
    assert regime.forward.name == name, regime.forward.sentence
    assert regime.simulations[0].method == "dense"


@pytest.mark.long
def test_tied_layers_of_size_one_over_depth_are_neither_identity_nor_explosion() -> None:
    model = ResidualNetwork(40, 1, "v-phi-w", "tanh", weights=Weights(depth="tied"), scaling=DepthScaling(1.0))
    found = resmc.regime(model, networks=1000, progress=False)
    assert (found.forward.name, found.backward.name) == ("non-trivial", "non-trivial"), str(found)


def test_a_covariance_matrix_has_no_regime() -> None:
    with pytest.raises(ValueError, match="covariance matrix are not allowed: it has one depth"):
        resmc.regime(ResidualNetwork(4, 2, weights=Weights(depth=np.eye(2))))
