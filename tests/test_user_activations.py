"""Activations made from Python, and activations with parameters: tables, spellings, and what is refused."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import AVAILABLE
from numpy.typing import NDArray
from own_activations import OWN, shifted

import resmc
from resmc import _native
from resmc.cli.main import main
from resmc.engine.lowering import activation_fields
from resmc.models.activation_families import record_of
from resmc.models.activations import ACTIVATIONS
from resmc.models.user_activation import Activation
from resmc.reference import simulate_residual
from resmc.theory.facts import facts

Array = NDArray[np.float64]
BUILT_IN = [name for name, a in ACTIVATIONS.items() if not a.homogeneous]
BOUND = 1e-6


def table_of(name: str) -> Activation:
    a = ACTIVATIONS[name]
    return Activation(a.value, a.slope, name=name, kinks=[k for k in a.kinks if k])


def sizes(value: Callable[[Array], Array], slope: Callable[[Array], Array], x: Array) -> Array:
    """The largest |sigma(v)| or |v sigma'(v)| of all |v| <= |x|."""
    grid = np.sort(np.abs(np.concatenate([x, np.linspace(0.0, np.abs(x).max(), 4001)])))
    both = np.concatenate([grid, -grid])
    each = np.maximum(np.abs(value(both)), np.abs(both * slope(both))).reshape(2, -1).max(axis=0)
    return np.maximum.accumulate(each)[np.searchsorted(grid, np.abs(x))]


def places() -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 3, 40_000), rng.uniform(-60, 60, 20_000), np.geomspace(1e-9, 1e5, 2_000)])
    x = np.concatenate([x, -x, [0.0, 1.0, -1.0, 3.0, 0.3, -1.7]])
    return x[: len(x) // 4 * 4].astype(np.float32)


@pytest.mark.cpu
@pytest.mark.parametrize("c", [1.0, 2.0**-40, 2.0**10])
@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_a_table_of_a_built_in_activation_agrees_with_it(instructions: str, name: str, c: float) -> None:
    """Float32 of the kernels against float64 of the function; and the built-in kernel is as near."""
    own, a, x = table_of(name), ACTIVATIONS[name], places()
    words = np.zeros((len(x) // 4, 4), np.uint32)
    value, slope = _native.activate(instructions, activation_fields(own.record), c, x, words)
    theirs, _ = _native.activate(instructions, activation_fields(a), c, x, words)
    u = c * x.astype(np.float64)
    size = np.maximum(sizes(a.value, a.slope, u), 1e-300)
    ours, built_in = (c * found.astype(np.float64) for found in (value, theirs))
    assert np.max(np.abs(ours - a.value(u)) / size) < BOUND
    assert np.max(np.abs(ours - built_in) / size) < BOUND
    assert np.max(np.abs(slope - a.slope(u))) < BOUND * a.steepest
    assert np.max(np.abs(ours * (1.0 + 3e-6) - a.value(u)) / size) > BOUND  # negative control


@pytest.mark.cpu
@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("instructions", AVAILABLE)
def test_kernels_read_the_table_that_the_twin_and_torch_read(instructions: str, own: str) -> None:
    torch = pytest.importorskip("torch")
    record, x = OWN[own]().record, places()
    value, slope = _native.activate(
        instructions, activation_fields(record), 1.0, x, np.zeros((len(x) // 4, 4), np.uint32)
    )
    u = x.astype(np.float64)
    size = sizes(record.value, record.slope, u)
    assert np.max(np.abs(value - record.value(u)) / np.maximum(size, 1e-300)) < 4e-7
    assert np.max(np.abs(slope - record.slope(u))) < 4e-7 * record.steepest
    given = torch.tensor(u, requires_grad=True)
    found = record.torch(torch, given)
    found.sum().backward()
    np.testing.assert_allclose(found.detach().numpy(), record.value(u), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(given.grad.numpy(), record.slope(u), rtol=1e-13, atol=1e-14)
    pulled = record.pulled(torch, torch.ones(len(u), dtype=torch.float64), torch.tensor(u), found)
    np.testing.assert_allclose(pulled.detach().numpy(), record.slope(u), rtol=1e-13, atol=1e-14)


def test_facts_of_a_table_are_those_of_the_function() -> None:
    for name in BUILT_IN:
        own, a = table_of(name).record, ACTIVATIONS[name]
        assert own.odd == a.odd
        assert own.at_zero == pytest.approx(a.at_zero, abs=1e-7)
        assert own.smooth == a.smooth
        np.testing.assert_allclose(
            [own.slope_at_zero, own.curvature_at_zero], [a.slope_at_zero, a.curvature_at_zero], rtol=0, atol=1e-6
        )
        assert own.steepest == pytest.approx(a.steepest, rel=2e-6)
        assert not own.vanishes
        for size in (0.1, 1.0, 20.0):
            assert own.mean_square(size) == pytest.approx(a.mean_square(size), rel=2e-6)
    kinked = OWN["kinked"]().record
    assert kinked.vanishes
    assert kinked.kinks == pytest.approx((-1.7, 0.3, 5.1), rel=1e-7)


def test_values_of_a_kink_are_exact_on_either_side() -> None:
    record = OWN["kinked"]().record
    at = float(np.float32(0.3))
    x = np.array([at - 1e-6, at, at + 1e-6, -1.7 - 1e-5, -1.69])
    np.testing.assert_allclose(record.value(x), [0.0, 0.0, 1e-6, -0.5e-5, 0.0], rtol=0, atol=3e-8)
    assert record.slope(x[:3]) == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("own", OWN)
def test_an_activation_is_the_same_after_a_pickle_json_and_a_file(own: str, tmp_path: Path) -> None:
    made = OWN[own]()
    again = [pickle.loads(pickle.dumps(made)), Activation.from_dict(json.loads(json.dumps(made.to_dict())))]
    x = np.linspace(-9.0, 9.0, 501)
    for other in again:
        assert other == made
        assert hash(other) == hash(made)
        np.testing.assert_array_equal(other.record.value(x), made.record.value(x))
        assert other.record.kinks == made.record.kinks
    model = resmc.ResidualNetwork(8, 3, activation=made)
    sim = resmc.simulate(model, networks=64, seed=1)
    sim.save(tmp_path / "own.resmc")
    loaded = resmc.load(tmp_path / "own.resmc")
    assert loaded.model == model
    assert loaded.model.activation.digest == made.digest
    assert str(made) in sim.summary()


def test_names_and_tables_tell_activations_apart() -> None:
    one, other = Activation(np.tanh), Activation(lambda x: np.tanh(1.01 * x), name="tanh")
    assert one.name == other.name == "tanh"
    assert one != other
    assert str(one) != str(other)
    assert Activation(np.tanh) == one


@pytest.mark.cpu
@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
@pytest.mark.parametrize("own", ["softsign", "kinked", "grounded"])
def test_networks_agree_with_the_twin(own: str, block: str, method: str) -> None:
    """float32 of the kernels against float64 of the reference, network by network, forwards and backwards."""
    model = resmc.ResidualNetwork(10, 6, block, OWN[own](), bias=0.3, carry=0.8, input_norm=2.0)
    sim = resmc.simulate(
        model, networks=32, seed=3, method=method, gradients=True, keep_trajectories=32, progress=False
    )
    twin = simulate_residual(model, 32, seed=3, method=method, layers=sim.layers.tolist())
    ours = sim.trajectories
    assert np.abs(ours.log_norm - twin.log_norm).max() < 1e-4
    apart = np.abs(ours.ratios["gradient"] - twin.log_gradient)
    assert np.quantile(apart, 0.9) < 1e-4  # a slope flips where a state is closer to a kink than rounding
    other = simulate_residual(replace(model, activation="tanh"), 32, seed=3, method=method, layers=sim.layers.tolist())
    assert np.abs(ours.log_norm - other.log_norm).max() > 1e-2  # negative control


# ---- spelled with parameters ----------------------------------------------------------------------------------------


def test_parameters_are_part_of_the_name() -> None:
    model = resmc.ResidualNetwork(100, 5, activation="leaky_relu(0.20)")
    assert model.activation == "leaky_relu(0.2)" == resmc.leaky_relu(0.2)
    assert model == resmc.ResidualNetwork(100, 5, activation=resmc.leaky_relu(0.2))
    assert (model.sigma.above, model.sigma.below) == (1.0, 0.2)
    assert resmc.ResidualNetwork(100, 5, activation="leaky_relu(0.01)").activation == "leaky_relu"
    assert resmc.elu() == resmc.elu(1.0) == "elu"
    assert resmc.ResidualNetwork(8, 5, activation=resmc.elu(-0.5)).activation == "elu(-0.5)"
    shaped = resmc.ResidualNetwork(100, 5, activation=resmc.shaped_relu(1, -2.5))
    assert shaped.activation == "shaped_relu(1, -2.5)"
    assert (shaped.sigma.above, shaped.sigma.below) == (1.1, 0.75)
    assert resmc.ResidualNetwork.from_dict(json.loads(json.dumps(shaped.to_dict()))) == shaped
    assert pickle.loads(pickle.dumps(shaped)) == shaped


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no number": (lambda: resmc.ResidualNetwork(8, 2, activation="leaky_relu(a)"), "parameters must be numbers"),
    "too many": (lambda: resmc.ResidualNetwork(8, 2, activation="elu(1, 2)"), "it takes alpha"),
    "none": (lambda: resmc.ResidualNetwork(8, 2, activation="shaped_relu"), "it takes c_plus and c_minus"),
    "no family": (lambda: resmc.ResidualNetwork(8, 2, activation="tanh(2)"), "it must be one of"),
    "not finite": (lambda: resmc.leaky_relu(math.inf), "slope=inf"),
    "too large": (lambda: resmc.shaped_relu(0, 2000), "at most 2.10"),
    "dies": (lambda: resmc.ResidualNetwork(4, 2, activation="shaped_relu(0, -2)"), "slope 0 on a side"),
    "a number": (lambda: Activation(3), "value=3 is not allowed"),  # type: ignore[arg-type]
    "slope": (lambda: Activation(np.tanh, 3), "slope=3 is not allowed"),  # type: ignore[arg-type]
    "wrong slope": (lambda: Activation(np.tanh, np.cos), "slope does not match value"),
    "slightly wrong": (lambda: Activation(np.tanh, lambda x: 1.0001 / np.cosh(np.clip(x, -99, 99)) ** 2), "not match"),
    "slope of infinity": (lambda: Activation(np.tanh, lambda x: 1.0 + 0.0 * np.exp(x)), "slope is not finite"),
    "overflows": (lambda: Activation(lambda x: np.log(1.0 + np.exp(x))), "value is not finite at x="),
    "jumps": (lambda: Activation(np.sign), "jumps at x=0"),
    "unsaid kink": (lambda: Activation(shifted), "not smooth enough near x="),
    "periodic": (lambda: Activation(np.sin), "straight line"),
    "square": (lambda: Activation(np.square), "straight line"),
    "constant": (lambda: Activation(lambda x: 0.0 * x + 1.0), "constant"),
    "a sum": (lambda: Activation(lambda x: x.sum()), "entry by entry"),
    "name": (lambda: Activation(np.tanh, name="my tanh"), "name='my tanh'"),
    "equal kinks": (lambda: Activation(np.tanh, kinks=[1.0, 1.0]), "kinks="),
    "many kinks": (lambda: Activation(np.tanh, kinks=range(1, 11)), "at most 8"),
    "homogeneous": (lambda: Activation(np.tanh, homogeneous=True), "homogeneous=True is not allowed"),
    "a table": (lambda: Activation.from_dict({"name": "a"}), "to_dict gives"),
    "a damaged table": (
        lambda: Activation.from_dict(Activation(np.tanh).to_dict() | {"table": "AAAA"}), "cannot be unpacked"
    ),
    "a short table": (lambda: Activation.from_dict(Activation(np.tanh).to_dict() | {"octaves": 2}), "cells"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_activation_is_refused_in_a_sentence(case: str) -> None:
    make, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_homogeneous_ones_are_two_slopes() -> None:
    own = Activation(lambda x: np.where(x > 0, x, 0.2 * x), name="mine", homogeneous=True)
    assert (own.record.above, own.record.below, own.record.table) == (1.0, 0.2, None)
    assert Activation.from_dict(own.to_dict()) == own
    model = resmc.ResidualNetwork(20, 10, "v-phi-w", own)
    theirs = resmc.ResidualNetwork(20, 10, "v-phi-w", "leaky_relu(0.2)")
    a, b = (resmc.simulate(m, networks=64, seed=2, progress=False).log_norm_mean.value for m in (model, theirs))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_functions_of_torch_will_do() -> None:
    torch = pytest.importorskip("torch")
    assert Activation(torch.nn.functional.silu).record.mean_square() == pytest.approx(
        ACTIVATIONS["silu"].mean_square(), rel=1e-6
    )


# ---- sweeps and commands --------------------------------------------------------------------------------------------


def test_sweeps_have_them_as_a_dimension(tmp_path: Path) -> None:
    own = OWN["softsign"]()
    given = ["leaky_relu(0.2)", own, "shaped_relu(0, -1)"]
    sweep = resmc.Sweep(block="v-phi-w", activation=given, width=6, depth=3, networks=64, seed=5)
    result = sweep.run(tmp_path / "store", progress=False)
    assert result.complete
    again = resmc.load_sweep(tmp_path / "store")
    assert [model.activation for model in again.plan.models] == given
    assert again.plan == result.plan
    assert again.load(1).model.activation == own
    words = ["leaky_relu(0.2)", str(own), "shaped_relu(0, -1)"]
    assert result.to_xarray()["activation"].values.tolist() == words
    assert all(word in result.summary() for word in words)
    result.report(tmp_path / "page.html")
    assert str(own) in (tmp_path / "page.html").read_text()


def test_the_command_line_takes_parameters_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    own = OWN["arctan"]()
    for given, said in (("shaped_relu(0,-1)", "shaped_relu(0, -1)"), (json.dumps(own.to_dict()), str(own))):
        assert main(["simulate", "--width=6", "--depth=3", "--networks=64", "--activation", given, "--quiet"]) == 0
        assert said in capsys.readouterr().out


# ---- theory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["leaky_relu(0.2)", "leaky_relu(-3)", "shaped_relu(2, -1)"])
@pytest.mark.parametrize("block", ["v-phi-w", "phi-in"])
def test_exact_laws_hold_for_any_slopes(activation: str, block: str) -> None:
    """Mean and variance of the growth, 2^15 networks: false alarms 1e-4 for each of 6 cases."""
    model = resmc.ResidualNetwork(6, 4, block, activation, carry=0.0 if block == "phi-in" else 1.0)
    count = 1 << 15
    sim = resmc.simulate(model, networks=count, seed=11, progress=False)
    mean, variance = sim.log_norm_mean, sim.log_norm_variance
    known = facts(model).log_norm(np.array([4]))
    assert known is not None
    assert abs(mean.value[-1] - known.mean[0]) < 4.1 * math.sqrt(known.variance[0] / count)
    assert abs(variance.value[-1] - known.variance[0]) < 4.4 * variance.stderr[-1]
    wrong = facts(replace(model, activation="leaky_relu(0.5)")).log_norm(np.array([4]))  # negative control
    assert wrong is not None
    assert abs(mean.value[-1] - wrong.mean[0]) > 4.1 * math.sqrt(known.variance[0] / count)


def test_records_of_shaped_slopes_follow_the_width() -> None:
    for width in (4, 100, 10_000):
        record = record_of("shaped_relu(1, -1)", width)
        assert (record.above, record.below) == (1.0 + width**-0.5, 1.0 - width**-0.5)
