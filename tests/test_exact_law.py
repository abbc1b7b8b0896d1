"""Exact laws against sums, integrals and closed forms that are written down here, and against simulations."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special
from scipy.stats import ncx2

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, theory
from resmc.theory.bessel import log_bessel_change
from resmc.theory.factors import Step, SumOfSquares
from resmc.theory.facts import facts

pytestmark = pytest.mark.cpu


def chain(width: int, depth: int, s: float, activation: str = "relu", **more) -> ResidualNetwork:
    return ResidualNetwork(width, depth, "v-phi-w", activation, scaling=DepthScaling(0.0, s), **more)


def over_t(inner: str, units: int, function) -> float:
    """E function(T) by adaptive quadrature over T given K: of relu the part with K >= 1, of linear all."""
    weights = [math.comb(units, k) * 0.5**units for k in range(1, units + 1)]
    laws = zip(range(1, units + 1), weights, strict=True) if inner == "relu" else [(units, 1.0)]
    total = 0.0
    for k, weight in laws:

        def density(u: float, k: int = k) -> float:
            return math.exp(0.5 * k * (u - math.log(2.0)) - 0.5 * math.exp(u) - math.lgamma(0.5 * k))

        ends = np.linspace(math.log(k) - 75.0 / k - 3.0, math.log(k) + 4.5, 9)
        parts = [
            integrate.quad(lambda u: density(u) * function(math.exp(u)), a, b, epsabs=1e-13, limit=100)[0]
            for a, b in itertools.pairwise(ends)
        ]
        total += weight * math.fsum(parts)
    return total


def mean_and_square(n: int, c: float) -> tuple[float, float]:
    """E X and E X^2 of X = log |e + c g|^2 as Poisson mixtures of logarithms of chi-squares with n + 2j degrees."""
    half = 0.5 / c**2
    j = np.arange(max(0, int(half - 40 * math.sqrt(half) - 40)), int(half + 40 * math.sqrt(half) + 60))
    weights = np.exp(special.xlogy(j, half) - half - special.gammaln(j + 1.0))
    mean = special.digamma(0.5 * n + j) + math.log(2.0 * c**2)
    return float(weights @ mean), float(weights @ (mean**2 + special.polygamma(1, 0.5 * n + j)))


@pytest.mark.parametrize(
    ("inner", "n", "b"),
    [
        ("relu", 2, 0.5),
        pytest.param("relu", 3, 0.25, marks=pytest.mark.long),
        ("linear", 2, 0.4),
        pytest.param("linear", 7, 0.1, marks=pytest.mark.long),
    ],
)
def test_mean_and_variance_of_a_layer_are_those_of_a_quadrature_to_1e_10(inner, n, b):
    smallest = 1e-3  # below it X is normal with mean (n - 2) c^2 and variance 4 c^2, to c^4

    def moment(order: int):
        def of_t(t: float) -> float:
            c = b * math.sqrt(t)
            if c < smallest:
                return (n - 2.0) * c**2 if order == 0 else 4.0 * c**2
            return mean_and_square(n, c)[order]

        return of_t

    law = Step(SumOfSquares(inner, n), n, b)
    first, second = (over_t(inner, n, moment(order)) for order in (0, 1))
    cumulants = law.points().cumulants()
    assert cumulants[0] == pytest.approx(first, abs=1e-10)
    assert cumulants[1] == pytest.approx(second - first**2, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 40, 1000])
@pytest.mark.parametrize("s", [0.02, 1.0, 20.0])
def test_second_and_fourth_moments_of_a_norm_are_the_polynomials_of_s(n, s):
    law = theory.exact_law(chain(n, 7, s, carry=0.6))
    a, c2, c4 = 0.36, s**2 / (2.0 * n), s**4 * (n + 5.0) / (4.0 * n**3)  # carry^2, E c^2, E c^4
    second, fourth = math.log(a + n * c2), math.log(a**2 + 2.0 * a * c2 * (n + 2.0) + c4 * n * (n + 2.0))
    np.testing.assert_allclose(law.moment([0.0, 1.0, 2.0]), [0.0, 7.0 * second, 7.0 * fourth], atol=1e-11)


def test_a_small_step_taken_often_keeps_the_digits_of_its_moments():
    law = theory.exact_law(ResidualNetwork(100, 100_000, "v-phi-w"))
    assert law.moment(1.0) == pytest.approx(100_000 * math.log1p(0.5e-5), rel=1e-12)
    c2, c4 = 1e-5 / 200.0, 1e-10 * 105.0 / 4e6
    assert law.moment(2.0) == pytest.approx(100_000 * math.log1p(2.0 * c2 * 102.0 + c4 * 10_200.0), rel=1e-12)
    assert law.mean == pytest.approx(0.5 - 0.01, abs=1e-5)  # the limit in depth, which is 1e-5 away
    assert law.variance == pytest.approx(0.02, abs=1e-5)


@pytest.mark.parametrize("variant", ["vanilla", "balanced-half"])
def test_powers_of_a_fully_connected_network_are_sums_over_its_active_neurons(variant):
    model = ResNet(6, 9, 0.0, 1.3, variant)
    law = theory.exact_law(model)
    k, q = np.arange(1, 7), np.array([-0.45, -0.2, 0.5, 3.0, 20.0])
    weights = special.comb(6, k) / 63.0
    each = [weights @ np.exp(special.gammaln(0.5 * k + p) - special.gammaln(0.5 * k)) for p in q]
    np.testing.assert_allclose(law.moment(q), 9.0 * (np.log(each) + q * math.log(2.0 * 1.69 / 3.0)), rtol=1e-12)
    known = theory.fully_connected(model, [9])
    start = theory.exact_law(model, "log_norm")
    for name in ("mean", "variance", "skewness", "excess_kurtosis"):
        assert getattr(start, name) == pytest.approx(getattr(known, name)[0], rel=1e-11)
    assert law.probability_of_death == pytest.approx(known.dead_probability[0], rel=1e-13)
    assert law.lowest_power == -0.5


def one_layer_cdf(inner: str | None, n: int, b: float, x: float) -> float:
    """P(log |e + c g|^2 <= x) by quadrature over T of the noncentral chi-square, where that is not all but normal."""

    def given(t: float) -> float:
        c = b * math.sqrt(t)
        return float(ncx2.cdf(math.exp(x) / c**2, n, c**-2)) if c > 1e-4 else float(special.ndtr(0.5 * x / c))

    if inner is None:
        return given(1.0)
    return over_t(inner, n, given) + (0.5**n * (x >= 0.0) if inner == "relu" else 0.0)


@pytest.mark.parametrize(
    ("inner", "n", "s"),
    [
        ("relu", 2, 1.0),
        pytest.param("relu", 6, 1.2, marks=pytest.mark.long),
        ("linear", 2, 2.0),
        (None, 2, 1.0),
    ],
)
def test_one_layers_distribution_function_is_that_of_a_quadrature_to_1e_8(inner, n, s):
    block = "phi-in" if inner is None else "v-phi-w"
    model = ResidualNetwork(n, 1, block, inner or "linear", scaling=DepthScaling(0.0, s))
    b = s / math.sqrt(n) if inner is None else s / n
    x = np.array([-3.0, -0.4, -0.03, 0.02, 0.6, 2.0])
    expected = [one_layer_cdf(inner, n, b, one) for one in x]
    np.testing.assert_allclose(theory.exact_law(model).cdf(x), expected, atol=1e-8)


def test_two_layers_without_a_skip_have_the_laws_of_products_that_are_bessel_functions():
    x = np.linspace(-30.0, 6.0, 200)
    z = np.exp(x)
    normals = theory.exact_law(ResNet(1, 2, 0.0, math.sqrt(0.5)))  # (g g')^2
    beyond = [integrate.quad(lambda v, u=u: math.exp(-u * math.cosh(v)) / math.cosh(v), 0, 40)[0] for u in np.sqrt(z)]
    np.testing.assert_allclose(normals.cdf(x), 1.0 - np.array(beyond) * 2.0 / math.pi, atol=1e-8)
    exponentials = theory.exact_law(
        ResidualNetwork(2, 2, "phi-in", "linear", carry=0.0, scaling=DepthScaling(0.0, 1.0))
    )
    np.testing.assert_allclose(exponentials.cdf(x), 1.0 - 2.0 * np.sqrt(z) * special.kv(1, 2.0 * np.sqrt(z)), atol=1e-8)
    np.testing.assert_allclose(exponentials.pdf(x), 2.0 * z * special.kv(0, 2.0 * np.sqrt(z)), atol=1e-7)


MODELS = {
    "atoms": chain(2, 3, 1.0),
    "no branches": ResNet(5, 4, -0.5, 0.0),
    "deep": ResidualNetwork(30, 10_000, "v-phi-w"),
    "by layer": ResidualNetwork(8, 3, "v-phi-w", "balanced", carry=-1.1, scaling=(0.3, 0.0, 1.5)),
    "leaky": chain(4, 5, 0.8, "leaky_relu"),
    "leaky, no skip": ResidualNetwork(5, 3, "phi-out", "leaky_relu", carry=0.0, scaling=DepthScaling(0.0, 1.0)),
    "dying": chain(3, 4, 1.0, carry=0.0),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_quantiles_density_and_moments_belong_to_the_distribution_function(model):
    for quantity in ("growth", "log_norm"):
        law = theory.exact_law(model, quantity)
        deviation = math.sqrt(law.variance)
        p = np.array([[0.01, 0.3], [0.5, 0.99]])
        x = law.quantile(p)
        assert x.shape == p.shape
        if not law.parts:
            assert (x == law.mean).all()
            continue
        assert (law.cdf(x) >= p - 1e-8).all()
        assert (law.cdf(x - 1e-6 * deviation) <= p + 1e-5).all()
        grid = np.linspace(law.quantile(1e-9), law.quantile(1.0 - 1e-9), 4001)
        cdf, step = law.cdf(grid), grid[1] - grid[0]
        assert (np.diff(cdf) > -1e-8).all()
        mean = grid[-1] - step * (cdf.sum() - 0.5 * (cdf[0] + cdf[-1]))  # E X = b - the integral of F
        assert mean == pytest.approx(law.mean, abs=1e-6 * deviation + 0.5 * law.atom * step)
        mass = step * (law.pdf(grid).sum() - 0.5 * law.pdf(grid[[0, -1]]).sum())
        assert mass == pytest.approx(1.0 - law.atom, abs=2e-3)


@pytest.mark.parametrize(("carry", "s"), [(1.0, 2.0**-40), (2.0**-40, 2.0**40), (-1.0, 1e3)])
@pytest.mark.parametrize("n", [4, 300, 1 << 20])
def test_scales_at_the_ends_of_what_is_allowed_have_laws_too(n, carry, s):
    law = theory.exact_law(chain(n, 3, s, carry=carry))
    low, middle, high = law.quantile([0.01, 0.5, 0.99])
    assert low < middle < high
    assert law.mean - 12.0 * math.sqrt(law.variance) < low
    assert high < law.mean + 6.0 * math.sqrt(law.variance)
    one = math.log(carry**2 + 0.5 * s**2)
    assert float(law.moment(1.0)) == pytest.approx(3.0 * one, rel=1e-10, abs=1e-13)


def test_an_atom_is_a_jump_where_only_the_skip_is_left():
    law = theory.exact_law(chain(2, 3, 1.0, carry=0.7))
    place = 3.0 * math.log(0.49)
    assert law.atom == 0.25**3
    assert law.cdf(place) - law.cdf(place - 1e-9) == pytest.approx(0.25**3, abs=1e-6)
    assert law.quantile(float(law.cdf(place)) - 0.005) == pytest.approx(place, abs=1e-9)


def test_cumulants_add_up_over_layers_forwards_and_backwards():
    scales = (0.2, 0.9, 0.9, 0.4)
    model = ResidualNetwork(6, 4, "v-phi-w", scaling=scales)
    found, layers = facts(model), np.arange(5)
    whole = theory.exact_law(model)
    for moment, order in (("mean", 1), ("variance", 2)):
        one = [theory.exact_law(chain(6, 1, s)).cumulant(order) for s in scales]
        sums = np.concatenate([[0.0], np.cumsum(one)])
        np.testing.assert_allclose(found.quotient_moment("growth", moment, layers), sums, atol=1e-13)
        np.testing.assert_allclose(found.quotient_moment("gradient", moment, layers), sums[-1] - sums, atol=1e-13)
        assert whole.cumulant(order) == pytest.approx(sums[-1], abs=1e-13)
        assert np.isnan(found.quotient_moment("displacement", moment, layers)).all()
        start = theory.exact_law(replace(model, input_norm=3.0), "log_norm")
        first = theory.first_layer(ResNet(6, 1, 1.0, 1.0, input_norm=3.0))
        assert start.cumulant(order) == pytest.approx(sums[-1] + getattr(first, moment), abs=1e-12)
    assert theory.exact_law(model, "gradient").parts == whole.parts


def test_quantiles_over_all_networks_count_the_dead_as_minus_infinity():
    model = ResNet(2, 2, 0.0, 1.0)  # dead with probability 1 - (3/4)^2 = 7/16
    found = facts(model)
    low, high = found.final_quantile("growth", [0.4, 7.0 / 16.0 + 0.5 * 9.0 / 16.0])
    assert low == -math.inf
    assert high == pytest.approx(float(theory.exact_law(model).quantile(0.5)), abs=1e-12)


@pytest.mark.parametrize("nu", [-0.5, 0.0, 0.5, 9.0, 31.0, 499.0])
def test_bessel_functions_change_as_scipys_do(nu):
    z, factor = np.array([1e-4, 0.1, 5.0, 29.0, 300.0]), np.array([-0.5, 0.3, 2.0])[:, None]

    def log_f(z: np.ndarray) -> np.ndarray:
        scaled = special.ive(nu, z)
        return np.where(scaled > 0.0, np.log(np.maximum(scaled, 1e-300)) - nu * np.log(z), np.nan)

    expected = log_f(z * np.exp(factor)) - log_f(z)
    known = np.isfinite(expected) & (special.ive(nu, z) > 1e-290) & (special.ive(nu, z * np.exp(factor)) > 1e-290)
    assert known.sum() >= 3
    found = log_bessel_change(nu, z, np.broadcast_to(factor, expected.shape))
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-11, atol=1e-11)


REFUSED = {
    "tied": ({"weights": resmc.Weights(depth="tied")}, "layers must be independent"),
    "uniform": ({"weights": "uniform"}, "known for 'gaussian' and 'orthogonal'"),
    "bias": ({"bias": 0.5}, "bias=0.5 has no exact law"),
    "tanh": ({"activation": "tanh"}, "not homogeneous"),
    "skip": ({"block": "phi-in"}, "no exact law beside a skip"),
    "nothing left": ({"carry": 0.0, "scaling": (1.0, 0.0)}, "every network is 0 from there on"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED)
def test_other_networks_have_no_law_and_the_reason_is_said(fields, why):
    model = ResidualNetwork(4, 2, **{"block": "v-phi-w", **fields})
    assert theory.exact_law(model) is None
    assert why in theory.no_exact_law(model)
    assert math.isnan(facts(model).final_quantile("growth", 0.5))


def test_bad_input_is_refused_with_what_is_allowed():
    law = theory.exact_law(chain(4, 2, 1.0))
    for call, said in (
        (lambda: theory.exact_law(chain(4, 2, 1.0), "displacement"), "quantity='displacement'"),
        (lambda: theory.exact_law("network"), "model='network' is not allowed"),
        (lambda: law.cumulant(9), "k=9 is out of range"),
        (lambda: law.moment([1.0, -2.0]), "q=-2.0 is not allowed: it must be above -2, .* is infinite for q <= -2"),
        (lambda: law.moment(65.0), "q=65.0 is not allowed"),
        (lambda: law.moment(math.nan), "q=nan is not allowed"),
        (lambda: law.quantile([0.5, 1.0]), "p=1.0 is not allowed"),
        (lambda: theory.exact_law(ResNet(4, 2, 1.0, 0.0)).pdf(0.0), "there is no density"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
