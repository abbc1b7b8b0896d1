"""Gradients without stored states: right where states are recovered exactly, near elsewhere, never silently wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from resmc import DepthScaling, ResidualNetwork, SmoothProcess, Weights

torch = pytest.importorskip("torch")
from resmc.ode import AdjointWarning, ResidualODE  # noqa: E402
from resmc.torch_module.adjoint import Steps  # noqa: E402
from resmc.torch_module.branches import PulledBlocks  # noqa: E402
from resmc.torch_module.recovery import relative_miss, stretch  # noqa: E402

BLOCKS = ["phi-in", "phi-out", "v-phi-w"]
SCHEMES = ["euler", "heun"]
ACTIVATIONS = ["relu", "balanced", "leaky_relu", "tanh", "sigmoid", "gelu", "centred_softplus", "linear", "silu"]
SMOOTH = Weights(depth=SmoothProcess())


@pytest.fixture(autouse=True)
def no_other_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdjointWarning)
        yield


def model_of(block: str = "v-phi-w", activation: str = "tanh", depth: int = 6, **given: object) -> ResidualNetwork:
    inside = bool(given.pop("inside", False))
    settings = {"scaling": DepthScaling(1.0, 0.8, inside), "bias": 0.3, "weights": SMOOTH} | given
    return ResidualNetwork(5, depth, block, activation, **settings)


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def gradients(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Gradients of a loss with respect to all parameters and the input, in a row."""
    x = x.detach().requires_grad_()
    loss = torch.sin(module(x)).square().sum()
    wanted = [x, *(p for p in module.parameters() if p.requires_grad)]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(
    ("activation", "networks"), [*((activation, 2) for activation in ACTIVATIONS), ("tanh", range(3))], ids=str
)
@pytest.mark.parametrize("block", [*BLOCKS, "inside"])
def test_with_all_states_kept_the_adjoint_is_autograd_to_rounding(block, activation, networks):
    inside = block == "inside"
    model = model_of("phi-out" if inside else block, activation, inside=inside)
    for scheme in SCHEMES:
        given = {"network": networks, "scheme": scheme}
        wanted = gradients(model.to_torch(**given), inputs(4, 1))
        exact = gradients(model.to_torch(**given, backward="adjoint", checkpoint_every=1), inputs(4, 1))
        assert difference(exact, wanted) < 1e-14
        near = gradients(model.to_torch(**given, backward="adjoint", tolerance=1.0), inputs(4, 1))
        assert (1e-9 if activation == "tanh" else 0.0) < difference(near, wanted) < 0.2  # which are not the same states


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("block", BLOCKS)
def test_autograd_the_adjoint_with_tiny_steps_and_finite_differences_agree_to_1e_6(block, scheme):
    model = model_of(block, depth=3, scaling=DepthScaling(0.0, 1e-3))
    autograd, adjoint = (model.to_torch(scheme=scheme, backward=b) for b in ("autograd", "adjoint"))
    x = inputs(3, 1)
    wanted = gradients(autograd, x)
    assert difference(gradients(adjoint, x), wanted) < 1e-6
    quotients, step = [], 1e-5
    with torch.no_grad():
        for p in [x, *autograd.parameters()]:
            flat = p.view(-1)
            for i in range(flat.numel()):
                values, here = [], flat[i].item()
                for sign in (1.0, -1.0):
                    flat[i] = here + sign * step
                    values.append(float(torch.sin(autograd(x)).square().sum()))
                flat[i] = here
                quotients.append((values[0] - values[1]) / (2.0 * step))
    assert difference(torch.tensor(quotients, dtype=torch.float64), wanted) < 1e-6


def test_at_depth_4096_in_float32_the_gradient_is_within_1e_4():
    """Euler's method, smooth weights, tanh: the claim of the adjoint's docstring."""
    found = []
    for backward in ("autograd", "adjoint"):
        model = ResidualNetwork(30, 4096, "phi-out", "tanh", scaling=DepthScaling(1.0), weights=SMOOTH)
        module = model.to_torch(scheme="euler", backward=backward).to(torch.float32)
        module(inputs(8, 1).float()).square().sum().backward()
        found.append(module.W.grad)
    assert 1e-7 < difference(found[1], found[0]) < 1e-4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_checkpoints_bring_the_gradient_nearer(scheme):
    model, x = model_of(depth=32, scaling=DepthScaling(0.5, 0.5)), inputs(4, 1)
    wanted, errors = gradients(model.to_torch(scheme=scheme), x), []
    for every in (None, 8, 2, 1):
        module = model.to_torch(scheme=scheme, backward="adjoint", checkpoint_every=every, tolerance=10.0)
        errors.append(difference(gradients(module, x), wanted))
    assert errors[0] > 1.5 * errors[1] > 3.0 * errors[2] > 0.0
    assert errors[3] < 1e-14


def test_no_states_are_kept_but_the_first_the_last_and_checkpoints_and_four_numbers_of_eight_others():
    saved: list[tuple[int, ...]] = []
    model = model_of(depth=36)
    for every, states, sketches in (
        (None, 2, 8),
        (12, 2 + 2, 6),
        (5, 2 + 7, 7),
        (1, 37, 0),
    ):  # of 4, 8, .. 12, 24 and 20 coincide
        module = model.to_torch(scheme="heun", backward="adjoint", checkpoint_every=every)
        saved.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(tuple(t.shape)) or t, lambda t: t):
            module.states(inputs(7, 5).requires_grad_())
        assert saved.count((7, 5)) == states
        assert saved.count((7, 4)) == sketches
    saved.clear()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(tuple(t.shape)) or t, lambda t: t):
        model.to_torch(scheme="heun").states(inputs(7, 5).requires_grad_())
    assert saved.count((7, 5)) > 2 * 36  # autograd's


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_recovered_input_that_misses_is_warned_of_and_says_by_how_much(scheme):
    model, x = model_of(depth=24, scaling=DepthScaling(0.5, 0.6)), inputs(4, 1)
    module = model.to_torch(scheme=scheme, backward="adjoint", tolerance=1e-6)
    with pytest.warns(
        AdjointWarning, match=rf"miss the true ones by .* through 24 steps of scheme='{scheme}'"
    ) as found:
        gradients(module, x)
    said = float(str(found[0].message).split(" by ")[1].split()[0])
    with torch.no_grad():
        states, steps = module.states(x @ module.A.mT, True), module.steps
        f = module.transposed([module.V, module.W, module.b])
        h = states[-1]
        for k in reversed(range(24)):
            h = steps.method.recovered(f, k, h)
    rows = (h - states[0]).norm(dim=1)
    assert said == pytest.approx(float(rows.max() / states[0].norm(dim=1).square().mean().sqrt()), rel=0.05)
    gradients(model.to_torch(scheme=scheme, backward="adjoint", tolerance=2.0 * said), x)  # no warning


def test_a_miss_at_a_checkpoint_is_warned_of_too():
    model = model_of(depth=24, scaling=DepthScaling(0.5, 0.6))
    module = model.to_torch(scheme="euler", backward="adjoint", tolerance=1e-6, checkpoint_every=12)
    with torch.no_grad():
        for one in (module.V, module.W, module.b):
            one[:12] = 0.0  # these layers are recovered exactly
    with pytest.warns(AdjointWarning, match="a smaller checkpoint_every"):
        gradients(module, inputs(4, 1))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_steps_that_are_not_near_invertible_are_refused_with_step_size_estimate_and_layer(scheme):
    model = model_of("phi-in", "linear", depth=5, bias=0.0, scaling=DepthScaling(0.0, 0.25), weights="gaussian")
    module = model.to_torch(scheme=scheme, backward="adjoint")
    with torch.no_grad():
        module.V.zero_()
        module.V[3] = torch.diag(torch.tensor([5.0, 3.0, -1.0, 0.0, 2.0]))
    with pytest.raises(
        ValueError, match=r"in layer 3 the step size 0\.25 times the Lipschitz constant, .* at 5, is 1\.25"
    ):
        gradients(module, inputs(2, 1))
    with torch.no_grad():
        module.V[3] *= 0.7  # 0.875: near enough
    module.steps = Steps(scheme, 5, "adjoint", tolerance=10.0)
    gradients(module, inputs(2, 1))


def test_weights_that_trained_until_steps_are_not_near_invertible_are_refused_when_a_miss_is_found():
    module = model_of(depth=32).to_torch(scheme="euler", backward="adjoint")
    gradients(module, inputs(3, 1))
    with torch.no_grad():
        module.V *= 100.0
    with pytest.raises(ValueError, match="is not allowed with these weights: in layer"):
        gradients(module, inputs(3, 1))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["tanh", "balanced"])
def test_estimates_of_lipschitz_constants_are_the_norms_of_jacobians(block, activation):
    module = model_of(block, activation, scaling=DepthScaling(1.0, 5.0)).to_torch(4, range(2), scheme="euler")
    f = module.transposed([p for p in (module.V, module.W, module.b) if p is not None])
    x = inputs(2, 3, 5)
    exact = max(
        float(torch.linalg.matrix_norm(torch.autograd.functional.jacobian(one, x[p, i : i + 1])[0, :, 0], 2))
        for p in range(2)
        for i in range(3)
        for one in [lambda h, p=p: module.branch(2, torch.stack([h, h]))[p]]
    )
    assert 0.97 * exact < stretch(f.jacobian(2, x), x, f.axes) < (1.0 + 1e-9) * exact
    assert isinstance(f, PulledBlocks)


def test_a_miss_is_that_of_the_worst_state_over_the_typical_size():
    true = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert float(relative_miss(true + torch.tensor([[0.0, 0.0], [0.0, 1.0]]), true, 1)) == pytest.approx(0.2 * 2**0.5)
    assert float(relative_miss(torch.zeros(2, 2), torch.zeros(2, 2), 1)) == 0.0


# -------------------------------------------------------------------------------------------------- a user's functions


class Convolution(torch.nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.inner = torch.nn.Conv2d(channels, channels, 3, padding=1, dtype=torch.float64)
        self.norm = torch.nn.BatchNorm2d(channels, dtype=torch.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.norm(self.inner(x)))


def convolutions(count: int) -> list[Convolution]:
    torch.manual_seed(3)
    return [Convolution() for _ in range(count)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_functions_of_a_user_have_autograd_s_gradient_where_states_are_kept(scheme):
    x = inputs(4, 3, 5, 5)
    wanted = gradients(ResidualODE(convolutions(6), scheme, 0.2), x)
    exact = gradients(ResidualODE(convolutions(6), scheme, 0.2, "adjoint", checkpoint_every=1), x)
    assert difference(exact, wanted) < 1e-13
    near = gradients(ResidualODE(convolutions(6), scheme, 0.02, "adjoint"), x)
    assert 1e-7 < difference(near, gradients(ResidualODE(convolutions(6), scheme, 0.02), x)) < 1e-2


def test_means_of_batches_follow_the_forward_pass_alone():
    x, found = inputs(4, 3, 5, 5), []
    for backward in ("autograd", "adjoint"):
        module = ResidualODE(convolutions(4), "heun", 0.05, backward)
        gradients(module, x)
        found.append(torch.stack([one.norm.running_mean for one in module.functions]))
    assert difference(found[1], found[0]) < 1e-12
    assert found[0].abs().max() > 1e-4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_module_in_all_layers_gets_the_sum_of_their_gradients(scheme):
    torch.manual_seed(0)
    one = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh()).double()
    x = inputs(5, 4)
    wanted, exact = (
        gradients(ResidualODE([one] * 6, scheme, backward=b, checkpoint_every=every), x)
        for b, every in (("autograd", None), ("adjoint", 1))
    )
    assert difference(exact, wanted) < 1e-14
    assert len(wanted) == 20 + 20


def test_dropout_is_found_when_a_module_goes_back_to_training():
    x = torch.ones(3, 4)
    net = ResidualODE([torch.nn.Dropout(), torch.tanh], backward="adjoint", checkpoint_every=1).eval()
    net(x)
    net.train()
    with pytest.raises(ValueError, match="has another value, as dropout makes it"):
        net(x)


def test_a_refusal_leaves_the_buffers_of_modules_as_one_forward_pass_does():
    norm = torch.nn.BatchNorm1d(4)
    net = ResidualODE([norm, torch.nn.Dropout(), norm, torch.tanh], backward="adjoint")
    with pytest.raises(ValueError, match="as dropout makes it"):
        net(torch.randn(8, 4, generator=torch.Generator().manual_seed(1)))
    assert int(norm.num_batches_tracked) == 2  # the forward pass met it twice


def test_functions_that_the_adjoint_cannot_follow_are_refused():
    x, loose = inputs(3, 4), torch.ones(4, dtype=torch.float64, requires_grad=True)
    with pytest.raises(
        ValueError, match=r"functions\[1\] is not allowed .* a tensor of shape \(4,\) that needs a grad"
    ):
        ResidualODE([torch.tanh, lambda x: loose * x], backward="adjoint")(x)
    gradients(ResidualODE([torch.tanh, lambda x: loose * x]), x)  # autograd can
    with pytest.raises(ValueError, match=r"functions\[0\] is not allowed .* has another value, as dropout makes it"):
        ResidualODE([torch.nn.Dropout(), torch.tanh], backward="adjoint")(x)
    for backward in ("autograd", "adjoint"):
        with pytest.raises(ValueError, match=r"functions\[1\] made \(3, 2\) of a tensor of shape \(3, 4\)"):
            ResidualODE([torch.tanh, lambda x: x[:, :2]], backward=backward)(x)
    for wrong in (x[0], x.long()):
        with pytest.raises(ValueError, match=r"is not allowed: it must be of shape \(batch, \.\.\), and of floats"):
            ResidualODE([torch.tanh] * 2)(wrong)
    with pytest.raises(ValueError, match=r"in layer 0 the step size 2 times the Lipschitz constant, .* is 2, and"):
        ResidualODE([lambda x: x, torch.tanh], step=2.0, backward="adjoint")(x)
    with pytest.raises(ValueError, match="the states of input 1 are not finite in layer 1 of 2"):
        ResidualODE([lambda x: torch.where(x == x[1], torch.inf, 0.0), torch.tanh])(x)
    with pytest.raises(ValueError, match=r"functions\[1\]=3 is not allowed"):
        ResidualODE([torch.tanh, 3])
    with pytest.raises(ValueError, match="1 functions are too few: scheme='heun'"):
        ResidualODE([torch.tanh], "heun")
    with pytest.raises(ValueError, match=r"step=-1\.0 is not allowed"):
        ResidualODE([torch.tanh], step=-1.0)
    with pytest.raises(ValueError, match="return_layers=True is not allowed with backward='adjoint'"):
        ResidualODE([torch.tanh] * 3, backward="adjoint")(x, return_layers=True)
    with torch.no_grad():
        last, states = ResidualODE([torch.tanh] * 3, backward="adjoint")(x, return_layers=True)
    assert torch.equal(last, states[3])
