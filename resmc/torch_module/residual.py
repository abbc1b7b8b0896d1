"""The general residual network with its weights written out, one network or several at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch.nn import Parameter

from .._system import checks
from .._system.memory import available_memory
from .._system.words import brief
from ..models.dropout import kept_factor
from ..models.layer_widths import SCHEME, refuse_widths
from ..models.normalisation import refuse_batch
from ..models.processes import Covariance
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from .adjoint import TOLERANCE, Steps, adjoint
from .autocast import autocast_enabled
from .branches import BlockBranches, Layers, PulledBlocks, ScaledBranches
from .schemes import SCHEMES

Tensor = torch.Tensor


class ExplicitResidualNetwork(torch.nn.Module):
    """A `ResidualNetwork`, literally, in float64: n = width, N = depth, and one network or P of them side by side.

    .. code-block:: text

        h_0     = A x
        h_{k+1} = carry h_k + f_k(h_k)                                              k = 0 .. N-1
        h_out   = W_out h_N

        phi-in     f_k(h) = s_k (V_k sigma(h) + b_k)
        phi-out    f_k(h) = s_k sigma(W_k h + b_k),  or with the scaling inside  sigma(s_k (W_k h + b_k))
        v-phi-w    f_k(h) = s_k V_k sigma(W_k h + b_k)
        dropout    phi-in with kept_k sigma(h) for sigma(h)
        norm       f_k(N h_k), or s_k N(f_k/s_k), or h_{k+1} = N(carry h_k + f_k(h_k)), as `ResidualNetwork` says

    With a ``scheme`` the layers are N steps of a method for the ordinary equation whose steps have the size in s_k, and
    there are N + 1 sets of weights, the last of which Heun's method needs and Euler's leaves alone:

    .. code-block:: text

        euler      h_{k+1} = h_k + f_k(h_k)
        heun       h_{k+1} = h_k + (f_k(h_k) + f_{k+1}(h_k + f_k(h_k))) / 2

    All weights are 0, all signs plus and all neurons kept, until something of `resmc.torch_module` has filled them:
    `fill`, `fill_from_generator`, or `fill_from_arrays`. Autograd gives p_k, the gradient of an output with respect to
    h_k. Nothing is rescaled, so that deep networks overflow where carry and scaling make their states grow: a scheme
    refuses that, and without a scheme infinities come out.

    Parameters
    ----------
    model : ResidualNetwork
    networks : int, optional
        P; without it there is one network, and no axis for networks.
    scheme : {"euler", "heun"}, optional
        Needs ``carry=1``, ``keep=1`` and no norm, at least two layers with ``backward="adjoint"``, and weights and
        scaling that go on to layer N: those of a covariance matrix do not, and with "heun" neither does a scaling that
        is given by layer.
    backward : {"autograd", "adjoint"}
        "adjoint" recovers h_k from h_{k+1} as it goes backwards, see `resmc.ode.ResidualODE` also for what is compared;
        it needs a scheme, gives first derivatives only, and is not for autocast.
    checkpoint_every : int, optional
        Layers from one state to the next from which the recovery begins anew, for ``backward="adjoint"``; by default it
        begins at h_N alone.
    tolerance : float
        Largest relative miss of the recovered states that are compared, beyond which there is a
        `resmc.ode.AdjointWarning`.

    Attributes
    ----------
    model : ResidualNetwork
    networks : tuple
        () or (P,), for which two dots stand in the shapes below.
    sets : int
        Sets of weights: N, or N + 1 with a scheme.
    A : parameter (.., n, n_in), of variance 1/n_in
        With Gaussian weights, or without an ``input``, h_0 depends on the input's norm alone; x is then one number,
        |x|/sqrt(n_in), and A has the shape (.., n, 1).
    V, W : parameters (sets, .., n, n), of variance 1/n, or None
        None where the block has none. With an inner width M they have the shapes (sets, .., n, M), of variance 1/M, and
        (sets, .., M, n); b and signs then have M entries for each layer.
    b : parameter (sets, .., n), or None without bias
    s : parameter (N, ..), or None where s_k is the model's
        Networks trained with their scale factors have it; without a scheme only.
    W_out : parameter (.., n_out, n), of variance 1/n
    signs : buffer (sets, .., n) of +1 and -1, or None
        The signs of a balanced activation, sigma(signs x).
    kept : buffer (N, .., n) of 0 and 1/sqrt(keep), or None without dropout
        The masks with their factor. They are the network's own, whether it is trained or evaluated: all inputs of a
        batch meet the same, and ``train()`` and ``eval()`` change nothing.
    V, W, b, signs, kept
        With widths by layer n_k: lists of N tensors, ``torch.nn.ParameterList`` and ``LayerBuffers``, of the shapes
        (.., n_{k+1}, n_k) and (.., n_{k+1}); signs and kept have n_k entries with phi-in, n_{k+1} with phi-out.
        A has n_0 rows then, and W_out n_N columns.

    Raises
    ------
    ValueError
        For an argument that is not allowed, or a scheme that the model cannot have.

    Sources: the models' are in `ResidualNetwork`; Sander, Ablin, Peyre (arXiv 2205.14612) for schemes and the adjoint.
    """

    x: Tensor
    signs: Tensor | None
    kept: Tensor | None
    s: Parameter | None

    def __init__(
        self,
        model: ResidualNetwork,
        networks: int | None = None,
        scheme: str | None = None,
        backward: str = "autograd",
        checkpoint_every: int | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        super().__init__()
        refuse_batch(model, "in modules")
        n, inner, block, x = model.width, model.inner, model.residual_block, model.inputs.x
        self.model, self._examined = model, False
        self.steps: Steps | None = None
        if scheme is not None:
            self.steps = Steps(scheme, model.depth, backward, checkpoint_every, tolerance)
            _check_scheme(model, scheme)
        elif (backward, checkpoint_every, tolerance) != ("autograd", None, TOLERANCE):
            raise ValueError(
                f"backward={brief(backward)}, checkpoint_every={brief(checkpoint_every)} and tolerance="
                f"{brief(tolerance)} are not allowed without a scheme: give scheme='euler', which has the same layers, "
                "or 'heun'"
            )
        self.networks = () if networks is None else (checks.integer("networks", networks, 1, 2**32, "2^32"),)
        self.sets = sets = model.depth + (scheme is not None)

        if model.widths is not None:
            self._make_layers(model)
            return
        _check_size((n, inner), sets * math.prod(self.networks) * sum(one is not None for one in (block.V, block.W)))

        def zeros(*shape: int) -> Parameter:
            return Parameter(torch.zeros(shape, dtype=torch.float64))

        self.V = zeros(sets, *self.networks, n, inner) if block.V is not None else None
        self.W = zeros(sets, *self.networks, inner, n) if block.W is not None else None
        self.b = zeros(sets, *self.networks, inner) if model.bias > 0.0 else None
        self.register_parameter("s", None)
        self.W_out = zeros(*self.networks, model.n_out, n)
        self.A = zeros(*self.networks, n, len(x))
        self.register_buffer("x", torch.tensor([x], dtype=torch.float64), persistent=False)
        ones = torch.ones(sets, *self.networks, inner, dtype=torch.float64)
        self.register_buffer("signs", ones if model.sigma.signed else None)
        self.register_buffer("kept", ones * kept_factor(model.keep) if model.keep < 1.0 else None)

    def _make_layers(self, model: ResidualNetwork) -> None:
        """Make the parameters of layers with widths of their own: lists with a tensor for each layer."""
        block, each = model.residual_block, range(model.depth)
        shapes = [model.matrix_shape("outer", k) for k in each]
        _check_size((1, sum(a * b for a, b in shapes)), math.prod(self.networks))

        def zeros(*shape: int) -> Parameter:
            return Parameter(torch.zeros(*self.networks, *shape, dtype=torch.float64))

        matrices = torch.nn.ParameterList(zeros(*shape) for shape in shapes)
        biases = torch.nn.ParameterList(zeros(model.bias_length(k)) for k in each) if model.bias > 0.0 else None
        self.register_parameter("s", None)
        self.W_out = zeros(model.n_out, model.width_of(model.depth))
        self.A = zeros(model.width_of(0), len(model.inputs.x))
        self.register_buffer("x", torch.tensor([model.inputs.x], dtype=torch.float64), persistent=False)
        ones = [torch.ones(*self.networks, model.activated(k), dtype=torch.float64) for k in each]
        kept = [kept_factor(model.keep) * one for one in ones]
        for name, layers in (
            ("V", None if block.V is None else matrices),
            ("W", None if block.W is None else matrices),
            ("b", biases),
            ("signs", LayerBuffers(ones) if model.sigma.signed else None),
            ("kept", LayerBuffers(kept) if model.keep < 1.0 else None),
        ):
            setattr(self, name, layers)

    def extra_repr(self) -> str:
        """Return the model, the number of networks and the scheme, for ``repr``."""
        several = f", networks={self.networks[0]}" if self.networks else ""
        return f"{self.model!r}{several}{'' if self.steps is None else ', ' + self.steps.words()}"

    def sigma(self, layer: int, x: Tensor) -> Tensor:
        """Return the activation of a layer at x, of shape (.., batch, n), before any dropout."""
        y: Tensor = self.model.sigma.torch(torch, x if self.signs is None else self.signs[layer].unsqueeze(-2) * x)
        return y

    def branch(self, layer: int, h: Tensor) -> Tensor:
        """Return f_layer(h), of shape (.., batch, n)."""
        to = h.new_zeros(*h.shape[:-1], self.model.width_of(layer + 1)) if self.model.widths else torch.zeros_like(h)
        return self._branches(self.V, self.W, self.b, self.signs, self.s, self.kept).added(layer, h, to)

    def forward(self, x: Tensor | None = None, return_layers: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Apply the network.

        Parameters
        ----------
        x : tensor (batch, n_in) or (.., batch, n_in), optional
            Inputs, with n_in = 1 where A has the shape (.., n, 1); by default the one of the model.
        return_layers : bool
            Also return the list of h_0 .. h_N, tensors (.., batch, n). With ``backward="adjoint"`` only where
            no gradients are recorded, as it does not keep them.

        Returns
        -------
        h_out, or (h_out, [h_0, .., h_N])
            h_out is a tensor (.., batch, n_out).

        Raises
        ------
        ValueError
            For inputs of another shape or dtype; with a scheme, for states that are not finite; with the adjoint, for
            steps that are not near-invertible, and under autocast unless in float64.
        """
        hs = self.states(self._checked_input(self.x if x is None else x) @ self.A.mT, return_layers)
        out = hs[-1] @ self.W_out.mT
        return (out, hs) if return_layers else out

    def states(self, start: Tensor, all_layers: bool = False) -> list[Tensor]:
        """Return [h_0, .., h_N] from h_0, (.., batch, n), or the last of them alone."""
        if self.steps is not None and self.steps.backward == "adjoint" and torch.is_grad_enabled():
            if all_layers:
                raise ValueError(
                    "return_layers=True is not allowed with backward='adjoint' where gradients are recorded: the "
                    "states are not kept; call it under torch.no_grad(), or use backward='autograd'"
                )
            # Numbers of float64 are left alone by autocast.
            if autocast_enabled(start.device.type) and start.dtype != torch.float64:
                raise ValueError(
                    "autocast is not allowed with backward='adjoint', whose products add to sums: convert the module, "
                    "or use backward='autograd'"
                )
            parameters = [one for one in (self.V, self.W, self.b) if one is not None]
            last = adjoint(self.steps, self.transposed, start, parameters, not self._examined)
            self.steps.check_finite(self.transposed(parameters), start, last, bool(self.networks))
            self._examined = self._examined or start.numel() > 0
            return [last]
        given = (self.V, self.W, self.b, self.signs, self.s, self.kept)
        f, carry = self._branches(*(None if one is None else _by_layer(one) for one in given)), self.model.carry
        h, hs, norm = start, [start], self.model.normalisation
        for k in range(self.model.depth):
            if self.steps is not None:
                h = self.steps.method.step(f, k, h)
            elif self.model.widths is not None:
                h = f.added(k, h, h.new_zeros(*h.shape[:-1], self.model.widths[k + 1]))
            else:
                h = f.added(k, h, carry * h)
            if norm is not None and self.model.norm_place.after:
                h = norm.torch(torch, h, self.model.eps)
            if all_layers:
                hs.append(h)
        if self.steps is not None:
            self.steps.check_finite(f, start, h, bool(self.networks))
        return hs if all_layers else [h]

    def _branches(
        self,
        V: Layers | None,
        W: Layers | None,
        b: Layers | None,
        signs: Layers | None,
        s: Layers | None,
        kept: Layers | None,
    ) -> BlockBranches:
        if s is None:
            return BlockBranches(self.model, V, W, b, signs, kept=kept)
        return ScaledBranches(self.model, V, W, b, signs, s, kept=kept)

    def transposed(self, parameters: Sequence[Tensor]) -> PulledBlocks:
        """Return the branches with these V, W and b, those that are there, ready to be transposed."""
        given = iter(parameters)
        V, W, b = (None if one is None else next(given) for one in (self.V, self.W, self.b))
        return PulledBlocks(self.model, V, W, b, self.signs)

    def _checked_input(self, x: Tensor) -> Tensor:
        n_in, ours = self.A.shape[-1], self.networks
        allowed = f"(batch, {n_in})" + (f", or ({ours[0]}, batch, {n_in})" if ours else "")
        check_input(x, self.A.dtype, allowed)
        if x.ndim < 2 or x.shape[-1] != n_in or x.shape[:-2] not in ((), ours):
            raise ValueError(f"x of shape {tuple(x.shape)} is not allowed: it must be of shape {allowed}")
        return x


class LayerBuffers(torch.nn.Module):
    """Buffers of all layers, where these differ in length: read like a list of tensors."""

    def __init__(self, layers: Sequence[Tensor]) -> None:
        super().__init__()
        for k, one in enumerate(layers):
            self.register_buffer(str(k), one)

    def __len__(self) -> int:
        return len(self._buffers)

    def __getitem__(self, layer: int) -> Tensor:
        return self.get_buffer(str(range(len(self))[layer]))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))


def _by_layer(given: Layers | Parameter) -> Sequence[Tensor]:
    """Return the tensors of all layers: a list, or those of one tensor, taken apart once."""
    return given.unbind(0) if isinstance(given, torch.Tensor) else list(given)


def check_input(x: Tensor, dtype: torch.dtype, allowed: str) -> None:
    """Refuse an x that is no tensor, or of another dtype than a module's where products of both are not cast."""
    if not isinstance(x, torch.Tensor):
        raise ValueError(f"x={brief(x)} is not allowed: it must be a tensor of shape {allowed} and of {dtype}")
    if x.dtype != dtype and not autocast_enabled(x.device.type):
        raise ValueError(
            f"x of {x.dtype} is not allowed: the module is of {dtype}; convert one of them, as x.to({dtype}) does"
        )


def _check_scheme(model: ResidualNetwork, scheme: str) -> None:
    """Refuse a scheme for a model that has no ordinary equation's step, or no layer ``depth``."""
    refuse_widths(model, *SCHEME)
    if model.carry != 1.0:
        raise ValueError(f"scheme={scheme!r} is not allowed with carry={model.carry!r}: a step needs carry=1")
    if model.keep < 1.0:
        raise ValueError(
            f"scheme={scheme!r} is not allowed with keep={model.keep!r}: layers with masks of their own are no steps "
            "of an ordinary equation; leave the scheme out, or use keep=1"
        )
    if model.norm is not None:
        raise ValueError(
            f"scheme={scheme!r} is not allowed with norm={model.norm!r}: its branches are not transposed by hand; "
            "leave the scheme out, or use norm=None"
        )
    if isinstance(model.dependence, Covariance):
        raise ValueError(
            f"scheme={scheme!r} is not allowed with a covariance matrix of the layers: it says nothing of layer "
            f"{model.depth}, and there are {model.depth + 1} sets of weights"
        )
    if SCHEMES[scheme].further and not isinstance(model.scaling, DepthScaling):
        raise ValueError(
            f"scheme={scheme!r} is not allowed with a scaling by layer: it says nothing of layer {model.depth}, and "
            "Heun's method needs it; give a DepthScaling"
        )


def _check_size(shape: tuple[int, int], matrices: int) -> None:
    """Refuse weights that do not fit into memory."""
    n, inner = shape
    size, available = 8 * n * inner * matrices, available_memory()
    if size > available:
        raise ValueError(
            f"{matrices} matrices of {n} x {inner} need {size / 1e9:.3g} GB of memory, and {available / 1e9:.3g} GB "
            "are available: use a smaller width or depth, or fewer networks"
        )
