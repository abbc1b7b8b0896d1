"""As published: one `torch.nn.Module` per network with explicit Gaussian weights, loops in Python, no gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .problem import Floats, Problem


class DefaultNetwork(torch.nn.Module):
    """As people write it: layers constructed by default, their uniform weights then replaced by Gaussian ones."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        n = problem.width
        self.problem = problem
        self.first = torch.nn.Linear(1, n, bias=False)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(n, n, bias=False) for _ in range(problem.depth))
        for weight in self.parameters():
            torch.nn.init.normal_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first(x)
        for layer in self.layers:
            z = self.problem.alpha * z + self.problem.step * layer(active(self.problem, z))
        return z


class ResidualNetwork(torch.nn.Module):
    """The same without the uniform draw that `torch.nn.Linear` makes: every weight is drawn once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        n = problem.width
        self.problem = problem
        self.first = torch.nn.Parameter(torch.randn(n, 1))
        self.weights = torch.nn.ParameterList(torch.nn.Parameter(torch.randn(n, n)) for _ in range(problem.depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first @ x
        for weight in self.weights:
            z = self.problem.alpha * z + self.problem.step * (weight @ active(self.problem, z))
        return z


def active(problem: Problem, z: torch.Tensor) -> torch.Tensor:
    """phi(z): the ReLU, of z with random signs where the network is balanced."""
    if problem.variant == "balanced":
        z = z * (2.0 * torch.randint(0, 2, z.shape) - 1.0)
    return torch.relu(z)


def module_loop(problem: Problem, networks: int, seed: int, threads: int = 1) -> Floats:
    """A Python loop over networks: build the module with each weight drawn once, one forward pass."""
    return _loop(ResidualNetwork, problem, networks, seed)


def default_module_loop(problem: Problem, networks: int, seed: int, threads: int = 1) -> Floats:
    """The same with the default construction."""
    return _loop(DefaultNetwork, problem, networks, seed)


def _loop(network: Callable[[Problem], torch.nn.Module], problem: Problem, networks: int, seed: int) -> Floats:
    torch.manual_seed(seed)
    x = torch.ones(1)
    found = np.empty(networks)
    with torch.no_grad():
        for i in range(networks):
            z = network(problem)(x)
            found[i] = torch.log(torch.sum(z**2) / problem.width).item()
    return found
