// From the records of a chunk to statistics. A block of threads makes the sums of one recorded layer over one batch of
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
    bool alive, starts;       // |z_0| is not 0: all below but log_norm is told where both are
    double log_norm, change;  // L_l, L_l - L_0
    double quotient;          // |z_l|^2 / |z_0|^2 = quotient 2^power
    int64_t power;
};

RESMC_KERNEL_FN Seen seen_at(const ReduceArguments& a, uint32_t slot, uint32_t column) {
    Seen s{};
    if (column < a.begin || column >= a.end) return s;
    const uint64_t at = static_cast<uint64_t>(slot) * a.columns + column;
    const float square = a.records.square[at], square0 = a.start_square[column];
    s.alive = square > 0.0f;
    s.starts = square0 > 0.0f;
    if (!s.alive) return s;
    const int32_t exponent = static_cast<int32_t>(a.records.exponent[at]);
    const int32_t exponent0 = static_cast<int32_t>(a.start_exponent[column]);
    s.log_norm = log_norm(square, exponent, a.log_width);
    if (!s.starts) return s;
    s.change = s.log_norm - log_norm(square0, exponent0, a.log_width);
    s.quotient = static_cast<double>(square) / static_cast<double>(square0);
    s.power = 2 * (static_cast<int64_t>(exponent) - exponent0);
    return s;
}

// Sums of one recorded layer, one of each per thread, in shared memory. The last of `norms` is the whole batch's.
struct SharedSums {
    NormSums norms[REDUCE_THREADS + 1];
    ActivitySums activity[REDUCE_THREADS];
};

// The first sums of a thread's networks: all that needs no mean.
RESMC_KERNEL_FN void first_pass(const ReduceArguments& a, uint32_t slot, uint32_t start, uint32_t thread,
                                SharedSums& shared) {
    NormSums norms{};
    ActivitySums activity{};
    norms.growth_exponent = INT64_MIN;
    const double half = 0.5 * a.width;
    for (uint32_t i = thread; i < a.batch; i += REDUCE_THREADS) {
        const uint32_t column = start + i;
        const uint64_t at = static_cast<uint64_t>(slot) * a.columns + column;
        const Seen s = seen_at(a, slot, column);
        double asymmetry = 0.0;
        if (!s.starts && column >= a.begin && column < a.end) {
            ++norms.startless;
            norms.startless_alive += s.alive;
        }
        if (s.alive) {
            ++norms.alive;
            norms.log_norm[0] += s.log_norm;
        }
        if (s.alive && s.starts) {
            norms.growth_log[0] += s.change;
            uint64_t bits;
            __builtin_memcpy(&bits, &s.quotient, 8);
            const int64_t size = s.power + static_cast<int64_t>(bits >> 52) - 1022;
            if (size > norms.growth_exponent) norms.growth_exponent = size;
        }
        if (a.activity_batches == nullptr) continue;
        if (s.alive) {
            const float active_square = a.records.active_square[at];
            const uint32_t count = a.records.active[at];
            asymmetry = static_cast<double>((active_square + active_square) / a.records.square[at] - 1.0f);
            activity.inactive += count == 0;
            activity.active += count;
            activity.active_square += (count - half) * (count - half);
            activity.asymmetry += asymmetry;
            activity.asymmetry_square += asymmetry * asymmetry;
        }
        // [batch][slot][network of the batch]: what the product over networks reads in one piece.
        const uint64_t place = (static_cast<uint64_t>(start / a.batch) * a.n_layers + slot) * a.batch + i;
        if (a.asymmetry != nullptr) a.asymmetry[place] = asymmetry;
        if (a.alive != nullptr) a.alive[place] = s.alive ? 1.0 : 0.0;
    }
    shared.norms[thread] = norms;
    shared.activity[thread] = activity;
}

// The sums of powers of the distance from the batch's means, and of |z_l|^2/|z_0|^2 in its units; nothing else.
RESMC_KERNEL_FN NormSums second_pass(const ReduceArguments& a, uint32_t slot, uint32_t start, uint32_t thread,
                                     const NormSums& batch) {
    const double mean = batch.log_norm[0], mean_change = batch.growth_log[0];
    const int64_t unit = batch.growth_exponent;
    NormSums sums{};
    for (uint32_t i = thread; i < a.batch; i += REDUCE_THREADS) {
        const Seen s = seen_at(a, slot, start + i);
        if (!s.alive) continue;
        const double d = s.log_norm - mean, c = s.change - mean_change, w = s.quotient * power_of_two(s.power - unit);
        sums.log_norm[1] += d * d;
        sums.log_norm[2] += d * d * d;
        sums.log_norm[3] += d * d * (d * d);
        if (!s.starts) continue;
        sums.growth_log[1] += c * c;
        sums.growth[0] += w;
        sums.growth[1] += w * w;
    }
    return sums;
}

// One entry for each of two threads; of either pass, what the other makes being 0 there.
RESMC_KERNEL_FN void add(NormSums& x, const NormSums& y) {
    x.alive += y.alive;
    x.startless += y.startless;
    x.startless_alive += y.startless_alive;
    if (y.growth_exponent > x.growth_exponent) x.growth_exponent = y.growth_exponent;
    for (int k = 0; k < 4; ++k) x.log_norm[k] += y.log_norm[k];
    for (int k = 0; k < 2; ++k) x.growth_log[k] += y.growth_log[k];
    for (int k = 0; k < 2; ++k) x.growth[k] += y.growth[k];
}

// add(to, from) of the sums of pairs of threads, in a tree: thread 0 ends with the sum of all.
template <class Warp, class Add>
RESMC_KERNEL_FN void add_up(Warp& warp, Add add) {
    for (uint32_t half = REDUCE_THREADS / 2; half > 0; half /= 2) {
        warp.each_lane([&](uint32_t t) {
            if (t < half) add(t, t + half);
        });
        warp.sync_block();
    }
}

// One block of threads: recorded layer `slot` of one batch.
template <class Warp>
RESMC_KERNEL_FN void reduce_batch(Warp& warp, const ReduceArguments& a, SharedSums& shared) {
    const uint32_t slot = warp.block() % a.n_layers, start = warp.block() / a.n_layers * a.batch;
    NormSums* const norms = shared.norms;
    NormSums& whole = norms[REDUCE_THREADS];
    warp.each_lane([&](uint32_t t) { first_pass(a, slot, start, t, shared); });
    warp.sync_block();
    add_up(warp, [&](uint32_t to, uint32_t from) {
        add(norms[to], norms[from]);
        if (a.activity_batches != nullptr) fold(shared.activity[to], shared.activity[from]);
    });
    warp.each_lane([&](uint32_t t) {
        if (t != 0) return;
        whole = norms[0];
        const double n = static_cast<double>(whole.alive);
        if (n > 0.0) {
            whole.log_norm[0] /= n;
        }
        const double grown = static_cast<double>(whole.alive - whole.startless_alive);
        if (grown > 0.0) {
            whole.growth_log[0] /= grown;
        } else {
            whole.growth_exponent = 0;
        }
        if (a.activity_batches != nullptr) a.activity_batches[warp.block()] = shared.activity[0];
    });
    warp.sync_block();
    warp.each_lane([&](uint32_t t) { norms[t] = second_pass(a, slot, start, t, whole); });
    warp.sync_block();
    add_up(warp, [&](uint32_t to, uint32_t from) { add(norms[to], norms[from]); });
    warp.each_lane([&](uint32_t t) {
        if (t != 0) return;
        NormSums& sums = a.batches[warp.block()] = norms[0];
        sums.alive = whole.alive;
        sums.startless = whole.startless;
        sums.startless_alive = whole.startless_alive;
        sums.growth_exponent = whole.growth_exponent;
        sums.log_norm[0] = whole.log_norm[0];
        sums.growth_log[0] = whole.growth_log[0];
    });
    if (slot + 1 < a.n_layers || a.histogram == nullptr) return;
    // The histogram of the last layer: counts, whose order is of no account.
    const uint64_t group = (a.first / a.batch + start / a.batch) % GROUPS;
    warp.each_lane([&](uint32_t t) {
        for (uint32_t i = t; i < a.batch; i += REDUCE_THREADS) {
            const Seen s = seen_at(a, slot, start + i);
            if (!s.alive) continue;
            const double bin = (s.log_norm - a.bin_low) / a.bin_width;
            const uint32_t b = bin < 0.0 ? 0 : bin >= a.n_bins ? a.n_bins + 1 : 1 + static_cast<uint32_t>(bin);
            warp.count(a.histogram + group * (static_cast<uint64_t>(a.n_bins) + 2) + b);
        }
    });
}

// Sums of batches into those of a group, batch after batch.
template <class LayerSums>
RESMC_KERNEL_FN void fold_into_group(const ReduceArguments& a, uint64_t index, const LayerSums* batches,
                                     LayerSums* groups) {
    const uint32_t group = static_cast<uint32_t>(index / a.n_layers), slot = static_cast<uint32_t>(index % a.n_layers);
    LayerSums total = groups[index];
    const uint32_t n_batches = a.columns / a.batch, here = static_cast<uint32_t>(a.first / a.batch % GROUPS);
    for (uint32_t b = (group + GROUPS - here) % GROUPS; b < n_batches; b += GROUPS)
        fold(total, batches[static_cast<uint64_t>(b) * a.n_layers + slot]);
    groups[index] = total;
}

// One thread per group and recorded layer.
template <class Warp>
RESMC_KERNEL_FN void fold_batches(Warp& warp, const ReduceArguments& a) {
    warp.each_lane([&](uint32_t t) {
        const uint64_t index = static_cast<uint64_t>(warp.block()) * REDUCE_THREADS + t;
        if (index >= static_cast<uint64_t>(GROUPS) * a.n_layers) return;
        fold_into_group(a, index, a.batches, a.groups);
        if (a.activity_batches != nullptr) fold_into_group(a, index, a.activity_batches, a.activity_groups);
    });
}

RESMC_NAMESPACE_END
