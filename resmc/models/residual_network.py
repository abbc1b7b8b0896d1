"""The description of any random residual network: block, activation, scaling with depth, law of the weights.

Sources: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), equations of the models res-1 and res-3; Cont, Rossier, Xu
(arXiv 2212.08199), section 2; Li, Nica, Roy 2021 (arXiv 2106.04013), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .activations import ACTIVATIONS, Activation
from .resnet import MAX_DEPTH, MAX_WIDTH, SQRT2, ResNet, lam_of_scale

if TYPE_CHECKING:
    import torch

BLOCKS = ("phi-in", "phi-out", "v-phi-w")
WEIGHTS = ("gaussian", "uniform", "rademacher")
MAX_INPUTS = 1 << 17
SCALE_RANGE = 2.0**40  # beyond it, a layer could leave the range of the kernels' arithmetic
NORM_RANGE = 2.0**50


@dataclass(frozen=True)
class DepthScaling:
    """How branches shrink with the depth L: s = c L^(-beta) in every layer.

    Parameters
    ----------
    beta : float
        Exponent. 1/2 is the only non-trivial one for independent weights (Marion et al., arXiv 2206.06929).
    c : float
        Factor, finite and not 0.
    inside : bool
        False: s multiplies the branch. True: what enters the activation, as in Cont, Rossier, Xu (arXiv 2212.08199);
        for block="phi-out" alone.

    Raises
    ------
    ValueError
        For anything outside these ranges.
    """

    beta: float
    c: float = 1.0
    inside: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", checks.real("beta", self.beta))
        object.__setattr__(self, "c", checks.real("c", self.c))
        if self.c == 0.0:
            raise ValueError("c=0.0 is not allowed: no layer would do anything")
        checks.boolean("inside", self.inside)

    def at(self, depth: int) -> float:
        """c depth^(-beta)."""
        return self.c if self.beta == 0.0 else self.c * float(depth) ** -self.beta


@dataclass(frozen=True)
class ResidualNetwork:
    r"""A residual network at initialisation, with independent weights.

    .. code-block:: text

        phi-in       h_{k+1} = carry h_k + s_k (V_k sigma(h_k) + b_k)
        phi-out      h_{k+1} = carry h_k + s_k sigma(W_k h_k + b_k)            scaling outside
                     h_{k+1} = carry h_k + sigma(s_k (W_k h_k + b_k))          scaling inside
        v-phi-w      h_{k+1} = carry h_k + s_k V_k sigma(W_k h_k + b_k)        k = 0 .. depth-1

        h_out = W_out h_depth                                                  in R^n_out

    V_k, W_k, W_out are independent with mean 0 and variance 1/width, b_k Gaussian with standard deviation ``bias``.
    The gradient p_k is that of one output: p_depth is a row of W_out, p_k = (dh_{k+1}/dh_k)^T p_{k+1}.

    Parameters
    ----------
    width : int
        Neurons per layer, n: 1 to 2^24 (2^17 with ``method="dense"``).
    depth : int
        Residual layers, L: 1 to 2^20 - 1.
    block : {"phi-in", "phi-out", "v-phi-w"}
    activation : str
        A name of `resmc.models.activations.ACTIVATIONS`: relu, balanced, balanced-half, leaky_relu, tanh, sigmoid,
        gelu, softplus, linear.
    carry : float
        Weight of the skip; 1 in the papers on depth, alpha in the log-Gaussian one.
    scaling : DepthScaling, or array of ``depth`` floats
        s_k, the same in all layers or one by one.
    weights : {"gaussian", "uniform", "rademacher"}
        Law of the matrices, all of variance 1/width: Gaussian, uniform on +-sqrt(3/width), +-1/sqrt(width). Only
        Gaussian ones can be simulated by the projected method.
    bias : float
        Standard deviation of b_k, at least 0.
    n_in : int, optional
        Length of ``input``; it need not be given.
    n_out : int
        Output neurons, 1 to 2^17.
    input_norm : float
        \|x\|/sqrt(n_in) > 0: h_0 = input_norm N(0, I), unless there is an ``input``.
    input : sequence of float, optional
        The input x, not all 0: h_0 = A x, the entries of A of the law of the weights and variance 1/n_in. With
        Gaussian weights it enters through its norm alone.

    Raises
    ------
    ValueError
        For anything outside these ranges; the message names the argument, its value and what is allowed.
    """

    width: int
    depth: int
    block: str = "phi-in"
    activation: str = "relu"
    carry: float = 1.0
    scaling: DepthScaling | tuple[float, ...] = DepthScaling(0.5)
    weights: str = "gaussian"
    bias: float = 0.0
    n_in: int | None = None
    n_out: int = 1
    input_norm: float = 1.0
    input: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("width", checks.integer("width", self.width, 1, MAX_WIDTH, "2^24"))
        put("depth", checks.integer("depth", self.depth, 1, MAX_DEPTH, "2^20 - 1"))
        checks.choice("block", self.block, BLOCKS)
        checks.choice("activation", self.activation, tuple(ACTIVATIONS))
        if self.activation == "balanced-half" and self.width % 2:
            raise ValueError(f"width={self.width} is not allowed with activation='balanced-half': it must be even")
        put("carry", checks.real("carry", self.carry))
        put("scaling", self._scaling(self.scaling))
        checks.choice("weights", self.weights, WEIGHTS)
        put("bias", checks.real("bias", self.bias))
        if self.bias < 0.0:
            raise ValueError(f"bias={self.bias!r} is not allowed: it is a standard deviation, at least 0")
        put("n_out", checks.integer("n_out", self.n_out, 1, 1 << 17, "2^17"))
        put("input_norm", checks.real("input_norm", self.input_norm, positive=True))
        if self.input is not None:
            put("input", self._input(self.input))
        n_in = 1 if self.input is None else len(self.input)
        if self.n_in is not None:
            put("n_in", checks.integer("n_in", self.n_in, 1, MAX_INPUTS, "2^17"))
            if self.n_in != n_in:
                given = "there is no input" if self.input is None else f"input has {n_in} entries"
                raise ValueError(f"n_in={self.n_in} is not allowed: {given}")
        put("n_in", n_in)
        self._check_range()

    def _scaling(self, given: Any) -> DepthScaling | tuple[float, ...]:
        if isinstance(given, DepthScaling):
            if given.inside and self.block != "phi-out":
                raise ValueError(f"scaling inside is not allowed with block={self.block!r}: only with 'phi-out'")
            size = given.at(self.depth)
            if not math.isfinite(size) or size == 0.0:
                raise ValueError(f"scaling={given!r} is not allowed: c depth^(-beta) is {size} at depth={self.depth}")
            return given
        if isinstance(given, str | bytes | Mapping | Set):
            raise ValueError(
                f"scaling={given!r} is not allowed: it must be a DepthScaling, or one number for each layer"
            )
        try:
            values = tuple(checks.real("scaling", x) for x in np.asarray(given).tolist())
        except (TypeError, ValueError) as error:
            if str(error).startswith("scaling="):
                raise
            raise ValueError(
                f"scaling={given!r} is not allowed: it must be a DepthScaling, or one number for each layer"
            ) from None
        if len(values) != self.depth:
            raise ValueError(
                f"scaling has {len(values)} entries: it must have one for each of depth={self.depth} layers"
            )
        if not any(values) and self.carry == 0.0:
            raise ValueError("carry=0.0 and scaling 0 in every layer are not allowed together: all would be zero")
        return values

    @staticmethod
    def _input(given: Any) -> tuple[float, ...]:
        try:
            array = np.asarray(given, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"input={given!r} is not allowed: it must be an array of numbers") from None
        if array.ndim != 1 or not 1 <= array.size <= MAX_INPUTS:
            raise ValueError(f"input of shape {array.shape} is not allowed: it must be a vector of 1 to 2^17 numbers")
        if not np.isfinite(array).all() or not array.any():
            raise ValueError("input is not allowed to hold infinite numbers or NaN, or nothing but 0")
        return tuple(array.tolist())

    def _check_range(self) -> None:
        """The kernels' units have bounds; a `ResNet` has its own, and a homogeneous network an input of any size."""
        if self.as_resnet is not None:
            return
        sizes = [("scaling", abs(s)) for s in set(self.scales.tolist())]
        for name, size in [*sizes, ("bias", self.bias), ("carry", abs(self.carry))]:
            if size and not 1.0 / SCALE_RANGE <= size <= SCALE_RANGE:
                raise ValueError(f"{name}={size!r} is out of range: its size must be 0, or from 2^-40 to 2^40")
        if not self.homogeneous and not 1.0 / NORM_RANGE <= self.size <= NORM_RANGE:
            raise ValueError(
                f"an input of size {self.size!r} is out of range with activation={self.activation!r} and "
                f"bias={self.bias!r}, whose networks cannot be rescaled: it must be from 2^-50 to 2^50"
            )

    @property
    def sigma(self) -> Activation:
        """The activation, its slope and what is known of it."""
        return ACTIVATIONS[self.activation]

    @property
    def homogeneous(self) -> bool:
        """Whether c h_0 gives c h_k for every c > 0."""
        return self.sigma.homogeneous and self.bias == 0.0

    @property
    def has_asymmetry(self) -> bool:
        """Whether A and the active fraction are defined: rectifiers that act on the layers themselves."""
        return self.block == "phi-in" and self.activation in RESNET_ACTIVATIONS

    @property
    def inside(self) -> bool:
        """Whether s_k multiplies what enters the activation."""
        return isinstance(self.scaling, DepthScaling) and self.scaling.inside

    @cached_property
    def scales(self) -> NDArray[np.float64]:
        """s_k of every layer, (depth,)."""
        if isinstance(self.scaling, DepthScaling):
            return np.full(self.depth, self.scaling.at(self.depth))
        return np.array(self.scaling)

    @property
    def size(self) -> float:
        """|x|/sqrt(n_in), the standard deviation of an entry of h_0."""
        if self.input is None:
            return self.input_norm
        return math.hypot(*self.input) / math.sqrt(len(self.input))

    @property
    def ratio(self) -> float:
        """depth / width."""
        return self.depth / self.width

    @property
    def title(self) -> str:
        """The network in a line."""
        scaling = "by layer"
        if isinstance(self.scaling, DepthScaling):
            inside = ", inside" if self.scaling.inside else ""
            scaling = f"{self.scaling.c:.6g} L^-{self.scaling.beta:.6g}{inside}"
        rest = f"  carry {self.carry:.6g}" * (self.carry != 1.0) + f"  bias {self.bias:.6g}" * (self.bias > 0.0)
        return (
            f"{self.block} {self.activation} residual network  width {self.width}  depth {self.depth}  "
            f"scaling {scaling}  {self.weights} weights{rest}"
        )

    @property
    def short_title(self) -> str:
        """A few words for a progress bar."""
        return f"{self.block} {self.activation} {self.width}x{self.depth}"

    def to_dict(self) -> dict[str, Any]:
        """The fields, in order, as plain values: the canonical description."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        if isinstance(self.scaling, DepthScaling):
            out["scaling"] = {f.name: getattr(self.scaling, f.name) for f in fields(self.scaling)}
        else:
            out["scaling"] = list(self.scaling)
        out["input"] = None if self.input is None else list(self.input)
        return out

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> ResidualNetwork:
        """The inverse of `to_dict`."""
        given = dict(described)
        if isinstance(given["scaling"], Mapping):
            given["scaling"] = DepthScaling(**given["scaling"])
        return ResidualNetwork(**given)

    @cached_property
    def as_resnet(self) -> ResNet | None:
        """The same network as a `ResNet` (alpha = carry, lam = s/sqrt(2)), or None where that cannot say it."""
        said = self.activation in RESNET_ACTIVATIONS and self.block == "phi-in" and self.weights == "gaussian"
        if not said or self.bias > 0.0 or len(set(self.scales.tolist())) > 1:
            return None
        lam, variant = lam_of_scale(float(self.scales[0])), RESNET_ACTIVATIONS[self.activation]
        return ResNet(self.width, self.depth, self.carry, lam, variant, self.n_out, self.size)

    def to_torch(self, seed: int = 0, network: int = 0) -> torch.nn.Module:
        """The network number ``network`` of ``seed`` with explicit weights; see `resmc.torch_module`."""
        from ..torch_module import explicit_residual_network

        return explicit_residual_network(self, seed=seed, network=network)


RESNET_ACTIVATIONS = {"relu": "vanilla", "balanced": "balanced", "balanced-half": "balanced-half"}
VARIANT_ACTIVATIONS = {variant: name for name, variant in RESNET_ACTIVATIONS.items()}


Model = ResNet | ResidualNetwork


def of_resnet(model: ResNet) -> ResidualNetwork:
    """A `ResNet` in the general spelling: phi-in, carry = alpha, s = sqrt(2) lam."""
    scaling = DepthScaling(0.0, SQRT2 * model.lam) if model.lam else (0.0,) * model.depth
    return ResidualNetwork(
        model.width, model.depth, "phi-in", VARIANT_ACTIVATIONS[model.variant], model.alpha, scaling,
        n_out=model.n_out, input_norm=model.input_norm,
    )  # fmt: skip
