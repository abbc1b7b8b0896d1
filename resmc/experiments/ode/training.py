"""Training of networks side by side, with the true gradient or with the adjoint's, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...results.estimates import Floats
from ...torch_module.devices import checked_device
from ...torch_module.fill import explicit
from ...torch_module.residual import ExplicitResidualNetwork
from .data import Data

Tensor = torch.Tensor
FIRST_LAYER, BATCHES = 1, 2  # streams of random numbers beside that of the data


@dataclass(frozen=True)
class Course:
    """How networks are trained: stochastic gradient descent with momentum."""

    seed: int
    networks: int
    steps: int
    batch: int
    learning_rate: float
    momentum: float
    device: str

    def __post_init__(self) -> None:
        checked_device(self.device)


def check_step_sizes(model: ResidualNetwork, depths: Sequence[int], learning_rate: float) -> None:
    """Refuse a learning rate with which a step size is beyond the numbers of float32, in which networks are trained."""
    for depth in depths:
        size = _step_size(model, depth, learning_rate)
        if not size <= torch.finfo(torch.float32).max:
            raise ValueError(
                f"learning_rate={learning_rate:g} is not allowed: the step size learning_rate/(N s^2) is {size:.3g} at "
                f"N = {depth}, beyond the numbers of float32"
            )


def _step_size(model: ResidualNetwork, depth: int, learning_rate: float) -> float:
    """Return learning_rate/(N s^2), with which h_N moves as much whatever the depth N and the size s of a branch."""
    assert isinstance(model.scaling, DepthScaling)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        return float(learning_rate / (depth * np.float64(model.scaling.at(depth)) ** 2))


class Training:
    """Networks of one scheme and depth that are trained side by side from one start, by either gradient.

    Attributes
    ----------
    loss, accuracy : ndarray, shape (networks,)
        Of the last training: the cross entropy of the examples for training, infinite where a gradient was not finite,
        and the fraction of those held out that are classified rightly.
    """

    def __init__(self, model: ResidualNetwork, scheme: str, depth: int, data: Data, course: Course) -> None:
        self.course, self.trained = course, data.trained
        self.model = replace(model, depth=depth, n_out=data.classes, n_in=None, input=None, input_norm=1.0)
        self.scheme = scheme
        self.x = torch.as_tensor(data.x, dtype=torch.float32, device=course.device)
        self.y = torch.as_tensor(data.y, device=course.device)
        self.start()

    def start(self) -> None:
        """Give the networks the weights that they have at the start."""
        course, features = self.course, self.x.shape[1]
        module = explicit(self.model, course.seed, range(course.networks), scheme=self.scheme, backward="adjoint")
        assert isinstance(module, ExplicitResidualNetwork)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([course.seed, FIRST_LAYER])))
        first = rng.standard_normal((course.networks, self.model.width, features)) / np.sqrt(features)
        module.A = torch.nn.Parameter(torch.from_numpy(first))
        self.module = module.to(device=course.device, dtype=torch.float32)
        self.module.A.requires_grad_(False)
        self.module.W_out.requires_grad_(False)
        self.parameters = [one for one in self.module.parameters() if one.requires_grad]

    def run(self, backward: str, after: Callable[[], None]) -> None:
        """Train from where the networks are; ``after`` is called after every step."""
        course = self.course
        generator = torch.Generator().manual_seed(_seed(course.seed))
        alive = torch.ones(course.networks, dtype=torch.bool, device=course.device)
        step_size = _step_size(self.model, self.model.depth, course.learning_rate)
        descent = torch.optim.SGD(self.parameters, lr=step_size, momentum=course.momentum)
        for _ in range(course.steps):
            gradients = self._gradients(backward, self._batch(generator))
            for gradient in gradients:
                alive &= torch.isfinite(gradient.movedim(1, 0).flatten(1)).all(dim=1)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                kept = alive.reshape(-1, *[1] * (gradient.ndim - 2))
                parameter.grad = torch.where(kept, gradient, 0.0)
            descent.step()
            after()
        self.loss, self.accuracy = self._evaluated(alive)

    def gradient_error(self) -> Floats:
        """Return |adjoint's gradient - autograd's|/|autograd's| on one batch where the networks are, (networks,)."""
        batch = self._batch(torch.Generator().manual_seed(_seed(self.course.seed)))
        true, found = (
            torch.cat([one.movedim(1, 0).flatten(1) for one in self._gradients(backward, batch)], dim=1).double()
            for backward in ("autograd", "adjoint")
        )
        return np.asarray(((found - true).norm(dim=1) / true.norm(dim=1)).cpu().numpy())

    def _batch(self, generator: torch.Generator) -> Tensor:
        """Return examples of the networks' own, (networks, batch)."""
        shape = (self.course.networks, self.course.batch)
        return torch.randint(self.trained, shape, generator=generator).to(self.course.device)

    def _gradients(self, backward: str, batch: Tensor) -> tuple[Tensor, ...]:
        assert self.module.steps is not None
        self.module.steps = replace(self.module.steps, backward=backward, checked=False)
        out = self.module(self.x[batch])
        loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), self.y[batch].flatten(), reduction="sum")
        return torch.autograd.grad(loss / batch.shape[1], self.parameters)

    @torch.no_grad()
    def _evaluated(self, alive: Tensor) -> tuple[Floats, Floats]:
        out = self.module(self.x)
        right = (out.argmax(dim=-1) == self.y)[:, self.trained :].double().mean(dim=1)
        wanted = self.y[: self.trained].expand(len(out), -1)
        loss = torch.nn.functional.cross_entropy(out[:, : self.trained].movedim(2, 1), wanted, reduction="none")
        mean = loss.double().mean(dim=1)
        mean = torch.where(alive & torch.isfinite(mean), mean, torch.inf)
        return np.asarray(mean.cpu().numpy()), np.asarray(right.cpu().numpy())


def _seed(seed: int) -> int:
    """Return a seed of torch's generators, below 2^63."""
    return int(np.random.SeedSequence([seed, BATCHES]).generate_state(1, np.uint64)[0] >> np.uint64(1))
