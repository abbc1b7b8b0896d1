"""`jacobian_singular_values`: by how much, and in how many directions, do small networks stretch small changes?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._system import checks
from .._system.memory import available_memory
from .._system.progress import reporting
from .._system.stopping import look, stoppable
from .._system.words import brief
from ..models.layer_widths import PRODUCTS, refuse_widths
from ..models.normalisation import refuse_batch
from ..models.residual_network import Model, ResidualNetwork
from ..models.spelling import checked_network
from ..reference.joint_maps import drawn
from ..reference.residual import Layer, first_state, settled, stepped
from ..reference.sources import Counters
from ..reference.vectors import Floats, Vectors
from ..results.arithmetic import share_networks
from .matrix_product import Product
from .singular_values import SingularValues, estimated

MAX_WIDTH = 512
MAX_NETWORKS = 10**6
ENTRIES = 1 << 20  # entries of matrices that are there at once
MATRICES_EACH = 12  # arrays of a matrix's size that a network takes meanwhile
WHICH = ("states", "network")


@stoppable()
def jacobian_singular_values(
    model: Model,
    *,
    networks: float,
    seed: int = 0,
    first_network: int = 0,
    of: str = "states",
    progress: bool | Callable[[int, int], object] | None = None,
) -> SingularValues:
    """Return the singular values of the Jacobian of random networks with all weights written out, in float64.

    .. code-block:: text

        of="states"    J = dh_L/dh_0           n x n
        of="network"   J = dh_out/dx           n_out x n_in, first layer and readout included

    Networks are those of ``simulate(.., method="dense")`` for the seed, with any block, activation, weight law, bias
    and dropout, and layers that depend on each other or not. The product is never multiplied out: after every layer
    orthonormal vectors take up its directions, so that singular values keep about nine digits however far below the
    largest they are. A direction that one layer makes shorter by more than 10^12, across those that come before it, is
    lost, and counts as 0 with all behind it. Those of a relu network without a skip are truly 0: they are as many as
    the layer with the fewest active neurons leaves out.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Of a width up to 512. A layer costs about 10 width^3 operations.
    networks : int
        How many, 1 to 10^6; below 32 there are no standard errors.
    seed : int
        0 to 2^64 - 1.
    first_network : int
        Number of the first network; numbers are below 2^48.
    of : {"states", "network"}
        For "network" the model needs an ``input``, which says n_in.
    progress
        As for `simulate`.

    Raises
    ------
    ValueError
        For any argument out of range, for networks that do not fit into memory, or whose states leave float64.

    Source: Pennington, Schoenholz, Ganguli 2017 (arXiv 1711.04735) for the question, at infinite width.
    """
    network = checked_network(model)
    _check_norm(network)
    refuse_widths(network, *PRODUCTS)
    checks.integer("width", network.width, 1, MAX_WIDTH, f"{MAX_WIDTH}, as a layer costs width^3")
    checks.integer("inner_width", network.inner, 1, MAX_WIDTH, f"{MAX_WIDTH}, as a layer costs width^3")
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^6")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    first = checks.integer("first_network", first_network, 0, 2**48 - count, "2^48 - networks")
    of = checks.choice("of", of, WHICH)
    if of == "network" and network.input is None:
        raise ValueError("of='network' is not allowed for a network without an input, which says n_in: give input=")
    step = _together(network, count)
    logs, stretches = [], []
    with reporting(progress, count, f"Jacobians of {network.short_title}") as report:
        for begin in range(0, count, step):
            ids = np.arange(first + begin, first + min(begin + step, count), dtype=np.uint64)

            def note(layers: float, begin: int = begin, some: int = len(ids)) -> None:
                if report is not None:
                    report((begin + some * layers / (network.depth + 1)) / count)

            product = _product(Counters(network, seed, ids), of, note)
            logs.append(product.log_singular_values)
            stretches.append(product.stretch)
        if report is not None:
            report(1.0)
    found = estimated(network, of, seed, first, np.concatenate(logs), np.concatenate(stretches))
    return share_networks(found, found.drawn)


def _check_norm(network: ResidualNetwork) -> None:
    """Refuse a norm that makes values 0 which rounding would make small numbers of."""
    refuse_batch(network)
    norm, through = network.normalisation, network.norm_place.after or network.carry == 0.0
    if norm is not None and through and (norm.centred or network.eps == 0.0):
        raise ValueError(
            f"norm={network.norm!r} with norm_at={network.norm_at!r}, carry={network.carry!r} and eps={network.eps!r} "
            "is not allowed in jacobian_singular_values: every layer takes a direction away, and rounding would leave "
            "something of values that are 0; use a norm within a branch beside a skip, or norm='rms' with an eps above "
            "0"
        )


def _product(networks: Counters[ResidualNetwork], of: str, note: Callable[[float], None]) -> Product:
    """Return the Jacobians of networks, and call ``note`` with the number of layers that are done."""
    model, root = networks.model, math.sqrt(networks.model.width)
    h = first_state(networks).h
    product = Product.of(_first_layer(networks) if of == "network" else _all_directions(networks))
    for number in range(model.depth):
        look()
        note(number)
        layer, at = Layer(networks, "dense", number), h.v

        with np.errstate(over="ignore", invalid="ignore"):
            _, h = stepped(h.zero(), h, layer.branch(at), model)
            h = settled(h, model)
        total = h.v

        def by(t: Floats, layer: Layer = layer, at: Floats = at, total: Floats = total) -> Floats:
            t = model.carry * t + layer.branch_derivative(at, t)
            return layer.normed_derivative(total, t) if model.norm_place.after else t

        if model.normalisation and model.norm_place.after:
            h = Vectors(model.normalisation.value(total, model.eps), h.log)
        _check_finite(h, number + 1)
        product = product.multiplied(by)
    if of == "network":
        product = product.multiplied(lambda t: networks.readout(model.n_out) / root @ t)
    return product


def _all_directions(networks: Counters[ResidualNetwork]) -> Floats:
    """Return orthonormal vectors in random directions, (N, n, n): tangents, as `simulate` draws them."""
    n = networks.model.width
    return np.asarray(np.linalg.qr(drawn(networks, "first_layer", 0, n, 0, n).transpose(0, 2, 1))[0])


def _first_layer(networks: Counters[ResidualNetwork]) -> Floats:
    """Return dh_0/dx, (N, n, n_in).

    What a Gaussian first layer does across the input does not show in h_0, and is drawn here, in a basis of inputs
    whose first vector is along x: column a with the words of input a.
    """
    model = networks.model
    assert model.input is not None
    n, n_in = model.width, len(model.input)
    if model.inputs.explicit:
        return networks.first_layer() / math.sqrt(n_in)
    return drawn(networks, "first_layer", 0, n, n_in).transpose(0, 2, 1) / math.sqrt(n_in)


def _check_finite(h: Vectors, layer: int) -> None:
    if not np.isfinite(h.v).all():
        raise ValueError(
            f"networks whose states leave float64 are not allowed: some do at layer {layer}; use a smaller scaling, or "
            "fewer layers"
        )


def _together(network: ResidualNetwork, count: int) -> int:
    """Return how many networks are followed at a time.

    Raises
    ------
    ValueError
        If one of them, or the result, does not fit into memory.
    """
    n, n_in = max(network.width, network.inner), 0 if network.input is None else len(network.input)
    if n_in > 1 << 16:
        raise ValueError(f"input of {n_in} numbers is out of range: it must have at most 2^16")
    kept = 0
    if not isinstance(network.dependence, str):
        kept = n * n * network.depth * (3 * network.residual_block.matrices + 8)
    each, available = MATRICES_EACH * n * max(n, n_in) + kept, available_memory()
    size = 8 * (each + 8 * count * n)
    if size > available:
        raise ValueError(
            f"width={network.width}, depth={network.depth} and networks={brief(count)} need {size / 1e9:.3g} GB of "
            f"memory and {available / 1e9:.3g} GB are available: use a smaller width or depth, or fewer networks"
        )
    return min(count, max(1, ENTRIES * MATRICES_EACH // each))
