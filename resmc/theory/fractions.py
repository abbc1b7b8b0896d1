"""Probabilities that hold exactly at every width and depth: of a network that is dead, or has no active neuron.

A network is dead at layer l if h_l = 0, and inactive there if h_l is not 0 but no entry of it passes the rectifier.
All follow from one fact. Rows of independent symmetric weights give what they meet (a vector that is not 0, or with a
bias any vector) independent symmetric entries, and none is 0 where the law of an entry has no atoms: all weights but
those of +-1. So all n entries are negative with probability 2^-n, n being that layer's width where these differ.
Weights of +-1 cancel exactly now and then, which depends on arithmetic among carry, scaling and width: with them
nothing is known. Nor is it of layers that weights of a law that is not symmetric have made, but for random signs: h_0
alone, Gaussian without an input, has fair signs then.

"Exactly" is in real numbers: a network that shrinks at every layer and cannot be rescaled (an activation that is not
homogeneous, without a skip) is taken for dead by the kernels once it is below their smallest numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import ResidualNetwork
from .kernels import Floats

Booleans = NDArray[np.bool_]


def untouched_layers(model: ResidualNetwork) -> int:
    """Return the number of layers before the first branch with a scale that is not 0: h_l = carry^l h_0 up to there."""
    scaled = np.flatnonzero(model.scales)
    return int(scaled[0]) if scaled.size else model.depth


def activated(model: ResidualNetwork) -> NDArray[np.int64]:
    """Return how many neurons the activation of every layer acts on, (depth,)."""
    if model.widths is None:
        return np.full(model.depth, model.inner)
    return model.layer_widths[:-1] if model.residual_block.acts_on_layers else model.layer_widths[1:]


def without_atoms(model: ResidualNetwork) -> Booleans:
    """Return, for layers 0 to depth, if no entry of h_l can be 0 by chance: weights of +-1 have met it from then on."""
    if model.law != "rademacher":
        return np.ones(model.depth + 1, np.bool_)
    return (np.arange(model.depth + 1) <= untouched_layers(model)) & (not model.inputs.explicit)


def fresh_layers(model: ResidualNetwork) -> Booleans:
    """Return, for layers 0 to depth, if the entries of h_l have independent fair signs given their sizes and the past.

    h_0 = A x has, by its rows, and so has carry^l h_0. Without a skip the branches of phi-in have, again by rows; those
    of the other blocks have not, as they end with the activation or have a matrix of their own before it. Nor have
    those of layers that depend on each other: h_l and the matrix that it meets are not independent then. All this needs
    a weight law that is symmetric, but for a Gaussian h_0.
    """
    symmetric = model.weight_law.symmetric
    first = (np.arange(model.depth + 1) <= untouched_layers(model)) & (symmetric or not model.inputs.explicit)
    redrawn = model.carry == 0.0 and model.residual_block.acts_on_layers and model.independent and symmetric
    return first | redrawn


def dead_fraction(model: ResidualNetwork) -> Floats:
    """Return P(h_l = 0) for layers 0 to depth; NaN where it is not known.

    With a skip it is 0: the law of a branch has no atom but 0 itself, and carry h_l is not 0. Without a skip, h_{l+1}
    is 0 where s_l = 0, or where all entries of the activation are, which happens

    .. code-block:: text

        rectifiers, phi-in without bias      if h_l is dead, else with probability 2^-n    P_l = 1 - (1 - 2^-n)^l
        rectifiers, phi-out and v-phi-w
            without bias                     the same
            with bias                        with probability 2^-n, whatever h_l is        P_l = 2^-n for l >= 1
        other activations with sigma(0) = 0  if h_l is dead and there is no bias           P_l = 0
        sigmoid, or phi-in with bias         never                                         P_l = 0

    With dropout, which is phi-in's, a neuron is kept with probability p besides: (1 - p/2)^n stands for 2^-n, and where
    others than rectifiers have 0 they have (1 - p)^n, but for the last line's phi-in with bias. Without a skip all of
    this needs layers that are independent of each other, a symmetric weight law, and no norm. With a batch norm h_0
    alone is known: inputs that are equal can leave 0.
    """
    known = without_atoms(model)
    if model.carry == 0.0 and not (model.independent and model.norm is None and model.weight_law.symmetric):
        known &= np.arange(model.depth + 1) <= untouched_layers(model)
    if model.norm == "batch":
        known &= np.arange(model.depth + 1) == 0
    return np.where(known, _dead(model), np.nan)


def inactive_fraction(model: ResidualNetwork) -> Floats:
    """Return P(no entry of sigma(h_l) is above 0 | h_l is not 0) for layers 0 to depth; NaN where it is not known.

    It is 2^-n where the signs of all neurons are independent and fair: with independent random signs, and in
    `fresh_layers`. Networks without rectifiers that act on the layers have no such fraction: NaN.
    """
    if not model.has_asymmetry:
        return np.full(model.depth + 1, np.nan)
    independent = fresh_layers(model) | (model.sigma.signed and not model.sigma.half)
    known = independent & without_atoms(model) & (_dead(model) < 1.0)
    return np.where(known, 0.5 ** model.layer_widths.astype(np.float64), np.nan)


def symmetric_layers(model: ResidualNetwork) -> Booleans:
    """Return, for layers 0 to depth, if A_l is symmetric about 0 given |h_l| and the past.

    Turning all random signs, or the signs of a fresh layer's entries, turns A_l into -A_l.
    """
    return (fresh_layers(model) | model.sigma.signed) & model.has_asymmetry & (_dead(model) < 1.0)


def _dead(model: ResidualNetwork) -> Floats:
    """Return P(h_l = 0) for layers 0 to depth, for weights without atoms."""
    out = np.zeros(model.depth + 1)
    if model.carry != 0.0:
        return out
    sigma, always_met = model.sigma, model.residual_block.acts_on_layers and model.bias > 0.0
    passing = model.keep * (0.5 if sigma.rectifier else 1.0)  # probability that a neuron passes
    all_negative = np.zeros(model.depth) if always_met else (1.0 - passing) ** activated(model).astype(np.float64)
    stopped = model.scales == 0.0
    if model.bias == 0.0 and sigma.at_zero == 0.0:  # nothing revives the dead
        lived = np.log1p(-all_negative)
        sums = np.concatenate([[0.0], np.cumsum(lived)]) if model.widths else np.arange(model.depth + 1) * lived[0]
        out = 0.0 - np.expm1(sums)
        stopped = np.logical_or.accumulate(stopped)
    else:
        out[1:] = all_negative
    if sigma.vanishes:  # with a probability that depends on how large the layer is
        out[1:] = np.nan
    out[1:][stopped] = 1.0
    return out
