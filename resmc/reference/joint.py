"""Several inputs through one network: forward, backward and the tangent kernel, with tangents.

Sources: the tangent kernel is that of Jacot, Gabriel, Hongler (arXiv 1806.07572) in the NTK parametrisation; the law of
a map, given what is known of it, is in `resmc.reference.joint_maps`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.stopping import look, stoppable
from ..models.layer_widths import SEVERAL_INPUTS, refuse_widths
from ..models.normalisation import check_joint
from ..models.residual_network import ResidualNetwork
from ..models.weight_law import refuse_orthogonal
from .columns import Columns, factored, levelled, orthonormal, pairs, raw
from .joint_maps import JointLayer, drawn
from .joint_norms import normalised, pulled
from .network import HELD, checked_networks, recorded_layers
from .residual import activity, checked_method, stepped
from .sources import Counters, Ids
from .vectors import Floats, Vectors, cosine, log_quotient, without_dust

Array = NDArray[Any]
MAX_COLUMNS = 16  # inputs and tangents together


@dataclass(frozen=True)
class JointPaths:
    """Raw paths, as `simulate_joint` returns them: recorded layers (R) first, networks (N) last.

    c_0 = h^0 and c_a = h^a/scale_a - h^0 are what is kept of the m inputs. scale_a is 1 but in homogeneous networks,
    whose states are brought to one norm: |c_0 + c_a| is that of h^0, but for what the last layer has made of it. Pairs
    (a, b), a >= b, have number a (a + 1)/2 + b, and P = m (m + 1)/2. Logarithms are natural; that of 0 is -inf, and 0/0
    is nan.

    Attributes
    ----------
    model : ResidualNetwork
    networks : uint64 array (N,)
    layers : int64 array (R,)
        The recorded layers, from 0 to depth.
    gram : float64 array (R, P, N)
    unit : int32 array (R, m, N)
        c_a . c_b = gram 2^(unit_a + unit_b).
    log_scale : float64 array (R, m - 1, N)
        ln scale_a of all inputs but the first.
    log_stretch : float64 array (R, k, N)
        ln R_jj of the triangular factor that the tangents have left so far, 0 at layer 0: by how much tangent j has
        become longer, across those before it.
    log_displacement : float64 array (R, N)
        ln(|h^0_l - h^0_0|^2/|h^0_0|^2).
    asymmetry, active_fraction : float64 array (R, N), or None
        Those of input 0, as in `resmc.reference.ResidualPaths`.
    gradient_gram : float64 array (R, P, N), or None
    gradient_unit : int32 array (R, m, N), or None
        p^a . p^b = gradient_gram 2^(gradient_unit_a + gradient_unit_b): of the gradients themselves.
    kernel : float64 array (R, P, N), or None
        Tangent kernel of output 0, summed over the matrices of the layers from l on: 0 at the last layer. None with a
        batch norm.
    log_gradient : float64 array (R, N), or None
        ln(|p_l|^2/|p_L|^2): of p^0, and with a batch norm of all p^a as one vector.
    log_gradient_displacement, overlap : float64 array (R, N), or None
        ln(|p_l - p_L|^2/|p_L|^2) and p_l.h_l/(|p_l| |h_l|), of input 0, or with a batch norm of all inputs as one
        vector each.
    """

    model: ResidualNetwork
    networks: Ids
    layers: NDArray[np.int64]
    gram: Floats
    unit: NDArray[np.int32]
    log_scale: Floats
    log_stretch: Floats
    log_displacement: Floats
    asymmetry: Floats | None = None
    active_fraction: Floats | None = None
    gradient_gram: Floats | None = None
    gradient_unit: NDArray[np.int32] | None = None
    kernel: Floats | None = None
    log_gradient: Floats | None = None
    log_gradient_displacement: Floats | None = None
    overlap: Floats | None = None


@dataclass(frozen=True)
class _Plan:
    """Parts of a run that do not depend on the networks."""

    start: Floats  # (m, m) lower triangle, or (m, n_in): differences of inputs divided by sqrt(n_in)
    explicit: bool
    method: str
    recorded: list[int]
    tangents: int
    reorthogonalise: int
    backward: bool
    independent: bool
    kernel: bool  # with backward: not with a batch norm

    @property
    def inputs(self) -> int:
        return len(self.start)

    def layer(self, networks: Counters[ResidualNetwork], layer: int) -> JointLayer:
        return JointLayer(networks, layer, self.method, self.inputs, self.independent)


@stoppable()
def simulate_joint(
    model: ResidualNetwork,
    start: ArrayLike,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    layers: Sequence[int] | None = None,
    explicit: bool = False,
    backward: bool = False,
    independent_backward: bool = False,
    tangents: int = 0,
    reorthogonalise: int = 1,
) -> JointPaths:
    """Draw networks; follow m inputs forward through their layers, and the gradients of one output backward.

    ::

        forward     c_0' = carry c_0 + F(c_0),   c_a' = carry c_a + F(c_0 + c_a) - F(c_0),   t' = carry t + (dF/dh^0) t
        backward    p^a_l = carry p^a_{l+1} + (dF_l/dh^a)^T p^a_{l+1}            p_L = row 0 of W_out, for all inputs
        kernel      K^ab_l = sum over layers j >= l of those of their matrices   0 at the last layer

                    V                               W
        phi-in      (q^a.q^b)(f^a.f^b)/n            -                            q = s p_{j+1},  f = sigma(h_j)
        v-phi-w     (q^a.q^b)(f^a.f^b)/n            (r^a.r^b)(h^a.h^b)/n         f = sigma(u_j), r = s D V^T p_{j+1}
        phi-out     -                               (r^a.r^b)(h^a.h^b)/n         r = s D p_{j+1}

    The kernel is that of output 0, f(x^a) = r.h^a_L/sqrt(n), in the NTK parametrisation: its parameters are the entries
    of V sqrt(n) and W sqrt(n), of variance 1. The readout adds h^a_L.h^b_L/n to it, and the first layer
    (p^a_0.p^b_0)(x^a.x^b)/n_in. Homogeneous networks are followed at h^a/scale_a (`JointPaths`), where gradients
    and masks are the same, and the kernel has the factors scale_a scale_b besides.

    With a batch norm every output depends on all inputs. There p^a are the gradients of output 0 of input 0 alone, with
    respect to the states h^a of all inputs: p^0_L = row 0 of W_out and p^a_L = 0 for a > 0, and N is transposed as a
    map of each neuron's m numbers. No kernel is summed, which would take the gradients of all m outputs.

    Columns, blocks and streams are those of `resmc.reference.simulate_residual`, whose input is input 0: it has the
    same path, at equal ``start``. Column a draws with input index a, and tangent j with 256 + j.

    Parameters
    ----------
    model : ResidualNetwork
        Its own input is not looked at.
    start : (m, m) array, lower triangle
        h^0_0 and the differences h^a_0 - h^0_0 are its rows times m vectors of normals: the Cholesky factor of the Gram
        matrix of (x^0, x^1 - x^0, ..)/sqrt(n_in). With ``explicit``, (m, n_in): the rows x^0, x^1 - x^0, .., of which
        A, drawn entry by entry, makes A x/sqrt(n_in).
    networks, seed, first_network, method, layers
        As `resmc.reference.simulate_residual` takes them.
    explicit : bool
        Draw the first layer's matrix.
    backward : bool
        Follow the gradients, and but with a batch norm sum up the tangent kernel.
    independent_backward : bool
        Send the gradients back through matrices that are independent of the forward ones, as the literature's
        gradient-independence assumption has it. The activations' slopes stay those of the forward pass.
    tangents : int
        k, with m + k <= 16: tangent vectors at h^0, orthonormal at layer 0.
    reorthogonalise : int
        Layers after which tangents are made orthonormal again.

    Returns
    -------
    JointPaths

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    ids, seed = checked_networks(networks, seed, first_network)
    refuse_orthogonal(model.weight_law, "with several inputs")
    refuse_widths(model, *SEVERAL_INPUTS)
    tangents = checks.integer("tangents", tangents, 0, min(MAX_COLUMNS - 1, model.width), "the width")
    plan = _Plan(
        start=_checked_start(start, explicit, tangents),
        explicit=checks.boolean("explicit", explicit),
        method=checked_method(model, method),
        recorded=recorded_layers(model.depth, layers),
        tangents=tangents,
        reorthogonalise=checks.integer("reorthogonalise", reorthogonalise, 1, model.depth, "the depth"),
        backward=checks.boolean("backward", backward),
        independent=checks.boolean("independent_backward", independent_backward),
        kernel=backward and not (model.normalisation and model.normalisation.over_inputs),
    )
    check_joint(model, plan.inputs, tangents, kernel=False)
    if plan.independent and not model.independent:
        raise ValueError("independent_backward=True is not allowed where layers depend on each other")
    n, states = model.width, model.depth + 1 if backward else 1
    matrices = 0 if method == "projected" else n * n if isinstance(model.dependence, str) else n * n * model.depth
    step = max(1, HELD // max(n * states * (plan.inputs + tangents), matrices))
    parts = [_simulate_part(Counters(model, seed, ids[i : i + step]), plan) for i in range(0, len(ids), step)]
    found = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    return JointPaths(model, ids, np.array(plan.recorded, np.int64), **found)


def _checked_start(start: ArrayLike, explicit: bool, tangents: int) -> Floats:
    found = np.array(start, np.float64)
    if found.ndim != 2 or not 1 <= len(found) <= MAX_COLUMNS - tangents or not np.isfinite(found).all():
        raise ValueError(
            f"start of shape {found.shape} with {tangents} tangents is not allowed: it must be a finite matrix with a "
            f"row for each input, and inputs and tangents at most {MAX_COLUMNS} together"
        )
    if not explicit and (found.shape[0] != found.shape[1] or np.triu(found, 1).any()):
        raise ValueError(f"start of shape {found.shape} is not allowed: it must be square and lower triangular")
    return found / math.sqrt(found.shape[1]) if explicit else found


# ------------------------------------------------------------------------------------------------- forward


@dataclass(frozen=True)
class _State:
    """Some networks at one layer."""

    h: Columns  # the inputs' columns, then tangents
    log_scale: Floats  # (N, m): of what the inputs are kept without
    moved: Vectors  # h^0 - h^0_0, summed up layer by layer
    log_stretch: Floats  # (N, k)


def _first_state(networks: Counters[ResidualNetwork], plan: _Plan) -> _State:
    model, n = networks.model, networks.model.width
    if plan.explicit:
        A = networks.entries("dense_input", 0, n, plan.start.shape[1])
        x = plan.start @ A.transpose(0, 2, 1)
        if model.weight_law.cancels:
            x = without_dust(x, np.linalg.norm(plan.start, axis=1)[:, None])
    else:
        x = plan.start @ drawn(networks, "first_layer", 0, n, plan.inputs)
    h = Columns(x, np.zeros((*x.shape[:2], 1)))
    if plan.tangents:
        normals = drawn(networks, "first_layer", 0, n, 0, plan.tangents)
        h = h.beside(Columns(orthonormal(normals), np.zeros((len(x), plan.tangents, 1))))
    h = _settled(h, model)
    return _State(h, np.zeros((len(x), plan.inputs)), _first(h).zero(), np.zeros((len(x), plan.tangents)))


def _settled(h: Columns, model: ResidualNetwork) -> Columns:
    """Return h rescaled, but for column 0 of a network that is not homogeneous, which has log = 0."""
    rescaled = h.rescaled()
    return rescaled if model.homogeneous else h.part(0, 1).beside(rescaled.part(1, h.count))


def _first(h: Columns) -> Vectors:
    return Vectors(h.v[:, 0], h.log[:, 0])


def _advance(state: _State, layer: int, networks: Counters[ResidualNetwork], plan: _Plan) -> _State:
    """Follow networks from a layer to the next one."""
    model, h, log_scale = networks.model, state.h, state.log_scale
    if _levels(model):
        h, lost = levelled(h, plan.inputs, model.carry != 0.0)
        log_scale = log_scale + lost
    branch = plan.layer(networks, layer).branch(h)
    moved, _ = stepped(state.moved, _first(h), branch.v[:, 0], model)
    h = _settled(h.stepped(model.carry, branch, model.weight_law.cancels), model)
    if model.normalisation and model.norm_place.after:
        before, h = h, _settled(normalised(h, plan.inputs, model.normalisation, model.eps), model)
        moved = moved.plus(Vectors(h.v[:, 0] - before.v[:, 0], h.log[:, 0]))
    if plan.tangents == 0 or (layer + 1) % plan.reorthogonalise:
        return _State(h, log_scale, moved, state.log_stretch)
    t = h.part(plan.inputs, h.count)
    h = h.part(0, plan.inputs).beside(Columns(orthonormal(t.v), np.zeros_like(t.log)))
    return _State(h, log_scale, moved, state.log_stretch + _log_stretch(t))


def _levels(model: ResidualNetwork) -> bool:
    """Say whether the inputs of a network are brought to one norm: not where sums of weights cancel exactly."""
    return model.homogeneous and not model.weight_law.cancels


def _log_stretch(t: Columns) -> Floats:
    """Return ln R_jj of t = q R, q orthonormal, (N, k)."""
    size, factor = factored(t.v)
    with np.errstate(divide="ignore"):
        return t.log[:, :, 0] + np.log(size[:, :, 0]) + np.log(np.diagonal(factor, axis1=1, axis2=2))


def _simulate_part(networks: Counters[ResidualNetwork], plan: _Plan) -> dict[str, Array]:
    model, m = networks.model, plan.inputs
    state = _first_state(networks, plan)
    start, states, records = _first(state.h), [], _Records(plan.recorded)
    for layer in range(model.depth + 1):
        look()
        if layer:
            state = _advance(state, layer - 1, networks, plan)
        h = state.h
        states += [state] if plan.backward else []
        if layer not in plan.recorded:
            continue
        records.add(layer, log_displacement=log_quotient(state.moved, start)[:, 0])
        records.add(layer, log_stretch=(state.log_stretch + _log_stretch(h.part(m, h.count))).T)
        gram, unit = _in_units(h.part(0, m))
        records.add(layer, gram=gram, unit=unit, log_scale=state.log_scale[:, 1:].T)
        if model.has_asymmetry:
            phi = model.sigma.value(networks.signs(layer) * h.v[:, 0])
            records.add(layer, **{name: x[:, 0] for name, x in activity(h.v[:, 0], phi).items()})
    if plan.backward:
        _follow_back(networks, plan, states, records)
    return records.joined()


def _in_units(x: Columns) -> tuple[Floats, NDArray[np.int32]]:
    """Return the products of all pairs of columns, (P, N), in units of 2^(unit_a + unit_b), and the units, (c, N)."""
    log = x.rescaled().log[:, :, 0]
    unit = np.rint(np.where(np.isneginf(log), 0.0, log) / math.log(2.0))
    a, b = pairs(x.count)
    exponent, product = x.products()
    gram = np.exp(exponent - math.log(2.0) * (unit[:, a] + unit[:, b])) * product
    return gram.T, unit.T.astype(np.int32)


# ------------------------------------------------------------------------------------------------- backward


def _follow_back(networks: Counters[ResidualNetwork], plan: _Plan, states: list[_State], records: _Records) -> None:
    """Follow the gradients of output 0 from the last layer to the first, given the states at all layers."""
    model, depth, n, m = networks.model, networks.model.depth, networks.model.width, plan.inputs
    dense = plan.method == "dense"
    row = networks.readout(1)[:, 0, :] if dense else networks.normals("gradient", depth, n)
    first = np.repeat(row[:, None] / math.sqrt(n), m, axis=1)
    if not plan.kernel:
        first[:, 1:] = 0.0  # the output of input 0 has no direct part of other inputs
    p = Columns(first, np.zeros((len(row), m, 1))).rescaled()
    p = p if plan.kernel else p.together()
    last = _first(p)
    moved, kernel = last.zero(), np.zeros((len(row), m * (m + 1) // 2))
    for layer in range(depth, -1, -1):
        look()
        if layer < depth:
            state, made = states[layer], plan.layer(networks, layer)
            if model.normalisation and model.norm_place.after:
                total = state.h.stepped(model.carry, made.branch(state.h), model.weight_law.cancels)
                before, p = p, pulled(total, p, model.normalisation, model.eps)
                moved = moved.plus(Vectors(_in_units_of(p, before) - before.v[:, 0], before.log[:, 0]))
            back, here = made.branch_transposed(state.h, p)
            a, b = pairs(m)
            here = here * np.exp(state.log_scale[:, a] + state.log_scale[:, b])
            moved, _ = stepped(moved, _first(p), _in_units_of(back, p), model)
            p, kernel = p.stepped(model.carry, back, model.weight_law.cancels).rescaled(), kernel + here
            p = p if plan.kernel else p.together()
        gram, unit = _in_units(p)
        records.add(layer, gradient_gram=gram, gradient_unit=unit)
        if plan.kernel:
            records.add(layer, kernel=kernel.T)
        whole, away, h = _first(p), moved, _first(states[layer].h)
        if not plan.kernel:
            whole, h = _as_one(p), _as_one(raw(states[layer].h))  # there are no tangents
            away = _as_one(Columns(moved.v[:, None], moved.log[:, None]).beside(p.part(1, m)))
        records.add(layer, log_gradient=log_quotient(whole, last)[:, 0])
        records.add(layer, log_gradient_displacement=log_quotient(away, last)[:, 0])
        records.add(layer, overlap=cosine(whole, h)[:, 0])


def _in_units_of(x: Columns, other: Columns) -> Floats:
    """Return column 0 of x in the units of that of another."""
    log, theirs = x.log[:, 0], other.log[:, 0]
    with np.errstate(invalid="ignore"):
        return np.where(log == theirs, 1.0, np.exp(log - theirs)) * x.v[:, 0]


def _as_one(x: Columns) -> Vectors:
    """Return all columns of every network as one vector."""
    x = x.together()
    return Vectors(x.v.reshape(len(x.v), -1), x.log[:, 0])


class _Records:
    """Arrays, networks last, by name and layer."""

    def __init__(self, layers: list[int]) -> None:
        self.layers = layers
        self.arrays: dict[str, dict[int, Array]] = {}

    def add(self, layer: int, **arrays: Array) -> None:
        if layer in self.layers:
            for name, array in arrays.items():
                self.arrays.setdefault(name, {})[layer] = array

    def joined(self) -> dict[str, Array]:
        return {name: np.stack([at[layer] for layer in self.layers]) for name, at in self.arrays.items()}
