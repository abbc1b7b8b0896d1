"""`fit`: networks of one or several laws, at one or several learning rates, trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._system import checks
from ..._system.progress import NotedReport, reporting
from ..._system.stopping import interrupted_at_looks, stoppable
from ..._system.words import brief, counted
from ...models import inner_width, layer_widths, normalisation
from ...models.dropout import TRAINING, refuse_dropout
from ...models.residual_network import ResidualNetwork
from .checkpoint import Checkpoint
from .data import FRACTIONS, Data, checked_data
from .record import BY_EPOCH, BY_LAYER, Fit, Weights
from .settings import Settings

if TYPE_CHECKING:
    from .training import Training

MAX_NETWORKS = 10**5
MAX_MODELS = 10**4


@stoppable()
def fit(
    models: ResidualNetwork | Sequence[ResidualNetwork],
    X: Any,
    y: Any,
    *,
    networks: float = 1,
    seed: int = 0,
    learning_rate: float | Sequence[float] = 0.01,
    rate_exponent: float = 0.0,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    epochs: int = 10,
    batch: int = 64,
    step_epochs: int | None = None,
    decay: float = 0.1,
    loss: str | None = None,
    classes: int | None = None,
    split: Sequence[Any] = FRACTIONS,
    standardise: bool | None = None,
    ends: str = "trained",
    scales: str = "fixed",
    start: float = 1.0,
    device: str = "cpu",
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> Fit:
    """Train residual networks: several laws, learning rates and networks side by side in batched matrix products.

    .. code-block:: text

        h_0 = A x,    h_{k+1} = carry h_k + f_k(h_k),    out = W_out h_L          f_k as in `ResidualNetwork`
        loss  = mean over a batch of -log softmax(out)_y,  or of |out - y|^2/K
        step size = learning_rate L^rate_exponent, times ``decay`` every ``step_epochs`` epochs

    by ``torch.optim.SGD`` or ``torch.optim.Adam`` in float32. Every model is trained at every learning rate with every
    network. Network number i has the weights of ``model.to_torch(seed, i)`` at the start, Gaussian A (n, F) of variance
    1/F and W_out (K, n) of variance 1/n, and an order of its examples, in every epoch another: A, W_out and order are
    the same for network i of all models and rates, so that comparisons are of pairs. The learning rate of a model is
    chosen on the examples for validation, and reported on those for test, which nothing else has seen.

    A network whose loss or gradient is not finite is frozen and counts as failed; all others end as they would without
    it, to the bit. No bit depends on ``workers``, nor on what interrupted the training.

    Parameters
    ----------
    models : ResidualNetwork or sequence of these
        1 to 10^4, without dropout. Those of one width, depth, block, activation, with or without bias, and scaled
        inside or outside, are trained side by side, others in turn. Their ``n_out`` and inputs have no meaning here.
    X : array or tensor (M, F)
        M at least 10 examples of finite numbers; further axes are flattened.
    y : array or tensor
        (M,) labels, or numbers (M, K) or (M,).
    networks : int
        P, 1 to 10^5: networks 0 .. P-1 of the seed. Errors take 32.
    seed : int
        0 to 2^64 - 1.
    learning_rate : float or sequence of float
        Above 0, at most 64 different ones.
    rate_exponent : float
        Exponent of the depth L in the step size.
    optimizer : {"sgd", "adam"}
        Adam has torch's own constants.
    momentum : float
        From 0 to 1, excluding 1; for "sgd" alone.
    weight_decay : float
        At least 0: this times a weight is added to its gradient.
    epochs, batch : int
        Examples that are left over in an epoch, less than a batch, are not used in it.
    step_epochs : int, optional
        Epochs after which the step size is multiplied by ``decay``, again and again.
    decay : float
        Above 0.
    loss : {"cross_entropy", "mean_square"}, optional
        By default the mean square if y is floats or a matrix, and otherwise the cross entropy.
    classes : int, optional
        Number of classes, whose labels are then 0 .. classes-1. By default the different labels in y.
    split : three fractions, or three lists of indices
        Examples for training, validation and test; by fractions at random, the same for all networks.
    standardise : bool, optional
        Subtract from X the means of the examples for training, and divide by one number, so that the mean of their x^2
        is 1. By default True unless ``ends="identity"``.
    ends : {"trained", "fixed", "identity"}
        "trained" trains A and W_out too, "fixed" leaves them as they are drawn, and with "identity" h_0 = x and
        out = h_L, which needs F = K = width.
    scales : {"fixed", "shared", "layers"}
        "fixed" leaves s_k as the model has them. "shared" trains one s of all layers, which must be the same in the
        model; "layers" trains one of each layer, which begins as the model's s_k times N(0, 1) of the network's own.
        The weights are named "s".
    start : float
        What V, W and b are multiplied with before training, above 0.
    device : str
        A device of torch's, such as "cuda"; "auto" is what RESMC_DEVICE names, else "cpu".
    workers : int, optional
        Threads; by default as many as there are CPUs.
    checkpoint : str or Path, optional
        A file that is written every few seconds and at the end. If it is there, the training goes on from it, on the
        same kind of device with the same bits as if it had never been interrupted; asked for with other settings,
        models, networks or data, it is refused. `resmc.stop` and Ctrl-C write it after the step at work, so that
        nothing is lost; a second Ctrl-C, and a killed process, lose a few seconds.
    progress
        As for `simulate`, with networks counted; a bar shows the median loss of the last step.

    Returns
    -------
    Fit

    Raises
    ------
    ImportError
        If torch is not installed (the extra ``resmc[torch]``).
    ValueError
        For an argument that is not allowed, data of another shape or type, missing values, labels out of range, a
        damaged checkpoint and one of another training; the message names it, its value and what is allowed.
    OSError
        If the checkpoint cannot be read or written.
    """
    chosen = checked_models(models)
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^5")
    settings = Settings(
        seed=seed,
        learning_rate=learning_rate,
        rate_exponent=rate_exponent,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        epochs=epochs,
        batch=batch,
        step_epochs=step_epochs,
        decay=decay,
        loss=loss,
        ends=ends,
        scales=scales,
        start=start,
        standardise=standardise,
    )
    data = checked_data(X, y, settings, split, classes)
    with reporting(progress, len(chosen) * len(settings.rates) * count, "training") as report:
        return train_members(
            chosen, range(count), settings, data, device=device, workers=workers, checkpoint=checkpoint, report=report
        )


def checked_models(given: Any) -> tuple[ResidualNetwork, ...]:
    """Return one or several models as a tuple; ValueError for what is none."""
    if isinstance(given, ResidualNetwork):
        given = (given,)
    allowed = "it must be a ResidualNetwork or a sequence of them"
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ValueError(f"models={brief(given)} is not allowed: {allowed}")
    if not 1 <= len(given) <= MAX_MODELS:
        raise ValueError(f"models of {len(given)} entries are not allowed: there must be from 1 to {MAX_MODELS}")
    for i, one in enumerate(given):
        if not isinstance(one, ResidualNetwork):
            raise ValueError(f"models[{i}]={brief(one)} is not allowed: {allowed}")
    for one in given:
        refuse_dropout(one.keep, *TRAINING)
        layer_widths.refuse_widths(one, *layer_widths.TRAINING)
        normalisation.refuse_norm(one, *normalisation.TRAINING)
        inner_width.refuse_inner_width(one.inner_width, *inner_width.TRAINING)
    return tuple(given)


def check_training(models: Sequence[ResidualNetwork], settings: Settings, data: Data) -> None:
    """Refuse what cannot be trained, before any of it is: raises ImportError and ValueError as `fit` does."""
    from ...torch_module.members import check_scales  # needs torch, and says what to install where it is missing

    check_scales(models, settings.scales)
    data.batches(settings.batch)
    for model in models:
        _check_ends(model, settings, data)
        for rate in settings.rates:
            settings.step_size(rate, model.depth)


def train_members(
    models: Sequence[ResidualNetwork],
    networks: Sequence[int],
    settings: Settings,
    data: Data,
    *,
    device: str = "cpu",
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    report: NotedReport | None = None,
) -> Fit:
    """Train what `fit` trains, of any network numbers, with settings and data that are checked already.

    Parameters
    ----------
    models : sequence of ResidualNetwork
        Of any shapes; those of one shape are one part, a `Training`.
    networks : sequence of int
        Numbers of the networks, all different, such as ``range(10, 20)``: what becomes of a network does not depend on
        which others there are, so that ranges can be trained apart.
    settings : Settings
    data : Data
        As `checked_data` returns it.
    device, workers, checkpoint
        As for `fit`.
    report : callable, optional
        Called after each step with the fraction that is done, and with the loss in words.

    Returns
    -------
    Fit
        Arrays of shape (models, rates, networks, ..).

    Raises
    ------
    ImportError, ValueError, OSError
        As `fit`.
    """
    check_training(models, settings, data)
    from .training import Training, named_device

    device = named_device(device)
    kind = str(device).partition(":")[0]
    networks = tuple(networks)
    settings = replace(settings, loss=data.loss)  # A loss is named or follows from y: one training.
    file = None
    if checkpoint is not None:
        described = {
            "models": [model.to_dict() for model in models],
            "networks": list(networks),
            "settings": settings.to_dict(),
            "data": data.described(),
            "device": kind,
        }
        file = Checkpoint(checkpoint, described)
    parts = list(_by_shape(models).values())
    result = _Result(models, networks, settings, data, kind)
    work, done = [len(part) * _work(models[part[0]]) for part in parts], 0.0
    for i, part in enumerate(parts):
        training = Training([models[b] for b in part], networks, settings, data, device=device, workers=workers)
        _run(training, i, file, None if report is None else _share(report, done, work[i], sum(work)))
        result.put(part, training)
        done += work[i]
    return result.fit()


def _run(training: Training, part: int, file: Checkpoint | None, report: NotedReport | None) -> None:
    """Train a part to its end, from where its state in the file left it; new states are written to the file."""
    if file is not None and part < file.parts:
        try:
            training.restore(file.stored(part))
        except ValueError as error:
            raise file.refusal(error) from None
    elif file is not None:  # A place that cannot be written to is found now, and not after a while.
        file.write(part, training.state())
    goes_on = training.done < training.steps

    def after(training: Training, losses: Any) -> None:
        if file is not None and file.due and training.done < training.steps:
            file.write(part, training.state())
        if report is not None:
            report(training.done / training.steps, f"loss {float(losses.median()):.3g}")

    if file is None:
        training.run(after)
    else:
        try:
            with interrupted_at_looks():
                training.run(after)
                file.finish(part, training.state(), write=goes_on)
        except BaseException:
            if training.between_steps:  # In the middle of a step some members are ahead of others.
                with suppress(OSError):  # The file stays as it was, and what has happened is what is raised.
                    file.write(part, training.state())
            raise
    if report is not None and not goes_on:
        report(1.0)


def _share(report: NotedReport, before: float, work: float, all_work: float) -> NotedReport:
    """Return a report for a part with its share of the work, of which there was some ``before`` it."""

    def of_part(fraction: float, note: str = "") -> None:
        report((before + work * fraction) / all_work, note)

    return of_part


def _by_shape(models: Sequence[ResidualNetwork]) -> dict[Any, list[int]]:
    """Return the places of the models of each shape, in the order in which shapes appear."""
    found: dict[Any, list[int]] = {}
    for b, model in enumerate(models):
        shape = (model.width, model.depth, model.block, model.activation, model.bias > 0.0, model.inside)
        found.setdefault(shape, []).append(b)
    return found


def _work(model: ResidualNetwork) -> float:
    return float(model.depth) * model.width**2


def _check_ends(model: ResidualNetwork, settings: Settings, data: Data) -> None:
    if settings.ends == "identity" and model.width != data.features:
        raise ValueError(
            f"ends='identity' is not allowed with width={model.width} and {counted(data.features, 'feature')}: h_0 is "
            "x, so that both must be equal"
        )


class _Result:
    """Arrays of a `Fit`, into which trainings put what has come of their models."""

    def __init__(
        self, models: Sequence[ResidualNetwork], networks: tuple[int, ...], settings: Settings, data: Data, device: str
    ) -> None:
        self.device = device
        self.models, self.networks, self.settings, self.data = tuple(models), networks, settings, data
        members = (len(models), len(settings.rates), len(networks))
        self.by_epoch = {name: np.empty((*members, settings.epochs)) for name in BY_EPOCH}
        self.at_end = {name: np.empty(members) for name in ("test_loss", "test_accuracy")}
        self.finite = np.empty(members, bool)
        self.weights: list[Weights] = [{} for _ in models]

    def put(self, part: list[int], training: Training) -> None:
        """Take what has come of the models at these places."""
        for name, array in self.by_epoch.items():
            array[part] = getattr(training, name)
        self.at_end["test_loss"][part], self.at_end["test_accuracy"][part] = training.evaluated("test")
        self.finite[part] = training.finite & np.isfinite(self.at_end["test_loss"][part])
        for name, one in training.weights().items():
            for place, b in enumerate(part):
                self.weights[b][name] = one.take(place, axis=int(name in BY_LAYER))

    def fit(self) -> Fit:
        return Fit(
            models=self.models,
            networks=self.networks,
            settings=self.settings,
            data=self.data,
            **self.by_epoch,
            **self.at_end,
            finite=self.finite,
            _weights=tuple(self.weights),
            device=self.device,
        )
