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
from numpy.typing import ArrayLike, NDArray

from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import ResNet
from ..models.spelling import general, log_gaussian
from . import fractions, limits, mean_squares, normalised
from .chains import Chain, LogMoments, chain, log_moments, no_chain
from .depth import DepthSDE, Gaussian, depth_limit, no_depth_limit
from .exact import (
    FirstLayer,
    FullyConnected,
    SkipOnly,
    balanced_moments,
    dropout_moments,
    first_layer,
    fully_connected,
    no_dropout_moments,
    skip_only,
)
from .factors import LARGEST_POWER
from .kernels import Floats
from .lags import lags_of
from .laws import LAWS, ExactLaw, exact_law, no_exact_law
from .limits import HypoactivationLimit, LogNormLimit

Layers = NDArray[np.int64]
MOST_LAYERS, MOST_PAIRS = 1 << 12, 1 << 19  # beyond which nobody waits for the next order who has not asked for it


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts about a network that are known without simulating it; made by `facts`.

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

    @cached_property
    def symmetric(self) -> bool:
        """True if A_l is known to be symmetric about 0 at every layer, whatever |h_l|: `fractions.symmetric_layers`.

        With random signs (balanced), turning all signs s_l turns A_l into -A_l. Without a skip or without a branch, h_l
        is as likely as -h_l, which has the asymmetry -A_l.
        """
        return bool(fractions.symmetric_layers(self.general).all())

    @property
    def correlation(self) -> float | None:
        """Corr(A_l, A_m) for l < m: 0 with random signs or without a skip, both of which redraw A_m; else None."""
        m = self.log_gaussian
        return 0.0 if m is not None and (m.signed or m.alpha == 0.0) else None

    def asymmetry(self, layers: Layers) -> Floats:
        """Return E A_l at ``layers``: 0 where A_l is symmetric, as at layer 0; else NaN."""
        return np.where(fractions.symmetric_layers(self.general)[layers], 0.0, np.nan)

    def active_fraction(self, layers: Layers) -> Floats:
        """Return E F_l at ``layers``: 1/2 where A_l is symmetric and no entry is 0 by chance, as at layer 0; else NaN.

        A neuron at exactly 0 is not active.
        """
        known = fractions.symmetric_layers(self.general) & fractions.without_atoms(self.general)
        return np.where(known[layers], 0.5, np.nan)

    def dead_fraction(self, layers: Layers) -> Floats:
        """Return P(h_l = 0) at ``layers``, where it is known; else NaN. See `fractions.dead_fraction`."""
        return fractions.dead_fraction(self.general)[layers]

    def inactive_fraction(self, layers: Layers) -> Floats:
        """Return P(no neuron is active at l | h_l is not 0) at ``layers``, where it is known and there are rectifiers.

        See `fractions.inactive_fraction`; else NaN.
        """
        return fractions.inactive_fraction(self.general)[layers]

    def growth(self, layers: Layers) -> Floats:
        """Return log E|h_l|^2/|h_0|^2 at ``layers``, where it is known; else NaN.

        Every layer of a `ResNet` multiplies the mean square given z_l by alpha^2 + lam^2 (1 + A_l): the growth is
        l log(alpha^2 + lam^2) where all A_l are symmetric, and up to layer 1, since A_0 is. A growth per layer below
        1e-12 is rounding of alpha and lam, and counts as 0. For other networks, see `mean_squares`.
        """
        m = self.log_gaussian
        if m is None:
            return mean_squares.log_growth(self.general)[layers]
        step = float(mean_squares.tidy(np.array(m.log_scale)))
        return np.where(self.symmetric | (layers <= 1), layers * step + 0.0, np.nan)

    def log_moment(self, q: float, layers: Layers) -> Floats:
        """Return log E|h_l|^2q/|h_0|^2q at ``layers``, where it is known; else NaN.

        For q = 1 it is the growth; for q = 2 the fourth moment of balanced networks (`exact.balanced_moments`), and of
        linear and balanced ones with dropout (`exact.dropout_moments`); at any q that of a chain of independent
        factors, as of v-phi-w and of linear networks in every block, dead networks counting as 0.
        """
        if q == 1.0:
            return self.growth(layers)
        m = self.log_gaussian
        if q == 2.0 and m is not None and m.variant == "balanced":
            return balanced_moments(m, layers).log_fourth_moment
        if self.chain is not None and self.chain.lowest_power < q <= LARGEST_POWER:
            return self.chain.log_powers(q)[layers]
        if q == 2.0 and not no_dropout_moments(self.general):
            return dropout_moments(self.general, layers).log_fourth_moment
        return np.where(layers == 0, 0.0, np.nan)

    def second_moment(self, quotient: str, layers: Layers) -> Floats:
        """Return log E|v_l|^2/|start|^2 of a quotient at ``layers``, where it is known; else NaN.

        quotient is growth, displacement, gradient or gradient_displacement; gradients start at the last layer. A
        displacement is -infinity where it starts. See `mean_squares`.
        """
        if quotient == "growth":
            return self.growth(layers)
        known = {
            "displacement": mean_squares.log_displacement,
            "gradient": mean_squares.log_gradient,
            "gradient_displacement": mean_squares.log_gradient_displacement,
        }
        return known[quotient](self.general)[layers]

    def mean_square(self, layers: Layers) -> Floats:
        """Return log E|h_l|^2/n at ``layers``, where it is known; else NaN.

        See `mean_squares.log_mean_square`; without a bias it is that of h_0 times the growth.
        """
        if self.log_gaussian is not None:
            return self.growth(layers) + 2.0 * math.log(self.model.inputs.size)
        return mean_squares.log_mean_square(self.general)[layers]

    @cached_property
    def chain(self) -> Chain | None:
        """The independent factors by which layers multiply the squared norm; None where they are not known."""
        return None if no_chain(self.general) else chain(self.general)

    def exact_law(self, quantity: str) -> ExactLaw | None:
        """Return the exact law of the growth, the log-norm or the gradient at its end; None where it is not known.

        A law whose moments alone are known is none here.
        """
        return exact_law(self.model, quantity) if quantity in LAWS and not self.no_exact_law(quantity) else None

    def no_exact_law(self, quantity: str) -> str | None:
        """Return why `exact_law` has no law of one of `resmc.theory.laws.LAWS`, in a sentence; None if it has one."""
        if quantity not in self._without_law:
            law = exact_law(self.model, quantity)
            self._without_law[quantity] = no_exact_law(self.model, quantity) if law is None else law.no_distribution
        return self._without_law[quantity]

    @cached_property
    def _without_law(self) -> dict[str, str | None]:
        """Reasons that `no_exact_law` has found, by quantity."""
        return {}

    def quotient_moment(self, quotient: str, moment: str, layers: Layers) -> Floats:
        """Return the mean or variance of a quotient's logarithm at ``layers``, given that it is not 0; NaN if unknown.

        A gradient has passed the layers from the last one to l.
        """
        if self.chain is None or quotient not in ("growth", "gradient"):
            return np.full(layers.shape, np.nan)
        links = self.chain if quotient == "growth" else chain(self.general, quotient)
        sums = links.cumulants(1 if moment == "mean" else 2)
        return np.asarray(sums[layers if quotient == "growth" else self.general.depth - layers])

    def final_quantile(self, quotient: str, p: ArrayLike) -> Floats:
        """Return quantiles of a quotient's logarithm at its end over all networks; NaN where they are not known.

        A network whose quotient is 0 counts as -infinity.
        """
        wanted, law = np.asarray(p, np.float64), self.exact_law(quotient)
        if law is None:
            return np.full(wanted.shape, np.nan)
        dead = law.probability_of_death
        alive = np.maximum(wanted - dead, 0.0) / (1.0 - dead) if dead < 1.0 else np.zeros(wanted.shape)
        values = law.quantile(np.where(alive > 0.0, alive, 0.5))
        return np.where(alive > 0.0, values, -np.inf)

    def log_norm_moment(self, moment: str, layers: Layers) -> Floats:
        """Return the mean, variance, skewness or excess kurtosis of the log-norm at ``layers``; NaN where not known."""
        known = self.log_norm(layers)
        if known is not None:
            return np.asarray(getattr(known, moment), np.float64)
        if layers.all() or self.first_layer is None:
            return np.full(layers.shape, np.nan)
        return np.where(layers == 0, getattr(self.first_layer, moment), np.nan)

    def asymmetry_variance(self, layers: Layers) -> Floats:
        """Return Var A_l at ``layers``: 3/(n + 2) where h_l given the past is Gaussian with equal variances; else NaN.

        So it is at layer 0, without a branch, and without a skip given that h_l is not 0, where weights are Gaussian.
        """
        g = self.general
        gaussian = fractions.fresh_layers(g) & fractions.symmetric_layers(g) & (not g.inputs.explicit)
        if not g.gaussian:
            gaussian &= np.arange(g.depth + 1) <= fractions.untouched_layers(g)
        return np.where(gaussian, 3.0 / (g.layer_widths + 2.0), np.nan)[layers]

    def log_norm(self, layers: Layers) -> FullyConnected | SkipOnly | LogMoments | None:
        """Return moments of the log-norm at ``layers`` where layers multiply it independently or are Gaussian."""
        m = self.log_gaussian
        if m is not None and m.alpha == 0.0:
            return fully_connected(m, layers)
        if m is not None and m.lam == 0.0:
            return skip_only(m, layers)
        if self.general.norm is not None:
            return normalised.log_norm(self.general, layers)
        if self.chain is None:
            return None
        return log_moments(chain(self.general, "log_norm"), layers)

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The law of the first layer's log-norm where h_0 is Gaussian; None with other weights on an explicit input."""
        inputs, n = self.model.inputs, self.model.width_of(0)
        return None if inputs.explicit else first_layer(ResNet(n, 1, 1.0, 1.0, input_norm=inputs.size))

    # -- limits at leading order in 1/n; of networks that are no `ResNet`, none is known

    def log_norm_limit(self, layers: Layers, order: int = 1) -> LogNormLimit | None:
        """Return mean and variance of the log-Gaussian limit at ``layers``; None where there is none."""
        return limits.log_norm(self.log_gaussian, layers, order) if self.log_gaussian and self._has(order) else None

    def hypoactivation_limit(self, layers: Layers, order: int = 1) -> HypoactivationLimit | None:
        """Return the limits of E A_l and E F_l at ``layers``; None where there are none."""
        m = self.log_gaussian
        return limits.hypoactivation(m, layers, order) if m and self._has(order) else None

    def growth_limit(self, layers: Layers, order: int = 1) -> Floats:
        """Return the limit of log E|h_l|^2/|h_0|^2 at ``layers``; NaN where there is none."""
        m = self.log_gaussian
        return limits.variance_growth(m, layers, order) if m and self._has(order) else np.full(layers.shape, np.nan)

    def correlation_limit(self, lags: Layers) -> Floats:
        """Return the limit of Corr(A_l, A_{l+k}) at each lag k, at leading order; NaN where there is none."""
        m = self.log_gaussian
        return limits.interlayer_correlation(m, lags) if m else np.full(lags.shape, np.nan)

    def correlation_matrix(self, layers: Layers, order: int = 1) -> Floats:
        """Return the limit of Corr(A_l, A_m) for all pairs of R ``layers``, (R, R); NaN where there is none."""
        m, lags = self.log_gaussian, np.abs(np.subtract.outer(layers, layers))
        if m is None or not self._has(order) or (order == 2 and limits.next_order_pairs(m, layers) > MOST_PAIRS):
            return np.full(lags.shape, np.nan)
        first = np.minimum.outer(layers, layers)
        return limits.interlayer_correlation(m, lags, order, first if order == 2 else None)

    def correlation_by_lag(self, layers: Layers, order: int = 1) -> Floats:
        """Return the mean of `correlation_matrix` over the pairs at each distance of two ``layers``, from 0 on."""
        lags, which = lags_of(layers)
        if order == 1:
            return self.correlation_limit(lags)
        total = np.bincount(which.ravel(), self.correlation_matrix(layers, order).ravel(), len(lags))
        return np.asarray(total / np.bincount(which.ravel(), minlength=len(lags)))

    def _has(self, order: int) -> bool:
        """Return True for the limit, and for the next order where that takes no more than about a second."""
        m = self.log_gaussian
        return order == 1 or (m is not None and limits.next_order_layers(m) <= MOST_LAYERS)

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
