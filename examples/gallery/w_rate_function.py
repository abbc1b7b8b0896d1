r"""Moments of the norm grow at rates that are no parabola: the large deviations of the log-norm are not Gaussian.

$\Lambda(q) = \lim \frac1d \log E|z_d|^{2q}$ and its Legendre transform $I(x) = \sup_q (q x - \Lambda(q))$ say how rare
networks are whose log-norm grows by $x$ in each layer: the probability falls like $e^{-d I(x)}$. Without a skip the
layers are independent, and $\Lambda(q) = \log E (2 \chi^2_K/n)^q$ exactly, $K \sim \mathrm{Bin}(n, 1/2)$: at $q = 1$
and $q = 2$ it is $0$ and $\log(1 + 5/n)$. With a skip and random signs (balanced) $\Lambda(1) = 0$, and $\Lambda(2)$ is
that of the fourth moment's recursion. If log-norms were Gaussian, as they are at leading order (Li, Nica, Roy, arXiv
2106.04013), $\Lambda$ would be the parabola $v q (q - 1)/2$, $v$ the variance that a layer adds.

    python examples/gallery/w_rate_function.py [--networks 1.0] [--seed 0] [--output w_rate_function.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from common import WEIGHT, Finding

import resmc
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "Moments of the norm grow like exp(d Λ(q)): Λ and the rate function I of its large deviations"
WIDTH, DEPTH, SIZE, POPULATIONS = 16, 96, 1024, 256
POWERS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
MODELS = {
    "no skip": resmc.ResNet(WIDTH, DEPTH, 0.0, 1.0),
    "balanced": resmc.ResNet(WIDTH, DEPTH, WEIGHT, WEIGHT, "balanced"),
    "vanilla": resmc.ResNet(WIDTH, DEPTH, WEIGHT, WEIGHT),
}
Found = dict[str, resmc.RateFunction]


def simulate(args: argparse.Namespace) -> Found:
    """Rate functions: below 0 of balanced networks alone, as others die or never fire again, and these rule there."""
    count = max(round(POPULATIONS * args.networks), MIN_NETWORKS)
    found = {}
    for part, (name, model) in enumerate(MODELS.items()):
        powers = [q for q in POWERS if q >= 0.0 or name == "balanced"]
        seed = args.seed + (95 + part << 32)
        found[name] = resmc.rate_function(model, powers, populations=count, size=SIZE, seed=seed)
    return found


def at(one: resmc.RateFunction, q: float) -> resmc.Estimate:
    """Return Lambda(q)."""
    return one.cumulant[one.q.tolist().index(q)]


def findings(found: Found) -> list[Finding]:
    """Rates at some powers, beside what is exact, and the growth that typical and size-biased networks have."""
    chain, balanced = found["no skip"], found["balanced"]
    out = [
        Finding.of("Λ(1), no skip", at(chain, 1.0), "exact", 0.0),
        Finding.of("Λ(2), no skip", at(chain, 2.0), "exact", np.log1p(5.0 / WIDTH)),
        Finding.of("Λ(1), balanced", at(balanced, 1.0), "exact", balanced.exact[balanced.q.tolist().index(1.0)]),
        Finding.of("Λ(2), balanced", at(balanced, 2.0), "exact", balanced.exact[balanced.q.tolist().index(2.0)]),
        Finding.of("Λ(1), vanilla", at(found["vanilla"], 1.0)),
        Finding.of("Λ(2), vanilla", at(found["vanilla"], 2.0)),
    ]
    return out


def sentence(found: Found, numbers: list[Finding]) -> str:
    """Say what was found, and the growth of networks that are typical and of those that make the mean square."""
    vanilla = found["vanilla"]
    powers = vanilla.q.tolist()
    typical, heavy = (vanilla.growth[powers.index(q)] for q in (0.0, 1.0))
    rate = vanilla.rate[powers.index(1.0)]
    shown = "; ".join(f"{one.name}: {one}" for one in numbers)
    return (
        f"Moments at n = {WIDTH} ({shown}). Vanilla networks grow by {typical} in log |z|^2 for each layer; those that "
        f"make the mean square by {heavy}, at a rate of {rate}."
    )


def draw(args: argparse.Namespace, found: Found) -> None:
    """Draw Lambda against q, and I against x, with the Gaussian's."""
    fig = common.figure(9.0, 3.8)
    left, right = fig.subplots(1, 2)
    v = (5.0 * WEIGHT**4 + 4.0 * WEIGHT**4) / WIDTH
    for k, (name, one) in enumerate(found.items()):
        style = {"color": f"C{k}", "marker": "o", "markersize": 3, "linewidth": 1}
        left.errorbar(one.q, one.cumulant.value, one.cumulant.stderr, label=name, **style)
        right.errorbar(one.growth.value, one.rate.value, one.rate.stderr, one.growth.stderr, label=name, **style)
    q = np.linspace(min(POWERS), max(POWERS), 200)
    left.plot(q, 0.5 * v * q * (q - 1.0), "k--", linewidth=1, label="log-Gaussian, balanced")
    right.plot(v * (q - 0.5), 0.5 * v * q**2, "k--", linewidth=1, label="log-Gaussian, balanced")
    left.set(xlabel="q", ylabel=r"$\Lambda(q)$", title=f"width {WIDTH}")
    right.set(xlabel=r"growth of $\log|z|^2$ by layer, $x$", ylabel="I(x)")
    left.legend()
    common.save(fig, args.output)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "w_rate_function.png").parse_args(given)
    found = simulate(args)
    numbers = findings(found)
    print(sentence(found, numbers))
    draw(args, found)
    return numbers


if __name__ == "__main__":
    common.run(main)
