"""Settings of a training, checked: the optimiser, its step sizes, and how long it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from ..._system import checks
from ..._system.plain import Plain
from ..._system.words import brief

OPTIMIZERS = ("sgd", "adam")
LOSSES = ("cross_entropy", "mean_square")
ENDS = ("trained", "fixed", "identity")
SCALES = ("fixed", "shared", "layers")
USUAL: dict[str, Any] = {"scales": "fixed", "start": 1.0}  # not written down, so that names of stored maps stay
MOST_RATES = 64
MOST_EPOCHS = 10**6


@dataclass(frozen=True)
class Settings:
    """How networks are trained, as `fit` says under the same names; the same settings and data give the same networks.

    ``learning_rate`` is a tuple of different numbers in increasing order, whatever list was given; ``standardise`` is
    True or False, where None was given: False with ``ends="identity"`` alone.

    Raises
    ------
    ValueError
        For a setting that is not allowed; the message names it, its value and what is allowed.
    """

    seed: int = 0
    learning_rate: float | Sequence[float] = 0.01
    rate_exponent: float = 0.0
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 10
    batch: int = 64
    step_epochs: int | None = None
    decay: float = 0.1
    loss: str | None = None
    ends: str = "trained"
    standardise: bool | None = None
    scales: str = "fixed"
    start: float = 1.0

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("seed", checks.integer("seed", self.seed, 0, 2**64 - 1, "2^64 - 1"))
        listed = np.ndim(self.learning_rate) if not isinstance(self.learning_rate, str | bytes) else 0
        rates = self.learning_rate if listed else [self.learning_rate]
        put("learning_rate", checks.increasing("learning_rate", rates, MOST_RATES))
        for rate in self.rates:
            checks.real("learning_rate", rate, positive=True)
        put("rate_exponent", checks.real("rate_exponent", self.rate_exponent))
        checks.choice("optimizer", self.optimizer, OPTIMIZERS)
        put("momentum", checks.real("momentum", self.momentum))
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum={self.momentum!r} is out of range: it must be from 0 to 1, excluding 1")
        if self.momentum and self.optimizer == "adam":
            raise ValueError(
                f"momentum={self.momentum!r} is not allowed with optimizer='adam': Adam has means of its own"
            )
        put("weight_decay", checks.real("weight_decay", self.weight_decay))
        if self.weight_decay < 0.0:
            raise ValueError(f"weight_decay={self.weight_decay!r} is out of range: it must be at least 0")
        put("epochs", checks.integer("epochs", self.epochs, 1, MOST_EPOCHS, "10^6"))
        put("batch", checks.integer("batch", self.batch, 1, 2**24, "2^24"))
        if self.step_epochs is not None:
            put("step_epochs", checks.integer("step_epochs", self.step_epochs, 1, MOST_EPOCHS, "10^6"))
        put("decay", checks.real("decay", self.decay, positive=True))
        if self.loss is not None:
            checks.choice("loss", self.loss, LOSSES)
        checks.choice("ends", self.ends, ENDS)
        checks.choice("scales", self.scales, SCALES)
        put("start", checks.real("start", self.start, positive=True))
        if self.standardise is None:
            put("standardise", self.ends != "identity")
        checks.boolean("standardise", self.standardise)

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates, different and in increasing order."""
        assert isinstance(self.learning_rate, tuple)
        return self.learning_rate

    @property
    def as_drawn(self) -> bool:
        """True if networks are at the start what their model says."""
        return self.scales != "layers" and self.start == 1.0

    def step_size(self, rate: float, depth: int) -> float:
        """Return rate depth^rate_exponent, the step size at the start.

        Raises
        ------
        ValueError
            If it is not among float32's positive numbers, in which networks are trained.
        """
        with np.errstate(over="ignore", under="ignore"):
            size = float(rate * np.float64(depth) ** self.rate_exponent)
        if not float(np.finfo(np.float32).tiny) <= size <= float(np.finfo(np.float32).max):
            raise ValueError(
                f"learning_rate={rate:g} with rate_exponent={self.rate_exponent:g} is not allowed: the step size is "
                f"{size:.3g} at depth {depth}, beyond the numbers of float32"
            )
        return size

    def to_dict(self) -> Plain:
        """Return the settings by name, as plain values; those of `USUAL` where they differ from it."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        named = {name: value for name, value in named.items() if name not in USUAL or value != USUAL[name]}
        return {**named, "learning_rate": list(self.rates)}

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` described; raises TypeError or ValueError for what is none."""
        return cls(**described)

    def words(self) -> str:
        """Return the settings in a line."""
        rates = f"{self.rates[0]:g}" if len(self.rates) == 1 else f"{self.rates[0]:g} .. {self.rates[-1]:g}"
        parts = [f"{'SGD' if self.optimizer == 'sgd' else 'Adam'}, learning rate {rates}"]
        if self.rate_exponent:
            parts[0] += f" L^{self.rate_exponent:g}"
        if self.scales != "fixed":
            parts.append("one factor s trained" if self.scales == "shared" else "factors s_k trained")
        if self.start != 1.0:
            parts.append(f"weights times {self.start:g} at the start")
        if self.momentum:
            parts.append(f"momentum {self.momentum:g}")
        if self.weight_decay:
            parts.append(f"weight decay {self.weight_decay:g}")
        if self.step_epochs is not None:
            parts.append(f"times {self.decay:g} every {self.step_epochs} epochs")
        return ", ".join([*parts, f"batch {self.batch}, {self.epochs} epochs"])


def differences(new: Mapping[str, Any], old: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the names whose values differ, each with both values: what is asked for, and what was there before."""
    names = [*new, *(name for name in old if name not in new)]
    return [
        f"{prefix}{name}={brief(new.get(name))}, where it was {brief(old.get(name))}"
        for name in names
        if new.get(name) != old.get(name)
    ]
