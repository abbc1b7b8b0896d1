// From the records of a chunk to statistics. A block of threads makes the sums of one recorded layer over one block of
// networks (ARCHITECTURE.md, contract 4); then they are folded into their groups in the order of the networks. All sums
// are in double and in a fixed order, so that the same chunk gives the same bits every time.
//
// Written in phases, each_lane(body) with a barrier after it: on a GPU the body is called once per thread, in the
// emulation once for each of a warp's lanes.
#pragma once

#include "../include/resmc/layer_sums.hpp"
#include "../include/resmc/log_norm.hpp"
#include "arguments.hpp"

RESMC_NAMESPACE_BEGIN

struct Seen {
    bool alive;
    double log_norm, change;  // L_l, L_l - L_0
    double ratio;             // |z_l|^2 / |z_0|^2 = ratio 2^power
    int64_t power;
};

RESMC_KERNEL_FN Seen seen_at(const ReduceArguments& a, uint32_t slot, uint32_t column) {
    Seen s{};
    if (column < a.begin || column >= a.end) return s;
    const uint64_t at = static_cast<uint64_t>(slot) * a.columns + column;
    const float square = a.records.square[at], square0 = a.start_square[column];
    s.alive = square > 0.0f;
    if (!s.alive) return s;
    const int32_t exponent = static_cast<int32_t>(a.records.exponent[at]);
    const int32_t exponent0 = static_cast<int32_t>(a.start_exponent[column]);
    s.log_norm = log_norm(square, exponent, a.log_width);
    s.change = s.log_norm - log_norm(square0, exponent0, a.log_width);
    s.ratio = static_cast<double>(square) / static_cast<double>(square0);
    s.power = 2 * (static_cast<int64_t>(exponent) - exponent0);
    return s;
}

// The first sums of a thread's networks: all that needs no mean.
RESMC_KERNEL_FN void first_pass(const ReduceArguments& a, uint32_t slot, uint32_t start, uint32_t thread,
                                LayerSums& sums) {
    sums = LayerSums{};
    sums.growth_exponent = INT64_MIN;
    const double half = 0.5 * a.width;
    for (uint32_t i = thread; i < a.block; i += REDUCE_THREADS) {
        const uint32_t column = start + i;
        const uint64_t at = static_cast<uint64_t>(slot) * a.columns + column;
        const Seen s = seen_at(a, slot, column);
        double asymmetry = 0.0;
        if (s.alive) {
            const float active_square = a.records.active_square[at];
            const uint32_t count = a.records.active[at];
            asymmetry = static_cast<double>((active_square + active_square) / a.records.square[at] - 1.0f);
            ++sums.alive;
            sums.inactive += count == 0;
            sums.active += count;
            sums.active_square += (count - half) * (count - half);
            sums.asymmetry += asymmetry;
            sums.asymmetry_square += asymmetry * asymmetry;
            sums.log_norm[0] += s.log_norm;
            sums.growth_log[0] += s.change;
            uint64_t bits;
            __builtin_memcpy(&bits, &s.ratio, 8);
            const int64_t size = s.power + static_cast<int64_t>(bits >> 52) - 1022;
            if (size > sums.growth_exponent) sums.growth_exponent = size;
        }
        // [block][slot][network of the block]: what the product over networks reads in one piece.
        const uint64_t place = (static_cast<uint64_t>(start / a.block) * a.n_layers + slot) * a.block + i;
        if (a.asymmetry != nullptr) a.asymmetry[place] = asymmetry;
        if (a.alive != nullptr) a.alive[place] = s.alive ? 1.0 : 0.0;
    }
}

// The sums of powers of the distance from the block's means, which `sums` holds, and of |z_l|^2/|z_0|^2 in its units.
RESMC_KERNEL_FN void second_pass(const ReduceArguments& a, uint32_t slot, uint32_t start, uint32_t thread,
                                 const LayerSums& block, LayerSums& sums) {
    const double mean = block.log_norm[0], mean_change = block.growth_log[0];
    const int64_t unit = block.growth_exponent;
    for (int k = 1; k < 4; ++k) sums.log_norm[k] = 0.0;
    sums.growth_log[1] = sums.growth[0] = sums.growth[1] = 0.0;
    for (uint32_t i = thread; i < a.block; i += REDUCE_THREADS) {
        const Seen s = seen_at(a, slot, start + i);
        if (!s.alive) continue;
        const double d = s.log_norm - mean, c = s.change - mean_change, w = s.ratio * power_of_two(s.power - unit);
        sums.log_norm[1] += d * d;
        sums.log_norm[2] += d * d * d;
        sums.log_norm[3] += d * d * (d * d);
        sums.growth_log[1] += c * c;
        sums.growth[0] += w;
        sums.growth[1] += w * w;
    }
}

// Sums of integers and of the first pass, or of the second, of two threads.
RESMC_KERNEL_FN void add_first(LayerSums& x, const LayerSums& y) {
    x.alive += y.alive;
    x.inactive += y.inactive;
    x.active += y.active;
    x.active_square += y.active_square;
    x.asymmetry += y.asymmetry;
    x.asymmetry_square += y.asymmetry_square;
    x.log_norm[0] += y.log_norm[0];
    x.growth_log[0] += y.growth_log[0];
    if (y.growth_exponent > x.growth_exponent) x.growth_exponent = y.growth_exponent;
}
RESMC_KERNEL_FN void add_second(LayerSums& x, const LayerSums& y) {
    for (int k = 1; k < 4; ++k) x.log_norm[k] += y.log_norm[k];
    x.growth_log[1] += y.growth_log[1];
    for (int k = 0; k < 2; ++k) x.growth[k] += y.growth[k];
}

// One block of threads: recorded layer `slot` of one block of networks. `sums` are shared, one per thread.
template <class Warp>
RESMC_KERNEL_FN void reduce_block(Warp& warp, const ReduceArguments& a, LayerSums* sums) {
    const uint32_t slot = warp.block() % a.n_layers, start = warp.block() / a.n_layers * a.block;
    warp.each_lane([&](uint32_t t) { first_pass(a, slot, start, t, sums[t]); });
    warp.sync_block();
    for (uint32_t half = REDUCE_THREADS / 2; half > 0; half /= 2) {
        warp.each_lane([&](uint32_t t) {
            if (t < half) add_first(sums[t], sums[t + half]);
        });
        warp.sync_block();
    }
    warp.each_lane([&](uint32_t t) {
        if (t != 0) return;
        const double n = static_cast<double>(sums[0].alive);
        if (n > 0.0) {
            sums[0].log_norm[0] /= n;
            sums[0].growth_log[0] /= n;
        } else {
            sums[0].growth_exponent = 0;
        }
        sums[REDUCE_THREADS] = sums[0];
    });
    warp.sync_block();
    warp.each_lane([&](uint32_t t) { second_pass(a, slot, start, t, sums[REDUCE_THREADS], sums[t]); });
    warp.sync_block();
    for (uint32_t half = REDUCE_THREADS / 2; half > 0; half /= 2) {
        warp.each_lane([&](uint32_t t) {
            if (t < half) add_second(sums[t], sums[t + half]);
        });
        warp.sync_block();
    }
    warp.each_lane([&](uint32_t t) {
        if (t == 0) a.blocks[warp.block()] = sums[0];
    });
    if (slot + 1 < a.n_layers || a.histogram == nullptr) return;
    // The histogram of the last layer: counts, whose order is of no account.
    const uint64_t group = (a.first / a.block + start / a.block) % GROUPS;
    warp.each_lane([&](uint32_t t) {
        for (uint32_t i = t; i < a.block; i += REDUCE_THREADS) {
            const Seen s = seen_at(a, slot, start + i);
            if (!s.alive) continue;
            const double bin = (s.log_norm - a.bin_low) / a.bin_width;
            const uint32_t b = bin < 0.0 ? 0 : bin >= a.n_bins ? a.n_bins + 1 : 1 + static_cast<uint32_t>(bin);
            warp.count(a.histogram + group * (static_cast<uint64_t>(a.n_bins) + 2) + b);
        }
    });
}

// Blocks into groups: one thread per group and recorded layer, block after block.
template <class Warp>
RESMC_KERNEL_FN void fold_blocks(Warp& warp, const ReduceArguments& a) {
    warp.each_lane([&](uint32_t t) {
        const uint64_t index = static_cast<uint64_t>(warp.block()) * REDUCE_THREADS + t;
        if (index >= static_cast<uint64_t>(GROUPS) * a.n_layers) return;
        const uint32_t group = static_cast<uint32_t>(index / a.n_layers),
                       slot = static_cast<uint32_t>(index % a.n_layers);
        LayerSums total = a.groups[index];
        const uint32_t n_blocks = a.columns / a.block, here = static_cast<uint32_t>(a.first / a.block % GROUPS);
        for (uint32_t b = (group + GROUPS - here) % GROUPS; b < n_blocks; b += GROUPS)
            fold(total, a.blocks[static_cast<uint64_t>(b) * a.n_layers + slot]);
        a.groups[index] = total;
    });
}

RESMC_NAMESPACE_END
