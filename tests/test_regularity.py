"""Roughness of trained weights: exponents are those of the networks that `fit` trains, before and after, in pairs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, SmoothProcess
from resmc.engine.weights import WeightSource
from resmc.models.processes import Mixture
from resmc.train import Regularity

pytest.importorskip("torch")
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
MODEL = ResidualNetwork(6, 48, "phi-in")
DATA = resmc.train.gaussian_regression(60, features=3, outputs=2)
TRAINING = {"epochs": 4, "batch": 16, "optimizer": "adam", "learning_rate": 0.01, "progress": False, "networks": 32}


@cache
def trained() -> Regularity:
    """Three laws, with ReLU."""
    return resmc.train.regularity(MODEL, *DATA, activations="relu", **TRAINING)


def one(law: Any, **options: Any) -> Regularity:
    return resmc.train.regularity(MODEL, *DATA, laws=law, activations="relu", **TRAINING | options)


def test_exponents_before_training_are_those_of_the_weights_that_networks_draw():
    for row in trained().rows:
        drawn = WeightSource(row.model, 0).draw(range(32), 0, 48).outer
        for change in (row.sums, row.weights):
            exact = resmc.roughness_exponent(drawn, path=change.path, axis=1, members=0)
            assert float(change.before) == pytest.approx(float(exact.exponent), abs=1e-5)
            assert float(change.before.stderr) == pytest.approx(float(exact.exponent.stderr), rel=1e-3)


def test_exponents_after_training_are_those_of_the_weights_that_fit_returns():
    models = [row.model for row in trained().rows]
    fitted = resmc.train.fit(models, *DATA, **TRAINING)
    for i, row in enumerate(trained().rows):
        after = fitted.weights("V", i)
        found = resmc.roughness_exponent(after, members=1)
        assert float(row.sums.after) == pytest.approx(float(found.exponent), abs=1e-12)
        assert float(row.loss) == float(fitted.loss.value[i])
        moved = np.linalg.norm((after - fitted.initial_weights("V", i)).reshape(48, 32, -1), axis=(0, 2))
        before = np.linalg.norm(fitted.initial_weights("V", i).reshape(48, 32, -1), axis=(0, 2))
        assert float(row.sums.moved) == pytest.approx(float((moved / before).mean()), rel=1e-5)
        assert row.example == pytest.approx(np.stack([fitted.initial_weights("V", i)[:, 0, 0, 0], after[:, 0, 0, 0]]))


def test_exact_exponents_stand_beside_those_before_training():
    for row in trained().rows:
        for change, expected in ((row.sums, row.expected_sums), (row.weights, row.expected_weights)):
            assert abs(float(change.before) - expected) < 4.5 * float(change.before.stderr)
    assert [row.expected_sums for row in trained().rows[:2]] == pytest.approx([0.5, 0.7])


def test_gradient_descent_keeps_smooth_weights_smooth_and_noise_rough():
    """What it adds is a function of k/L; noise that is put upon the same weights is seen."""
    smooth = trained().row("relu", SmoothProcess())
    assert float(smooth.weights.moved) > 0.05
    assert [change.verdict() for change in (smooth.sums, smooth.weights)] == ["kept", "kept"]
    assert float(smooth.sums.learnt) > 0.95
    assert trained().row("relu", "iid").weights.verdict() == "kept"


def test_what_is_learnt_is_rougher_from_rougher_weights():
    """Exponents tend to 1/2, 0.7 and 1 as the depth grows: they are those of the states over the layers."""
    noise, fractional, smooth = (row.weights.learnt for row in trained().rows)
    for low, high in ((noise, fractional), (fractional, smooth)):
        assert high.value - low.value > 5.0 * float(np.hypot(low.stderr, high.stderr))
    assert 0.3 < float(noise) < 0.5


def test_roughness_that_training_would_bring_is_found(monkeypatch):
    from resmc.experiments.train import regularity as module

    def rough(*given: Any, **options: Any) -> resmc.train.Fit:
        fitted = resmc.train.fit(*given, **options)
        noise = np.random.default_rng(0).standard_normal(fitted._weights[0]["V"].shape)
        return replace(fitted, _weights=({**fitted._weights[0], "V": fitted._weights[0]["V"] + 0.03 * noise},))

    monkeypatch.setattr(module, "fit", rough)
    row = one(SmoothProcess()).rows[0]
    assert row.weights.verdict() == "rougher"
    assert row.sums.verdict() == "kept"


def test_both_matrices_of_a_block_are_counted():
    found = resmc.train.regularity(replace(MODEL, block="v-phi-w"), *DATA, laws="iid", activations="gelu", **TRAINING)
    assert found.rows[0].sums.paths == 2 * 36
    assert found.rows[0].model.activation == "gelu"


@pytest.mark.parametrize(
    ("block", "law", "beta"),
    [
        ("phi-in", "iid", 0.5), ("phi-in", FractionalNoise(0.3), 0.3), ("v-phi-w", FractionalNoise(0.3), 0.5),
        ("v-phi-w", FractionalNoise(0.8), 0.8), ("phi-in", SmoothProcess(), 1.0), ("phi-in", "tied", 1.0),
    ],
)  # fmt: skip
def test_the_exponent_of_the_scaling_is_the_critical_one(block, law, beta):
    model = replace(MODEL, block=block, depth=4, width=2, scaling=DepthScaling(3.0, 0.5))
    given = TRAINING | {"networks": 2, "epochs": 1}
    row = resmc.train.regularity(model, *DATA, laws=law, activations="relu", **given).rows[0]
    assert row.model.scaling == DepthScaling(beta, 0.5)
    chosen = resmc.train.regularity(model, *DATA, laws=law, activations="relu", beta=0.9, **given).rows[0]
    assert chosen.model.scaling == DepthScaling(0.9, 0.5)


def test_networks_that_explode_are_left_out_and_counted():
    found = one("iid", learning_rate=2.0, beta=0.0, networks=40)
    row = found.rows[0]
    assert 0 < row.left_out < 40
    assert int(row.sums.after.n) == 40 - row.left_out
    assert np.isfinite(row.sums.after.value)
    assert f"{row.left_out} of 40 left out" in str(found)


def test_a_fit_without_a_network_that_is_left_is_refused():
    with pytest.raises(ValueError, match=r"learning_rate=\[1000000.0\] is not allowed: every network failed"):
        one("iid", learning_rate=1e6)


def test_the_table_has_two_rows_for_each_law_and_says_how_far_weights_have_moved():
    text = str(trained())
    assert sum(line.startswith("relu  ") for line in text.splitlines()) == 6
    assert "relu, fractional noise (H = 0.7): beta 0.7, learning rate 0.01, weights moved by 0.1" in text
    assert text.count("weights moved by 0.") == 3
    assert max(map(len, text.splitlines())) <= 150


def test_estimates_of_one_seed_have_networks_in_common():
    a, b = trained().rows[:2]
    assert np.isnan((a.sums.after - b.sums.after).stderr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"laws": ()}, r"laws=\(\) is not allowed: it must be a list of one or more that differ"),
        ({"laws": 3}, "laws=3 is not allowed"),
        ({"laws": ("iid", "iid")}, "is not allowed: it must be a list of one or more that differ"),
        ({"laws": (0.7,)}, "laws with 0.7 are not allowed: a law is 'iid', 'tied'"),
        ({"laws": Mixture(SmoothProcess(), FractionalNoise(0.5))}, "laws with Mixture"),
        ({"laws": "smooth"}, "depth='smooth' is not allowed"),
        ({"activations": ("relu", "sinus")}, "activation='sinus' is not allowed"),
        ({"beta": "half"}, "beta='half' is not allowed"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"lags": (1, 48)}, "lags=48 is out of range: it must be an integer from 1 to 47"),
        ({"model": replace(MODEL, depth=2)}, "model of depth=2 is not allowed: roughness .* depth of 3 or more"),
        ({"model": replace(MODEL, depth=1)}, "model of depth=1 is not allowed"),
        ({"lags": (5,)}, r"lags=\(5,\) is not allowed"),
        ({"model": 3}, "model=3 is not allowed: it must be a ResidualNetwork"),
        ({"model": replace(MODEL, depth=2, scaling=(0.5, 0.5))}, "scaling layer by layer is not allowed"),
    ],
)
def test_what_is_not_allowed_is_said_in_a_sentence(options, message):
    given = {"model": MODEL, "laws": "iid", "activations": "relu", **TRAINING, "networks": 2, "epochs": 1} | options
    with pytest.raises(ValueError, match=message):
        resmc.train.regularity(given.pop("model"), *DATA, **given)


def test_a_row_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="activation='gelu' with law='iid' was not trained: there are relu, iid; relu"):
        trained().row("gelu", "iid")
