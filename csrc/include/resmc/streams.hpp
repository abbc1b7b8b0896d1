// The registry of random streams: which numbers a counter stands for. An id is never reused and never renumbered;
// changing one changes every simulated network and must raise NUMERICS_VERSION.
#pragma once

#include <cstdint>

namespace resmc {

// Raised whenever the words, the normals or the signs of any (seed, network, layer, neuron, purpose) change.
constexpr int NUMERICS_VERSION = 2;

enum Stream : uint32_t {
    STREAM_FIRST_LAYER = 0,    // layer 0:      normals and signs of z_0
    STREAM_RESIDUAL = 1,       // layer l:      normals (projected) and signs of z_{l+1}
    STREAM_OUTPUT = 2,         // layer depth:  normals of z_out (projected)
    STREAM_DENSE_WEIGHTS = 3,  // layer l:      W_l, flat index i n + j
    STREAM_DENSE_OUTPUT = 4,   // layer depth:  W_out, flat index k n + j
};

constexpr int LAYER_BITS = 20;  // counter word 1 = stream << 20 | layer

}  // namespace resmc
