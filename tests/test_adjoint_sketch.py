"""A few numbers of a state stand for it where recovered states are compared: the misses found are the true ones."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")
from resmc.ode import AdjointWarning, ResidualODE  # noqa: E402
from resmc.torch_module import adjoint  # noqa: E402
from resmc.torch_module.recovery import NUMBERS, Sketch, relative_miss  # noqa: E402

nn = torch.nn
CHOICES = 4000


def normals(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def misses() -> dict[str, torch.Tensor]:
    """What may be wrong with one state of 3 x 7 x 9 entries, each a way that some choice of numbers would not see."""
    one_entry, two_entries, row = (torch.zeros(3, 7, 9, dtype=torch.float64) for _ in range(3))
    one_entry[1, 2, 3] = two_entries[0, 0, 0] = two_entries[2, 6, 8] = 1.0
    row[1, 4] = 1.0
    alternating = torch.ones(3, 7, 9, dtype=torch.float64)
    alternating.view(-1)[::2] = -1.0
    return {
        "dense": normals(3, 7, 9),
        "constant": torch.ones(3, 7, 9, dtype=torch.float64),
        "alternating": alternating,
        "one row": row,
        "two entries": two_entries,
        "one entry": one_entry,
    }


@pytest.mark.parametrize("kind", misses())
def test_the_squared_miss_has_the_true_mean_and_a_bounded_variance(kind):
    """Over 4000 choices, at 4.5 standard errors of the mean: a level of 7e-6, and no power below a bias of 5%."""
    true = normals(1, 3, 7, 9)
    recovered = true + 0.1 * misses()[kind]
    wanted = float(relative_miss(recovered, true, 1))
    found = torch.stack([Sketch.of(true, 1, k).relative_miss(recovered, 1, k) for k in range(CHOICES)])
    ratio = (found / wanted).square()
    assert abs(float(ratio.mean()) - 1.0) <= 4.5 * 0.5**0.5 / CHOICES**0.5
    assert float(ratio.var()) <= 0.55  # 2/NUMBERS, and what 4000 choices make of it
    assert float((found > 0.25 * wanted).double().mean()) > 0.98 or kind == "two entries"
    if kind == "one entry":
        assert float((ratio - 1.0).abs().max()) < 1e-12


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 2)])
def test_nothing_is_lost_of_states_of_no_more_entries_than_numbers(shape):
    true, recovered = normals(2, 6, *shape)
    for dtype in (torch.float64, torch.float32):
        a, b = true.to(dtype), recovered.to(dtype)
        assert float(Sketch.of(a, 1, 3).relative_miss(b, 1, 3)) == pytest.approx(float(relative_miss(b, a, 1)), 1e-6)


def test_a_miss_of_one_state_among_many_is_not_averaged_away():
    """The one of 2 x 500 states that misses is found at its own size; 40 layers, and none of them below a quarter."""
    true = normals(2, 500, 64)
    recovered = true.clone()
    recovered[1, 77] += normals(64)
    wanted = float(relative_miss(recovered, true, 2))
    found = [float(Sketch.of(true, 2, k).relative_miss(recovered, 2, k)) for k in range(40)]
    assert min(found) > 0.25 * wanted
    assert max(found) < 2.5 * wanted
    assert float(Sketch.of(true, 2, 0).relative_miss(true, 2, 0)) == 0.0


def test_states_of_few_bits_are_compared_in_float32():
    true = normals(4, 512).bfloat16()
    sketch = Sketch.of(true, 1, 2)
    assert sketch.numbers.shape == (4, NUMBERS)
    assert sketch.numbers.dtype == torch.float32
    recovered = true.clone()
    recovered[0, 0] += 1.0
    with torch.autocast("cpu", torch.bfloat16):
        found = float(sketch.relative_miss(recovered, 1, 2))
    assert found == pytest.approx(float((recovered - true)[0, 0].abs() / true.float().norm(dim=1).mean()), rel=0.02)


class Away(nn.Module):
    """dx/dt = 60 (x - c): started at c, errors shrink backwards and x_0 comes back from whatever state."""

    def __init__(self, c: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("c", c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 60.0 * (x - self.c)


class Rough(nn.Module):
    """Steps of independent weights, which are recovered with large errors; a state of zeros stays zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.V, self.W = (nn.Parameter(torch.randn(width, width).double() * width**-0.5) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40.0 * torch.tanh(x @ self.W) @ self.V


@pytest.mark.parametrize("inputs", [pytest.param(1, marks=pytest.mark.long), 16])
def test_a_miss_in_the_middle_that_the_input_does_not_show_is_found_by_four_numbers_of_wide_states(inputs, monkeypatch):
    """One input of 16 misses; of 96 entries of a state 4 numbers are kept."""
    torch.manual_seed(1)
    c = torch.zeros(inputs, 96, dtype=torch.float64)
    c[-1] = torch.randn(96).double()
    net = ResidualODE([Away(c)] * 60 + [Rough(96) for _ in range(140)], backward="adjoint")
    loss = net(c).square().sum()
    with pytest.warns(AdjointWarning, match="miss the true ones by"):
        loss.backward()
    monkeypatch.setattr(adjoint, "WITNESSES", 0)
    blind = ResidualODE(list(net.layers), backward="adjoint")
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdjointWarning)
        blind(c).square().sum().backward()  # x_0 alone says nothing
