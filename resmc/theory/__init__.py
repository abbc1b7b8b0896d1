"""Closed forms for random residual networks, which simulations are compared with.

The files, in reading order:

- `kernels`: the functions of the correlation rho from which every limit is built;
- `limits`: the leading order as depth and width grow with d/n fixed (Li, Nica, Roy 2021, arXiv 2106.04013);
- `next_order`: what the next order in 1/n adds to them, derived: ``order=2`` of the functions of `limits`;
- `depth`: the limits as the depth grows at a fixed width, of any `ResidualNetwork` with beta = 1/2; `averages`: the
  Gaussian averages in them;
- `depth_kinds`: which equation that is where layers depend on each other, or why none; `ordinary`, an ordinary one,
  `trend_noise`, an Ito equation with a drift, and `noise_response`, how fractional noise adds up; `frontier`: which
  beta lies between explosion and identity for weights of fractional noise;
- `exact`: laws and moments at every finite width and depth, with no limit taken, of log-Gaussian networks and of
  linear ones with dropout; of any network, `mean_squares` and, for networks that are dead or have no active neuron,
  `fractions`;
- `laws`: the whole law where layers multiply the norm by independent factors; `chains` says of which networks;
  `factors` has the factors' laws, on a `lattice` of points (`bessel`: a density in them), and `inversion` makes a
  distribution function of their sum's characteristic function;
- `input_pairs`: norms and products of two inputs of linear networks;
- `infinite_width`: covariances of several inputs and the tangent kernel as the width grows, of any network;
  `pair_averages`: the Gaussian averages in them; `tangent_moments` and `residual_moments`: the tangent kernel's second
  moment at every width;
- `lyapunov`: exponents of tangents, and the law of small angles, exact at every width; `determinants`, of Jacobians;
  `pair_laws`: the equation of the
  correlation of two inputs;
- `batch_norm`: the rate at which gradients explode at infinite width;
- `processes`: covariances of weights that depend on each other in depth, and the sums of normals that have them;
- `roughness`: mean square increments of such weights as paths over the layers;
- `facts`: which of these are exact, a limit, or 0 by symmetry, for which network;
- `distributions`: the laws of the output and of the log-norm as distribution functions.

Notation, for one network of width n and depth d: z_l is the state at layer l = 0 .. d, L_l = log(|z_l|^2/n) the
log-norm, A_l = 2 |phi(z_l)|^2/|z_l|^2 - 1 the activation asymmetry, F_l the fraction of active neurons, and
s = alpha^2 + lam^2. Logarithms are natural and every quantity is dimensionless.
"""

from .batch_norm import batch_gradient_rate
from .chains import LogMoments
from .depth import DepthSDE, Gaussian, SecondMoments, depth_limit, second_moments
from .depth_kinds import DepthKind, depth_kind, noise_exponent
from .determinants import log_determinant, no_log_determinant
from .distributions import chi_square_log_norm_cdf, output_cdf, output_norm_cdf
from .exact import (
    BalancedMoments,
    DropoutMoments,
    FirstLayer,
    FullyConnected,
    SkipOnly,
    balanced_moments,
    dropout_moments,
    first_layer,
    fully_connected,
    one_step,
    skip_only,
)
from .infinite_width import InfiniteWidth, InfiniteWidthKernel
from .input_pairs import TwoInputs, two_inputs
from .kernels import J, J_prime, K, K_prime, growth_kernel, kink, mean_log_chi_square
from .laws import ExactLaw, exact_law, no_exact_law
from .limits import (
    HypoactivationLimit,
    LogNormLimit,
    RatioLimit,
    hypoactivation,
    infinite_depth_and_width,
    interlayer_correlation,
    log_norm,
    log_norm_growth,
    variance_growth,
)
from .lyapunov import SmallAngle, lyapunov_exponents, no_lyapunov_exponents, small_angle
from .ordinary import DepthODE, depth_ode
from .pair_laws import correlation_drift, correlation_moments, correlation_variance
from .tangent_moments import KernelMoments, kernel_moment_limit, kernel_moments, no_kernel_moments
from .trend_noise import TrendNoiseSDE, trend_noise_limit

__all__ = [
    "BalancedMoments",
    "DepthKind",
    "DepthODE",
    "DepthSDE",
    "DropoutMoments",
    "ExactLaw",
    "FirstLayer",
    "FullyConnected",
    "Gaussian",
    "HypoactivationLimit",
    "InfiniteWidth",
    "InfiniteWidthKernel",
    "J",
    "J_prime",
    "K",
    "K_prime",
    "KernelMoments",
    "LogMoments",
    "LogNormLimit",
    "RatioLimit",
    "SecondMoments",
    "SkipOnly",
    "SmallAngle",
    "TrendNoiseSDE",
    "TwoInputs",
    "balanced_moments",
    "batch_gradient_rate",
    "chi_square_log_norm_cdf",
    "correlation_drift",
    "correlation_moments",
    "correlation_variance",
    "depth_kind",
    "depth_limit",
    "depth_ode",
    "dropout_moments",
    "exact_law",
    "first_layer",
    "fully_connected",
    "growth_kernel",
    "hypoactivation",
    "infinite_depth_and_width",
    "interlayer_correlation",
    "kernel_moment_limit",
    "kernel_moments",
    "kink",
    "log_determinant",
    "log_norm",
    "log_norm_growth",
    "lyapunov_exponents",
    "mean_log_chi_square",
    "no_exact_law",
    "no_kernel_moments",
    "no_log_determinant",
    "no_lyapunov_exponents",
    "noise_exponent",
    "one_step",
    "output_cdf",
    "output_norm_cdf",
    "second_moments",
    "skip_only",
    "small_angle",
    "trend_noise_limit",
    "two_inputs",
    "variance_growth",
]
