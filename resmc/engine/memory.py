"""Memory of the host: what a simulation needs, what there is, and a refusal that says what would fit."""

from __future__ import annotations

from .._system.build import instruction_set
from .._system.memory import available_memory
from . import columns, joint, native
from .lowering import KernelResidual
from .request import Request
from .run import PART
from .sums import Sums

MOST = 0.9  # the largest share of the memory that is taken of what is available


def needed_memory(request: Request, n_layers: int) -> int:
    """Bytes that the networks of ``request`` take with so many recorded layers."""
    network, job, on_device = request.network(), request.job(), request.recording.on_device
    each = 0
    if request.device.kind == "cpu" or request.hands_in_weights:
        each = native.thread_bytes(network, job, n_layers, instruction_set())
    given = 0
    if request.hands_in_weights:
        assert isinstance(network, KernelResidual)
        some = min(job.count, columns.TOGETHER)
        given = columns.needed_bytes(request.lowered, network, some, 1, n_layers, request.device, request.threads)
    if request.recording.joint is not None:
        given = joint.needed_bytes(request, request.recording.joint, n_layers)
    raw = job.keep_samples * (20 + 8 * network.n_out) + job.keep_trajectories * 12 * n_layers
    # Quotients have kept values and paths, and a part's final values.
    per_quotient = job.keep_samples + job.keep_trajectories * n_layers + min(job.count, PART)
    raw += 8 * len(network.quotients) * per_quotient
    sums = Sums.bytes(n_layers, job.n_bins, job.deaths_possible, job.correlations, job.activity)
    return int(sums + request.threads * each + given + (0 if on_device else raw))


def check_columns(what: str, needed: int, cure: str) -> None:
    """Refuse columns whose ``needed`` bytes are not there; ``what`` takes them, and the ``cure`` is to take fewer."""
    available = available_memory()
    if needed > MOST * available:
        raise ValueError(
            f"{what} need {needed / 1e9:.3g} GB of memory and {available / 1e9:.3g} GB are available: {cure}"
        )


def check_memory(request: Request, in_a_sweep: bool = False) -> None:
    """Refuses a recording that would not fit, with its size and the layers that would.

    ``in_a_sweep``: nothing is kept of single networks, and ``layers`` is a number.
    """
    n_layers, width, depth = len(request.recording.layers), request.lowered.model.width, request.lowered.model.depth
    available, size = available_memory(), needed_memory(request, n_layers)
    if size <= MOST * available:
        return
    what = f"width={width} and layers={n_layers}"
    if not in_a_sweep:
        kept = f"keep_samples={request.recording.kept} and keep_trajectories={request.recording.trajectories}"
        what = f"width={width}, layers={n_layers} of them, {kept}"
    message = f"{what} need {size / 1e9:.3g} GB of memory and {available / 1e9:.3g} GB are available"
    spacing = -(-depth // (n_layers - 1))
    while (fewer := depth // spacing + 2) > 3 and needed_memory(request, fewer) > 0.5 * available:
        spacing *= 2
    if fewer >= n_layers or needed_memory(request, fewer) > 0.5 * available:
        raise ValueError(f"{message}: {_fewer(request)}use fewer threads, or a smaller width")
    fits = f"layers={fewer}" if in_a_sweep else f"layers=range(0, {depth + 1}, {spacing})"
    raise ValueError(f"{message}: {fits} would fit")


def _fewer(request: Request) -> str:
    """Say of what there may be less than was asked for."""
    recording = request.recording
    kept = "keep fewer samples or trajectories, " if recording.kept or recording.trajectories else ""
    if recording.joint is None:
        return kept
    asked = ["inputs"] * (recording.joint.count > 1) + ["tangents"] * (recording.joint.tangents > 0)
    return f"{kept}take fewer {' or '.join([*asked, 'recorded layers'])}, "
