"""Weights put into modules: from any source, or from the counters of one network of a seed."""

from __future__ import annotations

import numpy as np
import torch

from .._system.words import brief
from ..models.network import Network
from ..models.residual_network import ResidualNetwork
from ..models.resnet import ResNet
from ..reference.sources import Source, counters_of
from ..reference.vectors import Floats
from .residual import ExplicitResidualNetwork
from .resnet import ExplicitResNet


def explicit(
    model: Network,
    seed: int = 0,
    network: int | range = 0,
    *,
    scheme: str | None = None,
    backward: str = "autograd",
    checkpoint_every: int | None = None,
    tolerance: float = 1e-2,
) -> ExplicitResNet | ExplicitResidualNetwork:
    """Return network number ``network`` of ``seed``, or several of them in one module, with explicit weights, float64.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Width at most 2^17; a matrix takes 8 n^2 bytes, and every layer has one or two.
    seed : int
        0 to 2^64 - 1.
    network : int or range
        0 to 2^48 - 1. A range of P numbers gives one module with P networks side by side, of a `ResidualNetwork` alone.
    scheme, backward, checkpoint_every, tolerance
        As `ExplicitResidualNetwork` has them. With a scheme there are depth + 1 sets of weights: of smooth weights that
        of layer k is theta(k/depth), so that the last is theta(1); tied layers have the same again, independent ones
        another of the same counters. The first ``depth`` are those of the network without a scheme, which is Euler's
        method.

    Raises
    ------
    ValueError
        For an argument out of range, or weights that do not fit into memory; the message names it, its value and what
        is allowed.
    """
    source = counters_of(model, seed, network if isinstance(network, range) else [network])
    module: ExplicitResNet | ExplicitResidualNetwork
    if isinstance(model, ResNet):
        for name, value, only in (
            ("network", network, not isinstance(network, range)),
            ("scheme", scheme, scheme is None),
            ("backward", backward, backward == "autograd"),
            ("checkpoint_every", checkpoint_every, checkpoint_every is None),
        ):
            if not only:
                raise ValueError(
                    f"{name}={brief(value)} is not allowed with a ResNet: spell the network as a resmc.ResidualNetwork"
                )
        module = ExplicitResNet(model)
    else:
        assert isinstance(model, ResidualNetwork)
        networks = len(network) if isinstance(network, range) else None
        module = ExplicitResidualNetwork(model, networks, scheme, backward, checkpoint_every, tolerance)
    fill(module, source)
    return module


def fill(module: ExplicitResNet | ExplicitResidualNetwork, source: Source) -> None:
    """Give a module the weights and signs of a source's networks, as many as the module has, from the first on."""
    with torch.no_grad():
        if isinstance(module, ExplicitResNet):
            _fill_resnet(module, source)
        else:
            _fill_residual(module, source)


def _fill_resnet(module: ExplicitResNet, source: Source) -> None:
    _put(module.W_in, source.first_layer())
    for layer, W in enumerate(module.W):
        _put(W, source.matrix("outer", layer))
    _put(module.W_out, source.readout(module.model.n_out))
    if module.s is not None:
        for layer, s in enumerate(module.s):
            _put(s, source.signs(layer))


def _fill_residual(module: ExplicitResidualNetwork, source: Source) -> None:
    model, root = module.model, np.sqrt(module.model.width)
    _put(module.A, source.first_layer() / np.sqrt(len(model.inputs.x)))
    for matrices, place in ((module.V, model.residual_block.V), (module.W, model.residual_block.W)):
        if matrices is not None and place is not None:
            for layer, matrix in enumerate(matrices):
                _put(matrix, source.matrix(place, layer) / root)
    if module.b is not None:
        for layer, b in enumerate(module.b):
            _put(b, model.bias * source.bias(layer))
    _put(module.W_out, source.readout(model.n_out) / root)
    if module.signs is not None:
        for layer, signs in enumerate(module.signs):
            _put(signs, source.signs(layer))


def _put(tensor: torch.Tensor, entries: Floats) -> None:
    """Copy the ``entries`` of the first networks, whose number is what the tensor has room for."""
    tensor.copy_(torch.from_numpy(entries[: tensor.numel() // entries[0].size]).reshape(tensor.shape))
