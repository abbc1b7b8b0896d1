"""Data as training takes it: checked, standardised, and in the order of training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.plain import Plain
from ..._system.words import are, brief, brief_repr, counted
from ...results.estimates import Floats
from ..examples import FEWEST, check_mask, classes_of, labels_of, standardised
from .settings import Settings

PARTS = ("training", "validation", "test")
FRACTIONS = (0.7, 0.15, 0.15)
SPLIT = 3  # stream of random numbers; 1 and 2 are those of `resmc.experiments.ode.training`
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Data:
    """Examples and what is to be learnt of them: those for training first, then validation, then test.

    Attributes
    ----------
    x : ndarray of float32, shape (M, F)
    y : ndarray, of int64 and shape (M,) or of float32 and shape (M, K)
        Classes 0 .. outputs - 1, or K target values.
    loss : {"cross_entropy", "mean_square"}
    outputs : int
        Classes, or K.
    sizes : tuple of int
        Examples for training, validation and test, which sum to M.
    labels : ndarray or None
        The label of each class.
    order : ndarray of int64, shape (M,)
        The place that each example had in what was given.
    split : tuple of float or None
        Fractions of the examples for training, validation and test; None where indices were given.
    digest : str
        SHA-256 of all that was given, the indices of a split included.
    """

    __repr__ = brief_repr

    x: NDArray[np.float32]
    y: NDArray[Any]
    loss: str
    outputs: int
    sizes: tuple[int, int, int]
    labels: NDArray[Any] | None
    order: NDArray[np.int64]
    split: tuple[float, float, float] | None
    digest: str

    def part(self, name: str) -> slice:
        """Return the examples for "training", "validation" or "test"."""
        start = sum(self.sizes[: PARTS.index(name)])
        return slice(start, start + self.sizes[PARTS.index(name)])

    @property
    def features(self) -> int:
        """F, numbers in an example."""
        return int(self.x.shape[1])

    @property
    def measures(self) -> bool:
        """True if accuracies are there beside losses: of classes, not of target values."""
        return self.loss == "cross_entropy"

    def batches(self, batch: int) -> int:
        """Return how many batches of so many examples an epoch has; those left over, less than a batch, wait.

        Raises
        ------
        ValueError
            If there are fewer examples for training.
        """
        if batch > self.sizes[0]:
            raise ValueError(
                f"batch={batch} is out of range: there {are(self.sizes[0])} {counted(self.sizes[0], 'example')} for "
                "training"
            )
        return self.sizes[0] // batch

    def described(self) -> Plain:
        """Return what must be equal for two trainings to have the same data, as plain values."""
        return {
            "data": self.digest,
            "split": "indices" if self.split is None else list(self.split),
            "examples": len(self.x),
            "features": self.features,
            "loss": self.loss,
            "outputs": self.outputs,
        }

    def words(self) -> str:
        """Return the data in a line."""
        a, b, c = self.sizes
        what = f"{self.outputs} classes" if self.measures else f"targets in R^{self.outputs}"
        return f"{len(self.x)} examples in R^{self.features}, {what}; {a} for training, {b} validation, {c} test"


def checked_data(
    X: Any, y: Any, settings: Settings, split: Sequence[Any] = FRACTIONS, classes: int | None = None
) -> Data:
    """Return examples as training takes them, split by the settings' seed.

    Parameters
    ----------
    X : array or tensor of numbers, (M, F)
        Further axes are flattened, as those of images.
    y : array or tensor
        (M,) labels for ``loss="cross_entropy"``, or (M, K) or (M,) numbers for "mean_square"; without a loss in the
        settings, floats and matrices are numbers and all else is labels.
    settings : Settings
        Of these seed, loss, ends and standardise.
    split : three fractions, or three lists of indices
    classes : int, optional
        Labels are then integers from 0 to classes - 1.

    Raises
    ------
    ValueError
        For anything else; the message says what is wrong, and the cure.
    """
    check_mask("X", X)
    check_mask("y", y)
    x = _examples(X)
    loss, targets, labels = _targets(y, len(x), settings.loss, classes)
    parts, fractions = _parts(split, len(x), settings.seed)
    order = np.concatenate(parts)
    digest = hashlib.sha256()
    for array in (x, targets, *([] if fractions else parts)):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    sizes = (len(parts[0]), len(parts[1]), len(parts[2]))
    outputs = len(labels) if labels is not None else targets.shape[1]
    x, targets = x[order], targets[order]
    if labels is not None:
        _check_classes(targets[: sizes[0]], labels)
    if settings.standardise:
        x = standardised(x, sizes[0])
    _check_float32("X", x)
    numbers = x.astype(np.float32)
    if not (numbers[: sizes[0]] != numbers[0]).any():
        raise ValueError(
            "X of examples for training that are all the same in float32 is not allowed: there is nothing to learn"
        )
    if labels is None:
        _check_float32("y", targets)
        targets = targets.astype(np.float32)
    if settings.ends == "identity" and x.shape[1] != outputs:
        raise ValueError(
            f"ends='identity' is not allowed with {counted(x.shape[1], 'feature')} and {counted(outputs, 'output')}: "
            "x and the output are both of the network's width"
        )
    return Data(numbers, targets, loss, outputs, sizes, labels, order, fractions, digest.hexdigest())


def _examples(given: Any) -> Floats:
    allowed = f"it must be an array or a tensor of finite numbers, (M, F) with M at least {FEWEST}"
    x = checks.numbers("X", given, allowed)
    if x.ndim < 2 or len(x) < FEWEST or not x[0].size:
        hint = "; one number for each example is X[:, None]" if x.ndim == 1 else ""
        raise ValueError(f"X of shape {x.shape} is not allowed: {allowed}{hint}")
    _check_finite("X", x)
    return x.reshape(len(x), -1)


def _check_finite(name: str, x: Floats) -> None:
    bad = int(np.sum(~np.isfinite(x).reshape(len(x), -1).all(axis=1)))
    if bad:
        raise ValueError(
            f"{name} is not allowed to hold NaN or infinite numbers, which are in {bad} of {len(x)} examples: leave "
            "these out, or fill in what is missing"
        )


def _check_float32(name: str, x: Floats) -> None:
    largest = float(np.abs(x).max())
    if largest > LARGEST:
        raise ValueError(f"{name} with numbers of up to {largest:.3g} is out of range: float32 ends at {LARGEST:.3g}")


def _targets(given: Any, count: int, loss: str | None, classes: Any) -> tuple[str, NDArray[Any], NDArray[Any] | None]:
    """Return the loss, the classes or the target values, and the labels of the classes."""
    allowed = f"it must be {count} labels, or numbers of shape ({count}, K), one for each example in X"
    try:
        y = labels_of(given)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"y={brief(given)} is not allowed: {allowed}") from None
    if y.ndim not in (1, 2) or len(y) != count or y.size == 0 or y.dtype.kind == "c":
        raise ValueError(f"y of shape {y.shape} and type {y.dtype} is not allowed: {allowed}")
    if loss is None:
        numbers = y.ndim == 2 or y.dtype.kind == "f"
        loss = "mean_square" if numbers and classes is None else "cross_entropy"
    if loss == "mean_square":
        if classes is not None:
            raise ValueError(f"classes={brief(classes)} is not allowed with loss='mean_square', whose y is no label")
        values = checks.numbers("y", given, allowed).reshape(count, -1)
        _check_finite("y", values)
        return loss, values, None
    if y.ndim == 2:
        hint = "use y.ravel()" if y.shape[1] == 1 else "for one-hot rows use y.argmax(axis=1)"
        raise ValueError(
            f"y of shape {y.shape} is not allowed with loss='cross_entropy': it must be ({count},); {hint}"
        )
    if classes is not None:
        return loss, *_in_range(y, checks.integer("classes", classes, 2, 1 << 17, "2^17"))
    labels, places = classes_of("y", y)
    if len(labels) < 2:
        raise ValueError(f"y of {counted(len(labels), 'class')} is not allowed: there must be at least 2")
    return loss, places, labels


def _in_range(y: NDArray[Any], classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels that are 0 .. classes - 1, and these numbers."""
    found = checks.numbers("y", y, f"with classes={classes}, its labels must be integers from 0 to {classes - 1}")
    bad = np.flatnonzero(~((found >= 0) & (found < classes) & (found == np.floor(found))))
    if bad.size:
        raise ValueError(
            f"y={found[bad[0]]:g} of example {bad[0]} is out of range ({len(bad)} of {len(y)} labels {are(len(bad))}): "
            f"with classes={classes}, they must be integers from 0 to {classes - 1}"
        )
    return found.astype(np.int64), np.arange(classes)


def _check_classes(trained: NDArray[np.int64], labels: NDArray[Any]) -> None:
    lacking = np.setdiff1d(np.arange(len(labels)), trained)
    if lacking.size:
        said = labels[lacking].tolist()
        which = f"label {brief(said[0])}" if len(said) == 1 else f"labels {brief(said)}"
        raise ValueError(
            f"y is not allowed to have no example for training of {which}: give more examples, another seed or split, "
            "or leave such labels out"
        )


def _parts(split: Any, count: int, seed: int) -> tuple[list[NDArray[np.int64]], tuple[float, float, float] | None]:
    """Return the places of the examples for training, validation and test, and the fractions, if these were given."""
    allowed = "it must be three fractions, for training, validation and test, which sum to 1, or three lists of indices"
    try:
        split = tuple(split) if not isinstance(split, str | bytes) else split
        given = [np.asarray(checks.detached(one)) for one in split]
    except (TypeError, ValueError):
        given = []
    if len(given) != 3 or isinstance(split, str | bytes):
        raise ValueError(f"split={brief(split)} is not allowed: {allowed}")
    if any(one.ndim for one in given):
        return _indices(given, count), None
    fractions = tuple(checks.real("split", one) for one in split)
    if min(fractions) <= 0.0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise ValueError(f"split={brief(fractions)} is not allowed: {allowed}")
    _, validation, test = (round(one * count) for one in fractions)
    sizes = (count - validation - test, validation, test)
    if min(sizes) < 1:
        raise ValueError(
            f"split={brief(fractions)} is not allowed with {count} examples: it leaves none for "
            f"{PARTS[sizes.index(min(sizes))]}"
        )
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, SPLIT]))).permutation(count)
    parts = np.split(order.astype(np.int64), [sizes[0], sizes[0] + sizes[1]])
    return parts, (fractions[0], fractions[1], fractions[2])


def _indices(given: list[NDArray[Any]], count: int) -> list[NDArray[np.int64]]:
    for name, one in zip(PARTS, given, strict=True):
        if one.ndim != 1 or one.dtype.kind not in "iu" or not one.size:
            hint = ": use np.flatnonzero(mask)" if one.dtype.kind == "b" else ""
            raise ValueError(
                f"split: the indices for {name} must be a list of at least one integer, not {brief(one)}{hint}"
            )
        if one.min() < 0 or one.max() >= count:
            raise ValueError(
                f"split: the indices for {name} reach from {one.min()} to {one.max()}: with {count} examples, they "
                f"must be from 0 to {count - 1}"
            )
    places, times = np.unique(np.concatenate(given), return_counts=True)
    if times.max() > 1:
        raise ValueError(f"split holds example {places[times > 1][0]} more than once: each may be in one part only")
    return [one.astype(np.int64) for one in given]
