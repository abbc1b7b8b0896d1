"""Standard normals and fair signs from the random words.

One call of Philox gives four words and so, by the method of Box and Muller (1958), four normals: neuron i takes number
i mod 4 of quad i div 4. The angle uses 30 bits of its word; the two bits left are the signs of the two neurons, at no
cost and independent of the normals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .philox import words

_MAX_COUNT = 1 << 34  # 2^32 quads of four


def normals(
    seed: int, networks: ArrayLike, stream: str | int, layer: int, count: int, input_index: int = 0
) -> NDArray[np.float64]:
    """Return independent standard normals number 0 .. count - 1 of each network, stream and layer.

    ::

        g0 = r cos t,  g1 = r sin t       from the words (w0, w1);       g2, g3 likewise from (w2, w3)
        r  = sqrt(-2 ln((w0 + 1/2) 2^-32))                               1.5e-5 <= r <= 6.764
        t                                                                the centre of one of 2^30 cells

    The first two bits of w1 choose one of four arcs, an eighth of a turn to either side of the axes +x, -x, +y, -y; its
    next 28 bits, a signed number k, the cell on it::

        s = (2 k + 1) 2^-28,  -1 < s < 1          c = cos(pi s / 4),  d = sin(pi s / 4)
        (cos t, sin t) = (c, d), (d, c), (-c, d) or (d, -c)                  for the bits 00, 01, 10, 11

    Being the centre of a cell, t is never a multiple of a quarter turn, and no normal is exactly 0.

    Parameters
    ----------
    seed, networks, stream, layer
        The indices that `words` takes; ``networks`` has shape (N,).
    count : int
        0 to 2^34.
    input_index : int
        0 to 2^16 - 1, as `words` takes it.

    Returns
    -------
    float64 array, shape (N, count)

    Raises
    ------
    ValueError
        For an index out of range.
    """
    w = _quads(seed, networks, stream, layer, count, input_index)
    radius = np.sqrt(-2.0 * np.log((w[..., 0::2] + 0.5) * 2.0**-32))
    cosine, sine = _cos_sin(w[..., 1::2])
    pairs = np.stack([radius * cosine, radius * sine], axis=-1)  # (N, quads, 2 pairs, 2)
    return pairs.reshape(len(w), -1)[:, :count]


def _cos_sin(w: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    k = (w << np.uint32(2)).astype(np.int32) >> 4
    s = (2.0 * k + 1.0) * 2.0**-28
    along, across = np.cos(np.pi / 4.0 * s), np.sin(np.pi / 4.0 * s)
    along = np.where(w >> np.uint32(31) != 0, -along, along)
    swapped = (w >> np.uint32(30)) & np.uint32(1) != 0
    return np.where(swapped, across, along), np.where(swapped, along, across)


def signs(
    seed: int, networks: ArrayLike, stream: str | int, layer: int, count: int, half: bool = False
) -> NDArray[np.float64]:
    """Return fair signs number 0 .. count - 1 of each network, from the bits that `normals` leaves unused.

    ::

        neurons 4q, 4q + 1:      bits 0, 1 of w1        a set bit is a minus
        neurons 4q + 2, 4q + 3:  bits 0, 1 of w3
        half:                    bit 0 only; the second neuron of each pair takes the opposite sign of the first

    Parameters
    ----------
    seed, networks, stream, layer
        The indices that `words` takes; ``networks`` has shape (N,).
    count : int
        0 to 2^34, even with ``half``.
    half : bool
        False: independent signs (``balanced``). True: exactly count/2 plus signs (``balanced-half``).

    Returns
    -------
    float64 array of +1.0 and -1.0, shape (N, count)

    Raises
    ------
    ValueError
        For an index out of range, or an odd ``count`` with ``half``.
    """
    w = _quads(seed, networks, stream, layer, count)
    if half and count % 2:
        raise ValueError(f"count={count} is not allowed with half=True: it must be even")
    first = w[..., 1::2] & 1
    second = 1 - first if half else w[..., 1::2] >> 1 & 1
    bits = np.stack([first, second], axis=-1).reshape(len(w), -1)[:, :count]
    return 1.0 - 2.0 * bits


def _quads(
    seed: int, networks: ArrayLike, stream: str | int, layer: int, count: int, input_index: int = 0
) -> NDArray[np.uint32]:
    count = checks.integer("count", count, 0, _MAX_COUNT, "2^34")
    return words(seed, networks, stream, layer, np.arange(-(-count // 4)), input_index)
