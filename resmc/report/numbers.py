"""How numbers are written in a report: with a minus sign, two digits of the error, and words for what is missing."""

from __future__ import annotations

import math
from typing import Any

from ..results.estimates import WORTH_SAYING, Estimate
from ..tables.cells import format_estimate

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NARROW NO-BREAK SPACE}"  # between thousands
ERROR = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
RESOLVED = 3.0  # standard errors that make a difference from a value more than noise
UNUSUAL = 4.0  # an exact value so many standard errors away deserves a look


def plain(value: float, digits: int = 4) -> str:
    """A number without an error: four significant digits, and no zeros that say nothing."""
    if not math.isfinite(value):
        return "no value" if math.isnan(value) else "infinite" if value > 0 else f"{MINUS}infinite"
    value = 0.0 if abs(value) < 1e-12 else value
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return MINUS + text[1:] if text.startswith("-") else text


def pm(estimate: Estimate) -> str:
    """``0.4776 ± 0.0007``, or the words for what is missing."""
    return pm_values(float(estimate.value), float(estimate.stderr))


def pm_values(value: float, stderr: float) -> str:
    """The same of two numbers."""
    text = format_estimate(value, stderr).replace(" +- ", ERROR)
    return MINUS + text[1:] if text.startswith("-") else text


def count(number: int) -> str:
    """An integer with its thousands apart."""
    return f"{number:,}".replace(",", SPACE)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 network``, ``200 000 networks``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def percent(fraction: float) -> str:
    """Two significant digits and a sign: ``+3.5%``; what rounds to nothing is said so."""
    if not math.isfinite(fraction):
        return ""
    if abs(fraction) < 5e-5:
        return "0.00%"
    text = f"{100.0 * fraction:+.2g}" if abs(fraction) < 0.1 else f"{100.0 * fraction:+.0f}"
    return (MINUS + text[1:] if text.startswith("-") else text) + "%"


def factor(logarithm: float) -> str:
    """exp of it, which may be beyond all floats."""
    if math.isfinite(logarithm) and abs(logarithm) > 50.0:
        return f"e^({plain(logarithm)})"
    if not math.isfinite(logarithm):
        return "no value"
    return "1" if abs(logarithm) < 1e-9 else f"{math.exp(logarithm):#.3g}".rstrip(".")


def score(estimate: Estimate, exact: float) -> str:
    """``z = +0.9``, or nothing where there is no error."""
    z = float(estimate.z_score(exact))
    text = f"{z if abs(z) >= 0.05 else 0.0:+.1f}"
    return f"z\xa0=\xa0{MINUS + text[1:] if text.startswith('-') else text}" if math.isfinite(z) else ""


def beside(estimate: Estimate, exact: float | None = None, limit: float | None = None) -> str:
    """The theory beside an estimate as a clause: a z-score against exact values alone."""
    if exact is not None and math.isfinite(exact):
        z = score(estimate, exact)
        return f"exactly {plain(exact)}" + (f", {z}" if z else "")
    if limit is not None and math.isfinite(limit):
        difference = float(estimate.relative_difference(limit))
        away = percent(difference) if has_error(estimate) and abs(difference) <= WORTH_SAYING else ""
        words = f"{plain(limit)} at leading order in 1/n"
        return f"{words}, relative difference {away}" if away else words
    return "no value"


def disagrees(estimate: Estimate, exact: float | None) -> bool:
    """Whether an exact value lies too many standard errors away to be chance."""
    if exact is None or not math.isfinite(exact):
        return False
    z = float(estimate.z_score(exact))
    return math.isfinite(z) and abs(z) > UNUSUAL


def resolved(value: Any, stderr: Any) -> bool:
    """Whether a difference is more than noise; one without any error is."""
    value, stderr = float(value), float(stderr)
    return math.isfinite(value) and math.isfinite(stderr) and abs(value) > RESOLVED * stderr


def has_error(estimate: Estimate) -> bool:
    """Whether there is a standard error."""
    return math.isfinite(float(estimate.stderr))
