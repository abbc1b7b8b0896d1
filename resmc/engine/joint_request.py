"""Several inputs, a tangent kernel and tangents as `resmc.simulate` is asked for them: checked, and made one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .._system import checks
from .._system.words import brief
from ..models import inner_width, joint_inputs, layer_widths, normalisation
from ..models.joint_inputs import MAX_JOINT, JointInputs
from ..models.residual_network import Model, ResidualNetwork
from ..models.weight_law import refuse_orthogonal
from .devices import Device
from .lowering import lower
from .recording import JointRecording


@dataclass(frozen=True)
class Asked:
    """The arguments of `resmc.simulate` that are about several inputs, tangents and the backward pass."""

    gram: Any = None
    inputs: Any = None
    angle: Any = None
    tangent_kernel: Any = False
    independent_backward: Any = False
    tangents: Any = 0


def joint_of(model: Model, asked: Asked, gradients: Any) -> tuple[Model, JointRecording | None]:
    """Return the network, whose input is the first of several, and what is asked for of all; None if nothing is.

    Raises
    ------
    ValueError
        For arguments that are out of range, or not allowed together or with this network.
    """
    kernel = checks.boolean("tangent_kernel", asked.tangent_kernel)
    backward = kernel or checks.boolean("gradients", gradients)
    independent = checks.boolean("independent_backward", asked.independent_backward)
    if independent and not backward:
        raise ValueError(
            "independent_backward=True is not allowed without tangent_kernel=True or gradients=True: there is no "
            "backward pass"
        )
    tangents = checks.integer("tangents", asked.tangents, 0, MAX_JOINT - 1)
    given = [name for name in ("gram", "inputs", "angle") if getattr(asked, name) is not None]
    if len(given) > 1:
        raise ValueError(f"{given[1]} is not allowed beside {given[0]}: give one of gram, inputs and angle")
    if not (given or kernel or independent or tangents):
        normalisation.refuse_batch(model)
        return model, None
    what = given[0] if given else f"{'tangents' if tangents else 'tangent_kernel'}={tangents or True}"
    inputs = _inputs(model, asked, what)
    _check_count(model, inputs, tangents)
    _check_model(model, what)
    normalisation.check_joint(model, inputs.count, tangents, kernel)
    if inputs.x:
        assert isinstance(model, ResidualNetwork)
        model = replace(model, input=inputs.x[0], n_in=None, input_norm=1.0)
    elif given and given[0] != "angle":
        model = with_size(model, inputs)
    if not lower(model).homogeneous:
        assert isinstance(model, ResidualNetwork)
        joint_inputs.check_in_own_units(inputs, str(model.activation), model.bias)
    batch = isinstance(model, ResidualNetwork) and model.norm == "batch"
    return model, JointRecording(inputs, tangents, backward and not batch, independent, gradients=backward and batch)


def with_size(model: Model, inputs: JointInputs) -> Model:
    """Return the network with the first of these inputs, which enters by its size."""
    size = float(inputs.sizes[0])
    return model if model.inputs.size == size else replace(model, input_norm=size)


def check_recording(what: str, device: Device, keep_on_device: Any) -> None:
    """Refuse what several inputs, or tangents, do not have yet."""
    if device.kind != "cpu":
        raise ValueError(f"device='cuda' is not allowed with {what}: use device='cpu'")
    if keep_on_device:
        raise ValueError(f"keep_on_device=True is not allowed with {what}: use device='cpu'")


def named(joint: JointRecording) -> str:
    """Say in words what was asked for besides one input."""
    if joint.count > 1:
        return "several inputs"
    return "tangents" if joint.tangents else "tangent_kernel=True"


def _inputs(model: Model, asked: Asked, what: str) -> JointInputs:
    if asked.gram is None and asked.inputs is None:
        if model.inputs.explicit and asked.angle is None:
            return joint_inputs.of_inputs([model.inputs.x], drawn=True)
        if model.inputs.explicit:
            assert isinstance(model, ResidualNetwork)
            raise ValueError(
                f"angle={asked.angle!r} is not allowed with an input and weights={brief(model.law)}, whose first layer "
                "does not see the angle of inputs alone: give inputs"
            )
        size = model.inputs.size
        return joint_inputs.of_size(size) if asked.angle is None else joint_inputs.of_angle(asked.angle, size)
    if asked.gram is not None:
        found = joint_inputs.of_gram(asked.gram)
        found = replace(found, x=())
    else:
        found = joint_inputs.of_inputs(asked.inputs, drawn=not model.weight_law.gaussian)
    if isinstance(model, ResidualNetwork) and model.input not in (None, *found.x[:1]):
        raise ValueError(f"{what} is not allowed beside a network with an input: {what} says it already")
    if model.input_norm not in (1.0, float(found.sizes[0])):
        raise ValueError(f"input_norm={model.input_norm!r} is not allowed beside {what}: {what} says it already")
    return found


def _check_count(model: Model, inputs: JointInputs, tangents: int) -> None:
    if inputs.count + tangents > MAX_JOINT:
        raise ValueError(
            f"tangents={tangents} are not allowed with {inputs.count} inputs: together they must be at most {MAX_JOINT}"
        )
    if tangents > model.width:
        raise ValueError(f"tangents={tangents} are not allowed with width={model.width}: it must be at most the width")


def _check_model(model: Model, what: str) -> None:
    if model.dependence != "iid":
        assert isinstance(model, ResidualNetwork)
        raise ValueError(
            f"weights={brief(model.weights)} are not allowed with {what}, whose kernels draw every layer's matrices "
            "anew: layers must be independent of each other; resmc.reference.simulate_joint follows a few of the others"
        )
    refuse_orthogonal(model.weight_law, f"with {what}")
    layer_widths.refuse_widths(model, f"with {what}", layer_widths.SEVERAL_INPUTS[1])
    if isinstance(model, ResidualNetwork):
        inner_width.refuse_inner_width(model.inner_width, f"with {what}", inner_width.SEVERAL_INPUTS[1])
