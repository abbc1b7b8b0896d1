"""Weights put into modules: from any source, or from the counters of one network of a seed."""

from __future__ import annotations

import numpy as np
import torch

from ..models.network import Network
from ..models.residual_network import ResidualNetwork
from ..models.resnet import ResNet
from ..reference.sources import Source, counters_of
from ..reference.vectors import Floats
from .residual import ExplicitResidualNetwork
from .resnet import ExplicitResNet


def explicit(model: Network, seed: int = 0, network: int = 0) -> ExplicitResNet | ExplicitResidualNetwork:
    """Return network number ``network`` of ``seed``, with explicit weights, float64.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Width at most 2^17; a matrix takes 8 n^2 bytes, and every layer has one or two.
    seed : int
        0 to 2^64 - 1.
    network : int
        0 to 2^48 - 1.

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    source = counters_of(model, seed, network)
    if isinstance(model, ResNet):
        module: ExplicitResNet | ExplicitResidualNetwork = ExplicitResNet(model)
    else:
        assert isinstance(model, ResidualNetwork)
        module = ExplicitResidualNetwork(model)
    fill(module, source)
    return module


def fill(module: ExplicitResNet | ExplicitResidualNetwork, source: Source) -> None:
    """Give a module the weights and signs of the first network of ``source``."""
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
        for layer, matrix in enumerate(matrices):
            assert place is not None
            _put(matrix, source.matrix(place, layer) / root)
    for layer, b in enumerate(module.b):
        _put(b, model.bias * source.bias(layer))
    _put(module.W_out, source.readout(model.n_out) / root)
    if module.signs is not None:
        for layer, signs in enumerate(module.signs):
            _put(signs, source.signs(layer))


def _put(tensor: torch.Tensor, entries: Floats) -> None:
    """Copy the first network's ``entries``."""
    tensor.copy_(torch.from_numpy(entries[0]))
