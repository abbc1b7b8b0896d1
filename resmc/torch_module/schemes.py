"""The two schemes by which a residual network discretises an ordinary equation: steps forward, back, and transposed.

Source: Sander, Ablin, Peyre, "Do residual neural networks discretize neural ordinary differential equations?"
(arXiv 2205.14612), section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch

Tensor = torch.Tensor


def version(one: Tensor) -> int:
    """Return torch's count of how often a tensor was changed in place; 0 where there is no count."""
    return 0 if one.is_inference() else one._version


class Linearised(NamedTuple):
    """A branch at a state x.

    Attributes
    ----------
    reached : tensor or None
        to + f_k(x), if that was asked for.
    pulled : callable
        (g, onto) -> onto + J^T g, J the Jacobian of f_k at x; it also adds up the gradients of the parameters.
    """

    reached: Tensor | None
    pulled: Callable[[Tensor, Tensor], Tensor]


class Jacobian(NamedTuple):
    """J of a branch at a state, as two functions: v -> J v and g -> J^T g."""

    forward: Callable[[Tensor], Tensor]
    transposed: Callable[[Tensor], Tensor]


class Branches(Protocol):
    """Branches f_0, f_1, .. with the size of a step in them."""

    def added(self, k: int, x: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        """Return to + factor f_k(x), of the shape of x."""


class PulledBranches(Branches, Protocol):
    """Branches that can be transposed, and collect their parameters' gradients meanwhile.

    Attributes
    ----------
    gradients : list
        The gradient of each parameter, in their order; None for one that needs none.
    axes : int
        The first axes of a batch of states, along which are the states; along the others are their entries.
    """

    axes: int

    @property
    def gradients(self) -> list[Tensor | None]: ...

    def size(self, k: int) -> float:
        """Return the size of the step in f_k."""

    def examined(self, x: Tensor) -> Tensor:
        """Return those of a batch of states at which Jacobians are estimated."""

    def check(self, k: int, x: Tensor) -> None:
        """Refuse an f_k that no adjoint can follow at x, such as one with another value when called again."""

    def jacobian(self, k: int, x: Tensor) -> Jacobian:
        """Return the Jacobian of f_k at x."""

    def versions(self) -> tuple[int, ...]:
        """Return the `version` of each tensor in the branches that is no parameter."""

    def undisturbed(self) -> AbstractContextManager[None]:
        """Return a context after which evaluations of the branches have left no trace."""

    def linearised(self, k: int, x: Tensor, to: Tensor | None = None) -> Linearised:
        """Return f_k at x, ready to be pulled back, and to + f_k(x) only if asked for it."""


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
        return f.added(k, x, x)

    def recovered(self, f: Branches, k: int, x: Tensor) -> Tensor:
        return f.added(k, x, x, -1.0)

    def pulled(self, f: PulledBranches, k: int, x: Tensor, g: Tensor) -> Tensor:
        return f.linearised(k, x).pulled(g, g)


class Heun:
    """Heun's method, and backwards the same with the opposite sign.

    .. code-block:: text

        x_{k+1} = x_k + (f_k(x_k) + f_{k+1}(y)) / 2                y = x_k + f_k(x_k)
        x_k     ~ x_{k+1} - (f_{k+1}(x_{k+1}) + f_k(z)) / 2        z = x_{k+1} - f_{k+1}(x_{k+1})

    As x + f_k(x)/2 is the middle of x and y, half of the branches are never formed.
    """

    further = 1

    def step(self, f: Branches, k: int, x: Tensor) -> Tensor:
        y = f.added(k, x, x)
        return f.added(k + 1, y, torch.lerp(x, y, 0.5), 0.5)

    def recovered(self, f: Branches, k: int, x: Tensor) -> Tensor:
        z = f.added(k + 1, x, x, -1.0)
        return f.added(k, z, torch.lerp(x, z, 0.5), -0.5)

    def pulled(self, f: PulledBranches, k: int, x: Tensor, g: Tensor) -> Tensor:
        first = f.linearised(k, x, x)
        assert first.reached is not None
        half = 0.5 * g
        both = f.linearised(k + 1, first.reached).pulled(half, g)  # g + J_{k+1}^T g/2
        return first.pulled(both - half, both)


SCHEMES: dict[str, Scheme] = {"euler": Euler(), "heun": Heun()}
