"""Lines of a summary about several inputs, the tangent kernel and tangents."""

from __future__ import annotations

from .._system.words import counted
from ..results.record import Record
from . import angles, joint_norms, lyapunov, tangent_kernel
from ._joint import theory_cell
from ._result import Result


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
    return [", ".join(said) + "; below is input 0" * (asked.count > 1)] if said else []


def notes(sim: Record) -> list[str]:
    """Write an answer of each analysis, and name it."""
    if sim.joint is None:
        return []
    asked, depth, out = sim.joint.recording, sim.model.depth, []
    if asked.count > 1:
        found = angles.analyse(sim)
        cosine = found.cosine[-1, 1, 0]
        limit = theory_cell(cosine, float(found.infinite_width.cosine[-1, 1, 0]))
        out.append(f"Cosine of inputs 0 and 1 at layer {depth}: {cosine}, at infinite width {limit} (angles()).")
    if asked.kernel:
        kernel = tangent_kernel.analyse(sim)
        total = kernel.total[0, 0]
        limit = theory_cell(total, float(kernel.infinite_width.total[0, 0]))
        out.append(f"Tangent kernel of input 0: {total}, at infinite width {limit} (tangent_kernel()).")
    if asked.tangents:
        exponents = lyapunov.analyse(sim)
        exact = theory_cell(exponents.exponents[0], float(exponents.exact[0]))
        theory = f", exactly {exact}" if exact else ""
        out.append(f"Largest Lyapunov exponent: {exponents.exponents[0]} per layer{theory} (lyapunov()).")
    return out
