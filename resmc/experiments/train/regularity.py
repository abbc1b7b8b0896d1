"""`regularity`: is the roughness of weights over the layers kept in training?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ..._system import checks
from ..._system.words import brief, brief_repr, counted
from ...analyses.paired_roughness import TOLERANCE, RoughnessChange, roughness_change
from ...analyses.roughness import chosen_lags
from ...models.processes import Covariance, FractionalNoise, Mixture, Process, SmoothProcess
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...models.weights import Weights
from ...results.arithmetic import share_networks
from ...results.estimates import MIN_NETWORKS, Estimate, Floats
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ...theory.depth_kinds import noise_exponent
from ...theory.roughness import PATHS, increment_mean_squares, path_exponents
from .fit import MAX_NETWORKS, fit
from .record import Fit

LAWS = ("iid", FractionalNoise(0.7), SmoothProcess())
ACTIVATIONS = ("relu", "gelu")
MATRICES = ("V", "W")
FEWEST_LAYERS = 3  # increments over lags 1 and 2 of the weights themselves


@dataclass(frozen=True, eq=False)
class TrainedRoughness:
    """The weights of one law and activation before and after training, a row of `Regularity`.

    Attributes
    ----------
    model : ResidualNetwork
        What was trained: its weights, activation and scaling.
    sums, weights : RoughnessChange
        Exponents of partial sums over the layers, and of the weights themselves.
    expected_sums, expected_weights : float
        The exponents of the exact mean square increments before training; NaN where these are 0.
    learning_rate : float
        The one chosen.
    left_out : int
        Networks that left the range of numbers in training.
    loss, accuracy : Estimate
        Of the test examples after training; no value where targets have no classes.
    example : ndarray, shape (2, L)
        One weight by layer, before and after: entry (0, 0) of the outer matrix of the first network that is not left
        out.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    sums: RoughnessChange
    weights: RoughnessChange
    expected_sums: float
    expected_weights: float
    learning_rate: float
    left_out: int
    loss: Estimate
    accuracy: Estimate
    example: Floats

    @property
    def law(self) -> str:
        """How layers depended on each other before training, in words."""
        process = self.model.dependence
        return process if isinstance(process, str) else process.words

    @property
    def label(self) -> str:
        """Activation and law, in words."""
        return f"{self.model.activation}, {self.law}"


@dataclass(frozen=True, eq=False)
class Regularity(Shown):
    """Roughness of weights over the layers before and after training, as `regularity` returns it.

    Attributes
    ----------
    rows : tuple of TrainedRoughness
        One for each activation and law: all laws of the first activation, then those of the next.
    networks, seed : int
    settings : str
        How networks were trained, in words.
    """

    __repr__ = brief_repr

    rows: tuple[TrainedRoughness, ...]
    networks: int
    seed: int
    settings: str

    def row(self, activation: str, law: str | Process = "iid") -> TrainedRoughness:
        """Return the row of an activation and a law of weights.

        Raises
        ------
        ValueError
            If there is none.
        """
        for row in self.rows:
            if row.model.activation == activation and row.model.dependence == law:
                return row
        there = "; ".join(row.label for row in self.rows)
        raise ValueError(f"activation={brief(activation)} with law={brief(law)} was not trained: there are {there}")

    def _table(self) -> Table:
        columns = [
            Column("activation", "activation", width=12),
            Column("weights", "law", width=28),
            Column("path", "path", width=9),
            Column("expected", "expected", width=10, digits=3),
            Column("before", "before", width=19),
            Column("after", "after", width=19),
            Column("change", "difference", width=20),
            Column("verdict", "verdict", width=10),
            Column("what was learnt", "learnt"),
        ]
        rows: list[list[Any]] = []
        for row in self.rows:
            for one, expected in ((row.sums, row.expected_sums), (row.weights, row.expected_weights)):
                named = [row.model.activation, row.law, one.path, expected]
                rows.append([*named, one.before, one.after, one.difference, one.verdict(), one.learnt])
        m = self.rows[0].model
        lines = [
            f"{counted(self.networks, 'network')} each, depth {m.depth}, seed {self.seed}; {self.settings}",
            f"exponents from lags {', '.join(map(str, self.rows[0].sums.lags))}; kept: within {TOLERANCE:g}",
        ]
        title = f"roughness over the layers of trained networks: {m.block}  width {m.width}"
        return Table("regularity", title, columns, rows, lines, [self._note(row) for row in self.rows])

    def _note(self, row: TrainedRoughness) -> str:
        measured = f"test loss {row.loss}" if np.isnan(row.accuracy.value) else f"test accuracy {row.accuracy}"
        assert isinstance(row.model.scaling, DepthScaling)
        lost = f"; {row.left_out} of {self.networks} left out, which exploded" if row.left_out else ""
        return (
            f"{row.label}: beta {row.model.scaling.beta:g}, learning rate {row.learning_rate:g}, weights moved by "
            f"{row.sums.moved} of their size, {measured}{lost}"
        )

    def summary(self) -> Table:
        """Return a table of exponents by activation, law and path; below it, how far weights have moved."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def regularity(
    model: ResidualNetwork,
    X: Any,
    y: Any,
    *,
    laws: Sequence[str | Process] = LAWS,
    activations: str | Sequence[str] = ACTIVATIONS,
    beta: float | None = None,
    networks: float = MIN_NETWORKS,
    seed: int = 0,
    lags: Sequence[int] | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
    **training: Any,
) -> Regularity:
    """Train networks whose weights are smooth, rough or independent over the layers, and ask whether they stay so.

    Every law is trained with every activation, by `resmc.train.fit`; networks of one number have the same examples in
    the same order. Exponents before and after are those of `resmc.analyses.roughness_change`, from the entries of V and
    W together, and of pairs: of the sums over the layers, which tell noises apart, and of the weights themselves, which
    tell whether they are still a smooth function of k/L.

    What gradient descent adds to V_k of phi-in is a sum over its steps of p_{k+1} sigma(h_k)^T, whose increments over m
    layers are those of h and p, of order (m/L)^H at the default beta. So ``weights.learnt`` is about H for noise and 1
    for smooth weights: what is learnt is as rough as the states are over the layers. In the other blocks an activation
    acts on a product with W_k, and gradients are as rough as W_k itself.

    Marion, Fermanian, Biau and Vert look at one entry against k/L, in one network with ReLU, of width 30 and depth
    1000, trained by Adam for 300 epochs on MNIST: phi-in with beta = 1 and smooth increments or independent weights,
    and beta = 1/2 with independent weights. `TrainedRoughness.example` is such an entry.

    Parameters
    ----------
    model : ResidualNetwork
        Width, depth, block, c of the scaling and all else but activation, beta and the dependence of the layers. Its
        scaling is a `DepthScaling`.
    X, y
        Data, as for `resmc.train.fit`.
    laws : sequence of "iid", "tied", FractionalNoise, SmoothProcess
        How layers depend on each other at the start. What is not "iid" or "tied" is Gaussian.
    activations : str or sequence of str
    beta : float, optional
        The exponent of the scaling. By default that with which small branches neither vanish nor explode as L grows: 1
        for smooth and tied weights, and `resmc.theory.noise_exponent` for noise, 1/2 for independent layers in most
        blocks.
    networks : int
        P: errors take 32.
    seed : int
    lags : sequence of int, optional
        As for `resmc.roughness_exponent`.
    progress
        As for `simulate`.
    **training
        Other keywords of `resmc.train.fit`: learning rates, optimizer, epochs and so on. Of several learning rates each
        row has the one that validation chooses.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        For an argument that is not allowed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 5 and figure 8; Sander, Ablin, Peyre (arXiv
    2205.14612) for smoothness that gradient descent keeps in linear networks.
    """
    models = [_model(model, law, one, beta) for one, law in product(*_chosen(activations, laws))]
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^5")
    if model.depth < FEWEST_LAYERS:
        raise ValueError(
            f"model of depth={model.depth} is not allowed: roughness over the layers takes a depth of {FEWEST_LAYERS} "
            "or more"
        )
    for path in PATHS:
        chosen_lags(lags, model.depth, path)
    fitted = fit(models, X, y, networks=count, seed=seed, progress=progress, **training)
    return Regularity(
        rows=tuple(_row(fitted, i, lags) for i in range(len(models))),
        networks=count,
        seed=fitted.settings.seed,
        settings=fitted.settings.words(),
    )


def _chosen(activations: Any, laws: Any) -> tuple[list[str], list[Any]]:
    """Return activations and laws as lists without repetitions."""
    if isinstance(laws, str | Process):
        laws = [laws]
    if isinstance(activations, str):
        activations = [activations]
    found = []
    for name, given in (("activations", activations), ("laws", laws)):
        try:
            listed = list(given)
        except TypeError:
            listed = []
        if not listed or any(one in listed[:i] for i, one in enumerate(listed)):
            raise ValueError(f"{name}={brief(given)} is not allowed: it must be a list of one or more that differ")
        found.append(listed)
    for law in found[1]:
        if isinstance(law, Mixture | Covariance) or not isinstance(law, str | Process):
            raise ValueError(
                f"laws with {brief(law)} are not allowed: a law is 'iid', 'tied', a FractionalNoise or a SmoothProcess"
            )
    return found[0], found[1]


def _model(model: Any, law: str | Process, activation: str, beta: float | None) -> ResidualNetwork:
    """Return the model with another law, activation and exponent of its scaling."""
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    scaling = model.scaling
    if not isinstance(scaling, DepthScaling):
        raise ValueError(
            "scaling layer by layer is not allowed: its exponent differs with the law; give a DepthScaling"
        )
    of_entries = model.law if isinstance(law, str) else "gaussian"
    found = replace(model, activation=activation, weights=Weights(of_entries, law))
    if beta is None:
        hurst = law.hurst if isinstance(law, FractionalNoise) else 0.5
        beta = 1.0 if isinstance(law, SmoothProcess) or law == "tied" else noise_exponent(found, hurst)
    return replace(found, scaling=replace(scaling, beta=checks.real("beta", beta)))


def _row(fitted: Fit, place: int, lags: Sequence[int] | None) -> TrainedRoughness:
    model = fitted.models[place]
    there = fitted.finite[place, fitted.chosen[place]]
    if not there.any():
        raise ValueError(
            f"learning_rate={brief(list(fitted.settings.rates))} is not allowed: every network failed of {model.title}"
            "; use smaller ones"
        )
    names = [name for name in MATRICES if getattr(model.residual_block, name) is not None]
    before, after = (
        np.concatenate(
            [get(name, place)[:, there].reshape(model.depth, int(there.sum()), -1) for name in names], axis=2
        )
        for get in (fitted.initial_weights, fitted.weights)
    )
    networks = Networks.of(fitted.settings.seed, [(i, i + 1) for i in np.flatnonzero(there).tolist()])
    sums, weights = (
        share_networks(roughness_change(before, after, path=path, members=1, lags=lags), networks) for path in PATHS
    )
    expected = [
        float(path_exponents(one.lags, increment_mean_squares(model.dependence, model.depth, one.lags, one.path))[-1])
        for one in (sums, weights)
    ]
    return TrainedRoughness(
        model=model,
        sums=sums,
        weights=weights,
        expected_sums=expected[0],
        expected_weights=expected[1],
        learning_rate=float(fitted.learning_rate[place]),
        left_out=int((~there).sum()),
        loss=fitted.loss[place],
        accuracy=fitted.accuracy[place],
        example=np.stack([before[:, 0, 0], after[:, 0, 0]]).astype(np.float64),
    )
