"""A `ResNet` with its weights written out."""

from __future__ import annotations

import math

import torch
from torch.nn import Parameter, ParameterList

from ..models.resnet import ResNet
from .residual import check_input


class ExplicitResNet(torch.nn.Module):
    """Section 2 of Li, Nica, Roy (arXiv 2106.04013), literally, with n = width, d = depth and n_in = 1.

    .. code-block:: text

        z_0     = W_in x / sqrt(n_in)
        z_{l+1} = alpha z_l + lam sqrt(2/n) W_l phi_l(z_l)         phi_l(z) = ReLU(s_l z)        l = 0 .. d-1
        z_out   = W_out z_d / sqrt(n)

    All weights are 0, and all signs plus, until `resmc.torch_module.fill` has put others there: independent standard
    normals. Nothing is rescaled, so that deep networks over- or underflow where alpha^2 + lam^2 is far from 1.

    Attributes
    ----------
    model : ResNet
    W_in : parameter (n, 1)
    W : list of d parameters (n, n)
    W_out : parameter (n_out, n)
    s : buffer (d + 1, n) of +1 and -1, or None for the vanilla network
        The signs, s_d included: no weight follows it, but the activation asymmetry of z_d is defined by it.
    """

    s: torch.Tensor | None

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        n, d = model.width, model.depth

        def zeros(rows: int, columns: int) -> Parameter:
            return Parameter(torch.zeros(rows, columns, dtype=torch.float64))

        self.model = model
        self.W_in = zeros(n, 1)
        self.W = ParameterList([zeros(n, n) for _ in range(d)])
        self.W_out = zeros(model.n_out, n)
        self.register_buffer("s", torch.ones(d + 1, n, dtype=torch.float64) if model.signed else None)

    def phi(self, layer: int, z: torch.Tensor) -> torch.Tensor:
        """Return the activation of layer 0 .. d: ReLU(z), or ReLU(s_layer z) with balanced signs. Shapes (batch, n)."""
        y: torch.Tensor = self.model.sigma.torch(torch, z if self.s is None else self.s[layer] * z)
        return y

    def forward(
        self, x: torch.Tensor | None = None, return_layers: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
        """Apply the network.

        Parameters
        ----------
        x : tensor (batch, 1), optional
            Inputs; by default the one input of the model, x = input_norm (|x|/sqrt(n_in) = input_norm).
        return_layers : bool
            Also return the list of z_0 .. z_d, tensors (batch, n).

        Returns
        -------
        z_out, or (z_out, [z_0, .., z_d])
            z_out is a tensor (batch, n_out).

        Raises
        ------
        ValueError
            For inputs that are no tensor, or of another dtype than the module's.
        """
        alpha, lam, n, n_in = self.model.alpha, self.model.lam, self.model.width, 1
        if x is None:
            x = self.W_in.new_full((1, n_in), self.model.input_norm)
        check_input(x, self.W_in.dtype, f"(batch, {n_in})")
        z = x @ self.W_in.T / math.sqrt(n_in)
        zs = [z]
        for layer, W in enumerate(self.W):
            z = alpha * z + lam * math.sqrt(2 / n) * self.phi(layer, z) @ W.T
            zs.append(z)
        z_out = z @ self.W_out.T / math.sqrt(n)
        return (z_out, zs) if return_layers else z_out
