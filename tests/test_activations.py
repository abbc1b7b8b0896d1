"""The activations: the table in float64 against mathematics, and the kernels in float32 against the table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import AVAILABLE
from numpy.typing import NDArray
from scipy.integrate import quad

from resmc import _native, reference
from resmc.engine.lowering import activation_fields
from resmc.models.activation_record import ActivationRecord
from resmc.models.activations import ACTIVATIONS, LEAK, SELU

Array = NDArray[np.float64]
NAMES = list(ACTIVATIONS)
SCALES = [1.0, 2.0**-60, 2.0**-10, 2.0**10, 2.0**60]
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)

# ---- the table ------------------------------------------------------------------------------------------------------

NEAR_ZERO = np.concatenate([sign * np.geomspace(1e-12, 0.05, 200) for sign in (-1, 1)])
EVERYWHERE = np.concatenate([np.linspace(-8.0, 8.0, 1601)[:800], np.linspace(-8.0, 8.0, 1601)[801:]])  # but for 0


def test_numbers_are_the_places_in_the_table() -> None:
    assert [a.number for a in ACTIVATIONS.values()] == list(range(len(ACTIVATIONS)))


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_the_limit_of_difference_quotients(name: str) -> None:
    a, h = ACTIVATIONS[name], 1e-3  # error of Richardson's quotient: h^4 times a fifth derivative of a few units / 30

    def quotient(h: float) -> Array:
        return (a.value(EVERYWHERE + h) - a.value(EVERYWHERE - h)) / (2 * h)

    richardson = (4 * quotient(h / 2) - quotient(h)) / 3
    near_kinks = (np.abs(EVERYWHERE[:, None] - np.array(a.kinks)) < 2 * h).any(axis=1)
    np.testing.assert_allclose(richardson[~near_kinks], a.slope(EVERYWHERE)[~near_kinks], rtol=0, atol=1e-11)
    assert np.abs(richardson - a.slope(EVERYWHERE + 1e-2)).max() > 1e-5 or a.homogeneous  # negative control


@pytest.mark.parametrize("name", NAMES)
def test_slope_at_zero_is_that_below_zero(name: str) -> None:
    a = ACTIVATIONS[name]
    at, below = a.slope(np.array([0.0, -0.0])), a.slope(np.full(2, -1e-12))
    np.testing.assert_allclose(at, below, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_homogeneous_says_whether_scales_pass_through(name: str) -> None:
    a = ACTIVATIONS[name]
    passes = np.allclose(a.value(8 * EVERYWHERE), 8 * a.value(EVERYWHERE), rtol=1e-14, atol=0)
    assert passes == a.homogeneous


@pytest.mark.parametrize("name", NAMES)
def test_odd_says_whether_sigma_changes_sign_with_x(name: str) -> None:
    a = ACTIVATIONS[name]
    assert np.allclose(a.value(-EVERYWHERE), -a.value(EVERYWHERE), rtol=1e-14, atol=0) == a.odd


@pytest.mark.parametrize("name", NAMES)
def test_the_steepest_slope_is_reached_and_nowhere_passed(name: str) -> None:
    a, x = ACTIVATIONS[name], np.concatenate([np.linspace(-8.0, 8.0, 16001), [40.0, -40.0]])
    assert np.abs(a.slope(x)).max() == pytest.approx(a.steepest, abs=1e-7)
    assert np.abs(a.slope(x)).max() <= a.steepest


@pytest.mark.parametrize("name", NAMES)
def test_facts_at_zero_are_those_of_the_function(name: str) -> None:
    a, zero, h = ACTIVATIONS[name], np.zeros(1), np.array([1e-5])
    assert a.value(zero)[0] == a.at_zero
    jump = float((a.slope(h) - a.slope(-h))[0])
    assert (abs(jump) < 0.1) == (not math.isnan(a.slope_at_zero))  # a kink at 0 is one of 0.7 at least
    assert a.smooth == (abs(jump) < 0.1 and name != "elu")  # of which the second derivative jumps at 0
    if not math.isnan(a.slope_at_zero):
        assert a.slope(zero)[0] == pytest.approx(a.slope_at_zero, abs=1e-15)
    if a.smooth:
        assert jump / 2e-5 == pytest.approx(a.curvature_at_zero, abs=1e-9)


CLOSED_FORMS: dict[str, Callable[[float], float]] = {  # E sigma(s g)
    "relu": lambda s: s / ROOT_TWO_PI,
    "balanced": lambda s: s / ROOT_TWO_PI,
    "balanced-half": lambda s: s / ROOT_TWO_PI,
    "leaky_relu": lambda s: (1 - LEAK) * s / ROOT_TWO_PI,
    "tanh": lambda s: 0.0,
    "sigmoid": lambda s: 0.5,
    "gelu": lambda s: s * s / math.sqrt(2 * math.pi * (1 + s * s)),  # by parts
    "linear": lambda s: 0.0,
    "erf": lambda s: 0.0,
    "hard_tanh": lambda s: 0.0,
}
CLOSED_SQUARES: dict[str, Callable[[float], float]] = {  # E sigma(s g)^2
    "relu": lambda s: s * s / 2,
    "balanced": lambda s: s * s / 2,
    "balanced-half": lambda s: s * s / 2,
    "leaky_relu": lambda s: (1 + LEAK**2) * s * s / 2,
    "linear": lambda s: s * s,
    "erf": lambda s: 2 / math.pi * math.asin(2 * s * s / (1 + 2 * s * s)),
}


def by_quad(a: ActivationRecord, power: int, size: float) -> float:
    def integrand(g: float) -> float:
        return float(a.value(np.array([size * g]))[0]) ** power * math.exp(-g * g / 2) / ROOT_TWO_PI

    ends = sorted({-12.0, -1.0, 0.0, 1.0, 12.0, *(kink / size for kink in a.kinks)})
    return sum(quad(integrand, *piece, epsabs=1e-13, epsrel=1e-13)[0] for piece in itertools.pairwise(ends))


@pytest.mark.parametrize("size", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_gaussian_means_are_closed_forms_or_quadratures(name: str, size: float) -> None:
    a = ACTIVATIONS[name]
    mean = CLOSED_FORMS[name](size) if name in CLOSED_FORMS else by_quad(a, 1, size)
    square = CLOSED_SQUARES[name](size) if name in CLOSED_SQUARES else by_quad(a, 2, size)
    assert a.mean(size) == pytest.approx(mean, rel=1e-11, abs=1e-13)
    assert a.mean_square(size) == pytest.approx(square, rel=1e-11, abs=1e-13)


def centred_softplus_series(x: Array) -> Array:
    y = x.astype(np.longdouble)
    return y * (1 + y * (1 / np.longdouble(4) + y**2 * (-1 / np.longdouble(96) + y**2 / 1440)))


def gelu_series(x: Array) -> Array:
    y = x.astype(np.longdouble)
    root = np.sqrt(2 * np.arctan2(np.longdouble(0), np.longdouble(-1)))
    return y * (y.dtype.type(0.5) + y / root * (1 - y**2 / 6 + y**4 / 40 - y**6 / 336))


@pytest.mark.parametrize(("name", "series"), [("centred_softplus", centred_softplus_series), ("gelu", gelu_series)])
def test_float64_loses_nothing_near_zero(name: str, series: Callable[[Array], Array]) -> None:
    """Relative to the value; the series leave less than 1e-13 of it at 0.05, and the naive form loses all at 1e-12."""
    exact = series(NEAR_ZERO)
    assert np.max(np.abs(ACTIVATIONS[name].value(NEAR_ZERO) / exact - 1)) < 2e-13
    if name == "centred_softplus":
        naive = 2 * (np.log(1 + np.exp(NEAR_ZERO)) - math.log(2))
        assert np.max(np.abs(naive / exact - 1)) > 1e-5  # negative control


def test_centred_softplus_is_exact_to_float64_far_from_zero() -> None:
    x = np.concatenate([np.linspace(-60, -0.05, 997), np.linspace(0.05, 60, 997)])
    y = x.astype(np.longdouble)
    exact = 2 * (np.log1p(np.exp(y)) - np.log(np.longdouble(2)))
    assert np.max(np.abs(ACTIVATIONS["centred_softplus"].value(x) / exact - 1)) < 2e-15
    np.testing.assert_array_equal(ACTIVATIONS["centred_softplus"].value(np.array([-(2.0**80), 2.0**80])) / 2,
                                  [-math.log(2), 2.0**80])  # fmt: skip


SIZES = [1e-300, 1e-150, 1e-30, 1e-12, 1e-5, 0.05, 0.1999, 0.2001, 0.5, 0.999, 1.001, 2.0, 5.0, 10.0, 20.0, 37.0, 49.9,
         50.1, 100.0, 700.0, 800.0, 1e10, 1e30, 1e150, 1e300]  # fmt: skip


def all_digits(name: str, x: Array) -> tuple[Array, Array]:
    """Values and slopes by arithmetic of 350 digits, rounded to float64."""
    mp: Any = pytest.importorskip("mpmath").mp

    def below(u: Any) -> Any:
        return mp.mpf(u > 0) if abs(u) > 1000 else mp.erfc(-u / mp.sqrt(2)) / 2

    def density(u: Any) -> Any:
        return mp.mpf(0) if abs(u) > 1000 else mp.npdf(u)

    def logistic(u: Any) -> Any:
        return 1 / (1 + mp.exp(-u))

    def sech(u: Any) -> Any:
        return 1 / mp.cosh(u)

    def bent(above: Any, below: Any) -> Any:
        return (
            lambda u: above * u if u > 0 else below * mp.expm1(u),
            lambda u: mp.mpf(above) if u > 0 else below * mp.exp(u),
        )

    def gate(u: Any) -> Any:
        return logistic(2 * mp.sqrt(2 / mp.pi) * (u + mp.mpf(0.044715) * u**3))

    def turn(u: Any) -> Any:
        return mp.tanh(mp.log1p(mp.exp(u))) if u < 1000 else mp.mpf(1)

    leak, cube = mp.mpf(LEAK), 3 * mp.mpf(0.044715)
    scale = 2 * mp.sqrt(2 / mp.pi)
    known: dict[str, Any] = {
        "leaky_relu": (lambda u: u if u > 0 else leak * u, lambda u: mp.mpf(1) if u > 0 else leak),
        "tanh": (mp.tanh, lambda u: sech(u) ** 2),
        "sigmoid": (logistic, lambda u: logistic(u) * logistic(-u)),
        "gelu": (lambda u: u * below(u), lambda u: below(u) + u * density(u)),
        "centred_softplus": (lambda u: 2 * (mp.log(1 + mp.exp(-abs(u))) + max(u, 0) - mp.log(2)),
                             lambda u: 2 * logistic(u)),
        "linear": (lambda u: u, lambda u: mp.mpf(1)),
        "elu": bent(1, 1),
        "selu": bent(*(mp.mpf(x) for x in SELU)),
        "mish": (lambda u: u * turn(u), lambda u: turn(u) + u * (1 - turn(u) ** 2) * logistic(u)),
        "erf": (mp.erf, lambda u: 2 / mp.sqrt(mp.pi) * (mp.exp(-u * u) if abs(u) < 1000 else 0)),
        "hard_tanh": (lambda u: max(-1, min(u, 1)), lambda u: mp.mpf(abs(u) < 1)),
        "gelu_tanh": (lambda u: u * gate(u) if abs(u) < 1000 else max(u, 0),
                      lambda u: gate(u) + u * gate(u) * gate(-u) * scale * (1 + cube * u * u) if abs(u) < 1000
                      else mp.mpf(u > 0)),
        "softplus": (lambda u: mp.log1p(mp.exp(-abs(u))) + max(u, 0), logistic),
        "silu": (lambda u: u * logistic(u), lambda u: logistic(u) + u * logistic(u) * logistic(-u)),
    }  # fmt: skip
    rectified = (lambda u: max(u, mp.mpf(0)), lambda u: mp.mpf(u > 0))
    with mp.workdps(350):
        found = [[float(f(mp.mpf(u))) for u in x.tolist()] for f in known.get(name, rectified)]
    return np.array(found[0]), np.array(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_table_and_torch_have_all_digits_from_the_smallest_to_the_largest_arguments(name: str) -> None:
    """Values and slopes, those of torch by autograd, in float64 and in float32."""
    torch = pytest.importorskip("torch")
    a = ACTIVATIONS[name]
    for kind, fine, least, most in ((np.float64, 1e-13, 1e-300, 1e300), (np.float32, 1e-6, 1e-37, 1e37)):
        if name == "gelu_tanh":  # the error of u + 0.044715 u^3 is that of the tail's logarithm
            fine *= 100
        x = np.array([sign * size for size in SIZES for sign in (-1, 1) if least <= size <= most], kind)
        value, slope = all_digits(name, x.astype(np.float64))
        given = torch.tensor(x, requires_grad=True)
        found = a.torch(torch, given)
        found.sum().backward()
        pairs = [(found.detach().numpy(), value), (given.grad.numpy(), slope)]
        if kind is np.float64:
            with np.errstate(over="raise", invalid="raise"):
                pairs += [(a.value(x), value), (a.slope(x), slope)]
        for got, exact in pairs:
            np.testing.assert_allclose(got, exact.astype(kind), rtol=fine, atol=least)


@pytest.mark.parametrize("name", NAMES)
def test_torch_computes_the_table(name: str) -> None:
    torch = pytest.importorskip("torch")
    a, x = ACTIVATIONS[name], np.concatenate([EVERYWHERE, [-800.0, -40.0, 0.0, 40.0, 60.0, 800.0]])
    found = a.torch(torch, torch.tensor(x))
    np.testing.assert_allclose(found.numpy(), a.value(x), rtol=1e-13, atol=1e-15)
    assert not np.allclose(found.numpy(), a.value(x + 1e-9), rtol=1e-13, atol=1e-15)  # negative control


@pytest.mark.parametrize("name", NAMES)
def test_torch_pulls_back_by_the_slope(name: str) -> None:
    """To rounding errors of what is pulled, and at a kink by the slope from below."""
    torch = pytest.importorskip("torch")
    a, x = ACTIVATIONS[name], np.concatenate([EVERYWHERE, [-800.0, -40.0, 0.0, 40.0, 60.0, 800.0]])
    g = np.linspace(-2.0, 3.0, len(x))
    given = torch.tensor(x)
    found = a.pulled(torch, torch.tensor(g), given, a.torch(torch, given))
    np.testing.assert_allclose(found.numpy(), g * a.slope(x), rtol=1e-12, atol=1e-14)
    if name != "linear":
        wrong = a.pulled(torch, torch.tensor(g), given + 0.1, a.torch(torch, given + 0.1))
        assert not np.allclose(wrong.numpy(), g * a.slope(x), rtol=1e-12, atol=1e-14)  # negative control


@pytest.mark.parametrize("name", [name for name in NAMES if ACTIVATIONS[name].in_place is not None])
def test_values_that_take_the_place_of_arguments_serve_for_slopes(name: str) -> None:
    torch = pytest.importorskip("torch")
    a, x = ACTIVATIONS[name], np.concatenate([EVERYWHERE, [-800.0, -40.0, 0.0, 40.0, 60.0, 800.0]])
    g, y = torch.linspace(-2.0, 3.0, len(x), dtype=torch.float64), torch.tensor(x)
    assert a.in_place is not None
    a.in_place(torch, y)
    np.testing.assert_allclose(y.numpy(), a.value(x), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(a.pulled(torch, g, y, y).numpy(), g.numpy() * a.slope(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in NAMES if ACTIVATIONS[name].in_place is None])
def test_where_slopes_need_arguments_values_do_not_serve(name: str) -> None:
    """A negative control."""
    torch = pytest.importorskip("torch")
    a, g = ACTIVATIONS[name], torch.ones(len(EVERYWHERE), dtype=torch.float64)
    y = torch.tensor(a.value(EVERYWHERE))
    assert not np.allclose(a.pulled(torch, g, y, y).numpy(), a.slope(EVERYWHERE), rtol=1e-3, atol=1e-3)


# ---- the kernels ----------------------------------------------------------------------------------------------------

VALUE_BOUND, TAIL_BOUND, SLOPE_BOUND = 4e-7, 6e-7, 5e-7
SMALLEST = 2e-38  # what is less is 0 to e^x


def arguments(c: float) -> NDArray[np.float32]:
    """x of every exponent up to 2^20 and both signs, and 1e5 random ones, most of them where c x is of size 1."""
    rng = np.random.default_rng(60)
    mantissas = np.array([1.0, 1.0 + 2.0**-23, 1.2, 1.4142135, 1.7, 2.0 - 2.0**-23])
    grid = np.outer(np.exp2(np.arange(-149, 20)), mantissas).ravel()
    random = np.concatenate([rng.normal(0, 5, 60_000), rng.uniform(-100, 100, 20_000), rng.normal(0, 0.3, 20_000)])
    x = np.concatenate([[0.0, 2.0**20], grid, random / c if c >= 2.0**-10 else random])
    return np.concatenate([x, -x]).astype(np.float32)


def errors(a: ActivationRecord, c: float, x: NDArray[np.float32], value: Array, slope: Array) -> tuple[float, float]:
    """The worst errors in units of their bounds."""
    scale = 1.0 if a.homogeneous else c
    u = scale * x.astype(np.float64)
    exact = a.value(u)
    tail = (u < -2) if a is ACTIVATIONS["gelu"] else np.zeros(len(u), bool)
    # Besides there are a value's own last place where it is subnormal, and what e^x leaves out, times x in x e^x.
    left_out = SMALLEST * (
        np.maximum(np.abs(u), 1.0) if a in [ACTIVATIONS[name] for name in ("silu", "mish", "gelu_tanh")] else 1.0
    )
    relative = np.where(tail, TAIL_BOUND, VALUE_BOUND)
    if a is ACTIVATIONS["gelu_tanh"]:
        relative = np.where(u < 0, VALUE_BOUND * (1.0 + u * u), VALUE_BOUND)
    bound = relative * np.abs(exact) + scale * 2.0**-149 + left_out
    return (
        float(np.max(np.abs(scale * value.astype(np.float64) - exact) / bound)),
        float(np.max(np.abs(slope.astype(np.float64) - a.slope(u))) / SLOPE_BOUND / max(a.steepest, 1.0)),
    )


def no_signs(x: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Words that make every sign of `balanced` plus; balanced-half cannot have that, and is tested with its signs."""
    return np.zeros((len(x) // 4, 4), np.uint32)


@pytest.mark.cpu
@pytest.mark.parametrize("c", SCALES)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "balanced-half"])
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_kernels_compute_the_table(instructions: str, name: str, c: float) -> None:
    a, x = ACTIVATIONS[name], arguments(c)
    value, slope = _native.activate(instructions, activation_fields(a), c, x, no_signs(x))
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    worst = errors(a, c, x, value, slope)
    assert max(worst) < 1, worst


@pytest.mark.cpu
@pytest.mark.parametrize("name", NAMES)
def test_errors_of_a_few_units_in_the_last_place_would_be_seen(name: str) -> None:
    """Negative control of the test above."""
    a, x = ACTIVATIONS[name], arguments(1.0)
    value, slope = a.value(x.astype(np.float64)), a.slope(x.astype(np.float64))
    assert max(errors(a, 1.0, x, value, slope)) < 0.01
    assert errors(a, 1.0, x, value * (1 + 5e-7), slope)[0] > 1
    assert errors(a, 1.0, x, value, slope + 6e-7 * max(a.steepest, 1.0))[1] > 1


@pytest.mark.cpu
def test_centred_softplus_written_naively_in_float32_would_be_seen() -> None:
    """Negative control: what cancels near 0 is beyond the bound."""
    a, x = ACTIVATIONS["centred_softplus"], arguments(1.0)
    two, half = np.float32(2), np.float32(np.log(2))
    naive = two * (np.maximum(x, np.float32(0)) + np.log1p(np.exp(-np.abs(x))) - half)
    assert naive.dtype == np.float32
    assert errors(a, 1.0, x, naive, a.slope(x.astype(np.float64)))[0] > 100


@pytest.mark.cpu
@pytest.mark.parametrize("c", SCALES)
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_values_at_the_ends_are_limits(instructions: str, c: float) -> None:
    """c x = -2^80 .. 2^80 and 0 at c = 2^60: limits exactly, and no infinity or NaN on the way."""
    x = np.array([-(2.0**20), 2.0**20, 0.0, -0.0], np.float32)
    words = np.zeros((1, 4), np.uint32)
    expected = {
        "tanh": ([-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]),
        "sigmoid": ([0.0, 1.0, 0.5, 0.5], [0.0, 0.0, 0.25, 0.25]),
        "gelu": ([0.0, 2.0**20 * c, 0.0, 0.0], [0.0, 1.0, 0.5, 0.5]),
        "silu": ([0.0, 2.0**20 * c, 0.0, 0.0], [0.0, 1.0, 0.5, 0.5]),
        "centred_softplus": ([-2 * math.log(2), 2.0**21 * c - 2 * math.log(2), 0.0, 0.0], [0.0, 2.0, 1.0, 1.0]),
    }
    for name, (values, slopes) in expected.items():
        value, slope = _native.activate(instructions, activation_fields(ACTIVATIONS[name]), c, x, words)
        far = slice(0 if c >= 1 else 2, None)  # where c 2^20 is far out
        np.testing.assert_array_equal(value[far], (np.array(values) / c).astype(np.float32)[far])
        np.testing.assert_allclose(slope[far], slopes[far], rtol=0, atol=1e-12)


@pytest.mark.cpu
@pytest.mark.parametrize("c", [1.0, 2.0**40])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_signs_are_those_of_the_reference(instructions: str, half: bool, c: float) -> None:
    """From the bits of the words that Philox gives; c plays no part."""
    networks, width = np.arange(50), 28
    quads = reference.words(7, networks, "residual", 3, np.arange(width // 4))
    signs = reference.signs(7, networks, "residual", 3, width, half=half)
    x = np.random.default_rng(61).normal(size=signs.shape).astype(np.float32)
    x[:, ::5] = 0.0
    name = "balanced-half" if half else "balanced"
    given = activation_fields(ACTIVATIONS[name])
    value, slope = _native.activate(instructions, given, c, x.ravel(), quads.reshape(-1, 4))
    z = signs * x
    np.testing.assert_array_equal(value.reshape(x.shape), np.maximum(z, 0).astype(np.float32))
    np.testing.assert_array_equal(slope.reshape(x.shape), np.where(z > 0, signs, 0))
    other = reference.signs(7, networks, "residual", 3, width, half=not half)
    assert not np.array_equal(slope.reshape(x.shape), np.where(other * x > 0, other, 0))  # negative control


@pytest.mark.cpu
@pytest.mark.parametrize("c", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_avx2_and_avx512_agree_in_every_bit(name: str, c: float) -> None:
    if not {"avx2", "avx512"} <= set(AVAILABLE):
        pytest.skip("this machine has not both")
    x = arguments(c)
    words = np.random.default_rng(62).integers(0, 2**32, (len(x) // 4, 4), dtype=np.uint32)
    given = activation_fields(ACTIVATIONS[name])
    for a, b in zip(
        _native.activate("avx2", given, c, x, words), _native.activate("avx512", given, c, x, words), strict=True
    ):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.cpu
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_quads_do_not_depend_on_their_neighbours(instructions: str) -> None:
    """Any number of quads, whatever the width of a pack: the first of many are those of a few."""
    x = arguments(1.0)[-4 * 77 :]
    words = np.random.default_rng(63).integers(0, 2**32, (77, 4), dtype=np.uint32)
    for name in NAMES:
        given = activation_fields(ACTIVATIONS[name])
        value, slope = _native.activate(instructions, given, 1.0, x, words)
        for n in (0, 1, 5, 33):
            v, s = _native.activate(instructions, given, 1.0, x[: 4 * n], words[:n])
            np.testing.assert_array_equal(v, value[: 4 * n])
            np.testing.assert_array_equal(s, slope[: 4 * n])


def test_arrays_of_other_shapes_are_refused() -> None:
    words, given = np.zeros((2, 4), np.uint32), activation_fields(ACTIVATIONS["relu"])
    with pytest.raises(ValueError, match="x must have shape"):
        _native.activate("auto", given, 1.0, np.zeros(7, np.float32), words)
    with pytest.raises(ValueError, match="words must have shape"):
        _native.activate("auto", given, 1.0, np.zeros(8, np.float32), words.ravel())
