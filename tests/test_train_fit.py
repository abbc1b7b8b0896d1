"""Training networks side by side: it is the descent that torch does, network by network, whatever stands beside them.

The networks are fixed by their seeds, and compared with ordinary loops of torch's, or in every bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, SmoothProcess, Weights
from resmc.experiments.train.data import checked_data
from resmc.train import Fit, fit, gaussian_regression, ode_task

torch = pytest.importorskip("torch")

from resmc.experiments.train.fit import train_members  # noqa: E402
from resmc.experiments.train.training import named_device  # noqa: E402

MODEL = ResidualNetwork(6, 3, "v-phi-w", "tanh")
OTHERS = (
    replace(MODEL, scaling=DepthScaling(1.0)),
    ResidualNetwork(6, 3, "phi-out", "balanced", bias=0.2, scaling=DepthScaling(0.5, inside=True)),
    ResidualNetwork(4, 2, "phi-in", "gelu"),
)


def blobs(count: int = 60, features: int = 5) -> tuple[Any, Any]:
    """Three classes of points around centres that are far apart."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    return 3.0 * rng.standard_normal((3, features))[y] + 0.1 * rng.standard_normal((count, features)), y


def trained(models: Any = MODEL, X: Any = None, y: Any = None, **given: Any) -> Fit:
    x, labels = blobs()
    arguments: dict[str, Any] = {"epochs": 2, "batch": 8, "learning_rate": 0.1, "workers": 1, "progress": False}
    return fit(models, x if X is None else X, labels if y is None else y, **(arguments | given))


def assert_same(one: Fit, other: Fit) -> None:
    """All numbers and all weights of two fits are equal in every bit."""
    for name in ("training_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy", "finite"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for b in range(len(one.models)):
        for rate in one.settings.rates:
            for name in one.names(b):
                np.testing.assert_array_equal(one.weights(name, b, rate), other.weights(name, b, rate), err_msg=name)


@pytest.mark.parametrize("model", [MODEL, *OTHERS], ids=lambda model: f"{model.block}-{model.activation}")
@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"momentum": 0.9, "weight_decay": 0.02}, lambda of, size: torch.optim.SGD(of, size, 0.9, weight_decay=0.02)),
        ({"optimizer": "adam", "ends": "fixed"}, lambda of, size: torch.optim.Adam(of, size)),
        ({"ends": "identity", "loss": "mean_square"}, lambda of, size: torch.optim.SGD(of, size)),
    ],
    ids=["sgd", "adam", "identity"],
)
def test_training_is_what_an_ordinary_loop_of_torch_does(model, given, made):
    """In full batches, where the order of the examples has no effect, with a step size that falls on the way."""
    identity = given.get("ends") == "identity"
    x, y = ode_task(30, dimension=model.width) if identity else blobs(30)
    found = trained(
        model,
        x,
        y,
        epochs=5,
        batch=20,
        networks=2,
        rate_exponent=-0.5,
        step_epochs=2,
        split=(2 / 3, 1 / 6, 1 / 6),
        **given,
    )
    module = found.initial().double()
    of = [one for name, one in module.named_parameters() if name not in ("A", "W_out") or "ends" not in given]
    optimizer = made(of, 0.1 * model.depth**-0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
    inputs, targets = torch.from_numpy(found.data.x[:20]).double(), torch.from_numpy(found.data.y[:20])
    losses = np.empty((2, 5))
    for epoch in range(5):
        out = module(inputs)
        if identity:
            loss = (out - targets).square().mean((1, 2))
        else:
            loss = torch.stack([torch.nn.functional.cross_entropy(one, targets) for one in out])
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        schedule.step()
        losses[:, epoch] = loss.detach()
    np.testing.assert_allclose(found.training_loss[0, 0], losses, rtol=1e-4)
    for name, one in module.named_parameters():
        moved = np.abs(one.detach().numpy() - found.initial_weights(name)).max()
        # Adam divides by the root of a mean of squares, where rounding of what is nearly 0 has its full effect.
        np.testing.assert_allclose(found.weights(name), one.detach(), atol=1e-5 + 1e-3 * moved, err_msg=name)


def test_networks_begin_as_those_of_the_seed_with_ends_that_all_laws_share():
    found = trained([MODEL, OTHERS[0]], networks=3, seed=5)
    module = MODEL.to_torch(5, range(3))
    for name in ("V", "W"):
        np.testing.assert_array_equal(found.initial_weights(name), getattr(module, name).detach().float())
        np.testing.assert_array_equal(getattr(found.initial(), name).detach(), getattr(module, name).detach().float())
        assert np.abs(found.weights(name) - found.initial_weights(name)).max() > 1e-3
    for name in ("A", "W_out"):
        np.testing.assert_array_equal(found.initial_weights(name, 0), found.initial_weights(name, 1))


def test_each_network_sees_every_example_once_in_an_epoch_in_an_order_of_its_own(monkeypatch):
    """Labels are marks here: what is asked of the ensemble is written down, for all members and steps."""
    from resmc.torch_module.ensemble import Ensemble

    seen: list[Any] = []
    asked = Ensemble.gradients

    def noted(self: Any, x: Any, y: Any, loss: str, update: Any = None) -> Any:
        seen.append(y[..., 0].clone().numpy())
        return asked(self, x, y, loss, update)

    monkeypatch.setattr(Ensemble, "gradients", noted)
    x, _ = blobs()
    trained([MODEL, OTHERS[0]], x, np.arange(60.0), networks=2, batch=20, learning_rate=[1e-9, 2e-9])
    marks = np.stack(seen).reshape(2, 2, 2, 2, 2, 20)  # epochs, steps, rates, models, networks, batch
    epochs = np.moveaxis(marks, 1, 4).reshape(2, 2, 2, 2, 40)
    assert all(len(set(one)) == 40 for one in epochs.reshape(-1, 40))
    np.testing.assert_array_equal(epochs, np.broadcast_to(epochs[:, :1, :1], epochs.shape))
    orders = epochs[:, 0, 0].reshape(4, 40)
    assert len({tuple(one) for one in orders}) == 4
    assert set(orders[0]) != set(orders[2])  # 2 of the 42 examples for training are left over in an epoch


def test_no_bit_of_a_network_depends_on_threads_or_on_what_is_trained_beside_it():
    several = trained([MODEL, *OTHERS], networks=5, learning_rate=[0.1, 0.3], workers=2)
    assert_same(several, trained([MODEL, *OTHERS], networks=5, learning_rate=[0.1, 0.3], workers=1))
    data = checked_data(*blobs(), replace(several.settings, learning_rate=0.3))
    for b, model in enumerate([MODEL, *OTHERS]):
        alone = train_members([model], [3], replace(several.settings, learning_rate=0.3), data, workers=1)
        for name in alone.names():
            axis = 1 if name in ("V", "W", "b") else 0
            np.testing.assert_array_equal(several.weights(name, b, 0.3).take([3], axis), alone.weights(name))
        np.testing.assert_array_equal(several.training_loss[b, 1, 3:4], alone.training_loss[0, 0])


def test_a_network_that_is_not_finite_is_frozen_and_marked_and_the_others_go_on_as_without_it():
    wild = replace(MODEL, carry=2.0**40, scaling=DepthScaling(0.0, 2.0**40))
    found = trained([MODEL, wild, OTHERS[0]], networks=3, learning_rate=[0.1, 1e25], momentum=0.9)
    np.testing.assert_array_equal(found.finite.all(axis=-1), [[True, False], [False, False], [True, False]])
    assert_same(trained([MODEL, OTHERS[0]], networks=3, momentum=0.9), chosen_only(found, [0, 2]))
    failed = ~found.finite
    assert np.isinf(found.test_loss[failed]).all()
    assert np.isinf(found.validation_loss[failed][:, -1]).all()
    assert (found.test_accuracy[failed] == 0.0).all()
    with pytest.raises(ValueError, match=r"model=1 with learning_rate=1e\+25 .* 3 of 3 networks failed with infinite"):
        found.module(1, 1e25)
    assert found.module(0, 1e25).networks == (3,)
    assert "not finite and frozen" in found.summary()


def test_a_network_that_leaves_the_range_of_numbers_in_the_last_step_has_failed_and_its_rate_is_not_chosen():
    """Outputs that are NaN have an argmax, class 0, which all examples for validation and test are of."""
    x, y = blobs()
    split = (np.arange(42), np.arange(42, 51)[y[42:51] == 0], np.arange(51, 60)[y[51:] == 0])
    found = trained(X=x, y=y, split=split, networks=2, epochs=1, batch=42, learning_rate=[1e-9, 1e20])
    assert np.isfinite(found.training_loss).all()
    np.testing.assert_array_equal(found.finite[0], [[True, True], [False, False]])
    for name in ("validation_loss", "test_loss"):
        assert np.isinf(getattr(found, name)[0, 1]).all()
    for name in ("validation_accuracy", "test_accuracy"):
        assert (getattr(found, name)[0, 1] == 0.0).all()
    assert found.validation_accuracy[0, 0].mean() < 1.0
    assert found.learning_rate == 1e-9
    assert "2 of 4 networks" in found.summary()


def chosen_only(found: Fit, models: list[int]) -> Fit:
    """The part of a fit with these models, at the smallest learning rate."""
    arrays = {
        name: getattr(found, name)[models][:, :1]
        for name in ("training_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy", "finite")
    }
    return replace(
        found,
        models=tuple(found.models[b] for b in models),
        settings=replace(found.settings, learning_rate=found.settings.rates[0]),
        _weights=tuple(
            {name: one[:, :1] if name in ("V", "W", "b") else one[:1] for name, one in found._weights[b].items()}
            for b in models
        ),
        **arrays,
    )


def test_the_learning_rate_is_chosen_on_validation_and_never_on_test():
    """Numbers of three rates and two networks are put into a fit, model by model."""
    accuracy = np.array([[[0.5, 0.7], [0.8, 0.6], [0.6, 0.6]], [[0.5, 0.5], [0.4, 0.6], [0.1, 0.2]], np.zeros((3, 2))])
    loss = np.array(
        [[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]], np.full((3, 2), np.inf)]
    )
    test = np.arange(18.0).reshape(3, 3, 2)
    found = replace(
        trained([MODEL] * 3, networks=2, learning_rate=[0.1, 0.2, 0.3]),
        validation_accuracy=accuracy[..., None],
        validation_loss=loss[..., None],
        test_accuracy=test,
    )
    np.testing.assert_array_equal(found.chosen, [1, 1, 0])
    np.testing.assert_array_equal(found.learning_rate, [0.2, 0.2, 0.1])
    np.testing.assert_array_equal(found.tied, [False, True, True])
    np.testing.assert_array_equal(found.accuracy.value, [2.5, 8.5, 12.5])
    assert "model 1: several learning rates have the same accuracy; 0.2" in str(found.summary())
    np.testing.assert_array_equal(found.weights("V", 1), found.weights("V", 1, 0.2))


def test_means_have_errors_from_32_networks_on_and_share_their_networks():
    found = trained([MODEL, OTHERS[0]], networks=32, epochs=1)
    np.testing.assert_allclose(found.loss.value, found.test_loss[:, 0].mean(axis=-1))
    np.testing.assert_allclose(found.loss.stderr, found.test_loss[:, 0].std(axis=-1, ddof=1) / 32**0.5)
    assert np.isnan((found.loss[0] - found.loss[1]).stderr)
    assert np.isnan(trained(networks=31, epochs=1).loss.stderr).all()


def test_the_device_auto_is_what_the_environment_names_or_the_cpu(monkeypatch, tmp_path):
    monkeypatch.delenv("RESMC_DEVICE", raising=False)
    assert named_device("auto") == named_device("cpu") == "cpu"
    found = trained(device="auto", checkpoint=tmp_path / "file")
    assert found.device == "cpu"
    assert_same(trained(device="cpu", checkpoint=tmp_path / "file"), found)
    monkeypatch.setenv("RESMC_DEVICE", "cuda:1")
    assert named_device("auto") == "cuda:1"
    assert ", on cuda" in str(replace(found, device="cuda"))
    assert ", on " not in str(found)


def test_differences_of_models_are_paired_by_network_and_each_at_its_own_rate():
    found = trained([MODEL, OTHERS[0], MODEL], networks=32, epochs=1, learning_rate=[1e-3, 0.1])
    found = replace(
        found, validation_accuracy=np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])[..., None, None].repeat(32, 2)
    )
    for quantity in ("accuracy", "loss"):
        values = getattr(found, f"test_{quantity}")
        pairs = values[1, 0] - values[0, 1]
        paired = found.difference(1, 0, quantity)
        assert paired.value == pytest.approx(pairs.mean(), rel=1e-12)
        assert paired.stderr == pytest.approx(pairs.std(ddof=1) / 32**0.5, rel=1e-12)
        assert found.difference(0, 1, quantity).value == -paired.value
        same = found.difference(0, 2, quantity)
        assert same.value == same.stderr == 0.0  # as independent means it would have an error
    assert found.difference(1, 0) == found.difference(1, 0, "accuracy")
    few = trained([MODEL, OTHERS[0]], networks=31, epochs=1)
    assert np.isnan(few.difference(1, 0).stderr)
    for given, said in (((3, 0), "a=3"), ((0, -1), "b=-1"), ((0, 1, "speed"), "quantity='speed'")):
        with pytest.raises(ValueError, match=f"{said} is"):
            found.difference(*given)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda y: y[:, None], True),
        (lambda y: y.astype(float), True),
        (lambda y: y, False),  # labels
        (lambda y: y + 0.5, False),
        (lambda y: np.arange(len(y)) * 1.0, False),  # as many values as examples
        (lambda y: np.eye(3)[y], False),
    ],
)
def test_labels_that_are_trained_by_the_mean_square_are_told(made, told):
    x, y = blobs()
    found = str(trained(MODEL, x, made(y), epochs=1, learning_rate=1e-4).summary())
    assert ("give integers of shape (M,) for classes" in found) is told


def test_differences_of_target_values_are_of_losses_which_may_be_infinite():
    x, y = gaussian_regression(60, features=5)
    found = trained([MODEL, OTHERS[0]], x, y, networks=2, epochs=1, learning_rate=0.01)
    assert found.difference(1, 0) == found.difference(1, 0, "loss")
    with pytest.raises(ValueError, match="quantity='accuracy' is not allowed for target values: use quantity='loss'"):
        found.difference(1, 0, "accuracy")
    failed = replace(found, test_loss=np.array([[[1.0, 2.0]], [[np.inf, 1.0]]]))
    assert failed.difference(1, 0).value == np.inf


def test_weights_that_are_handed_out_are_copies():
    found = trained()
    before = found.weights("V")
    found.weights("V")[:] = 0.0
    np.testing.assert_array_equal(found.weights("V"), before)
    assert before.any()


def test_modules_do_what_was_measured():
    found = trained([MODEL, OTHERS[1]], networks=3, epochs=4)
    test = found.data.part("test")
    for b in range(2):
        out = found.module(b)(torch.from_numpy(found.data.x[test]))
        right = (out.argmax(dim=-1).numpy() == found.data.y[test]).mean(axis=-1)
        np.testing.assert_allclose(right, found.test_accuracy[b, 0], rtol=1e-12)


def test_digits_are_learnt_and_shuffled_labels_are_not():
    """One in 10 is right by chance; five standard errors of 540 answers are 6%."""
    pytest.importorskip("sklearn")
    x, y = resmc.train.digits()
    model = ResidualNetwork(16, 8, "v-phi-w", "relu", weights=Weights(depth=SmoothProcess()), scaling=DepthScaling(1.0))
    given: dict[str, Any] = {"epochs": 3, "batch": 32, "networks": 2, "learning_rate": [0.1, 0.3]}
    assert float(trained(model, x, y, **given).accuracy.value[0]) > 0.9
    shuffled = trained(model, x, np.random.default_rng(1).permutation(y), **given)
    assert abs(float(shuffled.accuracy.value[0]) - 0.1) < 0.06


def test_target_values_are_learnt_down_to_their_noise():
    """The noise has a variance of .01, of which 900 squares are within 24% at five standard errors; targets have 1."""
    x, y = gaussian_regression(3000, features=3, outputs=2, noise=0.1)
    found = trained(replace(MODEL, width=8), x, y, epochs=10, batch=32, learning_rate=0.1, momentum=0.9)
    assert 0.0076 < float(found.loss.value[0]) < 0.025
    assert np.isnan(found.accuracy.value).all()
    assert "accuracy" not in str(found.summary())


def test_progress_counts_networks_and_a_bar_shows_the_loss(capsys):
    calls: list[tuple[int, int]] = []
    trained([MODEL, *OTHERS], networks=3, learning_rate=[0.1, 0.2], progress=lambda *call: calls.append(call))
    done, total = zip(*calls, strict=True)
    assert set(total) == {24}
    assert list(done) == sorted(done)
    assert done[-1] == 24
    trained(progress=True)
    assert "loss " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": "relu"}, "models='relu' is not allowed: it must be a ResidualNetwork"),
        ({"models": []}, "models of 0 entries"),
        ({"models": [MODEL, 3]}, r"models\[1\]=3"),
        ({"models": resmc.ResNet(4, 2, 0.7, 0.7)}, "models=ResNet"),
        ({"networks": 0}, "networks=0"),
        ({"batch": 43}, "batch=43 is out of range: there are 42 examples for training"),
        ({"rate_exponent": 99.0}, "the step size is .* at depth 3, beyond the numbers of float32"),
        (
            {"models": replace(MODEL, scaling=[0.1, 0.2, 0.1]), "scales": "shared"},
            "scales='shared' is not allowed with",
        ),
        ({"ends": "identity", "y": blobs()[0]}, "ends='identity' is not allowed with width=6 and 5 features"),
        ({"device": "abacus"}, "device='abacus' is not allowed: torch says"),
        ({"device": "meta"}, "device=.meta. is not allowed: torch says .Cannot copy out of meta"),
        ({"workers": 0}, "workers=0"),
        ({"progress": "bar"}, "progress='bar'"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        trained(**given)


@pytest.mark.parametrize("scales", ["shared", "layers"])
def test_scale_factors_are_weights_of_a_fit_and_of_its_modules(scales):
    model = replace(OTHERS[0], block="phi-out", activation="relu", bias=0.3)
    found = trained(model, networks=3, scales=scales, start=0.5, learning_rate=[0.01, 0.3])
    s, before = found.weights("s", learning_rate=0.3), found.initial_weights("s")
    assert s.shape == before.shape == (3, 3)
    assert (np.abs(s - before).max(axis=0) > 1e-3).all()
    assert (s == s[:1]).all() == (scales == "shared")
    x = torch.from_numpy(found.data.x)
    ours, module = found.ensemble(0, 0.3), found.module(0, 0.3)
    np.testing.assert_array_equal(module.s.detach(), s)
    np.testing.assert_allclose(ours.outputs(x), module(x).detach(), rtol=1e-4, atol=1e-5)
    assert ("one factor s" if scales == "shared" else "factors s_k") + " trained, weights times 0.5" in found.summary()
    alone = trained(model, networks=2, scales=scales, start=0.5, learning_rate=0.3, workers=2)
    np.testing.assert_array_equal(alone.weights("s"), s[:, :2])


def test_fixed_scale_factors_are_no_weights_and_networks_that_begin_otherwise_are_not_those_of_their_model():
    found = trained()
    assert "s" not in found.names()
    assert found.settings.as_drawn
    assert replace(found.settings, scales="shared").as_drawn
    assert not replace(found.settings, scales="layers").as_drawn
    assert not replace(found.settings, start=0.1).as_drawn


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("X",), "name='X'"),
        (("V", 1), "model=1 is out of range"),
        (("V", 0, 0.3), r"learning_rate=0.3 is not allowed: it must be one of \(0.1,\)"),
        (("b",), "name='b'"),
    ],
)
def test_weights_that_are_not_there_are_refused_in_a_sentence(asked, said):
    with pytest.raises(ValueError, match=said):
        trained(epochs=1).weights(*asked)


def test_weights_beyond_the_memory_are_refused_before_they_are_drawn(monkeypatch):
    monkeypatch.setattr("resmc.experiments.train.training.available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"1 networks, those at all rates counted, need .* use fewer networks"):
        trained()
