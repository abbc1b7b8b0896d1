"""Weights: the laws of their entries, in one table, and `Weights`, a law with a dependence of the layers on each other.

A row of the table says how an entry of variance 1 is made from a counter's word or by a generator. The kernels make the
same entries in ``csrc/include/resmc/residual_dense.hpp``. Entries of one matrix are independent; so are those of
different layers, unless `Weights` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from .processes import Covariance, Process, process_of

Floats = NDArray[np.float64]
SQRT3 = math.sqrt(3.0)


@dataclass(frozen=True)
class WeightLaw:
    """One law of independent entries with mean 0 and variance 1.

    Attributes
    ----------
    number : int
        The number by which the kernels know the law.
    generated : callable
        Function of (generator, shape) that returns entries from a generator of NumPy's.
    of_word : callable or None
        Function from signed random words of 32 bits (two's complement) to entries; None for the Gaussian law, whose
        entries are `resmc.reference.normals`, four from four words.
    cancels : bool
        True if sums of entries, and of entries times numbers that such sums have made, are exactly 0 with a positive
        probability. Rounding leaves a trace of them, which kernels and twin take for 0.
    """

    number: int
    generated: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    of_word: Callable[[NDArray[np.int32]], Floats] | None = None
    cancels: bool = False

    @property
    def gaussian(self) -> bool:
        """True if the law of W h depends on |h| alone, as the projected method needs it."""
        return self.of_word is None


def _fair_signs(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return 2.0 * generator.integers(0, 2, shape).astype(np.float64) - 1.0


WEIGHTS: dict[str, WeightLaw] = {
    "gaussian": WeightLaw(0, lambda generator, shape: generator.standard_normal(shape)),
    # from -sqrt(3) to sqrt(3)
    "uniform": WeightLaw(
        1,
        lambda generator, shape: generator.uniform(-SQRT3, SQRT3, shape),
        lambda w: np.asarray(SQRT3 * (2.0 * w + 1.0) * 2.0**-32),
    ),
    # -1 or 1
    "rademacher": WeightLaw(2, _fair_signs, lambda w: np.where(w >= 0, 1.0, -1.0), cancels=True),
}


BIAS_LAWS = ("gaussian", "uniform")  # signs alone would cancel exactly


@dataclass(frozen=True)
class Weights:
    """Weights whose layers depend on each other: a law of entries, and the law of one entry over the layers.

    Every entry of a layer's matrix has the same dependence in depth, and so has every entry of a bias, which keeps its
    Gaussian law; different entries are independent. The first layer A and the readout are independent of all others,
    with entries of the law.

    Parameters
    ----------
    law : {"gaussian", "uniform", "rademacher"}
        The law of an entry.
    depth : "iid", "tied", FractionalNoise, SmoothProcess, Mixture, or a covariance matrix
        ``iid``: layers are independent, as with ``weights=law``. ``tied``: all layers have the same matrices and the
        same bias. Or a Gaussian process in depth, for which the law must be ``gaussian``; a symmetric matrix of
        shape (depth, depth) is the covariance of an entry between layers.

    Raises
    ------
    ValueError
        For anything else.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 4.
    """

    law: str = "gaussian"
    depth: str | Process | ArrayLike = "iid"

    def __post_init__(self) -> None:
        if isinstance(self.law, Process):
            raise ValueError(f"law={brief(self.law)} is not allowed: give Weights(depth={brief(self.law)})")
        checks.choice("law", self.law, tuple(WEIGHTS))
        if isinstance(self.depth, Mapping):
            object.__setattr__(self, "depth", process_of(self.depth))
        if isinstance(self.depth, str):
            if self.depth not in ("iid", "tied"):
                raise ValueError(f"depth={brief(self.depth)} is not allowed: {ALLOWED}")
            return
        if not isinstance(self.depth, Process):
            if np.ndim(_array(self.depth)) != 2:
                raise ValueError(f"depth={brief(self.depth)} is not allowed: {ALLOWED}")
            object.__setattr__(self, "depth", Covariance(self.depth))  # type: ignore[arg-type]
        if self.law != "gaussian":
            raise ValueError(
                f"law={self.law!r} is not allowed with depth={brief(self.depth)}: a process in depth is Gaussian; "
                "other laws go with 'iid' and 'tied'"
            )

    @property
    def dependence(self) -> str | Process:
        """``depth`` as it is kept: a covariance matrix as a `Covariance`."""
        assert isinstance(self.depth, str | Process)
        return self.depth

    @property
    def words(self) -> str:
        """The weights in a few words."""
        one = self.dependence
        if isinstance(one, str):
            return self.law if one == "iid" else f"{one} {self.law}"
        return one.words

    def to_dict(self) -> Plain:
        """Return the weights as plain values."""
        one = self.dependence
        return {"law": self.law, "depth": one if isinstance(one, str) else one.to_dict()}

    def __str__(self) -> str:
        return self.words


ALLOWED = (
    "it must be 'iid', 'tied', a FractionalNoise, a SmoothProcess, a Mixture, or a covariance matrix with a row for "
    "each layer"
)


def checked_weights(given: Any) -> str | Weights:
    """Return ``given`` as the name of a law where layers are independent, and as `Weights` elsewhere.

    Raises
    ------
    ValueError
        For anything that is no weights.
    """
    if isinstance(given, Mapping):
        given = weights_of(given)
    if isinstance(given, Weights):
        return given.law if given.depth == "iid" else given
    if isinstance(given, Process):
        raise ValueError(f"weights={brief(given)} is not allowed: give Weights(depth={brief(given)})")
    if not isinstance(given, str) and np.ndim(_array(given)) == 2:
        raise ValueError(f"weights={brief(given)} is not allowed: a covariance of layers is Weights(depth=matrix)")
    if not isinstance(given, str) or given not in WEIGHTS:
        listed = ", ".join(repr(name) for name in WEIGHTS)
        tied = "; tied layers are Weights(depth='tied'), in JSON and TOML {depth: 'tied'}" if given == "tied" else ""
        raise ValueError(f"weights={brief(given)} is not allowed: it must be one of {listed}, or a resmc.Weights{tied}")
    return given


def weights_of(described: Mapping[str, Any]) -> Weights:
    """Return the weights that `Weights.to_dict` described."""
    if set(described) - {"law", "depth"}:
        raise ValueError(f"weights={brief(dict(described))} is not allowed: it has law and depth, and nothing else")
    given = dict(described)
    if isinstance(given.get("depth"), Mapping):
        given["depth"] = process_of(given["depth"])
    return Weights(**given)


def _array(given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        return np.empty(())
