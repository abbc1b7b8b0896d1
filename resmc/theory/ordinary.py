"""Ordinary equations that residual networks with smooth or constant weights tend to as their depth L grows, s = c/L.

.. code-block:: text

    phi-in                      dH/dt = c (V(t) sigma(H) + b(t))                -dP/dt = c D V(t)^T P
    v-phi-w                     dH/dt = c V(t) sigma(W(t) H + b(t))             -dP/dt = c W(t)^T D V(t)^T P
    phi-out, scaling outside    dH/dt = c sigma(W(t) H + b(t))                  -dP/dt = c W(t)^T D P
    phi-out, scaling inside     dH/dt = c sigma'(0) (W(t) H + b(t))             -dP/dt = c sigma'(0) W(t)^T P

where D is the diagonal of sigma' at what sigma meets. V(t) is X(t)/sqrt(n) for "values" of a smooth process X, and
length X'(t)/sqrt(n) for its "increments", of variance 1/n too; tied weights do not depend on t. A homogeneous sigma
takes a positive scale out of itself, so that the third equation with sigma(c (W(t) H + b(t))) is the fourth one's too.
A layer is a step of Euler's method, and the distance of each network from its own equation is of order 1/L.

Sources: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 4; Cont, Rossier, Xu (arXiv 2212.08199), theorem 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..models.processes import Mixture, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from .depth_kinds import required_kind, time_process


@dataclass(frozen=True, eq=False)
class DepthODE:
    """The ordinary equation that each network tends to, with that network's weights in it.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    c : float
        The factor c of the network's scaling, or that of a mixture's trend.
    process : SmoothProcess or None
        The process that the weights are in time; None where they are constant.
    order : float
        The exponent by which the distance falls: L^-order.
    forward, backward : str
        The equations as text.
    """

    model: ResidualNetwork
    c: float
    process: SmoothProcess | None
    order: float
    forward: str
    backward: str

    @property
    def linear(self) -> bool:
        """True if the activation acts by its slope at 0 alone, the scaling being inside."""
        return self.model.inside and not self.model.sigma.homogeneous

    def __str__(self) -> str:
        return f"{self.forward}\n{self.backward}"


def depth_ode(model: ResidualNetwork) -> DepthODE:
    """Return the ordinary equation that ``model`` tends to as its depth grows at fixed width.

    Raises
    ------
    ValueError
        If there is none; the message says why.
    """
    kind = required_kind(model, "ode", "ordinary equation")
    process = model.dependence
    if isinstance(process, Mixture):
        c = process.cs[0]
    else:
        assert isinstance(model.scaling, DepthScaling)
        c = model.scaling.c
    return DepthODE(model, c, time_process(model), kind.order, *_formulas(model))


def _formulas(model: ResidualNetwork) -> tuple[str, str]:
    """Return the forward and the backward equation, each as a line of text."""
    b = " + b(t)" if model.bias else ""
    u = f"W(t) H{b}"
    if model.block == "phi-in":
        inner = f"(V(t) sigma(H){b})" if b else "V(t) sigma(H)"
        return f"dH/dt = c {inner}", "-dP/dt = c D V(t)^T P,  D = sigma'(H)"
    if model.block == "v-phi-w":
        return f"dH/dt = c V(t) sigma({u})", f"-dP/dt = c W(t)^T D V(t)^T P,  D = sigma'({u})"
    if not model.inside:
        return f"dH/dt = c sigma({u})", f"-dP/dt = c W(t)^T D P,  D = sigma'({u})"
    if model.sigma.homogeneous:
        return f"dH/dt = sigma(c ({u}))", f"-dP/dt = c W(t)^T D P,  D = sigma'(c ({u}))"
    slope = model.sigma.slope_at_zero
    scale = "c" if slope == 1.0 else f"{slope:.4g} c"
    return f"dH/dt = {scale} ({u})", f"-dP/dt = {scale} W(t)^T P"
