"""Plain NumPy that defines resmc's networks: slow, readable, float64, and with the same random numbers.

Read in this order:

1. `philox` - the words: every random word is a pure function of (seed, network, stream, layer, index).
2. `normals` - the normals and the fair signs made from those words.
3. `sources` - the weights and signs of given networks, made of these normals and signs; `paths`, weights that are a
   process over the layers; `drawn`, all weights of one network as arrays.
4. `network` - the log-Gaussian network, with explicit weights (``dense``), or exactly in law at cost n per layer
   (``projected``).
5. `maps` - G x + b and G^T v for random G and b, written out, or exactly in law at cost n.
6. `residual` - any residual network, made of these maps, forward and backward.
7. `columns`, `joint_maps` and `joint` - several inputs through one network, with tangents and the tangent kernel.

Network for network, the fast implementations produce what this package produces, up to their rounding. The package
imports no native code, and nothing beyond NumPy, the models and `resmc.theory.processes`.
"""

from ..models.network import METHODS
from .drawn import DrawnWeights
from .joint import JointPaths, simulate_joint
from .network import ReferencePaths, simulate
from .normals import normals, signs
from .philox import STREAMS, philox4x32, words
from .residual import ResidualPaths, simulate_residual
from .sources import draw_of_layer

__all__ = [
    "METHODS",
    "STREAMS",
    "DrawnWeights",
    "JointPaths",
    "ReferencePaths",
    "ResidualPaths",
    "draw_of_layer",
    "normals",
    "philox4x32",
    "signs",
    "simulate",
    "simulate_joint",
    "simulate_residual",
    "words",
]
