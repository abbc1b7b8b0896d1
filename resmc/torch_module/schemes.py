"""The two schemes by which a residual network discretises an ordinary equation: steps forward, back, and transposed.

Source: Sander, Ablin, Peyre, "Do residual neural networks discretize neural ordinary differential equations?"
(arXiv 2205.14612), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from .._system import checks

Tensor = torch.Tensor


class Linearised(NamedTuple):
    """A branch at a state: its value, if it was asked for, and its transposed Jacobian."""

    value: Tensor | None
    pulled: Callable[[Tensor], Tensor]  # g -> J^T g; also adds the gradients of the branch's parameters


class Branches(Protocol):
    """Branches f_0, f_1, .. with the size of a step in them."""

    def __call__(self, k: int, x: Tensor) -> Tensor:
        """Return f_k(x), of the shape of x."""


class PulledBranches(Branches, Protocol):
    """Branches that can be transposed, and collect their parameters' gradients meanwhile.

    Attributes
    ----------
    gradients : list
        The gradient of each parameter, in their order; None for one that needs none.
    """

    gradients: list[Tensor | None]

    def linearised(self, k: int, x: Tensor, value: bool) -> Linearised:
        """Return f_k at x, its value only if asked, ready to be pulled back."""


class Scheme(Protocol):
    """One step of a method, in three directions."""

    further: int  # branches beyond the number of steps

    def step(self, f: Branches, k: int, x: Tensor) -> Tensor:
        """Return x_{k+1} from x = x_k."""

    def recovered(self, f: Branches, k: int, x: Tensor) -> Tensor:
        """Return x_k, nearly, from x = x_{k+1}."""

    def pulled(self, f: PulledBranches, k: int, x: Tensor, g: Tensor) -> Tensor:
        """Return the gradient with respect to x = x_k from g, that with respect to x_{k+1}."""


class Euler:
    """Euler's method: x_{k+1} = x_k + f_k(x_k), and backwards x_k ~ x_{k+1} - f_k(x_{k+1})."""

    further = 0

    def step(self, f: Branches, k: int, x: Tensor) -> Tensor:
        return x + f(k, x)

    def recovered(self, f: Branches, k: int, x: Tensor) -> Tensor:
        return x - f(k, x)

    def pulled(self, f: PulledBranches, k: int, x: Tensor, g: Tensor) -> Tensor:
        return g + f.linearised(k, x, value=False).pulled(g)


class Heun:
    """Heun's method, and backwards the same with the opposite sign.

    .. code-block:: text

        x_{k+1} = x_k + (f_k(x_k) + f_{k+1}(y)) / 2                y = x_k + f_k(x_k)
        x_k     ~ x_{k+1} - (f_{k+1}(x_{k+1}) + f_k(z)) / 2        z = x_{k+1} - f_{k+1}(x_{k+1})
    """

    further = 1

    def step(self, f: Branches, k: int, x: Tensor) -> Tensor:
        first = f(k, x)
        return x + 0.5 * (first + f(k + 1, x + first))

    def recovered(self, f: Branches, k: int, x: Tensor) -> Tensor:
        last = f(k + 1, x)
        return x - 0.5 * (last + f(k, x - last))

    def pulled(self, f: PulledBranches, k: int, x: Tensor, g: Tensor) -> Tensor:
        first = f.linearised(k, x, value=True)
        assert first.value is not None
        half = 0.5 * g
        at_y = f.linearised(k + 1, x + first.value, value=False).pulled(half)
        return g + at_y + first.pulled(half + at_y)


SCHEMES: dict[str, Scheme] = {"euler": Euler(), "heun": Heun()}


def checked_scheme(name: object) -> str:
    """Return ``name`` if a scheme has it, else raise ValueError."""
    return checks.choice("scheme", name, tuple(SCHEMES))
