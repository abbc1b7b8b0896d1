"""The random words: Philox4x32-10, and the layout of its counter.

Philox (Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011; the library Random123) is
a keyed bijection of 128-bit words. There is no state: a network's numbers can be computed in any order, on any device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks

# A stream for each purpose of draws. Its id is part of every random number: never reused, never renumbered.
STREAMS = {
    "first_layer": 0,  # z_0, and the signs of layer 0
    "residual": 1,  # the noise that makes z_{l+1} (projected), and the signs of layer l + 1 (phi-out: l; both methods)
    "output": 2,  # the outputs given |z_d| (projected)
    "dense_weights": 3,  # W_l, and V_l of v-phi-w
    "dense_output": 4,  # W_out
    "inner": 5,  # u_l = W_l h_l + b_l of v-phi-w (projected), and its signs (both methods)
    "dense_inner": 6,  # W_l of v-phi-w
    "bias": 7,  # b_l (dense)
    "gradient": 8,  # p_depth (projected)
    "backward": 9,  # the fresh part of V_l^T p (phi-in, v-phi-w) or W_l^T v (phi-out) (projected)
    "backward_inner": 10,  # the fresh part of W_l^T v of v-phi-w (projected)
    "dense_input": 11,  # A, where the input is explicit and the weights are not Gaussian; A of a heat map
    # Paths over the layers: two normals p = 0, 1 of each term for entry e, quad p Q + e/4, Q = ceil(entries/4).
    "noise_outer": 12,  # frequency k of fractional noise, or layer l of a covariance matrix; of V, of phi-out W
    "noise_inner": 13,  # frequency k, or layer l; of W of v-phi-w
    "noise_bias": 14,  # frequency k, or layer l; of b
    "trend_outer": 15,  # term k of the series of a smooth process; of V, of phi-out W
    "trend_inner": 16,  # term k; of W of v-phi-w
    "trend_bias": 17,  # term k; of b
    "inputs": 18,  # inputs uniform on [0, 1], layer 0
    "resampling": 19,  # by what a population is resampled after layer l, of its first network
    "dropout": 20,  # a word for each neuron of sigma(h_l), which is kept where the word is small
}

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, added to the key between rounds
_LOW = 0xFFFFFFFF


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Return Philox4x32-10 of every counter.

    One round, with hi and lo the halves of the 64-bit product::

        (c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))

    Parameters
    ----------
    counter : uint32 array, shape (..., 4)
    key : uint32 array, shape (2,)

    Returns
    -------
    uint32 array, shape (..., 4)
        Four random words for each counter.

    Raises
    ------
    ValueError
        If a shape is not the one above.
    """
    counter, key = np.asarray(counter, np.uint32), np.asarray(key, np.uint32)
    if counter.ndim == 0 or counter.shape[-1] != 4 or key.shape != (2,):
        raise ValueError(f"counter of shape {counter.shape} and key of shape {key.shape}: need (..., 4) and (2,)")
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)  # 64 bits, so that products are exact
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(
    seed: int, networks: ArrayLike, stream: str | int, layer: int, quads: ArrayLike, input_index: int = 0
) -> NDArray[np.uint32]:
    """Return the random words of some networks at one layer; each depends on nothing but its own indices.

    ::

        key     = (seed mod 2^32,  seed div 2^32)
        counter = (quad,  stream 2^20 + layer,  network mod 2^32,  network div 2^32 + input_index 2^16)

    Parameters
    ----------
    seed : int
        0 to 2^64 - 1.
    networks : integers, shape (N,)
        0 to 2^48 - 1.
    stream : str or int
        A name in `STREAMS`, or an id of 12 bits.
    layer : int
        0 to 2^20 - 1.
    quads : integers, shape (Q,)
        0 to 2^32 - 1. Quad q serves neurons 4q to 4q + 3, or the weights with these flat indices.
    input_index : int
        0 to 2^16 - 1, for draws that differ between the inputs of one network.

    Returns
    -------
    uint32 array, shape (N, Q, 4)

    Raises
    ------
    ValueError
        For an index out of range; the message names the argument, its value and what is allowed.
    """
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    ids = _indices("networks", networks, 2**48 - 1, "2^48 - 1")
    if isinstance(stream, str):
        stream = STREAMS[checks.choice("stream", stream, tuple(STREAMS))]
    stream = checks.integer("stream", stream, 0, 2**12 - 1)
    layer = checks.integer("layer", layer, 0, 2**20 - 1, "2^20 - 1")
    quad = _indices("quads", quads, 2**32 - 1, "2^32 - 1")
    input_index = checks.integer("input_index", input_index, 0, 2**16 - 1)

    counter = np.empty((len(ids), len(quad), 4), np.uint32)
    counter[..., 0] = quad
    counter[..., 1] = stream << 20 | layer
    counter[..., 2] = (ids & _LOW)[:, None]
    counter[..., 3] = (ids >> 32 | input_index << 16)[:, None]
    return philox4x32(counter, np.array([seed & _LOW, seed >> 32], np.uint32))


def _indices(name: str, values: ArrayLike, high: int, why: str) -> NDArray[np.uint64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be a list of integers, not an array of shape {array.shape}, type {array.dtype}")
    if array.size:
        checks.integer(f"min({name})", array.min(), 0, high, why)
        checks.integer(f"max({name})", array.max(), 0, high, why)
    return array.astype(np.uint64)
