"""The residual blocks, each with all that resmc knows of it, in one table.

A branch is an affine map W, the activation, and another map V; a block may lack one of the two maps:

::

    F(h) = s V sigma(W h + b)          b stands with W, or with V where there is no W

The backward pass through a branch follows from this formula. ``csrc/include/resmc/residual.hpp`` has the kernels, a
Branch for each block.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """One residual block, h_{k+1} = carry h_k + F(h_k).

    Attributes
    ----------
    number : int
        The number by which the kernels know the block.
    formula : str
        F(h), in Python's notation.
    V, W : str or None
        The map's place among a layer's two matrices, "outer" or "inner", each of which draws from streams of its own;
        None where the block lacks the map.
    formula_inside : str or None
        F(h) with the scaling inside the activation; None where that is not allowed.
    """

    number: int
    formula: str
    V: str | None = None
    W: str | None = None
    formula_inside: str | None = None

    @property
    def matrices(self) -> int:
        """The number of a layer's matrices."""
        return (self.V is not None) + (self.W is not None)

    @property
    def acts_on_layers(self) -> bool:
        """True if the activation acts on h itself and not on W h + b; its signs come from the draw of its argument."""
        return self.W is None

    @property
    def scales_inside(self) -> bool:
        """True if the scaling may stand inside the activation."""
        return self.formula_inside is not None


BLOCKS: dict[str, Block] = {
    "phi-in": Block(0, "s * (V @ sigma(h) + b)", V="outer"),
    "phi-out": Block(1, "s * sigma(W @ h + b)", W="outer", formula_inside="sigma(s * (W @ h + b))"),
    "v-phi-w": Block(2, "s * V @ sigma(W @ h + b)", V="outer", W="inner"),
}
