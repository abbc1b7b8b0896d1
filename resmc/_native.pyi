from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMERICS_VERSION: int
GROUPS: int
COMPILER: str
STREAMS: dict[str, int]

class KernelError(RuntimeError): ...

# Dictionaries are read by name and type: what is missing, unknown, of another type or out of range is a ValueError that
# names it (csrc/reader.hpp). Of the fast kernels a network has width, depth, n_out, carry, carry_mantissa,
# carry_exponent, step and readout; any residual network besides block, weight_law, grounded, homogeneous, inside,
# gradients, keep, size, bias, bias_square, bias_law, kept_below, kept_factor, norm, norm_before, norm_branch,
# norm_after, norm_eps, segment, n_in, inner, steps, input, widths and an activation's own: activation (its number),
# above, below, fine, octaves, kinks_above, kinks_below and table. Settings are variant, method, seed, first, count,
# batch, keep_samples, keep_trajectories, deaths_possible, activity, correlations, mean_square, bin_low, bin_width and
# n_bins.
# Arrays are those of `resmc.engine.sums.Sums.arrays` and mean_square.norms (activity and mean_square where the settings
# say so), sample_log_norm, sample_output, sample_exponent, path_log_norm and path_asymmetry; of a residual network
# besides final_growth, for each quotient q that is followed q.norms, path_q and final_q, and path_overlap.

def instruction_sets() -> list[tuple[str, int]]: ...
def simulate(
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    threads: int,
    instruction_set: str,
    progress: Callable[[float], None] | None,
) -> None: ...

# Columns of networks whose weights are handed in: settings, arrays and records are those of
# `resmc.engine.native.ColumnJob`, `columns` and `empty_records`.
def columns(
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    records: dict[str, NDArray[Any]],
    threads: int,
    instruction_set: str,
    progress: Callable[[float], None] | None,
) -> None: ...
def column_state_bytes(network: dict[str, Any], networks: int, columns: int, instruction_set: str) -> int: ...
def reduce(
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    records: dict[str, NDArray[Any]],
    arrays: dict[str, NDArray[Any]],
    threads: int,
    instruction_set: str,
    progress: Callable[[float], None] | None,
) -> None: ...

# Networks with several inputs, or tangents: settings and arrays are those of `resmc.engine.native.JointJob`, `joint`.
def joint(
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    threads: int,
    instruction_set: str,
    progress: Callable[[float], None] | None,
) -> None: ...
def joint_thread_bytes(network: dict[str, Any], settings: dict[str, Any], instruction_set: str) -> int: ...

# Populations that are resampled: settings and arrays are those of `resmc.engine.native.PopulationJob` and of its
# `populations`.
def populations(
    network: dict[str, Any],
    settings: dict[str, Any],
    layers: NDArray[np.uint32],
    arrays: dict[str, NDArray[Any]],
    threads: int,
    instruction_set: str,
    progress: Callable[[float], None] | None,
) -> None: ...
def population_thread_bytes(width: int, size: int, instruction_set: str) -> int: ...
def occupied(histogram: NDArray[np.int64], total: int) -> tuple[int, int, int]: ...
def thread_bytes(
    network: dict[str, Any], settings: dict[str, Any], layers: NDArray[np.uint32], instruction_set: str
) -> int: ...
def words(
    instruction_set: str, seed: int, stream: int, layer: int, network: int, input: int, quad: int
) -> NDArray[np.uint32]: ...
def normals(instruction_set: str, words: NDArray[np.uint32]) -> NDArray[np.float32]: ...
def draw(instruction_set: str, network: dict[str, Any], seed: int, networks: int) -> float: ...
def drawn(
    instruction_set: str, seed: int, stream: int, layer: int, first_network: int, networks: int, quads: int
) -> NDArray[np.float32]: ...
def activate(
    instruction_set: str, activation: dict[str, Any], c: float, x: NDArray[np.float32], words: NDArray[np.uint32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def entries(
    instruction_set: str,
    law: int,
    seed: int,
    stream: int,
    network: int,
    first_layer: int,
    n_layers: int,
    first_quad: int,
    n_quads: int,
) -> NDArray[np.float32]: ...
def waves(
    instruction_set: str,
    seed: int,
    stream: int,
    network: int,
    amplitudes: NDArray[np.float32],
    real: int,
    imaginary: int,
    out: NDArray[np.complex64],
) -> None: ...
def combine(
    instruction_set: str, coefficients: NDArray[np.float32], x: NDArray[np.float32], out: NDArray[np.float32]
) -> None: ...
