"""Several inputs, the tangent kernel and tangents as the arguments of `resmc.simulate` that ask for them again."""

from __future__ import annotations

import math

from .._system.plain import Plain
from ..engine.recording import JointRecording
from ..models.joint_inputs import JointInputs, of_angle, of_gram

FEW = 64  # numbers of inputs that are written out


class Expression(str):
    """Python that stands for itself among arguments."""

    def __repr__(self) -> str:
        return str(self)


def arguments(asked: JointRecording, stored: str) -> Plain:
    """Return the arguments; ``stored`` is the file that holds the inputs where no few numbers say them exactly."""
    out: Plain = _inputs(asked.inputs, stored) if asked.count > 1 else {}
    said = {"tangent_kernel": asked.kernel, "gradients": asked.gradients, "independent_backward": asked.independent}
    for name, value in said.items():
        if value:
            out[name] = True
    if asked.tangents:
        out["tangents"] = asked.tangents
    return out


def _inputs(inputs: JointInputs, stored: str) -> Plain:
    if inputs.x:
        few = len(inputs.x) * len(inputs.x[0]) <= FEW
        return {"inputs": [list(row) for row in inputs.x] if few else Expression(f"{_stored(stored)}.x")}
    if of_gram(inputs.gram) == inputs:
        return {"gram": [list(row) for row in inputs.gram]}
    if inputs.count == 2:
        size, (along, across) = inputs.start[0][0], inputs.start[1]
        near = math.atan2(across, size + along)
        for angle in (near, math.nextafter(near, 0.0), math.nextafter(near, math.pi)):
            if 0.0 <= angle <= math.pi and of_angle(angle, size) == inputs:
                return {"angle": angle}
    return {"gram": Expression(_stored(stored))}


def _stored(stored: str) -> str:
    return f"resmc.load({stored!r}).joint.recording.inputs"
