"""The weights of one network as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .._system.memory import available_memory
from .._system.words import brief_repr
from ..models.network import Network
from ..models.residual_network import ResidualNetwork
from .sources import counters_of
from .vectors import Floats


@dataclass(frozen=True, eq=False)
class DrawnWeights:
    """The weights of one network, float64, of n = width and L = depth.

    .. code-block:: text

        h_0     = A x
        phi-in      h_{k+1} = carry h_k + s_k (V_k sigma(h_k) + b_k)
        phi-out     h_{k+1} = carry h_k + s_k sigma(W_k h_k + b_k),  scaling inside  sigma(s_k (W_k h_k + b_k))
        v-phi-w     h_{k+1} = carry h_k + s_k V_k sigma(W_k h_k + b_k)                            k = 0 .. L - 1
        h_out   = W_out h_L

    Where there are signs, sigma(x) stands for sigma(signs_k x), and with dropout for kept_k sigma(x). A `ResNet` is
    phi-in with carry alpha and s = sqrt(2) lam. They are the networks of `resmc.reference.simulate_residual` with
    ``method="dense"``. With widths by layer, V, W, b, signs and kept are tuples with an array for each layer.

    Attributes
    ----------
    V, W : float64 array (L, n, n), or None
        With an inner width N (L, n, N) and (L, N, n). Of variance 1/n, V of variance 1/N, a covariance matrix's own
        variance over n, or with a `Mixture`'s factors in them; None where the block lacks the matrix.
    b : float64 array (L, n), or with an inner width (L, N), or None
        Of standard deviation ``bias``, or this times what V and W have; None without bias.
    signs : float64 array (L, n), or with an inner width (L, N), of +1 and -1, or None
        None where the activation has no signs.
    kept : float64 array (L, n) of 0 and 1/sqrt(keep), or None
        None without dropout.
    A : float64 array (n, entries of x), of variance 1/len(x)
    x : float64 array
        The input; with Gaussian weights it enters by its norm alone, and is one number, |x|/sqrt(n_in).
    readout : float64 array (n_out, n), of variance 1/n
        W_out.
    """

    V: Floats | tuple[Floats, ...] | None
    W: Floats | tuple[Floats, ...] | None
    b: Floats | tuple[Floats, ...] | None
    signs: Floats | tuple[Floats, ...] | None
    kept: Floats | tuple[Floats, ...] | None
    A: Floats
    x: Floats
    readout: Floats

    __repr__ = brief_repr


def draw_weights(model: Network, seed: int = 0, network: int = 0) -> DrawnWeights:
    """Return the weights of network number ``network`` of ``seed``.

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
        For an argument out of range, and for weights that do not fit into memory; the message names the sizes.
    """
    source = counters_of(model, seed, [network])
    depth, block = model.depth, model.residual_block
    bias, dropout = (model.bias, model.keep < 1.0) if isinstance(model, ResidualNetwork) else (0.0, False)
    _check_size(model)

    def matrices(place: str | None) -> Floats | tuple[Floats, ...] | None:
        if place is None:
            return None
        return by_layer(lambda layer: source.matrix(place, layer)[0] / np.sqrt(model.matrix_shape(place, layer)[1]))

    def by_layer(entries: Callable[[int], Floats]) -> Floats | tuple[Floats, ...]:
        each = [entries(layer) for layer in range(depth)]
        return np.stack(each) if model.widths is None else tuple(each)

    return DrawnWeights(
        V=matrices(block.V),
        W=matrices(block.W),
        b=by_layer(lambda layer: bias * source.bias(layer)[0]) if bias else None,
        signs=by_layer(lambda layer: source.signs(layer)[0]) if model.sigma.signed else None,
        kept=by_layer(lambda layer: source.kept(layer)[0]) if dropout else None,
        A=source.first_layer()[0] / np.sqrt(len(model.inputs.x)),
        x=np.array(model.inputs.x),
        readout=source.readout(model.n_out)[0] / np.sqrt(model.width_of(depth)),
    )


def _check_size(model: Network) -> None:
    """Refuse weights that do not fit into memory: arrays, and the normals and sums of the widest process."""
    n, depth, matrices, inner = model.width, model.depth, model.residual_block.matrices, model.inner
    entries = n * inner * depth
    if model.widths is not None:
        entries = sum(a * b for a, b in pairwise(model.widths))
    size = 8 * entries * (2 * matrices if isinstance(model.dependence, str) else 3 * matrices + 8)
    available = available_memory()
    if size > available:
        raise ValueError(
            f"width={n} and depth={depth}, {matrices * depth} matrices of {n} x {inner}, need {size / 1e9:.3g} GB of "
            f"memory and {available / 1e9:.3g} GB are available: use a smaller width or depth"
        )
