"""`log_ratio`: how far signals and gradients go in trained networks, beside the same networks before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.words import brief, brief_repr, counted
from ...models.residual_network import ResidualNetwork
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats, mean_estimate
from ...results.groups import jackknifed
from ...results.propagation import Networks
from ...results.reliability import LEAST, VARIANCE
from ...tables import Column, Shown, Table
from ...theory.depth import Gaussian
from ...theory.facts import facts
from .record import Fit

if TYPE_CHECKING:
    import torch

    from ...torch_module.ensemble import Ensemble

QUOTIENTS = ("gradient", "growth")
STARTS = ("fresh", "loss")
ROWS = 5  # stream of random numbers; the others are those of `data` and `training`
MOST_NUMBERS = 1 << 20  # in an array of which a jackknife takes 32 copies
FORMULAS = {"gradient": "ln |p_l|^2/|p_L|^2", "growth": "ln |h_l|^2/|h_0|^2"}


@dataclass(frozen=True, eq=False)
class TrainedLogRatio:
    """The law of a quotient's logarithm X_l in the networks of one model, before and after training.

    Attributes
    ----------
    model : ResidualNetwork
    layers : ndarray of int, shape (L + 1,)
        l from 0 to L.
    mean_before, mean_after : Estimate, shape (L + 1,)
        Means of X_l over networks and examples.
    mean_change : Estimate, shape (L + 1,)
        mean_after - mean_before of the same networks and examples, with the error of pairs.
    variance_before, variance_after : Estimate, shape (L + 1,)
        Variances of X_l over networks, for one example, averaged over examples.
    limit : Gaussian or None
        The law of the final value before training as the depth grows, where theory knows it (`resmc.theory.facts`);
        the final value is at l = 0 for gradients.
    end : int
        The layer of the final value: 0 for gradients, else L.
    final_before, final_after : ndarray, shape (networks,)
        The final value of X by network, its mean over examples; NaN for networks that are left out.
    left_out : int
        Networks that left the range of numbers in training, or whose quotient has no logarithm.
    learning_rate : float
        The one chosen.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    layers: NDArray[np.int64]
    mean_before: Estimate
    mean_after: Estimate
    mean_change: Estimate
    variance_before: Estimate
    variance_after: Estimate
    limit: Gaussian | None
    end: int
    final_before: Floats
    final_after: Floats
    left_out: int
    learning_rate: float

    @property
    def limit_by_layer(self) -> Floats:
        """The limit of the mean by layer, in proportion to the layers passed, which are alike; NaN if not known."""
        passed = (self.layers[-1] - self.layers) if self.end == 0 else self.layers
        return np.full(len(passed), np.nan) if self.limit is None else self.limit.mean * passed / self.layers[-1]


@dataclass(frozen=True, eq=False)
class TrainedLogRatios(Shown):
    """The laws of a quotient's logarithm for all models of a fit, as `log_ratio` returns them.

    Attributes
    ----------
    name : {"gradient", "growth"}
    start : {"fresh", "loss"}
        Where gradients begin.
    rows : tuple of TrainedLogRatio
        One for each model.
    networks, examples, seed : int
    slope_before, slope_after : Estimate or None
        Means over networks of the slopes of final values of X against ln L, by least squares; None unless the models
        have at least two depths, each its own, and are the same but for that.
    """

    __repr__ = brief_repr

    name: str
    start: str
    rows: tuple[TrainedLogRatio, ...]
    networks: int
    examples: int
    seed: int
    slope_before: Estimate | None
    slope_after: Estimate | None

    def _table(self) -> Table:
        columns = [
            Column("depth", "depth", width=8),
            Column("mean before", "mean_before", width=20),
            Column("limit", "mean_limit", width=9, digits=3),
            Column("after", "mean_after", width=20),
            Column("change", "mean_change", width=20),
            Column("variance before", "variance_before", width=20),
            Column("limit", "variance_limit", width=9, digits=3),
            Column("after", "variance_after"),
        ]
        rows: list[list[Any]] = []
        for row in self.rows:
            end, known = row.end, row.limit or Gaussian(np.nan, np.nan)
            before, after = (one[end] for one in (row.mean_before, row.mean_after))
            spread = [row.variance_before[end], known.variance, row.variance_after[end]]
            rows.append([row.model.depth, before, known.mean, after, row.mean_change[end], *spread])
        of = {"fresh": "from a fresh readout", "loss": "of the loss"}[self.start]
        what = f"gradients {of}, at layer 0" if self.name == "gradient" else "states, at the last layer"
        title = f"{FORMULAS[self.name]} before and after training: {what}"
        lines = [
            f"{counted(self.networks, 'network')} each, {counted(self.examples, 'example')} of the test, "
            f"seed {self.seed}; limits are those before training, as the depth grows"
        ]
        return Table("trained_log_ratio", title, columns, rows, lines, self._notes())

    def _notes(self) -> list[str]:
        several = len(self.rows) > 1
        notes: list[str] = []
        if self.slope_after is not None:
            notes.append(
                f"slope of final values in ln L: {self.slope_before} before, {self.slope_after} after training"
            )
        notes += [
            f"{f'row {i}: ' * several}{row.model.title}, learning rate {row.learning_rate:g}"
            for i, row in enumerate(self.rows)
        ]
        notes += [
            f"row {i}: {row.left_out} of {self.networks} left out: they exploded, or have a quotient of 0"
            for i, row in enumerate(self.rows)
            if row.left_out
        ]
        return notes

    def summary(self) -> Table:
        """Return a table of final values by model, before and after training."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def log_ratio(fit: Fit, name: str = "gradient", *, start: str = "fresh", examples: int = 32) -> TrainedLogRatios:
    """Return the law over networks of how far gradients or states go, by layer, before and after training.

    .. code-block:: text

        gradient    X_l = ln |p_l|^2/|p_L|^2,    p_l = (dh_{l+1}/dh_l)^T p_{l+1}       final value at l = 0
        growth      X_l = ln |h_l|^2/|h_0|^2                                           final value at l = L

    Before training X is what `Simulation.log_ratio` has, and limits are those of `resmc.theory.depth_limit`. Trained
    networks are those of the learning rate that validation has chosen, and each is compared with itself: the same
    examples for test, the same p_L if that is fresh.

    Parameters
    ----------
    fit : Fit
        Trained networks, as `resmc.train.fit` returns them. Models of several depths show the law against the depth.
    name : {"gradient", "growth"}
    start : {"fresh", "loss"}
        "fresh": p_L is Gaussian, of variance 1/n, for each network and example, and independent of all that was
        trained, as theory has it. "loss": it is the gradient of the example's loss with respect to h_L, which training
        follows; no limit is known of it.
    examples : int
        So many of the examples for test, the first ones; all if there are fewer.

    Raises
    ------
    ValueError
        For an argument that is not allowed, or if all networks of a model left the range of numbers.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 3, for both quotients at initialisation.
    """
    if not isinstance(fit, Fit):
        raise ValueError(f"fit={brief(fit)} is not allowed: it must be a Fit, as resmc.train.fit returns it")
    checks.choice("name", name, QUOTIENTS)
    checks.choice("start", start, STARTS)
    if name == "growth" and start != "fresh":
        raise ValueError(f"start={start!r} is not allowed with name='growth': it is where gradients begin")
    there = fit.data.part("test")
    count = min(checks.integer("examples", examples, 1, 10**6, "10^6"), there.stop - there.start)
    chosen = slice(there.start, there.start + count)
    rows = tuple(_row(fit, i, name, start, chosen) for i in range(len(fit.models)))
    by_depth = _same_but_for_depth(fit.models)
    result = TrainedLogRatios(
        name=name,
        start=start,
        rows=rows,
        networks=len(fit.networks),
        examples=count,
        seed=fit.settings.seed,
        slope_before=_slope(rows, "final_before") if by_depth else None,
        slope_after=_slope(rows, "final_after") if by_depth else None,
    )
    for found in (result.slope_before, result.slope_after):
        share_networks(found, Networks.of(fit.settings.seed, [(i, i + 1) for i in fit.networks]))
    return result


def _same_but_for_depth(models: Sequence[ResidualNetwork]) -> bool:
    """Return True if models have two depths or more, no depth twice, and all other fields in common."""
    depths = {model.depth for model in models}
    try:
        alike = {replace(model, depth=models[0].depth) for model in models}
    except ValueError:  # A scaling by layer, or a covariance, belongs to one depth.
        return False
    return len(depths) == len(models) > 1 and len(alike) == 1


def _slope(rows: Sequence[TrainedLogRatio], final: str) -> Estimate:
    """Return the mean over networks of the slopes of their final values against ln L."""
    x = np.log([row.model.depth for row in rows])
    x -= x.mean()
    slopes = x @ np.stack([getattr(row, final) for row in rows]) / (x @ x)
    slopes = slopes[np.isfinite(slopes)]
    centre = slopes.mean() if slopes.size else np.nan
    return mean_estimate(np.asarray(slopes.sum()), np.asarray(np.sum((slopes - centre) ** 2)), np.asarray(slopes.size))


def _row(fit: Fit, place: int, name: str, start: str, examples: slice) -> TrainedLogRatio:
    model = fit.models[place]
    squares = np.stack(
        [_squares(fit.ensemble(place, initial=initial), fit, name, start, examples) for initial in (True, False)]
    )
    from_layer = -1 if name == "gradient" else 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = np.log(squares) - np.log(squares[:, from_layer][:, None])  # (before and after, layers, networks, examples)
    kept = np.isfinite(x).all(axis=(0, 1, 3)) & fit.finite[place, fit.chosen[place]]
    if not kept.any():
        raise ValueError(
            f"all networks of {model.title} leave the range of float32, before training or after it: use a smaller "
            "learning rate, or a scaling that shrinks faster with the depth"
        )
    found = _by_layer(np.moveaxis(x[:, :, kept], 2, -1))
    if kept.sum() < LEAST[VARIANCE].at(model.width):
        unknown = Estimate(found.value[3:], np.full_like(found.value[3:], np.nan), found.n[3:])
    else:
        unknown = found[3:]
    end = 0 if name == "gradient" else model.depth
    final = np.where(kept, x[:, end].mean(axis=-1), np.nan)
    result = TrainedLogRatio(
        model=model,
        layers=np.arange(model.depth + 1),
        mean_before=found[0],
        mean_after=found[1],
        mean_change=found[2],
        variance_before=unknown[0],
        variance_after=unknown[1],
        limit=facts(model).final_limit(name) if start == "fresh" and fit.settings.as_drawn else None,
        end=end,
        final_before=final[0],
        final_after=final[1],
        left_out=int((~kept).sum()),
        learning_rate=float(fit.learning_rate[place]),
    )
    numbers = np.array(fit.networks)[kept].tolist()
    return share_networks(result, Networks.of(fit.settings.seed, [(i, i + 1) for i in numbers]))


def _by_layer(x: Floats) -> Estimate:
    """Estimate the moments of x (2, layers, examples, networks), some layers at a time: a jackknife takes copies."""
    pieces = np.array_split(x, max(1, min(x.shape[1], x.size // MOST_NUMBERS)), axis=1)
    several = [jackknifed(piece, _moments) for piece in pieces]
    value, stderr, n, df = (
        np.concatenate([np.broadcast_to(getattr(one, field), one.shape) for one in several], axis=1)
        for field in ("value", "stderr", "n", "df")
    )
    return Estimate(value, stderr, n, df)


def _moments(x: Floats) -> Floats:
    """Return means before, after and of the change, and variances before and after, (5, layers)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = x.sum(axis=(-2, -1)) / (x.shape[-2] * x.shape[-1])
        centred = x - x.sum(axis=-1, keepdims=True) / x.shape[-1]
        variance = np.sum(centred**2, axis=-1).mean(axis=-1) / (x.shape[-1] - 1.0)
    return np.concatenate([mean, (mean[1] - mean[0])[None], variance])


def _squares(ensemble: Ensemble, fit: Fit, name: str, start: str, examples: slice) -> Floats:
    """Return |h_l|^2, or |p_l|^2, of all layers, networks and examples, (layers, networks, examples)."""
    import torch

    x = torch.from_numpy(fit.data.x[examples])
    if name == "growth":
        return ensemble.state_norms(x).numpy()
    if start == "loss":
        row = _loss_gradient(ensemble, x, torch.from_numpy(fit.data.y[examples]), fit)
    else:
        row = torch.from_numpy(_fresh_rows(fit, len(x), ensemble.models[0].width))
    return ensemble.gradient_norms(x, row).numpy()


def _fresh_rows(fit: Fit, examples: int, width: int) -> NDArray[np.float32]:
    """Return rows of a readout for every network and example, (networks, examples, n), of seed and number alone."""
    rows = [
        np.random.Generator(np.random.Philox(np.random.SeedSequence([fit.settings.seed, ROWS, i]))).standard_normal(
            (examples, width)
        )
        for i in fit.networks
    ]
    return np.asarray(np.stack(rows) / np.sqrt(width), np.float32)


def _loss_gradient(ensemble: Ensemble, x: torch.Tensor, y: torch.Tensor, fit: Fit) -> torch.Tensor:
    """Return the direction of the gradient of every example's loss with respect to h_L, (networks, examples, n).

    Of an example that has been learnt well it is very small, and quotients do not depend on its size.
    """
    from ...torch_module.losses import LOSSES

    out = ensemble.outputs(x).double()
    y = y if fit.data.measures else y.double()
    _, pulled = LOSSES[fit.data.loss](out, y.expand(len(out), *y.shape))
    row = pulled if fit.settings.ends == "identity" else pulled @ ensemble.weights("W_out").double()
    directions: torch.Tensor = row / row.norm(dim=-1, keepdim=True)
    return directions.float()
