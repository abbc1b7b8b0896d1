"""Training with the adjoint against the number of layers: what succeeds, what is counted, and what is refused.

The networks are fixed by their seeds. Fractions of 32 networks are compared at four standard errors and more, where
the effect is ten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resmc import DepthScaling, ResidualNetwork, ResNet, SmoothProcess, Weights, ode

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

SMOOTH = ResidualNetwork(
    16, 1, "v-phi-w", "tanh", scaling=DepthScaling(1.0, 4.0), weights=Weights(depth=SmoothProcess(0.5))
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small matrices gain nothing from threads, which tests beside these would have to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def blobs(count: int = 60, features: int = 5) -> tuple[Any, Any]:
    """Three classes of points around centres that are far apart."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    return 3.0 * rng.standard_normal((3, features))[y] + 0.1 * rng.standard_normal((count, features)), y


@pytest.fixture(scope="module")
def digits(one_thread: None) -> ode.Success:
    return ode.success(SMOOTH, (2, 3, 4), steps=80, learning_rate=0.3, progress=False)


def small(**given: Any) -> ode.Success:
    model = replace(SMOOTH, width=4, scaling=DepthScaling(1.0, 1.0))
    arguments: dict[str, Any] = {"data": blobs(), "networks": 3, "steps": 3, "batch": 4} | given
    return ode.success(model, arguments.pop("depths", (2, 4)), **arguments)


def test_heun_needs_fewer_layers_than_euler_to_train_with_the_adjoint_and_autograd_succeeds_at_all(digits):
    assert digits.succeeded("autograd").all()
    euler, heun = digits.success("adjoint")
    assert float(heun[1].value - euler[1].value) > 4.0 * float(np.hypot(heun[1].stderr, euler[1].stderr))
    assert float(euler[2].value) > 0.9
    fewer, more = digits.heun_needs_fewer, digits.euler_needs_fewer
    assert float(fewer.value - more.value) > 4.0 * float(np.hypot(fewer.stderr, more.stderr))
    assert "Heun needs fewer layers than Euler in" in str(digits)
    assert "failures are not the adjoint's alone" not in str(digits)


def test_steps_that_are_small_enough_for_both_schemes_show_no_difference():
    """Negative control: at a tenth of the rate nothing fails, so that neither scheme needs fewer layers."""
    found = ode.success(replace(SMOOTH, scaling=DepthScaling(1.0, 1.0)), (3, 4), steps=50, learning_rate=0.1)
    assert found.succeeded().all()
    assert float(found.heun_needs_fewer) == float(found.euler_needs_fewer) == 0.0
    assert float(found.heun_needs_fewer.stderr) > 0.03


def test_the_gradients_error_falls_with_the_depth_and_is_smaller_for_heun(digits):
    median = np.median(digits.start_error, axis=-1)
    assert (median[:, 0] > median[:, 1]).all()
    assert (median[:, 1] > median[:, 2]).all()
    assert (median[1] < median[0]).all()


def test_layers_needed_are_those_from_which_on_all_depths_succeed():
    loss = np.array([[[0.1, 0.1, 2.0, 2.0], [0.1, 2.0, 0.1, 2.0], [0.1, 0.1, 0.1, 2.0]]])
    found = replace(small(depths=(2, 4, 8), schemes="euler"), adjoint_loss=loss, threshold=1.0, networks=4)
    np.testing.assert_array_equal(found.layers_needed(), [[2.0, 8.0, 4.0, np.inf]])
    with pytest.raises(ValueError, match="both are compared"):
        _ = found.heun_needs_fewer


def test_training_is_gradient_descent_of_modules_by_hand():
    """One network of three, followed with autograd by a loop of its own; the same losses come out."""
    found = small(schemes="heun", momentum=0.0, seed=7)
    from resmc.experiments.ode.data import checked_data
    from resmc.experiments.ode.training import BATCHES, FIRST_LAYER

    data = checked_data(blobs(), np.random.Generator(np.random.Philox(7)))
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    first = np.random.Generator(np.random.Philox(np.random.SeedSequence([7, FIRST_LAYER]))).standard_normal((3, 4, 5))
    state = np.random.SeedSequence([7, BATCHES]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    net = replace(found.model, depth=4, n_out=3).to_torch(7, 1, scheme="heun")
    A = torch.from_numpy(first[1]) / 5**0.5

    def loss_at(rows: Any) -> Any:
        return torch.nn.functional.cross_entropy(net.states(x[rows] @ A.T)[-1] @ net.W_out.T, y[rows])

    for _ in range(3):
        gradients = torch.autograd.grad(loss_at(torch.randint(48, (3, 4), generator=generator)[1]), [net.V, net.W])
        with torch.no_grad():
            net.V -= 0.2 * 4 * gradients[0]
            net.W -= 0.2 * 4 * gradients[1]
    assert found.autograd_loss[0, 1, 1] == pytest.approx(loss_at(slice(0, 48)).item(), rel=1e-4)


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    a, b, c = small(), small(), small(seed=1)
    for name in ("adjoint_loss", "autograd_loss", "start_error", "final_error", "adjoint_accuracy"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (getattr(a, name) != getattr(c, name)).any()


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_a_network_beyond_the_range_of_numbers_fails_and_leaves_the_others_alone(scheme):
    from resmc.experiments.ode.data import checked_data
    from resmc.experiments.ode.training import Course, Training

    data = checked_data(blobs(), np.random.default_rng(0))
    training = Training(replace(SMOOTH, width=4), scheme, 4, data, Course(0, 3, 3, 4, 0.1, 0.9, "cpu"))
    losses = []
    for planted in (1.0, 1e30):
        training.start()
        with torch.no_grad():
            training.module.V[:, 0] *= planted
        training.run("adjoint", lambda: None)
        losses.append(training.loss)
    assert np.isfinite(losses[0]).all()
    assert losses[1][0] > 1e6
    np.testing.assert_array_equal(losses[0][1:], losses[1][1:])


def test_training_that_leaves_the_range_of_numbers_is_a_failure():
    wild = small(learning_rate=1e30, steps=5)
    assert not wild.succeeded("autograd").any()
    assert not np.isnan(wild.adjoint_loss).any()
    assert "not all networks succeed with autograd" in str(wild)


def test_data_of_any_size_and_tensors_that_require_a_gradient_train_alike_to_the_last_bit():
    plain, large = small(), small(data=(2.0**700 * X, Y))
    tensors = small(data=(torch.tensor(X, requires_grad=True), [f"class {one}" for one in Y]))
    for found in (large, tensors):
        np.testing.assert_array_equal(found.adjoint_loss, plain.adjoint_loss)
        np.testing.assert_array_equal(found.adjoint_accuracy, plain.adjoint_accuracy)


def test_networks_that_need_more_layers_with_either_scheme_are_counted_in_the_note():
    found = small()
    loss = np.array([[[0.1, 2.0, 2.0], [0.1, 2.0, 0.1]]] * 2)
    assert "; 1 of 3 do not succeed at N = 4 with either" in str(replace(found, adjoint_loss=loss, threshold=1.0))
    assert "with either" not in str(replace(found, adjoint_loss=loss, threshold=3.0))


def test_few_networks_have_no_error_and_progress_ends_where_all_are_done():
    seen = []
    found = small(progress=lambda done, of: seen.append((done, of)))
    assert np.isnan(found.success().stderr).all()
    assert seen[-1] == (3, 3)
    assert found.threshold == pytest.approx(0.5 * np.log(3.0))
    assert found.success().shape == (2, 2)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"install resmc\[digits\], or give data=\(X, y\)"):
        ode.success(SMOOTH)


X, Y = blobs()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depths": (1, 2)}, "depths=1 is out of range: it must be an integer from 2 to 32768"),
        ({"depths": [64, "a"]}, "depths='a' is not allowed: it must be an integer from 2 to 32768"),
        ({"depths": (4,)}, "at least two integers, increasing"),
        ({"schemes": "rk4"}, "schemes='rk4' is not allowed: it must be 'euler', 'heun' or both"),
        ({"momentum": 1.0}, "momentum=1.0 is out of range"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 is not allowed"),
        ({"threshold": -1.0}, "threshold=-1.0 is not allowed"),
        ({"steps": 0}, "steps=0 is out of range"),
        ({"batch": 0}, "batch=0 is out of range"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"device": "abacus"}, "device='abacus' is not allowed: torch says"),
        ({"data": 3}, "data=3 is not allowed: it must be a pair"),
        ({"data": (X, Y[:-1])}, r"data of shapes \(60, 5\) and \(59,\) is not allowed"),
        ({"data": (X + np.nan, Y)}, "is not allowed: it must be a pair"),
        ({"data": (X, 0 * Y)}, "data of 1 class is not allowed: there must be at least 2"),
        ({"data": (0 * X, Y)}, "data of examples that are all the same is not allowed"),
        ({"data": (1j * X, Y)}, "data: X of complex numbers is not allowed"),
        ({"data": (X, np.where(Y == 1, np.nan, Y))}, "y is not allowed to hold NaN, as 20 of 60 labels are"),
        ({"data": (X, ["a", np.nan, "b"] * 20)}, "y is not allowed to hold NaN, as 20 of 60 labels are"),
        ({"data": (X, [1, "a", 2] * 20)}, "y of labels that cannot be sorted is not allowed"),
        ({"data": (X, [1, None, 2] * 20)}, "y of labels that cannot be sorted is not allowed"),
        ({"device": None}, "device=None is not allowed"),
        ({"learning_rate": 1e300}, r"learning_rate=1e\+300 is not allowed: .* at N = 2, beyond the numbers of float32"),
    ],
)
def test_what_is_not_allowed_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        small(**given)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ResNet(4, 2, 0.6, 0.8), "it must be a ResidualNetwork"),
        (replace(SMOOTH, carry=0.5), "carry=0.5 is not allowed"),
        (replace(SMOOTH, activation="balanced"), "activation='balanced' is not allowed"),
    ],
)
def test_networks_that_are_no_steps_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        ode.success(model, (2, 4), data=blobs())
