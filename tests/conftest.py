"""What several test files share."""

from __future__ import annotations

import pytest

from resmc import _native
from resmc.build import VARIABLE

AVAILABLE = [name for name, _ in _native.instruction_sets()]
KNOWN = ["avx512", "avx2", "baseline"]


@pytest.fixture(params=[*KNOWN, *(name for name in AVAILABLE if name not in KNOWN)])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction set in turn, made the one that `resmc.simulate` uses; skipped where the machine lacks it."""
    if request.param not in AVAILABLE:
        pytest.skip(f"this machine has no {request.param}")
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param
