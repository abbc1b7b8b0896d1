"""The answer in words to: is the final log-norm Gaussian?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..analyses import LogGaussianFit
from ..models.resnet import ResNet
from ..results.estimates import Estimate, KSDistance
from .found import FAR, LARGE, LOOK, Analyses, Answer
from .numbers import counted, disagrees, has_error, plain, pm, resolved, theory
from .words_quotient import away_from_exact

SEEN = 2.0  # times the mean distance by sampling alone, from which on a distance is more than noise
CLOSER = 1.5  # factor between two distances from which on one law is said to be closer than another
NEAR, ROUGH = 0.02, 0.05  # distances below which a law is called nearly, or roughly, another
MOMENTS = ("mean", "variance", "skewness", "excess_kurtosis")


def log_gaussian(found: Analyses) -> Answer:
    """Answer if the final log-norm is Gaussian."""
    sim, fit, d = found.sim, found.fit, found.sim.model.depth
    # The law of the output is mixed from that of the log-norm, which Gaussian weights allow.
    output = ("output",) if sim.lowered.general.weight_law.gaussian else ()
    laws, paths = ("log_norm", "qq", *output), ("trajectories",) if len(sim.trajectories.networks) else ()
    figures = (*laws, *paths)
    question = "Is the log-norm Gaussian?"
    if not sim.alive[-1]:
        verdict = f"No network is alive at layer {d}: there is no log-norm to describe."
        return Answer("log-gaussian", question, verdict, (), ())
    if not sim.histogram.counts.any():
        verdict = (
            f"That cannot be said: no log-norm lies between {plain(float(sim.histogram.edges[0]))} and "
            f"{plain(float(sim.histogram.edges[-1]))}, the ends of the histogram."
        )
        moments = tuple(_law(found))[: -1 if fit.theory is None else None]
        return Answer("log-gaussian", question, verdict, moments, paths)
    return Answer("log-gaussian", question, _law_verdict(fit, int(sim.alive[-1])), tuple(_law(found)), figures)


def _law_verdict(fit: LogGaussianFit, networks: int) -> str:
    ks = fit.ks_fitted
    value, floor = float(ks.value), ks.noise_floor
    if not math.isfinite(value) or not math.isfinite(floor):
        return f"That cannot be said from {counted(networks, 'network')}."
    if value <= SEEN * floor and ks.resolution > ROUGH:
        return _hidden(fit)
    if value <= SEEN * floor:
        moments = _departures(fit)
        if moments:
            but = " and its ".join(f"{name} is {pm(moment)}" for name, moment in moments.items())
            return (
                f"{'Nearly' if value < NEAR else 'Not quite'}: no difference in distance is seen ({pm(ks)}, noise "
                f"{plain(floor, 2)}), but its {but}."
            )
        return (
            f"Yes, as far as {counted(networks, 'network')} can tell: its law is at a Kolmogorov-Smirnov distance "
            f"of {pm(ks)} from a Gaussian of the same mean and variance, and sampling noise alone gives "
            f"{plain(floor, 2)}{_larger('it', ks.resolution, floor)}."
        )
    how = "Nearly" if value < NEAR else "Roughly" if value < ROUGH else "No"
    return (
        f"{how}: its law is at a Kolmogorov-Smirnov distance of {pm(ks)} from a Gaussian of the same mean and "
        f"variance, where sampling noise alone would give {plain(floor, 2)}."
    )


def _hidden(fit: LogGaussianFit) -> str:
    """Return the verdict where the bins are as wide as the law, and the moments alone can tell."""
    bins = (
        f"the histogram's bins are wide beside the law, and may hide a distance of {plain(fit.ks_fitted.resolution, 2)}"
    )
    moments = _departures(fit)
    if not moments:
        return f"Not seen to be anything else: its skewness is {pm(fit.skewness)}, but {bins}."
    but = " and its ".join(f"{name} is {pm(moment)}" for name, moment in moments.items())
    return f"No: its {but}; {bins}."


def _larger(which: str, resolution: float, floor: float) -> str:
    """Say how much of a distance the bins may hide, where that is more than noise."""
    return f"; {which} may be larger by up to {plain(resolution, 2)}" if resolution > floor else ""


def _departures(fit: LogGaussianFit) -> dict[str, Estimate]:
    """Return the moments that are 0 for a Gaussian and are resolved from 0 here."""
    moments = {"skewness": fit.skewness, "excess kurtosis": fit.excess_kurtosis}
    return {name: e for name, e in moments.items() if resolved(e.value, e.stderr)}


def _law(found: Analyses) -> Iterator[str]:
    fit, d, z = found.fit, found.sim.model.depth, found.letter
    known = {name: None if fit.exact is None else float(getattr(fit.exact, name)[0]) for name in MOMENTS}
    limit, second = (
        {name: None if of is None else float(getattr(of, name)[0]) for name in ("mean", "variance")}
        for of in (fit.theory, fit.next_order)
    )
    name, mean = (
        f"The log-norm L_{d} = log(|{z}_{d}|²/n)",
        f"{pm(fit.mean)}{theory(fit.mean, known['mean'], limit['mean'], second_order=second['mean'])}",
    )
    if math.isfinite(fit.variance.value):
        beside = theory(fit.variance, known["variance"], limit["variance"], second_order=second["variance"])
        variance = f"{pm(fit.variance)}{beside}"
        yield f"{name} has mean {mean} and variance {variance}."
    else:
        yield f"{name} is {mean}; one network has no variance, no skewness and no excess kurtosis."
    if any(_far(getattr(fit, name), known[name], value) for name, value in limit.items()):
        yield FAR
    if math.isfinite(fit.skewness.value):
        yield f"Its skewness is {pm(fit.skewness)} and its excess kurtosis {pm(fit.excess_kurtosis)}{_shape(fit)}"
    elif math.isfinite(fit.variance.value):
        yield "It does not vary, and so has no skewness and no excess kurtosis."
    for name in MOMENTS:
        if disagrees(getattr(fit, name), known[name]):
            yield f"The {name.replace('_', ' ')} is not the exact one. {LOOK}"
    if fit.ks_exact is not None and has_error(fit.ks_exact):
        yield from away_from_exact(fit.ks_exact)
    if fit.ks_theory is None and fit.exact is not None:
        return
    if fit.ks_theory is None or fit.ks_gaussian_limit is None or fit.output is None or fit.output_norm is None:
        yield (
            "No limit law of this network's log-norm is known: it is compared with the Gaussian of its own mean and "
            "variance alone."
        )
        return
    yield _two_laws("The law of the log-norm", fit.ks_theory, fit.ks_gaussian_limit, _infinite(found.sim.resnet))
    yield _two_laws("The law of an output neuron", fit.output.ks_log_gaussian, fit.output.ks_gaussian, "a Gaussian")
    norm, outputs = fit.output_norm, counted(found.sim.model.n_out, "output")
    yield (
        f"In the figure is the law of |{z}_out|² with {outputs}; its distances are {pm(norm.ks_log_gaussian)} and "
        f"{pm(norm.ks_gaussian)}" + (", twice those of the output itself." if norm.n_out == 1 else ".")
    )


def _infinite(model: ResNet) -> str:
    """Return a formula for the final log-norm at infinite width."""
    size = "" if model.input_norm == 1.0 else " + 2 log(input norm)"
    scale = "" if abs(model.depth * model.log_scale) < 1e-9 else " + d log(alpha² + lam²)"
    return f"log(χ²_n/n){size}{scale}"


def _far(estimate: Estimate, exact: float | None, limit: float | None) -> bool:
    """Return True if an estimate is far from its limit at leading order, by more than noise."""
    if exact is not None or limit is None:
        return False
    difference = abs(float(estimate.relative_difference(limit)))
    return difference > LARGE and resolved(estimate.value - limit, estimate.stderr)


def _shape(fit: LogGaussianFit) -> str:
    if fit.exact is not None:
        return (
            f" (exactly {plain(float(fit.exact.skewness[0]))} and "
            f"{plain(float(fit.exact.excess_kurtosis[0]))}; 0 for a Gaussian)."
        )
    if not has_error(fit.skewness):
        return "; both are 0 for a Gaussian."
    departs = _departures(fit)
    if not departs:
        return "; both are 0 for a Gaussian, and neither is seen to differ from it."
    which, verb = " and the ".join(departs), "is" if len(departs) == 1 else "are"
    return f"; both are 0 for a Gaussian, from which the {which} {verb} resolved."


def _two_laws(what: str, log_gaussian: KSDistance, gaussian: KSDistance, infinite: str) -> str:
    near, far = float(log_gaussian.value), float(gaussian.value)
    text = (
        f"{what} is at a distance of {pm(log_gaussian)} from the log-Gaussian limit, which has no fitted number, "
        f"and of {pm(gaussian)} from {infinite}, which infinite width predicts"
    )
    floor = log_gaussian.noise_floor
    if not (math.isfinite(near) and math.isfinite(far) and math.isfinite(floor)):
        return f"{text}; with so few networks these say nothing."
    bins = max(log_gaussian.resolution, gaussian.resolution)  # more than either distance may be larger by
    larger = _larger("either", bins, floor)
    text += f" (sampling noise: {plain(floor, 2)}{larger})"
    if max(near, far) <= SEEN * floor:
        return f"{text}: neither is seen to differ from it."
    if near <= SEEN * floor:
        return f"{text}: the first is not seen to differ, the second does."
    if far <= SEEN * floor:
        return f"{text}: the second is not seen to differ, the first does."
    close, times = min(near, far), max(near, far) / (min(near, far) + bins)
    if times < CLOSER:
        return f"{text}: {'neither is close' if close > ROUGH else 'both are about as far'}."
    return (
        f"{text}: the {'log-Gaussian limit' if near < far else 'infinite-width law'} is "
        f"{'at least ' if larger else ''}{plain(times, 2)} times closer."
    )
