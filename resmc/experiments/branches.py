"""Branches of residual networks with given matrices, in float64, forward and backward: one network, several columns.

Columns share the matrices: other scales of one network, or one state alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats


class Matrices(NamedTuple):
    """V and W of a layer or of a time, (n, n), and b, (n, 1), with all of their scales; None where there is none.

    Those of several networks or times stand side by side, (.., n, n) and (.., n, 1).
    """

    V: Floats | None
    W: Floats | None
    b: Floats | None


class Branch:
    """The branch F of a residual network, h_{k+1} = h_k + F(h_k), without random signs.

    ``linear`` takes an activation with the scaling inside for its slope at 0, which is what is left of it as s -> 0.
    States and gradients are (n, columns); s is a number, or one for each column.
    """

    def __init__(self, model: ResidualNetwork, linear: bool = False) -> None:
        self.value, self.slope, self.inside = model.sigma.value, model.sigma.slope, model.inside
        if linear:
            slope = model.sigma.slope_at_zero
            self.value, self.slope = lambda x: slope * x, lambda x: np.full_like(x, slope)

    def __call__(self, m: Matrices, s: float | Floats, h: Floats) -> Floats:
        """Return F(h)."""
        if m.W is None:
            assert m.V is not None
            y = m.V @ self.value(h)
            return s * (y if m.b is None else y + m.b)
        u = self._met(m, h)
        if self.inside:
            return np.asarray(self.value(s * u))
        y = self.value(u)
        return s * (y if m.V is None else m.V @ y)

    def pulled(self, m: Matrices, s: float | Floats, h: Floats, p: Floats) -> Floats:
        """Return (dF/dh)^T p."""
        q = p if m.V is None else m.V.T @ p
        if m.W is None:
            return s * self.slope(h) * q
        u = self._met(m, h)
        return np.asarray(m.W.T @ (s * self.slope(s * u if self.inside else u) * q))

    def _met(self, m: Matrices, h: Floats) -> Floats:
        assert m.W is not None
        u = m.W @ h
        return u if m.b is None else u + m.b
