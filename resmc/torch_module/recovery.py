"""How well states can be recovered backwards: what is refused beforehand, and what is found out afterwards."""

from __future__ import annotations

import torch

from .schemes import Jacobian, PulledBranches

Tensor = torch.Tensor

FEW_ROUNDS = 3  # rounds of power iteration after which a norm that is far below 1 is left alone
MANY_ROUNDS = 30
FAR_BELOW = 0.3  # after a few rounds an estimate has at least half of the norm, but in the rarest of cases
ROWS = 4  # states of a batch at which the branches of a network of matrices are examined


class AdjointWarning(UserWarning):
    """Recovered states miss the true ones by more than the tolerance, at x_0, a checkpoint or one of eight others.

    Gradients are then wrong by about as much, and across the kinks of an activation by several times as much. That no
    warning comes is no proof of the contrary, as states between these are not compared.
    """


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
    distance = (recovered - true).flatten(axes).norm(dim=-1)
    size = true.flatten(axes).norm(dim=-1).square().mean().sqrt()
    miss: Tensor = distance.max() / torch.where(size > 0.0, size, 1.0)
    return miss


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
