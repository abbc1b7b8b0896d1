from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMERICS_VERSION: int
GROUPS: int
COMPILER: str
STREAMS: dict[str, int]

class KernelError(RuntimeError): ...

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
    instruction_set: str, kind: int, c: float, x: NDArray[np.float32], words: NDArray[np.uint32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
