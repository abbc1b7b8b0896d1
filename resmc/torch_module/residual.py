"""The general residual network with its weights written out."""

from __future__ import annotations

import torch
from torch.nn import Parameter, ParameterList

from ..models.residual_network import ResidualNetwork


class ExplicitResidualNetwork(torch.nn.Module):
    """A `ResidualNetwork`, literally, in float64: n = width, d = depth.

    .. code-block:: text

        h_0     = A x
        h_{l+1} = carry h_l + F_l(h_l)                                              l = 0 .. d-1
        h_out   = W_out h_d

        phi-in     F(h) = s_l (V sigma(h) + b)
        phi-out    F(h) = s_l sigma(W h + b),  or with the scaling inside  sigma(s_l (W h + b))
        v-phi-w    F(h) = s_l V sigma(W h + b)

    All weights are 0, and all signs plus, until `resmc.torch_module.fill` has put others there. Autograd gives p_l, the
    gradient of an output with respect to h_l. Nothing is rescaled, so that deep networks overflow where carry and
    scaling make their states grow.

    Attributes
    ----------
    model : ResidualNetwork
    A : parameter (n, n_in), of variance 1/n_in
        With Gaussian weights, or without an ``input``, h_0 depends on the input's norm alone; x is then one number,
        |x|/sqrt(n_in), and A has the shape (n, 1).
    V, W : lists of d parameters (n, n), of variance 1/n
        Empty where the block has none.
    b : list of d parameters (n,)
        Empty without bias.
    W_out : parameter (n_out, n), of variance 1/n
    signs : buffer (d, n) of +1 and -1, or None
        The signs of a balanced activation, sigma(signs x).
    """

    x: torch.Tensor
    signs: torch.Tensor | None

    def __init__(self, model: ResidualNetwork) -> None:
        super().__init__()
        n, d, block, x = model.width, model.depth, model.residual_block, model.inputs.x

        def zeros(*shape: int) -> Parameter:
            return Parameter(torch.zeros(shape, dtype=torch.float64))

        def by_layer(there: bool, *shape: int) -> ParameterList:
            return ParameterList([zeros(*shape) for _ in range(d if there else 0)])

        self.model = model
        self.V = by_layer(block.V is not None, n, n)
        self.W = by_layer(block.W is not None, n, n)
        self.b = by_layer(model.bias > 0.0, n)
        self.W_out = zeros(model.n_out, n)
        self.A = zeros(n, len(x))
        self.register_buffer("x", torch.tensor([x], dtype=torch.float64), persistent=False)
        self.register_buffer("signs", torch.ones(d, n, dtype=torch.float64) if model.sigma.signed else None)

    def sigma(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """Return the activation of layer 0 .. d-1 at x. Shapes (batch, n)."""
        y: torch.Tensor = self.model.sigma.torch(torch, x if self.signs is None else self.signs[layer] * x)
        return y

    def branch(self, layer: int, h: torch.Tensor) -> torch.Tensor:
        """Return F_layer(h) for layer 0 .. d-1. Shapes (batch, n)."""
        block, s = self.model.residual_block, float(self.model.scales[layer])
        b = self.b[layer] if self.model.bias else h.new_zeros(())
        y = h
        if block.W is not None:
            y = y @ self.W[layer].T + b
        y = self.sigma(layer, s * y if self.model.inside else y)
        if block.V is not None:
            y = y @ self.V[layer].T
            y = y if block.W is not None else y + b
        return y if self.model.inside else s * y

    def forward(
        self, x: torch.Tensor | None = None, return_layers: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
        """Apply the network.

        Parameters
        ----------
        x : tensor (batch, n_in), optional
            Inputs, of shape (batch, 1) where A has the shape (n, 1); by default the one of the model.
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
