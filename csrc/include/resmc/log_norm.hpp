// L = ln(|z|^2 / n) from what the kernels keep: a float |z|^2 and the exponent of its units.
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// square 2^(2 exponent) is |z|^2. The float's own exponent and a mantissa 1 + f in [sqrt(1/2), sqrt(2)), whose
// logarithm is a polynomial; the error is below 3e-8.
RESMC_FN double log_norm(float square, int32_t exponent, double log_width) {
    int32_t bits;
    __builtin_memcpy(&bits, &square, 4);
    const int32_t e = (bits - 0x3F3504F3) >> 23;
    const int32_t mantissa_bits = bits - e * (1 << 23);
    float mantissa;
    __builtin_memcpy(&mantissa, &mantissa_bits, 4);
    const double f = static_cast<double>(mantissa) - 1.0;
    double q = -0.17835742235183716 * f + 0.2870040237903595;
    q = q * f - 0.29753920435905457;
    q = q * f + 0.3313126862049103;
    q = q * f - 0.3993079662322998;
    q = q * f + 0.5000349283218384;
    q = q * f - 0.6666771769523621;
    q = (q * f + 1.0) * f - 2.0;
    return (e + 2.0 * exponent) * 0.6931471805599453 - 0.5 * f * q - log_width;
}

RESMC_NAMESPACE_END
