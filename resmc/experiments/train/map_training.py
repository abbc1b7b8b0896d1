"""Training of a range of a row of a map: how far its networks go before, and how well they do after."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch

from ...results.estimates import Floats
from ...torch_module.ensemble import Ensemble
from .data import Data
from .map_row import MapRow, RowResults
from .training import Training


def trained(
    row: MapRow, data: Data, networks: range, device: str, threads: int, report: Callable[[float], None]
) -> tuple[str, RowResults]:
    """Train networks of a row, and return the numerics class and the results.

    ``report`` is called after each step with the fraction that is done, and may raise an exception.
    """
    growth = _growth(row, data, networks, device, threads)
    training = Training(row.models, networks, row.settings, data, device=device, workers=threads)
    training.run(lambda now, _: report(now.done / now.steps))
    loss, accuracy = training.evaluated("test")
    scores = [(training.validation_loss[..., -1], loss), (training.validation_accuracy[..., -1], accuracy)]
    # Members are (exponents, rates, networks) there, and networks come first in a row.
    losses, accuracies = (np.ascontiguousarray(np.stack(pair, axis=-1).transpose(2, 0, 1, 3)) for pair in scores)
    failed = np.ascontiguousarray(~(training.finite & np.isfinite(loss)).transpose(2, 0, 1))
    results = RowResults(losses, accuracies if row.data.classifies else None, failed, growth)
    return numerics_of(training.ensemble.device), results


def _growth(row: MapRow, data: Data, networks: range, device: str, threads: int) -> Floats:
    """Return the mean over the test examples of log10 |h_L|/|h_0|, (networks, exponents), computed in float64."""
    ensemble = Ensemble(
        [model for _ in networks for model in row.models],
        [network for network in networks for _ in row.models],
        row.seed,
        features=data.features,
        outputs=data.outputs,
        ends=row.settings.ends,
        dtype=torch.float64,
        device=device,
        workers=threads,
    )
    x = torch.as_tensor(data.x[data.part("test")], dtype=torch.float64, device=ensemble.device)
    squares = ensemble.state_norms(x)[[0, -1]].cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 0.5 * np.log10(squares[1] / squares[0])
    ratios = np.where(np.isnan(ratios), np.inf, ratios)  # states beyond the range of numbers
    return np.asarray(ratios.mean(axis=1).reshape(len(networks), len(row.betas)))


def numerics_of(device: torch.device) -> str:
    """Return the numerics class of training on a device: all that rounds alike.

    It names the kind of device, torch's version, and the instruction set or the GPU's architecture.
    """
    version = re.sub(r"\+.*", "", torch.__version__)
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"cuda/torch-{version}/sm_{major}{minor}"
    return f"{device.type}/torch-{version}/{torch.backends.cpu.get_cpu_capability().lower()}"
