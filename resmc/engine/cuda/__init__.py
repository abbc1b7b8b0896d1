"""Simulations on NVIDIA GPUs: torch owns the memory and the streams, the kernels are ours.

`device` finds the GPU or says why there is none; `plan` cuts a simulation into chunks and launches; `runner` carries
them out, in the memory of `buffers` and `raw`; `results` brings the sums back. `columns` and `populations` do so for
weights that are handed in and for populations that are resampled. Nothing here imports torch before a GPU is asked for.
"""

from .device import Accelerator, DeviceError, open_cuda, why_no_cuda
from .populations import run_populations
from .runner import run
from .tally import DeviceTally

__all__ = ["Accelerator", "DeviceError", "DeviceTally", "open_cuda", "run", "run_populations", "why_no_cuda"]
