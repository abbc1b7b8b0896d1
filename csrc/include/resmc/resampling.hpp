// Resampling of a population: networks weighted by how much they have grown are replaced by as many copies of each as
// its weight says, on average. All in double, in the order of the networks.
//
// Systematic resampling (Carpenter, Clifford, Fearnhead 1999): with weights w_i of sum W and one uniform u, network i
// has as many offspring as there are j in 0 .. n - 1 with (j + u) W/n in [w_1 + .. + w_{i-1}, w_1 + .. + w_i): the
// integer below or above n w_i/W, and n w_i/W on average.
#pragma once

#include "log_norm.hpp"
#include "philox.hpp"
#include "streams.hpp"

namespace resmc {

// Populations have numbers of networks to themselves, so many that no pack and no warp holds two of them.
constexpr uint64_t population_stride(uint32_t size) { return (uint64_t{size} + 31) / 32 * 32; }

}  // namespace resmc

RESMC_NAMESPACE_BEGIN

// log |z|^2 from what is recorded of a network; -infinity of a dead one.
RESMC_FN double log_square(float square, int32_t exponent) {
    const double log = log_norm(square, exponent, 0.0);
    return square > 0.0f ? log : -__builtin_huge_val();
}

// The logarithm of a network's weight |z|^(2 power)/|z_k|^(2 power), from log |z|^2 and what it was.
RESMC_FN double log_weight(double power, double reached, double start) {
    const bool alive = reached > -__builtin_huge_val();
    return alive ? power * (reached - start) : -__builtin_huge_val();
}

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

// What is said of a population's weights, which are over the largest one.
struct Weighed {
    double mean;       // 0 once all networks are dead; the others are then 0 or no number
    double effective;  // (sum w)^2/(n sum w^2)
    double growth;     // mean of log |z|^2/|z_0|^2 by the weights
};

RESMC_FN Weighed weighed(const double* weights, const double* reached, const double* origin, uint32_t n) {
    double sum = 0.0, squares = 0.0, grown = 0.0;
    RESMC_UNROLL_DEVICE(4)
    for (uint32_t i = 0; i < n; ++i) {
        sum += weights[i];
        squares += weights[i] * weights[i];
        if (weights[i] > 0.0) grown += weights[i] * (reached[i] - origin[i]);
    }
    const double size = static_cast<double>(n);
    return {sum / size, sum > 0.0 ? sum * sum / (size * squares) : 0.0, grown / sum};
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

// copy(from, to) for every network without offspring, which becomes a copy of one that has more than one; all others
// stay where they are. In the end each has one of its offspring, or is one.
template <class Copy>
RESMC_FN void fill_free_places(uint32_t* offspring, uint32_t n, Copy copy) {
    uint32_t free = 0;
    for (uint32_t parent = 0; parent < n; ++parent)
        for (; offspring[parent] > 1; --offspring[parent]) {
            while (offspring[free] != 0) ++free;
            copy(parent, free++);
        }
}

RESMC_NAMESPACE_END
