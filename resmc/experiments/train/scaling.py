"""`scaling`: how weights scale with the depth before and after training, and which equation they indicate.

Networks of several depths are trained alike, and `resmc.analyses.scaling` measures the exponents of their weights at
the start, at the end, and of what was learnt between. Cohen, Cont, Rossier, Xu do so, and ask which limit trained
networks have. Their programs say how: h_{k+1} = h_k + delta_k tanh or ReLU(A_k h_k + b_k) with d = 10, h_0 = x and
out = h_L, the task of `resmc.train.ode_task`, depths up to 9,100, weights that start near 0, Adam or SGD until the loss
is small.

Their delta is trained too: one for all layers with tanh, which starts at 1/L and enters as |delta|, and one for each
layer with ReLU, of standard deviation 1/L at the start. These are ``scales="shared"`` and ``scales="layers"`` of
`fit`, with a model whose scaling is ``DepthScaling(1.0)``, and ``start`` makes weights start near 0. With ReLU and
positive factors no entry of a state ever falls; random signs allow it. They train one network of each depth until the
loss is below 0.001, and draw a line through the logarithms. Their programs take A_k to be of size L^(-0.2) for tanh,
and |delta_k| A_k of size L^(-0.5) for ReLU. ``bench.trained_scaling`` has such networks. In both a trend of s_k A_k is
learnt, of size 1/L. Which share of it A_k has depends on the optimiser: Adam moves A_k and a shared s by as much, so
that both have about L^(-1/2). With ReLU max |s_k A_k| is that of few layers, which stand out, and no power of L.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.words import brief, brief_repr, counted
from ...analyses.scaling import FEWEST_DEPTHS, SHOWN, ScalingExponents, scaling_exponents
from ...analyses.scaling_statistics import FEWEST_LAYERS, KINDS
from ...models.processes import Covariance
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ..convergence import checked_depths
from .fit import fit
from .record import Fit

MATRICES = {"phi-in": "V", "phi-out": "W"}
DEEPEST = 2**14
TIMES = {"before": "before", "after": "after", "learnt": "what was learnt"}


@dataclass(frozen=True, eq=False)
class TrainedScaling(Shown):
    """Exponents of weights before and after training, as `scaling` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    depths : ndarray of int, shape (D,)
    name : {"V", "W", "b"}
        The weights that were measured.
    before, after, learnt : ScalingExponents
        Of the weights at the start, at the end, and of what training has added. Where scale factors are trained these
        are of s_k A_k.
    unscaled, factors : ScalingExponents, or None
        Of A_k and of s_k by themselves at the end, where scale factors are trained; regimes are those of the product.
    kept : int
        Networks behind these: those that failed at no depth.
    fit : Fit
        The training, its models in the order of the depths.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    depths: NDArray[np.int64]
    name: str
    before: ScalingExponents
    after: ScalingExponents
    learnt: ScalingExponents
    kept: int
    fit: Fit
    unscaled: ScalingExponents | None = None
    factors: ScalingExponents | None = None

    @property
    def loss(self) -> Estimate:
        """Loss of the examples for test by depth, (D,), the mean over networks."""
        return self.fit.loss

    def _table(self) -> Table:
        columns = [Column("size", "size", numeric=False)]
        columns += [Column(words, time, width=22) for time, words in TIMES.items()]
        each, layer = [getattr(self, time) for time in TIMES], f"{self.name}_k"
        regimes = [found.regime for found in each]
        if self.unscaled is not None and self.factors is not None:
            columns += [Column(f"after, {layer}", "unscaled", width=22), Column("after, s_k", "factors", width=22)]
            each, regimes, layer = [*each, self.unscaled, self.factors], [*regimes, "", ""], f"s_k {layer}"
        rows: list[list[Any]] = [[SHOWN[k], *(getattr(found, f"{k}_exponent") for found in each)] for k in KINDS]
        rows.append(["sums of noise, h", *(found.noise_hurst for found in each)])
        rows.append(["regime", *regimes])
        networks = len(self.fit.networks)
        lines = [
            f"{layer} = A_k of {counted(networks, 'network')}, L = {', '.join(map(str, self.depths.tolist()))}",
            self.fit.settings.words() + f", seed {self.fit.settings.seed}",
        ]
        notes = [f"{TIMES[time]}: {found.sentence}" for time, found in zip(TIMES, each, strict=False)]
        losses = ", ".join(f"{loss:.3g}" for loss in self.loss.value)
        notes.append(f"test loss by depth: {losses}")
        if len(self.fit.settings.rates) > 1:
            chosen = ", ".join(f"{rate:g}" for rate in self.fit.learning_rate)
            notes.append(f"learning rates by depth: {chosen}, each the best on the examples for validation")
        if self.kept < networks:
            notes.append(
                f"left out: {networks - self.kept} of {counted(networks, 'network')}, which failed at some depth"
            )
        title = f"exponents of weights of {self.model.title_of_any_depth}"
        return Table("trained_scaling", title, columns, rows, lines, ["", *notes])

    def summary(self) -> Table:
        """Return a table of the exponents before and after, and what they indicate below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def scaling(
    model: ResidualNetwork,
    X: Any,
    y: Any,
    depths: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
    *,
    weights: str | None = None,
    networks: float = 1,
    seed: int = 0,
    progress: bool | Callable[[int, int], object] | None = None,
    **training: Any,
) -> TrainedScaling:
    """Train networks of several depths, and estimate how their weights scale with the depth, before and after.

    The weights A_k are a layer's matrix, or bias, without the factor s = c L^(-beta), whose beta counts where the
    regime is decided (`resmc.scaling_exponents`); where factors are trained (``scales``) they are s_k times that, and
    beta is 0. Networks of one number have the same ends and order of examples at every depth. With independent layers
    their weights at the start are independent, so that what training adds can hide below them: ``learnt`` is the
    difference.

    That networks of all depths learn the same makes what their trend adds up to alike: if the weights come out smooth,
    their size times s is 1/L for that reason alone. What is learnt of the limit is whether they do, how large the noise
    is that stays, and whether the two are measured at depths where neither changes its power.

    Parameters
    ----------
    model : ResidualNetwork
        Of block phi-in or phi-out, with a `DepthScaling`; its depth has no meaning.
    X, y
        Data, as for `fit`.
    depths : sequence of int
        At least three, increasing, from 8 to 2^14.
    weights : {"V", "W", "b"}, optional
        By default the block's matrix.
    networks, seed, progress
        As for `fit`.
    **training
        All else that `fit` takes: learning_rate, rate_exponent, optimizer, epochs, batch, ends, scales, start,
        checkpoint and others.
        A step of descent moves a weight by its gradient, of size s, and so what all L layers do by s^2 L; Adam's step
        has one size, and moves it by s L. Networks of all depths learn alike with ``rate_exponent`` 2 beta - 1 in the
        first case, and beta - 1 in the second. Of several learning rates each depth has the one that validation
        chooses, and exponents have their changes in them: one rate tells more.

    Raises
    ------
    ImportError
        If torch is not installed (the extra ``resmc[torch]``).
    ValueError
        As `fit`; for any other model, depth or name; and where no network was left at every depth.

    Source: Cohen, Cont, Rossier, Xu (arXiv 2105.12245), sections 3 and 4, and their programs
    (github.com/instadeepai/scaling-resnets); Cont, Rossier, Xu (arXiv 2212.08199), hypothesis 2.1.
    """
    chosen, name = checked_depths(depths, DEEPEST, "2^14", FEWEST_LAYERS), _checked(model, weights)
    if len(chosen) < FEWEST_DEPTHS:
        raise ValueError(f"depths={brief(depths)} is not allowed: a slope takes {FEWEST_DEPTHS} depths")
    models = [replace(model, depth=depth) for depth in chosen]
    trained = fit(models, X, y, networks=networks, seed=seed, progress=progress, **training)
    rates = trained.chosen
    kept = np.flatnonzero(np.all([trained.finite[b, rate] for b, rate in enumerate(rates)], axis=0))
    if not kept.size:
        raise ValueError(
            f"learning_rate={brief(list(trained.settings.rates))} is not allowed: every network failed at some depth; "
            "use smaller ones"
        )
    with_factors = trained.settings.scales != "fixed"

    def by_depth(name: str, of: Callable[[str, int], NDArray[np.float32]]) -> dict[int, Floats]:
        return {depth: of(name, b)[:, kept].astype(np.float64) for b, depth in enumerate(chosen)}

    before, after = by_depth(name, trained.initial_weights), by_depth(name, trained.weights)
    alone: dict[str, dict[int, Floats]] = {}
    if with_factors:
        alone = {"unscaled": after, "factors": by_depth("s", trained.weights)}
        before = _products(by_depth("s", trained.initial_weights), before)
        after = _products(alone["factors"], after)
    learnt = {depth: after[depth] - before[depth] for depth in chosen}
    beta = model.scaling.beta if isinstance(model.scaling, DepthScaling) and not with_factors else 0.0
    drawn = Networks.of(trained.settings.seed, [(number, number + 1) for number in kept.tolist()])
    found = {
        time: share_networks(scaling_exponents(one, axis=0, members=1, beta=beta), drawn)
        for time, one in {"before": before, "after": after, "learnt": learnt, **alone}.items()
    }
    return TrainedScaling(model=model, depths=np.array(chosen), name=name, **found, kept=len(kept), fit=trained)


def _products(s: dict[int, Floats], weights: dict[int, Floats]) -> dict[int, Floats]:
    """Return s_k times the weights of layer k, by depth."""
    return {depth: one * s[depth].reshape(s[depth].shape + (1,) * (one.ndim - 2)) for depth, one in weights.items()}


def _checked(model: Any, weights: Any) -> str:
    """Return the name of the weights to measure, of a model that is one network at every depth."""
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("scaling layer by layer is not allowed: it has one depth; it must be a DepthScaling")
    if isinstance(model.dependence, Covariance):
        raise ValueError("weights with a covariance matrix are not allowed: it has one depth")
    if model.block not in MATRICES:
        raise ValueError(
            f"block={model.block!r} is not allowed: its layers have a product of two matrices, and the regime is that "
            "of one; use 'phi-in' or 'phi-out'"
        )
    there = (MATRICES[model.block], *(["b"] if model.bias > 0.0 else []))
    return there[0] if weights is None else checks.choice("weights", weights, there)
