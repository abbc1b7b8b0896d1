"""The package is found wherever Python is started, in the folder above a checkout, too."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.cpu
def test_python_started_above_a_checkout_imports_the_package(tmp_path: Path) -> None:
    """An installation, editable or not, is meant: no path is set."""
    try:
        metadata.distribution("resmc")
    except metadata.PackageNotFoundError:
        pytest.skip("resmc is not installed in this environment")
    (tmp_path / "resmc").symlink_to(ROOT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", "import resmc; print(resmc.simulate.__module__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("resmc.simulation\n", 0), done.stderr
