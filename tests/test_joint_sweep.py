"""Several inputs, the tangent kernel and tangents in sweeps: an option of the whole plan, kept with every point."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import Sweep
from resmc.cli.records import sweep_record
from resmc.report.numbers import pm_values
from resmc.tables.cells import plain

pytestmark = pytest.mark.cpu
GRID: dict[str, Any] = {"width": [4, 6], "depth": 3, "alpha": 0.0, "lam": 1.0, "networks": 64, "layers": 4, "seed": 1}
ASKED: dict[str, Any] = {"gram": [[4.0, 1.0], [1.0, 4.0]], "tangent_kernel": True, "tangents": 2}


def test_a_point_of_a_sweep_is_the_simulation_of_its_network(tmp_path: Path):
    plan = Sweep(**GRID, **ASKED)
    assert plan.gradients
    result = plan.run(tmp_path / "store", engine="threads", progress=False)
    assert result.complete
    for width, seed, model in zip((4, 6), plan.seeds, plan.models, strict=True):
        assert model.input_norm == 2.0
        found = result.simulation(width=width)
        again = resmc.simulate(
            model, networks=64, seed=seed, layers=range(4), correlations=False, progress=False, **ASKED
        )
        assert found.joint is not None
        assert again.joint is not None
        for name, array in again.joint.arrays().items():
            np.testing.assert_allclose(found.joint.arrays()[name].sum(0), array.sum(0), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(found.tangent_kernel().total.value, again.tangent_kernel().total.value, rtol=1e-11)
        assert found.angles().cosine.shape == (4, 2, 2)
        assert found.lyapunov().exponents.shape == (2,)
    assert resmc.load_sweep(tmp_path / "store").plan == plan
    data = result.to_xarray()
    assert data.tangent_kernel.dims == ("width", "input", "input_")
    assert data.cosine.dims == data.tangent_kernel.dims
    assert data.lyapunov_exponent_stderr.dims == ("width", "tangent")
    np.testing.assert_allclose(
        data.tangent_kernel.sel(width=6), result.simulation(width=6).tangent_kernel().total.value
    )
    _check_tables(result)


def _check_tables(result: resmc.SweepResult) -> None:
    """Summary, data frame, JSON and page have the numbers of every point."""
    frame, rows = result.to_dataframe(), result.summary().to_dataframe()
    html, record = resmc.report.render(result), sweep_record(result)
    for i, width in enumerate((4, 6)):
        sim = result.simulation(width=width)
        cosine, kernel, found = sim.angles().cosine[-1, 1, 0], sim.tangent_kernel(), sim.lyapunov()
        limit = sim.angles().infinite_width.cosine[-1, 1, 0]
        for table in (frame, rows):
            assert table["cosine_0_1"][i] == float(cosine)
            assert table["cosine_0_1_stderr" if table is rows else "cosine_stderr_0_1"][i] == cosine.stderr
            assert table["tangent_kernel_0_1"][i] == kernel.total.value[0, 1]
            assert table["tangent_kernel_0_0"][i] == kernel.total.value[0, 0]
            assert table["lyapunov_exponent_1"][i] == found.exponents.value[0]
        assert frame["tangent_kernel_1_1"][i] == kernel.total.value[1, 1]
        assert frame["lyapunov_exponent_2"][i] == found.exponents.value[1]
        assert rows["tangent_kernel_second_moment_ratio_0_0_exact"][i] == kernel.exact_second_moment_ratio[0, 0]
        assert f"{cosine} (infinite width {limit:.4g})" in result.summary()
        assert pm_values(float(cosine), float(cosine.stderr)) in re.sub("<[^>]+>", "", html)
        point = json.loads(json.dumps(plain(record["points"][i])))
        assert point["gram"] == [[4.0, 1.0], [1.0, 4.0]]
        assert point["lyapunov"][1]["exponent"]["value"] == found.exponents.value[1]
        assert len(point["angles"]) > 0
    assert "tangent_kernel_1_0" not in frame
    assert "Cosine 0, 1" in html
    assert "infinite width: the limit as the width grows" in result.summary()


def test_one_input_of_a_sweep_has_no_dimension(tmp_path: Path):
    result = Sweep(**GRID, tangent_kernel=True).run(tmp_path / "store", engine="threads", progress=False)
    data = result.to_xarray()
    assert data.tangent_kernel.dims == ("width",)
    assert "input" not in data.coords
    frame = result.to_dataframe()
    assert len(frame) == 2
    assert frame["tangent_kernel"].tolist() == data.tangent_kernel.values.tolist()
    assert "tangent kernel  " in str(result.summary()).replace("\n", "  ")
    assert result.summary().to_dataframe()["tangent_kernel"].tolist() == data.tangent_kernel.values.tolist()


def test_a_point_without_networks_has_no_value(tmp_path: Path):
    plan = Sweep(**GRID, **ASKED)
    whole = plan.run(tmp_path / "store", engine="threads", progress=False)
    for gone in whole._shards[1]:
        next((tmp_path / "store" / "shards").rglob(gone.file)).unlink()
    part = resmc.load_sweep(tmp_path / "store")
    assert part.networks.tolist() == [64, 0]
    assert np.isnan(part.summary().to_dataframe()["cosine_0_1"]).tolist() == [False, True]
    assert "angles" not in sweep_record(part)["points"][1]
    assert resmc.report.render(part).count("Cosine 0, 1") > 0


def test_a_sweep_of_one_input_has_no_such_columns(tmp_path: Path):
    result = Sweep(**GRID).run(tmp_path / "store", engine="threads", progress=False)
    assert not [name for name in result.summary().to_dataframe() if "kernel" in name or "cosine" in name]
    assert "lyapunov" not in sweep_record(result)["points"][0]


def test_a_plan_is_read_back_and_one_without_them_says_nothing_of_them():
    plan = Sweep(**GRID, **ASKED)
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    plain = Sweep(**GRID)
    assert not {"gram", "angle", "tangents", "tangent_kernel", "independent_backward"} & set(plain.to_dict())
    keys = [p.point(0, 64).key for p in (plain, plan, Sweep(**GRID, **{**ASKED, "tangents": 1}))]
    assert len(set(keys)) == 3
    assert plan.point(0, 64).updates > 4 * plain.point(0, 64).updates


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"gram": [[1.0, 2.0], [2.0, 1.0]]}, "eigenvalue"),
        ({"gram": [[1.0]], "angle": 0.5}, "angle is not allowed beside gram"),
        ({"gram": [[1.0]], "input_norm": 1.0}, "input_norm is not allowed beside gram"),
        ({"tangents": 5}, "at most the width"),
        ({"independent_backward": True}, "there is no backward pass"),
    ],
)
def test_a_plan_refuses_what_a_simulation_does(more: dict[str, Any], match: str):
    with pytest.raises(ValueError, match=match):
        Sweep(**GRID, **more)


def test_a_store_is_not_gone_on_with_by_a_plan_of_other_inputs(tmp_path: Path):
    store = tmp_path / "store"
    Sweep(**GRID, angle=0.5).run(store, engine="threads", progress=False)
    with pytest.raises(ValueError, match=r"angle=0\.25 instead of 0\.5"):
        Sweep(**GRID, angle=0.25).run(store, engine="threads", progress=False)


def test_gpus_are_refused(tmp_path: Path):
    with pytest.raises(Exception, match="not allowed with several inputs"):
        Sweep(**GRID, angle=0.5).run(tmp_path / "store", engine="threads", device="cuda", progress=False)
