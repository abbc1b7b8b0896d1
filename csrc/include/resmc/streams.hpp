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
    STREAM_DENSE_INPUT = 11,     // layer 0:      A of explicit inputs, flat index i n_in + j: of laws but Gaussian,
                                 //               and in heat maps of it too, where all inputs of a network share A
    // Of weights that depend on each other in depth. A path over the layers has terms, two normals p = 0, 1 of each for
    // every entry e: quad p Q + e/4, Q = ceil(entries/4). A covariance matrix has a term, and p = 0, for each layer.
    STREAM_NOISE_OUTER = 12,  // frequency k: fractional noise; layer l: covariance matrices; of V, of phi-out W
    STREAM_NOISE_INNER = 13,  // frequency k, or layer l; of W of v-phi-w
    STREAM_NOISE_BIAS = 14,   // frequency k, or layer l; of b
    STREAM_TREND_OUTER = 15,  // term k of the series of a smooth process; of V, of phi-out W
    STREAM_TREND_INNER = 16,  // term k; of W of v-phi-w
    STREAM_TREND_BIAS = 17,   // term k; of b
    STREAM_INPUTS = 18,       // layer 0:     inputs that are uniform on [0, 1]
    STREAM_RESAMPLING = 19,   // layer l:     the number by which a population is resampled there; of its first network
    STREAM_DROPOUT = 20,      // layer l:     words of neurons, which the mask of sigma(h_l) keeps where they are small
};

constexpr int LAYER_BITS = 20;  // counter word 1 = stream << 20 | layer

}  // namespace resmc
