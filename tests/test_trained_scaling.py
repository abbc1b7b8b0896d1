"""Networks of several depths are trained, and the exponents are those of the weights that `fit` gives."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import resmc
from resmc.train import TrainedScaling

pytest.importorskip("torch")
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
DEPTHS = (8, 16, 32, 64)
MODEL = resmc.ResidualNetwork(4, 8, "phi-out", "tanh", scaling=resmc.DepthScaling(0.8), bias=0.1)
DATA = resmc.train.ode_task(200, dimension=4)
TRAINING = {"optimizer": "adam", "learning_rate": 0.03, "rate_exponent": -0.2, "epochs": 8, "batch": 35}


@cache
def trained(networks: int = 4, weights: str | None = None) -> TrainedScaling:
    return resmc.train.scaling(MODEL, *DATA, DEPTHS, networks=networks, weights=weights, ends="identity", **TRAINING)


def test_the_exponents_are_those_of_the_weights_of_a_fit():
    found = trained()
    models = [replace(MODEL, depth=depth) for depth in DEPTHS]
    fit = resmc.train.fit(models, *DATA, networks=4, ends="identity", **TRAINING)
    arrays = {depth: fit.weights("W", b) for b, depth in enumerate(DEPTHS)}
    before = {depth: fit.initial_weights("W", b) for b, depth in enumerate(DEPTHS)}
    learnt = {depth: arrays[depth].astype(float) - before[depth] for depth in DEPTHS}
    for one, weights in ((found.before, before), (found.after, arrays), (found.learnt, learnt)):
        assert str(one) == str(resmc.scaling_exponents(weights, axis=0, members=1, beta=0.8))
    assert found.loss.shape == (4,)
    assert found.kept == 4


def test_weights_start_as_independent_noise_of_one_size_and_training_adds_a_trend():
    """Steps of size L^-0.8 that do the same at every depth have a trend of size L^-0.2."""
    found = trained(32)
    for exponent, exact in (("size_exponent", 0.0), ("noise_exponent", 0.0), ("noise_hurst", 0.5)):
        one = getattr(found.before, exponent)
        assert abs(float(one) - exact) <= 4.0 * float(one.stderr)
        assert float(one.stderr) <= 0.03
    assert abs(float(found.learnt.trend_exponent) + 0.2) <= 0.1
    losses = found.fit.training_loss[:, 0].mean(axis=1)
    assert (losses[:, -1] < 0.6 * losses[:, 0]).all()


def test_the_summary_says_exponents_regimes_and_losses():
    text = str(trained().summary())
    for words in ("before", "what was learnt", "max |A_k|", "regime", "L = 8, 16, 32, 64", "test loss by depth"):
        assert words in text
    assert "left out" not in text
    pytest.importorskip("pandas")
    assert trained().to_dataframe()["size"][0] == "max |A_k|"


@pytest.mark.parametrize(("scales", "activation"), [("shared", "tanh"), ("layers", "relu")])
def test_exponents_of_networks_whose_factors_are_trained_are_those_of_the_products(scales, activation):
    model = replace(MODEL, activation=activation, scaling=resmc.DepthScaling(1.0))
    options = TRAINING | {"rate_exponent": 0.0, "scales": scales, "start": 0.001}
    found = resmc.train.scaling(model, *DATA, (8, 16, 32), networks=2, ends="identity", **options)

    def products(s: str, W: str) -> dict[int, np.ndarray]:
        of = {name: getattr(found.fit, name) for name in (s, W)}
        return {
            depth: of[s]("s", b).astype(float)[..., None, None] * of[W]("W", b) for b, depth in enumerate((8, 16, 32))
        }

    before, after = products("initial_weights", "initial_weights"), products("weights", "weights")
    learnt = {depth: after[depth] - before[depth] for depth in after}
    for one, weights in ((found.before, before), (found.after, after), (found.learnt, learnt)):
        assert str(one) == str(resmc.scaling_exponents(weights, axis=0, members=1))
    factor = found.factors.size_exponent
    if scales == "shared":  # its size is a factor of every product's
        assert float(found.unscaled.size_exponent + factor) == pytest.approx(float(found.after.size_exponent), abs=0.05)
    text = str(found)
    for words in ("s_k W_k = A_k", "after, W_k", "after, s_k", "weights times 0.001 at the start"):
        assert words in text
    assert trained().unscaled is None


def test_the_summary_says_which_learning_rate_each_depth_has():
    given = {**TRAINING, "learning_rate": (1e-9, 0.03), "epochs": 1}
    found = resmc.train.scaling(MODEL, *DATA, DEPTHS[:3], ends="identity", **given)
    assert "learning rates by depth: 0.03, 0.03, 0.03, each the best" in found.summary()
    assert "learning rates by depth" not in trained().summary()


def test_a_bias_can_be_measured():
    found = trained(weights="b")
    assert found.name == "b"
    assert found.before.entries == 4


def test_networks_that_fail_at_some_depth_are_left_out_at_every_depth():
    model = resmc.ResidualNetwork(4, 8, "phi-in", "relu", scaling=resmc.DepthScaling(0.5, 2.0))
    options = {"networks": 8, "learning_rate": 3.0, "epochs": 2, "batch": 35, "ends": "identity"}
    found = resmc.train.scaling(model, *DATA, (8, 16, 64), **options)
    finite = found.fit.finite[:, 0]
    assert found.kept == finite.all(axis=0).sum() == found.after.networks
    assert 0 < found.kept < 8
    assert f"left out: {8 - found.kept} of 8 networks" in str(found)
    kept = found.fit.weights("V", 2)[:, finite.all(axis=0)]
    assert float(found.after.log_sizes.value[1, 2]) == pytest.approx(
        0.5 * np.log((kept.astype(float) ** 2).sum() / len(kept[0]))
    )
    with pytest.raises(ValueError, match="every network failed at some depth"):
        resmc.train.scaling(model, *DATA, (8, 16, 64), **options | {"learning_rate": 1e9})


BAD = {
    "no model": (3, {}, "model=3 is not allowed: it must be a ResidualNetwork"),
    "layer by layer": (resmc.ResidualNetwork(4, 8, "phi-out", scaling=[0.1] * 8), {}, "scaling layer by layer"),
    "two matrices": (resmc.ResidualNetwork(4, 8, "v-phi-w"), {}, "block='v-phi-w' is not allowed"),
    "two depths": (MODEL, {"depths": (8, 16)}, "a slope takes 3 depths"),
    "a depth of 4": (MODEL, {"depths": (4, 8, 16)}, "depths=4 is out of range"),
    "a matrix that is not there": (MODEL, {"weights": "V"}, "weights='V' is not allowed"),
    "a bias that is not there": (resmc.ResidualNetwork(4, 8, "phi-in"), {"weights": "b"}, "weights='b'"),
    "a setting of fit": (MODEL, {"epochs": 0}, "epochs=0 is out of range"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_a_sentence(name):
    model, options, words = BAD[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        resmc.train.scaling(model, *DATA, **options)


def test_weights_of_a_covariance_matrix_have_one_depth():
    weights = resmc.Weights(depth=np.eye(8))
    with pytest.raises(ValueError, match="covariance matrix"):
        resmc.train.scaling(resmc.ResidualNetwork(4, 8, "phi-in", weights=weights), *DATA)
