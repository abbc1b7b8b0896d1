"""`Weights`: a law of the entries with a dependence of the layers on each other, and how both are given.

Entries of one matrix are independent; so are those of different layers, unless `Weights` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system.plain import Plain
from .._system.words import brief
from .inner_width import DEPENDENT, refuse_inner_width
from .processes import Covariance, Mixture, Process, process_of
from .scaling import SCALE_RANGE, DepthScaling
from .user_law import QuantileLaw
from .weight_families import checked_law, law_of
from .weight_law import WEIGHTS


@dataclass(frozen=True)
class Weights:
    """Weights whose layers depend on each other: a law of entries, and the law of one entry over the layers.

    Every entry of a layer's matrix has the same dependence in depth, and so has every entry of a bias, which keeps its
    Gaussian law; different entries are independent. The first layer A and the readout are independent of all others,
    with entries of the law.

    Parameters
    ----------
    law : {"gaussian", "uniform", "rademacher"}
        The law of an entry; with ``depth="iid"`` any law that ``weights`` takes by itself.
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

    law: str | QuantileLaw = "gaussian"
    depth: str | Process | ArrayLike = "iid"

    def __post_init__(self) -> None:
        if isinstance(self.law, Process):
            raise ValueError(f"law={brief(self.law)} is not allowed: give Weights(depth={brief(self.law)})")
        object.__setattr__(self, "law", checked_law("law", self.law))
        if isinstance(self.depth, Mapping):
            object.__setattr__(self, "depth", process_of(self.depth))
        if isinstance(self.depth, str):
            if self.depth not in ("iid", "tied"):
                raise ValueError(f"depth={brief(self.depth)} is not allowed: {ALLOWED}")
            if self.depth == "tied" and self.law not in WEIGHTS and not law_of(self.law).orthogonal:
                raise ValueError(
                    f"law={brief(self.law)} is not allowed with depth='tied': such weights are drawn where they are "
                    "used, layer by layer; use 'gaussian', 'uniform', 'rademacher' or 'orthogonal'"
                )
            return
        if not isinstance(self.depth, Process):
            if np.ndim(_array(self.depth)) != 2:
                raise ValueError(f"depth={brief(self.depth)} is not allowed: {ALLOWED}")
            object.__setattr__(self, "depth", Covariance(self.depth))  # type: ignore[arg-type]
        if not law_of(self.law).gaussian:
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
            return str(self.law) if one == "iid" else f"{one} {self.law}"
        return one.words

    def to_dict(self) -> Plain:
        """Return the weights as plain values."""
        one = self.dependence
        law = self.law.to_dict() if isinstance(self.law, QuantileLaw) else self.law
        return {"law": law, "depth": one if isinstance(one, str) else one.to_dict()}

    def __str__(self) -> str:
        return self.words


ALLOWED = (
    "it must be 'iid', 'tied', a FractionalNoise, a SmoothProcess, a Mixture, or a covariance matrix with a row for "
    "each layer"
)


def checked_weights(given: Any) -> str | QuantileLaw | Weights:
    """Return ``given`` as a law where layers are independent, and as `Weights` elsewhere.

    Raises
    ------
    ValueError
        For anything that is no weights.
    """
    if isinstance(given, Mapping) and ("law" in given or "depth" in given or not given):
        given = weights_of(given)
    if isinstance(given, Weights):
        return given.law if given.depth == "iid" else given
    if isinstance(given, Process):
        raise ValueError(f"weights={brief(given)} is not allowed: give Weights(depth={brief(given)})")
    if not isinstance(given, str | QuantileLaw | Mapping) and np.ndim(_array(given)) == 2:
        raise ValueError(f"weights={brief(given)} is not allowed: a covariance of layers is Weights(depth=matrix)")
    if isinstance(given, str) and given == "tied":
        raise ValueError(
            "weights='tied' is not allowed: tied layers are Weights(depth='tied'), in JSON and TOML {depth: 'tied'}"
        )
    return checked_law("weights", given)


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


def check_dependence(model: Any) -> None:
    """Refuse a process that these layers cannot have."""
    process = model.dependence
    if process != "iid":
        refuse_inner_width(model.inner_width, *DEPENDENT)
    if isinstance(process, Covariance) and len(process.matrix) != model.depth:
        raise ValueError(
            f"weights have a covariance of {len(process.matrix)} layers: it must have one row for each of depth="
            f"{model.depth} layers"
        )
    if isinstance(process, Covariance):
        largest = math.sqrt(float(process.matrix.diagonal().max()))
        if not 1.0 / SCALE_RANGE <= largest <= SCALE_RANGE:
            raise ValueError(
                f"a covariance whose largest standard deviation is {largest:g} is out of range: it must be from "
                "2^-40 to 2^40"
            )
    if not isinstance(process, Mixture):
        return
    if model.block == "v-phi-w":
        raise ValueError(
            "block='v-phi-w' is not allowed with a Mixture: it has a product of two such matrices, for which no "
            "limit is known; use 'phi-in', or 'phi-out' with the scaling inside"
        )
    inside = model.block == "phi-out"
    if model.scaling != DepthScaling(0.0, 1.0, inside):
        wanted = "DepthScaling(0, inside=True)" if inside else "DepthScaling(0)"
        raise ValueError(
            f"scaling={brief(model.scaling)} is not allowed with a Mixture and block={model.block!r}: a mixture "
            f"carries its own scaling, so it must be {wanted}"
        )
    for c, factor in zip(process.cs, process.factors(model.depth), strict=True):
        if c and not 1.0 / SCALE_RANGE <= abs(factor) <= SCALE_RANGE:
            raise ValueError(
                f"a Mixture with a factor of {factor:g} at depth={model.depth} is out of range: its size must be "
                "from 2^-40 to 2^40, unless its c is 0"
            )
