"""What a user may do wrong with residual networks, and that every answer is a sentence before any work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet
from resmc.models import spelling
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.fields import shown

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"block": "phi"}, "block='phi' is not allowed: it must be one of 'phi-in', 'phi-out', 'v-phi-w'"),
        ({"block": None}, "block=None is not allowed"),
        ({"activation": "swish"}, "activation='swish' is not allowed: it must be one of 'relu'"),
        ({"activation": "ReLU"}, "activation='ReLU' is not allowed"),
        ({"activation": "tanh(2)"}, "activation='tanh(2)' is not allowed: it must be one of 'relu'"),
        (
            {"weights": "cauchy"},
            "weights='cauchy' is not allowed: it must be one of 'gaussian', 'uniform', 'rademacher'",
        ),
        ({"width": 0}, "width=0 is out of range"),
        ({"depth": 2.5}, "depth=2.5 is not allowed"),
        ({"depth": 1 << 20}, "depth=1048576 is out of range"),
        ({"carry": NAN}, "carry=nan is not allowed"),
        ({"carry": 1e20, "block": "phi-out"}, "carry=1e+20 is out of range"),
        ({"bias": -1.0}, "bias=-1.0 is not allowed: it is a standard deviation"),
        ({"bias": 1e-20}, "bias=1e-20 is out of range"),
        ({"n_out": 0}, "n_out=0 is out of range"),
        ({"input_norm": 0.0}, "input_norm=0.0 is not allowed"),
        ({"input_norm": 1e100, "activation": "tanh"}, "an input of size 1e+100 is out of range with activation='tanh'"),
        ({"input": []}, "input of shape (0,) is not allowed"),
        ({"input": [[1.0]]}, "input of shape (1, 1) is not allowed"),
        ({"input": [0.0, 0.0]}, "input is not allowed to hold infinite numbers or NaN, or nothing but 0"),
        ({"input": [1.0, INF]}, "input is not allowed to hold infinite numbers"),
        ({"input": "abc"}, "input='abc' is not allowed"),
        ({"n_in": 3}, "n_in=3 is not allowed: there is no input"),
        ({"n_in": 3, "input": [1.0, 2.0]}, "n_in=3 is not allowed: input has 2 entries"),
        ({"scaling": 0.5}, "scaling=0.5 is not allowed: it must be a DepthScaling, or one number for each layer"),
        ({"scaling": "auto"}, "scaling='auto' is not allowed"),
        ({"scaling": {0.1}}, "it must be a DepthScaling, or one number for each layer"),
        ({"scaling": [[1.0], [1.0, 2.0], 3.0]}, "it must be a DepthScaling, or one number for each layer"),
        ({"scaling": [0.1, 0.2]}, "scaling has 2 entries: it must have one for each of depth=3 layers"),
        ({"scaling": [0.1, 0.2, INF]}, "scaling=inf is not allowed"),
        ({"scaling": [0.0, 0.0, 0.0], "carry": 0.0}, "are not allowed together"),
        ({"scaling": DepthScaling(0.5, inside=True)}, "scaling inside is not allowed with block='phi-in'"),
        ({"scaling": DepthScaling(800.0)}, "c depth^(-beta) is 0.0"),
        ({"scaling": DepthScaling(-800.0)}, "c depth^(-beta) is inf"),
        ({"scaling": DepthScaling(-800.0, -1.0)}, "c depth^(-beta) is -inf"),
        ({"scaling": DepthScaling(-40.0), "block": "v-phi-w"}, "scaling=1.2157665459056929e+19 is out of range"),
        ({"activation": "balanced-half", "width": 5}, "width=5 is not allowed with activation='balanced-half'"),
    ],
    ids=str,
)
def test_a_network_that_is_none_is_refused_in_a_sentence(bad, words):
    with pytest.raises(ValueError, match=r".") as caught:
        ResidualNetwork(**{"width": 4, "depth": 3, **bad})
    assert str(caught.value).startswith(words) or words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [{"beta": NAN}, {"beta": "1/2"}, {"c": 0.0}, {"c": INF}, {"inside": 1}])
def test_a_scaling_that_is_none_is_refused_in_a_sentence(bad):
    with pytest.raises(ValueError, match="is not allowed"):
        DepthScaling(**{"beta": 0.5, **bad})


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (ResidualNetwork(4, 3, weights="uniform"), {"method": "projected"}, "use method='dense'"),
        (
            ResidualNetwork(4, 3, weights="rademacher"),
            {"gradients": True, "method": "projected"},
            "W x having the law of |x| g",
        ),
        (ResidualNetwork(4, 3), {"gradients": 1}, "gradients=1 is not allowed"),
        (ResidualNetwork(4, 3), {"displacement": "yes"}, "displacement='yes' is not allowed"),
        (ResidualNetwork(4, 3), {"gradients": True, "displacement": False}, "gradients are followed beside it"),
        (ResNet(4, 3, 1e-200, 1e-200), {"gradients": True}, "layers must differ in size by less than 2^100"),
        (ResidualNetwork(4, 3, carry=1e31, scaling=DepthScaling(0.0)), {"gradients": True}, "carry=1e+31 and scaling="),
        (ResidualNetwork((1 << 17) + 1, 3), {"method": "dense"}, "is too large for method='dense'"),
        (ResidualNetwork(4, 3), {"width": 3}, "width is not allowed beside a model"),
        ("v-phi-w", {}, "it must be a resmc.ResNet or a resmc.ResidualNetwork"),
    ],
    ids=str,
)
def test_a_simulation_that_is_none_is_refused_in_a_sentence(model, settings, words):
    def never(_done: int, _networks: int) -> None:
        raise AssertionError("work has begun")

    with pytest.raises(ValueError, match=r".") as caught:
        resmc.simulate(model, networks=10**9, progress=never, **settings)
    assert words in str(caught.value)


def test_what_a_network_has_not_is_said_in_a_sentence():
    sim = resmc.simulate(ResidualNetwork(8, 3, "v-phi-w"), networks=64, progress=False)
    for ask in (
        sim.hypoactivation, lambda: sim.asymmetry_mean, lambda: sim.asymmetry_variance, lambda: sim.active_fraction,
        sim.interlayer_correlations, lambda: sim.asymmetry_correlation,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="A and the active fraction do not exist for block='v-phi-w'"):
            ask()
    with pytest.raises(ValueError, match="has no log-Gaussian theory of ResNets"):
        _ = sim.resnet
    assert sim.log_gaussian_fit().theory is None
    assert np.isnan(sim.variance_growth().theory).all()
    with pytest.raises(ValueError, match="'gradient' was not followed: simulate with gradients=True"):
        sim.log_ratio("gradient")
    with pytest.raises(ValueError, match="name='p' is not allowed: it must be one of 'growth'"):
        sim.log_ratio("p")
    plain = resmc.simulate(ResNet(8, 3, 0.6, 0.8), networks=64, progress=False)
    with pytest.raises(ValueError, match="'displacement' was not followed: simulate with displacement=True"):
        plain.log_ratio("displacement")
    with pytest.raises(ValueError, match="there is no law"):
        plain.log_ratio("growth").quantile(0.5)


def test_a_scaling_that_grows_with_the_depth_has_one_sign_in_words():
    growing = DepthScaling(-0.5)
    assert "scaling 1 depth^0.5 " in ResidualNetwork(4, 3, scaling=growing).title
    assert shown(growing) == "1 depth^0.5"
    assert shown(DepthScaling(0.0, 0.3)) == "0.3"
    assert "scaling 0.3  " in ResidualNetwork(4, 3, scaling=DepthScaling(0.0, 0.3)).title
    assert shown(DepthScaling(0.5)) == "1 depth^-0.5"


def test_a_scaling_may_be_an_array_and_an_input_too():
    model = ResidualNetwork(4, 3, "phi-out", scaling=np.array([0.1, 0.0, -0.3]), input=np.ones(5))
    assert (model.n_in, model.size) == (5, pytest.approx(1.0))
    np.testing.assert_array_equal(model.scales, [0.1, 0.0, -0.3])
    assert ResidualNetwork.from_dict(model.to_dict()) == model
    assert hash(ResidualNetwork.from_dict(model.to_dict())) == hash(model)


@pytest.mark.parametrize("scaling", [{"betta": 0.5}, {}, {"beta": 0.5, "d": 1.0}])
def test_a_described_scaling_with_other_keys_is_refused(scaling):
    described = ResidualNetwork(4, 3, "phi-out", scaling=DepthScaling(0.5)).to_dict()
    with pytest.raises(ValueError, match="it must have beta, and may have c and inside"):
        ResidualNetwork.from_dict({**described, "scaling": scaling})


@pytest.mark.parametrize("scaling", [DepthScaling(0.5), (0.1,) * 3])
def test_scale_factors_that_are_shared_cannot_be_written_to(scaling):
    with pytest.raises(ValueError, match="read-only"):
        ResidualNetwork(4, 3, "phi-out", scaling=scaling).scales[0] = 9.0


@pytest.mark.parametrize("lam", [math.sqrt(0.5), 0.6, 0.8, 1.0, 0.1, 1e-3, 0.4358898943540673, 0.0, -0.7, 1e200])
def test_a_resnet_and_its_general_spelling_are_one_network(lam):
    resnet = ResNet(6, 4, 0.9, lam, "balanced", 2, 1.5)
    general = spelling.general(resnet)
    assert general.as_resnet == resnet.as_resnet
    assert general.as_resnet.lam == pytest.approx(lam, rel=3e-16)
    assert resnet.as_resnet.as_resnet == resnet.as_resnet
    if lam:
        assert ResidualNetwork(
            6, 4, "phi-in", "balanced", 0.9, DepthScaling(0.0, math.sqrt(2.0) * lam), n_out=2, input_norm=1.5
        ) == general  # fmt: skip


def test_an_input_meets_the_first_layer_by_its_norm_or_entry_by_entry():
    x, size = (3.0, -4.0), 5.0 / math.sqrt(2.0)
    for model, met, explicit, deviation in (
        (ResNet(6, 4, 0.8, 0.6, input_norm=2.0), (2.0,), False, 2.0),
        (ResidualNetwork(6, 4, input_norm=2.0, weights="uniform"), (2.0,), False, 2.0),
        (ResidualNetwork(6, 4, input=x), (size,), False, size),
        (ResidualNetwork(6, 4, input=x, weights="uniform"), x, True, size),
    ):
        assert (model.inputs.x, model.inputs.explicit, model.inputs.size) == (met, explicit, deviation)


def test_only_log_gaussian_networks_are_resnets():
    base: dict[str, Any] = {"width": 6, "depth": 4}
    assert ResidualNetwork(**base, scaling=DepthScaling(0.5)).as_resnet.lam == pytest.approx(
        math.sqrt(0.125), rel=1e-15
    )
    assert ResidualNetwork(**base, input=(3.0, 4.0)).as_resnet.input_norm == pytest.approx(math.sqrt(12.5))
    others = [{"block": block} for block in list(BLOCKS)[1:]] + [{"activation": name} for name in list(ACTIVATIONS)[3:]]
    for other in [*others, {"bias": 0.1}, {"weights": "uniform"}, {"scaling": (0.1, 0.2, 0.1, 0.1)}]:
        assert ResidualNetwork(**{**base, **other}).as_resnet is None, other
