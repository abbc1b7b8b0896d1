"""Products of many small matrices, and their derivatives, in logarithmically many batched steps."""

from __future__ import annotations

import numpy as np

from ...results.estimates import Floats

Levels = list[Floats]  # products of neighbours, (batch, count, d, d): the factors first, the whole product last


def products(factors: Floats) -> Levels:
    """Return the tree of products of neighbours of factors (batch, count, d, d), the first acting first.

    Every level multiplies the matrices of the level below in pairs, and takes over one that has no partner, so that
    count - 1 products of two matrices are made in ceil(log2(count)) batches, and the last level has one matrix,
    factors[:, -1] @ .. @ factors[:, 0].

    Source: the upward half of an associative scan, Blelloch, Prefix sums and their applications (1990).
    """
    levels = [factors]
    while (below := levels[-1]).shape[1] > 1:
        pairs = 2 * (below.shape[1] // 2)
        above = below[:, 1:pairs:2] @ below[:, :pairs:2]
        levels.append(np.concatenate([above, below[:, pairs:]], axis=1) if pairs < below.shape[1] else above)
    return levels


def derivatives(levels: Levels, outer: Floats) -> Floats:
    """Return S_k^T outer R_k^T (batch, count, d, d), R_k and S_k the products of what acts before and after factor k.

    It is the derivative of a function of the whole product by factor k, if ``outer`` (batch, d, d) is that by the whole
    product: the downward half of the scan takes it from a product of two neighbours to both. Prefixes and suffixes are
    never made, and no factor is inverted.
    """
    above = outer[:, None]
    for below in reversed(levels[:-1]):
        pairs = 2 * (below.shape[1] // 2)
        first, second, product = below[:, :pairs:2], below[:, 1:pairs:2], above[:, : pairs // 2]
        out = np.empty_like(below)
        np.matmul(second.swapaxes(-1, -2), product, out=out[:, :pairs:2])
        np.matmul(product, first.swapaxes(-1, -2), out=out[:, 1:pairs:2])
        out[:, pairs:] = above[:, pairs // 2 :]
        above = out
    return above
