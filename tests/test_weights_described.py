"""Weights as a network describes them: what is allowed, what is refused and how, and which method "auto" stands for."""

from __future__ import annotations

import html
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, ResNet, SmoothProcess, Weights
from resmc.engine.lowering import lower
from resmc.engine.request import chosen_method
from resmc.models.processes import Covariance
from resmc.models.spelling import canonical, of_dict
from resmc.sweep.point import point_seed
from resmc.theory.facts import facts

MIXTURE = Mixture(SmoothProcess(0.2), FractionalNoise(0.5), betas=(1, 0.5), cs=(1, 2))
COVARIANCE = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
DEPENDENT = [
    Weights(depth="tied"),
    Weights("uniform", "tied"),
    Weights("rademacher", "tied"),
    Weights(depth=FractionalNoise(0.3)),
    Weights(depth=SmoothProcess()),
    Weights(depth=SmoothProcess(0.5, "increments")),
    Weights(depth=COVARIANCE),
    Weights(depth=MIXTURE),
]


def network(weights: object, **given: object) -> ResidualNetwork:
    scaling = DepthScaling(0.0) if getattr(weights, "depth", None) == MIXTURE else DepthScaling(0.5)
    return ResidualNetwork(6, 3, **{"weights": weights, "scaling": scaling, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", DEPENDENT, ids=str)
def test_a_network_is_read_back_from_its_description(weights: Weights) -> None:
    model = network(weights)
    again = of_dict(model.to_dict())
    assert again == model
    assert hash(again) == hash(model)
    assert not model.independent
    assert again != network("gaussian")
    assert canonical(model) == model.to_dict()


def test_descriptions_of_different_weights_differ() -> None:
    assert len({repr(network(weights).to_dict()) for weights in DEPENDENT}) == len(DEPENDENT)
    assert len({network(weights) for weights in DEPENDENT}) == len(DEPENDENT)
    assert len({point_seed(0, network(weights)) for weights in DEPENDENT}) == len(DEPENDENT)
    other = COVARIANCE.copy()
    other[0, 0] = 1.5
    assert Weights(depth=other) != Weights(depth=COVARIANCE)


@pytest.mark.parametrize("law", ["gaussian", "uniform", "rademacher"])
def test_independent_weights_are_the_network_that_names_their_law(law: str) -> None:
    assert network(Weights(law)) == network(law)
    assert network(Weights(law)).to_dict()["weights"] == law
    assert canonical(network(Weights(law))) == canonical(network(law))


def test_only_independent_gaussian_weights_are_those_of_a_resnet() -> None:
    assert network("gaussian").as_resnet is not None
    assert network(Weights()).as_resnet is not None
    assert all(network(weights).as_resnet is None for weights in DEPENDENT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FractionalNoise(0.0), "hurst=0.0 is out of range: it must be above 0 and below 1"),
        (lambda: FractionalNoise(1), "hurst=1.0 is out of range: it must be above 0 and below 1"),
        (lambda: FractionalNoise(-0.2), "hurst=-0.2 is out of range"),
        (lambda: FractionalNoise(math.nan), "hurst=nan is not allowed: it must be a finite number"),
        (lambda: FractionalNoise("x"), "hurst='x' is not allowed"),  # type: ignore[arg-type]
        (lambda: SmoothProcess(0.0), "length=0.0 is not allowed: it must be a finite number above 0"),
        (lambda: SmoothProcess(1e-4), "length=0.0001 is out of range: it must be from 0.001 to 1000000"),
        (lambda: SmoothProcess(1e300), "length=1e+300 is out of range: it must be from 0.001 to 1000000"),
        (lambda: SmoothProcess(version="x"), "version='x' is not allowed: it must be one of 'values', 'increments'"),
        (lambda: Mixture(FractionalNoise(0.5), SmoothProcess()), "trend=FractionalNoise(hurst=0.5) is not allowed"),  # type: ignore[arg-type]
        (lambda: Mixture(SmoothProcess(), SmoothProcess()), "noise=SmoothProcess(length=0.1, version='values') is not"),  # type: ignore[arg-type]
        (lambda: Mixture(SmoothProcess(), FractionalNoise(0.5), betas=(1,)), "betas=(1,) is not allowed: it must be"),  # type: ignore[arg-type]
        (lambda: Mixture(SmoothProcess(), FractionalNoise(0.5), cs="ab"), "cs='ab' is not allowed: it must be two"),  # type: ignore[arg-type]
        (lambda: Mixture(SmoothProcess(), FractionalNoise(0.5), cs=(0, 0)), "cs=(0.0, 0.0) is not allowed: all"),
        (lambda: Weights("cauchy"), "law='cauchy' is not allowed: it must be one of 'gaussian', 'uniform', 'radem"),
        (lambda: Weights(depth="shared"), "depth='shared' is not allowed: it must be 'iid', 'tied', a Fractional"),
        (lambda: Weights(depth=3), "depth=3 is not allowed: it must be 'iid', 'tied', a FractionalNoise"),  # type: ignore[arg-type]
        (lambda: Weights(depth=[1, [2, 3]]), "depth=[1, [2, 3]] is not allowed: it must be 'iid'"),
        (lambda: Weights(depth=[["x"]]), "depth=[['x']] is not allowed: it must be a matrix of real numbers"),
        (lambda: Weights(depth=np.eye(2) * 1j), "is not allowed: it must be a matrix of real numbers"),
        (lambda: Weights("uniform", FractionalNoise(0.3)), "law='uniform' is not allowed with depth=FractionalNoise("),
        (lambda: Weights(depth=np.eye(3)[:2]), "a covariance of shape (2, 3) is not allowed: it must be a square"),
        (lambda: Weights(depth=np.eye(1025)), "a covariance of shape (1025, 1025) is not allowed"),
        (lambda: Weights(depth=[[1, math.nan], [math.nan, 1]]), "the covariance of layers 0 and 1 is nan: it must be"),
        (lambda: Weights(depth=[[1, 0.5], [0.4, 1]]), "not symmetric: that of layers 0 and 1 is 0.5, and that of lay"),
        (
            lambda: Weights(depth=[[1, 0, 2], [0, 9, 0], [2, 0, 1]]),
            "not positive: its smallest eigenvalue is -1, in size 0.111 times the largest, and 1e-09 at most is "
            "allowed; its vector is largest at layer",
        ),
        (lambda: Weights(depth=np.zeros((2, 2))), "the covariance's largest eigenvalue is 0: all weights would be 0"),
        (lambda: network(FractionalNoise(0.3)), "is not allowed: give Weights(depth=FractionalNoise(hurst=0.3))"),
        (lambda: network("normal"), "weights='normal' is not allowed: it must be one of 'gaussian', 'uniform', 'ra"),
        (lambda: network(7), "weights=7 is not allowed"),
        (lambda: network(np.eye(3)), "a covariance of layers is Weights(depth=matrix)"),
        (lambda: network({"law": "gaussian", "width": 3}), "it has law and depth, and nothing else"),
        (lambda: network({"depth": {"process": "levy"}}), "process='levy' is not allowed: it must be one of 'fracti"),
        (lambda: network({"depth": {"process": "fractional_noise"}}), "hurst is missing: process='fractional_noi"),
        (lambda: network({"depth": {"hurst": 0.5}}), "process is missing, one of fractional_noise, smooth, mixture"),
        (lambda: network("tied"), "tied layers are Weights(depth='tied')"),
        (lambda: Weights(FractionalNoise(0.3)), "is not allowed: give Weights(depth=FractionalNoise(hurst=0.3))"),  # type: ignore[arg-type]
        (lambda: Weights(depth=-np.eye(3)), "the covariance is not positive: its largest eigenvalue is -1, below 0"),
        (lambda: network({"depth": {"process": "smooth", "hurst": 1}}), "'hurst' is not a field of SmoothProcess"),
        (lambda: network(Weights(depth=np.eye(4))), "a covariance of 4 layers: it must have one row for each of depth"),
        (lambda: network(Weights(depth=MIXTURE), block="v-phi-w"), "block='v-phi-w' is not allowed with a Mixture"),
        (
            lambda: network(Weights(depth=MIXTURE), scaling=DepthScaling(1)),
            "a mixture carries its own scaling, so it must be DepthScaling(0)",
        ),
        (
            lambda: network(Weights(depth=MIXTURE), block="phi-out"),
            "a mixture carries its own scaling, so it must be DepthScaling(0, inside=True)",
        ),
        (
            lambda: network(Weights(depth=replace(MIXTURE, cs=(1e20, 1))), scaling=DepthScaling(0)),
            "is out of range: its size must be from 2^-40 to 2^40, unless its c is 0",
        ),
        (
            lambda: network(Weights(depth=replace(MIXTURE, betas=(-2000, 1))), scaling=DepthScaling(0)),
            "a Mixture with a factor of inf at depth=3 is out of range",
        ),
        (
            lambda: network(Weights(depth=replace(MIXTURE, betas=(2000, 1))), scaling=DepthScaling(0)),
            "a Mixture with a factor of 0 at depth=3 is out of range",
        ),
        (
            lambda: network(Weights(depth=np.eye(3) * 1e-300)),
            "a covariance whose largest standard deviation is 1e-150 is out of range: it must be from 2^-40 to 2^40",
        ),
        (lambda: network(Weights(depth=np.eye(3) * 1e40)), "largest standard deviation is 1e+20 is out of range"),
    ],
)  # fmt: skip
def test_weights_that_are_not_allowed_are_refused_in_a_sentence(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()  # type: ignore[operator]


def test_an_eigenvalue_below_0_by_rounding_counts_as_0_and_is_reported() -> None:
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    exact = vectors * [2.0, 1.0, 1.0, 0.5, -1e-10] @ vectors.T
    process = Covariance(exact)
    assert process.clipped == pytest.approx(0.5e-10, rel=1e-3)
    assert np.abs(process.root @ process.root.T - exact).max() < 2e-10
    assert Covariance(np.eye(3)).clipped == 0.0
    with pytest.raises(ValueError, match="not positive: its smallest eigenvalue is -3e-09"):
        Covariance(vectors * [2.0, 1.0, 1.0, 0.5, -3e-9] @ vectors.T)


def test_equal_covariances_have_equal_hashes_and_descriptions() -> None:
    one, other = (Covariance(np.array([[1.0, zero], [zero, 1.0]])) for zero in (0.0, -0.0))
    assert one == other
    assert hash(one) == hash(other)
    assert str(one.to_dict()) == str(other.to_dict())


def test_auto_stands_for_projected_where_that_is_exact_and_else_for_dense() -> None:
    assert chosen_method(lower(ResNet(4, 3, 0.6, 0.8)), "auto") == "projected"
    assert chosen_method(lower(network("gaussian", block="v-phi-w")), "auto") == "projected"
    for weights in ("uniform", "rademacher", *DEPENDENT):
        assert chosen_method(lower(network(weights)), "auto") == "dense"
    assert resmc.simulate(ResNet(4, 3, 0.6, 0.8), networks=8).method == "projected"
    assert resmc.simulate(network("uniform"), networks=8).method == "dense"


@pytest.mark.parametrize("weights", DEPENDENT, ids=str)
def test_projected_is_refused_where_it_is_not_exact(weights: Weights) -> None:
    with pytest.raises(ValueError, match="are not allowed with method='projected', which draws what each layer sees"):
        resmc.simulate(network(weights), networks=8, method="projected")


def test_a_width_that_is_too_large_to_be_written_out_is_refused() -> None:
    wide = ResidualNetwork(1 << 18, 3, weights=Weights(depth="tied"))
    with pytest.raises(ValueError, match=r"which are written out .* it must be at most 131072"):
        resmc.simulate(wide, networks=1)


def test_a_plan_names_the_one_method_of_all_its_points_and_else_auto() -> None:
    assert resmc.Sweep(width=4, depth=3, beta=[0.5, 1], networks=8).method == "projected"
    mixed = resmc.Sweep(width=4, depth=3, weights=["gaussian", "uniform"], networks=8)
    assert mixed.method == "auto"
    assert [mixed.point(i, 8).method for i in (0, 1)] == ["projected", "dense"]


def test_weights_are_a_dimension_of_a_sweep_down_to_its_page(tmp_path: Path) -> None:
    plan = resmc.Sweep(width=4, depth=3, weights=["gaussian", *DEPENDENT[:6]], networks=32)
    assert plan.shape == (7,)
    assert plan.models[4].weights == DEPENDENT[3]
    assert resmc.Sweep.from_dict(plan.to_dict()) == plan
    result = plan.run(tmp_path / "store", progress=False)
    assert resmc.load_sweep(tmp_path / "store").plan == plan
    assert "no value: not followed at that point; ask for displacement=True" in str(result.summary())
    words = ["gaussian", *(str(weights) for weights in DEPENDENT[:6])]
    assert result.to_xarray().weights.values.tolist() == words
    page = tmp_path / "page.html"
    result.report(page)
    text = html.unescape(page.read_text())
    assert all(word in text for word in words)


def test_a_sweeps_file_says_on_which_line_a_process_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    weights = 'weights = ["gaussian", {depth = {process = "fractional_noise", hurst = HURST}}]'
    path.write_text(f"width = 4\ndepth = 3\nnetworks = 8\n{weights}\n".replace("HURST", "0.3"))
    assert resmc.Sweep.from_toml(path).models[1].weights == DEPENDENT[3]
    path.write_text(path.read_text().replace("0.3", "1.3"))
    with pytest.raises(ValueError, match=r"plan.toml, line 4: hurst=1.3 is out of range"):
        resmc.Sweep.from_toml(path)


@pytest.mark.parametrize("weights", DEPENDENT, ids=str)
@pytest.mark.parametrize("block", ["phi-in", "v-phi-w"])
@pytest.mark.parametrize("carry", [0.0, 1.0])
def test_nothing_is_called_exact_beyond_the_first_layer_met(weights: Weights, block: str, carry: float) -> None:
    if weights.depth == MIXTURE and block == "v-phi-w":
        pytest.skip("a mixture is refused there")
    model = network(weights, block=block, carry=carry)
    known = facts(model)
    beyond = np.arange(2, 4)
    for name in ("growth", "displacement"):
        assert np.isnan(known.second_moment(name, beyond)).all()
        assert np.isfinite(facts(network("gaussian", block="v-phi-w")).second_moment(name, beyond)).all()
    for name in ("gradient", "gradient_displacement"):
        assert np.isnan(known.second_moment(name, np.arange(2))).all()
    assert np.isnan(known.mean_square(beyond)).all()
    assert known.depth_limit is None
    if carry == 0.0:
        assert np.isnan(known.dead_fraction(beyond)).all()


def test_weights_of_another_variance_than_1_have_no_exact_second_layer() -> None:
    layers = np.arange(2)
    for process in (MIXTURE, COVARIANCE):
        known = facts(network(Weights(depth=process)))
        assert np.isnan(known.second_moment("growth", layers)[1])
        assert np.isnan(known.mean_square(layers)[1])
    known, same = (facts(network(w)) for w in (Weights(depth=FractionalNoise(0.2)), "gaussian"))
    assert known.second_moment("growth", layers) == pytest.approx(same.second_moment("growth", layers))


@pytest.mark.parametrize(
    ("betas", "cs", "words"),
    [
        ((1, 0.5), (1, 1), "1 depth^-1 smooth (length 0.1) + 1 depth^-0.5 fractional noise (H = 0.5)"),
        ((0, -0.25), (-2, -0.5), "-2 depth^0 smooth (length 0.1) - 0.5 depth^0.25 fractional noise (H = 0.5)"),
        ((-0.0, 0), (1, 0), "1 depth^0 smooth (length 0.1) + 0 depth^0 fractional noise (H = 0.5)"),
    ],
)
def test_a_mixture_is_written_with_one_sign_before_each_number(betas, cs, words) -> None:
    mixture = Mixture(SmoothProcess(), FractionalNoise(0.5), betas, cs)
    assert mixture.words == words
    assert not re.search(r"[-+] ?-|\^-0\b(?!\.)", words)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        (DepthScaling(0.75, -0.02, inside=True), "scaling -0.02 depth^-0.75 inside"),
        (DepthScaling(-0.5, 0.01), "scaling 0.01 depth^0.5"),
        (DepthScaling(0.0, 0.03), "scaling 0.03"),
    ],
)
def test_tables_write_a_scaling_in_the_same_words(scaling: DepthScaling, words: str) -> None:
    model = ResidualNetwork(4, 8, "phi-out", "tanh", scaling=scaling)
    for found in (
        resmc.simulate(model, networks=64, progress=False),
        resmc.regime(model, [4, 8, 16, 32, 64], networks=64, progress=False),
        resmc.quadratic_variation(model, [4, 8], networks=32, progress=False),
    ):
        assert f"{words}  gaussian weights" in str(found.summary()).splitlines()[0]
