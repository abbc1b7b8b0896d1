"""The map over H and beta after training: rates chosen on validation, means of independent networks, true training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trained_maps import BETA, HURST, NETWORK, RATES, classes, made, small, without_networks

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, Weights
from resmc.experiments.train.choice import best

pytestmark = pytest.mark.cpu
VALIDATION, TEST = 0, 1


def scores(networks: int = 3) -> Any:
    """Random scores of all members, (networks, beta, rate, parts)."""
    return np.random.Generator(np.random.Philox(networks)).uniform(size=(networks, len(BETA), len(RATES), 2))


# ----------------------------------------------------------------------------------------------- from made-up results


def test_the_rate_of_a_point_is_best_on_validation_whatever_the_test_says():
    accuracy = scores()
    found = made(accuracy=accuracy)
    means = accuracy.mean(axis=0)
    for j in range(len(BETA)):
        place = int(means[j, :, VALIDATION].argmax())
        assert (found.learning_rate[:, j] == RATES[place]).all()
        assert found.accuracy.value[0, j] == pytest.approx(means[j, place, TEST])
    changed = accuracy.copy()
    changed[..., TEST] = 1.0 - accuracy[..., TEST]
    assert np.array_equal(made(accuracy=changed).learning_rate, found.learning_rate)
    changed[..., VALIDATION] = 1.0 - accuracy[..., VALIDATION]
    assert not np.array_equal(made(accuracy=changed).learning_rate, found.learning_rate)


def test_of_equal_scores_the_smaller_loss_is_chosen_and_of_equal_losses_the_first():
    assert best(np.array([0.5, 0.7, 0.7]), np.array([0.0, 2.0, 1.0])) == 2
    assert best(np.array([0.7, 0.7]), np.array([1.0, 1.0])) == 0
    assert best(np.array([0.0, 0.0]), np.array([np.inf, np.inf])) == 0
    assert best(np.array([np.nan, 0.1]), np.array([np.nan, 9.0])) == 1
    assert best(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones((2, 2))).tolist() == [1, 0]


def test_a_regression_has_losses_alone_and_the_smallest_on_validation_is_chosen():
    loss = scores()
    found = made(regression=True, loss=loss)
    place = loss.mean(axis=0)[..., VALIDATION].argmin(axis=-1)
    assert np.array_equal(found.learning_rate[0], np.array(RATES)[place])
    assert found.quantities == ("loss", "growth")
    assert found.score == "loss"
    with pytest.raises(ValueError, match="quantity='accuracy' is not there: targets are numbers"):
        assert found.accuracy
    assert "loss there" in str(found.summary())


def test_errors_are_those_of_independent_networks_and_fewer_than_32_have_none():
    accuracy = scores(40)
    accuracy[..., VALIDATION] = [0.1, 0.9]  # the second rate everywhere
    found, chosen = made(40, accuracy=accuracy), accuracy[:, :, 1, TEST]
    np.testing.assert_allclose(found.accuracy.value[1], chosen.mean(axis=0))
    np.testing.assert_allclose(found.accuracy.stderr[1], chosen.std(axis=0, ddof=1) / np.sqrt(40))
    assert np.isnan(made(31, accuracy=accuracy[:31]).accuracy.stderr).all()
    assert "fewer than 32 networks" in str(made(31).summary())
    assert "fewer than 32" not in str(found.summary())


@pytest.mark.long
def test_errors_cover():
    """Of 400 maps with exponential losses 95% are within 1.96 errors: 0.91 to 0.985 by chance but for 1e-3."""
    rng, inside = np.random.Generator(np.random.Philox(3)), 0
    for _ in range(400):
        found = made(64, loss=rng.exponential(size=(64, len(BETA), len(RATES), 2)))
        inside += abs(float(found.loss.value[0, 0]) - 1.0) < 1.96 * float(found.loss.stderr[0, 0])
    assert 0.91 < inside / 400 < 0.985


def test_a_network_that_fails_is_counted_and_makes_the_mean_loss_infinite_where_its_rate_is_chosen():
    loss, accuracy = np.ones((3, len(BETA), len(RATES), 2)), np.full((3, len(BETA), len(RATES), 2), 0.5)
    failed = np.zeros((3, len(BETA), len(RATES)), bool)
    failed[1, 0, 0] = failed[:, 1] = True
    loss[failed], accuracy[failed] = np.inf, 0.0
    found = made(loss=loss, accuracy=accuracy, failed=failed)
    assert found.learning_rate[0].tolist() == [RATES[1], RATES[0], RATES[0]]  # of the first exponent, the sound rate
    assert found.loss.value[0].tolist() == [1.0, np.inf, 1.0]
    assert found.accuracy.value[0].tolist() == [0.5, 0.0, 0.5]
    np.testing.assert_allclose(found.failed[0], [1 / 6, 1.0, 0.0])
    assert found.failures[0].tolist() == [[1, 0], [3, 3], [0, 0]]


def test_the_best_exponent_is_chosen_on_validation_too():
    accuracy = np.full((3, len(BETA), len(RATES), 2), 0.5)
    accuracy[:, 1, 1, VALIDATION], accuracy[:, 2, 0, TEST] = 0.9, 1.0
    found = made(accuracy=(np.full_like(accuracy, 0.1), accuracy))
    assert found.best[1] == 1
    assert found.best_point == (1, 1)
    row = found.summary().rows[1]
    assert row[2] == BETA[1]
    assert row[4] == RATES[1]
    assert found.at_the_edge == 6


def test_a_row_without_networks_has_no_numbers_and_the_summary_says_so():
    found = without_networks(made(), 0)
    assert not found.complete
    assert found.points_complete == 1
    assert np.isnan(found.accuracy.value[0]).all()
    assert np.isnan(found.learning_rate[0]).all()
    assert np.isnan(found.failed[0]).all()
    assert np.isfinite(found.accuracy.value[1]).all()
    assert found.best_point[0] == 1
    text = str(found.summary())
    assert "INCOMPLETE: 1 of 2 rows finished" in text


# ------------------------------------------------------------------------------------------------------- true training


def test_a_row_is_what_fit_makes_of_the_same_networks():
    """The same bits, with the map's own split: a row adds no training of its own."""
    pytest.importorskip("torch")
    x, y = classes()
    found = small()
    data = found.plan.examples
    split = [data.order[data.part(part)] for part in ("training", "validation", "test")]
    for i, row in enumerate(found.plan.rows):
        fitted = resmc.train.fit(
            row.models, x, y, networks=3, seed=row.seed, learning_rate=RATES, epochs=2, batch=16, split=split,
            progress=False,
        )  # fmt: skip
        assert np.array_equal(found.learning_rate[i], fitted.learning_rate)
        assert np.array_equal(found._rows[i].accuracy[..., TEST], fitted.test_accuracy.transpose(2, 0, 1))
        assert np.array_equal(found._rows[i].loss[..., TEST], fitted.test_loss.transpose(2, 0, 1))
        assert np.array_equal(found._rows[i].loss[..., VALIDATION], fitted.validation_loss[..., -1].transpose(2, 0, 1))
    assert not np.array_equal(found.loss.value[0], found.loss.value[1])


def test_the_growth_is_that_of_the_networks_before_training():
    """By a loop over layers in NumPy, with the weights of the models and A of an untrained fit."""
    pytest.importorskip("torch")
    x, y = classes()
    found = small(networks=2)
    data = found.plan.examples
    tests = data.x[data.part("test")].astype(np.float64)
    for i, row in enumerate(found.plan.rows):
        for j, model in enumerate(row.models):
            fitted = resmc.train.fit(model, x, y, networks=2, seed=row.seed, epochs=1, batch=16, progress=False)
            a = fitted.initial_weights("A").astype(np.float64)
            for network in range(2):
                drawn = model.draw_weights(row.seed, network)
                h = start = tests @ a[network].T
                for v, w, s in zip(drawn.V, drawn.W, model.scales, strict=True):
                    h = h + s * np.maximum(h @ w.T, 0.0) @ v.T
                expected = np.log10(np.linalg.norm(h, axis=1) / np.linalg.norm(start, axis=1)).mean()
                assert found._rows[i].growth[network, j] == pytest.approx(expected, abs=2e-6)


def test_rows_have_the_weights_of_the_map_before_training_and_are_independent_of_each_other():
    found = made()
    before = resmc.heat_map(NETWORK, hurst=HURST, beta=BETA, networks=1, n_inputs=1, progress=False)
    assert found.seeds == before.seeds
    assert len(set(found.seeds)) == 2
    assert found.plan.rows[0].models[2].weights == Weights(depth=FractionalNoise(HURST[0]))


def test_networks_that_fail_in_training_are_counted_and_another_rate_is_chosen():
    pytest.importorskip("torch")
    found = small(learning_rate=[0.01, 1e12])
    assert (found.failures == [0, 3]).all()
    assert (found.learning_rate == 0.01).all()
    assert (found.failed == 0.5).all()
    assert np.isfinite(found.loss.value).all()
    hopeless = small(learning_rate=[1e12])
    assert (hopeless.accuracy.value == 0.0).all()
    assert (hopeless.loss.value == np.inf).all()
    assert "no value" not in str(hopeless.summary())


def test_training_fails_where_networks_explode_and_succeeds_beyond_the_frontier():
    """At beta = 0 and H = 0.9 networks of depth 60 explode; smaller branches learn. One network tells them apart."""
    pytest.importorskip("torch")
    deep = ResidualNetwork(8, 60, block="v-phi-w")
    x, y = classes(400)
    found = small(model=deep, X=x, y=y, hurst=[0.9], beta=[0.0, 1.0], learning_rate=[0.05], networks=1, epochs=4)
    assert found.growth.value[0, 0] > 3.0
    assert abs(found.growth.value[0, 1]) < 0.3
    assert found.accuracy.value[0, 1] > 0.85
    assert found.accuracy.value[0, 0] < found.accuracy.value[0, 1]


def test_a_gpu_trains_the_map_that_a_cpu_does_and_one_that_is_not_there_is_refused(tmp_path):
    """Networks are the same before, and rounding alone parts them after."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device='cuda' is not allowed: torch says"):
            small(device="cuda", store=tmp_path / "store")
        assert not (tmp_path / "store").exists()
        return
    ours, theirs = small(device="cuda"), small()
    np.testing.assert_allclose(ours.growth.value, theirs.growth.value, atol=1e-9)
    np.testing.assert_allclose(ours.loss.value, theirs.loss.value, rtol=1e-2)
    assert ours.numerics != theirs.numerics


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": 3}, "model=3 is not allowed: it must be a ResidualNetwork"),
        (
            {"model": ResidualNetwork(4, 6, scaling=[0.5] * 6)},
            "whose exponents take its place",
        ),
        ({"model": ResidualNetwork(4, 6, weights="rademacher")}, "is not allowed in a heat map, which gives its own"),
        ({"model": ResidualNetwork(4, 6, carry=0.5, scaling=DepthScaling(0.0))}, "carry=0.5 is not allowed"),
        ({"hurst": [1.0]}, "hurst"),
        ({"beta": []}, "beta has 0 values"),
        ({"beta": [1e6]}, r"beta=1000000\.0 is not allowed at depth=6"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"learning_rate": [0.1, 0.1]}, "learning_rate"),
        ({"learning_rate": [1e-42]}, "beyond the numbers of float32"),
        ({"epochs": 0}, "epochs=0 is out of range"),
        ({"batch": 100}, "batch=100 is out of range"),
        ({"ends": "identity"}, "ends='identity' is not allowed"),
        ({"y": np.full(60, np.nan)}, "NaN"),
        ({"device": "tpu"}, "device='tpu' is not allowed"),
        ({"engine": "x", "workers": 1}, "engine='x' is not allowed: it must be None or 'threads'"),
        ({"seed": -1}, "seed=-1 is out of range"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence_before_anything_is_written(changes, words, tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=words):
        small(store=tmp_path / "store", **changes)
    assert not (tmp_path / "store").exists()
