"""Facts about one network: what is exact, what is a limit, what vanishes by symmetry. Decided here and nowhere else.

Whoever sets theory beside an estimate asks `facts(model)`, in whichever spelling the model is: analyses, sweeps, plots
and reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import ResNet
from ..models.spelling import general, log_gaussian
from .depth import DepthSDE, Gaussian, SecondMoments, depth_limit, second_moments
from .exact import FirstLayer, FullyConnected, SkipOnly, first_layer, fully_connected, skip_only
from .kernels import Floats

Layers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Facts:
    r"""What is known of a network without simulating it; made by `facts`.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
        As it was spelled.
    log_gaussian : ResNet or None
        The same network as a `ResNet`, which the theory of Li, Nica, Roy (arXiv 2106.04013) is about; None where no
        `ResNet` is this network.
    """

    model: Model
    log_gaussian: ResNet | None

    @cached_property
    def general(self) -> ResidualNetwork:
        """The same network as a `ResidualNetwork`."""
        return general(self.model)

    # -- exact values, at every width and depth

    @property
    def symmetric(self) -> bool:
        """True if A_l is symmetric about 0 at every layer: its signs are fresh given all that came before.

        So it is with random signs (balanced), without a skip (alpha = 0) and without a branch (lam = 0).
        """
        m = self.log_gaussian
        return m is not None and (m.signed or m.alpha == 0.0 or m.lam == 0.0)

    @property
    def correlation(self) -> float | None:
        """Corr(A_l, A_m) for l != m: 0 with random signs or without a skip, where A_m is fresh; None if not known."""
        m = self.log_gaussian
        return 0.0 if m is not None and (m.signed or m.alpha == 0.0) else None

    def asymmetry(self, layers: Layers) -> Floats:
        """E A_l at ``layers``: 0 where A_l is symmetric, as it is at layer 0; else NaN."""
        return np.where(self.symmetric | (layers == 0), 0.0, np.nan)

    def active_fraction(self, layers: Layers) -> Floats:
        """E F_l at ``layers``: 1/2 where A_l is symmetric, as it is at layer 0; else NaN."""
        return np.where(self.symmetric | (layers == 0), 0.5, np.nan)

    def growth(self, layers: Layers) -> Floats:
        r"""log E\|z_l\|^2/\|z_0\|^2 at ``layers``: l log(alpha^2 + lam^2) where A_l is symmetric and up to layer 1."""
        m = self.log_gaussian
        if m is None:
            return np.full(layers.shape, np.nan)
        return np.where(self.symmetric | (layers <= 1), layers * m.log_scale, np.nan)

    def log_norm(self, layers: Layers) -> FullyConnected | SkipOnly | None:
        """Moments of the log-norm at ``layers`` without a skip or without a branch; None for other networks."""
        m = self.log_gaussian
        if m is not None and m.alpha == 0.0:
            return fully_connected(m, layers)
        if m is not None and m.lam == 0.0:
            return skip_only(m, layers)
        return None

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The law of the first layer's log-norm where h_0 is Gaussian; None with other weights on an explicit input."""
        m = self.general
        if m.inputs.explicit:
            return None
        return first_layer(ResNet(m.width, 1, 1.0, 1.0, input_norm=m.size))

    @cached_property
    def second_moments(self) -> SecondMoments | None:
        """Exact mean squares of h and p at the first and the last layer; None where they are not known."""
        try:
            return second_moments(self.general, [0, self.model.depth])
        except ValueError:
            return None

    def final_second_moment(self, quotient: str) -> float | None:
        r"""ln E\|v\|^2/\|start\|^2 of a quotient's final value: of growth and gradient, where it is known."""
        if self.second_moments is None or quotient not in ("growth", "gradient"):
            return None
        squares = self.second_moments
        return float(squares.forward[-1] if quotient == "growth" else squares.backward[0])

    # -- limits

    @cached_property
    def depth_limit(self) -> DepthSDE | None:
        """The equation that the network tends to as its depth grows; None where there is none."""
        try:
            return depth_limit(self.general)
        except ValueError:
            return None

    def final_limit(self, quotient: str) -> Gaussian | None:
        """The law of the logarithm of a quotient's final value at infinite depth, where it is known."""
        sde = self.depth_limit
        return None if sde is None else {"growth": sde.growth, "gradient": sde.gradient}.get(quotient)


@lru_cache(maxsize=1 << 10)
def facts(model: Model) -> Facts:
    """What is known of ``model``."""
    return Facts(model, log_gaussian(model))
