"""Numbers as a report writes them: with a minus sign, two digits of the error, and words where there is no number."""

from __future__ import annotations

import math
import re
from typing import Any

from ..results.estimates import WORTH_SAYING, Estimate
from ..results.observable import IN_DEPTH, LEADING, NEXT
from ..tables.cells import format_estimate

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NARROW NO-BREAK SPACE}"  # between thousands
ERROR = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
RESOLVED = 3.0  # standard errors above which a difference is called more than noise
UNUSUAL = 4.0  # standard errors above which a distance from an exact value is called no chance
NONE = "\N{EM DASH}"  # stands in a table where there is no such number
LIMITS = {LEADING: "at leading order in 1/n", IN_DEPTH: "at infinite depth"}
LARGEST = 20.0  # logarithm of a ratio that is written as a number


def plain(value: float, digits: int = 4) -> str:
    """Return a number without an error: four significant digits, and no zeros that say nothing."""
    if not math.isfinite(value):
        return "no value" if math.isnan(value) else "infinite" if value > 0 else f"{MINUS}infinite"
    value = 0.0 if abs(value) < 1e-12 else value
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return _minus(text)


def _minus(text: str) -> str:
    """Return a number's text with a minus sign instead of a hyphen."""
    return MINUS + text[1:] if text.startswith("-") else text


def pm(estimate: Estimate) -> str:
    """Return an estimate like ``0.4776 ± 0.0007``, or words where it has no error."""
    return pm_values(float(estimate.value), float(estimate.stderr))


def pm_values(value: float, stderr: float) -> str:
    """Return a value and its standard error like ``0.4776 ± 0.0007``, or words where there is no error."""
    text = format_estimate(value, stderr).replace(" +- ", ERROR)
    return _minus(text)


def count(number: int) -> str:
    """Return an integer with its thousands apart."""
    return f"{number:,}".replace(",", SPACE)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 network``, ``200 000 networks``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def percent(fraction: float) -> str:
    """Return a percentage with a sign and two significant digits, ``+3.5%``, or ``0.00%`` if it rounds to that."""
    if not math.isfinite(fraction):
        return ""
    if abs(fraction) < 5e-5:
        return "0.00%"
    text = f"{100.0 * fraction:+.2g}" if abs(fraction) < 0.1 else f"{100.0 * fraction:+.0f}"
    return f"{_minus(text)}%"


def factor(logarithm: float) -> str:
    """Return exp of a logarithm, also beyond the range of floats."""
    if math.isfinite(logarithm) and abs(logarithm) > 50.0:
        return f"e^({plain(logarithm)})"
    if not math.isfinite(logarithm):
        return "no value"
    return "1" if abs(logarithm) < 1e-9 else f"{math.exp(logarithm):#.3g}".rstrip(".")


def score(estimate: Estimate, exact: float) -> str:
    """Return a z-score like ``z = +0.9``, or nothing where there is no error, or no difference to weigh.

    A share of which nothing was counted equals an exact 0, and its error is a bound.
    """
    z = float(estimate.z_score(exact)) if float(estimate.value) != exact else math.nan
    text = f"{z if abs(z) >= 0.05 else 0.0:+.1f}"
    return f"z\xa0=\xa0{_minus(text)}" if math.isfinite(z) else ""


def beside(
    estimate: Estimate,
    exact: float | None = None,
    limit: float | None = None,
    kind: str = LEADING,
    second_order: float | None = None,
) -> str:
    """Return the theory beside an estimate as a clause: a z-score against exact values alone."""
    if exact is not None and math.isfinite(exact):
        z = score(estimate, exact)
        return f"exactly {plain(exact)}" + (f", {z}" if z else "")
    if limit is not None and math.isfinite(limit):
        away = _away(estimate, limit)
        words = f"{plain(limit)} {LIMITS[kind]}" + (f", relative difference {away}" if away else "")
        if second_order is None or not math.isfinite(second_order):
            return words
        away = _away(estimate, second_order)
        return f"{words}; {plain(second_order)} with the {NEXT}" + (f", {away}" if away else "")
    return "no value"


def _away(estimate: Estimate, limit: float) -> str:
    """Return the relative difference from a limit, where there is an error and it is not too large to say much."""
    difference = float(estimate.relative_difference(limit))
    return percent(difference) if has_error(estimate) and abs(difference) <= WORTH_SAYING else ""


def theory(
    estimate: Estimate,
    exact: float | None = None,
    limit: float | None = None,
    kind: str = LEADING,
    second_order: float | None = None,
) -> str:
    """Return the theory beside an estimate in brackets, after a space, or nothing where there is none."""
    known = any(x is not None and math.isfinite(x) for x in (exact, limit))
    return f" (theory: {beside(estimate, exact, limit, kind, second_order)})" if known else ""


def ratio(logarithm: float, stderr: float) -> str:
    """Return the root of a quotient from the quotient's logarithm, with its error, also beyond the range of floats."""
    if logarithm == -math.inf:
        return "0"
    half, error = 0.5 * logarithm, 0.5 * stderr
    if math.isfinite(half) and abs(half) > LARGEST:
        return f"e^({pm_values(half, error)})"
    value = math.exp(half) if math.isfinite(half) else half
    return pm_values(value, value * error)


def plain_ratio(logarithm: float) -> str:
    """Return the root of a quotient from the quotient's logarithm, without an error."""
    return factor(0.5 * logarithm) if math.isfinite(logarithm) else ratio(logarithm, math.nan)


def typeset(text: str) -> str:
    """Return a formula of the table of quantities with squares and minus signs as a page has them."""
    text = text.replace("^2", "²").replace("phi(", "φ(").replace(" - ", f" {MINUS} ")
    return re.sub(r"(?<=\w)-(?=[a-z]_)", MINUS, text)


def disagrees(estimate: Estimate, exact: float | None) -> bool:
    """Return True if an exact value lies too many standard errors away to be chance."""
    if exact is None or not math.isfinite(exact):
        return False
    z = float(estimate.z_score(exact))
    return math.isfinite(z) and abs(z) > UNUSUAL


def resolved(value: Any, stderr: Any) -> bool:
    """Return True if a difference is more than noise, as every difference with the error 0 is."""
    value, stderr = float(value), float(stderr)
    return math.isfinite(value) and math.isfinite(stderr) and abs(value) > RESOLVED * stderr


def has_error(estimate: Estimate) -> bool:
    """Return True if there is a standard error."""
    return math.isfinite(float(estimate.stderr))


def the(words: str) -> str:
    """Return a quantity's words as the beginning of a sentence; a formula that they end with is set off by commas."""
    text = f"The {typeset(words)}"
    return f"{text}," if "," in text else text
