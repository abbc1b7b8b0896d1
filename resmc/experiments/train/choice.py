"""Choice of a learning rate by how well networks do on the examples for validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...results.estimates import Floats


def best(scores: Floats, losses: Floats) -> NDArray[np.int64]:
    """Return the place of the largest score along the last axis.

    Of equal scores the one with the smaller loss is taken, and of equal losses too, as where all networks failed, the
    first. What is no number is the worst.
    """
    scores, losses = (np.where(np.isnan(one), np.inf, one) for one in (-scores, losses))
    return np.lexsort((losses, scores), axis=-1)[..., 0]
