"""One quantity: its names, its sums, its estimate, and the theory beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.lowering import BACKWARD, Lowered
from ..models.residual_network import ResidualNetwork
from .entries import Entries, Integers
from .estimates import Estimate, Floats

if TYPE_CHECKING:
    from ..models.resnet import ResNet
    from ..theory.facts import Facts

LEADING = "leading order"
IN_DEPTH = "limit in depth"
SENTENCES = {LEADING: "limit at leading order in 1/n", IN_DEPTH: "limit in depth"}
NEXT = "next order"  # the limit with it, as headings say; SECOND_ORDER says it in a sentence
SECOND_ORDER = "limit with the next order in 1/n"
Theory = Callable[["Facts", Integers], Floats]


def unknown(facts: Facts, layers: Integers) -> Floats:
    """Return NaN at every layer: nothing is known."""
    return np.full(layers.shape, np.nan)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Theory beside estimates, arrays of their shape: exact values, limits, limits with the next order in 1/n.

    NaN where they are not known.
    """

    exact: Floats
    limit: Floats
    second_order: Floats

    def __getitem__(self, index: Any) -> Predictions:
        return Predictions(self.exact[index], self.limit[index], self.second_order[index])

    def ravel(self) -> Predictions:
        """Return them in one dimension."""
        return Predictions(self.exact.ravel(), self.limit.ravel(), self.second_order.ravel())

    @property
    def beside(self) -> Predictions:
        """Theory as it is shown: no limit stands beside an exact value, nor its next order."""
        known = np.isfinite(self.exact)
        limit, second = (np.where(known, np.nan, one) for one in (self.limit, self.second_order))
        return Predictions(self.exact, limit, second)


@dataclass(frozen=True)
class Neutral:
    """The value that a quantity has where nothing of interest happens, as at infinite width: number and words."""

    value: Callable[[Facts], float]
    words: str


@dataclass(frozen=True)
class Scaled:
    """A quantity as it tends to a limit when n and d grow with d/n fixed: factor (quantity - shift).

    ``scale`` gives (factor, shift) for a model, ``limit`` the limit of the product; ``label`` is for figures.
    """

    label: str
    words: str
    scale: Callable[[ResNet], tuple[float, float]]
    limit: Callable[[ResNet], float]


@dataclass(frozen=True)
class Observable:
    """One quantity.

    Attributes
    ----------
    name : str
        The name by which users ask for it: ``log_norm.variance``.
    variable : str
        Its name in data sets and JSON: ``log_norm_variance``.
    symbol : str
        A short text with {v}, {l} and {d}: ``variance L_{l}``.
    label : str
        The symbol in figures, in TeX.
    words : str
        The quantity in words that can begin a sentence after "The".
    per : {"layer", "end", "lag", "run"}
        What there is one of for each: a recorded layer; the end of a quotient alone (a median); a distance of layers;
        a simulation (distances between laws). Sweeps hold those by layer, at the last one, and those of the end.
    sums : str
        What is summed: "norms", "activity", "mean_square", a quotient's name, "products" or "histogram".
    estimate : callable or None
        From `Entries` to an `Estimate` (R,); None for "lag" and "run", which `resmc.analyses.found` gets from
        ``analysis``, "analysis.field" of a whole simulation.
    exact, limit, second_order : callable
        From facts and layers to exact values, to limits, and to these with the next order in 1/n; NaN where they are
        not known. Of what there is by "lag", from the recorded layers to a value for each of their distances, from 0.
    limit_kind : str
        The kind of limit: at leading order in 1/n, or in depth.
    exists : callable
        From a network and the names of the quotients that were followed to True where the quantity exists.
    rows : tuple of int
        Which of the recorded layers a summary shows: 0 the first, -1 the last.
    headline : bool
        True for the columns of a sweep's short table.
    question : str
        The question that it answers on a sweep's page; empty if it only stands in tables.
    neutral : Neutral or None
    scaled : Scaled or None
        None where it is not known how the quantity tends to a limit.
    least : callable or None
        From `Entries` to the number of networks below which it has no error: `resmc.results.reliability` for moments.
    rare : bool
        True for means that rare networks rule, and which may have no error for that.
    tests_exact : bool
        True for distances from an exact law, which have a p-value.
    unit : str
        "1" for numbers; logarithms are natural.
    """

    name: str
    variable: str
    symbol: str
    label: str
    words: str
    sums: str
    estimate: Callable[[Entries], Estimate] | None = None
    per: str = "layer"
    exact: Theory = unknown
    limit: Theory = unknown
    second_order: Theory = unknown
    limit_kind: str = LEADING
    exists: Callable[[Lowered, frozenset[str]], bool] = lambda lowered, followed: True
    rows: tuple[int, ...] = (-1,)
    headline: bool = False
    question: str = ""
    neutral: Neutral | None = None
    scaled: Scaled | None = None
    least: Callable[[Entries], Floats] | None = None
    rare: bool = False
    analysis: str = ""
    tests_exact: bool = False
    unit: str = "1"

    def estimate_of(self, entries: Entries) -> Estimate:
        """Return the estimate of every entry; only for quantities that are estimated from sums."""
        assert self.estimate is not None
        return self.estimate(entries)

    @property
    def in_sweeps(self) -> bool:
        """True if the quantity is estimated from the sums of a simulation's end, which is what a sweep reads."""
        return self.estimate is not None

    @property
    def backward(self) -> bool:
        """True if the quantity ends at layer 0."""
        return self.sums in BACKWARD

    def end(self, depth: int) -> int:
        """Return the layer at which the quantity ends in a network of that depth."""
        return 0 if self.backward else depth

    def called(self, layer: int | str, letter: str = "h", depth: int | str = "d") -> str:
        """Return the symbol at ``layer`` of a network of this ``depth`` whose state is called ``letter``."""
        return self.symbol.format(v=letter, l=layer, d=depth)

    def labelled(self, layer: int | str = "d", letter: str = "h") -> str:
        """Return the label at ``layer`` of a network whose state is called ``letter``."""
        return self.label.replace("{v}", letter).replace("{l}", f"{{{layer}}}").replace("{d}", "d")

    def described(self, layer: int | str, letter: str = "h", depth: int | str = "d") -> str:
        """Return the words at ``layer`` of a network of this ``depth`` whose state is called ``letter``."""
        return self.words.format(v=letter, l=layer, d=depth)

    @property
    def long_name(self) -> str:
        """The words, as attributes of data sets have them."""
        return self.described("l")

    def predictions(self, facts: Facts, layers: Integers) -> Predictions:
        """Return the theory at ``layers``; of what there is by "lag", at the distances of two of them."""
        return Predictions(*(theory(facts, layers) for theory in (self.exact, self.limit, self.second_order)))

    def exact_value(self, facts: Facts) -> float:
        """Return the exact value at the end; NaN where it is not known."""
        return self._at_end(self.exact, facts)

    def limit_value(self, facts: Facts) -> float:
        """Return the limit at the end; NaN where there is none."""
        return self._at_end(self.limit, facts)

    def second_order_value(self, facts: Facts) -> float:
        """Return the limit with the next order in 1/n at the end; NaN where it is not known."""
        return self._at_end(self.second_order, facts)

    def _at_end(self, theory: Theory, facts: Facts) -> float:
        return float(theory(facts, np.array([self.end(facts.model.depth)]))[0])


def letter(lowered: Lowered) -> str:
    """Return the letter of a network's state: z in the log-Gaussian spelling, h in the general one."""
    return "h" if isinstance(lowered.model, ResidualNetwork) else "z"
