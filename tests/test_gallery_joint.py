"""Claims of the gallery about several inputs: angles that shrink, and the tangent kernel's exact second moment."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from gallery_scripts import CLEAR, agrees

pytest.importorskip("matplotlib")


def angles_shrink(found: list[Any]) -> bool:
    """The wide angle shrinks to less than at infinite width, the small one by its exact law."""
    wide, *small = found
    return wide.value < wide.reference - CLEAR * wide.stderr and all(agrees(one) for one in small)


def test_angles_shrink_faster_than_at_infinite_width(ran):
    found = ran["x_angles"].found
    assert angles_shrink(found)
    wide, mean, variance = found
    assert not angles_shrink([replace(wide, value=wide.reference), mean, variance])
    assert not angles_shrink([wide, replace(mean, reference=1.1 * mean.reference), variance])


def test_the_tangent_kernel_has_its_exact_moments(ran):
    found = ran["y_tangent_kernel"].found
    assert all(agrees(one) for one in found)
    second = found[3]
    assert second.name == "d/n = 0.125: E K²/(E K)²"
    assert not agrees(replace(second, reference=math.exp(5 * 0.125)))  # without the constant
