"""Groups of networks that stand beside each other in arrays, for the delete-one-group jackknife."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..engine.recording import GROUPS
from .estimates import Estimate, Floats, jackknife


def without_each_group(samples: Floats) -> tuple[list[Floats], NDArray[np.int64]]:
    """Return samples (.., networks) whole and without each of 32 groups, and the groups' sizes."""
    networks = samples.shape[-1]
    edges = np.arange(GROUPS + 1) * networks // GROUPS
    parts = [samples, *(np.delete(samples, slice(a, b), axis=-1) for a, b in pairwise(edges))]
    return parts, np.diff(edges)


def jackknifed(samples: Floats, statistic: Callable[[Floats], Floats]) -> Estimate:
    """Estimate a statistic of samples (.., networks), with the error of the delete-one-group jackknife.

    One network has no error: without it nothing is left.
    """
    if samples.shape[-1] == 1:
        return Estimate(statistic(samples), np.asarray(np.nan), np.asarray(1))
    parts, sizes = without_each_group(samples)
    return jackknife(np.stack([statistic(part) for part in parts]), sizes, samples.shape[-1])
