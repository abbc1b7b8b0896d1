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

// One network per thread of the launch: the final value of a quotient, and its path.
template <class Warp>
RESMC_KERNEL_FN void copy_quotient(Warp& warp, const QuotientArguments& a) {
    const auto logarithm = [&](float square, uint32_t exponent) {
        return square > 0.0f ? log_norm(square, static_cast<int32_t>(exponent), a.log_width) : -infinity();
    };
    warp.each_lane([&](uint32_t t) {
        const uint64_t i = static_cast<uint64_t>(warp.block()) * REDUCE_THREADS + t, column = a.begin + i;
        if (column >= a.end) return;
        const uint64_t at = static_cast<uint64_t>(a.slot) * a.columns + column;
        const float square = a.records.square[at], start = a.start_square[column];
        a.last[i] = start > 0.0f
                        ? logarithm(square, a.records.exponent[at]) - logarithm(start, a.start_exponent[column])
                        : infinity();
        if (i >= a.paths) return;
        for (uint32_t slot = 0; slot < a.n_layers; ++slot) {
            const uint64_t from = static_cast<uint64_t>(slot) * a.columns + column, to = i * a.n_layers + slot;
            if (a.path != nullptr) a.path[to] = logarithm(a.records.square[from], a.records.exponent[from]);
            if (a.path_overlap != nullptr) a.path_overlap[to] = a.overlap[from];
        }
    });
}

RESMC_NAMESPACE_END
