"""Modules of torch as `ResidualNetwork`: the laws of the weights of their layers, and what these make of a network."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from .._system import checks
from .._system.words import brief
from ..models.activation_families import record_of
from ..models.normalisation import EPS, PLACES
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..models.user_activation import Activation
from ..models.weights import Weights
from .initial_laws import InitialLaw
from .module_laws import Laws, Recipe, recipes_of
from .module_layers import Layer, layers_of
from .traced import steps_of


def from_torch(
    module: nn.Module,
    *,
    input: ArrayLike | None = None,
    deviations: float | Sequence[float] = (),
    output: bool = False,
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
                    with numbers that multiply the state, the skip or the branch, and with LayerNorm or RMSNorm
                    on what the branch meets, on what it gives, on both, or on the sum
        readout     a Linear of another width at the end, with an activation before it in a network without sums

    Without sums layers may have any widths; with sums one.

    A Linear that is followed by layers of activation and Linear is an embedding: the network's h_0 is what it makes.
    So h_l are the pre-activations of a multilayer perceptron, and its readout is left out: h_depth is the last hidden
    layer. The readout of the network that is returned has variance 1/width, whatever the module's.

    Laws are read off the weights (`resmc.torch_module.initial_laws` has the tests and their levels): those of torch's
    defaults and of ``torch.nn.init``, uniform, normal, Kaiming and Xavier, fan_in or fan_out, with the gains 1,
    sqrt(2), 5/3 and 3/4; 0.02; normals that are cut at 2 or 3 of their own standard deviations; orthogonal square
    matrices of any gain, behind no embedding or a Gaussian one; and zeros, with which a branch is 0.
    Layers may differ in their size. A loop over one layer has tied weights. Norms have the gain 1 and the bias 0. Where
    a norm stands before a branch whose activation is not homogeneous, and weights W before it have another variance
    than 1/n, that is part of the activation: `resmc.Activation` of sigma(gain x), a table.

    Modules and functions of torch are read alike, ``nn.GELU()``, ``functional.gelu(x, approximate="tanh")`` or
    ``x.relu()``; dropout must be off.

    Parameters
    ----------
    module : torch.nn.Module
        Of Linear, activations that resmc has, LayerNorm or RMSNorm, and sums; fresh, not trained.
    input : array (n_in,), optional
        The input x. It is needed where a module begins with a Linear whose weights or bias are not Gaussian. Without
        it |x|^2 = n_in; and without an embedding h_0 is N(0, I).
    deviations : float or sequence of float
        Further standard deviations that weights may have, above 0, as of ``nn.init.normal_(w, std=..)``; of
        ``trunc_normal_(w, std=..)`` the normal's before it is cut.

    output : bool
        Read a readout behind an activation as the last layer, without sums: h_depth is then what the module returns.

    Raises
    ------
    ImportError
        Without torch.
    ValueError
        For what has no like in resmc: layers that differ, an activation or a norm that is not there, a norm in another
        place, such as behind the last layer, a bias where there is none; for weights of no known initialisation, or
        trained; in a sentence that says which, and what is allowed.
    """
    if not isinstance(module, nn.Module):
        raise ValueError(f"module={brief(module)} is not allowed: it must be a torch.nn.Module")
    given = [deviations] if isinstance(deviations, int | float) else list(deviations)
    more = [checks.real("deviations", one, positive=True) for one in given]
    embedding, layers = layers_of(steps_of(module), input is not None, checks.boolean("output", output))
    return _network(embedding, layers, Laws(more), input)


def _one(what: str, values: Sequence[Any]) -> Any:
    """Return what all layers have; refuse layers that differ."""
    for value in values:
        if value != values[0]:
            raise ValueError(f"layers differ in their {what}, {values[0]} and {value}: they must be alike")
    return values[0]


def _network(embedding: nn.Linear | None, layers: list[Layer], laws: Laws, given: ArrayLike | None) -> ResidualNetwork:
    W, V = ([one for one in found if one is not None] for found in ([x.W for x in layers], [x.V for x in layers]))
    block = _one("form", ["v-phi-w" if x.W and x.V else "phi-in" if x.V else "phi-out" for x in layers])
    widths = _widths(W, V, layers)
    inner = (
        _one("inner width", [*(one.out_features for one in W), *(one.in_features for one in V)]) if W and V else None
    )
    sigma, carry = _one("activation", [x.sigma for x in layers]), _one("carry", [x.carry for x in layers])
    of_W, of_V = laws.of_matrices("W", W, beside=embedding), laws.of_matrices("V", V, beside=embedding)
    tied = _tied(embedding, layers)
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
    norm, place = _norm(layers, widths)
    placed = _placed(block, sigma, max(widths), met, made, layers, fixed=norm is not None and place != "branch")
    unit, scales = placed.unit, placed.scales
    biases = [laws.of_bias(f"the bias of layer {number}", one) for number, one in enumerate(W or V)]
    divisors = _gains(of_W, W) if W else [a * g for a, g in zip(met, _gains(of_V, V), strict=True)]
    # Where weights and bias of a layer are 0 the bias may be any: its branch is 0 all the same.
    sizes = [unit * law.deviation / g for law, g in zip(biases, divisors, strict=True) if g]
    bias = _one("bias", [float(f"{size:.12g}") for size in sizes]) if sizes else 0.0
    if any(law.deviation and not g for law, g in zip(biases, divisors, strict=True)):
        raise ValueError("a Linear with weights 0 has a bias, which is all that is left of its branch: it must be 0")
    recipes = [*recipes_of(of_W, W), *recipes_of(of_V, V)]
    x, size = _start(embedding, laws, kind if kinds else None, recipes, given)
    return ResidualNetwork(
        max(widths),
        len(layers),
        block,
        placed.sigma,
        carry,
        DepthScaling(0.0, scales[0], placed.inside) if len(set(scales)) == 1 and scales[0] else tuple(scales),
        weights=Weights(kind, "tied") if tied else kind,
        bias=bias,
        bias_law="uniform" if bias and biases[0].kind == "uniform" else "gaussian",
        input=None if x is None else tuple((unit * x).tolist()),
        input_norm=1.0 if x is not None else unit * size,
        inner_width=inner,
        norm=norm,
        norm_at=place,
        eps=EPS if norm is None else _eps(layers, placed.within),
        widths=None if len(set(widths)) == 1 else widths,
    )


def _tied(embedding: nn.Linear | None, layers: Sequence[Layer]) -> bool:
    """Return True if all layers have the same matrices; refuse modules in which some are there twice."""
    used = [[id(one.weight), id(one.bias)] for one in (embedding,) if one is not None]
    used += [[id(one.weight), id(one.bias)] for x in layers for one in (x.W, x.V) if one is not None]
    per_layer = sum(one is not None for one in (layers[0].W, layers[0].V))
    own = used[1:] if embedding is not None else used
    matrices = [weight for weight, _ in used]
    if len(set(matrices)) == len(matrices):
        return False
    alike = all(own[i] == own[i % per_layer] for i in range(len(own)))
    if not alike or len(set(matrices)) < per_layer + (embedding is not None):
        raise ValueError(
            "some layers have the same weights and others not: all layers of a ResidualNetwork must have matrices of "
            "their own, or all the same, with the same biases"
        )
    return True


def _widths(W: Sequence[nn.Linear], V: Sequence[nn.Linear], layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return the widths of h_0 .. h_depth; refuse layers that differ where a skip or a branch needs one."""
    if (W and V) or any(x.carry for x in layers):
        one = _one("width", [*(one.out_features for one in V or W), *(one.in_features for one in W or V)])
        return (one,) * (len(layers) + 1)
    linear = V or W
    for before, after in itertools.pairwise(linear):
        if before.out_features != after.in_features:
            raise ValueError(
                f"a Linear from {after.in_features} behind one to {before.out_features} is not understood: a layer "
                "begins with what the last one made"
            )
    return (linear[0].in_features, *(one.out_features for one in linear))


def _norm(layers: Sequence[Layer], widths: Sequence[int]) -> tuple[str | None, str]:
    """Return the norm of all layers, or None, and where it acts, as fields of a ResidualNetwork."""
    names = {(one.before, one.branch, one.after): name for name, one in PLACES.items()} | {(False,) * 3: "none"}
    place: str = _one("places of norms", [names.get(layer.places, "another") for layer in layers])
    if place == "none":
        return None, "pre"
    norms = [norm for layer in layers for norm in layer.norms]
    for norm in norms:
        if norm.width not in (None, *widths):
            raise ValueError(f"a norm of {norm.width} entries is not understood: layers have {max(widths)}")
    return _one("kind of norm", [norm.name for norm in norms]), place


def _eps(layers: Sequence[Layer], within: Sequence[float]) -> float:
    """Return the one eps of all norms, where a branch is multiplied by g = ``within``: N(g x) is N(x) with eps/g^2."""
    found = [norm.eps for layer in layers for norm in (layer.pre, layer.post) if norm is not None]
    found += [x.on.eps / g**2 for x, g in zip(layers, within, strict=True) if x.on and g != 0.0]
    for eps in found:
        if not math.isclose(eps, found[0], rel_tol=1e-9):
            raise ValueError(
                f"norms differ in their eps, {found[0]:.6g} and {eps:.6g}: a ResidualNetwork has one; that of a norm "
                "on a branch is divided here by the square of what multiplies the branch"
            )
    return found[0] if found else EPS


def _gains(laws: Sequence[InitialLaw], linears: Sequence[nn.Linear]) -> list[float]:
    """Return the standard deviations over 1/sqrt(columns), to the digits that torch's float32 leaves nothing of."""
    return [float(f"{law.deviation * math.sqrt(one.in_features):.14g}") for law, one in zip(laws, linears, strict=True)]


@dataclass(frozen=True)
class Placed:
    """Numbers of a module's layers as a ResidualNetwork has them.

    ``inside`` says where the scaling stands, ``unit`` what its states are beside the module's, ``scales`` are s_k;
    ``within`` multiplies a branch before its norm, if that has one.
    """

    sigma: str | Activation
    inside: bool
    unit: float
    scales: list[float]
    within: list[float]


def _placed(
    block: str, sigma: str, width: int, met: list[float], made: list[float], layers: Sequence[Layer], *, fixed: bool
) -> Placed:
    """Return what becomes of ``met``, which multiplies what an activation meets, of variance 1 but for that, and of
    ``made``, which multiplies what it makes.

    A homogeneous activation has both in one. Others have one scaling inside, or a module's states times what is met, or
    with norms that make states ``fixed`` in size an activation that is steeper.
    """
    if min(met) <= 0.0:
        raise ValueError(f"what enters an activation is multiplied by {min(met):.4g}: it must be above 0")
    record = record_of(sigma, width)
    if record.homogeneous or all(a == 1.0 for a in met):
        within = [a * b for a, b in zip(met, made, strict=True)]
        return Placed(sigma, False, 1.0, _scales(layers, within, 1.0), within)
    if block == "phi-in" and not fixed:
        raise ValueError(f"a number before {sigma} in a branch without a Linear before it is not understood")
    one = _one("size of what enters the activation", met)
    if block == "phi-out" and all(b == 1.0 for b in (*made, *(x.behind for x in layers))):
        return Placed(sigma, True, 1.0, met, made)
    if not fixed:
        return Placed(sigma, False, one, _scales(layers, made, one), made)
    name = re.sub(r"\W+", "_", f"{sigma}_gain_{one:.4g}")
    steeper = Activation(lambda x: record.value(one * x), name=name, kinks=[kink / one for kink in record.kinks])
    return Placed(steeper, False, 1.0, _scales(layers, made, 1.0), made)


def _scales(layers: Sequence[Layer], within: Sequence[float], unit: float) -> list[float]:
    """Return s_k of branches that are multiplied by ``within``, behind which a norm leaves the sign alone."""
    seen = [float(np.sign(g)) if x.on else g for x, g in zip(layers, within, strict=True)]
    return [float(f"{unit * g * x.behind:.12g}") for x, g in zip(layers, seen, strict=True)]


def _start(
    embedding: nn.Linear | None, laws: Laws, kind: str | None, recipes: Sequence[Recipe], given: ArrayLike | None
) -> tuple[Any, float]:
    """Return the input that a network has in place of the module's, or None, and the size of h_0."""
    if embedding is None:
        if given is not None:
            raise ValueError("input is not allowed for a module that begins with its layers: h_0 is N(0, I) there")
        return None, 1.0
    (law,), bias = (
        laws.of_matrices("the embedding", [embedding], recipes),
        laws.of_bias("the embedding's bias", embedding),
    )
    n_in = embedding.in_features
    if law.kind == "zeros":
        raise ValueError("the embedding has weights 0: they must be drawn")
    if kind == "orthogonal" and law.kind != "gaussian":
        raise ValueError(
            f"the embedding has {law.kind} weights beside orthogonal ones of layers: it must be gaussian, as by "
            "nn.init.normal_, as is the first matrix of such a ResidualNetwork"
        )
    if kind not in (None, law.kind, "orthogonal"):
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
