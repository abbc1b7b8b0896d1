"""Training of networks of one shape side by side: the loop over epochs and steps, and its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..._system.memory import available_memory
from ..._system.stopping import look
from ...engine.devices import parse
from ...models.residual_network import ResidualNetwork
from ...results.estimates import Floats
from ...torch_module.chunks import BY_LAYER, Chunk
from ...torch_module.ensemble import Ensemble
from .data import Data
from .settings import Settings

Tensor = torch.Tensor
Arrays = dict[str, NDArray[Any]]
ORDER = 4  # stream of random numbers; `data.SPLIT` is another
PIECE = 1 << 24  # numbers of an output that are made at once where nothing is trained


def named_device(device: str) -> str:
    """Return what ``device`` stands for: "auto" is what RESMC_DEVICE names, else the CPU, as for simulations."""
    if device != "auto":
        return device
    kind, ordinal = parse(device)
    return kind if ordinal is None else f"{kind}:{ordinal}"


class Training:
    """Members of one shape that are trained side by side: all models, at all learning rates, with all networks.

    R is the number of learning rates, B that of models, P that of networks, L the depth. Members are in the order of
    rates, then of models, then of networks, and arrays have the shape (B, R, P, ..).

    In each epoch, network number i sees the examples for training in a random order that depends on seed, i and epoch
    alone, in batches; those that are left over, less than a batch, have their turn in another epoch. Members whose
    loss or gradient is not finite are frozen, and the others go on as they would without them.

    Attributes
    ----------
    ensemble : Ensemble
        The members as they are now.
    steps : int
        Steps of descent that all of it takes.
    done : int
        Steps that are done.
    between_steps : bool
        False in the middle of a step, where some members have taken it and others have not.
    training_loss : ndarray, shape (B, R, P, epochs)
        Mean over the steps of an epoch of the loss before each; NaN before the epoch has ended, infinite once a member
        has been frozen.
    validation_loss, validation_accuracy : ndarray, shape (B, R, P, epochs)
        After each epoch. Accuracies are NaN for target values, and 0 where the loss is not finite.

    Raises
    ------
    ValueError
        For members of several shapes, a batch larger than the examples for training, a step size beyond the numbers of
        float32, and weights that do not fit into memory.
    """

    def __init__(
        self,
        models: Sequence[ResidualNetwork],
        networks: Sequence[int],
        settings: Settings,
        data: Data,
        *,
        device: str = "cpu",
        workers: int | None = None,
    ) -> None:
        self.models, self.networks, self.settings, self.data = tuple(models), tuple(networks), settings, data
        self.shape = (len(settings.rates), len(self.models), len(self.networks))
        members = [(i, model, network) for i in range(self.shape[0]) for model in models for network in networks]
        self.ensemble = Ensemble(
            [model for _, model, _ in members],
            [network for _, _, network in members],
            settings.seed,
            features=data.features,
            outputs=data.outputs,
            ends=settings.ends,
            scales=settings.scales,
            start=settings.start,
            groups=[i for i, _, _ in members],
            device=device,
            workers=workers,
        )
        self._check_memory()
        self.batches = data.batches(settings.batch)
        self.steps, self.done, self.between_steps = settings.epochs * self.batches, 0, True
        sizes = [settings.step_size(settings.rates[i], self.models[0].depth) for i, _, _ in members]
        self.updates = {chunk: _Update(chunk, settings, sizes[chunk.members[0]]) for chunk in self.ensemble.chunks}
        on = self.ensemble.device
        self.x, self.y = torch.as_tensor(data.x, device=on), torch.as_tensor(data.y, device=on)
        self._places = torch.arange(self.shape[2]).repeat(self.shape[0] * self.shape[1])
        by_epoch = (len(members), settings.epochs)
        self._training, self._validation, self._accuracy = (np.full(by_epoch, np.nan) for _ in range(3))
        self._running = torch.zeros(len(members), dtype=torch.float64)

    def _check_memory(self) -> None:
        """Refuse what the optimisers keep of each weight where it does not fit into memory beside the weights."""
        kept = 2 if self.settings.optimizer == "adam" else int(self.settings.momentum > 0.0)
        entries = sum(one.numel() for chunk in self.ensemble.chunks for one in chunk.parameters.values())
        size, available = 4 * (kept + 1) * entries, available_memory()  # and a copy as the result
        if self.ensemble.device.type == "cpu" and size > available:
            raise ValueError(
                f"{len(self.ensemble.models)} networks, those at all rates counted, need {size / 1e9:.3g} GB of memory "
                f"more, and {available / 1e9:.3g} GB are available: use fewer networks, models or learning rates"
            )

    @property
    def training_loss(self) -> Floats:
        return self._shaped(self._training)

    @property
    def validation_loss(self) -> Floats:
        return self._shaped(self._validation)

    @property
    def validation_accuracy(self) -> Floats:
        return self._shaped(self._accuracy)

    @property
    def finite(self) -> NDArray[np.bool_]:
        """True for members that are not frozen, and did not leave the range of numbers in the last step, (B, R, P)."""
        lost = np.isinf(self._validation[:, max(0, self.done // self.batches - 1)])
        return self._shaped(self.ensemble.alive.numpy() & ~lost)

    def run(self, after: Callable[[Training, Tensor], object] | None = None) -> None:
        """Train from where the members are to the end; ``after`` is called after each step with the step's losses."""
        order = self._order(self.done // self.batches)
        while self.done < self.steps:
            look()
            epoch, step = divmod(self.done, self.batches)
            if step == 0:
                order = self._order(epoch)
            at = order[:, step * self.settings.batch : (step + 1) * self.settings.batch][self._places]
            at = at.to(self.ensemble.device)
            self.between_steps = False
            losses = self.ensemble.gradients(
                self.x[at], self.y[at], self.data.loss, update=lambda chunk: self.updates[chunk].step()
            )
            self._running += losses
            self.done += 1
            if step == self.batches - 1:
                self._end(epoch)
            self.between_steps = True
            if after is not None:
                after(self, losses)

    def _end(self, epoch: int) -> None:
        """Note what has come of an epoch."""
        self._training[:, epoch] = (self._running / self.batches).numpy()
        self._running.zero_()
        self._validation[:, epoch], self._accuracy[:, epoch] = self._evaluated("validation")
        for chunk, update in self.updates.items():
            if bool(chunk.alive.any()):
                update.end_epoch()

    def evaluated(self, part: str) -> tuple[Floats, Floats]:
        """Return loss and accuracy of the examples for "training", "validation" or "test", each (B, R, P).

        Accuracies are NaN for target values. Members that are frozen, and those whose loss is not finite, have an
        infinite loss and an accuracy of 0.
        """
        loss, accuracy = self._evaluated(part)
        return self._shaped(loss), self._shaped(accuracy)

    def weights(self) -> Arrays:
        """Return the weights as they are now: "V" and "W" of shape (L, B, R, P, n, n), "b" (L, B, R, P, n) and "s"
        (L, B, R, P), those that are there, "A" (B, R, P, n, F) and "W_out" (B, R, P, outputs, n)."""
        found: Arrays = {}
        for name in self.ensemble.chunks[0].weights:
            one = self.ensemble.weights(name).numpy()
            axis = int(name in BY_LAYER)
            one = one.reshape(*one.shape[:axis], *self.shape, *one.shape[axis + 1 :])
            found[name] = np.swapaxes(one, axis, axis + 1)
        return found

    def _order(self, epoch: int) -> Tensor:
        """Return the order of the examples for training in an epoch, by network, (P, examples)."""
        orders = []
        for network in self.networks:
            of = np.random.SeedSequence([self.settings.seed, ORDER, network, epoch])
            orders.append(np.random.Generator(np.random.Philox(of)).permutation(self.data.sizes[0]))
        return torch.from_numpy(np.stack(orders))

    @torch.no_grad()
    def _evaluated(self, part: str) -> tuple[Floats, Floats]:
        members, of = len(self.ensemble.models), self.data.part(part)
        piece = max(1, PIECE // (members * self.data.outputs))
        loss, right = torch.zeros(members, dtype=torch.float64), torch.zeros(members, dtype=torch.float64)
        for start in range(of.start, of.stop, piece):
            x, y = (one[start : min(start + piece, of.stop)] for one in (self.x, self.y))
            out = self.ensemble.outputs(x)
            if self.data.measures:
                wanted = y.expand(members, -1)
                each = torch.nn.functional.cross_entropy(out.flatten(0, 1), wanted.flatten(), reduction="none")
                right += (out.argmax(dim=-1) == wanted).double().sum(dim=1).cpu()
            else:
                each = (out - y).square().mean(dim=-1)
            loss += each.reshape(members, -1).double().sum(dim=1).cpu()
        count, finite = of.stop - of.start, self.ensemble.alive & torch.isfinite(loss)
        loss = torch.where(finite, loss / count, torch.inf)
        accuracy = torch.where(finite, right / count, 0.0) if self.data.measures else torch.full_like(loss, torch.nan)
        return loss.numpy(), accuracy.numpy()

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an array of members, (R B P, ..), as (B, R, P, ..)."""
        return np.swapaxes(values.reshape(*self.shape, *values.shape[1:]), 0, 1)

    # -- the state that a checkpoint keeps ----------------------------------------------------------------------------

    def state(self) -> Arrays:
        """Return all that decides how it goes on, by name: views, good until the next step."""
        found = {**self._kept(), "done": np.array(self.done, np.int64), "alive": self.ensemble.alive.numpy()}
        return found | {name: one.cpu().numpy() for name, one in self._tensors().items()}

    def restore(self, stored: Callable[[str, np.dtype[Any]], NDArray[Any]]) -> None:
        """Go back to a state that `state` returned, of which ``stored`` returns an array by name and type.

        Raises
        ------
        ValueError
            If the state is none of these members'.
        """

        def array(name: str, like: NDArray[Any]) -> NDArray[Any]:
            found = stored(name, like.dtype)
            if found.shape != like.shape:
                raise ValueError(f"{name} has the shape {found.shape}, not {like.shape}")
            return found

        known = self.state()
        read = {name: array(name, like) for name, like in known.items()}
        done = int(read["done"])
        if not 0 <= done <= self.steps:
            raise ValueError(f"it says that {done} of {self.steps} steps are done")
        for name, one in self._kept().items():
            one[...] = read[name]
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(torch.from_numpy(read[name].copy()))
        for update in self.updates.values():
            update.go_to_epoch(done // self.batches)
        self.ensemble.freeze(torch.from_numpy(~read["alive"]))
        self.done = done

    def _kept(self) -> Arrays:
        return {
            "training_loss": self._training,
            "validation_loss": self._validation,
            "validation_accuracy": self._accuracy,
            "running": self._running.numpy(),
        }

    def _tensors(self) -> dict[str, Tensor]:
        updates = enumerate(self.updates.values())
        return {f"{i}.{name}": one for i, update in updates for name, one in update.tensors().items()}


class _Update:
    """The optimiser of a chunk, all of whose members have one learning rate, and its schedule."""

    def __init__(self, chunk: Chunk, settings: Settings, step_size: float) -> None:
        self.parameters, self.settings, self.step_size = chunk.parameters, settings, step_size
        given: dict[str, Any] = {"lr": step_size, "weight_decay": settings.weight_decay, "fused": True}
        self.optimizer: torch.optim.Optimizer
        kept: tuple[str, ...] = ("momentum_buffer",) if settings.momentum else ()
        if settings.optimizer == "adam":
            self.optimizer, kept = torch.optim.Adam(self.parameters.values(), **given), ("exp_avg", "exp_avg_sq")
        else:
            self.optimizer = torch.optim.SGD(self.parameters.values(), momentum=settings.momentum, **given)
        # The optimisers would make these in their first step, which a chunk that is frozen at once never takes.
        for one in self.parameters.values():
            self.optimizer.state[one] = {name: torch.zeros_like(one, requires_grad=False) for name in kept}
            if settings.optimizer == "adam":
                self.optimizer.state[one]["step"] = torch.zeros((), dtype=torch.float32, device=one.device)
        self.schedule = None
        if settings.step_epochs is not None:
            self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, settings.step_epochs, settings.decay)

    def step(self) -> None:
        self.optimizer.step()

    def end_epoch(self) -> None:
        if self.schedule is not None:
            self.schedule.step()

    def go_to_epoch(self, epoch: int) -> None:
        """Give the optimiser the step size of an epoch, multiplied as the schedule does it, one factor at a time."""
        if self.schedule is not None:
            size = self.step_size
            for _ in range(epoch // self.schedule.step_size):
                size *= self.schedule.gamma
            self.optimizer.param_groups[0]["lr"] = size
            self.schedule.load_state_dict({"last_epoch": epoch, "_step_count": epoch + 1, "_last_lr": [size]})

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters and what the optimiser keeps of them, by name."""
        found = {}
        for name, one in self.parameters.items():
            found[name] = one.detach()
            found |= {f"{name}.{kept}": tensor for kept, tensor in self.optimizer.state[one].items()}
        return found
