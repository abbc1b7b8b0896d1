"""Forward and backward passes of networks side by side, by hand: few passes over memory, and into buffers made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch

from ..models.residual_network import ResidualNetwork

Tensor = torch.Tensor


@dataclass(eq=False)
class Workspace:
    """Buffers by name, which grow as they are needed; one thread at a time works in them."""

    dtype: torch.dtype
    device: torch.device
    _flat: dict[str, Tensor] = field(default_factory=dict)

    def get(self, name: str, *shape: int) -> Tensor:
        """Return a tensor of the shape, whose entries are what the last user of this name left."""
        needed = torch.Size(shape).numel()
        if name not in self._flat or self._flat[name].numel() < needed:
            self._flat[name] = torch.empty(needed, dtype=self.dtype, device=self.device)
        return self._flat[name][:needed].view(shape)


class Layer(NamedTuple):
    """Weights of a layer, its scaling and its signs, and the places of the gradients of V, W, b and s."""

    s: Tensor
    signs: Tensor | None
    V: Tensor | None
    W: Tensor | None
    b: Tensor | None
    dV: Tensor | None
    dW: Tensor | None
    db: Tensor | None
    ds: Tensor | None

    def leave(self, of_matrix: Tensor | None, g: Tensor, entered: Tensor) -> None:
        """Leave the gradient of a matrix, and that of b where it belongs to this matrix: to W if there is one."""
        torch.bmm(g, entered.mT, out=of_matrix)
        if self.db is not None and (self.W is None or of_matrix is self.dW):
            torch.sum(g, -1, out=self.db)

    def leave_scale(self, g: Tensor, entered: Tensor, inside: bool) -> None:
        """Add the gradient of s, where it is trained; ``entered`` is what enters the matrix beside s, if there is one.

        The matrix is W where s stands ``inside`` the activation, and V otherwise.
        """
        if self.ds is None:
            return
        matrix = self.W if inside else self.V
        scaled = entered if matrix is None else torch.bmm(matrix, entered)
        if self.b is not None and (inside or self.W is None):
            scaled = scaled + self.b.unsqueeze(-1)
        self.ds.add_((g * scaled).sum((-2, -1)))


@dataclass(eq=False)
class Pass:
    """States of a forward pass, by layer: what enters, and the activation's argument and value."""

    h: Sequence[Tensor]
    met: list[Tensor] = field(default_factory=list)
    y: list[Tensor] = field(default_factory=list)


@dataclass(eq=False)
class Passes:
    """Passes through c networks of one shape, n = width padded to m and N = depth.

    .. code-block:: text

        phi-in     h_{k+1} = carry h_k + s_k (V_k sigma(h_k) + b_k)
        phi-out    h_{k+1} = carry h_k + s_k sigma(W_k h_k + b_k)         scaling outside
                   h_{k+1} = carry h_k + sigma(s_k (W_k h_k + b_k))       scaling inside
        v-phi-w    h_{k+1} = carry h_k + s_k V_k sigma(W_k h_k + b_k)
        p_k        = (dh_{k+1}/dh_k)^T p_{k+1}

    States are (c, m, batch): products are fastest where the batch is what a vector register runs along. Entries of the
    padding are 0 in weights, states and gradients.

    Attributes
    ----------
    model : ResidualNetwork
        Any of the networks': its block, activation, and where its scaling stands.
    weights : mapping of tensors
        "V" and "W" (N, c, m, m), "b" (N, c, m), those that are there, and "A" (c, m, F), "W_out" (c, outputs, m). "s"
        (N, c), or (1, c) where all layers share it, if it is trained: what ``scales`` is a view of.
    gradients : mapping of tensors
        Of the shapes of those weights that are trained.
    scales : tensor (N, c, 1, 1)
    carry : tensor (c, 1, 1), or None where all carry 1
    signs : tensor (N, c, m, 1), or None
    """

    model: ResidualNetwork
    weights: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    scales: Tensor
    carry: Tensor | None
    signs: Tensor | None

    @cached_property
    def layers(self) -> list[Layer]:
        """Views of the weights of each layer, and of their gradients."""

        def by_layer(of: Mapping[str, Tensor], name: str) -> tuple[Tensor | None, ...]:
            return of[name].detach().unbind(0) if name in of else (None,) * self.model.depth

        signs = (None,) * self.model.depth if self.signs is None else self.signs.unbind(0)
        views = [by_layer(of, name) for of in (self.weights, self.gradients) for name in ("V", "W", "b")]
        of_scales: Sequence[Tensor | None] = (None,) * self.model.depth
        if "s" in self.gradients:
            of_scales = self.gradients["s"].expand(self.model.depth, -1).unbind(0)
        return [Layer(*one) for one in zip(self.scales.unbind(0), signs, *views, of_scales, strict=True)]

    def forward(self, x: Tensor, work: Workspace, kept: bool = True) -> Pass:
        """Take x, (c, batch, F), from h_0 to h_N; ``kept`` leaves what the backward pass needs."""
        (c, batch, _), m, depth = x.shape, self.weights["A"].shape[1], self.model.depth
        states, values = (depth + 1, depth) if kept else (2, 1)
        h, mets = (work.get(name, k, c, m, batch).unbind(0) for name, k in (("h", states), ("met", values)))
        passed = Pass([h[k % states] for k in range(depth + 1)])
        torch.bmm(self.weights["A"], x.mT, out=h[0])
        scaled = work.get("spare", c, m, batch)
        for k, layer in enumerate(self.layers):
            before, after = passed.h[k], passed.h[k + 1]
            met = self._met(layer, before, mets[k % values])
            y = self._sigma(met, overwritten=met is not before)
            if kept:
                passed.met.append(met)
                passed.y.append(y)
            onto = before if self.carry is None else torch.mul(before, self.carry, out=after)
            if not self.model.inside:
                y = torch.mul(y, layer.s, out=scaled)
            if layer.V is None:
                torch.add(onto, y, out=after)
            else:
                torch.baddbmm(onto, layer.V, y, out=after)
                if layer.W is None and layer.b is not None:
                    after.addcmul_(layer.b.unsqueeze(-1), layer.s)
        return passed

    def _met(self, layer: Layer, h: Tensor, out: Tensor) -> Tensor:
        """Return what the activation meets: h itself, or ``out``."""
        met = h
        if layer.W is not None:
            met = torch.bmm(layer.W, h, out=out)
            if layer.b is not None:
                met += layer.b.unsqueeze(-1)
            if self.model.inside:
                met *= layer.s
        return met if layer.signs is None else torch.mul(met, layer.signs, out=out)

    def _sigma(self, met: Tensor, overwritten: bool) -> Tensor:
        """Return the activation's value, 0 in the padding; it may take the place of what is ``overwritten``."""
        sigma, n = self.model.sigma, self.model.width
        function = sigma.in_place if overwritten and sigma.in_place is not None else sigma.torch
        y: Tensor = function(torch, met)
        if sigma.at_zero != 0.0:
            y[:, n:] = 0.0
        return y

    def outputs(self, passed: Pass) -> Tensor:
        """Return W_out h_N, (c, batch, outputs)."""
        return torch.bmm(self.weights["W_out"], passed.h[-1]).mT

    def gradients_of(self, x: Tensor, passed: Pass, pulled: Tensor, work: Workspace) -> Tensor:
        """Leave the gradients of a loss, whose gradient with respect to the outputs is ``pulled``; return p_0."""
        p = work.get("p", *passed.h[-1].shape)
        torch.bmm(self.weights["W_out"].mT, pulled.mT, out=p)
        if "W_out" in self.gradients:
            torch.bmm(pulled.mT, passed.h[-1].mT, out=self.gradients["W_out"])
        for _ in self.backward(passed, p, work):
            pass
        if "A" in self.gradients:
            torch.bmm(p, x, out=self.gradients["A"])
        return p

    def backward(self, passed: Pass, p: Tensor, work: Workspace, of_weights: bool = True) -> Iterator[int]:
        """Take p, (c, m, batch), from p_N to p_0 in place, and say k when it is p_k; leave the gradients of weights."""
        q, r = work.get("q", *p.shape), work.get("r", *p.shape)
        inside, sigma = self.model.inside, self.model.sigma
        if of_weights and "s" in self.gradients:
            self.gradients["s"].zero_()
        for k in reversed(range(self.model.depth)):
            layer, y = self.layers[k], passed.y[k]
            if of_weights and not inside:
                layer.leave_scale(p, y, inside)
            g = p if inside else torch.mul(p, layer.s, out=q)
            if layer.V is not None:
                if of_weights:
                    layer.leave(layer.dV, g, y)
                g = torch.bmm(layer.V.mT, g, out=r)
            g = sigma.pulled(torch, g, passed.met[k], y)
            if layer.signs is not None:
                g = torch.mul(g, layer.signs, out=r)
            if inside:
                if of_weights:
                    layer.leave_scale(g, passed.h[k], inside)
                g = torch.mul(g, layer.s, out=r)
            if self.carry is not None:
                p *= self.carry
            if layer.W is None:
                p += g
            else:
                if of_weights:
                    layer.leave(layer.dW, g, passed.h[k])
                p.baddbmm_(layer.W.mT, g)
            yield k
