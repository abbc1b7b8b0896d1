// What a kernel is told about a network: plain numbers, made once per simulation on the host.
//
// The kernels work on the normalised network: alpha^2 + lambda^2 = 1 and |x|^2 = n_in. ReLU is positively homogeneous,
// so the caller adds l log(alpha^2 + lambda^2) + 2 log input_norm to every log-norm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace resmc {

enum Variant : int { VARIANT_VANILLA = 0, VARIANT_BALANCED = 1, VARIANT_BALANCED_HALF = 2, VARIANTS = 3 };
// The numbers of resmc/models/activations.py.
enum ActivationKind : int {
    ACTIVATION_RELU = 0,
    ACTIVATION_BALANCED = 1,
    ACTIVATION_BALANCED_HALF = 2,
    ACTIVATION_LEAKY_RELU = 3,
    ACTIVATION_TANH = 4,
    ACTIVATION_SIGMOID = 5,
    ACTIVATION_GELU = 6,
    ACTIVATION_CENTRED_SOFTPLUS = 7,
    ACTIVATION_LINEAR = 8,
    ACTIVATION_SILU = 9,
    ACTIVATION_ELU = 10,
    ACTIVATION_SELU = 11,
    ACTIVATION_MISH = 12,
    ACTIVATION_ERF = 13,
    ACTIVATION_HARD_TANH = 14,
    ACTIVATION_GELU_TANH = 15,
    ACTIVATION_SOFTPLUS = 16,
    ACTIVATION_SHAPED_RELU = 17,
    ACTIVATION_TABLE = 18,  // one from Python
    ACTIVATIONS = 19,
};

constexpr uint32_t MOST_KINKS = 8;               // of a table, on either side of 0
constexpr uint32_t TABLE_HEAD = 2 * MOST_KINKS;  // floats before the cells
constexpr uint32_t MOST_OCTAVES = 24;            // beyond 2^24 - 1 every table is a straight line
constexpr uint32_t MOST_TABLE_CELLS = 1u << 14;
constexpr uint32_t WEIGHT_OCTAVES = 3;  // of a weight law's table: up to 7, beyond the largest normal

// An activation as a table; activation_table.hpp reads it. Both sides of 0 have `octaves` times 2^fine cells, one for
// the straight line beyond, and one for each of their kinks.
struct Table {
    const float* at;  // kinks above 0 and below, MOST_KINKS each; then cells of four floats
    uint32_t fine, octaves;
    uint32_t kinks_above, kinks_below;
};

// An activation as the kernels know it.
struct Sigma {
    int kind;            // an ActivationKind
    float above, below;  // slopes on either side of 0 (leaky_relu, shaped_relu); of elu and selu those next to 0
    Table table;
};
// The numbers of resmc/models/normalisation.py.
enum Norm : int { NORM_NONE = 0, NORM_LAYER = 1, NORM_RMS = 2, NORM_BATCH = 3, NORMS = 4 };
enum Method : int { METHOD_PROJECTED = 0, METHOD_DENSE = 1, METHODS = 2 };

struct Network {
    uint32_t width;
    uint32_t depth;
    uint32_t n_out;
    float carry;             // alpha
    float carry_mantissa;    // alpha = carry_mantissa 2^carry_exponent exactly enough for networks that are inactive
    int32_t carry_exponent;  // for ever: their norm is alpha^l, which a float could not hold
    float step;              // lambda sqrt(2 / n)
    float readout;           // 1 / sqrt(n)
};

// The numbers of resmc/models/blocks.py.
enum Block : int { BLOCK_PHI_IN = 0, BLOCK_PHI_OUT = 1, BLOCK_V_PHI_W = 2, BLOCKS = 3 };

template <Block block>
struct BlockConstant {
    static constexpr Block value = block;
};

// use(BlockConstant<..>{}): the one place where a block's number becomes a kernel, whatever the device.
template <class Use>
auto with_block(Block block, Use use) {
    switch (block) {
        case BLOCK_PHI_IN:
            return use(BlockConstant<BLOCK_PHI_IN>{});
        case BLOCK_PHI_OUT:
            return use(BlockConstant<BLOCK_PHI_OUT>{});
        default:
            return use(BlockConstant<BLOCK_V_PHI_W>{});
    }
}

// Of weights, all of variance 1. Those of a table are that function of a normal.
enum WeightLaw : int {
    WEIGHTS_GAUSSIAN = 0,
    WEIGHTS_UNIFORM = 1,
    WEIGHTS_RADEMACHER = 2,
    WEIGHTS_TABLE = 3,
    WEIGHTS_ORTHOGONAL = 4,  // of matrices, whose entries depend on each other: projected, on CPUs alone
    WEIGHT_LAWS = 5
};

// Any residual network, by layers and backwards; residual.hpp says what each block does with these.
struct Residual {
    Network network;  // its step is not used
    Block block;
    uint32_t inner;  // neurons within a v-phi-w branch, N; else as many as a layer has
    Sigma activation;
    WeightLaw weight_law;
    Table weight_table;       // of WEIGHTS_TABLE, without kinks; on CPUs alone
    bool grounded;            // a bias or sigma(0) gives every layer a size of its own, however small h is
    bool homogeneous;         // and without bias: rescaling h rescales the network
    bool inside;              // the scaling multiplies what enters the activation
    bool gradients;           // follow the gradient of one output back to layer 0
    float keep;               // what the normalisation makes of h_0 in each layer: 1 without one
    float size;               // of an entry of h_0
    float bias, bias_square;  // t sqrt(n), t^2 n, t the standard deviation of a bias
    WeightLaw bias_law;       // of the dense method
    uint32_t kept_below;      // dropout keeps neurons whose word is below: keep 2^32; 0 without dropout
    float kept_factor;        // and multiplies them by 1/sqrt(keep)
    Norm norm;                // N (normalisation.hpp), which acts where these say:
    bool norm_before;         // the branch meets N h
    bool norm_branch;         // N of what it gives, before the scaling
    bool norm_after;          // h_{l+1} = N(..)
    float norm_eps;           // beside a variance or a mean square
    uint32_t segment;         // layers that are kept at a time for the backward pass
    uint32_t n_in;            // entries of the input, where its weights are drawn; else 0
    const float* steps;       // [depth]: s_l, or over the root of a row's entries where a matrix ends the branch and
                              // no N follows
    const float* input;       // [4 + n_in + 8]: x / sqrt(n_in) between zeros
    const uint32_t* widths;   // [depth + 1]: neurons of every layer, where these differ and there is no skip; `width`,
                              // `inner` and what follows from these are then of the widest. On CPUs alone
};

// Several inputs of one network, and directions in which its first one is moved (joint_columns.hpp).
struct Joint {
    uint32_t inputs, tangents;
    uint32_t reorthogonalise;  // layers after which tangents are made orthonormal again
    bool independent;          // gradients go back through other matrices than the inputs have met
    const double* start;       // [inputs][inputs], lower triangle: how h_0 and its differences are made of normals
    const float* rows;  // [inputs][4 + n_in + 8], where the first layer is drawn: differences to input 0, of norm 1
                        // or 0, between zeros; the row of input 0 is not used, which is the network's `input`
};

// Weights that are handed in: [network][layer][..], with strides in floats; that of layers may be 0.
struct GivenArray {
    const float* first;
    size_t network_stride, layer_stride;
};

// What is recorded of a Residual besides h_l, |v|/|start|: v = h_l - h_0 over h_0; p_l and p_l - p_L over p_L.
enum QuotientName : int {
    QUOTIENT_DISPLACEMENT = 0,
    QUOTIENT_GRADIENT = 1,
    QUOTIENT_GRADIENT_DISPLACEMENT = 2,
    QUOTIENTS = 3,
};

}  // namespace resmc
