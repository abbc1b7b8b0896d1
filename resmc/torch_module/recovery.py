"""How well states can be recovered backwards: what is refused beforehand, and what is found out afterwards."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .schemes import Jacobian, PulledBranches

Tensor = torch.Tensor

FEW_ROUNDS = 3  # rounds of power iteration after which a norm that is far below 1 is left alone
MANY_ROUNDS = 30
FAR_BELOW = 0.3  # after a few rounds an estimate has at least half of the norm, but in the rarest of cases
ROWS = 4  # states of a batch at which the branches of a network of matrices are examined
ROUNDING = 1e3  # times the rounding unit: what two values of one function may differ by, over its largest entry
COARSEST = 0.1  # of the largest entry, for dtypes of few bits
NUMBERS = 4  # kept of a state, which a recovered one is compared with


class AdjointWarning(UserWarning):
    """Recovered states miss the true ones by more than the tolerance, at x_0, a checkpoint or one of eight others.

    Gradients are then wrong by about as much, and across the kinks of an activation by several times as much. That no
    warning comes is no proof of the contrary, as states between these are not compared, and of the eight a few numbers
    only, which give the miss to within a factor of two in most cases.
    """


def alike(again: Tensor, value: Tensor) -> bool:
    """Return True if two values may be those of one function at one place, up to rounding."""
    few = min(ROUNDING * torch.finfo(value.dtype).eps, COARSEST)
    return torch.allclose(again, value, rtol=few, atol=few * float(value.detach().abs().max()))


def relative_miss(recovered: Tensor, true: Tensor, axes: int) -> Tensor:
    """Return the largest distance of a recovered state from the true one, over the root mean square of these.

    Parameters
    ----------
    recovered, true : tensors
        States along the first ``axes`` axes, their entries along the others.

    Returns
    -------
    tensor ()
        0 where all states are 0 and recovered so.
    """
    return _relative((recovered - true).flatten(axes), _size(true, axes))


class Sketch(NamedTuple):
    """A few numbers of states, from which the miss of recovered ones is estimated without the states themselves.

    .. code-block:: text

        number j of a state x      S_j(x) = sum over the entries i in part j of  +-x_i                 j = 1 .. 4
        |x' - x|                 ~ |S(x') - S(x)|

    Parts are of equal size, to one entry, and chosen at random, as the signs are, anew for each layer. The squared norm
    has the mean |x' - x|^2 over these choices, whatever the states are, and a standard deviation of at most 0.71 of
    that; nothing is lost where there are no more than 4 entries.

    Attributes
    ----------
    numbers : tensor (.., 4)
        S(x), along the axes of the states, in float32 or better.
    size : tensor ()
        The root mean square of |x|.

    Source: Charikar, Chen, Farach-Colton, "Finding frequent items in data streams" (2002), one row of the sketch.
    """

    numbers: Tensor
    size: Tensor

    @classmethod
    def of(cls, x: Tensor, axes: int, layer: int) -> Sketch:
        """Return that of states along the first ``axes`` axes of x; ``layer`` seeds the choices."""
        return cls(_sums(x, axes, layer), _size(x, axes))

    def relative_miss(self, recovered: Tensor, axes: int, layer: int) -> Tensor:
        """Return an estimate of `relative_miss` from the recovered states alone."""
        return _relative(_sums(recovered, axes, layer) - self.numbers, self.size)


def _sums(x: Tensor, axes: int, layer: int) -> Tensor:
    """Return the sums of entries with random signs over random parts of each state."""
    entries, generator = x.flatten(axes), torch.Generator().manual_seed(layer)
    n = entries.shape[-1]
    order = torch.randperm(n, generator=generator).to(x.device)
    signs = (2 * torch.randint(2, (n,), generator=generator) - 1).to(x)
    signed = torch.nn.functional.pad(entries[..., order] * signs, (0, -n % NUMBERS))
    exact = torch.promote_types(x.dtype, torch.float32)
    return signed.reshape(*entries.shape[:-1], -(-n // NUMBERS), NUMBERS).sum(-2, dtype=exact)


def _size(x: Tensor, axes: int) -> Tensor:
    """Return the root mean square of the norms of states."""
    size: Tensor = x.flatten(axes).norm(dim=-1).square().mean().sqrt()
    return size


def _relative(misses: Tensor, size: Tensor) -> Tensor:
    """Return the largest norm over a size, or the largest norm where the size is 0."""
    largest: Tensor = misses.norm(dim=-1).max()
    return largest / torch.where(size > 0.0, size, 1.0)


def stretch(jacobian: Jacobian, like: Tensor, axes: int) -> float:
    """Estimate the largest |J v|/|v| of Jacobians J, one for each state, by power iteration with J^T J.

    The estimate is a lower bound up to rounding, and within a few percent of the norm unless that is far below 1.
    """
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    largest = 0.0
    for turn in range(MANY_ROUNDS):
        v = v / _norms(v, axes).clamp_min(torch.finfo(v.dtype).tiny)
        forward = jacobian.forward(v).detach()
        largest = float(_norms(forward, axes).max())
        if turn >= FEW_ROUNDS and largest < FAR_BELOW:
            break
        v = jacobian.transposed(forward).detach()
    return largest


def _norms(v: Tensor, axes: int) -> Tensor:
    """Return the norms of states, with axes of length 1 for their entries."""
    norms: Tensor = v.flatten(axes).norm(dim=-1)
    return norms.reshape(*v.shape[:axes], *[1] * (v.ndim - axes))


def check_near_invertible(f: PulledBranches, k: int, x: Tensor) -> None:
    """Refuse a branch f_k for which x + f_k(x) is not near the identity at x: |J v| >= |v| for its Jacobian J.

    Raises
    ------
    ValueError
        With the layer, the size of the step and the estimate of the Lipschitz constant.
    """
    some = f.examined(x)
    found, size = stretch(f.jacobian(k, some), some, f.axes), abs(f.size(k))
    if not found < 1.0:
        raise ValueError(
            f"backward='adjoint' is not allowed with these weights: in layer {k} the step size {size:.3g} times the "
            f"Lipschitz constant, which is estimated at {found / size:.3g}, is {found:.3g}, and must be below 1 for "
            "the states to be recovered; take more and smaller steps, or backward='autograd'"
        )
