"""Lines of a summary about several inputs, the tangent kernel and tangents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._system.words import counted
from ..results.estimates import Estimate
from ..results.record import Record
from . import angles, joint_norms, lyapunov, tangent_kernel
from ._joint import theory_cell
from ._result import Result


@dataclass(frozen=True, eq=False)
class Headline:
    """One number of an analysis, with theory beside it.

    Attributes
    ----------
    key, name : str
        The name in records, and that of a column.
    estimate : Estimate
    exact, limit : float
        Exact value, and limit at infinite width; NaN where there is none.
    sentence : str
        A sentence with places for the estimate and the theory; empty where none says it.
    """

    key: str
    name: str
    estimate: Estimate
    exact: float
    limit: float
    sentence: str = ""


def answers(sim: Record) -> dict[str, Result]:
    """Return every analysis of several inputs, the tangent kernel and tangents that there is, by its method's name."""
    if sim.joint is None:
        return {}
    asked = sim.joint.recording
    out: dict[str, Result] = {}
    if asked.count > 1:
        out["angles"], out["output_covariance"] = angles.analyse(sim), joint_norms.output_covariance(sim)
        out["joint_log_norms"] = joint_norms.log_norms(sim)
    if asked.kernel:
        out["tangent_kernel"] = tangent_kernel.analyse(sim)
    if asked.tangents:
        out["lyapunov"] = lyapunov.analyse(sim)
    return out


def heading(sim: Record) -> list[str]:
    """Say what there is besides one input; all other lines are about input 0."""
    if sim.joint is None:
        return []
    asked = sim.joint.recording
    said = [f"{counted(asked.count, 'input')} to each network"] if asked.count > 1 else []
    said += ["tangent kernel" + ", backward pass of its own" * asked.independent] if asked.kernel else []
    said += [counted(asked.tangents, "tangent")] if asked.tangents else []
    below = "; below is input 0" * (asked.count > 1)
    below += ", its output's gradients are those with respect to all inputs" * asked.gradients
    said += ["backward pass of its own"] if asked.gradients and asked.independent else []
    return [", ".join(said) + below] if said else []


def headlines(sim: Record) -> list[Headline]:
    """Return the numbers that stand for each analysis: of inputs 0 and 1, and of the first tangent."""
    if sim.joint is None:
        return []
    asked, out = sim.joint.recording, []
    if asked.count > 1:
        found, outputs, unknown = angles.analyse(sim), joint_norms.output_covariance(sim), np.nan
        limit, last = found.infinite_width, (-1, 1, 0)
        words = f"Cosine of inputs 0 and 1 at layer {sim.model.depth}: {{}}{{}} (angles())."
        out += [
            Headline("cosine_0_1", "cosine 0, 1", found.cosine[last], unknown, limit.cosine[last], words),
            Headline(
                "log_sine_squared_0_1",
                "ln sin^2 0, 1",
                found.log_sine_squared[last],
                unknown,
                limit.log_sine_squared[last],
            ),
            Headline(
                "output_covariance_0_1",
                "output covariance 0, 1",
                outputs.by_layer[last],
                outputs.exact[last],
                outputs.infinite_width[last],
            ),
        ]
    if asked.kernel:
        kernel = tangent_kernel.analyse(sim)
        words = "Tangent kernel of input 0: {}{} (tangent_kernel())."
        several = asked.count > 1
        for a in range(1 + several):
            numbers = kernel.total[a, 0], kernel.exact[a, 0], kernel.infinite_width.total[a, 0]
            key, name = "tangent_kernel" + f"_0_{a}" * several, "tangent kernel" + f" 0, {a}" * several
            out.append(Headline(key, name, *numbers, "" if a else words))
        ratio, exact = kernel.second_moment_ratio[0, 0], kernel.exact_second_moment_ratio[0, 0]
        key = "tangent_kernel_second_moment_ratio" + "_0_0" * several
        out.append(Headline(key, "E K^2/(E K)^2" + " 0, 0" * several, ratio, exact, 1.0))
    if asked.tangents:
        exponents = lyapunov.analyse(sim)
        words = "Largest Lyapunov exponent: {} per layer{} (lyapunov())."
        first = exponents.exponents[0]
        out.append(Headline("lyapunov_exponent_1", "Lyapunov exponent 1", first, exponents.exact[0], np.nan, words))
    return out


def notes(sim: Record) -> list[str]:
    """Write an answer of each analysis, and name it."""
    out = []
    for one in headlines(sim):
        limit, exact = (theory_cell(one.estimate, float(value)) for value in (one.limit, one.exact))
        theory = f", at infinite width {limit}" if limit else f", exactly {exact}" if exact else ""
        out += [one.sentence.format(one.estimate, theory)] * bool(one.sentence)
    return out
