"""Norms: layer, rms and batch norm, where they act in a layer, and what is known of them, in one table.

::

    layer      N x = (x - mean x)/sqrt(var x + eps)       var x = |x - mean x|^2/n
    rms        N x = x/sqrt(|x|^2/n + eps)
    batch      N x^a = (x^a - mean_b x^b)/sqrt(var_b x^b + eps)    of each neuron, over m inputs of one network
    all        N 0 = 0, also where eps is 0

Sources: Ba, Kiros, Hinton (arXiv 1607.06450), equations 3 and 4; Zhang, Sennrich (arXiv 1910.07467), equation 4;
Ioffe, Szegedy (arXiv 1502.03167), algorithm 1; the
places are those of Xiong et al. (arXiv 2002.04745), figure 1 (pre and post), and Ding et al. (arXiv 2105.13290),
section 2.5 (sandwich).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief

Floats = NDArray[np.float64]
EPS = 1e-5  # torch's default of LayerNorm
RANGE = 2.0**20  # with a norm, sizes beyond it or below its inverse could leave the range of the kernels' squares


@dataclass(frozen=True)
class Norm:
    """A norm, y = N x for the last axis of x; methods are those of norms of one input.

    Attributes
    ----------
    number : int
        The number by which the kernels know it.
    centred : bool
        True if the mean is taken away first.
    over_inputs : bool
        True if it acts on every neuron over the inputs.
    """

    number: int
    centred: bool
    over_inputs: bool = False

    def factor(self, x: Floats, eps: float) -> Floats:
        """Return 1/sqrt(var x + eps), or of the mean square, with a last axis of 1; 0 where that is 1/0."""
        size = np.mean(np.square(self.around(x)), axis=-1, keepdims=True) + eps
        return np.where(size > 0.0, 1.0 / np.sqrt(np.where(size > 0.0, size, 1.0)), 0.0)

    def value(self, x: Floats, eps: float) -> Floats:
        """Return N x."""
        return self.factor(x, eps) * self.around(x)

    def pulled(self, x: Floats, v: Floats, eps: float) -> Floats:
        """Return J v = factor (v - mean v - y (y.v)/n) with the Jacobian J of N at x, which is symmetric; y = N x."""
        y = self.value(x, eps)
        along = np.mean(y * v, axis=-1, keepdims=True)
        return np.asarray(self.factor(x, eps) * (self.around(v) - y * along))

    def torch(self, torch: Any, x: Any, eps: float) -> Any:
        """Return N x of a tensor."""
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        size = x.square().mean(-1, keepdim=True) + eps
        return torch.where(size > 0.0, torch.where(size > 0.0, size, 1.0).rsqrt(), 0.0) * x

    def around(self, x: Floats) -> Floats:
        """Return x less its mean where that is taken away."""
        return x - np.mean(x, axis=-1, keepdims=True) if self.centred else x


@dataclass(frozen=True)
class Place:
    """Where a norm acts: on what a branch meets, on what it gives (before the scaling), on the sum with the skip.

    ``formula`` is h_{k+1} in words of ResidualNetwork's formulas, f being the branch without its scaling.
    """

    formula: str
    before: bool = False
    branch: bool = False
    after: bool = False


NORMS: dict[str, Norm] = {"layer": Norm(1, True), "rms": Norm(2, False), "batch": Norm(3, False, True)}
PLACES: dict[str, Place] = {
    "pre": Place("carry h + s f(N h)", before=True),
    "branch": Place("carry h + s N(f(h))", branch=True),
    "sandwich": Place("carry h + s N(f(N h))", before=True, branch=True),
    "post": Place("N(carry h + s f(h))", after=True),
}
NOWHERE = Place("carry h + s f(h)")


def checked_norm(given: Any) -> str | None:
    """Return the name of a norm, or None.

    Raises
    ------
    ValueError
        If it is another.
    """
    if given is not None:
        return checks.choice("norm", given, tuple(NORMS))
    return None


def check_norm(model: Any) -> None:
    """Refuse a place and an eps that a network's norm cannot have, and a network that cannot have the norm."""
    checks.choice("norm_at", model.norm_at, tuple(PLACES))
    if model.norm is None:
        if (model.norm_at, model.eps) != ("pre", EPS):
            raise ValueError(
                f"norm_at={model.norm_at!r} and eps={model.eps!r} are not allowed with norm=None: they say how a norm "
                "acts; give norm='layer', 'rms' or 'batch', or leave them out"
            )
        return
    if model.eps != 0.0 and not 2.0**-60 <= model.eps <= 1.0:
        raise ValueError(f"eps={model.eps!r} is not allowed: it must be 0, or from 2^-60 to 1")
    if NORMS[model.norm].centred and model.width == 1:
        raise ValueError(f"width=1 is not allowed with norm={model.norm!r}: a layer less its mean would be 0")
    if model.eps == 0.0 and model.law == "rademacher":
        raise ValueError(
            "eps=0.0 is not allowed with weights of +-1: their sums are 0 by chance, and what rounding leaves of them "
            "would be made large; give an eps above 0"
        )
    sizes = [("scaling", abs(s)) for s in set(model.scales.tolist())]
    for name, size in [*sizes, ("bias", model.bias), ("carry", abs(model.carry)), ("an input of size", model.size)]:
        if size and not 1.0 / RANGE <= size <= RANGE:
            raise ValueError(
                f"{name}={size!r} is out of range with norm={model.norm!r}: its size must be 0, or from 2^-20 to 2^20"
            )


def norm_in_words(model: Any) -> str:
    """Return a network's norm in a few words, such as "layer norm (pre)"."""
    eps = "" if model.eps == EPS else f", eps {model.eps:.6g}"
    return f"{model.norm} norm ({model.norm_at}{eps})"


# Where there is no network with a norm, and why, as `refuse_norm` says them.
TRAINING = ("in training", "passes by hand have none")
DEPTH = ("where one network has every depth", "no limit in depth is derived for it")
GRAM_CHAIN = ("in gram_chain", "a norm is no function of a Gram matrix")
PAIR = ("in two_inputs", "its average over two inputs is of networks without one")
HEAT_MAP = ("in a heat map", "its exponents are those of networks that keep their units")
POPULATIONS = ("in populations that are resampled", "no norm of theirs grows exponentially with the depth")


def refuse_norm(model: Any, where: str, why: str) -> None:
    """Refuse a network with a norm by a ValueError that says ``where`` it is not allowed, and ``why``."""
    norm = getattr(model, "norm", None)
    if norm is not None:
        raise ValueError(f"norm={norm!r} is not allowed {where}: {why}; it must be None")


def refuse_batch(model: Any, where: str = "with one input") -> None:
    """Refuse a batch norm where there are no several inputs."""
    if getattr(model, "norm", None) == "batch":
        raise ValueError(
            f"norm='batch' is not allowed {where}: it has means over several inputs of one network; simulate it with "
            "gram, inputs or angle, or use 'layer' or 'rms'"
        )


def check_joint(model: Any, inputs: int, tangents: int, kernel: bool) -> None:
    """Refuse what several inputs or tangents do not have with a norm."""
    norm = getattr(model, "norm", None)
    if norm is None:
        return
    if norm == "batch" and inputs == 1:
        refuse_batch(model)
    if norm == "batch" and tangents:
        raise ValueError(
            f"tangents={tangents} are not allowed with norm='batch': what moves one input moves the states of all, so "
            "that tangents are not those of input 0 alone; use 'layer' or 'rms'"
        )
    if norm == "batch" and kernel:
        raise ValueError(
            "tangent_kernel=True is not allowed with norm='batch': every output depends on all inputs there, so that "
            "the kernel takes the gradients of every output with respect to all of them; gradients=True follows those "
            "of one output, or use 'layer' or 'rms'"
        )


def no_norm(model: Any, what: str) -> str | None:
    """Return why theory has nothing of a network with a norm, in a sentence, or None where it has no norm."""
    return None if model.norm is None else f"norm={brief(model.norm)} has no {what} here: it must be None"
