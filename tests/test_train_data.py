"""Data that networks are trained with: what is made of it, the tasks that are made, and what is refused."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

from resmc.experiments.train.data import Data, checked_data
from resmc.experiments.train.settings import Settings, differences
from resmc.train import digits, gaussian_regression, ode_task


def points(count: int = 40, features: int = 3, classes: int = 2) -> tuple[Any, Any]:
    return np.random.default_rng(0).normal(5.0, 3.0, (count, features)), np.arange(count) % classes


def data(X: Any = None, y: Any = None, split: Any = (0.7, 0.15, 0.15), classes: Any = None, **settings: Any) -> Data:
    x, labels = points()
    return checked_data(x if X is None else X, labels if y is None else y, Settings(**settings), split, classes)


def test_examples_for_training_have_mean_0_and_a_mean_square_of_1_and_the_others_the_same_map():
    found, (x, y) = data(), points()
    trained = found.x[found.part("training")].astype(float)
    np.testing.assert_allclose(trained.mean(axis=0), 0.0, atol=1e-6)
    assert np.mean(trained**2) == pytest.approx(1.0, abs=1e-6)
    size = np.std(x[found.order][: found.sizes[0]] - x[found.order][: found.sizes[0]].mean(axis=0))
    np.testing.assert_allclose((x - x[found.order][: found.sizes[0]].mean(axis=0))[found.order] / size, found.x, 1e-5)
    np.testing.assert_array_equal(found.y, y[found.order])
    assert found.sizes == (28, 6, 6)
    assert sorted(found.order) == list(range(40))


def test_examples_may_stay_as_they_are():
    found = data(standardise=False)
    np.testing.assert_array_equal(found.x, points()[0][found.order].astype(np.float32))
    identity = data(y=points(features=3)[0], ends="identity")
    np.testing.assert_array_equal(identity.x, identity.y)


def test_a_split_by_fractions_depends_on_the_seed_and_one_by_indices_is_what_was_given():
    assert not np.array_equal(data(seed=0).order, data(seed=1).order)
    given = ([0, 1, 2, 3], [5, 4], np.array([6]))
    np.testing.assert_array_equal(data(split=given).order, [0, 1, 2, 3, 5, 4, 6])
    assert data(split=given).sizes == (4, 2, 1)


@pytest.mark.parametrize(
    ("y", "loss", "outputs"),
    [
        (np.array(["b", "a"] * 20), "cross_entropy", 2),
        (["x", "y", "z", "x"] * 10, "cross_entropy", 3),
        (np.arange(40) % 2 == 0, "cross_entropy", 2),
        (np.linspace(0.0, 1.0, 40), "mean_square", 1),
        (np.ones((40, 5), int), "mean_square", 5),
    ],
)
def test_floats_and_matrices_are_target_values_and_all_else_is_labels(y, loss, outputs):
    found = data(y=y)
    assert (found.loss, found.outputs) == (loss, outputs)
    if loss == "cross_entropy":
        assert found.labels is not None
        np.testing.assert_array_equal(found.labels[found.y], np.asarray(y)[found.order])


def test_numbers_may_be_labels_and_labels_numbers_if_a_loss_says_so():
    assert data(y=(np.arange(40) % 2).astype(float), loss="cross_entropy").outputs == 2
    assert data(loss="mean_square").y.shape == (40, 1)
    assert data(y=np.arange(40.0) % 3, classes=3).loss == "cross_entropy"


def test_images_are_flattened_and_tensors_and_frames_are_read():
    torch, pandas = pytest.importorskip("torch"), pytest.importorskip("pandas")
    x, y = points(features=6)
    wanted = data(x, y).digest
    assert data(x.reshape(-1, 3, 2), y).digest == wanted
    assert data(torch.tensor(x, requires_grad=True), torch.tensor(y)).digest == wanted
    assert data(pandas.DataFrame(x), pandas.Series(y)).digest == wanted
    short = torch.tensor(x).bfloat16()  # a type that NumPy has not
    assert data(short, y).digest == data(short.double(), y).digest


def test_the_digest_tells_any_change_of_the_data_and_knows_nothing_of_the_seed():
    x, y = points()
    again = {data(x, y).digest, data(x, y, seed=3).digest, data(x.tolist(), y).digest}
    moved = x.copy()
    moved[7, 1] = np.nextafter(moved[7, 1], 9.0)
    given = ([*range(30)], [30, 31], [32])
    others = [data(moved, y), data(x, y[::-1]), data(x, y, given), data(x, y, ([*range(30)], [31, 30], [32]))]
    assert len(again) == 1
    assert len(again | {one.digest for one in others}) == 5


def test_the_task_of_an_equation_is_its_steps_from_uniform_inputs_to_unit_norm():
    x, y = ode_task(50, seed=3, dimension=4, steps=7)
    start = np.random.Generator(np.random.Philox(3)).uniform(-1.0, 1.0, (50, 4))
    for i in range(50):
        z = start[i]
        for t in range(7):
            z = z + 7**-0.5 * np.tanh(np.sin(5.0 * t * np.pi / 7) * z + np.cos(5.0 * t * np.pi / 7))
        np.testing.assert_allclose(y[i], z / np.sqrt(z @ z), rtol=1e-12)
        np.testing.assert_allclose(x[i], start[i] / np.sqrt(start[i] @ start[i]), rtol=1e-12)
    assert np.abs(ode_task(50, seed=3, dimension=4, steps=7, noise=0.1)[1] - y).max() > 0.01


def test_gaussian_targets_are_linear_but_for_their_noise():
    x, y = gaussian_regression(4000, features=3, outputs=2, noise=0.5)
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    # Squares of 8,000 normals: five standard errors are 8%.
    assert np.mean(left**2) == pytest.approx(0.25, rel=0.08)
    exact = gaussian_regression(100, features=3)
    assert np.abs(exact[1] - exact[0] @ np.linalg.lstsq(*exact, rcond=None)[0]).max() < 1e-12


def test_the_digits_are_those_of_scikit_learn():
    pytest.importorskip("sklearn")
    x, y = digits()
    assert (x.shape, y.shape, x.max(), set(y)) == ((1797, 64), (1797,), 16.0, set(range(10)))


def test_lacking_scikit_learn_is_said_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"install resmc\[digits\]"):
        digits()


def test_data_is_written_in_few_letters():
    assert len(repr(data())) < 1000


X, Y = points()
NAN = np.where(np.arange(40)[:, None] == 3, np.nan, X)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"X": X[:9], "y": Y[:9]}, r"X of shape \(9, 3\) .* M at least 10"),
    ({"X": X[:, 0]}, r"X of shape \(40,\) .* X\[:, None\]"),
    ({"X": X[:, :0]}, r"X of shape \(40, 0\)"),
    ({"X": "words"}, "X='words' is not allowed"),
    ({"X": X + 1j}, "X of complex numbers"),
    ({"X": [[1.0], [1.0, 2.0]]}, "X=.* is not allowed"),
    ({"X": NAN}, "X is not allowed to hold NaN or infinite numbers, which are in 1 of 40 examples: leave"),
    ({"X": X * np.inf}, "in 40 of 40"),
    ({"X": np.ma.masked_array(X, X > 9)}, "X is not allowed to have masked entries, as .* of 120 are"),
    ({"y": np.ma.masked_array(Y, Y > 0)}, "y is not allowed to have masked entries, as 20 of 40 are"),
    ({"X": np.ones((40, 3))}, "X of examples for training that are all the same"),
    ({"X": X * 1e-300, "standardise": False}, "X of examples for training that are all the same in float32"),
    ({"X": X * 1e300, "standardise": False}, "X with numbers of up to .* float32 ends at 3.4e"),
    ({"y": Y[:-1]}, r"y of shape \(39,\) .* 40 labels"),
    ({"y": 3}, r"y of shape \(\)"),
    ({"y": np.zeros((40, 2, 2))}, r"y of shape \(40, 2, 2\)"),
    ({"y": Y + 1j}, "y of shape .* complex"),
    ({"y": np.where(Y == 1, np.nan, 0.0)}, "y is not allowed to hold NaN or infinite numbers, which are in 20 of 40"),
    ({"y": np.where(Y == 1, np.nan, 0.0), "loss": "cross_entropy"}, "y is not allowed to hold NaN, as 20 of 40"),
    ({"y": [None, "a"] * 20}, "y of labels that cannot be sorted .* use one type"),
    ({"y": Y * 0}, "y of 1 class is not allowed"),
    ({"y": Y[:, None], "loss": "cross_entropy"}, r"use y.ravel\(\)"),
    ({"y": np.eye(2)[Y], "loss": "cross_entropy"}, r"use y.argmax\(axis=1\)"),
    ({"y": Y.astype(str), "loss": "mean_square"}, "y=.* is not allowed"),
    ({"y": Y * 1e300, "loss": "mean_square"}, "y with numbers of up to"),
    ({"y": np.arange(40)}, "no example for training of labels"),
    ({"y": Y, "split": ([0, 2, 4], [1], [3])}, "no example for training of label 1"),
    ({"classes": 1}, "classes=1 is out of range"),
    ({"classes": 3}, "no example for training of label 2"),
    ({"y": Y + 1, "classes": 2}, r"y=2 of example 1 is out of range \(20 of 40 labels are\).* from 0 to 1"),
    ({"y": Y - 1, "classes": 2}, "y=-1 of example 0 is out of range"),
    ({"y": Y + 0.5, "classes": 2}, "y=0.5 of example 0"),
    ({"y": Y.astype(str), "classes": 2}, "with classes=2, its labels must be integers"),
    ({"classes": 2, "loss": "mean_square"}, "classes=2 is not allowed with loss='mean_square'"),
    ({"ends": "identity"}, "ends='identity' is not allowed with 3 features and 2 outputs"),
    ({"split": (0.5, 0.5)}, "three fractions"),
    ({"split": (0.5, 0.5, 0.5)}, "which sum to 1"),
    ({"split": (1.0, 0.0, 0.0)}, "three fractions"),
    ({"split": 0.7}, "split=0.7"),
    ({"split": "abc"}, "split='abc'"),
    ({"split": (0.99, 0.005, 0.005)}, "it leaves none for validation"),
    ({"split": ([0, 1], [], [2])}, "indices for validation must be a list of at least one integer"),
    ({"split": ([0, 1], [2], [40])}, "indices for test reach from 40 to 40"),
    ({"split": ([0, -1], [2], [4])}, "indices for training reach from -1"),
    ({"split": ([0, 1], [2], [1.5])}, "indices for test must be"),
    ({"split": ([0, 1], [1], [2])}, "example 1 more than once"),
    ({"split": (Y == 0, Y == 1, Y == 2)}, r"not array\(.* use np.flatnonzero\(mask\)"),
    ({"split": iter((0.7, 0.2))}, r"split=\(0.7, 0.2\)"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_bad_data_is_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        data(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rate": "fast"}, "learning_rate='fast'"),
        ({"learning_rate": []}, "learning_rate has 0 values"),
        ({"learning_rate": [0.1, 0.1]}, "learning_rate holds 0.1 twice"),
        ({"learning_rate": [0.1, 0.0]}, "learning_rate=0.0 .* above 0"),
        ({"learning_rate": None}, "learning_rate=None"),
        ({"learning_rate": [[0.1]]}, "learning_rate="),
        ({"rate_exponent": np.nan}, "rate_exponent=nan"),
        ({"optimizer": "rmsprop"}, "one of 'sgd', 'adam'"),
        ({"momentum": 1.0}, "momentum=1.0 is out of range"),
        ({"momentum": 0.9, "optimizer": "adam"}, "momentum=0.9 is not allowed with optimizer='adam'"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch": 1.5}, "batch=1.5"),
        ({"step_epochs": 0}, "step_epochs=0"),
        ({"decay": 0.0}, "decay=0.0"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"ends": "free"}, "ends='free'"),
        ({"scales": "free"}, "scales='free'"),
        ({"start": 0.0}, "start=0.0"),
        ({"standardise": 1}, "standardise=1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        Settings(**given)


@pytest.mark.parametrize("task", [ode_task, gaussian_regression])
def test_bad_arguments_of_tasks_are_refused_in_a_sentence(task):
    for name, value in (("examples", 9), ("noise", -1.0), ("noise", 1e31), ("seed", 0.5)):
        with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} ")):
            task(**{name: value})


def test_settings_are_read_again_from_their_values_and_tell_how_they_differ():
    settings = Settings(learning_rate=[0.1, 0.01], momentum=0.9, step_epochs=3)
    assert Settings.from_dict(settings.to_dict()) == settings
    assert settings.rates == (0.01, 0.1)
    other = Settings(learning_rate=0.1, momentum=0.9, step_epochs=3)
    assert differences(settings.to_dict(), settings.to_dict()) == []
    assert differences(settings.to_dict(), other.to_dict()) == ["learning_rate=[0.01, 0.1], where it was [0.1]"]


def test_a_step_size_is_a_rate_times_a_power_of_the_depth_among_the_numbers_of_float32():
    assert Settings(rate_exponent=-1.5).step_size(0.1, 100) == pytest.approx(0.1 * 100**-1.5, rel=1e-15)
    for exponent in (100.0, -100.0, 1e9):
        with pytest.raises(ValueError, match="beyond the numbers of float32"):
            Settings(rate_exponent=exponent).step_size(0.1, 100)
