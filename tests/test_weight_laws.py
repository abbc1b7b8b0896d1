"""Weight laws that are a function of a normal: tables, networks of them against the twin and autograd, refusals."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from commands import run
from scipy import stats
from test_residual_kernels import TOLERANCE, differences
from test_residual_reference import RECORDS, autograd

import resmc
from resmc import QuantileLaw, ResidualNetwork, Sweep, Weights, theory
from resmc.models import weight_table
from resmc.models.user_law import INCREASING
from resmc.models.weight_families import LAW_FAMILIES, law_of
from resmc.models.weight_table import END, moments
from resmc.reference import simulate_residual
from resmc.theory.facts import facts

LAPLACE = QuantileLaw(lambda p: np.where(p < 0.5, np.log(2.0 * p), -np.log(2.0 - 2.0 * p)), name="laplace")
SKEWED = QuantileLaw(lambda p: -np.log1p(-p), upper=lambda p: -np.log(p), name="exponential")
T_OF_3 = QuantileLaw(stats.t(3).ppf, name="t_of_3")
SPELLED = ("truncated_normal", "truncated_normal(-1, 3)", "student_t(5)", "student_t(2.2)")
LAWS = (*SPELLED, LAPLACE, SKEWED)
REACHED = math.sqrt(66.0 * math.log(2.0))  # the largest radius of the method of Box and Muller


def exact(law: str | QuantileLaw, g: np.ndarray) -> np.ndarray:
    """Quantiles at Phi(g) by SciPy's distributions, shifted and scaled as the entries are."""
    distribution = {
        "truncated_normal": stats.truncnorm(-2.0, 2.0),
        "truncated_normal(-1, 3)": stats.truncnorm(-1.0, 3.0),
        "student_t(5)": stats.t(5.0),
        "student_t(2.2)": stats.t(2.2),
        str(LAPLACE): stats.laplace(),
        str(SKEWED): stats.expon(),
    }[str(law)]

    def of_normal(g: np.ndarray) -> np.ndarray:
        return np.where(g < 0.0, distribution.ppf(stats.norm.cdf(g)), distribution.isf(stats.norm.sf(g)))

    mean, deviation = moments(of_normal)
    if distribution.mean() == 0.0:
        mean = 0.0
    return (of_normal(g) - mean) / deviation


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_table_is_the_quantile_function_within_1e_6_of_its_size(law):
    g = np.linspace(-REACHED, REACHED, 4004)  # without 0, where SciPy's quantiles are off by rounding
    table, wanted = law_of(law).table, exact(law, g)
    sizes = np.maximum(np.abs(wanted), np.abs(g * np.gradient(wanted, g)))
    order = np.argsort(np.abs(g))
    sizes[order] = np.maximum.accumulate(sizes[order])
    single = table.value(g.astype(np.float32).astype(np.float64))
    assert (np.abs(table.value(g) - wanted) <= 1e-6 * sizes)[sizes > 0.0].all()
    assert (np.abs(single - wanted) > 1e-9 * sizes).any()  # negative control: it is a table
    mean, deviation = moments(table.value)
    assert abs(mean) < 1e-7
    assert abs(deviation - 1.0) < 1e-7


def test_moments_are_those_of_the_normals_that_are_drawn():
    """Of g itself 0 and 1 but for the last radii; of Student's t the variance without what is rarer than these."""
    assert moments(lambda g: g) == pytest.approx((0.0, 1.0), abs=1e-9)
    for df, lost in ((3.0, 3e-4), (5.0, 5e-7)):
        deviation = moments(LAW_FAMILIES["student_t"].of_normal(df))[1]
        assert 1.0 - deviation**2 * (df - 2.0) / df == pytest.approx(lost, rel=0.02)
    rng = np.random.default_rng(3)
    x = law_of("student_t(5)").generated(rng, (400_000,))
    error = x.var() ** 0.5 / len(x) ** 0.5
    assert abs(x.mean()) < 4.5 * error
    assert abs((x**2).mean() - 1.0) < 4.5 * (x**2).std() / len(x) ** 0.5
    assert stats.kstest(x[:20_000] * (5.0 / 3.0) ** 0.5, "t", (5.0,)).pvalue > 1e-5
    assert stats.kstest(x[:20_000] * (5.0 / 3.0) ** 0.5, "t", (20.0,)).pvalue < 1e-5  # negative control


def test_a_law_of_ones_own_agrees_with_the_family_and_symmetric_ones_are_odd_to_the_bit():
    g = np.random.default_rng(2).normal(size=1000)
    np.testing.assert_allclose(T_OF_3.table.value(g), law_of("student_t(3)").table.value(g), rtol=3e-6, atol=1e-9)
    for law in (*SPELLED, LAPLACE):
        record = law_of(law)
        assert record.symmetric == (law != "truncated_normal(-1, 3)")
        assert np.array_equal(record.table.value(g), -record.table.value(-g)) == record.symmetric
    assert not SKEWED.record.symmetric


def network(law: str | QuantileLaw, block: str, activation: str, **given: Any) -> ResidualNetwork:
    return ResidualNetwork(7, 6, block, activation, carry=0.9, weights=law, n_out=2, **given)


BLOCKS = {
    "phi-in": {"activation": "relu", "input": (0.3, -2.0, 1.1)},
    "phi-out": {"activation": "tanh", "bias": 0.3, "bias_law": "uniform"},
    "v-phi-w": {"activation": "gelu", "inner_width": 10, "input": (1.0, 0.5), "norm": "rms"},
}


@pytest.mark.cpu
@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("block", BLOCKS)
def test_kernels_draw_the_networks_of_the_twin(block, law):
    model = network(law, block, **BLOCKS[block])
    assert differences(model, method="dense").max() < TOLERANCE
    sim = resmc.simulate(model, networks=20, seed=3, keep_samples=20, threads=1)
    gaussian = resmc.simulate(network("gaussian", block, **BLOCKS[block]), method="dense", networks=20, seed=3,
                              keep_samples=20, threads=1)  # fmt: skip
    assert np.median(np.abs(sim.samples.log_norm - gaussian.samples.log_norm)) > 100.0 * TOLERANCE  # negative control


@pytest.mark.parametrize("block", BLOCKS)
def test_the_dense_gradient_is_autograds(block):
    pytest.importorskip("torch")
    for law in ("student_t(5)", SKEWED):
        model = network(law, block, **BLOCKS[block])
        paths = simulate_residual(model, 2, seed=71, method="dense")
        for row in range(2):
            found = autograd(model, 71, row)
            for record in RECORDS:
                ours = getattr(paths, record)[row]
                same = ~np.isneginf(ours)
                np.testing.assert_allclose(ours[same], found[record][same], rtol=1e-8, atol=1e-8, err_msg=record)


@pytest.mark.cpu
@pytest.mark.parametrize("law", ["truncated_normal", "student_t(5)", LAPLACE, SKEWED], ids=str)
def test_mean_squares_are_exact_with_every_symmetric_law_and_linear_ones_with_every_law(law):
    """Bounds of 4.5 standard errors, five looks at a law: a false alarm in 20 000 runs."""
    for block, activation in (("v-phi-w", "relu"), ("phi-out", "linear")):
        model = ResidualNetwork(8, 4, block, activation, weights=law)
        sim = resmc.simulate(model, networks=40_000, seed=2, gradients=True)
        for name in ("growth", "gradient"):
            known = facts(model).second_moment(name, sim.layers)
            moment = sim.log_ratio(name).log_second_moment
            if activation == "relu" and law is SKEWED:
                assert np.isnan(known[:-1] if name == "gradient" else known[2:]).all()
                continue
            checked = moment.stderr > 1e-6
            assert checked.any()
            assert np.abs(moment.z_score(known)[checked]).max() < 4.5, (block, name)
            assert np.abs(moment.z_score(known + 0.1)[checked]).max() > 9.0  # negative control


@pytest.mark.cpu
def test_what_needs_fair_signs_is_not_said_of_a_skewed_law():
    fair, skewed = (ResidualNetwork(4, 3, "phi-in", "relu", carry=0.0, weights=law) for law in (LAPLACE, SKEWED))
    layers = np.arange(4)
    assert np.isfinite(facts(fair).dead_fraction(layers)).all()
    assert np.isfinite(facts(fair).growth(layers)).all()
    for known in (facts(skewed).dead_fraction, facts(skewed).growth, facts(skewed).asymmetry):
        assert np.isnan(known(layers)[2:]).all()
    assert theory.depth.no_second_moments(ResidualNetwork(4, 3, "v-phi-w", "relu", weights=SKEWED)) is not None
    assert facts(fair).exact_law("growth") is None
    dead = resmc.simulate(skewed, networks=40_000, seed=1).log_ratio("growth").law
    assert abs(float(dead.zeros) / 40_000 - facts(fair).dead_fraction(layers)[-1]) > 0.02  # why it is not said


@pytest.mark.cpu
def test_a_law_goes_through_files_sweeps_pages_and_command_lines(tmp_path, capsys):
    model = ResidualNetwork(8, 3, weights=LAPLACE)
    assert ResidualNetwork.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    assert pickle.loads(pickle.dumps(model)) == model
    assert model != ResidualNetwork(8, 3, weights=SKEWED)
    sim = resmc.simulate(model, networks=64, seed=1)
    sim.save(tmp_path / "run.resmc")
    assert resmc.load(tmp_path / "run.resmc").model == model
    sim.report(tmp_path / "page.html")
    assert "laplace" in (tmp_path / "page.html").read_text()
    result = Sweep(width=8, depth=3, weights=["student_t(5)", LAPLACE, "gaussian"], networks=64, block="phi-in").run(
        tmp_path / "store", progress=False
    )
    assert result.complete
    stored = resmc.load_sweep(tmp_path / "store")
    for law in ("student_t(5)", LAPLACE):
        assert stored.simulation(weights=law).model.weights == law
    for given in ("student_t(5)", json.dumps(LAPLACE.to_dict())):
        said = run(capsys, "simulate", "--width", 8, "--depth", 3, "--networks", 64, "--weights", given)
        assert "dense" in said


def test_spellings_of_one_law_are_one():
    spelled = {"truncated_normal(-2,2)": "truncated_normal", " student_t(5.0)": "student_t(5)"}
    for given, kept in spelled.items():
        assert ResidualNetwork(4, 2, weights=given).weights == kept
        assert ResidualNetwork(4, 2, weights=Weights(law=given)).weights == kept
    assert ResidualNetwork(4, 2, weights="gaussian").to_dict() == ResidualNetwork(4, 2).to_dict()


def quantiles(change: Any) -> Any:
    return lambda p: change(stats.norm.ppf(p))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ResidualNetwork(4, 2, weights="student_t(2)"), "df must be above 2"),
        (lambda: ResidualNetwork(4, 2, weights="student_t(1e9)"), "at most 2\\^20"),
        (lambda: ResidualNetwork(4, 2, weights="student_t"), "student_t takes df"),
        (lambda: ResidualNetwork(4, 2, weights="student_t(five)"), "parameters must be numbers"),
        (lambda: ResidualNetwork(4, 2, weights="student_t(nan)"), "must be finite"),
        (lambda: ResidualNetwork(4, 2, weights="truncated_normal(1)"), "takes low and high"),
        (lambda: ResidualNetwork(4, 2, weights="truncated_normal(2, -2)"), "must be low < high"),
        (lambda: ResidualNetwork(4, 2, weights="truncated_normal(5, 6)"), "low at most 2"),
        (lambda: ResidualNetwork(4, 2, weights="cauchy"), "must be one of .*'student_t\\(df\\)'"),
        (lambda: ResidualNetwork(4, 2, weights=Weights("student_t(5)", "tied")), "not allowed with depth='tied'"),
        (lambda: ResidualNetwork(4, 2, weights={"name": "x"}), "what resmc.QuantileLaw.to_dict gives"),
        (lambda: QuantileLaw(5), "must be a function"),
        (lambda: QuantileLaw(np.cos, upper=1), "upper=1 is not allowed"),
        (lambda: QuantileLaw(np.sqrt, name="a b"), "letters, digits"),
        (lambda: QuantileLaw(lambda p: p[:1]), "entry by entry"),
        (
            lambda: QuantileLaw(lambda p: np.log(p - 0.1), upper=lambda p: np.log(0.9 - p)),
            "quantile is not finite at p=",
        ),
        (lambda: QuantileLaw(lambda p: -np.log1p(-p)), "give upper too"),
        (lambda: QuantileLaw(np.log, upper=lambda p: -np.log(p)), "do not match"),
        (lambda: QuantileLaw(quantiles(np.negative)), "must increase"),
        (lambda: QuantileLaw(quantiles(lambda x: np.clip(x, -1.0, 1.0))), "must increase with p, and does not near"),
        (lambda: QuantileLaw(quantiles(lambda x: x + np.sign(x))), "not smooth enough near p=0.5"),
        (lambda: QuantileLaw(stats.t(2.0).ppf), "variance is infinite"),
        (lambda: QuantileLaw(stats.cauchy.ppf), "variance is infinite"),
        (lambda: QuantileLaw.from_dict(LAPLACE.to_dict() | {"table": "AAAA"}), "cannot be unpacked"),
        (lambda: QuantileLaw.from_dict(LAPLACE.to_dict() | {"fine": 9}), "must have 3074 cells"),
        (lambda: resmc.simulate(ResidualNetwork(4, 2, weights=LAPLACE), networks=9, method="projected"), "dense"),
        (lambda: resmc.simulate(ResidualNetwork(4, 2, weights=LAPLACE), networks=9, device="cuda"), "device='cpu'"),
    ],
)
def test_what_is_no_law_is_refused_in_a_sentence(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_table_with_other_moments_is_no_law():
    cells = LAPLACE.table.cells.copy()
    cells[:, 0] += 0.01
    other = weight_table.KernelTable(LAPLACE.table.fine, LAPLACE.table.octaves, (), (), cells)
    with pytest.raises(ValueError, match="mean 0 and variance 1"):
        QuantileLaw.from_dict(LAPLACE.to_dict() | {"table": other.packed})


def test_the_table_reaches_beyond_the_largest_normal():
    assert INCREASING < REACHED < END
