"""Facts about one network: what is exact, what is a limit, what vanishes by symmetry. Decided here and nowhere else.

Analyses, sweeps, plots and reports ask `facts(model)` before they set theory beside an estimate, whichever spelling the
model has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import ResNet
from ..models.spelling import general, log_gaussian
from . import limits
from .depth import (
    DepthSDE,
    Gaussian,
    SecondMoments,
    depth_limit,
    no_depth_limit,
    no_second_moments,
    second_moments,
)
from .exact import FirstLayer, FullyConnected, SkipOnly, first_layer, fully_connected, skip_only
from .kernels import Floats
from .limits import HypoactivationLimit, LogNormLimit

Layers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Facts:
    r"""Facts about a network that are known without simulating it; made by `facts`.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
        The network, in the spelling in which it was given.
    log_gaussian : ResNet or None
        The network as a `ResNet`, which the theory of Li, Nica, Roy (arXiv 2106.04013) is about; None where no
        `ResNet` is the same network.
    """

    model: Model
    log_gaussian: ResNet | None

    def __reduce__(self) -> tuple[Any, ...]:
        return facts, (self.model,)  # averages over an activation are functions that cannot be sent to other processes

    @cached_property
    def general(self) -> ResidualNetwork:
        """The network as a `ResidualNetwork`."""
        return general(self.model)

    # -- exact values, at every width and depth

    @property
    def symmetric(self) -> bool:
        """True if A_l is known to be symmetric about 0 at every layer, whatever |z_l|.

        With random signs (balanced), turning all signs s_l turns A_l into -A_l. Without a skip (alpha = 0) or without a
        branch (lam = 0), z_l is as likely as -z_l, which has the asymmetry -A_l.
        """
        m = self.log_gaussian
        return m is not None and (m.signed or m.alpha == 0.0 or m.lam == 0.0)

    @property
    def correlation(self) -> float | None:
        """Corr(A_l, A_m) for l < m: 0 with random signs or without a skip, both of which redraw A_m; else None."""
        m = self.log_gaussian
        return 0.0 if m is not None and (m.signed or m.alpha == 0.0) else None

    def asymmetry(self, layers: Layers) -> Floats:
        """Return E A_l at ``layers``: 0 where A_l is symmetric, and at layer 0, where z_0 is; else NaN."""
        return np.where(self.symmetric | (self.model.has_asymmetry & (layers == 0)), 0.0, np.nan)

    def active_fraction(self, layers: Layers) -> Floats:
        """Return E F_l at ``layers``: 1/2 where A_l is symmetric, and at layer 0, where z_0 is; else NaN.

        Weights of +-1 on an explicit input may give a neuron exactly 0, which is not active: there NaN too.
        """
        m = self.model
        symmetric_start = m.has_asymmetry and (not m.inputs.explicit or self.general.weight_law.gaussian)
        return np.where(self.symmetric | (symmetric_start & (layers == 0)), 0.5, np.nan)

    def growth(self, layers: Layers) -> Floats:
        r"""Return log E\|h_l\|^2/\|h_0\|^2 at ``layers``, where it is known; else NaN.

        Every layer of a `ResNet` multiplies the mean square given z_l by alpha^2 + lam^2 (1 + A_l): the growth is
        l log(alpha^2 + lam^2) where all A_l are symmetric, and up to layer 1, since A_0 is. For other networks, see
        `resmc.theory.second_moments`.
        """
        m = self.log_gaussian
        if m is not None:
            return np.where(self.symmetric | (layers <= 1), layers * m.log_scale, np.nan)
        return self.second_moment("growth", layers)

    def second_moment(self, quotient: str, layers: Layers) -> Floats:
        r"""Return log E\|v_l\|^2/\|start\|^2 of a quotient at ``layers``, where it is known; else NaN."""
        unknown = np.full(layers.shape, np.nan)
        if quotient not in ("growth", "gradient") or no_second_moments(self.general):
            return unknown
        squares = second_moments(self.general, layers)
        return squares.forward if quotient == "growth" else squares.backward

    def mean_square(self, layers: Layers) -> Floats:
        r"""Return log E\|h_l\|^2/n at ``layers``, where it is known; else NaN."""
        return self.growth(layers) + 2.0 * math.log(self.model.inputs.size)

    def log_norm_moment(self, moment: str, layers: Layers) -> Floats:
        """Return the mean, variance, skewness or excess kurtosis of the log-norm at ``layers``; NaN where not known."""
        known = self.log_norm(layers)
        if known is not None:
            return np.asarray(getattr(known, moment), np.float64)
        first = None if self.first_layer is None else getattr(self.first_layer, moment, None)
        return np.where(layers == 0, np.nan if first is None else first, np.nan)

    def asymmetry_variance(self, layers: Layers) -> Floats:
        """Return Var A_l at ``layers``: that of layer 0, where h_0 is Gaussian; else NaN."""
        known = self.model.has_asymmetry and self.first_layer is not None
        return np.where(known & (layers == 0), self.first_layer.asymmetry_variance if known else np.nan, np.nan)

    def dead_fraction(self, layers: Layers) -> Floats:
        return np.full(layers.shape, np.nan)

    def inactive_fraction(self, layers: Layers) -> Floats:
        return np.full(layers.shape, np.nan)

    def log_norm(self, layers: Layers) -> FullyConnected | SkipOnly | None:
        """Return moments of the log-norm at ``layers``, without a skip or without a branch; None for other networks."""
        m = self.log_gaussian
        if m is not None and m.alpha == 0.0:
            return fully_connected(m, layers)
        if m is not None and m.lam == 0.0:
            return skip_only(m, layers)
        return None

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The law of the first layer's log-norm where h_0 is Gaussian; None with other weights on an explicit input."""
        inputs = self.model.inputs
        return None if inputs.explicit else first_layer(ResNet(self.model.width, 1, 1.0, 1.0, input_norm=inputs.size))

    @cached_property
    def second_moments(self) -> SecondMoments | None:
        """Exact mean squares of h and p at the first and the last layer; None where they are not known."""
        return None if no_second_moments(self.general) else second_moments(self.general, [0, self.model.depth])

    def final_second_moment(self, quotient: str) -> float | None:
        r"""Return the exact ln E\|v\|^2/\|start\|^2 of a quotient's final value; None where it is not known."""
        if self.second_moments is None or quotient not in ("growth", "gradient"):
            return None
        squares = self.second_moments
        return float(squares.forward[-1] if quotient == "growth" else squares.backward[0])

    # -- limits at leading order in 1/n; of networks that no `ResNet` is, none is known

    def log_norm_limit(self, layers: Layers) -> LogNormLimit | None:
        """Return mean and variance of the log-Gaussian limit at ``layers``; None where there is none."""
        return None if self.log_gaussian is None else limits.log_norm(self.log_gaussian, layers)

    def hypoactivation_limit(self, layers: Layers) -> HypoactivationLimit | None:
        """Return the limits of E A_l and E F_l at ``layers``; None where there are none."""
        return None if self.log_gaussian is None else limits.hypoactivation(self.log_gaussian, layers)

    def growth_limit(self, layers: Layers) -> Floats:
        r"""Return the limit of log E\|h_l\|^2/\|h_0\|^2 at ``layers``; NaN where there is none."""
        m = self.log_gaussian
        return np.full(layers.shape, np.nan) if m is None else limits.variance_growth(m, layers)

    def correlation_limit(self, lags: Layers) -> Floats:
        """Return the limit of Corr(A_l, A_{l+k}) at each lag k; NaN where there is none."""
        m = self.log_gaussian
        return np.full(lags.shape, np.nan) if m is None else limits.interlayer_correlation(m, lags)

    # -- limits as the depth grows

    @cached_property
    def depth_limit(self) -> DepthSDE | None:
        """The equation that the network tends to as its depth grows; None where none is known.

        A `ResNet` does not say how its branches shrink with the depth, and so has none.
        """
        return None if no_depth_limit(self.general) else depth_limit(self.general)

    def final_limit(self, quotient: str) -> Gaussian | None:
        """Return the law of the logarithm of a quotient's final value at infinite depth; None where it is not known."""
        sde = self.depth_limit
        return None if sde is None else {"growth": sde.growth, "gradient": sde.gradient}.get(quotient)


def facts(model: Model) -> Facts:
    """Return what is known of ``model``."""
    return Facts(model, log_gaussian(model))
