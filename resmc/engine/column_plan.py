"""How much of networks whose weights are handed in is there at a time: networks, layers of weights, states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..models.blocks import BLOCKS
from .lowering import KernelResidual

WEIGHTS_HELD = 1 << 29  # bytes of weights that are there at a time
STATES_HELD = 1 << 28  # bytes of what columns keep of their layers, where that is a choice
MOST_STATES = 1 << 33  # and where it is none


@dataclass(frozen=True)
class Plan:
    """How much is there at a time.

    Attributes
    ----------
    network : KernelResidual
        The network as its kernels take it, with as many layers kept for gradients as fit.
    columns : int
    networks, layers : int
        Networks, and layers of theirs, whose weights are held.
    tied : bool
        True if all layers have the weights of one.
    state_bytes : int
        Bytes that the columns of one network keep from one way through layers to the next.
    """

    network: KernelResidual
    columns: int
    networks: int
    layers: int
    tied: bool
    state_bytes: int

    @property
    def held_bytes(self) -> int:
        """Bytes of all that is there: of weights, and of what columns keep."""
        weights = layer_bytes(self.network) * (1 if self.tied else self.layers)
        return self.networks * (weights + self.state_bytes)

    def parts(self) -> Iterator[tuple[bool, int, int]]:
        """(backward, begin, end) of every way through some layers."""
        depth = self.network.depth
        parts = [(begin, min(begin + self.layers, depth)) for begin in range(0, depth, self.layers)]
        yield from ((False, *part) for part in parts)
        if self.network.gradients:
            yield from ((True, *part) for part in reversed(parts))


def layer_bytes(network: KernelResidual) -> int:
    """Bytes of one layer's weights."""
    n, matrices = network.width, 2 if has_inner(network) else 1
    return 4 * (matrices * n * n + (n if network.bias > 0.0 else 0))


def has_inner(network: KernelResidual) -> bool:
    """Return whether a layer has two matrices."""
    return network.block == BLOCKS["v-phi-w"].number


def plan(
    network: KernelResidual, networks: int, columns: int, tied: bool, state_of: Callable[[KernelResidual, int], int]
) -> Plan:
    """Choose how many networks, and layers of theirs, are there at a time; no bit depends on it.

    ``state_of`` returns `Plan.state_bytes` of a network and so many columns.

    Raises
    ------
    ValueError
        If one layer's weights, or what the columns of one network keep, are too large; the message names the sizes.
    """
    depth, layer, n = network.depth, layer_bytes(network), network.width
    most = math.isqrt(WEIGHTS_HELD // (8 if has_inner(network) else 4))
    if n > most:
        raise ValueError(
            f"width={n} is too large for weights that depend on each other in depth: those of one layer take "
            f"{layer / 1e9:.3g} GB, and {WEIGHTS_HELD / 1e9:.3g} GB are held at most, as of width={most}"
        )
    layers = depth if tied else min(depth, max(1, WEIGHTS_HELD // layer))  # the widest layer has its bias besides

    def keeping(segment: int, layers: int) -> Plan:
        kernel = replace(network, segment=segment)
        return Plan(kernel, columns, 1, layers, tied, state_of(kernel, columns))

    chosen = keeping(depth, layers)
    if network.gradients and chosen.state_bytes > STATES_HELD:  # some layers are computed again, backwards
        segment = min(math.isqrt(depth) + 1, layers)
        chosen = keeping(segment, depth if layers == depth else layers // segment * segment)
    if chosen.state_bytes > MOST_STATES:
        raise ValueError(
            f"width={n}, depth={depth} and {columns} columns are too large together: what the columns of one network "
            f"keep takes {chosen.state_bytes / 1e9:.3g} GB, and {MOST_STATES / 1e9:.3g} GB are held at most"
        )
    weights = layer * (1 if tied else chosen.layers)
    return replace(chosen, networks=max(1, min(networks, WEIGHTS_HELD // weights, STATES_HELD // chosen.state_bytes)))
