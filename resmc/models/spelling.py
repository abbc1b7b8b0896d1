"""One network in either spelling: the log-Gaussian one of `ResNet`, where that can say it, and the general one."""

from __future__ import annotations

from typing import Any

from .residual_network import Model, ResidualNetwork, of_resnet
from .resnet import ResNet


def log_gaussian(model: Model) -> ResNet | None:
    """The network as a `ResNet`, or None where that cannot say it."""
    return model.as_resnet


def listed(model: Model) -> ResNet | None:
    """The network as a sweep lists it: a `ResNet` as it is, any other as the `ResNet` that it is, if one is."""
    return model if isinstance(model, ResNet) else log_gaussian(model)


def canonical(model: Model) -> dict[str, Any]:
    """The same description for every spelling of a network."""
    found = log_gaussian(model)
    return model.to_dict() if found is None else found.to_dict()


def general(model: Model) -> ResidualNetwork:
    """The network as a `ResidualNetwork`."""
    return of_resnet(model) if isinstance(model, ResNet) else model
