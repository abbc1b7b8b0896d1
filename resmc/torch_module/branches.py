"""The branches of a residual network whose layers are stacked: their values, and their transposed Jacobians by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..models.residual_network import ResidualNetwork
from .schemes import Linearised

Tensor = torch.Tensor
Layers = Sequence[Tensor] | Tensor


@dataclass(eq=False)
class BlockBranches:
    """f_k of a `ResidualNetwork`, with its scaling s_k in it.

    .. code-block:: text

        phi-in     f_k(h) = s_k (V_k sigma(h) + b_k)
        phi-out    f_k(h) = s_k sigma(W_k h + b_k),  or with the scaling inside  sigma(s_k (W_k h + b_k))
        v-phi-w    f_k(h) = s_k V_k sigma(W_k h + b_k)

    Attributes
    ----------
    V, W : tensors (.., n, n) by layer, or None
    b, signs : tensors (.., n) by layer, or None
        By layer: a tuple of tensors, as ``unbind`` makes it, or one tensor with the layers as its first axis. Taking
        single layers of a large parameter makes a backward pass quadratic in their number, so autograd needs a tuple.
    """

    model: ResidualNetwork
    V: Layers | None
    W: Layers | None
    b: Layers | None
    signs: Layers | None

    def scale(self, k: int) -> float:
        """Return s_k; layer ``depth`` has that of the layer before."""
        return float(self.model.scales[min(k, self.model.depth - 1)])

    def sigma(self, k: int, x: Tensor) -> Tensor:
        """Return sigma(signs_k x)."""
        y: Tensor = self.model.sigma.torch(torch, x if self.signs is None else self.signs[k].unsqueeze(-2) * x)
        return y

    def met(self, k: int, h: Tensor) -> Tensor:
        """Return what the activation meets: h, W_k h + b_k, or s_k (W_k h + b_k) with the scaling inside."""
        if self.W is None:
            return h
        u = h @ self.W[k].mT
        if self.b is not None:
            u = u + self.b[k].unsqueeze(-2)
        return self.scale(k) * u if self.model.inside else u

    def __call__(self, k: int, x: Tensor) -> Tensor:
        return self.outer(k, self.sigma(k, self.met(k, x)))

    def outer(self, k: int, y: Tensor) -> Tensor:
        """Return f_k from the activation's value y."""
        if self.V is not None:
            y = y @ self.V[k].mT
            if self.W is None and self.b is not None:
                y = y + self.b[k].unsqueeze(-2)
        return y if self.model.inside else self.scale(k) * y


class PulledBlocks(BlockBranches):
    """Branches with transposed Jacobians, whose gradients of V, W and b are added up in tensors made once.

    Where the value of a branch is not asked for, v-phi-w leaves out the outer product, and phi-in its only one.

    Attributes
    ----------
    gradients : list of tensors
        Of those of V, W and b that are there, in this order.
    """

    def __init__(
        self, model: ResidualNetwork, V: Tensor | None, W: Tensor | None, b: Tensor | None, signs: Tensor | None
    ) -> None:
        super().__init__(model, V, W, b, signs)
        made = [None if one is None else torch.zeros_like(one) for one in (V, W, b)]
        self.of_V, self.of_W, self.of_b = made
        self.gradients: list[Tensor | None] = [one for one in made if one is not None]

    def linearised(self, k: int, x: Tensor, value: bool) -> Linearised:
        met = self.met(k, x)
        signed = met if self.signs is None else self.signs[k].unsqueeze(-2) * met
        y = self.model.sigma.torch(torch, signed)

        def pulled(g: Tensor) -> Tensor:
            q: Tensor = g if self.model.inside else self.scale(k) * g
            if self.V is not None:
                _add_product(self.of_V, k, q, y)
                if self.W is None:
                    _add_sum(self.of_b, k, q)
                q = q @ self.V[k]
            q = self.model.sigma.pulled(torch, q, signed, y)
            if self.signs is not None:
                q = self.signs[k].unsqueeze(-2) * q
            if self.W is None:
                return q
            q = self.scale(k) * q if self.model.inside else q
            _add_product(self.of_W, k, q, x)
            _add_sum(self.of_b, k, q)
            return q @ self.W[k]

        return Linearised(self.outer(k, y) if value else None, pulled)


def _add_product(totals: Tensor | None, k: int, left: Tensor, right: Tensor) -> None:
    """Add left^T right to the total of layer k, of one network or of each of several."""
    assert totals is not None
    total = totals[k]
    if total.ndim == 2:
        total.addmm_(left.mT, right)
    else:
        total.baddbmm_(left.mT, right)


def _add_sum(totals: Tensor | None, k: int, entries: Tensor) -> None:
    """Add the sum over the batch to the total of layer k, if there is one."""
    if totals is not None:
        totals[k] += entries.sum(-2)
