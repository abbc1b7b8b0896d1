"""The command line: any network as in Python, the same JSON keys as documented, and a sentence for what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import answer, contents_of, documented, has_frames, refusal, run, strict

import resmc
from resmc import DepthScaling, ResidualNetwork, cli
from resmc.experiments.regime import DEPTHS
from resmc.models.activations import ACTIVATIONS

pytestmark = pytest.mark.cpu

SIMULATE = ("simulate", "--width=8", "--depth=4", "--networks=40", "--quiet")
REGIME = ("regime", "--width=8", "--depths=4,8,16", "--networks=64", "--quiet")
LIMIT = ("limit", "--width=4", "--networks=64", "--steps=8", "--quiet")


# ------------------------------------------------------------------------------------------------------------ the model


GENERAL: dict[str, tuple[tuple[str, ...], ResidualNetwork]] = {
    "defaults but the block": (("--block=phi-in",), ResidualNetwork(8, 4)),
    "bias": (("--bias", "0.1"), ResidualNetwork(8, 4, bias=0.1)),
    "power": (
        ("--block=v-phi-w", "--activation=tanh", "--beta=1", "--c", "-1e-1", "--carry=0.5"),
        ResidualNetwork(8, 4, "v-phi-w", "tanh", 0.5, DepthScaling(1.0, -0.1)),
    ),
    "inside": (
        ("--block=phi-out", "--activation=gelu", "--inside"),
        ResidualNetwork(8, 4, "phi-out", "gelu", scaling=DepthScaling(0.5, inside=True)),
    ),
    "by layer": (("--scaling", "-0.1,.2,0.3,4e-1"), ResidualNetwork(8, 4, scaling=(-0.1, 0.2, 0.3, 0.4))),
    "dense": (
        ("--weights=rademacher", "--input", "-1,2,0.5", "--n-out=3", "--method=dense"),
        ResidualNetwork(8, 4, weights="rademacher", input=(-1.0, 2.0, 0.5), n_out=3),
    ),
    "input norm": (
        ("--activation=sigmoid", "--input-norm=2"),
        ResidualNetwork(8, 4, "phi-in", "sigmoid", input_norm=2),
    ),
}


@pytest.mark.parametrize("name", GENERAL)
def test_general_options_give_the_bits_of_the_python_call(capsys, tmp_path, name):
    options, model = GENERAL[name]
    run(capsys, *SIMULATE, *options, "--output", tmp_path / "a.resmc")
    method = "dense" if name == "dense" else "projected"
    resmc.simulate(model, networks=40, method=method, progress=False).save(tmp_path / "b.resmc")
    assert (tmp_path / "a.resmc").read_bytes() == (tmp_path / "b.resmc").read_bytes()
    assert resmc.load(tmp_path / "a.resmc").model == model


def test_no_general_option_gives_the_log_gaussian_network_of_before(capsys):
    found = answer(capsys, *SIMULATE, "--input-norm=2")
    assert found["model"] == resmc.ResNet(8, 4, 0.5**0.5, 0.5**0.5, input_norm=2.0).to_dict()
    found = answer(capsys, *SIMULATE, "--alpha", "-1e-1", "--lam=1", "--variant=balanced")
    assert found["model"] == resmc.ResNet(8, 4, -0.1, 1.0, "balanced").to_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alpha=1", "--carry=1"), "--carry is not allowed beside --alpha: "),
        (("--lam=1", "--block=phi-in", "--c=2"), "--block is not allowed beside --lam: "),
        (("--inside", "--variant=vanilla"), "--inside is not allowed beside --variant: "),
        (("--scaling=1,1,1,1", "--c=2"), "--c is not allowed beside --scaling: --scaling says it already"),
        (("--inside", "--scaling=1,1,1,1"), "--inside is not allowed beside --scaling"),
        (("--input=1,2", "--input-norm=1"), "--input-norm is not allowed beside --input: --input says it already"),
        (("--scaling=1,2",), "scaling has 2 entries: it must have one for each of depth=4 layers"),
        (("--scaling=1;2",), "scaling='1;2' is not allowed: it must look like 0.1,0.2,0.1, a number for each layer"),
        (("--input=one",), "input='one' is not allowed: it must look like 0.5,-1,2"),
        (("--input=nan",), "input is not allowed to hold infinite numbers or NaN"),
        (("--block=phi",), "block='phi' is not allowed: it must be one of 'phi-in', 'phi-out', 'v-phi-w'"),
        (("--activation=softmax",), "activation='softmax' is not allowed: "),
        (("--activation=leaky_relu(x)",), "activation='leaky_relu(x)' is not allowed: parameters must be numbers"),
        (("--activation={",), "activation='{' is not allowed: it must be what Activation.to_dict gives"),
        (("--inside",), "scaling inside is not allowed with block='phi-in': only with 'phi-out'"),
        (("--c=0",), "c=0.0 is not allowed: no layer would do anything"),
        (("--weights=uniform", "--method=projected"), "weights='uniform' are not allowed with method='projected'"),
        (("--weights={",), "weights='{' is not allowed: it must look like {"),
        (('--weights={"law": "uniform", "depth": {"process": "smooth"}}',), "law='uniform' is not allowed with depth="),
        (("--gradients", "--no-displacement"), "displacement=False is not allowed with gradients=True"),
    ],
)
def test_networks_that_are_refused(capsys, options, words):
    assert refusal(capsys, *SIMULATE, *options).startswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*REGIME, "--carry=0.5"), "carry=0.5 is not allowed: a regime needs 1"),
        ((*REGIME, "--depths=4,8"), "depths"),
        ((*REGIME, "--depths=4,x"), "depths='4,x' is not allowed: it must look like 10,30,100"),
        ((*REGIME, "--networks=3"), "networks=3 is out of range"),
        ((*REGIME, "--threshold=-1"), "threshold=-1.0"),
        ((*REGIME, "--output=page.pdf"), "output='page.pdf' is not allowed: it must end in .html"),
        ((*REGIME, "--output=/nowhere/page.html"), "output='/nowhere/page.html' is not allowed: its folder"),
        ((*LIMIT, "--beta=1"), "beta=1.0 has the input itself as its limit"),
        ((*LIMIT, "--steps=7"), "steps=7 is not allowed: it must be even"),
        ((*LIMIT, "--h0=1,2"), "h0 of shape (2,) is not allowed: it must have width=4 entries"),
        ((*LIMIT, "--h0=x"), "h0='x' is not allowed: it must look like 0.5,-1,2"),
    ],
)
def test_what_regime_and_limit_refuse(capsys, arguments, words):
    assert refusal(capsys, *arguments).startswith(words)


@pytest.mark.parametrize(
    "block", ["v-phi-w", *(pytest.param(b, marks=pytest.mark.long) for b in ("phi-in", "phi-out"))]
)
def test_every_network_is_simulated_shown_exported_and_merged(capsys, tmp_path, block):
    whole, parts = tmp_path / "whole.resmc", [tmp_path / f"{k}.resmc" for k in (0, 1)]
    for activation in ACTIVATIONS:
        options = (f"--block={block}", f"--activation={activation}", "--width=4", "--depth=3", "--quiet")
        for k, part in enumerate(parts):
            run(capsys, "simulate", *options, f"--first-network={5 * k}", "--networks=5", "--output", part)
        merged = answer(capsys, "merge", *parts, "--output", whole)
        assert merged.pop("output") == str(whole)
        shown = answer(capsys, "show", whole)
        assert shown.pop("output") is None
        assert shown == merged
        assert (shown["networks"], shown["ranges"]) == (10, [[0, 10]])
        assert (shown["model"]["block"], shown["model"]["activation"]) == (block, activation)
        assert whole.read_bytes() == contents_of(resmc.merge(*map(resmc.load, parts)))
        if has_frames():
            run(capsys, "export", whole, "--output", tmp_path / "whole.json")
            found = strict((tmp_path / "whole.json").read_text(encoding="utf-8"))
            assert (found["model"], found["ranges"]) == (shown["model"], [[0, 10]])
            assert found["rows"]


# ----------------------------------------------------------------------------------------------------- regime and limit


def test_regime_prints_and_records_what_the_python_call_says(capsys):
    model = ResidualNetwork(8, 1, "v-phi-w", "tanh", scaling=DepthScaling(1.0))
    expected = resmc.regime(model, (4, 8, 16), networks=64, seed=3, threshold=0.1, progress=False)
    options = (*REGIME, "--block=v-phi-w", "--activation=tanh", "--beta=1", "--seed=3", "--threshold=0.1")
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    assert set(found) == documented("regime")
    assert set(found["forward"]) == set(found["backward"]) == documented("regime", "A verdict:")
    assert (found["forward"]["sentence"], found["backward"]["name"]) == (
        expected.forward.sentence, expected.backward.name,
    )  # fmt: skip
    assert [row["depth"] for row in found["depths"]] == [4, 8, 16]
    assert [row["gradient"]["value"] for row in found["depths"]] == expected.gradient.value.tolist()
    assert "depth" not in found["model"]


def test_the_default_depths_in_the_help_are_those_of_python():
    (commands,) = (a for a in cli.parser()._actions if a.dest == "command")
    assert f"(default: {','.join(map(str, DEPTHS))})" in commands.choices["regime"].format_help()


def test_regime_writes_its_page_after_the_work_and_says_where(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    import resmc.report

    written: list[tuple[Any, Path]] = []
    monkeypatch.setattr(resmc.report, "write", lambda found, path: written.append((found, path)))
    page = tmp_path / "regime.html"
    assert run(capsys, *REGIME, "--output", page).endswith(f"\n\nwritten to {page}\n")
    assert answer(capsys, *REGIME, "--output", page)["output"] == str(page)
    assert [(type(found).__name__, path) for found, path in written] == [("Regime", page)] * 2


def test_verdicts_are_printed_even_if_their_page_cannot_be_written(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    import resmc.report

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resmc.report, "write", full)
    assert cli.main([*REGIME, "--output", str(tmp_path / "regime.html")]) == 2
    out, err = capsys.readouterr()
    assert "backward: " in out
    assert "written" not in out
    assert err == "resmc: standard output cannot be written to: No space left on device\n"


def test_limit_prints_and_records_what_the_python_call_says(capsys):
    model = ResidualNetwork(4, 1, "phi-out", "tanh", scaling=DepthScaling(0.5, 0.5), bias=0.1)
    options = (*LIMIT, "--block=phi-out", "--activation=tanh", "--c=0.5", "--bias=0.1", "--seed=2", "--h0", "-1,2,3,4")
    given: dict[str, Any] = {"networks": 64, "seed": 2, "steps": 8, "h0": [-1, 2, 3, 4], "progress": False}
    expected = resmc.limit(model, **given)
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    assert set(found) == documented("limit")
    assert found["quantities"][0]["estimate"]["value"] == float(expected.growth.mean.value)
    assert {"quantity", "name", "estimate", "refinement", "exact", "z_score"} <= set(found["quantities"][0])
    fewer = answer(capsys, *options, "--no-gradients")["quantities"]
    assert {row["quantity"] for row in found["quantities"]} - {row["quantity"] for row in fewer} >= {
        "mean log |p_0|^2/|p_d|^2"
    }


def test_limit_of_tied_weights_records_how_networks_tend_to_their_equations(capsys):
    tied = resmc.Weights(depth="tied")
    model = ResidualNetwork(4, 1, "phi-out", "tanh", scaling=DepthScaling(1.0), weights=tied)
    options = ("limit", "--width=4", "--quiet", "--block=phi-out", "--activation=tanh", "--beta=1")
    options = (*options, "--weights", json.dumps(tied.to_dict()), "--networks=32", "--depths=8,16")
    expected = resmc.limit(model, networks=32, depths=(8, 16), progress=False)
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    besides = documented("limit", "Where networks were compared with their own equations, besides:")
    assert set(found) == (documented("limit") | besides) - {"steps", "exploded"}
    assert [row["depth"] for row in found["distances"]] == [8, 16]
    assert found["forward_slope"]["value"] == float(expected.convergence.forward_slope.value)
    assert {"name", "mean", "variance", "median"} <= set(found["quantities"][0])


# ------------------------------------------------------------------------------------------------------------- the rest


def test_resmc_alone_prints_its_help(capsys):
    out = run(capsys)
    assert out == cli.parser().format_help()
    for command in ("simulate", "regime", "limit", "show", "merge", "export", "report", "sweep", "doctor"):
        assert re.search(rf"^    {command} ", out, re.MULTILINE)


def test_every_command_takes_json():
    (commands,) = (a for a in cli.parser()._actions if a.dest == "command")
    assert [name for name, parser in commands.choices.items() if "--json" not in parser._option_string_actions] == []


def test_ctrl_c_ends_a_command_with_130(capsys, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resmc.cli.simulate.simulate", interrupted)
    assert cli.main(list(SIMULATE)) == 130
    assert capsys.readouterr() == ("", "resmc: interrupted\n")
