"""Several inputs through networks with a norm: kernels, twin, explicit weights input by input, and infinite width.

Comparisons of laws are differences of means in standard errors: about 1500 with |z| < 5, 6e-7 each, so that a correct
program fails with a probability of 1e-3 when seeds are chosen. Seeds are fixed; negative controls have to exceed 10.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from joint_kernels import START, Case, differences, products
from test_joint_dense import DenseCase
from test_joint_reference import assert_autograd

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.models.normalisation import NORMS, PLACES
from resmc.reference import simulate_joint
from resmc.reference.residual import Layer
from resmc.reference.sources import Counters
from resmc.theory import fractions, infinite_width
from resmc.theory.facts import facts

TOLERANCE, BOUND, CONTROL = 1e-4, 5.0, 10.0
INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = (0.5, 0.2, -0.1, -0.4, 0.5, 0.2)
PLACED = list(itertools.product(NORMS, PLACES))
BLOCKS = {
    "phi-in": ("relu", BY_LAYER, 0.0),
    "phi-out": ("tanh", INSIDE, 0.4),
    "v-phi-w": ("gelu", BY_LAYER, 0.4),
}


def network(block: str, norm: str, place: str, width: int = 7, **given: Any) -> ResidualNetwork:
    activation, scaling, bias = BLOCKS[block]
    fields = {"scaling": scaling, "bias": bias, "eps": 1e-3, "norm": norm, "norm_at": place}
    return ResidualNetwork(width, 6, block, activation, 0.9, **{**fields, **given})


# ------------------------------------------------------------------------------------------------- paths


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), PLACED)
def test_columns_of_either_method_are_those_of_the_twin(norm, place):
    for kind, block in itertools.product((Case, DenseCase), BLOCKS):
        model = network(block, norm, place)
        tangents = 0 if norm == "batch" else 2
        case = kind(model, START, 12, tangents=tangents)
        for name, found in differences(case.records(), case.twins()).items():
            assert found.max(initial=0.0) < TOLERANCE, (name, kind, block, found.max())
    other = differences(case.records(), replace(case, model=replace(model, eps=0.3)).twins())
    assert other["h"].max() > 10.0 * TOLERANCE  # a negative control


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ["balanced", "leaky_relu", "elu", "hard_tanh"])
def test_signs_masks_and_kinks_stand_behind_a_norm(activation):
    for norm, place in PLACED:
        model = replace(network("phi-in", norm, place, bias=0.3, keep=0.7), activation=activation)
        for kind in (Case, DenseCase):
            case = kind(model, START, 8)
            for name, found in differences(case.records(), case.twins()).items():
                assert found.max(initial=0.0) < TOLERANCE, (name, kind, norm, place, found.max())


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), [pair for pair in PLACED if pair[0] != "batch"])
def test_input_0_has_the_bits_that_it_has_alone(norm, place):
    for kind, block in itertools.product((Case, DenseCase), BLOCKS):
        case = kind(network(block, norm, place), START, 40, tangents=1)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), (name, kind, block)


@pytest.mark.parametrize(("norm", "place"), PLACED)
def test_explicit_weights_take_every_input_as_they_take_it_alone(norm, place):
    """All states of the twin against the same matrices that meet each input by itself, or a batch of three."""
    for block in BLOCKS:
        model = network(block, norm, place, eps=0.0 if norm == "batch" else 1e-3)
        paths = simulate_joint(model, START, 3, seed=4, method="dense")
        networks = Counters(model, 4, paths.networks)
        bare = Counters(replace(model, norm=None, norm_at="pre", eps=1e-5), 4, paths.networks)
        columns = START @ np.stack([networks.normals("first_layer", 0, 7, a) for a in range(3)], axis=1)
        h = columns + np.where(np.arange(3) > 0, 1.0, 0.0)[:, None] * columns[:, :1]
        for layer in range(model.depth):
            plain = Layer(bare, "dense", layer) if norm == "batch" else Layer(networks, "dense", layer)
            met = over(h) if norm == "batch" and model.norm_place.before else h
            y = np.stack([plain.branch(met[:, a]) for a in range(3)], axis=1)
            if norm == "batch" and model.norm_place.branch:
                s = model.scales[layer]
                y = over(y) if model.inside else abs(s) * over(y)  # the branch has given s f
            h = model.carry * h + y
            if model.norm_place.after:
                h = over(h) if norm == "batch" else NORMS[norm].value(h, model.eps)
        a, b = np.tril_indices(3)
        differ = h - np.where(np.arange(3) > 0, 1.0, 0.0)[:, None] * h[:, :1]
        np.testing.assert_allclose(
            products(paths.gram, paths.unit)[-1].T, np.einsum("npi,npi->np", differ[:, a], differ[:, b]), atol=1e-10
        )


def over(x: np.ndarray) -> np.ndarray:
    """A batch norm over the inputs (networks, inputs, neurons), as its definition says it."""
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


@pytest.mark.cpu
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_inputs_that_are_close_keep_the_digits_of_their_difference(norm):
    start = np.array([[1.0, 0.0], [0.0, 1e-9]])
    for place in PLACES:
        case = Case(network("phi-out", norm, place), start, 12)
        assert differences(case.records(), case.twins())["h"].max() < TOLERANCE, place


# ------------------------------------------------------------------------------------------------- gradients

ALONE = [pair for pair in PLACED if pair[0] != "batch"]


@pytest.mark.parametrize(("norm", "place"), ALONE)
def test_the_twins_gradients_and_kernels_are_those_of_autograd(norm, place):
    for block in BLOCKS:
        scaling = INSIDE if block == "phi-out" else BY_LAYER[1:4]
        model = ResidualNetwork(
            4, 3, block, BLOCKS[block][0], 0.9, scaling, bias=0.4, norm=norm, norm_at=place, eps=0.1
        )
        assert_autograd(model, 83, 5)


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), ALONE)
def test_gradients_and_kernels_of_either_method_are_those_of_the_twin(norm, place):
    for kind, block, count in itertools.product((Case, DenseCase), BLOCKS, (1, 3)):
        model = network(block, norm, place, eps=0.1)
        case = kind(model, START[:count, :count], 12, backward=True, tangents=3 - count, segment=4)
        for one in (case, replace(case, independent=True)):
            for name, found in differences(one.records(), one.twins()).items():
                assert found.max(initial=0.0) < TOLERANCE, (name, kind, block, found.max())
    other = differences(case.records(), replace(case, model=replace(model, eps=0.3)).twins())
    assert min(other["gradient"].max(), other["kernel"].max()) > 10.0 * TOLERANCE  # a negative control


# ------------------------------------------------------------------------------------------------- laws


def features(case: Case) -> np.ndarray:
    """Logarithms of squares and cosines of columns at the last layer, and their products, (numbers, networks)."""
    records = case.records()
    gram = products(records["gram"], records["unit"])[-1]
    m = len(case.start)
    a, b = np.tril_indices(m)
    own = gram[a == b]
    cosines = gram / np.sqrt(own[a] * own[b])
    one = np.concatenate([np.log(np.maximum(own, 1e-3)), cosines[a != b], records["log_stretch"][-1].clip(-8.0)])
    if case.backward:
        back = products(records["gradient_gram"], records["gradient_unit"])[0]
        size = np.sqrt(back[a == b][a] * back[a == b][b])
        kernel = records["kernel"][0]
        more = [
            np.log(back[a == b]),
            (back / size)[a != b],
            np.log(np.maximum(kernel[a == b], 1e-3)),
            np.arctan(kernel[a != b]),
        ]
        one = np.concatenate([one, *more])
    i, j = np.tril_indices(len(one))
    return np.concatenate([one, one[i] * one[j]])


def worst(a: np.ndarray, b: np.ndarray) -> float:
    error = np.sqrt(a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1])
    apart = np.abs(a.mean(axis=1) - b.mean(axis=1))
    return float(np.max(apart / np.where(error > 1e-9, error, np.inf)))


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), PLACED)
def test_projected_inputs_have_the_joint_law_of_explicit_weights(norm, place):
    options = {"tangents": 0} if norm == "batch" else {"tangents": 1, "backward": True}
    for block in BLOCKS:
        model = network(block, norm, place, width=5, eps=0.1)
        projected = features(Case(model, START, 10_000, seed=11, **options))
        dense = features(DenseCase(model, START, 10_000, seed=12, **options))
        assert worst(projected, dense) < BOUND, block
    other = DenseCase(replace(model, eps=0.3), START, 10_000, seed=12, **options)
    assert worst(projected, features(other)) > CONTROL


GRAM = [[1.0, 0.5, -0.2], [0.5, 1.4, 0.3], [-0.2, 0.3, 0.8]]


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), ALONE)
def test_wide_networks_have_covariances_and_kernels_of_infinite_width(norm, place):
    """By turns for blocks. Finite width adds a few 1/n: 5 standard errors and 5/n are allowed; another eps is not."""
    block = list(BLOCKS)[ALONE.index((norm, place)) % 3]
    model = network(block, norm, place, width=128, eps=0.1)
    sim = resmc.simulate(
        model, networks=512, seed=13, gram=GRAM, tangent_kernel=True, layers=[6], progress=False, threads=1
    )
    found, kernel = sim.output_covariance().by_layer, sim.tangent_kernel()
    limit = kernel.infinite_width
    other = infinite_width.tangent_kernel(replace(model, eps=1.0), GRAM)
    farther = False
    for name, value, error in (
        ("readout", found.value[-1], found.stderr[-1]),
        ("residual", kernel.residual.value, kernel.residual.stderr),
        ("first_layer", kernel.first_layer.value, kernel.first_layer.stderr),
    ):
        bound = BOUND * error + 5.0 / 128
        assert (np.abs(value - getattr(limit, name)) < bound).all(), (block, name)
        farther |= bool((np.abs(value - getattr(other, name)) > 2.0 * bound).any())
    assert farther, block


# ------------------------------------------------------------------------------------------------- batch norm


@pytest.mark.cpu
def test_two_inputs_that_a_batch_norm_has_met_are_opposite_signs():
    """With m = 2 and eps = 0, y^a = +-1: |h|^2 = n, and h^1 = -h^0, whatever the branch has given."""
    model = ResidualNetwork(9, 3, norm="batch", norm_at="post", eps=0.0)
    sim = resmc.simulate(model, networks=64, angle=0.3, layers=[0, 1, 2, 3], progress=False)
    np.testing.assert_allclose(sim.angles().cosine.value[1:, 0, 1], -1.0, atol=1e-6)
    np.testing.assert_allclose(sim.estimate("mean_square").value[1:], 0.0, atol=1e-6)


@pytest.mark.cpu
def test_a_batch_norm_leaves_no_mean_and_no_more_than_unit_variance():
    """After post-norm, over the m inputs of each neuron: mean 0, and mean square 1 with eps = 0."""
    for block in BLOCKS:
        model = network(block, "batch", "post", eps=0.0)
        gram = (
            resmc.simulate(model, networks=200, seed=3, gram=GRAM, layers=[6], progress=False)
            .output_covariance()
            .by_layer.value[-1]
        )
        assert abs(gram.sum()) < 1e-5
        assert abs(np.trace(gram) - 3.0) < 1e-5


@pytest.mark.cpu
def test_deep_batch_norm_makes_all_pairs_of_inputs_alike():
    """Without a skip (Yang et al., arXiv 1902.08129). What N leaves sums to 0, and so cosines are -1/(m - 1)."""
    gram = [[1.0, 0.9, 0.3, 0.2], [0.9, 1.0, 0.4, 0.3], [0.3, 0.4, 1.0, 0.0], [0.2, 0.3, 0.0, 1.0]]
    for block in BLOCKS:
        model = ResidualNetwork(128, 30, block, "relu", 0.0, norm="batch", norm_at="post")
        sim = resmc.simulate(model, networks=512, seed=3, gram=gram, layers=[1, 30], progress=False)
        cosine = sim.angles().cosine
        away = np.abs(cosine.value + 1.0 / 3.0)[:, *np.tril_indices(4, -1)]
        bound = 5.0 * cosine.stderr[:, *np.tril_indices(4, -1)]
        assert (away[-1] < bound[-1]).all(), block
        assert away[1].max() > 3.0 * bound[1].max()  # a negative control: layer 1


@pytest.mark.cpu
def test_a_batch_norm_leaves_nothing_of_inputs_that_are_equal_and_no_theory_says_otherwise():
    model = ResidualNetwork(6, 3, norm="batch", norm_at="post")
    sim = resmc.simulate(model, networks=64, gram=[[1.0, 1.0], [1.0, 1.0]], layers=[0, 3], progress=False)
    assert sim.output_covariance().by_layer.value[-1].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    known = facts(model)
    assert np.isnan(known.mean_square(np.array([1, 3]))).all()
    assert np.isnan(fractions.dead_fraction(model)[1:]).all()
    assert np.isnan(infinite_width.covariance(model, [[1.0, 0.5], [0.5, 1.0]])[1:]).all()


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("norm", "options", "words"),
    [
        ("batch", {}, "with one input: it has means over several inputs"),
        ("batch", {"gram": [[1.0]]}, "with one input: it has means over several inputs"),
        ("batch", {"angle": 0.3, "tangents": 1}, "what moves one input moves the states of all"),
        ("batch", {"angle": 0.3, "tangent_kernel": True}, "every output depends on all inputs"),
    ],
)
def test_what_does_not_follow_is_refused_in_a_sentence(norm, options, words):
    with pytest.raises(ValueError, match=words):
        resmc.simulate(ResidualNetwork(5, 3, norm=norm), networks=2, progress=False, **options)


def test_a_batch_norm_of_one_input_is_refused_elsewhere():
    model = ResidualNetwork(5, 3, norm="batch")
    for ask in (
        lambda: model.to_torch(),
        lambda: resmc.reference.simulate_residual(model, 2),
        lambda: resmc.reference.simulate_joint(model, [[1.0]], 2),
        lambda: resmc.jacobian_singular_values(model, networks=2),
        lambda: resmc.gram_chain(model, GRAM, 2),
    ):
        with pytest.raises(ValueError, match="norm='batch'"):
            ask()
