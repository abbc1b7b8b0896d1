"""Conversions of a network: between its spellings, log-Gaussian and general, and from and to dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from .._system.plain import Plain
from .._system.words import brief
from .residual_network import Model, ResidualNetwork
from .resnet import SQRT2, VARIANT_ACTIVATIONS, ResNet
from .scaling import DepthScaling, Scaling

ACTIVATIONS_OF_01 = {"softplus": "centred_softplus"}  # names of version 0.1 that mean something else by now


def checked(model: Any) -> Model:
    """Return a network in either spelling; anything else is a ValueError."""
    if not isinstance(model, ResNet | ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a resmc.ResNet or a resmc.ResidualNetwork")
    return model


def log_gaussian(model: Model) -> ResNet | None:
    """Return the network as a `ResNet`, or None where no `ResNet` is it."""
    return model.as_resnet


def general(model: Model) -> ResidualNetwork:
    """Return the network as a `ResidualNetwork`; a `ResNet` is phi-in with carry = alpha and s = sqrt(2) lam."""
    if isinstance(model, ResidualNetwork):
        return model
    scaling: Scaling = DepthScaling(0.0, SQRT2 * model.lam) if model.lam else (0.0,) * model.depth
    return ResidualNetwork(
        model.width,
        model.depth,
        block="phi-in",
        activation=VARIANT_ACTIVATIONS[model.variant],
        carry=model.alpha,
        scaling=scaling,
        n_out=model.n_out,
        input_norm=model.input_norm,
    )


def checked_network(model: Any) -> ResidualNetwork:
    """Return the network as a `ResidualNetwork`, or refuse what is no network.

    Raises
    ------
    ValueError
        For anything but a `ResNet` or a `ResidualNetwork`.
    """
    return general(checked(model))


def listed(model: Model) -> ResNet | None:
    """Return the network as a sweep lists it: a `ResNet` unchanged, any other as the same `ResNet`, or None."""
    return model if isinstance(model, ResNet) else log_gaussian(model)


def first_layers(model: Model, most: int) -> Model:
    """Return the first layers of a network, at most so many, of the size that they have in the whole."""
    depth = min(model.depth, most)
    if isinstance(model, ResNet) or depth == model.depth:
        return replace(model, depth=depth)
    factor = float(model.scales[0])
    scaling = model.scaling[:depth] if isinstance(model.scaling, tuple) else DepthScaling(0.0, factor, model.inside)
    if model.widths is None:
        return replace(model, depth=depth, scaling=scaling)
    widths = model.widths[: depth + 1]
    return replace(model, width=max(widths), widths=widths, depth=depth, scaling=scaling)


def canonical(model: Model) -> Plain:
    """Return the dictionary that all spellings of a network share."""
    resnet = log_gaussian(model)
    return model.to_dict() if resnet is None else resnet.to_dict()


def of_dict(described: Mapping[str, Any], *, version_01: bool = False) -> Model:
    """Return the model that ``to_dict`` described; with ``version_01`` in the names of version 0.1.

    Raises
    ------
    ValueError
        For a name that is no field, a field that is missing, or a value that is not allowed.
    """
    if "block" not in described:
        _check_names(described, ResNet)
        return ResNet(**described)
    _check_names(described, ResidualNetwork)
    given = dict(described)
    name = given.get("activation")
    if version_01 and isinstance(name, str):
        given["activation"] = ACTIVATIONS_OF_01.get(name, name)
    return ResidualNetwork.from_dict(given)


def _check_names(described: Mapping[str, Any], kind: type[ResNet] | type[ResidualNetwork]) -> None:
    """Refuse names that are no fields of a network, and a network without those that have no default."""
    names = [f.name for f in fields(kind)]
    for name in described:
        if name not in names:
            raise ValueError(f"{name!r} is not a field of a {kind.__name__}: they are {', '.join(names)}")
    for f in fields(kind):
        if f.default is MISSING and f.name not in described:
            raise ValueError(f"{f.name} is missing: a {kind.__name__} needs it")
