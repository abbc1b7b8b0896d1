"""Moments of coordinates behind a norm of each input by itself, as the width grows."""

from __future__ import annotations

import numpy as np

from ..models.residual_network import ResidualNetwork
from .kernels import Floats


def normalised(
    network: ResidualNetwork, square: Floats, mean: Floats, distance: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what N makes of coordinates' mean squares and means, (m,), and of the pairs' mean squared distances."""
    norm, (a, b) = network.normalisation, np.tril_indices(len(square), -1)
    assert norm is not None
    own = factor(network, square, mean)
    if norm.centred:
        square, distance = square - mean**2, distance - (mean[a] - mean[b]) ** 2
        mean = np.zeros_like(mean)
    grown = (own[a] - own[b]) * (own[a] * square[a] - own[b] * square[b])
    return own**2 * square, own * mean, own[a] * own[b] * distance + grown


def factor(network: ResidualNetwork, square: Floats, mean: Floats) -> Floats:
    """Return 1/sqrt(v + eps), and 0 for 1/0: what gradients are multiplied by, too."""
    norm = network.normalisation
    size = square - (mean**2 if norm is not None and norm.centred else 0.0) + network.eps
    return np.where(size > 0.0, 1.0 / np.sqrt(np.where(size > 0.0, size, 1.0)), 0.0)
