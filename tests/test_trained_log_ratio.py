"""Log-quotients of trained networks: each network's are those of autograd, and before training those of `simulate`.

What is estimated may differ by 4.5 standard errors of 31 degrees of freedom: 8 numbers, a false-alarm level of 8e-4.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork
from resmc.train import TrainedLogRatios

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
WIDTH, DEPTHS = 16, (8, 32)
X, Y = resmc.train.gaussian_regression(280, features=3, outputs=2)
LABELS = (Y[:, 0] > 0.0).astype(int)
TRAINING = {"epochs": 2, "batch": 32, "optimizer": "adam", "learning_rate": 0.02, "progress": False, "networks": 32}


def model(depth: int, **other: Any) -> ResidualNetwork:
    return ResidualNetwork(WIDTH, depth, **{"block": "v-phi-w"} | other)


@cache
def fitted(labels: bool = True, **other: Any) -> resmc.train.Fit:
    """Two depths, learning classes, or numbers."""
    return resmc.train.fit([model(depth) for depth in DEPTHS], X, LABELS if labels else Y, **TRAINING | other)


def agrees(found: resmc.Estimate, other: resmc.Estimate | float) -> bool:
    value, stderr = float(found.value), float(found.stderr)
    if isinstance(other, resmc.Estimate):
        other, stderr = float(other.value), float(np.hypot(stderr, other.stderr))
    return abs(value - other) <= 4.5 * stderr


@pytest.mark.parametrize("name", ["gradient", "growth"])
def test_before_training_means_and_variances_are_those_of_simulate(name):
    found = resmc.train.log_ratio(fitted(), name, examples=40)
    for row in found.rows:
        sim = resmc.simulate(row.model, networks=4000, gradients=True, seed=1, layers=[0, row.model.depth // 2])
        exact = sim.log_ratio(name)
        assert agrees(row.mean_before[row.end], exact.final_mean)
        assert agrees(row.variance_before[row.end], exact.final_variance)
        middle = list(exact.layers).index(row.model.depth // 2)
        assert agrees(row.mean_before[row.model.depth // 2], exact.mean[middle])


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_gradients_of_the_loss_are_those_of_autograd(labels, initial):
    fit = fitted(labels)
    found = resmc.train.log_ratio(fit, start="loss", examples=5).rows[1]
    module = (fit.initial(1) if initial else fit.module(1)).double()
    test = fit.data.part("test")
    chosen = slice(test.start, test.start + 5)
    x, y = torch.from_numpy(fit.data.x[chosen]).double(), torch.from_numpy(fit.data.y[chosen])
    out, hs = module(x, return_layers=True)
    wanted = y.expand(32, *y.shape)
    if labels:
        loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), wanted.flatten(), reduction="sum")
    else:
        loss = torch.sum((out - wanted) ** 2)
    p = torch.stack(torch.autograd.grad(loss, hs)).square().sum(-1)
    expected = torch.log(p / p[-1])  # (layers, networks, examples)
    mean, variance = (found.mean_before, found.variance_before) if initial else (found.mean_after, found.variance_after)
    assert mean.value == pytest.approx(expected.mean((1, 2)).numpy(), abs=1e-4)
    assert variance.value == pytest.approx(expected.var(1).mean(1).numpy(), abs=1e-4)
    final = found.final_before if initial else found.final_after
    assert final == pytest.approx(expected[0].mean(1).numpy(), abs=1e-4)


def test_states_are_those_of_the_modules():
    fit = fitted()
    found = resmc.train.log_ratio(fit, "growth", examples=7).rows[0]
    test = fit.data.part("test")
    x = torch.from_numpy(fit.data.x[test.start : test.start + 7]).double()
    with torch.no_grad():
        hs = torch.stack(fit.module(0).double()(x, return_layers=True)[1]).square().sum(-1)
    assert found.mean_after.value == pytest.approx(torch.log(hs / hs[0]).mean((1, 2)).numpy(), abs=1e-4)
    assert (found.end, found.layers.tolist()) == (8, list(range(9)))


def test_changes_are_of_pairs():
    found = resmc.train.log_ratio(fitted(), examples=20).rows[1]
    apart = found.final_after - found.final_before
    assert float(found.mean_change[0]) == pytest.approx(apart.mean(), abs=1e-12)
    assert float(found.mean_change[0].stderr) == pytest.approx(apart.std(ddof=1) / np.sqrt(32), rel=1e-9)
    assert float(found.mean_change[0]) > 4.5 * float(found.mean_change[0].stderr)  # Training lets gradients grow.


def test_nothing_changes_where_nothing_is_learnt():
    found = resmc.train.log_ratio(fitted(learning_rate=1e-12, epochs=1), examples=20)
    for row in found.rows:
        assert np.abs(row.mean_change.value).max() < 1e-6


def test_slopes_in_the_depth_are_those_of_each_network_by_itself():
    found = resmc.train.log_ratio(fitted(), examples=20)
    before, after = (
        (getattr(found.rows[1], name) - getattr(found.rows[0], name)) / np.log(DEPTHS[1] / DEPTHS[0])
        for name in ("final_before", "final_after")
    )
    assert float(found.slope_before) == pytest.approx(before.mean())
    assert float(found.slope_after.stderr) == pytest.approx(after.std(ddof=1) / np.sqrt(32))
    assert agrees(found.slope_before, 0.0)
    assert "slope of final values in ln L" in str(found)


def test_models_that_differ_in_more_than_depth_have_no_slope():
    given = TRAINING | {"epochs": 1, "networks": 2}
    several = [model(4), model(8, activation="gelu")]
    found = resmc.train.log_ratio(resmc.train.fit(several, X, Y, **given), examples=2)
    assert (found.slope_before, found.slope_after) == (None, None)
    assert "slope" not in str(found)


def test_limits_stand_beside_what_theory_knows():
    found = resmc.train.log_ratio(fitted(), examples=4)
    for row in found.rows:
        assert (row.limit.mean, row.limit.variance) == pytest.approx((0.5 - 1.0 / WIDTH, 2.0 / WIDTH))
        assert row.limit_by_layer[[0, -1]] == pytest.approx([0.5 - 1.0 / WIDTH, 0.0])
    growth = resmc.train.log_ratio(fitted(), "growth", examples=4).rows[0]
    assert growth.limit_by_layer[[0, -1]] == pytest.approx([0.0, 0.5 - 1.0 / WIDTH])
    loss = resmc.train.log_ratio(fitted(), start="loss", examples=4).rows[0]
    assert loss.limit is None
    other = resmc.train.fit(model(4), X, LABELS, **TRAINING | {"networks": 2, "epochs": 1, "scales": "layers"})
    assert resmc.train.log_ratio(other, examples=2).rows[0].limit is None  # not the model's networks at the start
    assert np.isnan(loss.limit_by_layer).all()


def test_errors_take_32_networks_and_those_of_variances_width_besides():
    few = resmc.train.log_ratio(fitted(networks=31, epochs=1), examples=4).rows[0]
    assert np.isnan(few.mean_after.stderr).all()
    narrow = resmc.train.fit(ResidualNetwork(4, 8, "v-phi-w"), X, Y, **TRAINING | {"epochs": 1})
    row = resmc.train.log_ratio(narrow, examples=4).rows[0]
    assert np.isfinite(row.mean_after.stderr).all()
    assert np.isnan(row.variance_after.stderr).all()
    assert np.isfinite(resmc.train.log_ratio(fitted(), examples=4).rows[0].variance_after.stderr).all()


def test_networks_that_failed_are_left_out_and_counted():
    fit = fitted()
    finite = fit.finite.copy()
    finite[0, 0, :3] = False
    found, whole = (resmc.train.log_ratio(one, examples=4) for one in (replace(fit, finite=finite), fit))
    assert [row.left_out for row in found.rows] == [3, 0]
    assert np.isnan(found.rows[0].final_after[:3]).all()
    assert found.rows[0].final_after[3:] == pytest.approx(whole.rows[0].final_after[3:], abs=1e-12)
    assert int(found.rows[0].mean_after.n[0]) == int(found.slope_after.n) == 29
    assert "row 0: 3 of 32 left out" in str(found)
    infinite = {name: one.copy() for name, one in fit._weights[0].items()}
    infinite["V"][:, 0, :3] = np.inf
    exploded = resmc.train.log_ratio(replace(fit, finite=finite, _weights=(infinite, fit._weights[1])), examples=4)
    np.testing.assert_array_equal(exploded.rows[0].final_after, found.rows[0].final_after)
    with pytest.raises(ValueError, match="leave the range of float32, before training or after it: use a smaller"):
        resmc.train.log_ratio(replace(fit, finite=np.zeros_like(finite)))


def test_identity_ends_have_a_loss_too():
    x, y = resmc.train.ode_task(60, dimension=4)
    fit = resmc.train.fit(ResidualNetwork(4, 6, "phi-out", "tanh"), x, y, ends="identity", **TRAINING | {"epochs": 1})
    row = resmc.train.log_ratio(fit, start="loss").rows[0]
    assert np.isfinite(row.mean_after.value).all()
    assert row.mean_after.value[-1] == 0.0


def test_layers_that_are_estimated_apart_have_the_same_numbers(monkeypatch):
    from resmc.experiments.train import log_ratio as module

    whole = resmc.train.log_ratio(fitted(), examples=4).rows[1]
    monkeypatch.setattr(module, "MOST_NUMBERS", 1000)
    parts = resmc.train.log_ratio(fitted(), examples=4).rows[1]
    for name in ("mean_before", "mean_after", "mean_change", "variance_before", "variance_after"):
        one, other = getattr(whole, name), getattr(parts, name)
        for field in ("value", "stderr", "df"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-9, abs=1e-12)


def test_the_same_fit_makes_the_same_numbers():
    a, b = (resmc.train.log_ratio(fitted(), examples=4).rows[0] for _ in range(2))
    assert a.mean_after == b.mean_after


def test_the_table_has_a_row_for_each_model():
    found: TrainedLogRatios = resmc.train.log_ratio(fitted(), examples=4)
    lines = str(found).splitlines()
    assert lines[0] == "ln |p_l|^2/|p_L|^2 before and after training: gradients from a fresh readout, at layer 0"
    assert [line.split()[0] for line in lines if line[:4].strip().isdigit()] == ["8", "32"]
    assert "32 networks each, 4 examples of the test" in str(found)
    assert f"row 1: {fitted().models[1].title}, learning rate {fitted().learning_rate[1]:g}" in str(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: resmc.train.log_ratio(3), "fit=3 is not allowed: it must be a Fit, as resmc.train.fit returns it"),
        (lambda: resmc.train.log_ratio(fitted(), "displacement"), "name='displacement' is not allowed"),
        (lambda: resmc.train.log_ratio(fitted(), start="end"), "start='end' is not allowed"),
        (
            lambda: resmc.train.log_ratio(fitted(), "growth", start="loss"),
            "start='loss' is not allowed with name='gr",
        ),
        (lambda: resmc.train.log_ratio(fitted(), examples=0), "examples=0 is out of range"),
    ],
)
def test_what_is_not_allowed_is_said_in_a_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        given()
