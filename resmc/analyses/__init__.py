"""One module per question about a simulation; each returns a frozen, named result.

In reading order: `log_gaussian` (is the final log-norm Gaussian?), `output_laws` (and the output?), `hypoactivation`
(do fewer than half of the ReLUs fire?), `interlayer` (how do layers correlate?), `growth` (how does the output variance
grow?), `extrapolation` (what do several widths say about infinite width?), `log_ratio` (how far do a network and its
gradient go?), `exact_comparison` (is that their exact law?), `regime` (do they explode as the depth grows, vanish, or
neither?); the rule that decides is in `verdict`. Of several inputs that share a network: `angles` (what do they do to
each other?), `joint_norms` (and their norms and outputs?), `tangent_kernel` and `lyapunov` (how fast do small changes
grow?). And questions about arrays of weights: `roughness` (how rough are they
over the layers?), `paired_roughness` (and after training?) and `scaling` (how do they scale with the depth, and to what
equation?), whose parts are `scaling_statistics`, `scaling_fit` and `weight_regime`.
"""

from .angles import Angles
from .exact_comparison import ExactComparison
from .extrapolation import Extrapolation, extrapolate
from .growth import Growth
from .hypoactivation import Hypoactivation
from .interlayer import InterlayerCorrelations
from .joint_norms import JointLogNorms, OutputCovariance
from .log_gaussian import LogGaussianFit
from .log_ratio import LogRatio
from .lyapunov import LyapunovExponents
from .output_laws import OutputLaw, OutputNormLaw
from .paired_roughness import RoughnessChange, roughness_change
from .regime import Regime
from .roughness import RoughnessExponent, roughness_exponent
from .scaling import ScalingExponents, scaling_exponents
from .tangent_kernel import TangentKernel
from .verdict import Verdict

__all__ = [
    "Angles",
    "ExactComparison",
    "Extrapolation",
    "Growth",
    "Hypoactivation",
    "InterlayerCorrelations",
    "JointLogNorms",
    "LogGaussianFit",
    "LogRatio",
    "LyapunovExponents",
    "OutputCovariance",
    "OutputLaw",
    "OutputNormLaw",
    "Regime",
    "RoughnessChange",
    "RoughnessExponent",
    "ScalingExponents",
    "TangentKernel",
    "Verdict",
    "extrapolate",
    "roughness_change",
    "roughness_exponent",
    "scaling_exponents",
]
