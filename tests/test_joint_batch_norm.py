"""The backward pass of a batch norm over several inputs: twin, autograd, kernels, laws, and what is known of it.

Comparisons of laws are differences of means in standard errors: about 1250 with |z| < 5, 6e-7 each, so that a correct
program fails with a probability of 7e-4 when seeds are chosen. Seeds are fixed; negative controls have to exceed 10.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from joint_kernels import START, Case, DenseCase, differences, products
from test_joint_reference import starts

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.models.normalisation import PLACES
from resmc.reference import simulate_joint
from resmc.report.asked import arguments
from resmc.results import manifest
from resmc.theory import batch_gradient_rate

INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = (0.5, 0.2, -0.1, -0.4, 0.5, 0.2)
BLOCKS = {
    "phi-in": ("relu", BY_LAYER, 0.0),
    "phi-out": ("tanh", INSIDE, 0.4),
    "v-phi-w": ("gelu", BY_LAYER, 0.4),
}


def network(block: str, place: str, width: int = 7, **given: Any) -> ResidualNetwork:
    activation, scaling, bias = BLOCKS[block]
    fields = {"activation": activation, "carry": 0.9, "scaling": scaling, "bias": bias, "eps": 1e-3, "depth": 6}
    return ResidualNetwork(width, block=block, norm="batch", norm_at=place, **{**fields, **given})


# ------------------------------------------------------------------------------------------------- autograd


def autograd(model: ResidualNetwork, seed: int, network: int, start: np.ndarray = START) -> dict[str, np.ndarray]:
    """Gradients of output 0 of input 0 with respect to all states, with `torch.nn.functional.batch_norm` as the norm.

    Inputs are the batch, and layers are made of the weights of a module without a norm.
    """
    torch = pytest.importorskip("torch")
    bare = replace(model, norm=None, norm_at="pre", eps=1e-5)
    module = bare.to_torch(seed=seed, network=network)
    branches, place = (
        module._branches(module.V, module.W, module.b, module.signs, module.s, module.kept),
        model.norm_place,
    )

    def norm(x: Any) -> Any:
        return torch.nn.functional.batch_norm(x, None, None, training=True, eps=model.eps)

    h = torch.tensor(starts(model, seed, network, start), requires_grad=True)
    states = [h]
    for k in range(model.depth):
        y = branches.met(k, norm(h) if place.before else h)
        y = model.sigma.torch(torch, y)
        y = y if branches.kept is None else branches.kept[k] * y
        y = branches.unscaled(k, y, torch.zeros_like(h), 1.0)
        y = (1.0 if model.inside else float(model.scales[k])) * (norm(y) if place.branch else y)
        h = model.carry * h + y
        h = norm(h) if place.after else h
        states.append(h)
    for one in states:
        one.retain_grad()
    (states[-1][0] @ module.W_out[0]).backward()
    p, h = (np.stack([x.detach().numpy() for x in ones]) for ones in ([one.grad for one in states], states))
    size = np.linalg.norm(p, axis=(1, 2))
    a, b = np.tril_indices(len(start))
    with np.errstate(divide="ignore"):
        return {
            "gradient_gram": np.einsum("lpi,lpi->lp", p[:, a], p[:, b]),
            "log_gradient": 2.0 * np.log(size / size[-1]),
            "log_gradient_displacement": 2.0 * np.log(np.linalg.norm(p - p[-1], axis=(1, 2)) / size[-1]),
            "overlap": np.einsum("lai,lai->l", p, h) / (size * np.linalg.norm(h, axis=(1, 2))),
        }


def twin(model: ResidualNetwork, seed: int, network: int, start: np.ndarray = START) -> dict[str, np.ndarray]:
    found = simulate_joint(model, start, 1, seed, network, "dense", backward=True)
    assert found.kernel is None
    names = ("log_gradient", "log_gradient_displacement", "overlap")
    gram = products(found.gradient_gram, found.gradient_unit)[:, :, 0]
    return {"gradient_gram": gram} | {name: getattr(found, name)[:, 0] for name in names}


def assert_autograd(model: ResidualNetwork, seed: int, start: np.ndarray = START) -> None:
    expected, found = autograd(model, seed, 5, start), twin(model, seed, 5, start)
    for name, value in expected.items():
        scale = np.abs(value[np.isfinite(value)]).max()
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-9 * scale, err_msg=f"{name}, {model}")


@pytest.mark.parametrize("place", PLACES)
def test_the_twins_gradients_through_a_batch_norm_are_those_of_autograd(place):
    for block, carry in itertools.product(BLOCKS, (0.0, 0.9)):
        model = network(block, place, 5, carry=carry, eps=0.1)
        assert_autograd(model, 83)
    wrong = replace(model, eps=0.3)
    away = autograd(wrong, 83, 5)["log_gradient"] - twin(model, 83, 5)["log_gradient"]
    assert np.abs(away).max() > 1e-2  # a negative control


TWO = START[:2, :2]
FIVE = np.tril(np.cos(np.arange(25.0)).reshape(5, 5)) + np.eye(5)


@pytest.mark.parametrize("activation", ["linear", "balanced", "leaky_relu", "elu", "hard_tanh"])
def test_activations_masks_and_numbers_of_inputs_are_those_of_autograd(activation):
    for place, start, eps in zip(PLACES, (TWO, FIVE, TWO, FIVE), (0.1, 1e-5, 1e-5, 0.1), strict=True):
        assert_autograd(network("phi-in", place, 5, activation=activation, bias=0.3, keep=0.7, eps=eps), 84, start)


# ------------------------------------------------------------------------------------------------- kernels

TOLERANCE, BOUND, CONTROL = 1e-4, 5.0, 10.0


def log_square(records: dict[str, np.ndarray], name: str) -> np.ndarray:
    """ln of a quotient's square, (R, N); -100 of 0."""
    with np.errstate(divide="ignore"):
        square = np.log(records[f"{name}_square"].astype(float))
    return np.maximum(square + np.log(4.0) * records[f"{name}_exponent"], -100.0)


def apart(case: Case) -> dict[str, np.ndarray]:
    """Differences of kernels and twin, among them those of quotients and of alignments."""
    ours, twins = case.records(), case.twins()
    found = differences(ours, twins)
    for name in ("gradient", "gradient_displacement"):
        found[f"{name} quotient"] = np.abs(log_square(ours, name) - log_square(twins, name))
    found["overlap"] = np.abs(ours["overlap"] - twins["overlap"])
    return found


def assert_twin(case: Case) -> None:
    for name, found in apart(case).items():
        assert found.max(initial=0.0) < TOLERANCE, (name, type(case), case.model, found.max())


@pytest.mark.cpu
@pytest.mark.parametrize("place", PLACES)
def test_gradients_of_either_method_are_those_of_the_twin(place):
    for kind, block, carry in itertools.product((Case, DenseCase), BLOCKS, (0.0, 0.9)):
        case = kind(network(block, place, carry=carry, eps=0.1), START, 8, backward=True, segment=4)
        assert_twin(case)
    assert_twin(replace(case, independent=True))
    other = replace(case, model=replace(case.model, eps=0.3))
    away = np.abs(log_square(case.records(), "gradient") - log_square(other.twins(), "gradient"))
    assert away.max() > 100.0 * TOLERANCE  # a negative control


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ["linear", "balanced", "leaky_relu", "elu", "hard_tanh"])
def test_activations_masks_and_numbers_of_inputs_are_those_of_the_twin(activation):
    for kind, place, start in itertools.product((Case, DenseCase), PLACES, (TWO, FIVE)):
        model = network("phi-in", place, activation=activation, bias=0.3, keep=0.7, eps=0.1)
        assert_twin(kind(model, start, 8, backward=True, segment=4))


@pytest.mark.cpu
def test_inputs_that_are_close_or_equal_have_the_gradients_of_the_twin():
    close = np.array([[1.0, 0.0, 0.0], [1e-7, 3e-7, 0.0], [-2e-7, 1e-7, 2e-7]])
    for block, place in zip([*BLOCKS, "phi-in"], PLACES, strict=True):
        assert_twin(Case(network(block, place, eps=0.0, width=9), close, 8, backward=True))
        equal = Case(network(block, place, eps=0.1), np.diag([1.0, 0.0, 0.0]), 8, backward=True)
        assert_twin(equal)
    assert log_square(equal.records(), "gradient")[0].min() > -100.0  # 1/sqrt(eps) (v - mean v) is left


# ------------------------------------------------------------------------------------------------- laws


def features(case: Case) -> np.ndarray:
    """Numbers of a network and their products, (numbers, networks): of columns at the last layer, and of gradients."""
    records = case.records()
    a, b = np.tril_indices(len(case.start))
    last = products(records["gram"], records["unit"])[-1][a == b]
    back = products(records["gradient_gram"], records["gradient_unit"])[0]
    own = np.maximum(back[a == b], 1e-30)
    whole = log_square(records, "gradient")
    one = np.concatenate([
        np.log(np.maximum(last, 1e-3)),
        np.log(own),
        (back / np.sqrt(own[a] * own[b]))[a != b],
        whole[[0, 1]] - whole[-1],
        log_square(records, "gradient_displacement")[:1] - whole[-1],
        records["overlap"][:1],
    ])  # fmt: skip
    i, j = np.tril_indices(len(one))
    return np.concatenate([one, one[i] * one[j]])


def worst(a: np.ndarray, b: np.ndarray) -> float:
    error = np.sqrt(a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1])
    away = np.abs(a.mean(axis=1) - b.mean(axis=1))
    return float(np.max(away / np.where(error > 1e-9, error, np.inf)))


@pytest.mark.cpu
@pytest.mark.parametrize("place", PLACES)
def test_projected_gradients_have_the_joint_law_of_explicit_weights(place):
    for block, carry in zip(BLOCKS, (0.9, 0.0, 0.9), strict=True):
        model = network(block, place, width=5, eps=0.1, carry=carry)
        projected = features(Case(model, START, 10_000, seed=11, backward=True))
        dense = features(DenseCase(model, START, 10_000, seed=12, backward=True))
        assert worst(projected, dense) < BOUND, block
    other = DenseCase(replace(model, eps=0.3), START, 10_000, seed=12, backward=True)
    assert worst(projected, features(other)) > CONTROL


@pytest.mark.cpu
def test_what_the_forward_pass_has_told_of_the_weights_is_needed_for_that_law():
    """Gradients through matrices that are independent of the forward ones have another law at width 5."""
    case = Case(network("phi-in", "pre", width=5, eps=0.1, scaling=(1.0,) * 6), START, 10_000, seed=11, backward=True)
    assert worst(features(case), features(replace(case, seed=12, independent=True))) > CONTROL


# ------------------------------------------------------------------------------------------------- what is known


def alone(activation: str, **given: Any) -> ResidualNetwork:
    """Batch norm alone: h' = N(V sigma(h))."""
    fields = {"block": "phi-in", "activation": activation, "carry": 0.0, "norm": "batch", "norm_at": "post", "eps": 0.0}
    return ResidualNetwork(256, 8, **{**fields, **given})


def test_the_rate_of_gradients_is_that_of_linear_networks_and_of_large_batches_of_relu():
    for m in (4, 8, 100):
        assert batch_gradient_rate(alone("linear"), m) == pytest.approx((m - 2) / (m - 3), rel=1e-12)
    assert batch_gradient_rate(alone("relu"), 10**6) == pytest.approx(math.pi / (math.pi - 1.0), rel=1e-5)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)"])
def test_the_rate_of_gradients_is_the_mean_over_spheres(activation):
    """By 2e5 vectors y, uniform on their sphere, of what the closed form averages; and c by normals."""
    m, model = 6, alone(activation)
    z = np.random.default_rng(1).standard_normal((200_000, m))
    z -= z.mean(axis=1, keepdims=True)
    y = z * math.sqrt(m) / np.linalg.norm(z, axis=1, keepdims=True)
    sigma, s = model.sigma.value(y), model.sigma.slope(y)
    c = np.mean(sigma**2 - sigma * np.roll(sigma, 1, axis=1), axis=1)
    trace = np.sum(s**2, axis=1) * (1.0 - 2.0 / m) + (np.sum(s, axis=1) / m) ** 2
    trace -= (np.sum(sigma**2, axis=1) - np.sum(sigma, axis=1) ** 2 / m) / m
    found = m / (c.mean() * (m - 3)) * trace.mean() / (m - 1)
    scatter = np.std(trace / trace.mean() - c / c.mean()) / math.sqrt(len(z))
    rate = batch_gradient_rate(model, m)
    assert abs(found / rate - 1.0) < 5.0 * scatter
    assert abs(found / batch_gradient_rate(model, m + 1) - 1.0) > 10.0 * scatter  # a negative control


def test_networks_without_a_known_rate_are_refused_in_a_sentence():
    for model, inputs, words in (
        (alone("tanh"), 8, "activation='tanh' has no known gradient rate"),
        (alone("relu", carry=1.0), 8, "carry=1.0 has no known gradient rate"),
        (alone("relu", eps=1e-5), 8, "eps=1e-05 has no known gradient rate"),
        (alone("relu"), 3, "inputs=3 is out of range"),
    ):
        with pytest.raises(ValueError, match=words):
            batch_gradient_rate(model, inputs)


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu(0.3)", "balanced"])
def test_wide_networks_of_batch_norm_alone_have_gradients_that_explode_at_the_known_rate(activation):
    """Finite width adds a few 1/n to a rate: 5 standard errors and 3/n are allowed."""
    for m, networks in ((8, 512), (16, 160)):
        model = alone(activation)
        sim = resmc.simulate(
            model, networks=networks, seed=5, gram=np.eye(m), gradients=True, keep_trajectories=networks,
            threads=1, progress=False,
        )  # fmt: skip
        # Without the step from layer 8, where p has a mean over inputs, and that to h_0, which no N has made.
        square = np.exp(sim.trajectories.ratios["gradient"])[:, [1, 6]]
        first, last = square.mean(axis=0)
        found = (first / last) ** (1.0 / 5.0)
        scatter = square[:, 0] / first - square[:, 1] / last
        error = found * scatter.std() / math.sqrt(networks) / 5.0
        bound = 5.0 * error + 3.0 / 256
        rate = batch_gradient_rate(model, m)
        assert abs(found - rate) < bound, (m, found, rate, error)
        assert abs(found - batch_gradient_rate(model, m // 2)) > bound  # a negative control: another number of inputs


@pytest.mark.cpu
@pytest.mark.parametrize("place", ["pre", "branch", "sandwich"])
def test_nothing_comes_back_through_a_batch_norm_of_two_inputs_without_eps(place):
    """Its outputs are +-1 and do not move: p_l = carry p_{l+1}."""
    for block, method in itertools.product(BLOCKS, ("projected", "dense")):
        model = network(block, place, eps=0.0, depth=6)
        sim = resmc.simulate(
            model, networks=64, angle=0.3, gradients=True, method=method, keep_trajectories=9, progress=False
        )
        expected = 2.0 * np.log(0.9) * np.arange(6, -1, -1)
        np.testing.assert_allclose(sim.trajectories.ratios["gradient"], np.tile(expected, (9, 1)), atol=1e-5)


@pytest.mark.cpu
def test_where_a_batch_norm_of_two_inputs_acts_last_no_gradient_is_left():
    model = network("phi-in", "post", eps=0.0)
    sim = resmc.simulate(model, networks=64, angle=0.3, gradients=True, layers=[0, 5, 6], progress=False)
    assert sim.estimate("gradient.median").value == -np.inf
    assert sim.estimate("gradient_displacement.mean").value[0] == pytest.approx(0.0, abs=1e-6)
    other = resmc.simulate(replace(model, eps=1e-5), networks=64, angle=0.3, gradients=True, progress=False)
    assert np.isfinite(other.estimate("gradient.mean").value).all()


# ------------------------------------------------------------------------------------------------- one simulation

GRAM = [[1.0, 0.5, -0.2], [0.5, 1.4, 0.3], [-0.2, 0.3, 0.8]]


def simulated(**given: Any) -> resmc.Simulation:
    model = network("phi-in", "pre", scaling=DepthScaling(0.5, 1.0))
    options = {"networks": 64, "seed": 7, "gram": GRAM, "gradients": True, "layers": [0, 3, 6], "progress": False}
    return resmc.simulate(model, **{**options, **given})


@pytest.mark.cpu
def test_a_simulation_has_the_quotients_of_the_twins_gradients():
    sim = simulated(networks=4, keep_trajectories=4)
    paths = simulate_joint(sim.model, sim.joint.recording.inputs.start, 4, 7, layers=[0, 3, 6], backward=True)
    for name, path in (("gradient", paths.log_gradient), ("gradient_displacement", paths.log_gradient_displacement)):
        np.testing.assert_allclose(sim.trajectories.ratios[name], path.T, atol=TOLERANCE)
    np.testing.assert_allclose(sim.trajectories.ratios["overlap"], paths.overlap.T, atol=TOLERANCE)


@pytest.mark.cpu
def test_files_merges_pages_and_data_sets_know_gradients_without_a_kernel(tmp_path):
    sim, rest = simulated(), simulated(networks=64, first_network=64)
    assert sim.joint.recording.gradients
    assert not sim.joint.recording.kernel
    sim.save(tmp_path / "one.resmc")
    found = resmc.load(tmp_path / "one.resmc")
    assert found.joint.recording == sim.joint.recording
    whole = resmc.merge([found, rest])
    both = simulated(networks=128)
    np.testing.assert_allclose(whole.estimate("gradient.mean").value, both.estimate("gradient.mean").value, rtol=1e-9)
    assert "its output's gradients are those with respect to all inputs" in str(sim.summary())
    asked = arguments(sim.joint.recording, "one.resmc")
    assert asked == {"gram": GRAM, "gradients": True}
    assert "gradients=True" in sim.joint.recording.words
    data = sim.to_xarray()
    assert "log_gradient_mean" in data
    assert "tangent_kernel" not in data
    with pytest.raises(ValueError, match="tangent_kernel"):
        sim.tangent_kernel()


@pytest.mark.cpu
def test_a_file_that_says_a_kernel_of_a_batch_norm_is_refused():
    sim = simulated()
    said = {**sim.joint.recording.to_dict(), "tangent_kernel": True}
    followed = ("growth", "displacement", "gradient", "gradient_displacement")
    with pytest.raises(ValueError, match="joint is not allowed beside"):
        manifest._joint(said, sim.lowered, followed)
    own = {**said, "tangent_kernel": False}
    assert manifest._joint(own, sim.lowered, followed) == sim.joint.recording


@pytest.mark.cpu
def test_sweeps_follow_gradients_through_batch_norm_beside_other_norms(tmp_path):
    """Networks of other norms have a tangent kernel besides, and tables both."""
    own = network("phi-in", "pre", scaling=DepthScaling(0.5, 1.0))
    plan = resmc.Sweep(models=[own, replace(own, norm="rms")], networks=64, gram=GRAM, gradients=True, layers=3, seed=1)
    result = plan.run(tmp_path / "store", engine="threads", progress=False)
    found, other = (result.simulation(point=i) for i in range(2))
    alone = simulated(seed=plan.seeds[0])
    np.testing.assert_allclose(found.estimate("gradient.mean").value, alone.estimate("gradient.mean").value, rtol=1e-11)
    assert not found.joint.recording.kernel
    assert other.joint.recording.kernel
    kernel = result.to_dataframe()["tangent_kernel_0_0"]
    assert np.isnan(kernel[0])
    assert kernel[1] == other.tangent_kernel().total.value[0, 0]
    assert str(result.summary())


@pytest.mark.cpu
def test_the_tangent_kernel_of_a_batch_norm_is_refused_and_says_what_there_is():
    with pytest.raises(ValueError, match=r"tangent_kernel=True .* norm='batch'.*gradients=True"):
        simulated(tangent_kernel=True)
    with pytest.raises(ValueError, match="independent_backward=True is not allowed without"):
        simulated(gradients=False, independent_backward=True)
    assert "backward pass of its own" in str(simulated(independent_backward=True).summary())
