"""Kinds of limits in depth, by the dependence of the weights: which equation, or why none, and who says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights, theory
from resmc.theory.depth_kinds import response_slopes

ONE, INSIDE = DepthScaling(1.0), DepthScaling(1.0, 1.0, inside=True)


def network(depth: Any, **other: Any) -> ResidualNetwork:
    return ResidualNetwork(6, 10, weights=Weights(depth=depth), **other)


def noise(hurst: float, beta: float, inside: bool = False, **other: Any) -> ResidualNetwork:
    return network(FractionalNoise(hurst), scaling=DepthScaling(beta, 1.0, inside), **other)


def mixture(
    betas: tuple[float, float], hurst: float = 0.5, cs: tuple[float, float] = (1.0, 1.0), **other: Any
) -> ResidualNetwork:
    inside = other.get("block") == "phi-out"
    one = Mixture(SmoothProcess(), FractionalNoise(hurst), betas=betas, cs=cs)
    return network(one, scaling=DepthScaling(0.0, 1.0, inside), **other)


TANH_INSIDE = {"block": "phi-out", "activation": "tanh"}
KINDS = [
    (network("iid"), "sde", np.nan),
    (noise(0.5, 0.5), "sde", np.nan),
    (noise(0.5, 0.5, block="v-phi-w"), "sde", np.nan),
    (network("tied", scaling=ONE), "ode", 1.0),
    (network(SmoothProcess(), block="v-phi-w", scaling=ONE), "ode", 1.0),
    (network(SmoothProcess(0.2, "increments"), block="phi-out", activation="gelu", scaling=INSIDE), "ode", 1.0),
    (network("tied", block="phi-out", scaling=INSIDE), "ode", 1.0),
    (mixture((1.0, 0.5)), "sde with drift", 0.5),
    (mixture((1.25, 0.5), **TANH_INSIDE), "sde with drift", 0.25),
    (mixture((1.0, 0.5), cs=(0.0, 1.0)), "sde with drift", 0.5),
    (mixture((1.0, 0.8)), "ode", 0.3),
    (mixture((1.0, 0.7), hurst=0.2), "ode", 0.4),
    (mixture((1.0, 3.0), hurst=0.9), "ode", 1.0),
    (mixture((1.0, 0.0), cs=(1.0, 0.0), block="phi-out"), "ode", 1.0),
    (noise(0.3, 0.3), "neither", np.nan),
    (noise(0.2, 0.2, inside=True, **TANH_INSIDE), "neither", np.nan),
    (mixture((1.0, 0.3), hurst=0.3), "neither", np.nan),
]


@pytest.mark.parametrize(("model", "name", "order"), KINDS, ids=[f"{m.title}: {name}" for m, name, _ in KINDS])
def test_the_dependence_in_depth_decides_the_kind_of_limit(model: ResidualNetwork, name: str, order: float) -> None:
    kind = theory.depth_kind(model)
    assert kind.name == name
    np.testing.assert_allclose(kind.order, order)


REFUSED = {
    "beta=0.5 .* steps add up to L": network(SmoothProcess(), scaling=DepthScaling(0.5)),
    "beta=1.5 .* the input itself": network("tied", scaling=DepthScaling(1.5)),
    "carry=0.5": network("tied", scaling=ONE, carry=0.5),
    "scaling layer by layer": network("tied", scaling=(0.1,) * 10),
    "covariance matrix have no limit": network(np.eye(10), scaling=ONE),
    "'balanced' .* signs are drawn": network("tied", activation="balanced", scaling=ONE),
    r"'sigmoid' .* sigma\(0\) = 0.5": network("tied", block="phi-out", activation="sigmoid", scaling=INSIDE),
    "neither an ordinary nor an Ito equation: .* resmc.quadratic_variation": noise(0.3, 0.3),
    "beta=0.2 .* H 0.3: noise adds up": noise(0.3, 0.2),
    "beta=0.4 .* to first order noise vanishes": noise(0.3, 0.4),
    "beta=0.5 .* to first order noise vanishes like L": noise(0.3, 0.5),
    "beta=0.6 has the input itself": noise(0.3, 0.6),
    "beta=0.7 tends to an equation driven by fractional Brownian motion of H 0.7": noise(0.7, 0.7),
    r"'gelu', and squares of the noise": noise(0.3, 0.3, inside=True, block="phi-out", activation="gelu"),
    r"beta=0.4 .* steps add up to L\^\(0.5 - beta\)": noise(0.3, 0.4, block="v-phi-w"),
    "beta=0.5 .* no equation is derived": noise(0.3, 0.5, block="v-phi-w"),
    "beta=0.9 .* no equation is derived": noise(0.9, 0.9, block="v-phi-w"),
    r"beta=0.9 .* steps add up to L\^\(1 - beta\)": noise(0.9, 0.9, block="phi-out"),
    "beta=0.6 has the input itself as its limit": noise(0.7, 0.6, block="v-phi-w", activation="tanh"),
    r"betas\[0\]=0.5 .* the trend adds up": mixture((0.5, 0.5)),
    r"betas\[1\]=0.4 .* L\^\(1/2 - b_2\)": mixture((1.0, 0.4)),
    r"betas\[1\]=0.7 .* fractional Brownian motion": mixture((1.0, 0.7), hurst=0.7),
    r"betas\[1\]=0.5 .* to first order noise vanishes": mixture((1.0, 0.5), hurst=0.3),
    r"betas=\(2.0, 1.0\) have the input itself": mixture((2.0, 1.0)),
    "'relu' has no limit in depth with noise inside": mixture((1.0, 0.5), block="phi-out"),
    "'relu' .* outside: E sigma": noise(0.5, 0.5, block="phi-out"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_limit_is_refused_with_the_reason(message: str) -> None:
    for refusing in (resmc.limit, theory.depth_ode, theory.trend_noise_limit):
        with pytest.raises(ValueError, match=message) as caught:
            refusing(REFUSED[message])
        assert str(caught.value).count("\n") == 0


def test_each_kind_of_equation_refuses_models_of_the_others() -> None:
    ode, sde, both = network("tied", scaling=ONE), network("iid"), mixture((1.0, 0.5))
    for refusing, models, message in (
        (theory.depth_ode, (sde, both), "no ordinary equation"),
        (theory.trend_noise_limit, (sde, ode), "no Ito equation with a drift"),
        (theory.depth_limit, (ode, both), "layers must be independent"),
    ):
        for model in models:
            with pytest.raises(ValueError, match=message):
                refusing(model)
    with pytest.raises(ValueError, match="model=3 is not allowed"):
        theory.depth_kind(3)  # type: ignore[arg-type]


def test_slopes_of_small_branches_are_known_for_every_dependence() -> None:
    assert response_slopes(network("tied", scaling=ONE)) == (0.0, -1.0)
    assert response_slopes(network("iid", scaling=DepthScaling(0.25))) == (0.25, 0.5)
    np.testing.assert_allclose(response_slopes(noise(0.3, 0.4)), (-0.1, 0.2))
    np.testing.assert_allclose(response_slopes(noise(0.3, 0.4, block="v-phi-w")), (0.1, 0.2))
    np.testing.assert_allclose(response_slopes(mixture((1.0, 0.5))), (0.0, 0.0))
    assert response_slopes(mixture((1.0, 0.5), cs=(1.0, 0.0))) == (0.0, -1.0)
