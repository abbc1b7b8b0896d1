"""Modules of torch as `ResidualNetwork`: their layers as torch's tracer sees them, and the laws of their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from .._system import checks
from .._system.words import brief
from ..models.activations import ACTIVATIONS
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from .initial_laws import InitialLaw, deviations_of, known_deviations, laws_of, misfit
from .traced import Activated, Block, Factor, Step, steps_of


@dataclass(frozen=True)
class Layer:
    """One layer, carry h + after V sigma(before W h), V and W with their biases or not there."""

    carry: float
    before: float
    after: float
    sigma: str
    W: nn.Linear | None
    V: nn.Linear | None


def from_torch(
    module: nn.Module,
    *,
    input: ArrayLike | None = None,
    deviations: float | Sequence[float] = (),
) -> ResidualNetwork:
    """Return the network whose law a module of torch has at initialisation.

    ``torch.fx`` traces the module, so that its forward method may be code of any kind that adds branches to a state:
    ``x + self.fc2(torch.relu(self.fc1(x)))``, a loop over such layers, or an ``nn.Sequential``. Its parts
    are, in order,

    .. code-block:: text

        embedding   a Linear at the beginning that does not keep the width, or that an activation follows
        layers      all alike: carry h + branch(h), or without a sum branch(h), the branch being
                    activation, Linear            phi-in
                    Linear, activation            phi-out
                    Linear, activation, Linear    v-phi-w, with an inner width
                    with numbers that multiply the state, the skip or the branch
        readout     a Linear of another width at the end, with an activation before it in a network without sums

    A Linear that is followed by layers of activation and Linear is an embedding: the network's h_0 is what it makes.
    So h_l are the pre-activations of a multilayer perceptron, and its readout is left out: h_depth is the last hidden
    layer. The readout of the network that is returned has variance 1/width, whatever the module's.

    Laws are read off the weights (`resmc.torch_module.initial_laws` has the tests and their levels): those of torch's
    defaults and of ``torch.nn.init``, uniform, normal, Kaiming and Xavier, fan_in or fan_out, with the gains 1,
    sqrt(2), 5/3 and 3/4; 0.02; and zeros, with which a branch is 0. Layers may differ in their size.

    Parameters
    ----------
    module : torch.nn.Module
        Of Linear, activations that resmc has, and sums; fresh, not trained.
    input : array (n_in,), optional
        The input x. It is needed where a module begins with a Linear whose weights or bias are not Gaussian. Without
        it |x|^2 = n_in; and without an embedding h_0 is N(0, I).
    deviations : float or sequence of float
        Further standard deviations that weights may have, above 0, as of ``nn.init.normal_(w, std=..)``.

    Raises
    ------
    ImportError
        Without torch.
    ValueError
        For what has no like in resmc: layers that differ, an activation or a norm that is not there, a bias where there
        is none; for weights of no known initialisation, or trained; in a sentence that says which, and what is allowed.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"module={brief(module)} is not allowed: it must be a torch.nn.Module")
    given = [deviations] if isinstance(deviations, int | float) else list(deviations)
    more = [checks.real("deviations", one, positive=True) for one in given]
    embedding, layers = _parts(steps_of(module), input is not None)
    return _network(embedding, layers, Laws(more), input)


def _parts(steps: tuple[Step, ...], has_input: bool) -> tuple[nn.Linear | None, list[Layer]]:
    """Return the embedding, if there is one, and the layers."""
    if any(isinstance(step, Block) for step in steps):
        return _residual_parts(steps)
    if not any(isinstance(step, Activated) for step in steps):
        raise ValueError("the module has no activation and no sum: a network needs layers of either")
    linear = [step for step in steps if isinstance(step, nn.Linear)]
    first = next(step for step in steps if not isinstance(step, Factor))
    width = linear[-1].in_features if linear else 0
    square = [one.in_features == one.out_features for one in linear]
    if isinstance(first, nn.Linear) and isinstance(steps[-1], Activated) and all(square) and not has_input:
        return None, [_layer(0.0, part) for part in _split(steps, Activated)]
    embedding = first if isinstance(first, nn.Linear) else None
    parts = _split(steps[1:] if embedding is not None and steps[0] is first else steps, nn.Linear)
    if parts and (last := _linear(parts[-1])) is not None and last.out_features != width:
        parts = parts[:-1]
    if parts and _linear(parts[-1]) is None:
        parts = parts[:-1]  # an activation behind the last hidden layer
    if not parts:
        raise ValueError("the module has one hidden layer alone: a network needs a Linear between two hidden ones")
    return embedding, [_layer(0.0, part) for part in parts]


def _residual_parts(steps: tuple[Step, ...]) -> tuple[nn.Linear | None, list[Layer]]:
    places = [i for i, step in enumerate(steps) if isinstance(step, Block)]
    begin, end = places[0], places[-1] + 1
    while end < len(steps) and isinstance(steps[end], Factor):
        end += 1
    before, among, after = steps[:begin], steps[begin:end], steps[end:]
    if len(before) > 1 or not all(isinstance(step, nn.Linear) for step in before):
        raise ValueError("what stands before the first sum is not understood: it must be one Linear, or nothing")
    if len(after) > 1 or not all(isinstance(step, nn.Linear) for step in after):
        raise ValueError("what stands behind the last sum is not understood: it must be one Linear, or nothing")
    layers: list[Layer] = []
    for step in among:
        if isinstance(step, Factor):  # a sum as a whole is multiplied
            if not layers:
                raise ValueError("a number before the first sum is not understood: scale the input instead")
            one = layers[-1]
            layers[-1] = replace(one, carry=one.carry * step.value, after=one.after * step.value)
        elif isinstance(step, Block):
            layers.append(_layer(step.carry, step.branch))
        else:
            raise ValueError("a Linear or an activation between two sums is not understood: all layers must be sums")
    embedding = before[0] if before else None
    assert embedding is None or isinstance(embedding, nn.Linear)
    return embedding, layers


def _split(steps: Sequence[Step], kind: type[nn.Linear | Activated]) -> list[tuple[Step, ...]]:
    """Return pieces that each end with a step of a kind, and with the numbers behind it."""
    pieces: list[list[Step]] = [[]]
    for step in steps:
        if any(isinstance(one, kind) for one in pieces[-1]) and not isinstance(step, Factor):
            pieces.append([])
        pieces[-1].append(step)
    return [tuple(piece) for piece in pieces if piece]


def _linear(steps: Sequence[Step]) -> nn.Linear | None:
    return next((step for step in steps if isinstance(step, nn.Linear)), None)


def _layer(carry: float, steps: Sequence[Step]) -> Layer:
    """Return a branch as a layer of a block."""
    found = [step for step in steps if not isinstance(step, Factor)]
    kinds = [
        "Linear" if isinstance(one, nn.Linear) else "sum" if isinstance(one, Block) else "activation" for one in found
    ]
    if kinds not in (["activation", "Linear"], ["Linear", "activation"], ["Linear", "activation", "Linear"]):
        raise ValueError(
            f"a layer of {', '.join(kinds) or 'numbers alone'} is not understood: it must be an activation and a "
            "Linear, a Linear and an activation, or an activation between two of them"
        )
    at = kinds.index("activation")
    factors, met = [1.0, 1.0], 0
    for step in steps:
        met = met or int(isinstance(step, Activated))
        if isinstance(step, Factor):
            factors[met] *= step.value
    sigma, W, V = found[at], found[0] if at else None, found[-1] if at + 1 < len(found) else None
    assert isinstance(sigma, Activated)
    assert W is None or isinstance(W, nn.Linear)
    assert V is None or isinstance(V, nn.Linear)
    return Layer(carry, factors[0], factors[1], sigma.name, W, V)


class Laws:
    """Laws of the matrices and biases of a module."""

    def __init__(self, more: Sequence[float]) -> None:
        self.more = more

    def of_matrices(self, where: str, linears: Sequence[nn.Linear], gains: Sequence[float] = ()) -> list[InitialLaw]:
        """Return the law of each matrix: the same of all where there is one that fits all of one shape.

        Of several laws those with a standard deviation that was handed in go before others, then those of ``gains``.
        """
        found: list[list[InitialLaw]] = []
        for number, linear in enumerate(linears):
            entries = linear.weight.detach().double().cpu().numpy()
            laws = laws_of(entries, (*known_deviations(linear.in_features, linear.out_features), *self.more))
            uniform = [law for law in laws if law.kind == "uniform"]
            alike = [s for g in gains for s in deviations_of(g, linear.in_features, linear.out_features)]
            meant = [law for law in laws if law.deviation in self.more] or [
                law for law in laws if any(math.isclose(law.deviation, s, rel_tol=1e-9) for s in alike)
            ]
            laws = meant or uniform or laws  # a Gaussian matrix hardly keeps to the ends of a uniform law
            if not laws:
                raise ValueError(self._unknown(f"{where} of layer {number}", entries, linear))
            found.append(laws)
        shared = [law for law in found[0] if all(law in laws for laws in found)] if found else []
        if len(shared) > 1 and len({(one.in_features, one.out_features) for one in linears}) == 1:
            pooled = np.stack([one.weight.detach().double().cpu().numpy().ravel() for one in linears]).ravel()
            shared = [law for law in shared if misfit(pooled, law) is None]
        if len(shared) == 1:
            return shared * len(found)
        if any(len(laws) > 1 for laws in found):
            said = ", ".join(f"{law.kind} {law.deviation:.4g}" for law in (shared or max(found, key=len)))
            raise ValueError(
                f"{where} of so few entries may have been drawn from any of {said}: give deviations=, the standard "
                "deviation that is meant, with more or wider layers"
            )
        return [laws[0] for laws in found]

    def _unknown(self, what: str, entries: Any, linear: nn.Linear) -> str:
        measured = float(np.sqrt(np.mean(entries**2)))
        known = (*known_deviations(linear.in_features, linear.out_features), *self.more)
        nearest = min(known, key=lambda s: abs(math.log(s / measured)))
        why = "; ".join(f"{kind}: {misfit(entries, InitialLaw(kind, nearest))}" for kind in ("uniform", "gaussian"))
        return (
            f"{what} with the standard deviation {measured:.4g} is no draw of a known initialisation, or is trained "
            f"(the nearest has {nearest:.4g}; {why}): give fresh weights, or their standard deviation as deviations="
        )

    def of_bias(self, where: str, linear: nn.Linear) -> InitialLaw:
        """Return the law of a bias: 0 or torch's default, uniform on +-1/sqrt(fan_in), or one that is handed in."""
        if linear.bias is None:
            return InitialLaw("zeros", 0.0)
        entries = linear.bias.detach().double().cpu().numpy()
        default = 1.0 / math.sqrt(3.0 * linear.in_features)
        laws = laws_of(entries, (default, *self.more))
        if not laws:
            raise ValueError(
                f"{where} is no draw of a known initialisation, or is trained: it must be 0, or torch's default, "
                f"uniform with the standard deviation {default:.4g}"
            )
        return next((law for law in laws if law == InitialLaw("uniform", default)), laws[0])


def _one(what: str, values: Sequence[Any]) -> Any:
    """Return what all layers have; refuse layers that differ."""
    for value in values:
        if value != values[0]:
            raise ValueError(f"layers differ in their {what}, {values[0]} and {value}: they must be alike")
    return values[0]


def _network(embedding: nn.Linear | None, layers: list[Layer], laws: Laws, given: ArrayLike | None) -> ResidualNetwork:
    W, V = ([one for one in found if one is not None] for found in ([x.W for x in layers], [x.V for x in layers]))
    block = _one("form", ["v-phi-w" if x.W and x.V else "phi-in" if x.V else "phi-out" for x in layers])
    width = _one("width", [*(one.out_features for one in V or W), *(one.in_features for one in W or V)])
    inner = (
        _one("inner width", [*(one.out_features for one in W), *(one.in_features for one in V)]) if W and V else None
    )
    sigma, carry = _one("activation", [x.sigma for x in layers]), _one("carry", [x.carry for x in layers])
    of_W, of_V = laws.of_matrices("W", W), laws.of_matrices("V", V)
    kinds = sorted({law.kind for law in of_W + of_V} - {"zeros"})
    kind = _one("law of weights", kinds) if kinds else "gaussian"
    if any(law.kind == "zeros" for law in of_W):
        raise ValueError("a Linear before an activation has weights 0, so that layers see nothing: they must be drawn")
    for number, one in enumerate(V if W else ()):
        if laws.of_bias(f"the last bias of layer {number}", one).deviation:
            raise ValueError(
                "the last Linear of a branch of two has a bias, which resmc's v-phi-w has not: it must be 0"
            )
    met = [x.before * g for x, g in zip(layers, _gains(of_W, W) if W else [1.0] * len(layers), strict=True)]
    made = [x.after * g for x, g in zip(layers, _gains(of_V, V) if V else [1.0] * len(layers), strict=True)]
    inside, unit, scales = _placed(block, sigma, met, made)
    biases = [laws.of_bias(f"the bias of layer {number}", one) for number, one in enumerate(W or V)]
    divisors = _gains(of_W, W) if W else [a * g for a, g in zip(met, _gains(of_V, V), strict=True)]
    # Where weights and bias of a layer are 0 the bias may be any: its branch is 0 all the same.
    sizes = [unit * law.deviation / g for law, g in zip(biases, divisors, strict=True) if g]
    bias = _one("bias", [float(f"{size:.12g}") for size in sizes]) if sizes else 0.0
    if any(law.deviation and not g for law, g in zip(biases, divisors, strict=True)):
        raise ValueError("a Linear with weights 0 has a bias, which is all that is left of its branch: it must be 0")
    gains = [x.deviation * math.sqrt(one.in_features) for x, one in zip(of_W + of_V, W + V, strict=True)]
    x, size = _start(embedding, laws, kind, gains if kinds else [], given)
    return ResidualNetwork(
        width,
        len(layers),
        block,
        sigma,
        carry,
        DepthScaling(0.0, scales[0], inside) if len(set(scales)) == 1 and scales[0] else tuple(scales),
        weights=kind,
        bias=bias,
        bias_law="uniform" if bias and biases[0].kind == "uniform" else "gaussian",
        input=None if x is None else tuple((unit * x).tolist()),
        input_norm=1.0 if x is not None else unit * size,
        inner_width=inner,
    )


def _gains(laws: Sequence[InitialLaw], linears: Sequence[nn.Linear]) -> list[float]:
    """Return the standard deviations over 1/sqrt(columns), to the digits that torch's float32 leaves nothing of."""
    return [float(f"{law.deviation * math.sqrt(one.in_features):.14g}") for law, one in zip(laws, linears, strict=True)]


def _placed(block: str, sigma: str, met: list[float], made: list[float]) -> tuple[bool, float, list[float]]:
    """Return where the scaling of a ResidualNetwork stands, what its states are beside the module's, and s_k.

    ``met`` multiplies what an activation meets, of variance 1 but for that, and ``made`` what it makes. A homogeneous
    activation has both in one. Others have one scaling inside, or a module's states times what is met.
    """
    if min(met) <= 0.0:
        raise ValueError(f"what enters an activation is multiplied by {min(met):.4g}: it must be above 0")
    whole = [a * b for a, b in zip(met, made, strict=True)]
    if ACTIVATIONS[sigma].homogeneous or all(a == 1.0 for a in met):
        return False, 1.0, [float(f"{one:.12g}") for one in whole]
    if block == "phi-in":
        raise ValueError(f"a number before {sigma} in a branch without a Linear before it is not understood")
    one = _one("size of what enters the activation", met)
    if block == "phi-out" and all(b == 1.0 for b in made):
        return True, 1.0, met
    return False, one, [float(f"{s:.12g}") for s in whole]


def _start(
    embedding: nn.Linear | None, laws: Laws, kind: str, gains: Sequence[float], given: ArrayLike | None
) -> tuple[Any, float]:
    """Return the input that a network has in place of the module's, or None, and the size of h_0."""
    if embedding is None:
        if given is not None:
            raise ValueError("input is not allowed for a module that begins with its layers: h_0 is N(0, I) there")
        return None, 1.0
    (law,), bias = (
        laws.of_matrices("the embedding", [embedding], gains),
        laws.of_bias("the embedding's bias", embedding),
    )
    n_in = embedding.in_features
    if law.kind == "zeros":
        raise ValueError("the embedding has weights 0: they must be drawn")
    if gains and law.kind != kind:
        raise ValueError(f"the embedding has {law.kind} weights and layers {kind} ones: they must be alike")
    x = None if given is None else np.ravel(checks.numbers("input", given, "it must be an array of numbers, all real"))
    if x is not None and len(x) != n_in:
        raise ValueError(f"input of {len(x)} entries is not allowed: the module takes {n_in}")
    if bias.kind not in ("zeros", law.kind):
        raise ValueError(
            f"the embedding has {law.kind} weights and a {bias.kind} bias: the bias must be 0, or of the weights' law"
        )
    square = float(n_in) if x is None else float(np.sum(np.asarray(x, np.float64) ** 2))
    if law.kind == "gaussian":
        return None, math.sqrt(law.deviation**2 * square + bias.deviation**2)
    if x is None:
        raise ValueError("input is missing: h_0 depends on its entries, as the embedding's weights are not Gaussian")
    # A bias is the weight of one input more. Entries of resmc's first matrix have the variance 1/(entries of x).
    whole = np.append(law.deviation * x, [bias.deviation] * (bias.deviation > 0.0))
    return math.sqrt(len(whole)) * whole, 1.0
