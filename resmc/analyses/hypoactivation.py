"""Do fewer than half of the ReLUs fire?

Li, Nica, Roy 2021 (arXiv 2106.04013): in a vanilla ResNet with alpha > 0 the asymmetry
A_l = 2 |phi(z_l)|^2/|z_l|^2 - 1 and F_l - 1/2, F_l the fraction of active neurons, are negative on average, of
order 1/n; in a balanced one both vanish exactly. Other networks with rectifiers that act on their layers (phi-in) have
both quantities, and no limit of them is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..theory import HypoactivationLimit
from ._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class Hypoactivation(Result):
    """Asymmetry and active fraction by recorded layer (R,), over the living networks.

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    asymmetry, active_fraction : Estimate, shape (R,)
        Means of A_l and F_l.
    theory : theory.HypoactivationLimit or None
        The limits of both means at leading order in 1/n; None where none is known.
    next_order : theory.HypoactivationLimit or None
        These limits with the next order in 1/n (`resmc.theory.next_order`); None where it is not known.
    exact_asymmetry, exact_active_fraction : ndarray, shape (R,)
        Exact means, 0 and 1/2, where they are known (`resmc.theory.facts`), else NaN.
    inactive, dead : ndarray of int, shape (R,)
        Numbers of networks without any active neuron, and of networks with z_l = 0.
    """

    _by_entry: ClassVar[tuple[str, ...]] = (
        "layers",
        "asymmetry",
        "theory.asymmetry",
        "next_order.asymmetry",
        "exact_asymmetry",
        "active_fraction",
        "theory.active_fraction",
        "next_order.active_fraction",
        "exact_active_fraction",
        "inactive",
        "dead",
    )

    layers: NDArray[np.int64]
    asymmetry: Estimate
    active_fraction: Estimate
    theory: HypoactivationLimit | None
    next_order: HypoactivationLimit | None
    exact_asymmetry: Floats
    exact_active_fraction: Floats
    inactive: NDArray[np.int64]
    dead: NDArray[np.int64]


def analyse(sim: Record) -> Hypoactivation:
    """Return asymmetry and active fraction of ``sim`` by layer, with the theory beside them.

    Raises
    ------
    ValueError
        If the network has none, because no rectifier acts on its layers.
    """
    return Hypoactivation(
        layers=sim.layers,
        asymmetry=sim.asymmetry_mean,
        active_fraction=sim.active_fraction,
        theory=sim.facts.hypoactivation_limit(sim.layers),
        next_order=sim.facts.hypoactivation_limit(sim.layers, 2),
        exact_asymmetry=sim.facts.asymmetry(sim.layers),
        exact_active_fraction=sim.facts.active_fraction(sim.layers),
        inactive=sim.inactive,
        dead=sim.dead,
    )
