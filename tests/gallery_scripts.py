"""The scripts of the gallery, run with few networks, for the tests of what they claim.

Claims are seen at 5 standard errors where the effect is 15 and more, which no false alarm threatens. What has to agree
may differ by 4.5 standard errors, and from a limit by a bound on the correction of order 1/n or 1/L besides: 72
numbers, whose errors have 31 degrees of freedom or more (five 15), so a false-alarm level of 8e-3 in all.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "examples" / "gallery"
NETWORKS = {"a_log_gaussian": 0.1, "b_hypoactivation": 0.15, "c_interlayer": 0.1, "d_growth": 0.15, "e_balanced": 0.1,
            "f_corrections": 0.1, "g_depth_regimes": 0.1, "h_depth_gradients": 0.1, "i_depth_law": 0.4,
            "j_smooth_depth": 0.05, "k_fractional_paths": 0.25, "l_heat_map": 0.5, "m_three_regimes": 0.5,
            "n_ode_distance": 0.2, "o_linear_descent": 0.5, "p_adjoint": 0.5, "q_trained_map": 0.5,
            "r_scaling_exponents": 0.5, "s_smoothness": 0.5, "t_trained_gradients": 0.5, "u_exact_law": 0.05,
            "v_moment_growth": 0.125, "w_rate_function": 0.125, "x_angles": 0.1, "y_tangent_kernel": 0.09,
            "z_norms": 0.25}  # fmt: skip
CLEAR, AGREE = 5.0, 4.5
# Smaller networks have the claims of all scripts in tests of their own (exact values, limits, regimes, moments ..), and
# `make docs` runs every script: the quick tests keep those that show what all have in common.
QUICK = ("a_log_gaussian", "b_hypoactivation", "c_interlayer", "g_depth_regimes")
EACH = [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in NETWORKS]


@dataclass
class Ran:
    """A script, what its main returned and printed, and the figure it left."""

    script: Any
    found: list[Any]
    printed: str
    figure: bytes


class Scripts(dict[str, Ran]):
    """Scripts by their names, each run once, when it is asked for, in a folder of its own with few networks."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        super().__init__({"__main__": Ran(_runner(), [], "", b"")})
        self.folders = folders

    def __missing__(self, name: str) -> Ran:
        if name not in RUN:
            RUN[name] = self._run(name)
        self[name] = RUN[name]
        return self[name]

    def _run(self, name: str) -> Ran:
        script, printed, folder = importlib.import_module(name), io.StringIO(), self.folders.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            for constant, fewer in getattr(script, "SMALL", {}).items():  # as by --small
                patch.setattr(script, constant, fewer)
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                found = script.main([f"--networks={NETWORKS[name]}"])
        assert [path.name for path in folder.iterdir()] == [f"{name}.png"]
        return Ran(script, found, printed.getvalue(), (folder / f"{name}.png").read_bytes())


RUN: dict[str, Ran] = {}  # what this process has run so far, whichever file of tests asked for it


def running(folders: pytest.TempPathFactory) -> Iterator[Scripts]:
    """Yield the scripts; what they import is forgotten in the end."""
    known = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(GALLERY)
        yield Scripts(folders)
    for name in set(sys.modules) - known:
        if str(ROOT / "examples") in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def _runner() -> Any:
    spec = importlib.util.spec_from_file_location("gallery_main", GALLERY / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few(networks: float) -> argparse.Namespace:
    return argparse.Namespace(networks=networks, seed=0)


def agrees(one: Any, correction: float = 0.0) -> bool:
    """Within 4.5 standard errors and a bound on what finite width adds."""
    return abs(one.value - one.reference) <= AGREE * one.stderr + correction


def nothing_of_it(found: list[Any]) -> bool:
    return all(agrees(one) for one in found)
