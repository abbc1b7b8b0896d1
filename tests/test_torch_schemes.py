"""Residual networks as modules with a scheme: their steps, several networks at once, and how they are filled."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, ResNet, SmoothProcess, Weights

torch = pytest.importorskip("torch")
from resmc.torch_module import ExplicitResidualNetwork, fill_from_arrays, fill_from_generator  # noqa: E402

BLOCKS = ["phi-in", "phi-out", "v-phi-w"]
SMOOTH = Weights(depth=SmoothProcess())
DEPENDENCES = {
    "iid": "gaussian",
    "uniform": "uniform",
    "rademacher": "rademacher",
    "tied": Weights("uniform", "tied"),
    "smooth": SMOOTH,
    "increments": Weights(depth=SmoothProcess(0.3, "increments")),
    "fractional": Weights(depth=FractionalNoise(0.3)),
}


def model_of(name: str = "smooth", depth: int = 6, block: str = "v-phi-w", **given: object) -> ResidualNetwork:
    settings = {"scaling": DepthScaling(1.0, 0.8), "bias": 0.3, "activation": "tanh"} | given
    return ResidualNetwork(5, depth, block, weights=DEPENDENCES[name], **settings)


def branch(module: ExplicitResidualNetwork, k: int, h: np.ndarray) -> np.ndarray:
    """f_k by the formula of the class, from the module's own weights."""
    m = module.model
    V, W, b = (None if one is None else one[k].detach().numpy() for one in (module.V, module.W, module.b))
    s, sigma = m.scales[0], m.sigma.value
    if m.block == "phi-in":
        return s * (V @ sigma(h) + b)
    if m.block == "phi-out":
        return sigma(s * (W @ h + b)) if m.inside else s * sigma(W @ h + b)
    return s * V @ sigma(W @ h + b)


@pytest.mark.parametrize("block", [*BLOCKS, "inside"])
def test_a_module_takes_the_steps_that_its_formula_says(block):
    inside = block == "inside"
    model = model_of(block="phi-out" if inside else block, scaling=DepthScaling(1.0, 0.8, inside))
    for scheme in ("euler", "heun"):
        module = model.to_torch(3, 2, scheme=scheme)
        _, states = module(return_layers=True)
        h = states[0][0].detach().numpy()
        for k in range(model.depth):
            first = branch(module, k, h)
            h = h + (first if scheme == "euler" else 0.5 * (first + branch(module, k + 1, h + first)))
            np.testing.assert_allclose(states[k + 1][0].detach().numpy(), h, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", DEPENDENCES)
def test_euler_is_the_network_without_a_scheme_and_has_one_more_set(name):
    model = model_of(name)
    plain, euler = model.to_torch(5, 1), model.to_torch(5, 1, scheme="euler")
    for own in ("V", "W", "b"):
        np.testing.assert_array_equal(getattr(euler, own)[:-1].detach(), getattr(plain, own).detach())
        last = getattr(euler, own)[-1]
        same = torch.equal(last, getattr(euler, own)[-2])
        assert same == (name == "tied"), own
    torch.testing.assert_close(euler(), plain(), rtol=1e-14, atol=0)


def test_the_last_set_of_smooth_weights_is_that_of_time_1():
    nested = [model_of(depth=depth).to_torch(5, scheme="heun") for depth in (4, 8)]
    for own in ("V", "W", "b"):
        coarse, fine = (getattr(module, own).detach() for module in nested)
        torch.testing.assert_close(coarse, fine[::2], rtol=0, atol=1e-13)


@pytest.mark.parametrize("hurst", [0.2, 0.8])
def test_the_last_set_of_fractional_noise_has_its_covariance_with_all_others(hurst):
    """Of 5000 independent paths; false alarms of the largest of 5 scores below 1e-5."""
    model = ResidualNetwork(50, 4, "phi-in", weights=Weights(depth=FractionalNoise(hurst)), scaling=DepthScaling(1.0))
    paths = model.to_torch(7, range(2), scheme="heun").V.detach().numpy().reshape(5, -1) * math.sqrt(50)
    lags = np.arange(4, -1, -1)
    exact = resmc.theory.processes.fractional_noise_covariance(hurst, lags)
    found = paths @ paths[-1] / paths.shape[1]
    scores = (found - exact) / np.sqrt((1.0 + exact**2) / paths.shape[1])
    assert np.abs(scores).max() < 5.0
    wrong = (found - exact[[1, 0, 2, 3, 4]]) / np.sqrt((1.0 + exact**2) / paths.shape[1])
    assert hurst == 0.2 or np.abs(wrong).max() > 3.0  # negative control, where the covariances are far apart


@pytest.mark.parametrize("activation", ["tanh", "balanced"])
@pytest.mark.parametrize("scheme", [None, "euler", "heun"])
def test_networks_side_by_side_are_the_single_ones(scheme, activation):
    model = model_of(activation=activation, block="phi-in", n_out=2)
    together = model.to_torch(9, range(3, 9, 2), scheme=scheme)
    x = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    out = together(x)
    assert out.shape == (3, 2, 2)
    for place, network in enumerate(range(3, 9, 2)):
        alone = model.to_torch(9, network, scheme=scheme)
        torch.testing.assert_close(out[place], alone(x), rtol=1e-12, atol=1e-14)
    assert not torch.allclose(out[0], out[1])
    torch.testing.assert_close(together(x.expand(3, 2, 1)), out)


def test_modules_train_move_to_float32_and_load_their_state():
    model = model_of("iid", activation="balanced")
    module = model.to_torch(1, range(2), scheme="heun").to(torch.float32)
    other = ExplicitResidualNetwork(model, 2, "heun").to(torch.float32)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(), module())
    optimizer, losses = torch.optim.SGD(module.parameters(), 0.02), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (module() - 1.0).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert module().dtype == torch.float32


@pytest.mark.parametrize("name", DEPENDENCES)
def test_torch_s_generator_gives_the_same_law_as_the_counters(name):
    """Second moments within and between layers, over 30 networks; 4 scores of false alarm below 1e-4 each."""
    model = replace(model_of(name, depth=4), width=8)
    module = ExplicitResidualNetwork(model, 30, "heun")
    fill_from_generator(module, torch.Generator().manual_seed(2))
    counters = model.to_torch(2, range(1000, 1030), scheme="heun")
    for own, root in (("V", math.sqrt(8)), ("W", math.sqrt(8)), ("b", 1.0 / 0.3)):
        for k in (0, 4):
            samples = []
            for one in (module, counters):
                path = root * getattr(one, own).detach().numpy().reshape(5, -1)
                samples.append(path[2] * path[k])
            difference = samples[0].mean() - samples[1].mean()
            stderr = math.sqrt(sum(x.var() / x.size for x in samples))
            assert abs(difference) < 4.0 * stderr + 1e-12, (own, k)
    law = [np.unique(np.abs(one.A.detach().numpy())).size for one in (module, counters)]
    assert law[0] == law[1] or min(law) > 100
    again = ExplicitResidualNetwork(model, 30, "heun")
    fill_from_generator(again, torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), module.parameters(), strict=True))


def test_torch_s_generator_draws_signs_exactly_half_of_them_plus():
    module = ExplicitResidualNetwork(ResidualNetwork(6, 5, "phi-in", "balanced-half"), 40)
    fill_from_generator(module, torch.Generator().manual_seed(0))
    assert (module.signs.sum(-1) == 0.0).all()
    assert abs(float(module.signs[..., 0].mean())) < 4.0 / math.sqrt(200)


def test_modules_take_weights_from_arrays_and_refuse_other_shapes_by_name():
    model = model_of("iid")
    module, V = ExplicitResidualNetwork(model, scheme="heun"), np.random.default_rng(0).normal(size=(7, 5, 5))
    fill_from_arrays(module, V=V, b=torch.ones(7, 5))
    np.testing.assert_array_equal(module.V.detach(), V)
    assert (module.b == 1.0).all()
    assert not module.W.any()
    with pytest.raises(ValueError, match=r"V of shape \(6, 5, 5\) is not allowed: it must have \(7, 5, 5\)"):
        fill_from_arrays(module, V=V[1:])
    with pytest.raises(ValueError, match="no arrays are given: give some of V, W, b"):
        fill_from_arrays(module)
    with pytest.raises(ValueError, match=r"signs is not allowed: block='v-phi-w'.*has none"):
        fill_from_arrays(module, signs=np.ones((7, 5)))
    with pytest.raises(ValueError, match="W_out is not allowed to hold infinite numbers or NaN"):
        fill_from_arrays(module, W_out=np.full((1, 5), np.nan))
    with pytest.raises(ValueError, match=r"b=.* is not allowed: it must be an array of numbers"):
        fill_from_arrays(module, b="none")
    for b in (1j * np.ones((7, 5)), 1j * torch.ones(7, 5)):
        with pytest.raises(ValueError, match="b of complex numbers is not allowed"):
            fill_from_arrays(module, b=b)
    fill_from_arrays(module, b=[2.0 * torch.ones(5, requires_grad=True)] * 7)
    assert (module.b == 2.0).all()
    balanced = ExplicitResidualNetwork(ResidualNetwork(4, 2, activation="balanced"))
    with pytest.raises(ValueError, match=r"anything but \+1 and -1"):
        fill_from_arrays(balanced, signs=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="generator=3 is not allowed"):
        fill_from_generator(module, 3)


@pytest.mark.parametrize(
    ("given", "arguments", "words"),
    [
        ({"carry": 0.5}, {"scheme": "euler"}, r"scheme='euler' is not allowed with carry=0.5"),
        ({"scaling": (0.1,) * 6}, {"scheme": "heun"}, "scheme='heun' is not allowed with a scaling by layer"),
        (
            {"weights": Weights(depth=np.eye(6))},
            {"scheme": "euler"},
            "covariance matrix of the layers: it says",
        ),
        ({}, {"scheme": "midpoint"}, "scheme='midpoint' is not allowed: it must be one of 'euler', 'heun'"),
        ({}, {"scheme": "euler", "backward": "reverse"}, "backward='reverse' is not allowed"),
        ({}, {"backward": "adjoint"}, "are not allowed without a scheme"),
        ({}, {"scheme": "euler", "checkpoint_every": 2}, "checkpoint_every=2 is not allowed with backward='autograd'"),
        ({}, {"scheme": "heun", "backward": "adjoint", "checkpoint_every": 0}, "checkpoint_every=0 is out of range"),
        ({}, {"scheme": "heun", "backward": "adjoint", "tolerance": 0.0}, "tolerance=0.0 is not allowed"),
        ({"depth": 1}, {"scheme": "heun", "backward": "adjoint"}, "backward='adjoint' is not allowed with 1 step"),
        ({}, {"network": range(0)}, r"network=range\(0, 0\) is not allowed: it has no numbers"),
        ({}, {"network": range(-1, 2)}, "network=-1 is out of range"),
        (
            {"width": 10**5, "depth": 10**3},
            {"network": range(8)},
            "16000 matrices of 100000 x 100000 need .* of memory",
        ),
    ],
)
def test_what_a_module_cannot_be_is_refused_by_name(given, arguments, words):
    model = replace(model_of("iid"), **given)
    with pytest.raises(ValueError, match=words):
        model.to_torch(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"scheme": "euler"}, {"network": range(2)}, {"backward": "adjoint"}, {"checkpoint_every": 1}]
)
def test_a_log_gaussian_network_has_no_scheme_and_is_alone(arguments):
    with pytest.raises(ValueError, match=r"is not allowed with a ResNet: spell the network as a resmc\.Resid"):
        ResNet(4, 3, 1.0, 0.6).to_torch(**arguments)


def test_inputs_of_another_shape_and_states_that_are_not_finite_are_refused():
    module = model_of(n_out=2).to_torch(0, range(3), scheme="euler")
    for shape in ((2,), (2, 3), (2, 2, 1)):
        with pytest.raises(ValueError, match=r"x of shape .* is not allowed: it must be of shape \(batch, 1\), or"):
            module(torch.ones(shape, dtype=torch.float64))
    grows = replace(model_of("tied", 900), activation="relu", bias=0.0, scaling=DepthScaling(0.0, 30.0))
    with torch.no_grad():
        fine = grows.to_torch(0, range(2))  # without a scheme infinities come out
        assert not torch.isfinite(fine()).all()
        module = grows.to_torch(0, range(2), scheme="heun")
        module.V[:, 0] = 0.0
        with pytest.raises(ValueError, match=r"the states of network 1 are not finite in layer \d+ of 900") as refused:
            module()
        states = grows.to_torch(0, 1, scheme="heun")
        layer = int(str(refused.value).split("layer ")[1].split()[0])
        fewer = replace(grows, depth=layer)
        below, there = (ExplicitResidualNetwork(replace(grows, depth=d), scheme="heun") for d in (layer - 1, layer))
        for one in (below, there):
            fill_from_arrays(one, V=states.V[: one.sets], W=states.W[: one.sets], A=states.A, W_out=states.W_out)
        assert torch.isfinite(below()).all()
        with pytest.raises(ValueError, match=f"the states of input 0 are not finite in layer {fewer.depth}"):
            there()


def test_a_mixture_has_a_scheme():
    mixture = Mixture(SmoothProcess(), FractionalNoise(0.5))
    model = ResidualNetwork(5, 6, "phi-in", "tanh", scaling=DepthScaling(0.0), weights=Weights(depth=mixture))
    module = model.to_torch(scheme="heun")
    assert module.V.shape == (7, 5, 5)
    assert torch.isfinite(module()).all()


def test_modules_can_be_differentiated_twice_and_by_torch_func():
    module = model_of(depth=3).to_torch(scheme="heun")
    x = torch.tensor([[0.7], [-1.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(module, (x,))
    module = model_of(depth=3).to_torch()
    jacobians = torch.func.vmap(torch.func.jacrev(lambda one: module(one[None])[0]))(x.detach())
    (wanted,) = torch.autograd.grad(module(x).sum(), x)
    torch.testing.assert_close(jacobians[:, 0], wanted, rtol=1e-12, atol=0)


def test_the_adjoint_goes_back_as_often_as_asked_and_refuses_weights_changed_in_between():
    module = model_of(depth=8).to_torch(scheme="heun", backward="adjoint", checkpoint_every=3)
    loss = module().sum()
    first, second = (torch.autograd.grad(loss, module.W, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    with torch.no_grad():
        module.W += 1.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
