"""Any `ResidualNetwork` with its weights written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import Parameter, ParameterList, functional

from ..models.activations import LEAK, LOG2
from ..models.residual_network import ResidualNetwork
from ..reference.maps import INNER, OUTER, Draws
from ..reference.vectors import Floats
from .resnet import checked

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "balanced": torch.relu,  # of s x
    "balanced-half": torch.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, LEAK),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "softplus": lambda x: 2.0 * (functional.softplus(x, threshold=50.0) - LOG2),  # beyond 50 it is x, up to e^-50
    "linear": lambda x: x,
}


class ExplicitResidualNetwork(torch.nn.Module):
    r"""A `ResidualNetwork`, literally, in float64: n = width, d = depth.

    .. code-block:: text

        h_0     = A x
        h_{l+1} = carry h_l + F_l(h_l)                                              l = 0 .. d-1
        h_out   = W_out h_d

        phi-in     F(h) = s_l (V sigma(h) + b)
        phi-out    F(h) = s_l sigma(W h + b),  or with the scaling inside  sigma(s_l (W h + b))
        v-phi-w    F(h) = s_l V sigma(W h + b)

    Autograd gives p_l, the gradient of an output with respect to h_l. Nothing is rescaled, so that deep networks
    overflow where carry and scaling make them.

    Attributes
    ----------
    model : ResidualNetwork
    A : parameter (n, n_in), of variance 1/n_in
        With Gaussian weights, or without an ``input``, h_0 depends on the input's norm alone; x is then one number,
        \|x\|/sqrt(n_in), and A has the shape (n, 1).
    V, W : lists of d parameters (n, n), of variance 1/n
        Empty where the block has none.
    b : list of d parameters (n,)
        Empty without bias.
    W_out : parameter (n_out, n), of variance 1/n
    signs : buffer (d, n) of +1 and -1, or None
        Those of a balanced activation, sigma(signs x).
    """

    x: torch.Tensor
    signs: torch.Tensor | None

    def __init__(self, model: ResidualNetwork, seed: int = 0, network: int = 0) -> None:
        super().__init__()
        n, layers = model.width, range(model.depth)
        draws = Draws(model, seed, np.array([network], np.uint64))

        def parameter(entries: Floats) -> Parameter:  # of the one network
            return Parameter(torch.tensor(entries[0]))

        def matrices(stream: str) -> ParameterList:
            return ParameterList([parameter(draws.matrix(stream, layer, n, n)) for layer in layers])

        inner = INNER if model.block == "v-phi-w" else OUTER
        self.model = model
        self.V = matrices(OUTER.weights) if model.block != "phi-out" else ParameterList()
        self.W = matrices(inner.weights) if model.block != "phi-in" else ParameterList()
        biased = layers if model.bias else ()
        self.b = ParameterList([parameter(model.bias * draws.normals("bias", layer, n)) for layer in biased])
        self.W_out = parameter(draws.matrix("dense_output", model.depth, model.n_out, n))
        if model.input is None or model.weights == "gaussian":
            A, x = draws.normals("first_layer", 0, n)[:, :, None], [model.size]
        else:
            A, x = draws.matrix("dense_input", 0, n, len(model.input)), list(model.input)
        self.A = parameter(A)
        self.register_buffer("x", torch.tensor([x], dtype=torch.float64), persistent=False)
        signs = [torch.tensor(draws.signs(layer)) for layer in layers if model.sigma.signed]
        self.register_buffer("signs", torch.cat(signs) if signs else None)

    def sigma(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """The activation of layer 0 .. d-1. Shapes (batch, n)."""
        activation = ACTIVATIONS[self.model.activation]
        return activation(x if self.signs is None else self.signs[layer] * x)

    def branch(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """F_layer(h), of layer 0 .. d-1. Shapes (batch, n)."""
        s, b = float(self.model.scales[layer]), self.b[layer] if self.model.bias else h.new_zeros(())
        if self.model.block == "phi-in":
            y: torch.Tensor = self.sigma(layer, h) @ self.V[layer].T + b
            return s * y
        u: torch.Tensor = h @ self.W[layer].T + b
        if self.model.block == "phi-out":
            return self.sigma(layer, s * u) if self.model.inside else s * self.sigma(layer, u)
        y = self.sigma(layer, u) @ self.V[layer].T
        return s * y

    def forward(
        self, x: torch.Tensor | None = None, return_layers: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
        r"""Apply the network.

        Parameters
        ----------
        x : tensor (batch, n_in), optional
            Inputs; by default that of the model. (batch, 1) where A has the shape (n, 1).
        return_layers : bool
            Also return the list of h_0 .. h_d, tensors (batch, n).

        Returns
        -------
        h_out, or (h_out, [h_0, .., h_d])
            h_out is a tensor (batch, n_out).
        """
        hs = [(self.x if x is None else x) @ self.A.T]
        for layer in range(self.model.depth):
            hs.append(self.model.carry * hs[-1] + self.branch(layer, hs[-1]))
        out = hs[-1] @ self.W_out.T
        return (out, hs) if return_layers else out


def explicit_residual_network(model: ResidualNetwork, seed: int = 0, network: int = 0) -> ExplicitResidualNetwork:
    """Network number ``network`` of ``seed``, with explicit weights, float64.

    Parameters
    ----------
    model : ResidualNetwork
        Width at most 2^17; a matrix takes 8 n^2 bytes, and every layer has one or two.
    seed : int
        0 to 2^64 - 1.
    network : int
        0 to 2^48 - 1.

    Returns
    -------
    ExplicitResidualNetwork

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    return ExplicitResidualNetwork(model, *checked(model, seed, network))
