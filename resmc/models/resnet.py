"""The log-Gaussian network: a random ReLU residual network (Li, Nica, Roy 2021, arXiv 2106.04013, section 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from .._system import checks
from .._system.plain import Plain
from .activation_record import ActivationRecord
from .activations import ACTIVATIONS
from .blocks import BLOCKS, Block
from .inputs import Inputs
from .layer_widths import MAX_WIDTH
from .network import Network
from .weight_law import WEIGHTS, WeightLaw

VARIANT_ACTIVATIONS = {"vanilla": "relu", "balanced": "balanced", "balanced-half": "balanced-half"}
VARIANTS = tuple(VARIANT_ACTIVATIONS)

SQRT2 = math.sqrt(2.0)
MAX_DEPTH = (1 << 20) - 1  # the layer index has 20 bits of a counter word
MAX_QUOTIENT_EXPONENT = 2000  # a 32-bit exponent counts scales down to 2^-2000 per layer, over 2^20 layers
MAX_WIDTH_DENSE = 1 << 17  # a dense weight's flat index i n + j has 34 bits: 32 of quads, 2 of outputs


@dataclass(frozen=True, repr=False)
class ResNet(Network):
    """A ReLU residual network at initialisation, with i.i.d. standard Gaussian weights.

    .. code-block:: text

        z_0     = W_in x / sqrt(n_in)                                  in R^width
        z_{l+1} = alpha z_l + lam sqrt(2/width) W_l phi_l(z_l)         l = 0 .. depth-1
        z_out   = W_out z_depth / sqrt(width)                          in R^n_out

    The input enters only through ``input_norm`` = |x|/sqrt(n_in).

    Parameters
    ----------
    width : int
        Neurons per layer, n: 1 to 2^24 (2^17 with ``method="dense"``).
    depth : int
        Residual layers, d: 1 to 2^20 - 1.
    alpha, lam : float
        Weight of the skip and of the residual branch. Finite, not both zero; alpha may be negative.
    variant : {"vanilla", "balanced", "balanced-half"}
        ``vanilla``: phi_l = ReLU. ``balanced``: phi_l(z)_i = ReLU(s_{l,i} z_i) with independent fair signs s drawn per
        network, layer and neuron. ``balanced-half`` (even width): exactly width/2 plus signs in each layer, neurons
        2j and 2j+1 holding one plus and one minus in random order.
    n_out : int
        Output neurons, 1 to 2^17.
    input_norm : float
        |x|/sqrt(n_in) > 0.

    Raises
    ------
    ValueError
        For anything outside these ranges; the message names the argument, its value and what is allowed.
    """

    width: int
    depth: int
    alpha: float
    lam: float
    variant: str = "vanilla"
    n_out: int = 1
    input_norm: float = 1.0

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("width", checks.integer("width", self.width, 1, MAX_WIDTH, "2^24"))
        put("depth", checks.integer("depth", self.depth, 1, MAX_DEPTH, "2^20 - 1"))
        put("alpha", checks.real("alpha", self.alpha))
        put("lam", checks.real("lam", self.lam))
        if self.alpha == 0.0 and self.lam == 0.0:
            raise ValueError("alpha=0.0 and lam=0.0 are not allowed together: every layer would be zero")
        powers = [math.frexp(x)[1] for x in (self.alpha, self.lam) if x != 0.0]
        if max(powers) - min(powers) > MAX_QUOTIENT_EXPONENT:
            small, large = sorted(("alpha", "lam"), key=lambda name: abs(getattr(self, name)))
            raise ValueError(
                f"{small}={getattr(self, small)!r} is too small beside {large}={getattr(self, large)!r}: "
                f"it must be 0 or at least 2^-{MAX_QUOTIENT_EXPONENT} times as large"
            )
        put("variant", checks.choice("variant", self.variant, VARIANTS))
        if self.sigma.half and self.width % 2:
            raise ValueError(f"width={self.width} is not allowed with variant={self.variant!r}: it must be even")
        put("n_out", checks.integer("n_out", self.n_out, 1, 1 << 17, "2^17"))
        put("input_norm", checks.real("input_norm", self.input_norm, positive=True))

    @property
    def sigma(self) -> ActivationRecord:
        """The variant's activation: ReLU, with signs or without."""
        return ACTIVATIONS[VARIANT_ACTIVATIONS[self.variant]]

    @property
    def residual_block(self) -> Block:
        """The block phi-in, the only one that a `ResNet` has."""
        return BLOCKS["phi-in"]

    @property
    def weight_law(self) -> WeightLaw:
        """The weight law, which is Gaussian."""
        return WEIGHTS["gaussian"]

    @property
    def inputs(self) -> Inputs:
        """The input, which enters through its norm alone."""
        return Inputs((self.input_norm,), explicit=False)

    @property
    def signed(self) -> bool:
        """True if neurons have random signs: every variant but vanilla."""
        return self.sigma.signed

    @property
    def log_scale(self) -> float:
        """log(alpha^2 + lam^2), which every layer adds to the log-norm of the normalised network."""
        largest = max(abs(self.alpha), abs(self.lam))  # divided out, so that hypot neither over- nor underflows
        return 2.0 * (math.log(largest) + math.log(math.hypot(self.alpha / largest, self.lam / largest)))

    @property
    def normalised(self) -> tuple[float, float]:
        """(alpha, lam) / sqrt(alpha^2 + lam^2): ReLU is positively homogeneous, so only a scale is lost."""
        largest = max(abs(self.alpha), abs(self.lam))
        alpha, lam = self.alpha / largest, self.lam / largest
        size = math.hypot(alpha, lam)
        return alpha / size, lam / size

    def log_norm_offset(self, layer: int) -> float:
        """Return l log s + 2 log input_norm, which the normalised network of unit input lacks at ``layer``."""
        return layer * self.log_scale + 2.0 * math.log(self.input_norm)

    @cached_property
    def as_resnet(self) -> ResNet:
        """The network with the lam that `resmc.ResidualNetwork` gives it: the same bits in either spelling."""
        lam = lam_of_scale(SQRT2 * self.lam)
        return self if lam == self.lam else replace(self, lam=lam)

    @property
    def title(self) -> str:
        """The network in a line."""
        return (
            f"{self.variant} ResNet  width {self.width}  depth {self.depth}  d/n {self.ratio:.4g}  "
            f"alpha {self.alpha:.6g}  lam {self.lam:.6g}"
        )

    @property
    def short_title(self) -> str:
        """A few words for a progress bar."""
        return f"{self.variant} {self.width}x{self.depth}"

    def to_dict(self) -> Plain:
        """Return the fields, in order, as plain values: the canonical description."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(ResNet))


def lam_of_scale(scale: float) -> float:
    """Return the lam with sqrt(2) lam = scale in float64; where several floats have it, the shortest one to write."""
    near = scale / SQRT2
    found = [near]
    for direction in (-math.inf, math.inf):
        x = near
        for _ in range(2):
            x = math.nextafter(x, direction)
            found.append(x)
    exact = sorted(x for x in found if SQRT2 * x == scale)
    return min(exact, key=lambda x: len(repr(x)), default=near)
