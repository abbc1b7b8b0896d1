"""Checks of networks that shall lie side by side, and their parts for threads to take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from .._system import checks
from .._system.words import brief
from ..models import inner_width, layer_widths, normalisation
from ..models.dropout import TRAINING, refuse_dropout
from ..models.residual_network import ResidualNetwork

SCALES = ("fixed", "shared", "layers")
# Bytes that a layer of a chunk may take. With half as many, calls weigh more and a step takes a twentieth longer; with
# more, there would be too few chunks for many cores.
CACHE = 1 << 22


def check_members(models: Sequence[ResidualNetwork], networks: Sequence[int]) -> None:
    """Refuse models that are none or not of one shape, and numbers of networks that are out of range."""
    if not models or len(models) != len(networks):
        raise ValueError(
            f"{len(models)} models with {len(networks)} networks are not allowed: there must be a number for each "
            "model, and at least one"
        )
    for model in models:
        if not isinstance(model, ResidualNetwork):
            raise ValueError(f"models with {brief(model)} are not allowed: all must be resmc.ResidualNetwork")
        refuse_dropout(model.keep, *TRAINING)
        layer_widths.refuse_widths(model, *layer_widths.TRAINING)
        normalisation.refuse_norm(model, *normalisation.TRAINING)
        inner_width.refuse_inner_width(model.inner_width, *inner_width.TRAINING)
    for number in networks:
        checks.integer("network", number, 0, 2**48 - 1, "2^48 - 1")
    shapes = [_shape_in_words(model) for model in models]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"models 0 and {i} are not allowed together, a network of {shapes[0]} and one of {shape}: networks "
                "side by side have one shape"
            )


def check_scales(models: Sequence[ResidualNetwork], scales: str) -> None:
    """Refuse scale factors that cannot be trained so: a shared one needs models with one in all layers."""
    checks.choice("scales", scales, SCALES)
    for model in models:
        if scales == "shared" and len(set(model.scales.tolist())) > 1:
            raise ValueError(
                f"scales='shared' is not allowed with scaling={brief(model.scaling)}: one factor of all layers begins "
                "as that of the model, which must be the same in all; give a DepthScaling, or scales='layers'"
            )


def cuts(groups: Sequence[Any], size: int, cached: bool) -> Iterator[range]:
    """Yield the members of each chunk: equal parts of every run of one group.

    Where memory is not ``cached``, a run is a chunk. Else it is cut into pairs of chunks, so that two threads have as
    much to do, with no more members of ``size`` bytes in each than the cache has room for. One of several runs that
    takes up to half the cache is a chunk: halves of it would be slow.
    """
    ends = [0, *(i for i in range(1, len(groups)) if groups[i] != groups[i - 1]), len(groups)]
    room = max(1, CACHE // size)
    for start, stop in pairwise(ends):
        members = stop - start
        single = not cached or (len(ends) > 2 and 2 * members <= room)
        parts = 1 if single else min(members, 2 * -(-members // (2 * room)))
        cut = [start + members * part // parts for part in range(parts + 1)]
        yield from (range(*pair) for pair in pairwise(cut))


def _shape_in_words(model: ResidualNetwork) -> str:
    """Return what networks side by side have in common."""
    bias = "with bias" if model.bias > 0.0 else "without bias"
    inside = ", scaling inside" * model.inside
    return f"width {model.width}, depth {model.depth}, {model.block}, {model.activation}, {bias}{inside}"
