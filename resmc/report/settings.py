"""The fields of a network as the settings of a page name them."""

from __future__ import annotations

from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import ResNet
from ..models.scaling import DepthScaling
from ..sweep.axes import shown
from .numbers import count, plain


def of_model(model: Model, depth: bool = True) -> list[tuple[str, str]]:
    """Return names and values of a network's fields; without ``depth`` those that have no depth in them."""
    size = [("Width n", count(model.width))]
    size += [("Depth d", count(model.depth)), ("d/n", plain(model.ratio))] if depth else []
    outputs = ("Output neurons", count(model.n_out))
    if isinstance(model, ResNet):
        return [
            ("Variant", model.variant), *size, ("alpha (skip)", repr(model.alpha)),
            ("lam (residual branch)", repr(model.lam)), outputs, ("Input norm", repr(model.input_norm)),
        ]  # fmt: skip
    given = ("Input norm", repr(model.input_norm))
    if model.input is not None:
        given = ("Input", f"{shown(model.input)}, {count(len(model.input))} numbers")
    return [
        ("Block", model.block), ("Activation", model.activation), *size,
        ("Scaling of branches", scaling_of(model, "d" if depth else "L")),
        ("Carry (skip)", repr(model.carry)), ("Weights", model.weights), ("Bias", repr(model.bias)), outputs, given,
    ]  # fmt: skip


def scaling_of(model: ResidualNetwork, depth: str = "d") -> str:
    """Write a scaling in a few words, with a letter for the depth."""
    scaling = model.scaling
    if not isinstance(scaling, DepthScaling):
        different = {float(s) for s in model.scales}
        if len(different) == 1:
            return f"by {plain(different.pop(), 6)} in every layer"
        return f"layer by layer, from {plain(min(different), 6)} to {plain(max(different), 6)}"
    inside = " inside the activation" * scaling.inside
    if scaling.beta == 0.0:
        return f"by {plain(scaling.c, 6)}{inside}"
    factor = "" if scaling.c == 1.0 else f"{plain(scaling.c, 6)} "
    return f"by {factor}{depth}^({plain(-scaling.beta, 6)}){inside}"
