"""The map over H and beta after training of Marion, Fermanian, Biau, Vert, beside the map before it.

A network is one trained at every exponent and learning rate of its H; errors are those of independent networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.plain import Plain
from ..._system.words import brief_repr, counted
from ...analyses.export import Variable
from ...models.residual_network import ResidualNetwork
from ...results.estimates import Estimate, Floats
from ...tables import Column, Table
from ..heat_statistics import mean_over_networks
from ..map_export import POINT, ROW, dataset
from ..map_of_rows import MapOfRows
from .choice import best
from .map_row import DataDescription, RowResults
from .settings import Settings

if TYPE_CHECKING:
    import xarray

WORDS = {
    "accuracy": "test accuracy",
    "loss": "test loss",
    "growth": "log10 |h_L|/|h_0| before training",
}
TITLE = "random residual networks before and after training"
VALIDATION, TEST = 0, 1  # places of the parts in a row's scores


def _mean(values: Floats) -> Floats:
    """Return means over networks, the first axis; NaN where there are none."""
    return values.mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan)


@dataclass(frozen=True, eq=False)
class TrainedHeatMap(MapOfRows):
    """A map over the Hurst exponent H and the exponent beta after training, as `resmc.train.heat_map` returns it.

    At each point networks were trained at several learning rates. The rate of a point is the one whose mean accuracy
    over networks on the validation examples is the largest (for a regression, whose mean loss is the smallest); of
    several such the one with the smaller loss, then the smaller one. Quantities are means over networks at that rate,
    Estimates of shape (H, beta); their errors are those of independent networks, for the split of the data that there
    was, and the choice of a rate is no part of them; fewer than 32 networks have none. A network fails if its loss
    stops being finite: it counts as right nowhere, with an infinite loss, so that a mean loss is infinite then, without
    an error.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its exponent and its weights have no meaning here.
    hurst, beta : ndarray
        H and beta in increasing order.
    rates : ndarray
        Learning rates in increasing order.
    settings : Settings
        Settings of training; their seed is that of the map.
    data : DataDescription
        What is known of the data.
    seeds : tuple of int
        The seeds of the rows; those of different H share no random number.
    wanted : int
        Networks that each row shall have.
    networks : ndarray of int, shape (H,)
        Networks that each row has.
    numerics : tuple of str
        Numerics classes of those who have trained: device, version of torch, and instruction set.
    store : Path or None
        The directory of the shards.
    damaged : tuple of str
        Files that failed their checksum, and were set aside if the store can be written to.
    shards : int
        Number of files behind the numbers.
    plan : object
        The plan that was run.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    hurst: Floats
    beta: Floats
    rates: Floats
    settings: Settings
    data: DataDescription
    seeds: tuple[int, ...]
    wanted: int
    networks: NDArray[np.int64]
    numerics: tuple[str, ...]
    store: Path | None
    damaged: tuple[str, ...]
    shards: int
    plan: Any
    _rows: tuple[RowResults, ...]
    kind: ClassVar[str] = "trained heat map"  # the name that files and commands use

    @property
    def seed(self) -> int:
        """The seed of the map."""
        return self.settings.seed

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities that there are."""
        return tuple(name for name in WORDS if name != "accuracy" or self.data.classifies)

    @property
    def accuracy(self) -> Estimate:
        """Mean fraction of the test examples that are classified rightly, (H, beta); ValueError for a regression."""
        return self.estimate("accuracy")

    @property
    def loss(self) -> Estimate:
        """Mean loss on the test examples, (H, beta)."""
        return self.estimate("loss")

    @property
    def growth(self) -> Estimate:
        """Mean of log10 |h_L|/|h_0| over networks and test examples before training, (H, beta)."""
        return self.estimate("growth")

    def estimate(self, quantity: str) -> Estimate:
        """Return a quantity by its name.

        Raises
        ------
        ValueError
            If the map has no such quantity.
        """
        if quantity == "accuracy" and not self.data.classifies:
            raise ValueError(f"quantity={quantity!r} is not there: targets are numbers, and have no classes")
        return self._estimates[checks.choice("quantity", quantity, self.quantities)]

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        values = {
            "accuracy": [self._at_rates(row.accuracy[..., TEST], i) for i, row in enumerate(self._rows)
                         if row.accuracy is not None],
            "loss": [self._at_rates(row.loss[..., TEST], i) for i, row in enumerate(self._rows)],
            "growth": [row.growth for row in self._rows],
        }  # fmt: skip
        return {name: self._of_rows([mean_over_networks(one) for one in values[name]]) for name in self.quantities}

    def _at_rates(self, values: Floats, row: int) -> Floats:
        """Return values (networks, beta, rate) at the chosen rate of each exponent, (networks, beta)."""
        return np.take_along_axis(values, self._chosen[row][None, :, None], axis=2)[..., 0]

    @cached_property
    def validation_loss(self) -> Floats:
        """Mean loss on the validation examples over networks, (H, beta, rate); NaN where there are no networks."""
        return np.stack([_mean(row.loss[..., VALIDATION]) for row in self._rows])

    @cached_property
    def validation_accuracy(self) -> Floats:
        """Mean accuracy on the validation examples over networks, (H, beta, rate); NaN for a regression."""
        shape = self.validation_loss.shape[1:]
        means = [np.full(shape, np.nan) if row.accuracy is None else _mean(row.accuracy[..., VALIDATION])
                 for row in self._rows]  # fmt: skip
        return np.stack(means)

    @property
    def _scores(self) -> Floats:
        """Return what is compared on the validation examples, the larger the better, (H, beta, rate)."""
        return self.validation_accuracy if self.data.classifies else -self.validation_loss

    @cached_property
    def _chosen(self) -> NDArray[np.int64]:
        """Places of the chosen rates, (H, beta)."""
        return best(self._scores, self.validation_loss)

    @property
    def learning_rate(self) -> Floats:
        """The rate of each point, (H, beta); NaN where there are no networks."""
        return np.where((self.networks > 0)[:, None], self.rates[self._chosen], np.nan)

    @cached_property
    def failures(self) -> NDArray[np.int64]:
        """Count the networks that have failed, (H, beta, rate)."""
        return np.stack([row.failed.sum(axis=0) for row in self._rows])

    @property
    def failed(self) -> Floats:
        """Fraction of the networks of a point, of all rates, that have failed, (H, beta); NaN without networks."""
        trained = np.where(self.networks > 0, self.networks * len(self.rates), np.nan)
        return np.asarray(self.failures.sum(axis=-1) / trained[:, None])

    # -- tables -------------------------------------------------------------------------------------------------------

    @property
    def score(self) -> str:
        """The quantity by which rates and exponents are chosen: "accuracy", or for a regression "loss"."""
        return self.quantities[0]

    @property
    def best(self) -> NDArray[np.int64]:
        """Places of the exponents that are best on the validation examples, at their rates, (H,)."""
        at = self._chosen[..., None]
        score, loss = (np.take_along_axis(one, at, axis=-1)[..., 0] for one in (self._scores, self.validation_loss))
        return best(score, loss)

    @property
    def best_point(self) -> tuple[int, int]:
        """Places of H and beta that are best on the validation examples, at their rate."""
        at = np.arange(len(self.hurst)), self.best
        score, loss = (one[(*at, self._chosen[at])] for one in (self._scores, self.validation_loss))
        row = int(best(score, loss))
        return row, int(self.best[row])

    def _table(self) -> Table:
        """Return a table with a row for each H: the exponent that is best on validation, and the ends of the map."""
        score, found, growth = self.score, self.estimate(self.score), self.growth
        rows, places = range(len(self.hurst)), self.best.tolist()
        columns = [Column("H", "hurst"), Column("networks", "networks"), Column("best beta", "best_beta")]
        cells: list[list[Any]] = [
            [float(h) for h in self.hurst],
            [int(n) for n in self.networks],
            [float(self.beta[j]) if n else np.nan for n, j in zip(self.networks, places, strict=True)],
        ]
        columns += [Column(f"{score} there", f"{score}.best", width=18), Column("rate there", "learning_rate.best")]
        cells.append([found[i, j] for i, j in zip(rows, places, strict=True)])
        cells.append([float(self.learning_rate[i, j]) for i, j in zip(rows, places, strict=True)])
        for end in dict.fromkeys((0, len(self.beta) - 1)):
            at = f"{self.beta[end]:.4g}"
            columns += [Column(f"{score} at {at}", f"{score}.at_{at}", width=18)]
            columns += [Column(f"growth at {at}", f"growth.at_{at}", width=18)]
            cells += [[found[i, end] for i in rows], [growth[i, end] for i in rows]]
        columns.append(Column("failed", "failed"))
        cells.append([float(share) for share in self.failed.mean(axis=1)])
        title, table = f"map of trained {self._network()}", list(zip(*cells, strict=True))
        return Table("trained_heat_map", title, columns, table, self._lines(), self._notes())

    def _lines(self) -> list[str]:
        networks = f"{counted(self.wanted, 'network')} at each H, seed {self.seed}"
        lines = [
            f"{self._grid()}, {networks}, numerics {' '.join(self.numerics) or 'none yet'}",
            self.settings.words(),
            f"{self.data.words()}, SHA-256 {self.data.data[:12]}",
            *self._lacking(),
        ]
        if len(self.rates) > 2 and self.at_the_edge:
            lines.append(
                f"at {counted(self.at_the_edge, 'point')} the best rate is the smallest or the largest of "
                f"{len(self.rates)}: others beyond it may be better"
            )
        return lines

    @property
    def at_the_edge(self) -> int:
        """Number of points whose rate is the smallest or the largest."""
        known = (self.networks > 0)[:, None]
        return int((known & ((self._chosen == 0) | (self._chosen == len(self.rates) - 1))).sum())

    def _notes(self) -> list[str]:
        best = "the largest accuracy" if self.data.classifies else "the smallest loss"
        notes = [
            "",
            f"{self.score}: of the test examples, at the rate with {best} on the validation examples; best beta: the "
            "one with that at its rate",
            f"growth: mean of {WORDS['growth']}, of the same networks; failed: share of all networks, of every rate "
            "and beta, whose loss stopped being finite",
        ]
        return [*notes, *self._without_errors()]

    # -- data sets ----------------------------------------------------------------------------------------------------

    def _variables(self) -> dict[str, Variable]:
        out: dict[str, Variable] = {}
        for name in self.quantities:
            found, variable = self.estimate(name), "log10_growth" if name == "growth" else name
            out[variable] = Variable(POINT, found.value, f"mean of the {WORDS[name]}")
            out[f"{variable}_stderr"] = Variable(
                POINT, found.stderr, f"standard error of the mean of the {WORDS[name]}"
            )
        out["learning_rate"] = Variable(POINT, self.learning_rate, "learning rate that is best on validation")
        out["failed"] = Variable(POINT, self.failed, "fraction of the networks, of all rates, that have failed")
        out["networks"] = Variable(ROW, self.networks, "independent networks")
        out["seed"] = Variable(ROW, np.array(self.seeds, np.uint64), "seed of the row")
        return out

    def to_xarray(self) -> xarray.Dataset:
        """Return the map as a labelled data set over ``hurst`` and ``beta`` (needs ``resmc[xarray]``).

        Variables are ``accuracy``, ``loss`` and ``log10_growth``, each with its ``_stderr``, and ``learning_rate``,
        ``failed``, ``networks`` and ``seed``; each has a ``long_name`` and ``units``.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        s = self.settings
        attributes: Plain = {
            "title": TITLE,
            "optimizer": s.optimizer,
            "rates": list(s.rates),
            "epochs": s.epochs,
            "batch_size": s.batch,
            "data": self.data.data,
            "loss_function": self.data.loss,
            "seed": np.uint64(self.seed),
            "numerics": " ".join(self.numerics),
            "complete": int(self.complete),
        }
        return dataset(self.hurst, self.beta, self._variables(), self.model, attributes)
