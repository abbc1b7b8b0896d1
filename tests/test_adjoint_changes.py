"""What changes between a forward and a backward pass: buffers in place, and what `torch.func.functional_call` swaps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import resmc

torch = pytest.importorskip("torch")
from resmc.ode import ResidualODE  # noqa: E402

nn = torch.nn
WAYS = [{"backward": "autograd"}, {"backward": "adjoint"}, {"backward": "adjoint", "checkpoint_every": 1}]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh()).double()


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def flat(tensors: object) -> torch.Tensor:
    return torch.cat([one.flatten() for one in tensors])


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


# ----------------------------------------------------------------------------- one module in several places


class Twice(nn.Module):
    """One module in two places of a function, and one of its tensors in another module as well."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = self.second = inner
        self.third = nn.Linear(4, 4).double()
        self.third.weight = inner.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.third(self.second(self.first(x))))


def shared_layers() -> list[nn.Module]:
    return [dense()] * 6


def shared_within() -> list[nn.Module]:
    inner = nn.Linear(4, 4).double()
    return [Twice(inner) for _ in range(6)]


@pytest.mark.parametrize("layers", [shared_layers, shared_within])
@pytest.mark.parametrize("outer", [False, True], ids=["alone", "in a sequence"])
def test_functional_call_leaves_a_module_in_several_places_as_it_was(layers: Callable[[], list[nn.Module]], outer):
    functions, head, x, found = layers(), nn.Linear(4, 4).double(), inputs(3, 4), []
    for way in WAYS:
        net = ResidualODE(functions, step=0.01, **way)
        whole = nn.Sequential(net, head) if outer else net
        before = dict(whole.named_parameters())
        values = [one.detach().clone() for one in before.values()]
        others = {name: (1.5 * one).detach().requires_grad_() for name, one in before.items()}
        loss = torch.func.functional_call(whole, others, (x,)).square().sum()
        found.append(flat(torch.autograd.grad(loss, list(others.values()))))
        assert all(one is before[name] for name, one in whole.named_parameters())
        assert all(torch.equal(one, old) for one, old in zip(before.values(), values, strict=True))
        own = whole(x).square().sum()
        assert abs((own - loss).item()) > 1e-3  # other parameters, another value
    assert off(found[2], found[0]) < 1e-13
    assert off(found[1], found[0]) < 1e-2


def test_a_module_in_several_places_keeps_all_of_them_in_its_state():
    net = ResidualODE(shared_layers())
    assert sorted(net.state_dict()) == sorted(f"layers.{k}.0.{name}" for k in range(6) for name in ("weight", "bias"))
    assert len(list(net.named_parameters())) == 2


# ------------------------------------------------------------------------------------------- buffers


class Scaled(nn.Module):
    """A branch with a buffer of floats, one of integers, and one that nothing depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4).double()
        self.register_buffer("scale", torch.ones(4, dtype=torch.float64))
        self.register_buffer("order", torch.arange(4))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.tanh(self.inner(x * self.scale))[..., self.order]


@pytest.mark.parametrize("way", WAYS[1:], ids=["recovered", "kept"])
@pytest.mark.parametrize("name", ["scale", "order"])
def test_buffers_that_are_changed_in_place_before_the_backward_pass_are_refused(name, way):
    net, x = ResidualODE([Scaled() for _ in range(6)], step=0.02, **way), inputs(3, 4)
    loss = net(x).square().sum()
    buffer = getattr(net.layers[2], name)
    buffer.copy_(buffer.flip(0) if name == "order" else 2.0 * buffer)
    with pytest.raises(ValueError, match="buffers were changed in place after the forward pass"):
        loss.backward()
    net(x).square().sum().backward()  # with those of now
    others = {key: one.clone() for key, one in net.named_buffers()}
    loss = torch.func.functional_call(net, others, (x,)).square().sum()
    others[f"layers.3.{name}"].zero_()
    with pytest.raises(ValueError, match="buffers were changed in place after the forward pass"):
        loss.backward()


def test_signs_of_a_stacked_network_that_are_changed_in_place_are_refused():
    model = resmc.ResidualNetwork(5, 8, "v-phi-w", "balanced", scaling=resmc.DepthScaling(1))
    net = model.to_torch(scheme="heun", backward="adjoint", tolerance=1.0)
    loss = net().square().sum()
    net.signs[2].neg_()
    with pytest.raises(ValueError, match="buffers were changed in place after the forward pass"):
        loss.backward()


def test_changes_that_no_value_depends_on_and_other_tensors_in_a_buffer_s_place_leave_the_gradient():
    x, found = inputs(9, 4), []
    for way in WAYS:
        torch.manual_seed(1)
        layers = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()).double() for _ in range(4)]
        net = ResidualODE([*layers, Scaled(), Scaled()], step=0.01, **way)
        losses = [net(inputs_of).square().sum() for inputs_of in (x, 2.0 * x)]  # norms follow both
        for layer in layers if way["backward"] == "adjoint" else ():  # autograd refuses it
            layer[1].running_mean.add_(1.0)
        net.layers[5].scale = torch.zeros(4, dtype=torch.float64)
        found.append(flat(torch.autograd.grad(sum(losses), list(net.parameters()))))
        assert int(layers[0][1].num_batches_tracked) == 2
    assert off(found[2], found[0]) < 1e-12
    assert off(found[1], found[0]) < 1e-2
