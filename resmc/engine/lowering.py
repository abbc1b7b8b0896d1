"""From a model to what the kernels take, in float32, and back: decided once for each network, in `Lowered`.

What a `ResNet` can say is normalised: alpha^2 + lam^2 = 1, unit input. Any other network keeps its own units, but for
the size of its input where that only rescales it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..models.activation_record import ActivationRecord
from ..models.activations import ACTIVATIONS
from ..models.dropout import WORDS, kept_below, kept_factor
from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import VARIANTS, ResNet
from ..models.spelling import general, log_gaussian
from ..models.user_law import QuantileLaw
from ..models.weight_law import WEIGHTS

if TYPE_CHECKING:
    from ..theory.facts import Facts

Floats = NDArray[np.float64]

SEGMENT_BYTES = 1 << 19  # layers that a pack of networks keeps for the backward pass: a cache should hold them
LARGEST_PACK_BYTES = 128
KEEP_RANGE = 100.0  # powers of two between the units of two neighbouring layers
QUOTIENTS = ("growth", "displacement", "gradient", "gradient_displacement")
CHANGES = ("displacement", "gradient_displacement")  # quotients of differences between layers
BACKWARD = ("gradient", "gradient_displacement")  # quotients whose final value is that of layer 0
MEAN_SQUARE = "mean_square"  # sums of |h_l|^2/n itself: no quotient, but kept and merged as one


@dataclass(frozen=True)
class KernelNetwork:
    """A network as the log-Gaussian kernels take it: csrc/include/resmc/description.hpp."""

    width: int
    depth: int
    n_out: int
    carry: float
    carry_mantissa: float
    carry_exponent: int
    step: float
    readout: float

    @property
    def quotients(self) -> tuple[str, ...]:
        """Names of the quotients that the kernels follow: these follow h alone."""
        return ()


@dataclass(frozen=True, eq=False)
class KernelResidual(KernelNetwork):
    """A network as the general kernels take it: any block, by layers, backwards with ``gradients``."""

    block: int
    inner: int  # neurons that the activation acts on: of a branch of two matrices, else of a layer
    activation: int
    above: float  # the activation's parameters, and its table
    below: float
    fine: int
    octaves: int
    kinks_above: int
    kinks_below: int
    weight_law: int
    weight_fine: int  # cells of its table, where it is one: 0 elsewhere
    homogeneous: bool
    grounded: bool
    inside: bool
    gradients: bool
    segment: int  # layers that are kept at a time for the backward pass
    n_in: int
    bias: float
    bias_square: float
    bias_law: int
    kept_below: int  # dropout keeps neurons whose word is below it; 0 without dropout
    kept_factor: float
    norm: int  # 0 without one
    norm_before: bool
    norm_branch: bool
    norm_after: bool
    norm_eps: float
    size: float
    keep: float
    steps: NDArray[np.float32] = field(repr=False)
    input: NDArray[np.float32] = field(repr=False)
    table: NDArray[np.float32] = field(repr=False)
    weight_table: NDArray[np.float32] = field(repr=False)
    widths: NDArray[np.uint32] = field(repr=False)  # neurons of layers 0 to depth; empty where all have ``width``

    @property
    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Arrays that the kernels read, of those that there are."""
        named = {"steps": self.steps, "input": self.input, "table": self.table}
        return {name: array for name, array in named.items() if name == "steps" or len(array)}

    @property
    def quotients(self) -> tuple[str, ...]:
        """Names of the quotients |v_l|^2/|start|^2 that the kernels follow."""
        return QUOTIENTS if self.gradients else QUOTIENTS[:2]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A network as the engine sees it, however it was spelled; made by `lower`.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
        As it was spelled.
    log_gaussian : ResNet or None
        The same network as a `ResNet`, for which there are kernels of its own; None where no `ResNet` is it.
    """

    model: Model
    log_gaussian: ResNet | None

    def __reduce__(self) -> tuple[Any, ...]:
        return lower, (self.model,)  # a pickle holds the model alone, from which all else is computed

    # -- what the network can

    @cached_property
    def general(self) -> ResidualNetwork:
        """A `ResidualNetwork` that is this network."""
        return general(self.model)

    @cached_property
    def facts(self) -> Facts:
        """Exact values, limits and symmetries that theory knows of the network."""
        from ..theory.facts import facts  # imports SciPy's functions, which a simulation does without

        return facts(self.model)

    @property
    def has_asymmetry(self) -> bool:
        """True if A and the active fraction exist: rectifiers that act on the layers themselves (phi-in)."""
        return self.model.has_asymmetry

    @property
    def can_die(self) -> bool:
        """True if z_l = 0 exactly has a positive probability that the kernels must count: a `ResNet` without a skip."""
        return self.log_gaussian is not None and self.log_gaussian.alpha == 0.0

    @property
    def follows_displacement(self) -> bool:
        """True if displacements are followed unless one says otherwise: in the general spelling, with one width."""
        return isinstance(self.model, ResidualNetwork) and self.has_displacement

    @property
    def has_displacement(self) -> bool:
        """True if h_l - h_0 has a meaning: where all layers have one width."""
        return self.model.widths is None

    @property
    def follows_mean_square(self) -> bool:
        """True if |h_l|^2/|h_0|^2 depends on |h_0|, so that E|h_l|^2 needs sums of its own.

        A homogeneous network is its own multiple for every multiple of h_0, and the size of a Gaussian h_0 is
        independent of its direction.
        """
        return not (self.homogeneous and not self.model.inputs.explicit)

    @property
    def homogeneous(self) -> bool:
        """True if c h_0 gives c h_l for every c > 0."""
        return self.log_gaussian is not None or self.general.homogeneous

    def quotients(self, gradients: bool, displacement: bool) -> tuple[str, ...]:
        """Names of the quotients that are followed; networks that are no `ResNet` have the first two in any case."""
        if self.log_gaussian is not None and not (gradients or displacement):
            return ()
        followed = QUOTIENTS if gradients else QUOTIENTS[:2]
        return followed if self.has_displacement else tuple(name for name in followed if name not in CHANGES)

    def sums_of(self, gradients: bool, displacement: bool) -> tuple[str, ...]:
        """Names of all that has sums of its own besides h, and of "growth" where its final values are kept."""
        quotients = self.quotients(gradients, displacement)
        return (*quotients, MEAN_SQUARE) if self.follows_mean_square else quotients

    @property
    def independent(self) -> bool:
        """True if layers are independent of each other."""
        return self.log_gaussian is not None or self.general.independent

    @property
    def exact_method(self) -> str:
        """The method that ``method="auto"`` stands for: projected where that has the networks' law, else dense."""
        return "projected" if self.general.projected else "dense"

    @property
    def variant(self) -> int:
        """The kernels' number of the variant; the general kernels take none."""
        return 0 if self.log_gaussian is None else VARIANTS.index(self.log_gaussian.variant)

    @property
    def law(self) -> str | QuantileLaw:
        """The weight law as it is spelled."""
        return "gaussian" if self.log_gaussian is not None else self.general.law

    @cached_property
    def network(self) -> KernelNetwork:
        """The network as the log-Gaussian kernels take it.

        Raises
        ------
        ValueError
            If no `ResNet` is this network.
        """
        if self.log_gaussian is None:
            raise ValueError(f"{brief(self.model)} has no kernels of its own: no ResNet is this network")
        return _network(self.log_gaussian)

    def kernel(self, gradients: bool, displacement: bool) -> KernelNetwork:
        """The network as its kernels take it: log-Gaussian ones if nothing but h is followed, else the general ones.

        Raises
        ------
        ValueError
            If the general kernels are wanted for a `ResNet` whose layers differ in size by more than 2^100.
        """
        if self.log_gaussian is None:
            return self.in_own_units(gradients)
        if gradients or displacement:
            return self._residual_of_resnet(self.log_gaussian, gradients)
        return self.network

    def in_own_units(self, gradients: bool) -> KernelResidual:
        """The network as the general kernels take it without any normalisation: carry and scales are the model's."""
        return _residual(self.general, gradients)

    def _residual_of_resnet(self, resnet: ResNet, gradients: bool) -> KernelResidual:
        halving = 0.5 * resnet.log_scale / math.log(2.0)
        if abs(halving) > KEEP_RANGE:
            m = self.model
            said = f"alpha={resnet.alpha!r} and lam={resnet.lam!r} are"
            if isinstance(m, ResidualNetwork):
                said = f"carry={m.carry!r} and scaling={brief(m.scaling)} are"
            raise ValueError(
                f"{said} not allowed with gradients, displacement or several inputs: layers must differ in size by "
                "less than 2^100"
            )
        fields = vars(_residual(self.general, gradients)) | vars(self.network)
        fields["steps"] = np.full(resnet.depth, self.network.step, np.float32)
        fields["keep"] = float(np.float32(math.exp(-0.5 * resnet.log_scale)))
        return KernelResidual(**fields)

    # -- from the kernels' units to the model's

    @cached_property
    def rounding_correction(self) -> float:
        """Log-norm that every layer of a `ResNet` lacks because alpha and lam were rounded to float32.

        With carry a and step c the kernel's E|z_{l+1}|^2/|z_l|^2 is a^2 + c^2 n/2 instead of 1; minus its logarithm,
        about 1e-8, would add up to 1e-2 at depth 10^6. (A network that never fires again drifts by as much through the
        float32 mantissa of alpha, which this leaves alone.)
        """
        return -math.log(self.network.carry**2 + self.network.step**2 * self.model.width / 2.0)

    def offsets(self, layers: NDArray[np.int64]) -> Floats:
        """Differences of the model's log-norms from the kernels': l log s + 2 log input_norm + l correction.

        The mean of |h_l|^2/n (`follows_mean_square`) differs by the same in its logarithm. Kernels divide |h_l|^2 by
        the largest width; where layers have others, log(width/n_l) is in it too.
        """
        m = self.log_gaussian
        if m is not None:
            return layers * m.log_scale + 2.0 * math.log(m.input_norm) + layers * self.rounding_correction
        g = self.general
        return self.output_offsets(layers) + np.log(g.width / g.layer_widths[layers])

    def output_offsets(self, layers: NDArray[np.int64]) -> Floats:
        """Twice the logarithms of what separates the model's h_l from the kernels', as in `offsets` without widths."""
        g = self.general
        if self.log_gaussian is not None:
            return self.offsets(layers)
        size = 2.0 * math.log(g.size) if g.homogeneous else 0.0
        return self.quotient_offsets(layers)["growth"] + size

    def growth_offsets(self, layers: NDArray[np.int64]) -> Floats:
        """Differences of the model's growth from the kernels', as in `quotient_offsets`, without a sum over layers."""
        m = self.log_gaussian
        if m is None:
            return self.quotient_offsets(layers)["growth"]
        return layers * np.float64(m.log_scale + self.rounding_correction)

    def quotient_offsets(self, layers: NDArray[np.int64]) -> dict[str, Floats]:
        """Differences of the model's logarithms of quotients from the kernels', by quotient, at ``layers``.

        Of a `ResNet` its normalisation; of all homogeneous networks what rounding alpha or carry and the scaling to
        float32 takes away, as in `rounding_correction`. Networks that cannot be rescaled have none, nor have
        those whose layers depend on each other: there a layer's rounding has no one effect, some 1e-8 of the norm at
        most.
        """
        m = self.log_gaussian
        if m is not None:
            each = np.full(m.depth, m.log_scale + self.rounding_correction)
        else:
            each = _rounding_by_layer(self.general)
        sums = np.concatenate([[0.0], np.cumsum(each)])
        forward, backward = sums[layers], sums[-1] - sums[layers]
        return {name: backward if name in BACKWARD else forward for name in QUOTIENTS}


def lower(model: Model) -> Lowered:
    """The engine's view of ``model``."""
    return Lowered(model, log_gaussian(model))


def _network(model: ResNet) -> KernelNetwork:
    """The normalised network."""
    alpha, lam = model.normalised
    mantissa, exponent = 0.0, 0
    if model.alpha != 0.0:
        # alpha itself may underflow beside lam, but the norm of a network that never fires again is alpha^l
        largest = max(abs(model.alpha), abs(model.lam))
        (ma, ea), (ml, el) = math.frexp(model.alpha), math.frexp(largest)
        mantissa, rest = math.frexp(ma / ml / math.hypot(model.alpha / largest, model.lam / largest))
        exponent = ea - el + rest
    tiny = 2.0**-100  # beside the other coefficient, which is near 1, a float32 network does not see less
    step = lam * math.sqrt(2.0 / model.width)
    return KernelNetwork(
        width=model.width,
        depth=model.depth,
        n_out=model.n_out,
        carry=_rounded(alpha if abs(alpha) > tiny else 0.0),
        carry_mantissa=_rounded(mantissa),
        carry_exponent=exponent,
        step=_rounded(step if abs(step) > tiny else 0.0),
        readout=_rounded(1.0 / math.sqrt(model.width)),
    )


def _residual(model: ResidualNetwork, gradients: bool) -> KernelResidual:
    """Any network in its own units."""
    n, depth = model.width, model.depth
    segment = depth
    if gradients:
        vector = (n + 3) // 4 * 4 * LARGEST_PACK_BYTES
        segment = min(depth, max(math.isqrt(depth) + 1, SEGMENT_BYTES // vector))
    place, norm = model.norm_place, model.normalisation
    weight_table = model.weight_law.table
    outer = _outer(model)
    n_in, x = 0, np.zeros(0)
    if model.inputs.explicit:
        size = model.size if model.homogeneous else 1.0
        x = np.array(model.inputs.x) / (math.sqrt(len(model.inputs.x)) * size)
        n_in, x = len(x), np.concatenate([np.zeros(4), x, np.zeros(8)])
    return KernelResidual(
        width=n,
        depth=depth,
        n_out=model.n_out,
        carry=_rounded(model.carry),
        carry_mantissa=_rounded(model.carry),
        carry_exponent=0,
        step=0.0,
        readout=_rounded(1.0 / math.sqrt(n)),
        block=model.residual_block.number,
        inner=model.inner,
        **activation_fields(model.sigma),
        weight_law=model.weight_law.number,
        weight_fine=0 if weight_table is None else weight_table.fine,
        weight_table=np.zeros(0, np.float32) if weight_table is None else weight_table.array,
        homogeneous=model.homogeneous,
        grounded=model.bias > 0.0 or model.sigma.at_zero != 0.0 or norm is not None,
        inside=model.inside,
        gradients=gradients,
        segment=segment,
        n_in=n_in,
        bias=_rounded(model.bias * math.sqrt(n)),
        bias_square=_rounded(model.bias**2 * n),
        bias_law=WEIGHTS[model.bias_law].number,
        kept_below=0 if model.keep == 1.0 else kept_below(model.keep),
        kept_factor=_rounded(kept_factor(model.keep)),
        norm=0 if norm is None else norm.number,
        norm_before=place.before,
        norm_branch=place.branch,
        norm_after=place.after,
        norm_eps=_rounded(model.eps),
        size=1.0 if model.homogeneous else _rounded(model.size),
        keep=1.0,
        steps=(model.scales * outer).astype(np.float32),
        input=x.astype(np.float32),
        widths=np.array(model.widths or (), np.uint32),
    )


def _outer(model: ResidualNetwork) -> float | Floats:
    """Return what a layer's step has besides s_l, by layer or one for all: 1/sqrt(n) where a matrix ends the branch."""
    if model.block == "phi-out" or model.norm_place.branch:
        return 1.0
    return 1.0 / math.sqrt(model.inner) if model.widths is None else 1.0 / np.sqrt(model.layer_widths[:-1])


def activation_fields(sigma: ActivationRecord) -> dict[str, Any]:
    """Return an activation as the kernels take it."""
    table = sigma.table
    return {
        "activation": sigma.number,
        "above": _rounded(sigma.above),
        "below": _rounded(sigma.below),
        "fine": 0 if table is None else table.fine,
        "octaves": 0 if table is None else table.octaves,
        "kinks_above": 0 if table is None else len(table.above),
        "kinks_below": 0 if table is None else len(table.below),
        "table": np.zeros(0, np.float32) if table is None else table.array,
    }


def _rounded(x: float) -> float:
    """The nearest float32."""
    return float(np.float32(x))


def _rounding_by_layer(model: ResidualNetwork) -> Floats:
    """log E|h'|^2/|h|^2 of every layer less that of the rounded one, a branch having the norm s sqrt(E sigma(g)^2)."""
    if not model.homogeneous or not model.independent:
        return np.zeros(model.depth)
    gain, outer = model.sigma.mean_square(), 1.0 if model.block == "phi-out" else _outer(model)
    carry = _rounded(model.carry)
    scales = (model.scales * outer).astype(np.float32).astype(np.float64) / outer
    if model.keep != 1.0:  # masks change a mean square by the rounding of keep and of its root
        scales *= _rounded(kept_factor(model.keep)) * math.sqrt(kept_below(model.keep) / WORDS)
    sigma, rounded_gain = model.sigma, gain
    if sigma.above and model.activation not in ACTIVATIONS:  # slopes of a user's or of the width
        gain = (sigma.above**2 + sigma.below**2) / 2.0
        rounded_gain = (_rounded(sigma.above) ** 2 + _rounded(sigma.below) ** 2) / 2.0
    exact = model.carry**2 + gain * model.scales**2
    rounded = carry**2 + rounded_gain * scales**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rounded > 0.0, np.log(exact / rounded), 0.0)


def split_power(offset: float) -> tuple[int, float]:
    """e^(offset/2) as 2^power times a factor in [1, 2): powers are added where a product would overflow early."""
    power, rest = divmod(0.5 * offset / math.log(2.0), 1.0)
    return int(power), 2.0**rest
