"""What goes wrong in silence with a gradient that calls functions again: each is right, warned of, or refused."""

from __future__ import annotations

import copy
import warnings

import pytest

import resmc

torch = pytest.importorskip("torch")
from resmc.ode import AdjointWarning, ResidualODE  # noqa: E402
from resmc.torch_module import fill_from_arrays  # noqa: E402

nn = torch.nn
SMOOTH = resmc.Weights(depth=resmc.SmoothProcess(0.2))
MODEL = resmc.ResidualNetwork(5, 20, "v-phi-w", "tanh", scaling=resmc.DepthScaling(1), weights=SMOOTH)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def dense(count: int = 12, width: int = 4) -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(width, width), nn.Tanh()).double() for _ in range(count)]


def flat(tensors: object) -> torch.Tensor:
    return torch.cat([one.flatten() for one in tensors])


def gradient(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return flat(torch.autograd.grad(net(x).square().sum(), list(net.parameters())))


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class Away(nn.Module):
    """dx/dt = 60 (x - c): started at c, errors shrink backwards and x_0 comes back from whatever state."""

    def __init__(self, c: torch.Tensor) -> None:
        super().__init__()
        self.c, self.a = c, nn.Parameter(60.0 * torch.eye(8, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.c) @ self.a


def test_a_miss_in_the_middle_is_warned_of_where_the_input_is_recovered():
    def rough() -> nn.Module:
        one = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 8, bias=False)).double()
        for p in one.parameters():
            nn.init.normal_(p, 0.0, 8**-0.5)
        one[2].weight.data.mul_(60.0)
        return one

    c = inputs(1, 8)
    layers = [Away(c) for _ in range(60)] + [rough() for _ in range(140)]
    exact = gradient(ResidualODE(layers), c)
    with pytest.warns(AdjointWarning, match="miss the true ones by"):
        near = gradient(ResidualODE(layers, backward="adjoint"), c)
    assert off(near, exact) > 0.1
    steps = ResidualODE(layers, backward="adjoint").steps
    x, states = c, [c]
    with torch.no_grad():
        for one in layers:
            x = x + one(x) / 200
            states.append(x)
        for one in reversed(layers):
            x = x - one(x) / 200
    assert float((x - c).norm()) < 1e-6  # the miss of the input alone says nothing
    assert sorted(steps.witnesses) == [22, 44, 67, 89, 111, 133, 156, 178]


def test_states_to_compare_with_leave_the_gradient_s_bits():
    x = inputs(3, 1)
    net = MODEL.to_torch(scheme="heun", backward="adjoint")
    watched = gradient_of_weights(net, x)
    net.steps = type(net.steps)("heun", 20, "adjoint", checked=False)
    assert net.steps.witnesses == frozenset()
    assert torch.equal(watched, gradient_of_weights(net, x))


def gradient_of_weights(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return flat(torch.autograd.grad(net(x).square().sum(), [net.V, net.W]))


@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize("factor", [0.0, 0.1])
def test_dropout_is_refused_however_small_its_branch_is(factor, every):
    layers = [
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh(), nn.Dropout(0.5), nn.Conv2d(8, 8, 1)) for _ in range(3)
    ]
    for one in layers:
        for p in one[3].parameters():
            p.data.mul_(factor)
    net, x = ResidualODE(layers, backward="adjoint", checkpoint_every=every), torch.randn(4, 8, 16, 16)
    with pytest.raises(ValueError, match=r"functions\[0\] .* as dropout makes it; it draws random numbers"):
        net(x)
    net.eval()(x)
    for one in layers:
        one[2].p = 0.0
    net.train()(x)  # dropout of nothing draws nothing


def test_a_small_branch_that_changes_when_called_again_is_refused():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return 1e-3 * (1.0 + 0.1 * (self.calls % 2)) * torch.tanh(x)

    with pytest.raises(ValueError, match=r"called again at the same place, it has another value, as dropout makes it$"):
        ResidualODE([Counting() for _ in range(4)], backward="adjoint")(inputs(3, 4))


@pytest.mark.parametrize("every", [None, 1])
def test_modules_that_leave_training_before_the_backward_pass_are_back_in_it_meanwhile(every):
    layers = [nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh()).double() for _ in range(20)]
    net, x = ResidualODE(layers, backward="adjoint", checkpoint_every=every), 3.0 * inputs(16, 8)
    found = []
    for leave in (False, True):
        loss = net.train()(x).square().sum()
        if leave:
            net.eval()
        found.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    assert torch.equal(*found)
    assert not any(one.training for one in net.modules())


def test_steps_of_any_size_are_allowed_where_all_states_are_kept():
    model = resmc.ResidualNetwork(5, 20, "v-phi-w", "tanh", scaling=resmc.DepthScaling(0), weights=SMOOTH)
    x = inputs(3, 1)
    with pytest.raises(ValueError, match="step size 1 times the Lipschitz constant"):
        model.to_torch(scheme="euler", backward="adjoint", checkpoint_every=2)(x)
    kept = model.to_torch(scheme="euler", backward="adjoint", checkpoint_every=1)
    exact = gradient_of_weights(model.to_torch(scheme="euler"), x)
    assert off(gradient_of_weights(kept, x), exact) < 1e-10


@pytest.mark.parametrize("frozen", [False, True])
def test_functional_call_gives_the_gradient_of_its_own_parameters(frozen):
    layers = dense()
    x = inputs(3, 4).requires_grad_()
    found = []
    for given in ({"backward": "autograd"}, {"backward": "adjoint", "checkpoint_every": 1}):
        net = ResidualODE([*layers, torch.tanh], **given).requires_grad_(not frozen)
        start = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}
        tripled = {name: 3.0 * p for name, p in start.items()}  # no leaves themselves
        for parameters in (start, tripled):
            out = torch.func.functional_call(net, parameters, (x,)).square().sum()
            found.append(flat(torch.autograd.grad(out, [x, *start.values()])))
    assert off(found[2], found[0]) < 1e-13
    assert off(found[3], found[1]) < 1e-13
    assert off(found[1], found[0]) > 0.1


def test_states_and_parameters_may_be_saved_on_the_cpu():
    net, x = ResidualODE(dense(), backward="adjoint"), inputs(3, 4)
    wanted = gradient(net, x)
    with torch.autograd.graph.save_on_cpu():
        loss = net(x).square().sum()
    assert torch.equal(flat(torch.autograd.grad(loss, list(net.parameters()))), wanted)


@pytest.mark.parametrize("backward", ["autograd", "adjoint"])
def test_a_function_that_works_in_place_is_refused(backward):
    layers = [nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)).double() for _ in range(3)]
    net = ResidualODE([torch.tanh, *layers], backward=backward)
    for recorded in (True, False):
        in_place = pytest.raises(ValueError, match=r"functions\[1\] changes its argument in place")
        with torch.set_grad_enabled(recorded), in_place:
            net(inputs(5, 4))
    inner = [nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)).double() for _ in range(3)]
    with torch.inference_mode():
        ResidualODE(inner, backward=backward)(inputs(5, 4))
    gradient(ResidualODE(inner, step=1e-3, backward=backward), inputs(5, 4))  # not the argument


@pytest.mark.parametrize("backward", ["autograd", "adjoint"])
def test_a_layer_that_is_replaced_takes_part(backward):
    layers, x = dense(4), inputs(3, 4)
    net = ResidualODE([layers[0], torch.tanh, *layers[1:3]], step=1e-3, backward=backward)
    gradient(net, x)
    net.layers[1] = layers[3]
    same = ResidualODE([layers[0], torch.tanh, layers[3], layers[2]], step=1e-3)
    assert off(gradient(net, x), gradient(same, x)) < 1e-4
    wanted = same(x)
    assert torch.equal(net(x), wanted)
    assert torch.equal(copy.deepcopy(net)(x), wanted)
    del net.layers[2]
    with pytest.raises(ValueError, match="layers of 2 modules are not allowed: 3 of the 4 functions are modules"):
        net(x)


@pytest.mark.parametrize("every", [None, 1])
def test_an_empty_batch_has_gradients_of_zero_and_is_no_examination(every):
    given = {"backward": "adjoint", "checkpoint_every": every}
    for net, n in ((MODEL.to_torch(scheme="heun", **given), 1), (ResidualODE(dense(), **given), 4)):
        x = torch.ones(0, n, dtype=torch.float64, requires_grad=True)
        net(x).sum().backward()
        assert x.grad.shape == (0, n)
        assert all(not bool(p.grad.any()) for p in net.parameters() if p.grad is not None)
    drops = ResidualODE([nn.Dropout(), torch.tanh], backward="adjoint", checkpoint_every=every)
    drops(torch.ones(0, 4))
    with pytest.raises(ValueError, match="as dropout makes it"):
        drops(torch.ones(3, 4))


def test_inputs_of_another_kind_or_dtype_are_refused_in_a_sentence():
    net = MODEL.to_torch(network=range(2), scheme="euler")
    for wrong in (torch.ones(7, 1), torch.ones(7, 1, dtype=torch.int64)):
        with pytest.raises(
            ValueError, match=rf"x of {wrong.dtype} is not allowed: the module is of torch.float64; con"
        ):
            net(wrong)
    with pytest.raises(ValueError, match=r"a tensor of shape \(batch, 1\), or \(2, batch, 1\) and of torch.float64"):
        net([1.0])
    with pytest.raises(ValueError, match=r"must be of shape \(batch, 1\), or \(2, batch, 1\)$"):
        net(inputs(7, 2))
    with pytest.raises(ValueError, match=r"x of torch.float32 is not allowed: the module is of torch.float64"):
        resmc.ResNet(4, 3, 0.7, 0.7).to_torch()(torch.ones(7, 1))
    for backward in ("autograd", "adjoint"):
        own = ResidualODE(dense(), backward=backward)
        with pytest.raises(ValueError, match=r"x=1\.0 is not allowed: it must be a tensor of shape \(batch, \.\.\)"):
            own(1.0)
        with pytest.raises(ValueError, match=r"functions\[0\] has parameters of torch.float64; convert one of them"):
            own(torch.ones(3, 4))
        with pytest.raises(ValueError, match=r"functions\[0\] made None: it must return a tensor"):
            ResidualODE([lambda x: None] * 3, backward=backward)(inputs(3, 4))
    for wrong in (5, None, torch.tanh):
        with pytest.raises(ValueError, match=r"functions=.* is not allowed: it must be a sequence of functions"):
            ResidualODE(wrong)
    with pytest.raises(
        ValueError, match=r"0 functions are too few: scheme='euler' with N steps, .* at least 1, has N$"
    ):
        ResidualODE([])


def test_autocast_holds_in_the_backward_pass_or_is_refused():
    layers = [one.float() for one in dense()]
    x, found = torch.randn(6, 4), []
    for backward, every in (("autograd", None), ("adjoint", 1)):
        net = ResidualODE(layers, backward=backward, checkpoint_every=every)
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(x).square().sum()
        found.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    plain = gradient(ResidualODE(layers), x)
    assert off(found[1], found[0]) < 1e-3 < off(plain, found[0])
    with torch.autocast("cpu", torch.bfloat16):
        MODEL.to_torch(scheme="euler", backward="adjoint")()  # autocast leaves float64 alone
        with pytest.raises(ValueError, match="autocast is not allowed with backward='adjoint'"):
            MODEL.to_torch(scheme="euler", backward="adjoint").float()()


def test_a_norm_may_be_shared_with_layers_before():
    norm, x = nn.BatchNorm1d(4).double(), inputs(8, 4)
    net = ResidualODE([nn.Sequential(norm, nn.Linear(4, 4).double(), nn.Tanh()) for _ in range(8)], backward="adjoint")
    net(norm(x)).sum().backward()
    assert norm.weight.grad is not None


def test_a_module_s_repr_names_model_scheme_steps_and_functions():
    found = repr(MODEL.to_torch(network=range(3), scheme="heun", backward="adjoint"))
    assert "networks=3, scheme='heun', N=20, backward='adjoint', checkpoint_every=None, tolerance=0.01" in found
    assert "ResidualNetwork(" in repr(MODEL.to_torch())
    found = repr(ResidualODE([torch.tanh, *dense(1)]))
    assert "scheme='euler', N=2, backward='autograd', step=0.5, functions[0]=<built-in method tanh" in found
    assert "Linear(in_features=4" in found


def test_arguments_without_a_use_are_refused_by_name():
    with pytest.raises(ValueError, match=r"tolerance=-1.* not allowed without a scheme"):
        MODEL.to_torch(tolerance=-1)
    with pytest.raises(ValueError, match=r"tolerance=-3 is not allowed with a ResNet"):
        resmc.ResNet(4, 3, 0.7, 0.7).to_torch(tolerance=-3)
    for module in (resmc.ResNet(4, 3, 0.7, 0.7).to_torch(), 3):
        with pytest.raises(ValueError, match=r"module=.* is not allowed: it must be an ExplicitResidualNetwork"):
            fill_from_arrays(module, V=[1.0])


def test_no_warning_comes_without_a_miss():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MODEL.to_torch(scheme="heun", backward="adjoint")().sum().backward()
