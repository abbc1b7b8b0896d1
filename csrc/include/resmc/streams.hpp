// The registry of random streams: which numbers a counter stands for. An id is never reused and never renumbered;
// changing one changes every simulated network and must raise NUMERICS_VERSION.
#pragma once

#include <cstdint>

namespace resmc {

// Raised whenever the words, the normals or the signs of any (seed, network, layer, neuron, purpose) change.
constexpr int NUMERICS_VERSION = 2;

enum Stream : uint32_t {
    STREAM_FIRST_LAYER = 0,      // layer 0:      normals and signs of z_0
    STREAM_RESIDUAL = 1,         // layer l:      normals (projected) and signs of z_{l+1}; of phi-out: of u_l
    STREAM_OUTPUT = 2,           // layer depth:  normals of z_out (projected)
    STREAM_DENSE_WEIGHTS = 3,    // layer l:      W_l, of v-phi-w V_l; flat index i n + j
    STREAM_DENSE_OUTPUT = 4,     // layer depth:  W_out, flat index k n + j
    STREAM_INNER = 5,            // layer l:      normals (projected) and signs of u_l = W_l h_l + b_l of v-phi-w
    STREAM_DENSE_INNER = 6,      // layer l:      W_l of v-phi-w, flat index i n + j
    STREAM_BIAS = 7,             // layer l:      b_l (dense)
    STREAM_GRADIENT = 8,         // layer depth:  normals of p_depth (projected)
    STREAM_BACKWARD = 9,         // layer l:      fresh normals of V_l^T p, of phi-out W_l^T v; number n is b_l's
    STREAM_BACKWARD_INNER = 10,  // layer l:      fresh normals of W_l^T v of v-phi-w; number n is b_l's
    STREAM_DENSE_INPUT = 11,     // layer 0:      A of an input, if it is not Gaussian; flat index i n_in + j
};

constexpr int LAYER_BITS = 20;  // counter word 1 = stream << 20 | layer

}  // namespace resmc
