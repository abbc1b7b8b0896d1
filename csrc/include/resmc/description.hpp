// What a kernel is told about a network: plain numbers, made once per simulation on the host.
//
// The kernels work on the normalised network: alpha^2 + lambda^2 = 1 and |x|^2 = n_in. ReLU is positively homogeneous,
// so the caller adds l log(alpha^2 + lambda^2) + 2 log input_norm to every log-norm.
#pragma once

#include <cstdint>

namespace resmc {

enum Variant : int { VARIANT_VANILLA = 0, VARIANT_BALANCED = 1, VARIANT_BALANCED_HALF = 2 };
enum Method : int { METHOD_PROJECTED = 0, METHOD_DENSE = 1 };

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

}  // namespace resmc
