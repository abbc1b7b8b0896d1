// What is not summed: samples and paths of some networks.
#pragma once

#include "../include/resmc/log_norm.hpp"
#include "arguments.hpp"

RESMC_NAMESPACE_BEGIN

RESMC_KERNEL_FN double infinity() { return __builtin_huge_val(); }

// One network per thread of the launch: final log-norm and exponent, and the path over the recorded layers.
template <class Warp>
RESMC_KERNEL_FN void copy_raw(Warp& warp, const RawArguments& a) {
    warp.each_lane([&](uint32_t t) {
        const uint64_t i = static_cast<uint64_t>(warp.block()) * REDUCE_THREADS + t;
        const uint64_t column = a.begin + i;
        if (i < a.samples) {
            const uint64_t at = static_cast<uint64_t>(a.n_layers - 1) * a.columns + column;
            const float square = a.records.square[at];
            const int32_t exponent = static_cast<int32_t>(a.records.exponent[at]);
            a.sample_log_norm[i] = square > 0.0f ? log_norm(square, exponent, a.log_width) : -infinity();
            a.sample_exponent[i] = exponent;
        }
        if (i >= a.paths) return;
        for (uint32_t slot = 0; slot < a.n_layers; ++slot) {
            const uint64_t at = static_cast<uint64_t>(slot) * a.columns + column;
            const float square = a.records.square[at], active_square = a.records.active_square[at];
            const bool alive = square > 0.0f;
            a.path_log_norm[i * a.n_layers + slot] =
                alive ? log_norm(square, static_cast<int32_t>(a.records.exponent[at]), a.log_width) : -infinity();
            a.path_asymmetry[i * a.n_layers + slot] =
                alive ? (active_square + active_square) / square - 1.0f : static_cast<float>(infinity() - infinity());
        }
    });
}

RESMC_NAMESPACE_END
