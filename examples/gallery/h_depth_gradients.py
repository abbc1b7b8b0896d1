r"""The gradient of a deep network explodes, stays what it was, or does neither, with the same exponents.

The ratio $|p_0 - p_L|/|p_L|$, $p_k$ being the gradient of an output at layer $k$, behaves as $|h_L - h_0|/|h_0|$ does
in `g_depth_regimes`, for the same networks (Marion, Fermanian, Biau, Vert, arXiv 2206.06929, figure 3). $p_L$ is a row
of the readout, independent of all layers, so that the ratio does not depend on a loss.

    python examples/gallery/h_depth_gradients.py [--networks 1.0] [--seed 0] [--output h_depth_gradients.png]
"""

from __future__ import annotations

from collections.abc import Sequence

import common
from common import Finding
from g_depth_regimes import findings, sentence, simulate

import resmc

CLAIM = "So does the gradient's |p_0 - p_L|/|p_L| (n = 40)"


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "h_depth_gradients.png").parse_args(given)
    regimes = simulate(args, part=7)
    found = findings(regimes, "backward")
    print(sentence(regimes, "backward"))
    common.tell(found)
    fig = common.figure(5.2, 4.6)
    labelled = {f"β = {beta:g}": one for beta, one in regimes.items()}
    resmc.plot.plot_depth_ratio(labelled, "gradient_displacement", ax=fig.subplots())
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
