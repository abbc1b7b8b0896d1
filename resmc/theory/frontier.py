"""The exponent of the scaling c L^-beta between explosion and identity, for weights of fractional noise in depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fractional_frontier(block: str, hurst: ArrayLike) -> NDArray[np.float64]:
    """Return the exponent below which networks explode as their depth grows, and above which they are the identity.

    ::

        v-phi-w            max(H, 1/2)     V_k and W_k are independent of each other, which undoes what in their paths
                                           turns back: no smaller H helps
        phi-in, phi-out    H               of the linear response: a sum of L weights grows like L^H

    Parameters
    ----------
    block : {"phi-in", "phi-out", "v-phi-w"}
    hurst : array of float
        H of the fractional noise, in (0, 1).

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 4.3 and figure 7, which is of v-phi-w; Cont,
    Rossier, Xu (arXiv 2212.08199) for the others.
    """
    hurst = np.asarray(hurst, np.float64)
    return np.maximum(hurst, 0.5) if block == "v-phi-w" else hurst.copy()
