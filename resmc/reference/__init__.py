"""The definition of resmc's networks in plain NumPy: slow, readable, float64, and with the same random numbers.

Read in this order:

1. `philox` - the words: every random word is a pure function of (seed, network, stream, layer, index).
2. `normals` - the normals and the fair signs made from those words.
3. `network` - the network itself, with explicit weights (``dense``), or exactly in law at cost n per layer
   (``projected``).

Network for network, the fast implementations produce what this package produces, up to their rounding. Nothing here
imports native code, and nothing beyond NumPy.
"""

from .network import METHODS, ReferencePaths, draw_of_layer, simulate
from .normals import normals, signs
from .philox import STREAMS, philox4x32, words

__all__ = [
    "METHODS",
    "STREAMS",
    "ReferencePaths",
    "draw_of_layer",
    "normals",
    "philox4x32",
    "signs",
    "simulate",
    "words",
]
