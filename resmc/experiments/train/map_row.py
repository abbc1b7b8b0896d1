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

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..._system.plain import Plain
from ..._system.words import cut
from ...models.processes import FractionalNoise
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...models.spelling import of_dict
from ...models.weights import Weights
from ...results import archive
from ...results.estimates import Floats
from ..heat_row import PRODUCTS
from .settings import Settings

FORMAT = "resmc-trained-map-row"
SCHEMA_VERSION = 1
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
        weights = self.matrices * self.model.depth * self.model.width**2 * len(self.betas) * len(self.settings.rates)
        return max(1, min(-(-SIDE_BY_SIDE // len(self.betas)), MOST_WEIGHTS // weights))

    @property
    def matrices(self) -> int:
        """Matrices of a layer."""
        block = self.model.residual_block
        return (block.V is not None) + (block.W is not None)

    @cached_property
    def key(self) -> str:
        """Hash of all that, beside the range and the numerics class, decides what a file holds."""
        text = json.dumps([KEY_VERSION, self.to_dict()], separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def updates(self) -> int:
        """Work for one network, in neuron updates as the points of a sweep count theirs."""
        examples = self.settings.epochs * self.data.examples * len(self.betas) * len(self.settings.rates)
        return -(-self.matrices * self.model.depth * self.model.width**2 * examples * PASSES // PRODUCTS)

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
        model = of_dict(described["model"])
        if not isinstance(model, ResidualNetwork) or not isinstance(described["beta"], list):
            raise ValueError("its row has no ResidualNetwork, or no list of exponents")
        settings = Settings.from_dict(described["settings"])
        return cls(model, tuple(described["beta"]), settings, DataDescription(**described["data"]))


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

    def to_bytes(self, row: MapRow, start: int, stop: int, numerics: str) -> bytes:
        """Return the content of a range's file, computed by a numerics class."""
        manifest = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "row": row.to_dict(),
            "range": [start, stop],
            "numerics": numerics,
        }
        accuracy = {} if self.accuracy is None else {"accuracy": self.accuracy}
        return archive.to_bytes(manifest, {"loss": self.loss, **accuracy, "failed": self.failed, "growth": self.growth})


@dataclass(frozen=True, eq=False)
class MapRange:
    """A range of a row, as its file holds it: networks start .. stop - 1, and the numerics class."""

    row: MapRow
    start: int
    stop: int
    numerics: str
    results: RowResults


def from_bytes(data: bytes, name: str) -> MapRange:
    """Read the content of a range's file.

    Raises
    ------
    ValueError
        If it is damaged, or no such file; the message begins with ``name``.
    """
    found = archive.Archive(data, name)
    try:
        row, start, stop, numerics = _checked(found.manifest)
        shape = stop - start, len(row.betas), len(row.settings.rates)

        def array(which: str, dtype: np.dtype[Any], expected: tuple[int, ...]) -> NDArray[Any]:
            values = found.array(which, dtype)
            if values.shape != expected:
                raise ValueError(f"{which} has the shape {values.shape}, not {expected}")
            if dtype == FLOAT and np.isnan(values).any():
                raise ValueError(f"{which} holds what is no number")
            return values.copy()

        scores = (*shape, len(PARTS))
        results = RowResults(
            array("loss", FLOAT, scores),
            array("accuracy", FLOAT, scores) if row.data.classifies else None,
            array("failed", BOOL, shape),
            array("growth", FLOAT, shape[:2]),
        )
    except KeyError as error:
        raise _refusal(name, f"its manifest has no {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _refusal(name, str(error)) from None
    return MapRange(row, start, stop, numerics, results)


def _refusal(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is no part of a trained heat map that this resmc can read: {cut(why)}")


def _checked(manifest: Any) -> tuple[MapRow, int, int, str]:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its manifest does not say {FORMAT!r}")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it has schema version {manifest.get('schema_version')}, not {SCHEMA_VERSION}")
    row = MapRow.from_dict(manifest["row"])
    (start, stop), numerics = manifest["range"], manifest["numerics"]
    if type(start) is not int or type(stop) is not int or not 0 <= start < stop:
        raise ValueError(f"range={[start, stop]} is not allowed: it must be two increasing numbers of networks")
    if not isinstance(numerics, str):
        raise ValueError(f"numerics={numerics!r} is not allowed: it must be a class")
    return row, start, stop, numerics
