"""Mean squares of h_l, of p_l and of their ways from the start, exact at every finite width and depth where known.

Given h, let a branch F be centred, E h.F = 0, and of mean square E|F|^2/n = s^2 (kappa |h|^2/n + t^2). Then

.. code-block:: text

    m' = (carry^2 + s^2 kappa) m + s^2 t^2,        m_l = E|h_l|^2/n
    h_l = carry^l h_0 + N_l,   E h_0.N_l = 0,      e' = carry^2 e + s^2 (kappa m + t^2),        e_l = E|N_l|^2/n
    E|h_l - h_0|^2/n = (carry^l - 1)^2 m_0 + e_l

For a homogeneous activation, kappa = E sigma(g)^2 = (sigma(1)^2 + sigma(-1)^2)/2, since u symmetric about 0 has
E sigma(u)^2 = kappa E u^2 whatever its law otherwise. So any symmetric weight law of variance 1/n will do, and with
linear activations or random signs any of mean 0:

.. code-block:: text

    v-phi-w     F = s V sigma(W h + b)    centred by V; W h + b is symmetric                     t^2 = kappa bias^2
    phi-in      F = s (V sigma(h) + b)    centred by V; needs random signs, or a fresh h         t^2 = bias^2
    phi-out     F = s sigma(W h + b)      h.F is 0 without a skip, and odd in a fresh h          t^2 = kappa bias^2
    linear, in every block                kappa = 1

    dropout     phi-in with m sigma(h)/sqrt(keep) for sigma(h): E|m sigma(h)|^2/keep = |sigma(h)|^2 changes nothing

With widths n_l by layer nothing of this changes; |h_l|^2/|h_0|^2 is n_l/n_0 times m_l/m_0, and there is no h_l - h_0.

h is fresh if its entries have fair signs independent of their sizes and of the past (`fractions.fresh_layers`). Source
of v-phi-w with ReLU and no bias, (1 + s^2/2)^L: Marion, Fermanian, Biau, Vert (arXiv 2206.06929); of phi-in with
balanced: Li, Nica, Roy (arXiv 2106.04013), section 3. The others are these lines. All of this is for layers that are
independent of each other; where they are not, only the first layer that the input meets is as if they were.

Backward, p_l = J_l^T .. J_{L-1}^T p_L with an isotropic p_L that is independent of all layers, so that

.. code-block:: text

    E|p_l|^2/|p_L|^2 = E|J_{L-1} .. J_l|^2/n, in the Frobenius norm,        E p_l.p_L/|p_L|^2 = E tr(J_{L-1} .. J_l)/n

In the same cases E J^T J = (carry^2 + s^2 kappa) I given h and the layers before: the slope of a neuron is that of a
fair sign, independent of all it is multiplied by. E J = carry I, but for phi-out. So the recursions are those of h
without bias, from L to 0. Two cases need care. A network that is dead at layer l has the slopes sigma'(0), 0 for
rectifiers: its p_l is 0, and P(h_l is not 0) multiplies the mean square. And where W h is 0 by chance, the slope is
that of one side: with weights of +-1 the gradient is not known.
"""

from __future__ import annotations

import math

import numpy as np

from ..models.activation_record import ActivationRecord
from ..models.residual_network import ResidualNetwork
from .averages import gaussian_averages
from .fractions import dead_fraction, untouched_layers
from .kernels import Floats
from .normalised import log_mean_square as normalised_mean_square

ROUNDING = 1e-12  # a growth per layer below it is that of a network meant to have none: 0.8^2 + 0.6^2 is not quite 1


def tidy(steps: Floats) -> Floats:
    """Return logarithms of growth per layer, with exactly 0 for what is 0 but for the rounding of carry and scale."""
    return np.where(np.abs(steps) < ROUNDING, 0.0, steps)


def homogeneous_gain(sigma: ActivationRecord) -> float:
    """Return kappa = E sigma(g)^2 of a homogeneous activation, without the rounding of a quadrature."""
    up, down = sigma.value(np.array([1.0, -1.0]))
    return float(up**2 + down**2) / 2.0


def jacobian_gain(model: ResidualNetwork) -> float | None:
    """Return kappa if every layer has E[J^T J | h] = (carry^2 + s^2 kappa) I, J its Jacobian, whatever h; else None.

    kappa is E sigma(g)^2, for homogeneous activations: with v-phi-w if the weight law is symmetric, with phi-in if
    balanced, with any block if linear; for layers that are independent of each other.
    """
    if not model.independent:
        return None
    sigma = model.sigma
    balanced = sigma.signed and model.block == "phi-in"
    symmetric = model.block == "v-phi-w" and model.weight_law.symmetric
    if model.activation == "linear" or (sigma.homogeneous and (symmetric or balanced)):
        return homogeneous_gain(sigma)
    return None


def may_start_at_0(model: ResidualNetwork) -> bool:
    """Return True if P(h_0 = 0) > 0, so that quotients have no mean: weights of +-1 with an input."""
    return model.law == "rademacher" and model.inputs.explicit


def log_growth(model: ResidualNetwork) -> Floats:
    """Return log E[|h_l|^2/|h_0|^2] for layers 0 to depth; NaN where it is not known or infinite.

    With a bias, m_l is a m_0 + b, and E[1/m_0] = n/((n - 2) size^2) of a Gaussian h_0, infinite for n <= 2.
    """
    if model.norm is not None:
        return _start_alone(model, 0, 0.0)
    if may_start_at_0(model):
        return np.full(model.depth + 1, math.nan)
    return _forward(model, _inverse_start(model)) + _log_lengths(model)


def log_displacement(model: ResidualNetwork) -> Floats:
    """Return log E[|h_l - h_0|^2/|h_0|^2] for layers 0 to depth, -infinity at 0; NaN where it is not known."""
    if may_start_at_0(model):
        return np.full(model.depth + 1, math.nan)
    if model.norm is not None or model.widths is not None:
        return _start_alone(model, 0, -math.inf)
    weight = _inverse_start(model)
    noise = _noise(model, _branch_gains(model), _forward(model, weight), _additions(model, weight))
    return _plus(_carried_away(model), noise)


def log_mean_square(model: ResidualNetwork) -> Floats:
    """Return log E|h_l|^2/n for layers 0 to depth; NaN where it is not known.

    E|h_0|^2/n is size^2 for every weight law. Of phi-in with a Gaussian h_0, layer 1 is known for every activation:
    carry^2 size^2 + s^2 (E sigma(size g)^2 + bias^2). With a norm it is `resmc.theory.normalised` that knows.
    """
    if model.norm is not None:
        return normalised_mean_square(model)
    weight = model.size**-2.0 if model.bias > 0.0 else 1.0  # a network without bias has an input of any size
    out = _forward(model, weight) + 2.0 * math.log(model.size)
    first = model.block == "phi-in" and not model.inputs.explicit and model.standardised
    if math.isnan(out[1]) and first:
        average = float(gaussian_averages(model.sigma, np.array(model.size**2)).m)
        out[1] = math.log((model.carry * model.size) ** 2 + float(model.scales[0]) ** 2 * (average + model.bias**2))
    return out


def log_gradient(model: ResidualNetwork) -> Floats:
    """Return log E[|p_l|^2/|p_L|^2] for layers 0 to depth = L; NaN where it is not known."""
    if model.norm is not None:
        return _start_alone(model, -1, 0.0)
    return _backward(model) + _log_alive(model)


def log_gradient_displacement(model: ResidualNetwork) -> Floats:
    """Return log E[|p_l - p_L|^2/|p_L|^2] for layers 0 to depth = L, -infinity at L; NaN where it is not known.

    Of phi-out without a skip only layer 0 is known: E J is not 0, and E p_0.p_L vanishes since h_0 -> -h_0 with W_0 ->
    -W_0 turns J_0 into -J_0 and leaves all other layers as they are.
    """
    if model.norm is not None or model.widths is not None:
        return _start_alone(model, -1, -math.inf)
    gains, none = _slope_gains(model)[::-1], np.full(model.depth, -math.inf)
    noise = _noise(model, gains, _backward(model)[::-1], none)[::-1] + _log_alive(model)
    if model.carry == 0.0 and model.block == "phi-out" and not model.sigma.odd:
        noise[1:-1] = math.nan
    return _plus(_carried_away(model)[::-1], noise)


# ---------------------------------------------------------------------------------------------------------- recursions


def _start_alone(model: ResidualNetwork, start: int, value: float) -> Floats:
    """Return what is known of quotients of a network with a norm, or that have no meaning: nothing but their start."""
    out = np.full(model.depth + 1, math.nan)
    out[start] = value
    return out


def _plus(a: Floats | float, b: Floats | float) -> Floats:
    """Return log(e^a + e^b); NaN where one of them is, without a warning."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp(a, b))


def _branch_gains(model: ResidualNetwork) -> Floats:
    """Return log s^2 kappa for every layer, (depth,): NaN where there is no kappa, -infinity where s is 0."""
    gains = np.full(model.depth, math.nan)
    if model.sigma.homogeneous:
        symmetric = model.weight_law.symmetric
        everywhere = jacobian_gain(model) is not None or (model.carry == 0.0 and model.independent and symmetric)
        first = (np.arange(model.depth) <= untouched_layers(model)) & model.standardised
        first &= symmetric or not model.inputs.explicit
        gains[everywhere | first] = math.log(homogeneous_gain(model.sigma))
    with np.errstate(divide="ignore"):
        scales = 2.0 * np.log(np.abs(model.scales))
    return np.where(np.isneginf(scales), -math.inf, gains + scales)


def _log_carry(model: ResidualNetwork) -> float:
    """Return log carry^2."""
    return 2.0 * math.log(abs(model.carry)) if model.carry else -math.inf


def _inverse_start(model: ResidualNetwork) -> float:
    """Return E[n/|h_0|^2], which a bias is multiplied by in quotients; NaN where it is infinite or not known."""
    n = model.width_of(0)
    if model.bias == 0.0:
        return 1.0  # nothing is multiplied, and the input may have any size
    return math.nan if model.inputs.explicit or n <= 2 else n / ((n - 2.0) * model.size**2)


def _log_lengths(model: ResidualNetwork) -> Floats:
    """Return log n_l/n_0 for layers 0 to depth: recursions are of means over neurons, quotients of sums."""
    n = model.layer_widths
    return np.asarray(np.log(n / n[0]), np.float64)


def _additions(model: ResidualNetwork, weight: float) -> Floats:
    """Return log(s^2 t^2 weight) for every layer, (depth,)."""
    if model.bias == 0.0:
        return np.full(model.depth, -math.inf)
    with np.errstate(divide="ignore"):
        scales = 2.0 * np.log(np.abs(model.scales))
    met = 1.0 if model.residual_block.acts_on_layers or not model.sigma.homogeneous else homogeneous_gain(model.sigma)
    return scales + math.log(met * weight) + 2.0 * math.log(model.bias)


def _forward(model: ResidualNetwork, weight: float) -> Floats:
    """Return log m_l/m_0 for layers 0 to depth, with biases multiplied by ``weight``."""
    steps = tidy(_plus(_log_carry(model), _branch_gains(model)))
    return _affine(0.0, steps, _additions(model, weight))


def _backward(model: ResidualNetwork) -> Floats:
    """Return log E|p_l|^2/|p_L|^2 for layers 0 to depth of networks that are not dead at layer l."""
    steps = tidy(_plus(_log_carry(model), _slope_gains(model)))
    return _affine(0.0, steps[::-1], np.full(model.depth, -math.inf))[::-1]


def _noise(model: ResidualNetwork, gains: Floats, squares: Floats, additions: Floats) -> Floats:
    """Return log e_l: from 0, e' = carry^2 e + s^2 kappa m + s^2 t^2."""
    added = np.where(np.isneginf(gains), additions, _plus(gains + squares[:-1], additions))
    return _affine(-math.inf, np.full(model.depth, _log_carry(model)), added)


def _affine(start: float, log_factors: Floats, log_terms: Floats) -> Floats:
    """Return the logarithms of m_0 .. m_depth of m' = factor m + term, all at least 0.

    Between factors of 0, m_l = P_l (m_0 + sum_{j < l} term_j/P_{j+1}) with the products P_l of the factors before l.
    """
    out = np.empty(len(log_factors) + 1)
    out[0] = start
    zeros = np.flatnonzero(np.isneginf(log_factors))
    if len(zeros) == len(log_factors):
        out[1:] = log_terms
        return out
    begin = 0
    for end in [*zeros.tolist(), len(log_factors)]:
        products = np.cumsum(log_factors[begin:end])
        terms = np.concatenate([out[begin : begin + 1], log_terms[begin:end] - products])
        with np.errstate(invalid="ignore"):
            out[begin + 1 : end + 1] = products + np.logaddexp.accumulate(terms)[1:]
        if end < len(log_factors):
            out[end + 1] = log_terms[end]
        begin = end + 1
    return out


def _carried_away(model: ResidualNetwork) -> Floats:
    """Return log (carry^l - 1)^2 for l = 0 .. depth, -infinity at l = 0, without cancellation near carry = 1."""
    out = np.full(model.depth + 1, -math.inf)
    layers = np.arange(1, model.depth + 1)
    powers = np.asarray(layers * (0.5 * _log_carry(model)), np.float64)
    with np.errstate(divide="ignore"):
        out[1:] = 2.0 * (np.maximum(powers, 0.0) + np.log(-np.expm1(-np.abs(powers))))
    if model.carry < 0.0:
        out[1::2] = 2.0 * _plus(powers[::2], 0.0)
    return out


# ----------------------------------------------------------------------------------------------------- gradients alone


def _slope_gains(model: ResidualNetwork) -> Floats:
    """Return `_branch_gains`, NaN where neurons may be 0 by chance and have the slope of one side, unlike the other."""
    gains = _branch_gains(model)
    met_by_bias = model.bias > 0.0 and not (model.residual_block.acts_on_layers and model.inputs.explicit)
    if model.law != "rademacher" or model.activation == "linear" or met_by_bias:
        return gains
    return np.where(np.isneginf(gains), gains, math.nan)


def _log_alive(model: ResidualNetwork) -> Floats:
    """Return the log of E|p_l|^2's part that living networks have; NaN where the dead have a part that is not known."""
    out = np.zeros(model.depth + 1)
    met = model.bias > 0.0 and not model.residual_block.acts_on_layers  # the bias gives the dead fair slopes as well
    if model.carry != 0.0 or model.activation == "linear" or met:
        return out
    dead = dead_fraction(model)
    with np.errstate(divide="ignore"):
        out = np.log1p(-dead) if model.sigma.rectifier else np.where(dead == 0.0, 0.0, math.nan)
    out[-1] = 0.0  # p_L is a row of the readout, whatever the network does
    return out
