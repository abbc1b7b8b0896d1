"""Networks trained side by side have the gradients of autograd, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, SmoothProcess, Weights  # noqa: E402
from resmc.models.activations import ACTIVATIONS  # noqa: E402
from resmc.models.blocks import BLOCKS  # noqa: E402
from resmc.torch_module.chunks import BY_LAYER, Chunk  # noqa: E402
from resmc.torch_module.ensemble import Ensemble  # noqa: E402
from resmc.torch_module.members import CACHE, cuts  # noqa: E402

Tensor = Any
MEMBERS = 4
LAWS = ("gaussian", Weights("uniform"), Weights(depth=FractionalNoise(0.7)), Weights(depth=SmoothProcess()))


def models(block: str, activation: str, width: int = 6, bias: float = 0.0, inside: bool = False) -> list[Any]:
    """Four models of one shape that differ in all else."""
    return [
        ResidualNetwork(
            width, 5, block, activation, carry=1.0 - 0.05 * i, scaling=DepthScaling(0.3 + 0.1 * i, 1.0, inside),
            weights=law, bias=bias * (1 + i),
        )
        for i, law in enumerate(LAWS)
    ]  # fmt: skip


def ensemble_of(
    block: str, activation: str, ends: str = "trained", scales: str = "fixed", start: float = 1.0, **settings: Any
) -> Ensemble:
    """An ensemble of four models, in float64; identity ends take the width for features and outputs."""
    made = models(block, activation, **settings)
    features, outputs = (made[0].width,) * 2 if ends == "identity" else (3, 4)
    kinds: dict[str, Any] = {"dtype": torch.float64, "workers": 1, "scales": scales, "start": start}
    return Ensemble(made, [0, 7, 3, 7], 5, features=features, outputs=outputs, ends=ends, **kinds)


def task(ensemble: Ensemble, loss: str, batch: int = 5) -> tuple[Tensor, Tensor]:
    """Inputs and targets of every member's own."""
    generator = torch.Generator().manual_seed(1)
    members, outputs = len(ensemble.models), ensemble.shape.outputs
    x = torch.randn(members, batch, ensemble.shape.features, generator=generator, dtype=torch.float64)
    if loss == "cross_entropy":
        return x.to(ensemble.dtype), torch.randint(0, outputs, (members, batch), generator=generator)
    y = torch.randn(members, batch, outputs, generator=generator, dtype=torch.float64)
    return x.to(ensemble.dtype), y.to(ensemble.dtype)


def gradient(ensemble: Ensemble, name: str) -> Tensor:
    """The gradients of all members, padding included."""
    found = [chunk.parameters[name].grad for chunk in ensemble.chunks]
    return torch.cat([one for one in found if one is not None], 1 if name in BY_LAYER else 0)


def by_autograd(ensemble: Ensemble, member: int, x: Tensor, y: Tensor, loss: str) -> tuple[Tensor, Any]:
    """Loss of one member, and its module with gradients."""
    module = ensemble.module([member])
    out = module(x[member])[0]
    of = torch.nn.functional.cross_entropy if loss == "cross_entropy" else torch.nn.functional.mse_loss
    value = of(out, y[member])
    value.backward()
    return value.detach(), module


def largest_error(ensemble: Ensemble, loss: str) -> float:
    """The largest |gradient - autograd's|/|autograd's| of any weights of any member."""
    x, y = task(ensemble, loss)
    losses, errors = ensemble.gradients(x, y, loss), []
    for member in range(len(ensemble.models)):
        value, module = by_autograd(ensemble, member, x, y, loss)
        errors.append(abs(float(losses[member] - value)))
        for name in ensemble.chunks[0].parameters:
            found, true = ensemble.shape.unpadded(name, gradient(ensemble, name)), getattr(module, name).grad
            size = float(true.norm())
            if name == "s" and ensemble.shape.scales == "shared":  # the layers' gradients may cancel in the sum
                true = true.sum(0, keepdim=True)
            one = found[:, [member]] if name in BY_LAYER else found[[member]]
            errors.append(float((one - true).norm()) / size)
            assert one.norm() > 0.0
    return max(errors)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_are_those_of_autograd(block: str, activation: str) -> None:
    assert largest_error(ensemble_of(block, activation), "cross_entropy") < 1e-12


@pytest.mark.parametrize("activation", ["balanced", "sigmoid", "tanh", "linear"])
@pytest.mark.parametrize(
    ("block", "inside"), [("phi-in", False), ("phi-out", False), ("phi-out", True), ("v-phi-w", False)]
)
def test_gradients_with_bias_and_untrained_ends_are_those_of_autograd(
    block: str, inside: bool, activation: str
) -> None:
    for ends in ("fixed", "identity"):
        assert largest_error(ensemble_of(block, activation, ends, bias=0.3, inside=inside), "mean_square") < 1e-12


@pytest.mark.parametrize("activation", ["balanced", "sigmoid", "relu"])
@pytest.mark.parametrize(
    ("block", "inside"), [("phi-in", False), ("phi-out", False), ("phi-out", True), ("v-phi-w", False)]
)
def test_gradients_of_scale_factors_are_those_of_autograd(block: str, inside: bool, activation: str) -> None:
    for scales, bias in (("shared", 0.3), ("layers", 0.3), ("layers", 0.0)):
        ensemble = ensemble_of(block, activation, scales=scales, start=0.7, bias=bias, inside=inside)
        assert "s" in ensemble.chunks[0].parameters
        assert largest_error(ensemble, "cross_entropy") < 1e-12


def test_the_comparison_with_autograd_sees_a_scale_factor_that_is_not_the_one_trained() -> None:
    """A negative control: passes with a copy of the factors, one of which is off, as if a view had been lost."""
    ensemble = ensemble_of("phi-out", "relu", scales="layers")
    for chunk in ensemble.chunks:
        chunk.passes.scales = chunk.passes.scales * torch.linspace(1.0, 1.001, 5)[:, None, None, None]
    assert largest_error(ensemble, "cross_entropy") > 1e-6


@pytest.mark.parametrize("scales", ["shared", "layers"])
def test_scale_factors_are_trained_as_torch_trains_them(scales: str) -> None:
    """Three steps of Adam, beside the same steps of a module whose factors are one or all of them."""
    ensemble = ensemble_of("v-phi-w", "tanh", scales=scales, start=0.5, bias=0.2)
    x, y = task(ensemble, "cross_entropy")
    modules = [ensemble.module([member]) for member in range(MEMBERS)]
    theirs = [torch.optim.Adam(module.parameters(), lr=0.05) for module in modules]
    ours = {chunk: torch.optim.Adam(chunk.parameters.values(), lr=0.05) for chunk in ensemble.chunks}
    for _ in range(3):
        ensemble.gradients(x, y, "cross_entropy", lambda chunk: ours[chunk].step())
        for member, (module, optimizer) in enumerate(zip(modules, theirs, strict=True)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x[member])[0], y[member]).backward()
            if scales == "shared":
                module.s.grad[:] = module.s.grad.sum(0)
            optimizer.step()
    for member, module in enumerate(modules):
        for name in ensemble.chunks[0].parameters:
            found = ensemble.weights(name)
            one = found[:, [member]] if name in BY_LAYER else found[[member]]
            assert torch.allclose(one, getattr(module, name), rtol=1e-8, atol=1e-9), name
    start = ensemble_of("v-phi-w", "tanh", scales=scales).weights("s")
    assert float((ensemble.weights("s") - start).abs().amax(0).min()) > 0.01


def test_scale_factors_begin_as_the_models_own_or_as_normals_of_that_size() -> None:
    """Of 500 x 8 normals: false alarm in 1 of 10^6 runs; the seed is fixed."""
    model = ResidualNetwork(4, 500, "phi-out", scaling=DepthScaling(1.0))
    drawn = Ensemble([model] * 8, range(8), features=3, outputs=2, scales="layers").weights("s").double() * 500
    assert drawn.shape == (500, 8)
    assert abs(float(drawn.square().mean()) - 1.0) < 5.0 * (2.0 / 4000) ** 0.5
    assert abs(float(drawn.mean())) < 5.0 / 4000**0.5
    few = Ensemble([model] * 2, [5, 2], features=3, outputs=2, scales="layers").weights("s").double() * 500
    assert torch.equal(few, drawn[:, [5, 2]])
    shared = Ensemble([model] * 2, range(2), features=3, outputs=2, scales="shared")
    assert torch.equal(shared.weights("s"), torch.full((500, 2), 1 / 500))


def test_weights_begin_as_so_many_times_those_of_the_law() -> None:
    whole, small = ensemble_of("v-phi-w", "tanh", bias=0.2), ensemble_of("v-phi-w", "tanh", bias=0.2, start=2.0**-10)
    for name in ("V", "W", "b"):
        assert torch.equal(small.weights(name), whole.weights(name) * 2.0**-10)
    for name in ("A", "W_out"):
        assert torch.equal(small.weights(name), whole.weights(name))


def test_the_comparison_with_autograd_sees_a_wrong_scale_of_one_layer() -> None:
    ensemble = ensemble_of("v-phi-w", "tanh")
    ensemble.chunks[0].passes.scales[2] *= 1.001
    assert largest_error(ensemble, "cross_entropy") > 1e-6


@pytest.mark.parametrize("block", BLOCKS)
def test_padding_stays_zero_through_updates(block: str) -> None:
    ensemble = ensemble_of(block, "sigmoid", bias=0.1)
    x, y = task(ensemble, "cross_entropy")
    optimizers = {chunk: torch.optim.Adam(chunk.parameters.values(), lr=0.1) for chunk in ensemble.chunks}
    for _ in range(3):
        ensemble.gradients(x, y, "cross_entropy", lambda chunk: optimizers[chunk].step())
    for chunk in ensemble.chunks:
        for name, one in chunk.weights.items():
            inner = ensemble.shape.unpadded(name, one)
            assert int((one != 0).sum()) == int((inner != 0).sum())


def test_members_begin_with_the_weights_of_their_networks() -> None:
    ensemble = ensemble_of("v-phi-w", "balanced", bias=0.2)
    for member, (model, network) in enumerate(zip(ensemble.models, ensemble.networks, strict=True)):
        module, found = model.to_torch(5, network), ensemble.module([member])
        for name in ("V", "W", "b", "signs"):
            assert torch.equal(getattr(module, name), getattr(found, name)[:, 0])
    A, W_out = ensemble.weights("A"), ensemble.weights("W_out")
    assert torch.equal(A[1], A[3])
    assert torch.equal(W_out[1], W_out[3])
    assert not torch.equal(A[0], A[1])
    assert not torch.equal(W_out[0], W_out[1])
    assert not torch.equal(ensemble.fresh_rows()[1], W_out[1, -1])


def test_ends_have_the_variances_that_are_said() -> None:
    """Of 32 x 64 x 40 normals: false alarm in 1 of 10^6 runs; the seed is fixed."""
    model = ResidualNetwork(40, 1)
    ensemble = Ensemble([model] * 32, range(32), features=64, outputs=64)
    for name, size in (("A", 64), ("W_out", 40)):
        square = float((ensemble.weights(name).double() ** 2).mean()) * size
        assert abs(square - 1.0) < 5.0 * (2.0 / (32 * 64 * 40)) ** 0.5


def many(workers: int) -> Ensemble:
    return Ensemble([ResidualNetwork(8, 6, "v-phi-w")] * 6, range(6), features=3, outputs=2, workers=workers)


def trained(ensemble: Ensemble, x: Tensor, y: Tensor, steps: int = 4, rates: Sequence[float] = ()) -> list[Tensor]:
    """Losses of some steps of gradient descent, with momentum."""
    rates = rates or [0.05] * len(ensemble.chunks)
    optimizers = {
        chunk: torch.optim.SGD(chunk.parameters.values(), lr=rate, momentum=0.9, fused=True)
        for chunk, rate in zip(ensemble.chunks, rates, strict=True)
    }
    return [ensemble.gradients(x, y, "cross_entropy", lambda chunk: optimizers[chunk].step()) for _ in range(steps)]


def test_threads_change_no_bit_of_training() -> None:
    one, two = many(1), many(2)
    x, y = task(one, "cross_entropy")
    assert torch.equal(torch.stack(trained(one, x, y)), torch.stack(trained(two, x, y)))
    for name in ("V", "W", "A", "W_out"):
        assert torch.equal(one.weights(name), two.weights(name))


def test_training_lowers_the_loss_of_every_member() -> None:
    ensemble = many(2)
    losses = trained(ensemble, *task(ensemble, "cross_entropy"), steps=30)
    assert bool((losses[-1] < 0.5 * losses[0]).all())


def test_members_of_different_groups_lie_in_different_chunks() -> None:
    model = ResidualNetwork(8, 2)
    ensemble = Ensemble([model] * 5, range(5), features=3, outputs=2, groups=[0.1, 0.1, 0.5, 0.5, 0.5])
    assert [chunk.members for chunk in ensemble.chunks] == [range(2), range(2, 5)]


@pytest.mark.parametrize("size", [CACHE // 200, CACHE // 73, CACHE // 2])
@pytest.mark.parametrize("runs", [1, 3])
def test_large_runs_are_cut_into_pairs_of_chunks_which_two_threads_share(runs: int, size: int) -> None:
    chunks = list(cuts([rate for rate in range(runs) for _ in range(150)], size, True))
    assert [member for chunk in chunks for member in chunk] == list(range(150 * runs))
    sizes = [len(chunk) for chunk in chunks]
    assert len(sizes) % (2 * runs) == 0
    assert max(sizes) <= min(sizes) + 1
    assert max(sizes) * size <= CACHE


def test_small_runs_are_a_chunk_each_unless_there_is_one_alone() -> None:
    assert [len(list(cuts([0] * 6 + [1] * last, CACHE // 12, True))) for last in (0, 6, 7)] == [2, 2, 3]


def test_members_that_are_few_have_chunks_of_their_own() -> None:
    assert [list(cuts([0] * members, 1, True)) for members in (1, 2)] == [[range(1)], [range(1), range(1, 2)]]
    assert list(cuts([0] * 3, CACHE, True)) == [range(1), range(1, 2), range(2, 3)]


def test_a_member_whose_loss_is_not_finite_stops_and_changes_no_bit_of_others() -> None:
    sound, ill = many(2), many(2)
    x, y = task(sound, "cross_entropy")
    spoilt = x.clone()
    spoilt[1] *= 1e38
    expected, found = trained(sound, x, y), trained(ill, spoilt, y)
    assert ill.alive.tolist() == [True, False, True, True, True, True]
    others = [0, 2, 3, 4, 5]
    assert torch.equal(torch.stack(expected)[:, others], torch.stack(found)[:, others])
    assert bool(torch.isinf(torch.stack(found)[:, 1]).all())
    for name in ("V", "W", "A", "W_out"):
        start, axis = many(1).weights(name), 1 if name in BY_LAYER else 0
        assert torch.equal(ill.weights(name).select(axis, 1), start.select(axis, 1))
        assert not torch.equal(ill.weights(name).select(axis, 0), start.select(axis, 0))


def test_frozen_members_keep_their_weights_while_momentum_goes_on() -> None:
    ensemble = many(1)
    x, y = task(ensemble, "cross_entropy")
    optimizers = {chunk: torch.optim.Adam(chunk.parameters.values(), lr=0.1) for chunk in ensemble.chunks}

    def update(chunk: Chunk) -> None:
        optimizers[chunk].step()

    ensemble.gradients(x, y, "cross_entropy", update)
    ensemble.freeze(torch.tensor([False, False, True, False, False, False]))
    before = ensemble.weights("V")
    ensemble.gradients(x, y, "cross_entropy", update)
    after = ensemble.weights("V")
    assert torch.equal(before[:, 2], after[:, 2])
    assert not torch.equal(before[:, 1], after[:, 1])
    assert not bool(gradient(ensemble, "V")[:, 2].any())


def test_outputs_do_not_depend_on_how_many_examples_are_asked_for() -> None:
    ensemble = ensemble_of("phi-in", "gelu")
    x = torch.randn(600, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    out = ensemble.outputs(x)
    assert out.shape == (MEMBERS, 600, 4)
    assert torch.allclose(out[:, 590:], ensemble.outputs(x[590:]), rtol=1e-13, atol=1e-13)
    assert torch.allclose(out[2], ensemble.module([2])(x)[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("block", BLOCKS)
def test_norms_of_states_and_gradients_are_those_of_autograd(block: str) -> None:
    ensemble = ensemble_of(block, "sigmoid", bias=0.2)
    x, _ = task(ensemble, "cross_entropy", batch=70)
    ensemble.gradients(*task(ensemble, "cross_entropy"), "cross_entropy")
    left = [one.grad.clone() for chunk in ensemble.chunks for one in chunk.parameters.values()]
    h2, p2, rows = ensemble.state_norms(x), ensemble.gradient_norms(x), ensemble.fresh_rows()
    assert all(map(torch.equal, left, [one.grad for chunk in ensemble.chunks for one in chunk.parameters.values()]))
    assert h2.shape == p2.shape == (6, MEMBERS, 70)
    for member in (0, 3):
        _, hs = ensemble.module([member])(x[member], return_layers=True)
        ps = torch.autograd.grad((hs[-1] @ rows[member]).sum(), hs)
        for k in range(6):
            assert torch.allclose(h2[k, member], hs[k][0].square().sum(-1), rtol=1e-12)
            assert torch.allclose(p2[k, member], ps[k][0].square().sum(-1), rtol=1e-12)


def test_modules_have_members_of_one_model_side_by_side() -> None:
    ensemble = many(1)
    module, x = ensemble.module([4, 1]), torch.randn(5, 3)
    assert torch.allclose(module(x), ensemble.outputs(x)[[4, 1]], rtol=1e-5, atol=1e-6)
    assert module.V is not None
    assert module.V.dtype == torch.float32
    for members in ([], [6], [0.5]):
        with pytest.raises(ValueError, match="member"):
            ensemble.module(members)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one model"):
        ensemble_of("phi-in", "relu").module([0, 1])


MODEL = ResidualNetwork(8, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": []}, "at least one"),
        ({"networks": [0]}, "2 models with 1 networks"),
        ({"networks": [0, -1]}, "network=-1"),
        ({"models": [MODEL, "phi-in"]}, "must be resmc.ResidualNetwork"),
        ({"models": [MODEL, ResidualNetwork(8, 3)]}, "depth 2.*depth 3"),
        ({"models": [MODEL, ResidualNetwork(8, 2, bias=0.1)]}, "without bias.*with bias"),
        ({"seed": -1}, "seed=-1"),
        ({"features": 0}, "features=0"),
        ({"outputs": 0}, "outputs=0"),
        ({"ends": "free"}, "ends='free'"),
        ({"ends": "identity"}, "both must be the width, 8"),
        ({"scales": "free"}, "scales='free'"),
        ({"start": 0.0}, "start=0.0"),
        ({"scales": "shared", "models": [ResidualNetwork(8, 2, scaling=[0.1, 0.2])] * 2}, "must be the same in all"),
        ({"groups": [1]}, "groups of 1"),
        ({"dtype": torch.float16}, "dtype=torch.float16"),
        ({"device": "abacus"}, "device='abacus'"),
        ({"workers": 0}, "workers=0"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"models": [MODEL] * 2, "networks": [0, 1], "seed": 0, "features": 3, "outputs": 2}
    with pytest.raises(ValueError, match=message):
        Ensemble(**given | change)


@pytest.mark.parametrize(
    ("x", "y", "loss", "message"),
    [
        (torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64), "cross_entropy", "x of shape"),
        (torch.zeros(5, 3).double(), torch.zeros(5, dtype=torch.int64), "cross_entropy", "float64"),
        (torch.zeros(5, 3), torch.zeros(4, dtype=torch.int64), "cross_entropy", "y of shape"),
        (torch.zeros(5, 3), torch.zeros(5), "cross_entropy", "torch.int64"),
        (torch.zeros(5, 3), torch.full((5,), 2), "cross_entropy", "labels are 0 to 1"),
        (torch.zeros(5, 3), torch.zeros(5), "mean_square", "y of shape"),
        (torch.zeros(5, 3), [0], "cross_entropy", "y="),
        (torch.zeros(5, 3), torch.zeros(5), "hinge", "loss='hinge'"),
    ],
)
def test_bad_data_are_refused(x: Any, y: Any, loss: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        many(1).gradients(x, y, loss)


def test_weights_that_do_not_fit_are_refused_before_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resmc.torch_module.ensemble.available_memory", lambda: 10**4)
    with pytest.raises(ValueError, match=r"2 networks of width 40 and depth 2 need 5.*1e-05 GB are available"):
        Ensemble([ResidualNetwork(40, 2)] * 2, [0, 1], features=3, outputs=2)
