"""Colours of drawings as variables of the page: greys follow its ink and paper, the others become lighter on dark ones.

A drawing is made once, for white paper. Every colour #rrggbb in it becomes var(--c-rrggbb), which the page's style
defines for light and for dark paper. Cells of heat maps keep their colours, and so do the words on them.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable

COLOUR = re.compile(r"#([0-9a-fA-F]{6})\b")
PAPER, DARK_PAPER = "ffffff", "14171c"  # the papers of style.css
DARK_INK = "e8eaed"
CONTRAST = 4.5  # least contrast of lines and words with their paper
KEPT = ("000001", "fffffe")  # dark and light words on a heat map, which has the same colours on every paper
GREY = 0.08  # saturation (of the value) below which a colour is a shade between ink and paper


def channels(colour: str) -> tuple[float, float, float]:
    """Return rrggbb as three numbers from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255.0 for i in (0, 2, 4))
    return red, green, blue


def as_hex(rgb: Iterable[float]) -> str:
    """Return rrggbb of three numbers from 0 to 1, the inverse of `channels`."""
    return "".join(f"{round(255.0 * min(max(x, 0.0), 1.0)):02x}" for x in rgb)


def luminance(colour: str) -> float:
    """Return the relative luminance, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def on_dark(colour: str) -> str:
    """Return a colour's substitute on dark paper, with the colour's contrast on white if pale, else `CONTRAST`."""
    red, green, blue = channels(colour)
    if max(red, green, blue) - min(red, green, blue) < GREY:
        shade = (red + green + blue) / 3.0
        ink, paper = channels(DARK_INK), channels(DARK_PAPER)
        return as_hex(i + shade * (p - i) for i, p in zip(ink, paper, strict=True))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    pale = contrast(colour, PAPER) < 2.0  # a band or a grid in the background, where it should stay on dark paper
    wanted = contrast(colour, PAPER) if pale else CONTRAST
    if pale:
        light = 0.5 * (1.0 - light) + 0.08
    while contrast(as_hex(colorsys.hls_to_rgb(hue, light, saturation)), DARK_PAPER) < wanted and light < 0.95:
        light += 0.01
    return as_hex(colorsys.hls_to_rgb(hue, light, saturation))


def as_variables(svg: str) -> tuple[str, set[str]]:
    """Return the drawing with its colours as variables, and these colours."""
    used: set[str] = set()

    def replaced(match: re.Match[str]) -> str:
        name = match[1].lower()
        if name in KEPT:
            return match[0]
        used.add(name)
        return f"var(--c-{name})"

    return COLOUR.sub(replaced, svg), used


def definitions(used: Iterable[str]) -> tuple[str, str]:
    """Return the variables' definitions for light and for dark paper."""
    names = sorted(used)
    light = "".join(f"--c-{name}:#{name};" for name in names)
    dark = "".join(f"--c-{name}:#{on_dark(name)};" for name in names)
    return light, dark
