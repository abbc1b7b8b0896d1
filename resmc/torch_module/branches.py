"""The branches of a residual network whose layers are stacked: their values, and their transposed Jacobians by hand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch

from ..models.residual_network import ResidualNetwork
from .recovery import ROWS
from .schemes import Jacobian, Linearised, version

Tensor = torch.Tensor
Layers = Sequence[Tensor] | Tensor


@dataclass(eq=False)
class BlockBranches:
    """f_k of a `ResidualNetwork`, with its scaling s_k in it.

    .. code-block:: text

        phi-in     f_k(h) = s_k (V_k sigma(h) + b_k)
        phi-out    f_k(h) = s_k sigma(W_k h + b_k),  or with the scaling inside  sigma(s_k (W_k h + b_k))
        v-phi-w    f_k(h) = s_k V_k sigma(W_k h + b_k)
        dropout    phi-in with kept_k sigma(h) for sigma(h)

    Scalings and sums are left to the products that they belong to, which saves passes over the states.

    Attributes
    ----------
    V, W : tensors (.., n, n) by layer, or None; with an inner width (.., n, M) and (.., M, n)
    b, signs, kept : tensors (.., n) by layer, or None
        By layer: a tuple of tensors, as ``unbind`` makes it, or one tensor with the layers as its first axis. Taking
        single layers of a large parameter makes a backward pass quadratic in their number, so autograd needs a tuple.
    """

    model: ResidualNetwork
    V: Layers | None
    W: Layers | None
    b: Layers | None
    signs: Layers | None
    kept: Layers | None = field(default=None, kw_only=True)

    def scales(self, k: int) -> tuple[float, float]:
        """Return what multiplies the activation's argument and its value; in layer ``depth`` as in the one before."""
        s = float(self.model.scales[min(k, self.model.depth - 1)])
        return (s, 1.0) if self.model.inside else (1.0, s)

    def signed(self, k: int, x: Tensor) -> Tensor:
        """Return signs_k x."""
        return x if self.signs is None else self.signs[k].unsqueeze(-2) * x

    def met(self, k: int, h: Tensor) -> Tensor:
        """Return what the activation meets, signs included: h, W_k h + b_k, or s_k (W_k h + b_k)."""
        if self.W is None:
            return self.signed(k, h)
        inner, _ = self.scales(k)
        if self.b is not None:
            return self.signed(k, _sum(self.b[k].unsqueeze(-2), h, self.W[k].mT, inner, inner))
        u = h @ self.W[k].mT
        return self.signed(k, u if inner == 1.0 else inner * u)

    def added(self, k: int, x: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        """Return to + factor f_k(x), of the shape of x."""
        y = self.model.sigma.torch(torch, self.met(k, x))
        return self.outer(k, y if self.kept is None else self.kept[k].unsqueeze(-2) * y, to, factor)

    def outer(self, k: int, y: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        """Return to + factor f_k from the activation's value y."""
        factor *= self.scales(k)[1]
        if self.V is None:
            return torch.add(to, y, alpha=factor)
        if self.W is None and self.b is not None:
            to = torch.add(to, self.b[k].unsqueeze(-2), alpha=factor)
        return _sum(to, y, self.V[k].mT, 1.0, factor)


@dataclass(eq=False)
class ScaledBranches(BlockBranches):
    """Branches whose s_k are tensors, instead of those of the model.

    Attributes
    ----------
    s : tensors by layer
        Shape () or (P,), with networks side by side.
    """

    s: Layers

    def scales(self, k: int) -> tuple[float, float]:
        return 1.0, 1.0

    def factor(self, k: int) -> Tensor:
        """Return s_k, to be multiplied with states."""
        return self.s[k][..., None, None]

    def met(self, k: int, h: Tensor) -> Tensor:
        met = super().met(k, h)
        return self.factor(k) * met if self.model.inside else met

    def outer(self, k: int, y: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        if self.model.inside:
            return super().outer(k, y, to, factor)
        return torch.add(to, self.factor(k) * super().outer(k, y, torch.zeros_like(to)), alpha=factor)


class PulledBlocks(BlockBranches):
    """Branches with transposed Jacobians, whose gradients of V, W and b are added up in tensors made once.

    Where the value of a branch is not asked for, v-phi-w leaves out the outer product, and phi-in its only one.

    Attributes
    ----------
    gradients : list of tensors
        Of those of V, W and b that are there, in this order.
    axes : int
        1, or 2 with an axis for networks.
    """

    def __init__(
        self, model: ResidualNetwork, V: Tensor | None, W: Tensor | None, b: Tensor | None, signs: Tensor | None
    ) -> None:
        super().__init__(model, V, W, b, signs)
        self.parameters, self.given_signs = (V, W, b), signs
        self.axes = next(one.ndim for one in (V, W) if one is not None) - 2

    @cached_property
    def totals(self) -> tuple[Tensor | None, ...]:
        """Gradients of V, W and b, made when the first is asked for."""
        V, W, b = (None if one is None else torch.zeros_like(one) for one in self.parameters)
        return V, W, b

    @property
    def gradients(self) -> list[Tensor | None]:
        return [one for one in self.totals if one is not None]

    def size(self, k: int) -> float:
        inner, outer = self.scales(k)
        return inner * outer

    def examined(self, x: Tensor) -> Tensor:
        return x[..., :ROWS, :]

    def versions(self) -> tuple[int, ...]:
        return () if self.given_signs is None else (version(self.given_signs),)

    def undisturbed(self) -> AbstractContextManager[None]:
        return nullcontext()

    def check(self, k: int, x: Tensor) -> None:
        """Do nothing: these branches are functions of the state and of V, W and b alone."""

    def jacobian(self, k: int, x: Tensor) -> Jacobian:
        met = self.met(k, x)
        slope = self.model.sigma.pulled(torch, torch.ones_like(met), met, self.model.sigma.torch(torch, met))
        slope = self.size(k) * self.signed(k, slope)

        def forward(v: Tensor) -> Tensor:
            v = slope * (v if self.W is None else v @ self.W[k].mT)
            return v if self.V is None else v @ self.V[k].mT

        def transposed(g: Tensor) -> Tensor:
            g = slope * (g if self.V is None else g @ self.V[k])
            return g if self.W is None else g @ self.W[k]

        return Jacobian(forward, transposed)

    def linearised(self, k: int, x: Tensor, to: Tensor | None = None) -> Linearised:
        met = self.met(k, x)
        y = self.model.sigma.torch(torch, met)
        inner, outer = self.scales(k)

        def pulled(g: Tensor, onto: Tensor) -> Tensor:
            q = g
            if self.V is not None:
                _add_product(self.totals[0], k, q, y, outer)
                if self.W is None:
                    _add_sum(self.totals[2], k, q, outer)
                q = q @ self.V[k]
            q = self.signed(k, self.model.sigma.pulled(torch, q, met, y))
            if self.W is None:
                return torch.add(onto, q, alpha=outer)
            _add_product(self.totals[1], k, q, x, inner * outer)
            _add_sum(self.totals[2], k, q, inner * outer)
            return _sum(onto, q, self.W[k], 1.0, inner * outer)

        return Linearised(None if to is None else self.outer(k, y, to), pulled)


def _sum(to: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Tensor:
    """Return beta to + alpha left right, of one network or of each of several."""
    product = torch.addmm if left.ndim == 2 else torch.baddbmm
    return product(to, left, right, beta=beta, alpha=alpha)


def _add_product(totals: Tensor | None, k: int, left: Tensor, right: Tensor, alpha: float) -> None:
    """Add alpha left^T right to the total of layer k, of one network or of each of several."""
    assert totals is not None
    total = totals[k]
    (total.addmm_ if total.ndim == 2 else total.baddbmm_)(left.mT, right, alpha=alpha)


def _add_sum(totals: Tensor | None, k: int, entries: Tensor, alpha: float) -> None:
    """Add alpha times the sum over the batch to the total of layer k, if there is one."""
    if totals is not None:
        totals[k].add_(entries.sum(-2), alpha=alpha)
