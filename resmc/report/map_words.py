"""Words that the pages of all maps over H and beta share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..experiments.map_of_rows import MapOfRows
from ..models.scaling import DepthScaling
from ..results.estimates import MIN_NETWORKS, Floats
from .numbers import count, counted, plain
from .settings import of_model, whole


def network(found: MapOfRows) -> str:
    """Return the network in words."""
    m = found.model
    return f"{whole(m.block)} with {whole(str(m.activation))}, width {m.width}, depth {m.depth}"


def of_grid(found: MapOfRows) -> str:
    """Say which values of H and β there are."""
    hurst, beta = (
        f" from {plain(values[0])} to {plain(values[-1])}" if len(values) > 1 else f" = {plain(values[0])}"
        for values in (found.hurst, found.beta)
    )
    return f"{counted(len(found.hurst), 'value')} of H{hurst}, {counted(len(found.beta), 'exponent')} β{beta}"


def caveats(found: MapOfRows) -> Iterator[str]:
    """Say what a map lacks."""
    if not found.complete:
        yield (
            f"The map is not complete: {count(found.points_complete)} of {counted(len(found.hurst), 'value')} of H "
            "have all of their networks."
        )
    if found.damaged:
        yield f"Files that were damaged and are left out: {', '.join(found.damaged)}."
    if (found.networks < MIN_NETWORKS).any():
        yield f"Fewer than {MIN_NETWORKS} networks of an H give no errors; networks={MIN_NETWORKS} has them."


def between(values: Floats) -> str:
    """Say between which finite numbers values are."""
    known = values[np.isfinite(values)]
    return f", between {plain(known.min())} and {plain(known.max())}" if known.size else ""


def of_map(found: MapOfRows, without: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return names and values of a map's network, without some fields of the model, and of its grid."""
    scaling = found.model.scaling
    assert isinstance(scaling, DepthScaling)
    return [
        *of_model(found.model, without=without),
        ("Factor c of the scaling", plain(scaling.c, 6)),
        ("Values of H", ", ".join(f"{h:g}" for h in found.hurst)),
        ("Exponents β", ", ".join(f"{b:g}" for b in found.beta)),
        ("Networks of each H", count(found.wanted)),
    ]
