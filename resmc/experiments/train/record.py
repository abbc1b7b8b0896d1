"""`Fit`: trained networks, and how well they do by model, learning rate and network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.words import are, brief, brief_repr, counted
from ...models.residual_network import ResidualNetwork
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats, mean_estimate
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from .choice import best
from .data import Data
from .settings import Settings

if TYPE_CHECKING:
    from ...torch_module.ensemble import Ensemble
    from ...torch_module.residual import ExplicitResidualNetwork

Weights = dict[str, NDArray[np.float32]]
BY_LAYER = ("V", "W", "b", "s")
OF_TEST = ("accuracy", "loss")
BY_EPOCH = ("training_loss", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, eq=False)
class Fit(Shown):
    """Networks that were trained, as `fit` returns them.

    B is the number of models, R that of learning rates, P that of networks, E that of epochs.

    Attributes
    ----------
    models : tuple of ResidualNetwork
        The laws at the start.
    networks : tuple of int
        Numbers of the networks.
    settings : Settings
        How they were trained, with the learning rates in increasing order.
    data : Data
        With what.
    training_loss : ndarray, shape (B, R, P, E)
        Mean loss of the batches of an epoch, each before its step; infinite from the epoch on in which a network
        failed.
    validation_loss, validation_accuracy : ndarray, shape (B, R, P, E)
        After each epoch; accuracies are NaN for target values.
    test_loss, test_accuracy : ndarray, shape (B, R, P)
        After the last epoch.
    finite : ndarray of bool, shape (B, R, P)
        False for networks that failed: their loss or gradient was not finite in some step, or their loss at the end.
        Their weights are those with which that happened, which may be infinite themselves; their losses are infinite
        and their accuracies 0.
    device : str
        The kind of device that they were trained on, such as "cpu" or "cuda".
    """

    __repr__ = brief_repr

    models: tuple[ResidualNetwork, ...]
    networks: tuple[int, ...]
    settings: Settings
    data: Data
    training_loss: Floats
    validation_loss: Floats
    validation_accuracy: Floats
    test_loss: Floats
    test_accuracy: Floats
    finite: NDArray[np.bool_]
    # By model, with axes for rates and networks where an `Ensemble` has its members.
    _weights: tuple[Weights, ...] = field(repr=False)
    device: str = "cpu"

    @property
    def chosen(self) -> NDArray[np.int64]:
        """The place of each model's best learning rate among ``settings.rates``, (B,).

        The best has the highest accuracy of the examples for validation after the last epoch, the mean over networks,
        or the smallest loss for target values. Of equal accuracies the one with the smaller loss is taken, and of
        equal losses too, as where all networks failed, the smallest rate.
        """
        with np.errstate(over="ignore"):
            loss = self.validation_loss[..., -1].mean(axis=-1)
        return best(self._scores(), loss)

    @property
    def tied(self) -> NDArray[np.bool_]:
        """True where several learning rates are best, so that their loss, or their size, decides, (B,)."""
        scores = self._scores()
        return np.asarray((scores == scores.max(axis=-1, keepdims=True)).sum(axis=-1) > 1)

    @property
    def learning_rate(self) -> Floats:
        """The learning rate that is chosen for each model, (B,)."""
        return np.array(self.settings.rates)[self.chosen]

    @property
    def accuracy(self) -> Estimate:
        """Accuracy of the examples for test at the chosen learning rate, the mean over networks, (B,).

        NaN for target values. The error, from 32 networks on, is that of networks and of the order of their examples:
        the split is the same for all. The choice of the rate is not part of it.
        """
        return self._at_chosen(self.test_accuracy)

    @property
    def loss(self) -> Estimate:
        """Loss of the examples for test at the chosen learning rate, (B,), as `accuracy` otherwise; infinite where a
        network failed."""
        return self._at_chosen(self.test_loss)

    def over_epochs(self, name: str) -> Estimate:
        """Return "training_loss", "validation_loss" or "validation_accuracy" at the chosen learning rates, (B, E).

        Means over networks, with errors as `accuracy` has them.

        Raises
        ------
        ValueError
            For another name.
        """
        return self._at_chosen(np.moveaxis(getattr(self, checks.choice("name", name, BY_EPOCH)), -1, 2))

    def difference(self, a: int, b: int, quantity: str | None = None) -> Estimate:
        """Return the accuracy or the loss of model ``a`` minus that of model ``b``, paired by network.

        .. code-block:: text

            mean over networks i of (q_a,i - q_b,i),    error std_i(q_a,i - q_b,i)/sqrt(P), from P = 32 on

        q are of the examples for test, each model's at its own chosen learning rate. Network i has the same A, W_out
        and order of examples in both models, so that this is known better than two independent means would be. The
        choice of the rates is no part of the error.

        Parameters
        ----------
        a, b : int
            Places among the models.
        quantity : {"accuracy", "loss"}, optional
            By default the accuracy, or for target values the loss.

        Returns
        -------
        Estimate
            Of one number; infinite or NaN for the loss where a network failed.

        Raises
        ------
        ValueError
            For places that are not there, another quantity, and the accuracy of target values.
        """
        places = [checks.integer(name, one, 0, len(self.models) - 1) for name, one in (("a", a), ("b", b))]
        quantity = checks.choice("quantity", quantity or ("accuracy" if self.data.measures else "loss"), OF_TEST)
        if quantity == "accuracy" and not self.data.measures:
            raise ValueError("quantity='accuracy' is not allowed for target values: use quantity='loss'")
        first, second = getattr(self, f"test_{quantity}")[places, self.chosen[places]]
        with np.errstate(invalid="ignore"):
            return self._mean(first - second)

    def names(self, model: int = 0) -> tuple[str, ...]:
        """Return the names of a model's weights, for `weights`."""
        return tuple(self._weights[self._place(model, None)[0]])

    def weights(self, name: str, model: int = 0, learning_rate: float | None = None) -> NDArray[np.float32]:
        """Return trained weights of a model's networks, a copy.

        Parameters
        ----------
        name : {"V", "W", "b", "s", "A", "W_out"}
        model : int
            Place among the models.
        learning_rate : float, optional
            One of the settings'; by default the one that is chosen.

        Returns
        -------
        ndarray of float32
            "V" and "W" (L, P, n, n), "b" (L, P, n), "s" (L, P), "A" (P, n, F), "W_out" (P, outputs, n).

        Raises
        ------
        ValueError
            For a name, place or rate that is not there.
        """
        b, r = self._place(model, learning_rate)
        checks.choice("name", name, self.names(b))
        return self._trained(name, b, r).copy()

    def initial_weights(self, name: str, model: int = 0) -> NDArray[np.float32]:
        """Return the weights that a model's networks had before training, as `weights` otherwise (needs torch)."""
        b, _ = self._place(model, None)
        checks.choice("name", name, self.names(b))
        found: NDArray[np.float32] = self.ensemble(b, initial=True).weights(name).numpy()
        return found

    def ensemble(self, model: int = 0, learning_rate: float | None = None, *, initial: bool = False) -> Ensemble:
        """Return a model's networks side by side for passes through them, trained or ``initial``; it needs torch.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            As `weights` does.
        """
        import torch

        from ...torch_module.ensemble import Ensemble

        b, r = self._place(model, learning_rate)
        weights = {} if initial else {name: self._trained(name, b, r) for name in self.names(b)}
        found = Ensemble(
            [self.models[b]] * len(self.networks),
            self.networks,
            self.settings.seed,
            features=self.data.features,
            outputs=self.data.outputs,
            ends=self.settings.ends,
            scales=self.settings.scales,
            start=self.settings.start,
        )
        found.fill({name: torch.from_numpy(one) for name, one in weights.items()})
        return found

    def module(self, model: int = 0, learning_rate: float | None = None) -> ExplicitResidualNetwork:
        """Return the trained networks of a model as one module of torch's, in float32.

        Inputs are those of ``data.x``, tensors (batch, F) or (P, batch, F), and outputs (P, batch, outputs).

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            As `weights` does, and for networks that failed with infinite weights.
        """
        b, r = self._place(model, learning_rate)
        for name in self.names(b):
            of_networks = np.moveaxis(self._trained(name, b, r), int(name in BY_LAYER), 0)
            infinite = np.flatnonzero(~np.isfinite(of_networks.reshape(len(self.networks), -1)).all(axis=1))
            if infinite.size:
                raise ValueError(
                    f"model={b} with learning_rate={self.settings.rates[r]:g} is not allowed: {len(infinite)} of "
                    f"{counted(len(self.networks), 'network')} failed with infinite weights, as network "
                    f"{self.networks[infinite[0]]}; use a learning rate at which all are finite"
                )
        return self.ensemble(model, learning_rate).module(range(len(self.networks)))

    def initial(self, model: int = 0) -> ExplicitResidualNetwork:
        """Return the networks of a model as they were before training, otherwise as `module`."""
        return self.ensemble(model, initial=True).module(range(len(self.networks)))

    def _trained(self, name: str, model: int, rate: int) -> NDArray[np.float32]:
        return self._weights[model][name][(slice(None),) * (name in BY_LAYER) + (rate,)]

    def _place(self, model: Any, learning_rate: Any) -> tuple[int, int]:
        b = checks.integer("model", model, 0, len(self.models) - 1)
        if learning_rate is None:
            return b, int(self.chosen[b])
        rates = self.settings.rates
        if learning_rate not in rates:
            raise ValueError(f"learning_rate={brief(learning_rate)} is not allowed: it must be one of {brief(rates)}")
        return b, rates.index(learning_rate)

    def _scores(self) -> Floats:
        """Return what is compared of the examples for validation, the larger the better, (B, R)."""
        if self.data.measures:
            return np.asarray(self.validation_accuracy[..., -1].mean(axis=-1))
        return np.asarray(-self.validation_loss[..., -1].mean(axis=-1))

    def _at_chosen(self, values: Floats) -> Estimate:
        """Return the mean over networks, the last axis, of values (B, R, .., P) at the chosen rates."""
        return self._mean(values[np.arange(len(self.models)), self.chosen])

    def _mean(self, at: Floats) -> Estimate:
        """Return the mean over networks, the last axis."""
        with np.errstate(invalid="ignore"):
            squares = np.sum((at - at.mean(axis=-1, keepdims=True)) ** 2, axis=-1)
            found = mean_estimate(np.asarray(at.sum(axis=-1)), squares, np.full(at.shape[:-1], at.shape[-1]))
        ranges = [(number, number + 1) for number in self.networks]
        return share_networks(found, Networks.of(self.settings.seed, ranges))

    def _table(self) -> Table:
        columns = [
            Column("network", "network", width=44),
            Column("learning rate", "learning_rate", width=14, digits=4),
            Column("training loss", "training_loss", width=14, digits=4),
            Column("test loss", "loss", width=22),
            *([Column("test accuracy", "accuracy", width=22)] if self.data.measures else []),
            Column("failed", "failed"),
        ]
        accuracy, loss, chosen = self.accuracy, self.loss, self.chosen
        rows: list[list[Any]] = []
        for b, model in enumerate(self.models):
            failed = int((~self.finite[b, chosen[b]]).sum())
            row = [
                model.title,
                float(self.learning_rate[b]),
                float(self.training_loss[b, chosen[b], :, -1].mean()),
                loss[b],
            ]
            rows.append([*row, *([accuracy[b]] if self.data.measures else []), failed])
        title = f"{counted(len(self.networks), 'network')} trained: {self.data.words()}"
        lines = [
            self.settings.words() + f", seed {self.settings.seed}" + f", on {self.device}" * (self.device != "cpu")
        ]
        return Table("fit", title, columns, rows, lines, self._notes())

    def _notes(self) -> list[str]:
        notes = []
        if _like_labels(self.data):
            notes.append(
                "y has whole numbers, and the loss is the mean square: give integers of shape (M,) for classes"
            )
        measure = "accuracy" if self.data.measures else "loss"
        if len(self.settings.rates) > 1:
            notes.append(
                f"learning rates are chosen by the {measure} of the examples for validation, after the last epoch, of "
                f"{brief(list(self.settings.rates))}"
            )
        for b in np.flatnonzero(self.tied):
            notes.append(
                f"{'model ' + str(b) + ': ' if len(self.models) > 1 else ''}several learning rates have the same "
                f"{measure}; {self.learning_rate[b]:g} has the smallest loss, or is the smallest"
            )
        failed = int((~self.finite).sum())
        if failed:
            notes.append(
                f"{failed} of {self.finite.size} networks, those at all learning rates counted, {are(failed)} not "
                "finite and frozen: their loss is infinite" + ", their accuracy 0" * self.data.measures
            )
        return notes

    def summary(self) -> Table:
        """Return a table by model: the chosen learning rate, losses and accuracy there, and failures."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def _like_labels(data: Data) -> bool:
    """Return True for target values that may be meant as labels: one whole number to an example, and few of them."""
    if data.measures or data.y.shape[1] > 1:
        return False
    values = np.unique(data.y)
    return 2 * len(values) <= len(data.y) and bool((values == np.rint(values)).all())
