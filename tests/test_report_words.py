"""The sentences of a report against the numbers they are made of: each outcome has its own."""

from __future__ import annotations

import dataclasses
import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from reports import simulation

import resmc
from resmc.analyses.summary import Row, rows
from resmc.report import numbers, words
from resmc.report.found import Analyses, Answer
from resmc.results.estimates import Estimate, KSDistance
from resmc.results.observable import IN_DEPTH
from resmc.results.observables import OBSERVABLES

pytestmark = pytest.mark.cpu


def found(**changes: Any) -> Analyses:
    return Analyses.of(simulation(**changes))


def said(analyses: Analyses) -> dict[str, Answer]:
    return {answer.key: answer for answer in words.answers(analyses)}


def whole(answer: Answer) -> str:
    return " ".join((answer.verdict, *answer.sentences)).replace("\xa0", " ")


def estimate(value: float, stderr: float) -> Estimate:
    return Estimate(np.array(value), np.array(stderr), np.array(1000))


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (0.47759, 0.00067, "0.47759 ± 0.00067"),
        (-1.5, 0.25, "−1.50 ± 0.25"),
        (0.0, 0.0, "0 ± 0"),
        (2.0, math.nan, "2 (no error bar)"),
        (1.0, 7.7e-16, "1 ± 0"),
        (-3e-17, 1e-18, "−3.00e-17 ± 1.0e-18"),
        (math.nan, math.nan, "no value"),
        (-1.2e-11, 3e-12, "−1.20e-11 ± 3.0e-12"),
    ],
)
def test_an_estimate_is_written_with_two_digits_of_its_error(value, stderr, text):
    assert numbers.pm_values(value, stderr).replace("\xa0", " ") == text


def test_numbers_are_written_as_they_are_read():
    assert numbers.count(1234567) == "1\u202f234\u202f567"
    assert numbers.counted(1, "network") == "1 network"
    assert numbers.counted(2, "network") == "2 networks"
    assert numbers.plain(-0.5) == "−0.5"
    assert numbers.plain(-1e-17) == "0"
    assert numbers.percent(0.0351) == "+3.5%"
    assert numbers.percent(-0.42) == "−42%"
    assert numbers.percent(1e-6) == "0.00%"
    assert numbers.percent(math.nan) == ""
    assert numbers.factor(math.log(2.0)) == "2.00"
    assert numbers.factor(0.0) == "1"
    assert numbers.factor(1e4) == "e^(10000)"
    assert numbers.plain(438.0, 2) == "440"
    assert numbers.plain(-123456.0) == "−123500"
    assert numbers.plain(1.2e9) == "1.2e+09"
    assert numbers.score(estimate(1.0, 0.5), 2.0).replace("\xa0", " ") == "z = −2.0"
    assert numbers.score(estimate(1.0, 0.5), 1.001).replace("\xa0", " ") == "z = +0.0"


def test_a_z_score_stands_beside_exact_values_alone():
    e = estimate(1.1, 0.01)
    assert numbers.beside(e, 1.0, 2.0).replace("\xa0", " ") == "exactly 1, z = +10.0"
    assert numbers.beside(e, None, 1.0) == "1 at leading order in 1/n, relative difference +10%"
    assert numbers.beside(e, math.nan, 0.0) == "0 at leading order in 1/n"
    assert numbers.beside(estimate(1.1, math.nan), None, 1.0) == "1 at leading order in 1/n"
    assert "z =" not in numbers.beside(e, math.nan, 1.0)
    assert numbers.beside(e, None, 0.1) == "0.1 at leading order in 1/n, relative difference +1000%"
    assert numbers.beside(e, None, 0.09) == "0.09 at leading order in 1/n"
    one = OBSERVABLES["log_norm.mean"]
    assert Row(one, "x", e, limit=0.1).comparison() == ("0.1", "leading order", "+1000.00%")
    assert Row(one, "x", e, limit=0.09).comparison() == ("0.09", "leading order", "")
    assert numbers.beside(e, None, 1.0, IN_DEPTH) == "1 at infinite depth, relative difference +10%"
    assert numbers.theory(e, math.nan, math.nan) == ""
    assert numbers.theory(e, math.nan, 1.0) == " (theory: 1 at leading order in 1/n, relative difference +10%)"
    assert numbers.beside(estimate(0.0, 0.01), 0.0) == "exactly 0"  # nothing was counted: the error is a bound


# -------------------------------------------------------------------------------------------------------------- answers


def test_a_vanilla_network_is_answered_with_its_numbers():
    analyses = found(networks=1 << 17)
    sim, answers = analyses.sim, said(analyses)
    law = whole(answers["log-gaussian"])
    for number in (sim.log_norm_mean[-1], sim.log_norm_variance[-1], analyses.fit.skewness, analyses.fit.ks_theory):
        assert numbers.pm(number).replace("\xa0", " ") in law
    assert answers["hypoactivation"].verdict.startswith("Yes: ")
    share = 100.0 * float(sim.active_fraction.value[-1])
    assert float(re.search(r"Yes: \(([0-9.]+)", answers["hypoactivation"].verdict)[1]) == pytest.approx(share, abs=0.01)
    assert answers["interlayer"].verdict.startswith("Yes: the asymmetries of neighbouring layers have a correlation of")
    assert numbers.pm(analyses.inter.by_lag[1]) in answers["interlayer"].verdict
    last = analyses.growth.log_second_moment[-1]
    factor = re.search(r"By a factor of ([0-9.]+) over 12 layers", answers["growth"].verdict)
    assert float(factor[1]) == pytest.approx(math.exp(float(last.value)), rel=0.005)
    assert "infinite width 1." in answers["growth"].verdict


def test_every_row_of_the_summary_is_in_the_table():
    from resmc.report import tables

    analyses = found(networks=1 << 17)
    table = tables.quantities(analyses)
    expected = list(rows(analyses.sim))
    assert [row[0] for row in table.rows] == [row.name.replace("^2", "²") for row in expected]
    for shown, row in zip(table.rows, expected, strict=True):
        assert float(re.match(r"[-+.0-9e]+", shown[1].replace("−", "-"))[0]) == pytest.approx(
            float(row.estimate.value), abs=float(row.estimate.stderr)
        )
        assert (shown[4] == "exact") == (row.exact is not None and math.isfinite(row.exact))
        assert shown[5].startswith("z") <= (shown[4] == "exact")


def test_the_output_is_described_with_the_distances_its_figure_shows():
    from resmc.report.alternatives import DESCRIPTIONS

    analyses = found(n_out=5)
    near, far = analyses.fit.output_norm.ks_log_gaussian, analyses.fit.output_norm.ks_gaussian
    ends = f"distance of {float(near.value):.2g} from the first of these and of {float(far.value):.2g} from the second."
    assert DESCRIPTIONS["output"](analyses).endswith(ends)


def test_the_table_by_layer_has_every_recorded_layer():
    from resmc.report import tables

    analyses = found(layers=(3, 7), networks=300)
    table = tables.layers(analyses)
    assert [row[0] for row in table.rows] == ["0", "3", "7", "12"]
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_balanced_networks_are_held_against_exact_values():
    answers = said(found(variant="balanced"))
    assert answers["hypoactivation"].verdict.startswith("No: on average exactly half do in this model, and ")
    assert "z =" in whole(answers["hypoactivation"])
    assert answers["interlayer"].verdict.startswith("No, as theory says exactly: ")
    assert answers["growth"].verdict.startswith("Not at all, exactly; the estimate of log E|z_12|²/|z_0|² is ")


def test_a_scale_is_told_from_growth():
    answers = said(found(variant="balanced", alpha=1.0, lam=1.0, networks=8192))
    assert answers["growth"].verdict.startswith("By a factor of exactly 4.10e+03; ")  # 2^12
    assert "(alpha² + lam²)^d alone makes 8.318 of it" in whole(answers["growth"])


def test_an_exact_value_that_is_missed_is_not_passed_over():
    analyses = found(variant="balanced")
    wrong = dataclasses.replace(analyses.hypo, active_fraction=Estimate(
        analyses.hypo.active_fraction.value + 0.1, analyses.hypo.active_fraction.stderr, analyses.hypo.active_fraction.n
    ))  # fmt: skip
    inter = dataclasses.replace(analyses.inter, by_lag=Estimate(
        analyses.inter.by_lag.value + 0.5, analyses.inter.by_lag.stderr, analyses.inter.by_lag.n
    ))  # fmt: skip
    growth = dataclasses.replace(analyses.growth, log_second_moment=Estimate(
        analyses.growth.log_second_moment.value + 9.0, analyses.growth.log_second_moment.stderr,
        analyses.growth.log_second_moment.n,
    ))  # fmt: skip
    answers = said(dataclasses.replace(analyses, hypo=wrong, inter=inter, growth=growth))
    assert answers["hypoactivation"].verdict.startswith("Exactly half should, but ")
    assert answers["interlayer"].verdict.startswith("They should not, but ")
    assert "says theory, but the estimate of its logarithm is" in answers["growth"].verdict
    for key in ("hypoactivation", "interlayer", "growth"):
        assert "are no chance" in whole(answers[key])


def test_unreliable_growth_has_no_number_at_full_depth():
    analyses = found(width=4, depth=200, networks=2000)
    assert not analyses.growth.reliable[-1]
    growth = said(analyses)["growth"]
    last = int(analyses.growth.layers[np.flatnonzero(~analyses.growth.reliable)[0] - 1])
    assert growth.verdict.startswith(
        "That cannot be said at full depth: the mean of |z|² at layer 200 is ruled by rare"
    )
    assert f"Up to layer {last} it can" in growth.verdict
    assert "which says little" in whole(growth)
    assert "relative difference" not in whole(growth)


def test_growth_is_said_up_to_the_first_unreliable_layer():
    from resmc.report.alternatives import DESCRIPTIONS

    analyses = found(width=4, depth=200, networks=2000)
    mixed = np.arange(201) < 5
    mixed[9] = True
    mixed = dataclasses.replace(analyses, growth=dataclasses.replace(analyses.growth, reliable=mixed))
    assert "Up to layer 4 it can: " in said(mixed)["growth"].verdict
    assert DESCRIPTIONS["growth"](mixed).endswith(" The estimate is reliable up to layer 4.")


def test_growth_without_a_reliable_layer_between_says_so():
    analyses = found(width=4, depth=200, networks=2000, layers=(0,))
    verdict = said(analyses)["growth"].verdict
    assert verdict.startswith("That cannot be said at any recorded layer: the mean of |z|² at layer 200 is ruled by")


@pytest.mark.parametrize("changes", [{"width": 1, "variant": "balanced"}, {"width": 3, "alpha": 0.0, "lam": 1.0}])
def test_growth_that_is_known_exactly_is_said_from_few_networks_too(changes):
    analyses = found(depth=30, networks=2000, **changes)
    assert not analyses.growth.reliable[-1]
    assert analyses.sim.alive[-1]
    verdict = said(analyses)["growth"].verdict
    assert verdict == "Not at all, exactly (theory); these networks are too few to show it."


def test_where_rare_networks_rule_a_mean_the_page_says_up_to_which_layer_it_can_be_told():
    analyses = found(networks=500)
    verdict = said(analyses)["growth"].verdict
    assert verdict.startswith(
        "That cannot be said at full depth: the mean of |z|² at layer 12 is ruled by rare networks"
    )
    assert "so its estimate has no error bar. Up to layer " in verdict
    deep = found(width=4, depth=200, networks=2000).sim
    why = "rare networks rule that mean, and these are too few to tell how far it is off."
    assert str(deep.summary()).endswith(why)


def test_a_limit_that_is_far_says_why():
    assert "the width is small for this depth" in whole(said(found(width=4, depth=200, networks=2000))["log-gaussian"])
    assert "the width is small" not in whole(said(found(width=64, depth=12))["log-gaussian"])


def test_noise_is_not_called_a_small_width():
    analyses = found(width=64, networks=64, seed=0)
    assert abs(float(analyses.fit.mean.relative_difference(float(analyses.fit.theory.mean[0])))) > 0.25
    assert "the width is small" not in whole(said(analyses)["log-gaussian"])


@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_few_networks_give_no_answers(variant):
    analyses = found(networks=20, variant=variant)
    theory = ("On average exactly half do in this model; here it is", "In theory they do not in this model; here ",
              "Not at all, exactly (theory); these networks are too few to show it.")  # fmt: skip
    for answer in words.answers(analyses):
        assert answer.verdict.startswith(("That cannot be said", *(theory if variant == "balanced" else ())))
        assert "±" not in whole(answer)
    assert next(iter(words.caveats(analyses.sim))).startswith("With 20 networks there are no error bars")


def test_without_correlations_that_is_said():
    analyses = found(correlations=False, networks=500)
    answer = said(analyses)["interlayer"]
    assert answer.verdict == "That was not recorded: the simulation was made with correlations=False."
    assert answer.figures == ()


def test_the_dead_are_counted():
    analyses = found(width=3, depth=20, alpha=0.0, lam=1.0)
    dead = int(analyses.sim.dead[-1])
    caveat = next(iter(words.caveats(analyses.sim)))
    assert dead > 100
    assert caveat.startswith(
        f"{numbers.count(dead)} of {numbers.count(8192)} networks ({dead / 8192:.3g} of all) are dead"
    )
    assert "(theory: exactly" in said(analyses)["log-gaussian"].sentences[0]


@pytest.mark.parametrize(
    ("networks", "dead", "begin"),
    [(200, 200, "200 of 200 networks are dead at"), (1, 1, "1 of 1 network is dead at"),
     (200, 1, "1 of 200 networks (0.005 of all) is dead at")],
)  # fmt: skip
def test_one_and_all_are_counted_in_words(networks, dead, begin):
    sim = simulation(width=1, depth=50, alpha=0.0, lam=1.0, networks=200)
    sim = SimpleNamespace(networks=networks, dead=[dead], model=sim.model, lowered=sim.lowered, has_asymmetry=True,
                          inactive=[0], numerics=sim.numerics)  # fmt: skip
    assert list(words.caveats(sim))[-1].startswith(begin)


def test_one_network_is_singular():
    sim = simulation(networks=1, keep_trajectories=1)
    assert "\n1 network (0..0), projected" in sim.summary()
    with pytest.raises(ValueError, match="sim has 1 living network: quantiles"):
        resmc.plot.plot_qq(sim)


@pytest.mark.parametrize("width", [1, 2])
def test_when_all_are_dead_nothing_is_made_up(width):
    analyses = found(width=width, depth=50, alpha=0.0, lam=1.0, networks=200)
    assert analyses.sim.alive[-1] == 0
    answers = said(analyses)
    assert answers["log-gaussian"].verdict == "No network is alive at layer 50: there is no log-norm to describe."
    assert answers["hypoactivation"].verdict == "No network is alive at layer 50: there are no neurons to count."
    assert answers["growth"].verdict == "No network is alive at layer 50: the plain mean of |z_50|² is 0."
    assert "theory says " in whole(answers["growth"])
    assert "ruled by rare" not in whole(answers["growth"])


@pytest.mark.parametrize(
    ("value", "floor", "begin"),
    [
        (0.001, 0.001, "Yes, as far as 1\u202f000 networks can tell"),
        (0.010, 0.001, "Nearly: "),
        (0.040, 0.001, "Roughly: "),
        (0.300, 0.001, "No: "),
        (0.300, math.nan, "That cannot be said from 1\u202f000 networks."),
        (math.nan, 0.001, "That cannot be said from 1\u202f000 networks."),
    ],
)
def test_a_distance_is_weighed_against_sampling_noise(value, floor, begin):
    from resmc.report.words_law import _law_verdict

    ks = KSDistance(np.array(value), np.array(1e-4), np.array(1000), 31.0, floor, 1e-5)
    none = estimate(0.0, 0.1)
    fit = dataclasses.replace(found().fit, ks_fitted=ks, skewness=none, excess_kurtosis=none)
    assert _law_verdict(fit, 1000).startswith(begin)


def test_a_law_of_resolved_skewness_is_not_called_gaussian():
    analyses = found(width=32, depth=1, networks=5000)
    assert said(analyses)["log-gaussian"].verdict.replace("\xa0", " ") == (
        "Nearly: no difference in distance is seen (0.0167 ± 0.0084, noise 0.0087), but its skewness is −0.156 ± 0.047."
    )
    tails = dataclasses.replace(analyses.fit, skewness=estimate(0.0, 0.1), excess_kurtosis=estimate(0.5, 0.1))
    assert said(dataclasses.replace(analyses, fit=tails))["log-gaussian"].verdict.endswith(
        "but its excess kurtosis is 0.50\xa0±\xa00.10."
    )
    none = dataclasses.replace(analyses.fit, skewness=estimate(0.0, 0.1), excess_kurtosis=estimate(0.0, 0.1))
    verdict = said(dataclasses.replace(analyses, fit=none))["log-gaussian"].verdict
    assert verdict.startswith("Yes, as far as")
    assert "0.0167\xa0±\xa00.0084" in verdict


@pytest.mark.parametrize(
    ("near", "far", "end"),
    [
        (0.01, 0.4, "the log-Gaussian limit is 40 times closer."),
        (0.4, 0.01, "the infinite-width law is 40 times closer."),
        (0.2, 0.201, "neither is close."),
        (0.5, 0.55, "neither is close."),
        (0.03, 0.031, "both are about as far."),
        (0.004, 0.5, "the log-Gaussian limit is 120 times closer."),
        (0.001, 0.3, "the first is not seen to differ, the second does."),
        (0.3, 0.001, "the second is not seen to differ, the first does."),
        (0.001, 0.001, "neither is seen to differ from it."),
    ],
)
def test_two_laws_are_compared(near, far, end):
    from resmc.report.words_law import _two_laws

    def distance(value: float) -> KSDistance:
        return KSDistance(np.array(value), np.array(1e-4), np.array(1000), 31.0, 0.001, 1e-5)

    assert _two_laws("The law", distance(near), distance(far), "a Gaussian").endswith(end)


def test_what_the_bins_may_hide_is_said():
    from resmc.report.words_law import _law_verdict, _two_laws

    def distance(value: float, resolution: float = 0.0054) -> KSDistance:
        return KSDistance(np.array(value), np.array(1e-4), np.array(1000), 31.0, 0.001, resolution)

    text = _two_laws("The law", distance(0.0023), distance(0.175), "a Gaussian")
    assert text.endswith(
        "(sampling noise: 0.001; either may be larger by up to 0.0054): the log-Gaussian limit is at least 23 times "
        "closer."
    )
    none = estimate(0.0, 0.1)
    fit = dataclasses.replace(found().fit, ks_fitted=distance(0.001), skewness=none, excess_kurtosis=none)
    assert _law_verdict(fit, 1000).endswith("sampling noise alone gives 0.001; it may be larger by up to 0.0054.")
    assert "larger" not in _law_verdict(dataclasses.replace(fit, ks_fitted=distance(0.001, 1e-5)), 1000)


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({}, "log(χ²_n/n)"),
        ({"input_norm": 2.0}, "log(χ²_n/n) + 2 log(input norm)"),
        ({"alpha": 1.0}, "log(χ²_n/n) + d log(alpha² + lam²)"),
        ({"alpha": 1.0, "input_norm": 0.5}, "log(χ²_n/n) + 2 log(input norm) + d log(alpha² + lam²)"),
    ],
)
def test_the_law_of_infinite_width_has_the_scale_of_the_model(changes, law):
    answer = said(found(networks=500, **changes))["log-gaussian"]
    assert f" from {law}, which infinite width predicts" in whole(answer)


@pytest.mark.parametrize("alpha", [0.5**0.5, -0.5])
def test_no_layer_is_picked_as_the_lowest(alpha):
    analyses = found(alpha=alpha)
    text = whole(said(analyses)["hypoactivation"])
    assert "lowest" not in text
    share = 100.0 * analyses.sim.active_fraction.value[0]
    assert float(
        re.search(r"At layer 0, \(([0-9.]+) ± [0-9.]+\)% of the neurons fire \(exactly 50%\)", text)[1]
    ) == pytest.approx(share, abs=0.01)


def test_a_deficit_within_its_error_is_not_seen():
    from resmc.report.words_layers import _half

    seen = _half(estimate(0.499, 0.001), math.nan, 0.4985, 7)
    assert seen.startswith("Not seen: ")
    assert seen.endswith(" fire at layer 7, within three standard errors of 50%; the limit is 49.85%.")
    assert _half(estimate(0.499, 0.0001), math.nan, 0.4985, 7).startswith("Yes: ")
    assert _half(estimate(0.501, 0.0001), math.nan, 0.4985, 7).startswith("No, more than half do: ")
