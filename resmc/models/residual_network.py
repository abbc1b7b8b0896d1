"""The general residual network: its block, activation, scaling with depth and weights.

Sources: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), equations of the models res-1 and res-3; Cont, Rossier, Xu
(arXiv 2212.08199), section 2; Li, Nica, Roy 2021 (arXiv 2106.04013), section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .activation_families import checked_activation, record_of
from .activation_record import ActivationRecord
from .blocks import BLOCKS, Block
from .dropout import checked_keep
from .inner_width import checked_inner_width, refuse_inner_width
from .inputs import MAX_INPUTS, Inputs, checked_input, meeting
from .layer_widths import check_widths, checked_widths, shape_in_words, widths_in_words
from .network import Network
from .normalisation import EPS, NORMS, NOWHERE, PLACES, Norm, Place, check_norm, checked_norm, norm_in_words
from .processes import Covariance, Mixture, Process
from .resnet import MAX_DEPTH, VARIANT_ACTIVATIONS, ResNet, lam_of_scale
from .scaling import SCALE_RANGE, DepthScaling, Scaling, by_layer, checked_scaling, scaling_of
from .user_activation import Activation
from .user_law import QuantileLaw
from .weight_families import law_of
from .weight_law import BIAS_LAWS, WeightLaw
from .weights import Weights, check_dependence, checked_weights

NORM_RANGE = 2.0**50  # an input beyond it could leave that range in networks that cannot be rescaled
CRITICAL = DepthScaling(0.5)  # independent weights then lead neither to explosion nor to the identity
RESNET_ACTIVATIONS = {activation: variant for variant, activation in VARIANT_ACTIVATIONS.items()}


@dataclass(frozen=True, repr=False)
class ResidualNetwork(Network):
    """A residual network at initialisation.

    .. code-block:: text

        phi-in       h_{k+1} = carry h_k + s_k (V_k sigma(h_k) + b_k)
        phi-out      h_{k+1} = carry h_k + s_k sigma(W_k h_k + b_k)            scaling outside
                     h_{k+1} = carry h_k + sigma(s_k (W_k h_k + b_k))          scaling inside
        v-phi-w      h_{k+1} = carry h_k + s_k V_k sigma(W_k h_k + b_k)        k = 0 .. depth-1

        dropout      phi-in with m_k sigma(h_k)/sqrt(keep) for sigma(h_k), entry by entry
        norm         pre        h_{k+1} = carry h_k + s_k f_k(N h_k),       f_k the branch without its scale
                     branch     h_{k+1} = carry h_k + s_k N(f_k(h_k))
                     sandwich   h_{k+1} = carry h_k + s_k N(f_k(N h_k))
                     post       h_{k+1} = N(carry h_k + s_k f_k(h_k))
        h_out = W_out h_depth                                                  in R^n_out

    V_k, W_k, W_out have independent entries of mean 0 and variance 1/width, b_k Gaussian ones with standard deviation
    ``bias``; with an ``inner_width`` N, W_k is N x width, V_k width x N of variance 1/N, and b_k has N entries. Layers
    are independent of each other, unless ``weights`` is a `Weights` that says otherwise. With dropout the entries of
    m_k are 1 with probability ``keep`` and else 0, independent of each other and of all else, a mask for each network
    and layer, which the forward and the backward pass share. E|m_k sigma(h_k)|^2/keep is |sigma(h_k)|^2.
    Where a mask is all 0, that layer's branch is its bias alone; no network ends there, unless it has no skip.
    N is layer norm, (x - mean x)/sqrt(var x + eps), or rms norm, x/sqrt(|x|^2/width + eps), with the gain 1 and the
    bias 0 that layers have at initialisation; N 0 = 0 also with eps = 0. A scaling inside the activation stays there.
    The gradient p_k is that of one output: p_depth is a row of W_out, p_k = (dh_{k+1}/dh_k)^T p_{k+1}.

    Parameters
    ----------
    width : int, or sequence of depth + 1 ints
        Neurons per layer, n: 1 to 2^24; 2^17 with ``method="dense"``, and where layers depend on each other, 11,585, or
        8,192 with two matrices to a layer. Or the neurons n_0, .., n_depth of every layer of a fully connected network:
        one with carry=0 and the block phi-in or phi-out, whose layers are independent of each other, without a norm.
        There the matrix of layer k is n_{k+1} x n_k, of variance 1/n_k, b_k has n_{k+1} entries, and W_out variance
        1/n_depth. ``width`` then holds the largest of them, and ``widths`` all; equal ones are one number.
    depth : int
        Residual layers, L: 1 to 2^20 - 1.
    block : {"phi-in", "phi-out", "v-phi-w"}
    activation : str or Activation
        A name of `resmc.models.activations.ACTIVATIONS`, such as relu, balanced or tanh; one with parameters,
        "leaky_relu(0.2)", "elu(0.5)" or "shaped_relu(0, -1)", whose slopes are 1 + 0/sqrt(width) and 1 - 1/sqrt(width);
        or an `Activation` made of any function.
    carry : float
        Weight of the skip; 1 in the papers on depth, alpha in the log-Gaussian one.
    scaling : DepthScaling, or array of ``depth`` floats
        s_k, the same in all layers or one by one.
    weights : str, QuantileLaw or Weights
        The weight law, of mean 0 and variance 1/width: "gaussian", "uniform" on +-sqrt(3/width), or "rademacher",
        +-1/sqrt(width); "truncated_normal(low, high)", a normal between two bounds that are in its own standard
        deviations, -2 and 2 by default; "student_t(df)" with df above 2; or a `QuantileLaw` of any other. "orthogonal":
        V_k and W_k are uniform among all orthogonal matrices, and A and W_out Gaussian. Or `Weights`, which say too how
        layers depend on each other. Only independent layers that are Gaussian, or orthogonal without a bias, can be
        simulated by the projected method.
    bias : float
        Standard deviation of b_k, at least 0.
    n_in : int, optional
        Length of ``input``, which need not be given.
    n_out : int
        Output neurons, 1 to 2^17.
    input_norm : float
        |x|/sqrt(n_in) > 0: h_0 = input_norm N(0, I), unless there is an ``input``.
    input : sequence of float, optional
        The input x, not all 0: h_0 = A x, where the entries of A have the weight law with variance 1/n_in. With
        Gaussian weights the input enters through its norm alone.
    keep : float
        Probability with which dropout keeps a neuron, above 0 and at most 1, which is no dropout; for block="phi-in"
        alone, with any activation. Masks are drawn from 32 bits, so the probability is the multiple of 2^-32 next to
        it, and 1/sqrt(keep) has keep itself.
    inner_width : int, optional
        Neurons within a branch, N, from 1 to 2^24, and to 2^17 with ``method="dense"``; for block="v-phi-w" alone, with
        layers that are independent of each other. By default as many as a layer has, which is what ``width`` itself
        means here too.
    norm : {None, "layer", "rms", "batch"}
        N; a network that has one does not scale with its input. "batch" acts on every neuron over the inputs of a
        network, which must be several (``gram``, ``inputs`` or ``angle`` of `resmc.simulate`); gradients are then those
        of one output with respect to the states of all inputs.
    norm_at : {"pre", "branch", "sandwich", "post"}
        Where N acts, with a norm alone.
    eps : float
        What N adds to a variance or a mean square: 0, or 2^-60 to 1; with weights of +-1 not 0.

    bias_law : {"gaussian", "uniform"}
        The law of b_k: Gaussian, or uniform on +-sqrt(3) bias, as torch draws the biases of a Linear. A uniform bias
        takes the dense method, and layers that are independent of each other.
    widths : tuple of depth + 1 ints, optional
        Neurons of every layer, where these differ: another way to say ``width``, whose largest is given beside it.

    Raises
    ------
    ValueError
        For anything outside these ranges; the message names the argument, its value and what is allowed.
    """

    width: int
    depth: int
    block: str = "phi-in"
    activation: str | Activation = "relu"
    carry: float = 1.0
    scaling: Scaling = CRITICAL
    weights: str | QuantileLaw | Weights = "gaussian"
    bias: float = 0.0
    n_in: int | None = None
    n_out: int = 1
    input_norm: float = 1.0
    input: tuple[float, ...] | None = None
    keep: float = 1.0
    inner_width: int | None = None
    bias_law: str = "gaussian"
    norm: str | None = None
    norm_at: str = "pre"
    eps: float = EPS
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("depth", checks.integer("depth", self.depth, 1, MAX_DEPTH, "2^20 - 1"))
        width, widths = checked_widths(self.width, self.widths, self.depth)
        put("width", width)
        put("widths", widths)
        checks.choice("block", self.block, tuple(BLOCKS))
        put("activation", checked_activation(self.activation, self.width))
        put("inner_width", checked_inner_width(self.inner_width, self.width, self.block))
        if self.sigma.half and self.inner % 2 and widths is None:
            name = "width" if self.inner_width is None else "inner_width"
            raise ValueError(f"{name}={self.inner} is not allowed with activation={self.activation!r}: it must be even")
        put("carry", checks.real("carry", self.carry))
        put("scaling", checked_scaling(self.scaling, self.depth))
        self._check_scaling()
        put("weights", checked_weights(self.weights))
        check_dependence(self)
        put("bias", checks.real("bias", self.bias))
        if self.bias < 0.0:
            raise ValueError(f"bias={self.bias!r} is not allowed: it is a standard deviation, at least 0")
        checks.choice("bias_law", self.bias_law, BIAS_LAWS)
        if self.bias_law != "gaussian" and not self.independent:
            raise ValueError(
                f"bias_law={self.bias_law!r} is not allowed with weights that depend on each other in depth: the bias "
                "is then a Gaussian process too; it must be 'gaussian'"
            )
        self._check_orthogonal()
        put("n_out", checks.integer("n_out", self.n_out, 1, 1 << 17, "2^17"))
        put("input_norm", checks.real("input_norm", self.input_norm, positive=True))
        if self.input is not None:
            put("input", checked_input(self.input))
        n_in = 1 if self.input is None else len(self.input)
        if self.n_in is not None:
            put("n_in", checks.integer("n_in", self.n_in, 1, MAX_INPUTS, "2^17"))
            if self.n_in != n_in:
                given = "there is no input" if self.input is None else f"input has {n_in} entries"
                raise ValueError(f"n_in={self.n_in} is not allowed: {given}")
        put("n_in", n_in)
        put("keep", checked_keep(self.keep, self.block))
        put("norm", checked_norm(self.norm))
        put("eps", checks.real("eps", self.eps))
        check_norm(self)
        check_widths(self)
        self._check_range()

    def _check_orthogonal(self) -> None:
        """Refuse what orthogonal matrices do not go with."""
        if not self.weight_law.orthogonal:
            return
        refuse_inner_width(self.inner_width, "with weights='orthogonal'", "such matrices are square")
        if self.width < 2:
            raise ValueError(f"width={self.width} is not allowed with weights='orthogonal': it must be at least 2")

    def _check_scaling(self) -> None:
        """Refuse a scaling inside where the block has none, and one with which every layer is 0."""
        if self.inside and not self.residual_block.scales_inside:
            allowed = ", ".join(repr(name) for name, block in BLOCKS.items() if block.scales_inside)
            raise ValueError(f"scaling inside is not allowed with block={self.block!r}: only with {allowed}")
        if not self.scales.any() and self.carry == 0.0:
            raise ValueError("carry=0.0 and scaling 0 in every layer are not allowed together: all would be zero")

    def _check_range(self) -> None:
        """Keep to the kernels' units: a `ResNet` has its own, and a homogeneous network an input of any size."""
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
    def inner(self) -> int:
        """Neurons that the activation acts on: N within a branch of two matrices, else as many as a layer has."""
        return self.width if self.inner_width is None else self.inner_width

    @property
    def sigma(self) -> ActivationRecord:
        """The activation, its slope and what is known of it."""
        return record_of(self.activation, self.width)

    @property
    def residual_block(self) -> Block:
        """The block: its matrices, and where the activation acts."""
        return BLOCKS[self.block]

    @property
    def weight_law(self) -> WeightLaw:
        """The weight law: the law of the matrices' entries."""
        return law_of(self.law)

    @property
    def gaussian(self) -> bool:
        """True if matrices are Gaussian, and a bias too if there is one."""
        return self.weight_law.gaussian and (self.bias == 0.0 or self.bias_law == "gaussian")

    @property
    def projected(self) -> bool:
        """True if the projected method has the network's law: its layers see of their matrices what can be drawn."""
        return self.independent and (self.gaussian or (self.weight_law.orthogonal and self.bias == 0.0))

    @property
    def law(self) -> str | QuantileLaw:
        """The weight law as it is spelled."""
        return self.weights.law if isinstance(self.weights, Weights) else self.weights

    @property
    def dependence(self) -> str | Process:
        """How layers depend on each other: "iid", "tied", or the process that an entry is over the layers."""
        return self.weights.dependence if isinstance(self.weights, Weights) else "iid"

    @property
    def independent(self) -> bool:
        """True if layers are independent of each other, as almost all theory needs it."""
        return self.dependence == "iid"

    @property
    def standardised(self) -> bool:
        """True if the entries of every layer, by themselves, have the weight law with variance 1/width."""
        return not isinstance(self.dependence, Mixture | Covariance)

    @cached_property
    def inputs(self) -> Inputs:
        """The input, as the first layer needs it."""
        return meeting(self.input, self.input_norm, self.weight_law)

    @property
    def size(self) -> float:
        """|x|/sqrt(n_in), the standard deviation of an entry of h_0."""
        return self.inputs.size

    @property
    def homogeneous(self) -> bool:
        """True if c h_0 gives c h_k for every c > 0."""
        return self.sigma.homogeneous and self.bias == 0.0 and self.norm is None

    @property
    def normalisation(self) -> Norm | None:
        """N, and what is known of it; None without a norm."""
        return None if self.norm is None else NORMS[self.norm]

    @property
    def norm_place(self) -> Place:
        """Where N acts: nowhere without a norm."""
        return NOWHERE if self.norm is None else PLACES[self.norm_at]

    @property
    def inside(self) -> bool:
        """True if s_k multiplies what enters the activation."""
        return isinstance(self.scaling, DepthScaling) and self.scaling.inside

    @cached_property
    def scales(self) -> NDArray[np.float64]:
        """Scale factors s_k of all layers, (depth,)."""
        return by_layer(self.scaling, self.depth)

    @property
    def has_asymmetry(self) -> bool:
        """True if A and the active fraction are defined: rectifiers that act on the layers themselves, all of them.

        With dropout a branch does not see sigma(h), and with a norm sigma has another size, so that A would not say how
        the next layer grows.
        """
        return super().has_asymmetry and self.keep == 1.0 and self.norm is None

    @property
    def title(self) -> str:
        """The network in a line."""
        kind = f"{self.block} {self.activation} residual network"
        return f"{kind}  {self.width_in_words}  depth {self.depth}  {self.layers_in_words}"

    @property
    def title_of_any_depth(self) -> str:
        """The network in a line where its depth has no meaning."""
        return f"{self.block} {self.activation}  {self.width_in_words}  {self.layers_in_words}"

    @property
    def width_in_words(self) -> str:
        """The width, and the inner one where it is another; or the widths of all layers."""
        if self.widths is not None:
            return widths_in_words(self.widths)
        return f"width {self.width}" + ("" if self.inner_width is None else f" (inner {self.inner_width})")

    @property
    def layers_in_words(self) -> str:
        """Scaling, weights, carry, bias, dropout and norm in words."""
        scaling = self.scaling.words if isinstance(self.scaling, DepthScaling) else "by layer"
        rest = f"  carry {self.carry:.6g}" * (self.carry != 1.0) + f"  bias {self.bias:.6g}" * (self.bias > 0.0)
        rest += f" ({self.bias_law})" * (self.bias > 0.0 and self.bias_law != "gaussian")
        rest += f"  keep {self.keep:.6g}" * (self.keep != 1.0)
        rest += f"  {norm_in_words(self)}" * (self.norm is not None)
        return f"scaling {scaling}  {self.weights} weights{rest}"

    @property
    def short_title(self) -> str:
        """A few words for a progress bar."""
        size = f"{self.width}x{self.depth}" if self.widths is None else shape_in_words(self.widths)
        return f"{self.block} {self.activation} {size}"

    def to_dict(self) -> Plain:
        """Return the fields, in order, as plain values: the canonical description, which is that of files and keys.

        ``keep`` is left out where it is 1, ``inner_width`` and ``widths`` where there are none, ``bias_law`` where it
        is Gaussian, and what says of a norm where there is none, as networks were described before there were these.
        """
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.keep == 1.0:
            del out["keep"]
        if self.inner_width is None:
            del out["inner_width"]
        if self.widths is None:
            del out["widths"]
        if self.bias_law == "gaussian":
            del out["bias_law"]
        if self.norm is None:
            del out["norm"], out["norm_at"], out["eps"]
        if isinstance(self.scaling, DepthScaling):
            out["scaling"] = self.scaling.to_dict()
        else:
            out["scaling"] = list(self.scaling)
        out["weights"] = self.weights if isinstance(self.weights, str) else self.weights.to_dict()
        if isinstance(self.activation, Activation):
            out["activation"] = self.activation.to_dict()
        out["input"] = None if self.input is None else list(self.input)
        if self.widths is not None:
            out["widths"] = list(self.widths)
        return out

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> ResidualNetwork:
        """Return the network that `to_dict` described."""
        given = dict(described)
        scaling = given.get("scaling")
        if isinstance(scaling, Mapping):
            given["scaling"] = scaling_of(scaling)
        return ResidualNetwork(**given)

    @cached_property
    def as_resnet(self) -> ResNet | None:
        """A `ResNet` that is this network (alpha = carry, lam = s/sqrt(2)), or None where no `ResNet` is."""
        said = (
            self.activation in RESNET_ACTIVATIONS and self.residual_block.acts_on_layers and self.weights == "gaussian"
        )
        if (
            not said
            or not self.homogeneous
            or self.widths is not None
            or self.keep != 1.0
            or len(set(self.scales.tolist())) > 1
        ):
            return None
        lam, variant = lam_of_scale(float(self.scales[0])), RESNET_ACTIVATIONS[str(self.activation)]
        return ResNet(self.width, self.depth, self.carry, lam, variant, self.n_out, self.size)


Model = ResNet | ResidualNetwork
