"""The map over H and beta: numbers of single networks, errors by network, frontiers, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from heat_maps import NETWORK, SMALL, same, small

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, SmoothProcess, Weights, heat_map
from resmc.engine.columns import Threads
from resmc.experiments.heat_map import HeatMap
from resmc.experiments.heat_row import HeatRow, first_states, row_of
from resmc.experiments.heat_statistics import RowSums, crossing, mean_over_networks

pytestmark = pytest.mark.cpu


# ---------------------------------------------------------------------------------------- the numbers, from the weights


def by_hand(model: ResidualNetwork, seed: int, network: int, h0: np.ndarray, s: float) -> list[float]:
    """log10 of the four ratios of one network, written as the formulas are."""
    drawn, sigma = model.draw_weights(seed, network), {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}
    slope = {"relu": lambda x: (x > 0.0).astype(float), "tanh": lambda x: 1.0 - np.tanh(x) ** 2}[model.activation]
    phi, inside = sigma[model.activation], isinstance(model.scaling, DepthScaling) and model.scaling.inside
    b = np.zeros((model.depth, model.width)) if drawn.b is None else drawn.b
    states = [h0]
    for k in range(model.depth):
        h = states[-1]
        if model.block == "v-phi-w":
            branch = s * drawn.V[k] @ phi(drawn.W[k] @ h + b[k])
        elif model.block == "phi-in":
            branch = s * (drawn.V[k] @ phi(h) + b[k])
        else:
            u = drawn.W[k] @ h + b[k]
            branch = phi(s * u) if inside else s * phi(u)
        states.append(h + branch)
    p_last = p = drawn.readout[0]
    for k in reversed(range(model.depth)):
        h = states[k]
        if model.block == "v-phi-w":
            p = p + s * drawn.W[k].T @ (slope(drawn.W[k] @ h + b[k]) * (drawn.V[k].T @ p))
        elif model.block == "phi-in":
            p = p + s * slope(h) * (drawn.V[k].T @ p)
        else:
            u = drawn.W[k] @ h + b[k]
            p = p + drawn.W[k].T @ (s * slope(s * u if inside else u) * p)
    norm = np.linalg.norm
    h, h_0 = states[-1], states[0]
    forward = np.array([norm(h), norm(h - h_0)]) / norm(h_0)
    backward = np.array([norm(p), norm(p - p_last)]) / norm(p_last)
    return np.log10([*forward, *backward]).tolist()


@pytest.mark.parametrize(
    "model",
    [
        NETWORK,
        ResidualNetwork(5, 10, activation="tanh", bias=0.3, scaling=DepthScaling(0.5, 1.5)),
        ResidualNetwork(7, 9, block="phi-out", activation="tanh", scaling=DepthScaling(1, 0.7, inside=True)),
    ],
    ids=["v-phi-w", "phi-in", "phi-out"],
)
def test_every_point_is_the_mean_of_networks_followed_by_hand_through_their_weights(model):
    found = heat_map(model, **SMALL, seed=5, progress=False)
    for i, hurst in enumerate(SMALL["hurst"]):
        row, c = row_of(model, hurst), model.scaling.c
        states = first_states(model.width, found.seeds[i], range(3), 2)
        for j, beta in enumerate(SMALL["beta"]):
            s = c * model.depth**-beta
            each = [by_hand(row, found.seeds[i], k, states[k, :, m], s) for k in range(3) for m in range(2)]
            means = [float(found.estimate(name).value[i, j]) for name in found.quantities]
            np.testing.assert_allclose(means, np.mean(each, axis=0), atol=2e-5)


def test_inputs_are_uniform_on_the_unit_cube_and_meet_one_matrix_of_variance_1_over_64():
    states = first_states(16, 3, range(400), 3)
    assert states.shape == (400, 16, 3)
    # E h^2 = E x^2 = 1/3, and E h h' = (E x)^2 = 1/4 for two inputs that meet the same A; sums of 64 squares of
    # normals scatter by sqrt(2/400/16) of that, inputs by less. Bounds are 5 standard errors.
    second = np.einsum("nim,nik->mk", states, states) / (400 * 16)
    error = 5.0 * np.sqrt(2.0 / (400 * 16)) / 3.0
    np.testing.assert_allclose(np.diag(second), 1.0 / 3.0, atol=error)
    np.testing.assert_allclose(second[np.triu_indices(3, 1)], 0.25, atol=error)
    assert abs(states.mean()) < 5.0 * np.sqrt(0.25 / (400 * 16))
    assert np.array_equal(states[7:9, :, :2], first_states(16, 3, range(7, 9), 2))  # each by itself


def test_without_gradients_the_forward_numbers_are_the_same():
    forward, both = small(gradients=False), small()
    assert forward.quantities == ("growth", "displacement")
    assert forward.growth == both.growth
    assert forward.displacement == both.displacement
    with pytest.raises(ValueError, match=r"quantity='gradient' was not followed in this map: ask for gradients=True"):
        _ = forward.gradient
    with pytest.raises(ValueError, match="'gradient_displacement' was not followed"):
        forward.frontier("gradient_displacement")
    with pytest.raises(ValueError, match="quantity='depth' is not allowed"):
        forward.estimate("depth")


def test_values_come_out_in_increasing_order_whatever_the_order_in_which_they_are_given():
    turned = small(hurst=[0.8, 0.2], beta=np.array([1.0, 0.0, 0.4]))
    assert turned.hurst.tolist() == [0.2, 0.8]
    assert turned.beta.tolist() == [0.0, 0.4, 1.0]
    assert same(turned, small())


# ------------------------------------------------------------------------------------------------------ errors


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """12000 networks of 4 inputs each at five exponents: log10 of the displacement, (networks, exponents, inputs)."""
    model = row_of(ResidualNetwork(4, 8, block="v-phi-w"), 0.7)
    row = HeatRow(model, 11, 1.0, (0.1, 0.4, 0.6, 0.8, 1.2), 4, False)
    return row.values(0, 12000, Threads(2))


def covered(estimates: list[resmc.Estimate], truth: np.ndarray) -> float:
    """The fraction of intervals of 95% that hold the truth."""
    held = [(low <= truth) & (truth <= high) for low, high in (e.interval() for e in estimates)]
    return float(np.mean(held, axis=0).min())


def test_errors_clustered_by_network_cover_and_those_of_all_inputs_do_not(many):
    """300 maps of 40 networks: a fraction of .9 is four standard errors below .95, which has odds of 1 in 10^4."""
    maps = [RowSums.of(part) for part in np.split(many, 300)]
    truth = RowSums.of(many).averages[..., 1].mean(axis=0)
    by_network = [mean_over_networks(one.averages[..., 1]) for one in maps]
    assert all((e.df == 39.0).all() for e in by_network)
    assert covered(by_network, truth) > 0.9
    single = 0.5 * np.log10(np.e) * many[..., 1].transpose(0, 2, 1)  # each input as if it were a network
    of_inputs = [mean_over_networks(part.reshape(-1, 5)) for part in np.split(single, 300)]
    np.testing.assert_allclose([e.value for e in of_inputs], [e.value for e in by_network], rtol=1e-9)
    assert covered(of_inputs, truth) < 0.75  # the negative control


def test_errors_of_the_frontier_cover_and_those_of_all_inputs_do_not(many):
    maps = [RowSums.of(part).averages[..., 1] for part in np.split(many, 300)]
    beta = np.array([0.1, 0.4, 0.6, 0.8, 1.2])
    truth = np.asarray(crossing(RowSums.of(many).averages[..., 1], beta).value)
    assert 0.1 < truth < 1.2
    assert covered([crossing(one, beta) for one in maps], truth) > 0.9
    single = 0.5 * np.log10(np.e) * many[..., 1].transpose(0, 2, 1)
    of_inputs = [crossing(part.reshape(-1, 5), beta) for part in np.split(single, 300)]
    errors = np.mean([float(crossing(one, beta).stderr) for one in maps])
    assert np.mean([float(e.stderr) for e in of_inputs]) < 1.05 * errors  # whole networks are left out in these, too
    shuffled = single.reshape(-1, 5)[np.random.default_rng(0).permutation(48000)].reshape(300, -1, 5)
    assert np.mean([float(crossing(one, beta).stderr) for one in shuffled]) < 0.6 * errors  # the negative control


@pytest.mark.parametrize(("networks", "known"), [(31, False), (32, True)])
def test_there_are_errors_from_32_networks_on(networks, known):
    model = ResidualNetwork(4, 3, activation="tanh")
    found = heat_map(model, hurst=[0.3], beta=[0.0, 2.0], networks=networks, n_inputs=2, progress=False)
    for name in found.quantities:
        assert np.isfinite(found.estimate(name).stderr).all() == known
        assert (found.estimate(name).n == networks).all()
    assert np.isfinite(found.frontier().beta.stderr).all() == known
    assert ("no error bar: fewer than 32 networks" in str(found.summary())) != known


def test_points_of_one_h_are_dependent_and_of_two_are_not():
    found = heat_map(NETWORK, hurst=[0.3, 0.6], beta=[0.2, 0.8], networks=40, n_inputs=1, progress=False).growth
    assert np.isnan((found[0, 0] - found[0, 1]).stderr)
    between = float((found[0, 0] - found[1, 0]).stderr)
    assert between == pytest.approx(np.hypot(found.stderr[0, 0], found.stderr[1, 0]))


def of_values(values: np.ndarray, beta: list[float]) -> HeatMap:
    """A map of one row whose logarithms are given."""
    sums = RowSums.of(values)
    return HeatMap(
        NETWORK, np.array([0.3]), np.array(beta), values.shape[2], 0, (1,), len(values), np.array([len(values)]),
        ("2", "cpu-baseline"), None, (), 0, None, (sums,),
    )  # fmt: skip


def test_what_explodes_and_what_stays_where_it_is_counts_as_infinite_and_is_said():
    values = np.random.default_rng(0).normal(size=(40, 4, 3, 2))
    values[3, 1, 2, 1] = -np.inf
    values[5, 2, 0, 1] = np.inf
    values[[7, 8], 3, 0, 1] = np.inf, -np.inf
    found = of_values(values, [0.0, 0.1, 0.2, 0.3])
    e = found.displacement
    assert e.value[0, 1] == -np.inf
    assert e.value[0, 2] == np.inf
    assert np.isnan(e.value[0, 3])  # infinite both ways
    assert np.isfinite(e.stderr).tolist() == [[True, False, False, False]]
    assert found.zeros("displacement").tolist() == [[0, 1, 0, 1]]
    assert found.exploded("displacement").tolist() == [[0, 0, 1, 1]]
    assert np.isfinite(found.growth.stderr).all()
    text = str(found.summary())
    assert "points with inputs that stay where they are, and count as -infinity: 2 of |h_L - h_0|/|h_0|" in text
    assert "points with inputs that explode: 2 of |h_L - h_0|/|h_0|" in text


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([2.0, 1.0, -1.0, -2.0], 0.15),
        ([2.0, -1.0, 1.0, -3.0], 0.225),  # the last crossing, if noise makes several
        ([np.inf, 1.0, -1.0, -2.0], 0.15),
        ([2.0, np.inf, -1.0, -2.0], np.nan),
        ([-1.0, -1.0, -2.0, -3.0], np.nan),
        ([3.0, 2.0, 1.0, 0.5], np.nan),
    ],
)
def test_the_frontier_lies_where_the_mean_crosses_0_or_nowhere(means, expected):
    ten = 2.0 * np.log(10.0)
    values = np.broadcast_to(ten * np.array(means)[None, :, None, None], (3, 4, 2, 2)).copy()
    frontier = of_values(values, [0.0, 0.1, 0.2, 0.3]).frontier()
    np.testing.assert_allclose(frontier.beta.value, [expected], atol=1e-12)
    assert frontier.limit.tolist() == [0.5]


def test_the_frontier_of_deep_networks_rises_with_h_and_with_the_depth():
    """At a finite depth it is below its limit; H = .9 and .3 are 20 standard errors apart."""

    def frontier(depth: int) -> Any:
        model = ResidualNetwork(8, depth, block="v-phi-w")
        beta = np.linspace(0.3, 1.0, 8)
        return heat_map(model, hurst=[0.3, 0.9], beta=beta, networks=64, n_inputs=1, gradients=False, progress=False)

    shallow, deep = (frontier(depth).frontier().beta for depth in (30, 300))
    assert (shallow.value < deep.value).all()
    assert (deep.value < [0.5, 0.9]).all()
    assert deep.value[1] - deep.value[0] > 5.0 * np.hypot(*deep.stderr)


def test_the_frontier_as_the_depth_grows_is_said_in_a_formula():
    assert "as L grows: H, by which small" in str(heat_map(ResidualNetwork(4, 3), **SMALL, progress=False).frontier())
    signed = ResidualNetwork(4, 3, activation="balanced")  # its signs are drawn in every layer
    assert "as L grows: max(H, 1/2), by" in str(heat_map(signed, **SMALL, progress=False).frontier())


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hurst": [0.5, 1.0]}, r"hurst=1\.0 is out of range: it must be above 0 and below 1"),
        ({"hurst": [0.0]}, r"hurst=0\.0 is out of range"),
        ({"hurst": []}, "hurst has 0 values: it must have 1 to 4096"),
        ({"hurst": [0.5, 0.2, 0.5]}, r"hurst holds 0\.5 twice"),
        ({"hurst": 0.5}, r"hurst=0\.5 is not allowed: it must be a list of numbers"),
        ({"hurst": "0.5"}, "hurst='0.5' is not allowed: it must be a list of numbers"),
        ({"hurst": ["a"]}, "hurst='a' is not allowed: it must be a finite number"),
        ({"hurst": [[0.1, 0.2]]}, "hurst="),
        ({"hurst": np.full((2, 2), 0.5)}, "it must be a list of numbers"),
        ({"beta": []}, "beta has 0 values"),
        ({"beta": [1, 1.0]}, r"beta holds 1\.0 twice"),
        ({"beta": {0.5}}, "beta={0.5} is not allowed: it must be a list of numbers"),
        ({"beta": [float("nan")]}, "beta=nan is not allowed: it must be a finite number"),
        ({"beta": [0.5, 20.0]}, r"beta=20\.0 is not allowed at depth=12: scaling=.* from 2\^-40 to 2\^40"),
        ({"beta": [True]}, "beta=True is not allowed"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"networks": 2.5}, r"networks=2\.5 is not allowed"),
        ({"networks": 1 << 20, "hurst": np.linspace(0.1, 0.9, 1000)}, "averages take .* GB"),
        ({"n_inputs": 0}, "n_inputs=0 is out of range"),
        ({"n_inputs": 1 << 17}, "n_inputs=131072 is out of range"),
        ({"n_inputs": 1 << 16, "beta": np.linspace(0, 1, 257)}, "n_inputs=65536 is too many for 257 exponents"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"gradients": 1}, "gradients=1 is not allowed"),
        ({"device": "tpu"}, "device='tpu' is not allowed"),
        ({"store": 3}, "store=3 is not allowed"),
        ({"engine": 3}, "engine=3 is not allowed"),
        ({"workers": 0}, "workers=0 is out of range"),
        ({"progress": "no"}, "progress='no' is not allowed"),
        ({"replace": 1}, "replace=1 is not allowed"),
    ],
)
def test_what_no_map_can_be_made_of_is_refused_in_a_sentence_before_any_work(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        small(**{"store": tmp_path / "store", **changes})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resmc.ResNet(4, 3, 0.6, 0.8), r"model=.* is not allowed: it must be a ResidualNetwork"),
        (ResidualNetwork(4, 3, scaling=(1.0, 2.0, 3.0)), "scaling=.* is not allowed in a heat map, whose exponents"),
        (ResidualNetwork(4, 3, carry=0.9), r"carry=0\.9 is not allowed in a heat map: it must be 1"),
        (ResidualNetwork(4, 3, weights="uniform"), "weights='uniform' is not allowed in a heat map, which gives its"),
        (ResidualNetwork(4, 3, weights=Weights(depth=SmoothProcess())), "weights=.* is not allowed in a heat map"),
        (ResidualNetwork(4, 3, input=(1.0, 2.0)), "input=.* is not allowed in a heat map, which draws its own inputs"),
        (ResidualNetwork(4, 3, input_norm=2.0), r"input_norm=2\.0 is not allowed in a heat map"),
    ],
)
def test_networks_that_a_map_cannot_have_are_refused_in_a_sentence(model, words):
    with pytest.raises(ValueError, match=words):
        heat_map(model, **SMALL, progress=False)


def test_a_network_of_fractional_noise_or_another_exponent_gives_the_same_map():
    other = ResidualNetwork(
        6, 12, block="v-phi-w", scaling=DepthScaling(0.9), weights=Weights(depth=FractionalNoise(0.3))
    )
    assert same(heat_map(other, **SMALL, progress=False), small())
