"""The options that spell a network, shared by `resmc simulate`, `regime` and `limit`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .._system.plain import Plain
from .._system.words import brief
from ..models.activation_families import FAMILIES
from ..models.activations import ACTIVATIONS
from ..models.blocks import BLOCKS
from ..models.fields import GENERAL, LOG_GAUSSIAN, SHARED, check_together, network_of
from ..models.normalisation import NORMS, PLACES
from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import VARIANTS
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weight_families import SPELLINGS
from ..models.weight_law import BIAS_LAWS
from ..models.weights import Weights, checked_weights
from .common import entries, number

WEIGHTS_EXAMPLE = '{"law": "gaussian", "depth": {"process": "fractional_noise", "hurst": 0.3}}'
LISTS = {"input": "0.5,-1,2", "scaling": "0.1,0.2,0.1, a number for each layer"}  # an example of each list

LOG_GAUSSIAN_FORMULA = "z_{l+1} = alpha z_l + lam sqrt(2/width) W_l phi(z_l), with standard Gaussian entries in W_l"
GENERAL_FORMULA = """\
phi-in       h_{k+1} = carry h_k + s (V sigma(h_k) + b)
phi-out      h_{k+1} = carry h_k + s sigma(W h_k + b)
  --inside   h_{k+1} = carry h_k + sigma(s (W h_k + b))
v-phi-w      h_{k+1} = carry h_k + s V sigma(W h_k + b)
  --keep     phi-in with mask sigma(h_k)/sqrt(keep) for sigma(h_k), each neuron's mask 1 with that probability, else 0
  --norm     N h_k for h_k in the branch (--norm-at pre), s N(..) for the branch (branch), both (sandwich), or h_{k+1} =
             N(the sum) (post); layer: (x - mean x)/sqrt(var x + eps), rms: x/sqrt(|x|^2/width + eps)
  --inner-width   v-phi-w with N neurons between W and V, whose entries then have variance 1/N

V and W are drawn anew in every layer, with independent entries of variance 1/width, unless --weights says otherwise;
s = c L^(-beta), where L is the depth. Options that are not given have their defaults.
"""


def add_model_options(parser: argparse.ArgumentParser, *, depth: bool = True) -> None:
    """Add the options that spell a network; without ``depth`` those of networks whose depth is chosen elsewhere."""
    said = "neurons per layer, n" + ", or those of layers 0 to depth, as 784,256,10, with --carry 0" * depth
    parser.add_argument("--width", type=widths if depth else number, required=True, metavar="WIDTH", help=said)
    if depth:
        parser.add_argument("--depth", type=number, required=True, help="residual layers, d or L")
    parser.add_argument("--n-out", type=number, help="output neurons (default: 1)")
    parser.add_argument("--input-norm", type=float, help="size of the input x, |x|/sqrt(n_in) (default: 1)")
    if depth:
        group = parser.add_argument_group("log-Gaussian network (the default)", LOG_GAUSSIAN_FORMULA)
        group.add_argument("--alpha", type=float, help="weight of the skip (default: 1/sqrt(2))")
        group.add_argument("--lam", type=float, help="weight of the residual branch (default: 1/sqrt(2))")
        group.add_argument("--variant", help=f"{', '.join(VARIANTS)} (default: vanilla)")
    beside = "any residual network (any of these options; none of those above)" if depth else "residual network"
    group = parser.add_argument_group(beside, GENERAL_FORMULA)
    group.add_argument("--block", help=f"{', '.join(BLOCKS)} (default: phi-in)")
    families = ", ".join(f"{name}({','.join(one.parameters)})" for name, one in FAMILIES.items())
    group.add_argument("--activation", help=f"sigma: {', '.join(ACTIVATIONS)}, {families} (default: relu)")
    group.add_argument("--beta", type=float, help="exponent of the scaling s = c L^(-beta) (default: 0.5)")
    group.add_argument("--c", type=float, help="factor of the scaling (default: 1)")
    group.add_argument("--inside", action="store_true", default=None, help="s stands inside sigma (phi-out alone)")
    if depth:
        group.add_argument("--scaling", metavar="LIST", help="s of each layer, as 0.1,0.2,0.1, in place of beta and c")
    group.add_argument("--carry", type=float, help="weight of the skip (default: 1)")
    group.add_argument(
        "--weights",
        help=f"law of the weights: {', '.join(SPELLINGS)} (default: gaussian), or with a dependence in depth as JSON, "
        f"{WEIGHTS_EXAMPLE}",
    )
    group.add_argument("--bias", type=float, help="standard deviation of the biases b (default: 0, no biases)")
    group.add_argument("--keep", type=float, help="dropout: probability that a neuron stays (default: 1, no dropout)")
    group.add_argument("--bias-law", help=f"law of the biases: {', '.join(BIAS_LAWS)} (default: gaussian)")
    group.add_argument("--norm", help=f"N: {', '.join(NORMS)} (default: none)")
    group.add_argument("--norm-at", help=f"where N acts: {', '.join(PLACES)} (default: pre)")
    group.add_argument("--eps", type=float, help="what N adds to a variance or mean square (default: 1e-5)")
    group.add_argument(
        "--inner-width", type=number, help="neurons within a branch of v-phi-w, N (default: as many as a layer has)"
    )
    group.add_argument("--input", metavar="LIST", help="the input x, as 0.5,-1,2 (default: one of size --input-norm)")


def widths(text: str) -> int | list[int]:
    """Read a width, or those of all layers with commas between them."""
    found = [number(part) for part in text.split(",")]
    return found if len(found) > 1 else found[0]


widths.__name__ = "integer or list of integers"  # argparse's messages name the type of an argument by its function


def model_of(args: argparse.Namespace) -> Model:
    """Return the network that the options spell, a `ResNet` if none of the general ones is given.

    Raises
    ------
    ValueError
        For options of two spellings, and for values that the network does not allow.
    """
    given = _given(args)
    if not check_together(given, _option):
        given = {"alpha": 0.5**0.5, "lam": 0.5**0.5} | given
    return network_of(given)


def residual_network_of(args: argparse.Namespace) -> ResidualNetwork:
    """Return the `ResidualNetwork` that the options spell, of depth 1 where there is no option for the depth.

    Raises
    ------
    ValueError
        For options that exclude each other, and for values that the network does not allow.
    """
    given: Plain = {"depth": 1, "block": "phi-in"} | _given(args)
    check_together(given, _option)
    found = network_of(given)
    assert isinstance(found, ResidualNetwork)
    return found


def _given(args: argparse.Namespace) -> Plain:
    """Return the options of the network that were given, by name, lists of numbers as such."""
    found = {name: getattr(args, name, None) for name in (*SHARED, *LOG_GAUSSIAN, *GENERAL)}
    given = {name: value for name, value in found.items() if value is not None}
    for name, example in LISTS.items():
        if name in given:
            given[name] = entries(name, given[name], float, example)
    if given.get("weights", "").startswith("{"):
        given["weights"] = _weights(given["weights"])
    if given.get("activation", "").startswith("{"):
        given["activation"] = _activation(given["activation"])
    return given


def _activation(text: str) -> Activation:
    """Read an activation of one's own from JSON, in the form that `Activation.to_dict` gives it."""
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"activation={brief(text)} is not allowed: it must be what Activation.to_dict gives") from None
    return Activation.from_dict(described)


def _weights(text: str) -> str | QuantileLaw | Weights:
    """Read weights from JSON, in the form that `Weights.to_dict` or `QuantileLaw.to_dict` gives them."""
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"weights={brief(text)} is not allowed: it must look like {WEIGHTS_EXAMPLE}") from None
    return checked_weights(described)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def without_depth(model: Any) -> Plain:
    """Return the fields of a model whose depth has no meaning."""
    return {name: value for name, value in model.to_dict().items() if name != "depth"}
