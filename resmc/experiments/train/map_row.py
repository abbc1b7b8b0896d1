"""A row of a map after training: networks of one Hurst exponent, trained at all exponents and learning rates.

A row is cut into ranges of networks. A file of a range is a file of `resmc.results.archive` with these arrays and
members.

.. code-block:: text

    manifest.json    the row, the range and who has computed it
    loss             (networks, exponents, rates, parts) float64: losses after training on the examples for validation
                     and for test, infinite where a network has failed
    accuracy         of the same shape: fractions of these examples that are classified rightly, 0 where a network has
                     failed; not there for a regression
    failed           (networks, exponents, rates) bool: networks whose loss was not finite in some step or at the end
    growth           (networks, exponents) float64: log10 |h_L|/|h_0| before training, averaged over the test examples
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..._system.plain import Plain, key_of
from ...models.processes import FractionalNoise
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...models.weights import Weights
from ...results.archive import Archive
from ...results.estimates import Floats
from ..heat_row import PRODUCTS
from ..row_files import RowFiles, read_model
from .settings import Settings

KEY_VERSION = 1  # raised when keys are made of other things, or training itself gives other numbers
PARTS = ("validation", "test")
PASSES = 3  # products of a matrix and the states of all examples: forward, backward, and the matrix's own gradient
SIDE_BY_SIDE = 32  # networks of one learning rate that a shard has at least, unless their weights are large
MOST_WEIGHTS = 1 << 28  # weights of such a shard; gradients and optimisers take as much again, or two or three times
FLOAT, BOOL = np.dtype(np.float64), np.dtype(np.bool_)


@dataclass(frozen=True)
class DataDescription:
    """All that a store knows of data, which it does not hold.

    Attributes
    ----------
    data : str
        SHA-256 of what was given.
    split : tuple of float or "indices"
        Fractions of the examples for training, validation and test, or a word for lists of indices.
    examples, features : int
    loss : {"cross_entropy", "mean_square"}
    outputs : int
        Classes, or target values of an example.
    """

    data: str
    split: tuple[float, ...] | str
    examples: int
    features: int
    loss: str
    outputs: int

    def __post_init__(self) -> None:
        if not isinstance(self.split, str):
            object.__setattr__(self, "split", tuple(self.split))

    @property
    def classifies(self) -> bool:
        """True if there are accuracies beside losses."""
        return self.loss == "cross_entropy"

    def to_dict(self) -> Plain:
        """Return the fields by name, as plain values."""
        return {**asdict(self), "split": self.split if isinstance(self.split, str) else list(self.split)}

    def words(self) -> str:
        """Return the data in a line."""
        what = f"{self.outputs} classes" if self.classifies else f"targets in R^{self.outputs}"
        return f"{self.examples} examples in R^{self.features}, {what}"


@dataclass(frozen=True)
class MapRow:
    """Networks of fractional noise of one H, each trained at all exponents and learning rates.

    Attributes
    ----------
    model : ResidualNetwork
        The network of the row, whose exponent has no meaning: each of ``betas`` takes its place.
    betas : tuple of float
    settings : Settings
        Of training; their seed is the row's.
    data : DataDescription
    """

    model: ResidualNetwork
    betas: tuple[float, ...]
    settings: Settings
    data: DataDescription

    @property
    def seed(self) -> int:
        """The seed of the row."""
        return self.settings.seed

    @property
    def models(self) -> list[ResidualNetwork]:
        """The network at each exponent; all have the same weights."""
        scaling = self.model.scaling
        assert isinstance(scaling, DepthScaling)
        return [replace(self.model, scaling=replace(scaling, beta=beta)) for beta in self.betas]

    @property
    def batch(self) -> int:
        """Networks that shards do not part: so many that products are batched well, unless their weights are large."""
        layer = self.model.residual_block.matrices * self.model.width**2
        weights = layer * self.model.depth * len(self.betas) * len(self.settings.rates)
        return max(1, min(-(-SIDE_BY_SIDE // len(self.betas)), MOST_WEIGHTS // weights))

    @cached_property
    def key(self) -> str:
        """Hash of all that, beside the range and the numerics class, decides what a file holds."""
        return key_of(KEY_VERSION, self.to_dict())

    @property
    def updates(self) -> int:
        """Work for one network, in neuron updates as the points of a sweep count theirs."""
        examples = self.settings.epochs * self.data.examples * len(self.betas) * len(self.settings.rates)
        layer = self.model.residual_block.matrices * self.model.width**2
        return -(-layer * self.model.depth * examples * PASSES // PRODUCTS)

    def to_dict(self) -> Plain:
        """Return the row as plain values."""
        return {
            "model": self.model.to_dict(),
            "beta": list(self.betas),
            "settings": self.settings.to_dict(),
            "data": self.data.to_dict(),
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Read the row that `to_dict` has written; raises KeyError, TypeError or ValueError for what is none."""
        model, betas = read_model(described)
        settings = Settings.from_dict(described["settings"])
        return cls(model, tuple(betas), settings, DataDescription(**described["data"]))


def row_of(model: ResidualNetwork, hurst: float, betas: Sequence[float], settings: Settings,
           data: DataDescription) -> MapRow:  # fmt: skip
    """Return the row of a map whose networks are ``model`` with weights of fractional noise."""
    return MapRow(replace(model, weights=Weights(depth=FractionalNoise(hurst))), tuple(betas), settings, data)


@dataclass(frozen=True, eq=False)
class RowResults:
    """Results of some networks of a row, as the module's text describes them; ``accuracy`` is None for a regression."""

    loss: Floats
    accuracy: Floats | None
    failed: NDArray[np.bool_]
    growth: Floats

    @classmethod
    def joined(cls, parts: Sequence[RowResults], row: MapRow) -> RowResults:
        """Join the parts of a row, in the order of the networks."""
        e, r = len(row.betas), len(row.settings.rates)
        scores = np.empty((0, e, r, len(PARTS)))
        return cls(
            np.concatenate([scores, *(part.loss for part in parts)]),
            np.concatenate([scores, *(part.accuracy for part in parts if part.accuracy is not None)])
            if row.data.classifies else None,
            np.concatenate([np.empty((0, e, r), BOOL), *(part.failed for part in parts)]),
            np.concatenate([np.empty((0, e)), *(part.growth for part in parts)]),
        )  # fmt: skip

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        accuracy = {} if self.accuracy is None else {"accuracy": self.accuracy}
        return {"loss": self.loss, **accuracy, "failed": self.failed, "growth": self.growth}


def _results(found: Archive, row: MapRow, networks: int) -> RowResults:
    shape = networks, len(row.betas), len(row.settings.rates)

    def array(which: str, dtype: np.dtype[Any], expected: tuple[int, ...]) -> NDArray[Any]:
        values = found.array(which, dtype)
        if values.shape != expected:
            raise ValueError(f"{which} has the shape {values.shape}, not {expected}")
        if dtype == FLOAT and np.isnan(values).any():
            raise ValueError(f"{which} holds what is no number")
        return values.copy()

    scores = (*shape, len(PARTS))
    return RowResults(
        array("loss", FLOAT, scores),
        array("accuracy", FLOAT, scores) if row.data.classifies else None,
        array("failed", BOOL, shape),
        array("growth", FLOAT, shape[:2]),
    )


FILES = RowFiles("resmc-trained-map-row", "a trained heat map", MapRow.from_dict, _results)
