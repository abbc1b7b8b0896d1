"""A `ResNet` with its weights written out."""

from __future__ import annotations

import math

import torch

from .._system import checks
from ..models.residual_network import ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE, ResNet
from ..reference import draw_of_layer, normals, signs


class ExplicitResNet(torch.nn.Module):
    r"""Section 2 of Li, Nica, Roy (arXiv 2106.04013), literally, with n = width, d = depth and n_in = 1.

    .. code-block:: text

        z_0     = W_in x / sqrt(n_in)
        z_{l+1} = alpha z_l + lam sqrt(2/n) W_l phi_l(z_l)         phi_l(z) = ReLU(s_l z)        l = 0 .. d-1
        z_out   = W_out z_d / sqrt(n)

    All weights are independent standard normals. Nothing is rescaled, so that alpha and lam far from
    alpha^2 + lam^2 = 1 overflow in deep networks, as written.

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

    def __init__(self, model: ResNet, seed: int = 0, network: int = 0) -> None:
        super().__init__()
        n, d, n_out = model.width, model.depth, model.n_out

        def gaussian(rows: int, columns: int, stream: str, layer: int) -> torch.nn.Parameter:
            entries = normals(seed, [network], stream, layer, rows * columns)
            return torch.nn.Parameter(torch.from_numpy(entries.reshape(rows, columns)))

        self.model = model
        self.W_in = gaussian(n, 1, "first_layer", 0)
        self.W = torch.nn.ParameterList([gaussian(n, n, "dense_weights", layer) for layer in range(d)])
        self.W_out = gaussian(n_out, n, "dense_output", d)
        if model.variant == "vanilla":
            self.register_buffer("s", None)
        else:
            half = model.variant == "balanced-half"
            drawn = [torch.from_numpy(signs(seed, [network], *draw_of_layer(layer), n, half)) for layer in range(d + 1)]
            self.register_buffer("s", torch.cat(drawn))

    def phi(self, layer: int, z: torch.Tensor) -> torch.Tensor:
        """The activation of layer 0 .. d: ReLU(z), or ReLU(s_layer z) with balanced signs. Shapes (batch, n)."""
        return torch.relu(z if self.s is None else self.s[layer] * z)

    def forward(
        self, x: torch.Tensor | None = None, return_layers: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
        r"""Apply the network.

        Parameters
        ----------
        x : tensor (batch, 1), optional
            Inputs; by default the one input of the model, x = input_norm (\|x\|/sqrt(n_in) = input_norm).
        return_layers : bool
            Also return the list of z_0 .. z_d, tensors (batch, n).

        Returns
        -------
        z_out, or (z_out, [z_0, .., z_d])
            z_out is a tensor (batch, n_out).
        """
        alpha, lam, n, n_in = self.model.alpha, self.model.lam, self.model.width, 1
        if x is None:
            x = self.W_in.new_full((1, n_in), self.model.input_norm)
        z = x @ self.W_in.T / math.sqrt(n_in)
        zs = [z]
        for layer, W in enumerate(self.W):
            z = alpha * z + lam * math.sqrt(2 / n) * self.phi(layer, z) @ W.T
            zs.append(z)
        z_out = z @ self.W_out.T / math.sqrt(n)
        return (z_out, zs) if return_layers else z_out


def explicit_network(model: ResNet, seed: int = 0, network: int = 0) -> ExplicitResNet:
    """Network number ``network`` of ``seed``, with explicit weights, float64.

    Parameters
    ----------
    model : ResNet
        Width at most 2^17; the weights take 8 (depth n^2 + n_out n + n) bytes.
    seed : int
        0 to 2^64 - 1.
    network : int
        0 to 2^48 - 1.

    Returns
    -------
    ExplicitResNet

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    return ExplicitResNet(model, *checked(model, seed, network))


def checked(model: ResNet | ResidualNetwork, seed: int, network: int) -> tuple[int, int]:
    """The seed and the network's number, once the model's weights are known to have counters."""
    checks.integer("width", model.width, 1, MAX_WIDTH_DENSE, "2^17 with explicit weights")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    return seed, checks.integer("network", network, 0, 2**48 - 1, "2^48 - 1")
