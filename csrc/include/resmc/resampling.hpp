// Resampling of a population: networks weighted by how much they have grown are replaced by as many copies of each as
// its weight says, on average. All in double, in the order of the networks.
//
// Systematic resampling (Carpenter, Clifford, Fearnhead 1999): with weights w_i of sum W and one uniform u, network i
// has as many offspring as there are j in 0 .. n - 1 with (j + u) W/n in [w_1 + .. + w_{i-1}, w_1 + .. + w_i): the
// integer below or above n w_i/W, and n w_i/W on average.
#pragma once

#include "philox.hpp"
#include "streams.hpp"

RESMC_NAMESPACE_BEGIN

// e^x for x <= 0, to 2^-51 of itself; 0 below the smallest normal number, and where x is no number. A library's would
// be another on another machine. There is no branch, so that a compiler may take several at a time.
RESMC_FN double exp_of_negative(double x) {
    constexpr double coefficient[] = {
        1.0,          1.0,           1.0 / 2.0,      1.0 / 6.0,     1.0 / 24.0,     1.0 / 120.0,     1.0 / 720.0,
        1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    const bool normal = x > -708.0;
    const double y = normal ? x : -708.0;
    const int32_t halvings = static_cast<int32_t>(0.5 - y * 1.4426950408889634);
    const double k = static_cast<double>(halvings);
    const double r = (y + k * 6.93147180369123816490e-01) + k * 1.90821492927058770002e-10;  // in [-ln 2/2, ln 2/2]
    double e = coefficient[13];
    RESMC_UNROLL(13)
    for (int i = 12; i >= 0; --i) e = e * r + coefficient[i];
    const uint64_t bits = static_cast<uint64_t>(static_cast<uint32_t>(1023 - halvings)) << 52;
    double scale;
    __builtin_memcpy(&scale, &bits, 8);
    const double power = e * scale;
    return normal ? power : 0.0;
}

// The uniform number, 52 bits in (0, 1), by which a population is resampled after a layer.
RESMC_FN double resampling_uniform(const PhiloxKeys& keys, uint64_t first_network, uint32_t layer) {
    const auto prefix = philox_prefix(keys, counter_word1(STREAM_RESAMPLING, layer),
                                      static_cast<uint32_t>(first_network), counter_word3(first_network, 0));
    const auto x = philox(keys, prefix, 0u);
    const uint64_t bits = (static_cast<uint64_t>(x.x0) << 32 | x.x1) >> 12;
    return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

// Puts the number of each network's offspring into `offspring`, n in all. Weights are not negative, and not all 0.
RESMC_FN void systematic_offspring(const double* weights, uint32_t n, double uniform, uint32_t* offspring) {
    double total = 0.0;
    for (uint32_t i = 0; i < n; ++i) total += weights[i];
    const double step = total / static_cast<double>(n);
    double reached = 0.0;
    uint32_t next = 0, last = 0;
    for (uint32_t i = 0; i < n; ++i) {
        reached += weights[i];
        const uint32_t before = next;
        while (next < n && (static_cast<double>(next) + uniform) * step < reached) ++next;
        offspring[i] = next - before;
        if (weights[i] > 0.0) last = i;
    }
    offspring[last] += n - next;  // where rounding has put the end of the weights before the last point
}

RESMC_NAMESPACE_END
