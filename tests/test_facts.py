"""Facts about networks against statements that do not rest on them, in both spellings.

Exact values are held against hand-written formulas, against the limits (the leading order of an exact value is the
value itself), and against means over 4000 networks of the NumPy twin: 106 comparisons with |z| < 5, which all hold with
a probability of 0.9999 where means are Gaussian. Seeds are fixed, none was tried and replaced.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import special

from resmc import DepthScaling, ResidualNetwork, ResNet, theory
from resmc.models.spelling import general
from resmc.reference import ReferencePaths, simulate
from resmc.results.observables import OBSERVABLES
from resmc.theory.facts import Facts, facts

NETWORKS = 4000
BOUND = 5.0
WIDTH, DEPTH = 6, 5
LAYERS = np.arange(DEPTH + 1)
QUOTIENTS = ("growth", "displacement", "gradient", "gradient_displacement")

# Networks by name: is A_l symmetric, and are the A_l of two layers uncorrelated? A_l is symmetric if signs are random,
# or z_l is as likely as -z_l. Two layers are uncorrelated if A of the later one is drawn anew, by random signs or
# because no skip carries z_l on.
RESNETS: dict[str, tuple[ResNet, bool, bool]] = {
    "vanilla": (ResNet(WIDTH, DEPTH, 0.8, 0.6), False, False),
    "vanilla, not normalised": (ResNet(WIDTH, DEPTH, 1.1, 0.7, input_norm=3.0), False, False),
    "vanilla, alpha < 0": (ResNet(WIDTH, DEPTH, -0.8, 0.6), False, False),
    "vanilla, no skip": (ResNet(WIDTH, DEPTH, 0.0, 0.9), True, True),
    "vanilla, no branch": (ResNet(WIDTH, DEPTH, 0.9, 0.0), True, False),
    "balanced": (ResNet(WIDTH, DEPTH, 0.8, 0.6, "balanced"), True, True),
    "balanced, no skip": (ResNet(WIDTH, DEPTH, 0.0, 1.2, "balanced"), True, True),
    "balanced-half": (ResNet(WIDTH, DEPTH, 0.5, 1.2, "balanced-half", n_out=2), True, True),
}
SPELLINGS = pytest.mark.parametrize("spelled", [lambda model: model, general], ids=["ResNet", "ResidualNetwork"])
EACH = pytest.mark.parametrize("name", RESNETS)

CRITICAL = DepthScaling(0.5, 0.7)
INPUT = (1.0, -2.0, 0.5)
# General networks by name, with kappa of the Jacobian's gain E[J^T J | h] = (carry^2 + s^2 kappa) I where there is one,
# and whether a limit in depth is known: theory.depth says which networks have either.
GENERAL: dict[str, tuple[ResidualNetwork, float | None, bool]] = {
    "phi-in relu": (ResidualNetwork(8, 5, "phi-in", "relu", scaling=CRITICAL), None, True),
    "phi-in balanced": (ResidualNetwork(8, 5, "phi-in", "balanced", scaling=CRITICAL), 0.5, True),
    "phi-in linear": (ResidualNetwork(8, 5, "phi-in", "linear", scaling=CRITICAL), 1.0, True),
    "phi-in tanh": (ResidualNetwork(8, 5, "phi-in", "tanh", scaling=CRITICAL), None, True),
    "v-phi-w relu": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=CRITICAL), 0.5, True),
    "v-phi-w leaky": (ResidualNetwork(8, 5, "v-phi-w", "leaky_relu", scaling=CRITICAL), 0.5 * (1.0 + 0.01**2), True),
    "v-phi-w tanh": (ResidualNetwork(8, 5, "v-phi-w", "tanh", scaling=CRITICAL), None, True),
    "v-phi-w bias": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=CRITICAL, bias=0.3), 0.5, True),
    "phi-out linear": (ResidualNetwork(8, 5, "phi-out", "linear", scaling=CRITICAL), 1.0, True),
    "phi-out relu": (ResidualNetwork(8, 5, "phi-out", "relu", scaling=CRITICAL), None, False),
    "phi-out tanh": (ResidualNetwork(8, 5, "phi-out", "tanh", scaling=CRITICAL), None, True),
    "inside tanh": (ResidualNetwork(8, 5, "phi-out", "tanh", scaling=DepthScaling(0.5, 0.7, inside=True)), None, True),
    "inside relu": (ResidualNetwork(8, 5, "phi-out", "relu", scaling=DepthScaling(0.5, 0.7, inside=True)), None, False),
    "explodes": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=DepthScaling(0.25)), 0.5, False),
    "identity": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=DepthScaling(1.0)), 0.5, False),
    "carry": (ResidualNetwork(8, 5, "v-phi-w", "relu", carry=0.9, scaling=CRITICAL), 0.5, False),
    "by layer": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=(0.1, 0.2, 0.3, 0.4, 0.5)), 0.5, False),
    "uniform": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=CRITICAL, weights="uniform"), 0.5, True),
    "uniform tanh": (ResidualNetwork(8, 5, "v-phi-w", "tanh", scaling=CRITICAL, weights="uniform"), None, False),
    "signs": (ResidualNetwork(8, 5, "v-phi-w", "relu", scaling=CRITICAL, weights="rademacher"), 0.5, True),
}


@cache
def paths(model: ResNet) -> ReferencePaths:
    return simulate(model, NETWORKS, seed=1402)


def z_of_mean(samples: np.ndarray, exact: float) -> float:
    """z of the mean of samples; 0 or infinite where they do not vary, up to rounding."""
    away, spread = float(samples.mean()) - exact, float(samples.std(ddof=1))
    if spread < 1e-12:
        return 0.0 if abs(away) < 1e-12 else math.inf
    return away / (spread / math.sqrt(len(samples)))


def largest_z(known: Facts, model: ResNet) -> float:
    """The largest |z| of all means that are said to be exact, in simulated networks of ``model``."""
    found = paths(model)
    alive = np.isfinite(found.log_norm)
    squares = np.exp(found.log_norm - found.log_norm[:, :1])
    exact = zip(known.asymmetry(LAYERS), known.active_fraction(LAYERS), np.exp(known.growth(LAYERS)), strict=True)
    out = []
    for layer, (asymmetry, active, growth) in enumerate(exact):
        here = alive[:, layer]
        pairs = ((found.asymmetry[here, layer], asymmetry), (found.active_fraction[here, layer], active))
        out += [abs(z_of_mean(samples, value)) for samples, value in pairs if np.isfinite(value)]
        if np.isfinite(growth):
            out.append(abs(z_of_mean(squares[:, layer], growth)))
    if known.correlation is not None:
        both = alive[:, 0] & alive[:, -1]
        product = found.asymmetry[both, 0] * found.asymmetry[both, -1]
        out.append(abs(z_of_mean(product, known.correlation)))
    return max(out)


# ------------------------------------------------------------------------------------------------------ log-Gaussian


@EACH
@SPELLINGS
def test_symmetry_is_that_of_the_definition(name, spelled):
    model, symmetric, uncorrelated = RESNETS[name]
    known = facts(spelled(model))
    assert known.symmetric is symmetric
    assert known.correlation == (0.0 if uncorrelated else None)
    log_scale = math.log(model.alpha**2 + model.lam**2)
    expected = {
        "asymmetry": np.where(symmetric | (LAYERS == 0), 0.0, np.nan),
        "active_fraction": np.where(symmetric | (LAYERS == 0), 0.5, np.nan),
        "growth": np.where(symmetric | (LAYERS <= 1), LAYERS * log_scale, np.nan),
    }
    for quantity, values in expected.items():
        np.testing.assert_allclose(getattr(known, quantity)(LAYERS), values, rtol=1e-12, atol=1e-12, err_msg=quantity)


@EACH
def test_an_exact_value_is_its_own_limit(name):
    """Leading orders in 1/n, which theory.limits sums layer by layer, are exact values where these are known."""
    model, _, uncorrelated = RESNETS[name]
    known, limit = facts(model), theory.hypoactivation(model)
    for exact, leading in (
        (known.asymmetry(LAYERS), limit.asymmetry),
        (known.active_fraction(LAYERS), limit.active_fraction),
        (known.growth(LAYERS), theory.variance_growth(model)),
    ):
        where = np.isfinite(exact)
        np.testing.assert_allclose(leading[where], exact[where], atol=1e-12)
    # What is not known to vanish does not vanish in the limit, but for the network without a branch.
    correlations = theory.interlayer_correlation(model, LAYERS[1:])
    assert bool((correlations == 0.0).all()) is uncorrelated
    if not known.symmetric:
        assert (limit.asymmetry[1:] != 0.0).all()
        assert not np.allclose(theory.variance_growth(model)[2:], LAYERS[2:] * model.log_scale)


@EACH
def test_exact_values_are_those_of_simulated_networks(name):
    model = RESNETS[name][0]
    assert largest_z(facts(model), model) < BOUND


class Believer(Facts):
    """Facts that take every network for symmetric and uncorrelated: what the comparisons have to refuse."""

    symmetric = True
    correlation = 0.0


@pytest.mark.parametrize("name", [name for name, (_, _, uncorrelated) in RESNETS.items() if not uncorrelated])
def test_the_comparison_sees_a_wrong_fact(name):
    model = RESNETS[name][0]
    assert largest_z(Believer(model, facts(model).log_gaussian), model) > BOUND


@EACH
@SPELLINGS
def test_moments_of_the_log_norm_are_known_without_a_skip_or_a_branch(name, spelled):
    model = RESNETS[name][0]
    found = facts(spelled(model)).log_norm(LAYERS)
    assert (found is not None) is (model.alpha == 0.0 or model.lam == 0.0)
    if found is None:
        return
    n, steps = model.width, 0.0
    if model.alpha == 0.0:  # log chi^2_K, K ~ Binomial(n, 1/2) given K >= 1: its variance by hand
        k = np.arange(1, n + 1)
        weight = special.binom(n, k) / (2.0**n - 1.0)
        mean = special.digamma(k / 2.0)
        steps = float(weight @ (special.polygamma(1, k / 2.0) + mean**2) - (weight @ mean) ** 2)
    np.testing.assert_allclose(found.variance, special.polygamma(1, n / 2.0) + LAYERS * steps, rtol=1e-12)


@pytest.mark.parametrize("size", [1.0, 2.5])
def test_the_first_layer_is_chi_square_where_it_is_gaussian(size):
    models = [
        ResNet(WIDTH, 2, 0.8, 0.6, input_norm=size),
        ResidualNetwork(WIDTH, 2, "phi-out", "tanh", input_norm=size),
    ]
    models.append(replace(models[1], weights="rademacher"))  # without an input h_0 is Gaussian all the same
    models.append(replace(models[1], n_in=None, input=tuple(size * math.sqrt(3.0) * np.array([0.6, 0.0, 0.8]))))
    half = WIDTH / 2.0
    for model in models:
        found = facts(model).first_layer
        assert found is not None
        assert found.mean == pytest.approx(special.digamma(half) - math.log(half) + 2.0 * math.log(size), rel=1e-12)
        assert found.variance == pytest.approx(special.polygamma(1, half), rel=1e-12)
    assert facts(replace(models[3], weights="uniform")).first_layer is None


# ----------------------------------------------------------------------------------------------------------- general


def at_the_end(model: ResidualNetwork, quotient: str) -> float | None:
    """The exact logarithm of a quotient's mean at its end, or None."""
    end = 0 if quotient.startswith("gradient") else model.depth
    value = float(facts(model).second_moment(quotient, np.array([end]))[0])
    return None if math.isnan(value) else value


@pytest.mark.parametrize("name", GENERAL)
def test_mean_squares_are_known_where_a_layer_multiplies_them_by_a_number(name):
    model, kappa, _ = GENERAL[name]
    forward, away, backward = (at_the_end(model, name) for name in ("growth", "displacement", "gradient"))
    if kappa is None:
        assert forward is away is backward is None
        return
    product = 1.0
    for s in model.scales:
        product *= model.carry**2 + s**2 * kappa
    assert backward == (None if model.weights == "rademacher" else pytest.approx(math.log(product), rel=1e-10))
    if model.bias:  # (1/(6/8)) is E 1/(|h_0|^2/8); each layer adds what the next ones multiply
        added = sum(
            kappa * (s * model.bias) ** 2 * 8.0 / 6.0 * (1.0 + s**2 * kappa) ** k for k, s in enumerate(model.scales)
        )
        product += added
    assert forward == pytest.approx(math.log(product), rel=1e-10)
    assert away == pytest.approx(math.log(product + 1.0 - 2.0 * model.carry**model.depth), rel=1e-10)


def test_mean_squares_are_not_known_where_pre_activations_may_be_0():
    model = replace(GENERAL["signs"][0], n_in=None, input=INPUT)
    for quotient in QUOTIENTS:
        assert at_the_end(model, quotient) is None
        assert at_the_end(replace(model, weights="uniform"), quotient) is not None
    assert np.isfinite(facts(model).mean_square(LAYERS)).all()


@pytest.mark.parametrize("name", GENERAL)
def test_a_limit_in_depth_is_known_or_refused(name):
    model, kappa, known = GENERAL[name]
    found = facts(model)
    assert (found.depth_limit is not None) is known
    if not known:
        with pytest.raises(ValueError, match=r"limit|allowed"):
            theory.depth_limit(model)
        assert found.final_limit("gradient") is found.final_limit("growth") is None
        return
    gain = kappa if name != "inside tanh" else 1.0  # sigma'(0)^2
    law = found.final_limit("gradient")
    assert (law is not None) is (gain is not None)
    assert found.final_limit("displacement") is None
    if law is not None and gain is not None:
        c2, n = CRITICAL.c**2, model.width
        assert law.mean == pytest.approx(gain * c2 * (1.0 - 2.0 / n), rel=1e-10)
        assert law.variance == pytest.approx(4.0 * gain * c2 / n, rel=1e-10)
        assert found.final_limit("growth") == (None if model.bias else law)


@pytest.mark.parametrize("name", GENERAL)
def test_asymmetries_of_networks_that_no_resnet_is_are_not_known_beyond_the_first_layer(name):
    model = GENERAL[name][0]
    known = facts(model)
    assert (known.log_gaussian is None) is (name not in ("phi-in relu", "phi-in balanced"))
    if known.log_gaussian is None:
        assert not known.symmetric
        assert known.correlation is None
        assert (known.log_norm(LAYERS) is None) is (known.exact_law("log_norm") is None)
        assert np.isnan(known.asymmetry(LAYERS)[1:]).all()
        assert np.isnan(known.active_fraction(LAYERS)[1:]).all()


# --------------------------------------------------------------------------------------------------------- spellings


def told(known: Facts) -> dict[str, object]:
    """All facts as values that can be compared."""
    log_norm, first = known.log_norm(LAYERS), known.first_layer
    return {
        "symmetric": known.symmetric,
        "correlation": known.correlation,
        "asymmetry": known.asymmetry(LAYERS).tolist(),
        "active_fraction": known.active_fraction(LAYERS).tolist(),
        "growth": known.growth(LAYERS).tolist(),
        "log_norm": None if log_norm is None else {name: x.tolist() for name, x in vars(log_norm).items()},
        "first_layer": first,
        "mean_square": known.mean_square(LAYERS).tolist(),
        "second_moments": [known.second_moment(name, LAYERS).tolist() for name in QUOTIENTS],
        "dead_fraction": known.dead_fraction(LAYERS).tolist(),
        "inactive_fraction": known.inactive_fraction(LAYERS).tolist(),
        "asymmetry_variance": known.asymmetry_variance(LAYERS).tolist(),
        "depth_limit": str(known.depth_limit),
        "log_gaussian": known.log_gaussian,
        "general": known.general.to_dict(),
    }


@EACH
def test_both_spellings_of_a_network_give_the_same_facts(name):
    model = RESNETS[name][0]
    assert repr(told(facts(model))) == repr(told(facts(general(model))))


@pytest.mark.parametrize("name", ["phi-in relu", "phi-in balanced"])
def test_a_resnet_knows_all_that_its_general_spelling_does_but_how_branches_shrink(name):
    model = GENERAL[name][0]
    resnet = model.as_resnet
    assert resnet is not None
    ours, theirs = told(facts(model)), told(facts(resnet))
    assert {fact for fact in ours if repr(ours[fact]) != repr(theirs[fact])} == {"depth_limit", "general"}
    assert facts(resnet).depth_limit is None


def test_the_comparison_of_spellings_sees_another_network():
    """A negative control."""
    model = RESNETS["vanilla"][0]
    assert repr(told(facts(model))) != repr(told(facts(general(replace(model, variant="balanced")))))


@pytest.mark.parametrize("name", RESNETS)
def test_the_exact_correlation_of_a_layer_with_itself_is_1_where_that_of_two_layers_is_0(name: str) -> None:
    model, _, uncorrelated = RESNETS[name]
    found = OBSERVABLES["interlayer.lag1"].exact(facts(model), np.array([0, 1, 2]))  # two layers apart at most
    np.testing.assert_array_equal(found, [1.0, 0.0, 0.0] if uncorrelated else [np.nan] * 3)
