"""Losses of networks side by side, with their gradients by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch

Tensor = torch.Tensor


def cross_entropy(out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return -mean_i log softmax(out_i)_{y_i} of every network, (P,), and its gradient with respect to out.

    out is (P, batch, classes), y integers (P, batch).
    """
    log_p = torch.log_softmax(out, -1)
    losses = -log_p.gather(-1, y.unsqueeze(-1)).mean((1, 2))
    pulled = log_p.exp_()
    pulled.scatter_add_(-1, y.unsqueeze(-1), pulled.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
    return losses, pulled.div_(out.shape[1])


def mean_square(out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over examples and outputs of (out - y)^2 of every network, (P,), and its gradient.

    out and y are (P, batch, outputs).
    """
    miss = out - y
    return miss.square().mean((1, 2)), miss.mul_(2.0 / miss[0].numel())


LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "cross_entropy": cross_entropy,
    "mean_square": mean_square,
}
