"""One module per question about a simulation; each returns a frozen, named result.

In reading order: `log_gaussian` (is the final log-norm Gaussian?), `output_laws` (and the output?), `hypoactivation`
(do fewer than half of the ReLUs fire?), `interlayer` (how do layers correlate?), `growth` (how does the output variance
grow?), `extrapolation` (what do several widths say about infinite width?), `log_ratio` (how far do a network and its
gradient go?), `exact_comparison` (is that their exact law?),
`regime` (do they explode as the depth grows, vanish, or neither?); the rule that decides is in
`verdict`.
"""

from .exact_comparison import ExactComparison
from .extrapolation import Extrapolation, extrapolate
from .growth import Growth
from .hypoactivation import Hypoactivation
from .interlayer import InterlayerCorrelations
from .log_gaussian import LogGaussianFit
from .log_ratio import LogRatio
from .output_laws import OutputLaw, OutputNormLaw
from .regime import Regime
from .verdict import Verdict

__all__ = [
    "ExactComparison",
    "Extrapolation",
    "Growth",
    "Hypoactivation",
    "InterlayerCorrelations",
    "LogGaussianFit",
    "LogRatio",
    "OutputLaw",
    "OutputNormLaw",
    "Regime",
    "Verdict",
    "extrapolate",
]
