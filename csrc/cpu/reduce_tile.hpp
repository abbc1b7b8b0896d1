// From the records of a tile to statistics: two passes per layer for the moments, a small matrix product for the
// covariance of A between layers. All sums are in double and in a fixed order.
#pragma once

#include "../include/resmc/moments.hpp"
#include "backend.hpp"
#include "pack.hpp"

RESMC_NAMESPACE_BEGIN

typedef double DoubleRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
constexpr int DOUBLE_LANES = RESMC_REGISTER_BYTES / 8;

RESMC_FN DoubleRegister load_doubles(const double* from) {
    DoubleRegister x;
    __builtin_memcpy(&x, from, sizeof x);
    return x;
}
RESMC_FN DoubleRegister double_fma(DoubleRegister a, DoubleRegister b, DoubleRegister c) {
#if defined(__AVX512F__)
    return (DoubleRegister)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__)
    return (DoubleRegister)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}
// Written out: `DoubleRegister{} + x` would add a zero first, for the sake of -0.
RESMC_FN DoubleRegister every_lane(double x) {
    DoubleRegister y;
    for (int i = 0; i < DOUBLE_LANES; ++i) y[i] = x;
    return y;
}
RESMC_FN double total(DoubleRegister x) {
    double sum = 0.0;
    for (int i = 0; i < DOUBLE_LANES; ++i) sum += x[i];
    return sum;
}

// Moments of x over the networks of weight 1 (the others weigh 0).
RESMC_FN Moments tile_moments(const double* x, const double* weight) {
    DoubleRegister n{}, sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister w = load_doubles(weight + t);
        n += w;
        sum = double_fma(w, load_doubles(x + t), sum);
    }
    Moments m{total(n), 0.0, 0.0, 0.0, 0.0};
    if (m.n == 0.0) return m;
    m.mean = total(sum) / m.n;
    DoubleRegister m2{}, m3{}, m4{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister d = load_doubles(weight + t) * (load_doubles(x + t) - m.mean);
        const DoubleRegister d2 = d * d;
        m2 += d2;
        m3 = double_fma(d2, d, m3);
        m4 = double_fma(d2, d2, m4);
    }
    m.m2 = total(m2);
    m.m3 = total(m3);
    m.m4 = total(m4);
    return m;
}

// Adds to the packed upper triangle `to` the products sum_t p[t][l] q[t][m], m >= l, of two transposed tiles.
// A few rows by two registers of columns are summed in registers over all networks: enough sums at a time to hide how
// long each takes, as many as there are registers for.
RESMC_FN void add_products(const double* p, const double* q, size_t row, int n_networks, int n_slots, double* to) {
    constexpr int ROWS = DOUBLE_LANES == 8 ? 8 : 4, COLUMNS = 2 * DOUBLE_LANES;
    for (int l = 0; l < n_slots; l += ROWS) {
        for (int m = l / COLUMNS * COLUMNS; m < n_slots; m += COLUMNS) {
            DoubleRegister sum[ROWS][2] = {};
            for (int t = 0; t < n_networks; ++t) {
                const double* const left = p + t * row + l;
                const DoubleRegister right0 = load_doubles(q + t * row + m);
                const DoubleRegister right1 = load_doubles(q + t * row + m + DOUBLE_LANES);
#pragma GCC unroll 8
                for (int i = 0; i < ROWS; ++i) {
                    const DoubleRegister a = every_lane(left[i]);
                    sum[i][0] = double_fma(a, right0, sum[i][0]);
                    sum[i][1] = double_fma(a, right1, sum[i][1]);
                }
            }
            for (int i = 0; i < ROWS && l + i < n_slots; ++i) {
                const int r = l + i;
                double* const packed =
                    to + (static_cast<int64_t>(r) * n_slots - static_cast<int64_t>(r) * (r - 1) / 2) - r;
                for (int j = 0; j < COLUMNS; ++j)
                    if (m + j >= r && m + j < n_slots) packed[m + j] += sum[i][j / DOUBLE_LANES][j % DOUBLE_LANES];
            }
        }
    }
}

static void reduce_products(const Recording& recording, const Records& records, int begin, int end,
                            const Statistics& s) {
    const int n_slots = static_cast<int>(recording.n_layers), n = end - begin;
    const size_t row = padded_slots(recording.n_layers), matrix = row * TILE;
    double *const a = records.scratch, *const alive = a + matrix, *const square = alive + matrix;
    for (int slot = 0; slot < n_slots; ++slot) {
        const float* const asymmetry = records.asymmetry + slot * TILE + begin;
        for (int t = 0; t < n; ++t) a[t * row + slot] = asymmetry[t];
    }
    add_products(a, a, row, n, n_slots, s.products);
    if (!recording.deaths_possible) return;
    for (int slot = 0; slot < n_slots; ++slot)
        for (int t = 0; t < n; ++t) {
            const double x = a[t * row + slot];
            alive[t * row + slot] = records.square[slot * TILE + begin + t] > 0.0f ? 1.0 : 0.0;
            square[t * row + slot] = x * x;
        }
    add_products(a, alive, row, n, n_slots, s.partial_sums);
    add_products(square, alive, row, n, n_slots, s.partial_squares);
}

// Networks begin .. end - 1 of the tile at one recorded layer.
static void reduce_layer(const Network& net, const Recording& recording, const Records& records, uint32_t slot,
                         int begin, int end, const Statistics& s) {
    const size_t at = static_cast<size_t>(slot) * TILE, slots = recording.n_layers;
    const float *const square = records.square + at, *const square0 = records.square;
    const int32_t *const exponent = records.exponent + at, *const exponent0 = records.exponent;
    alignas(64) double weight[TILE], change[TILE], ratio[TILE];
    int64_t power[TILE], highest = INT64_MIN;  // |z_l|^2/|z_0|^2 = ratio 2^power, ratio from float squares
    int64_t alive = 0, inactive = 0, active = 0;
    double asymmetry = 0.0, active_square = 0.0;
    const double half = 0.5 * net.width;
    for (int t = 0; t < TILE; ++t) {
        const bool here = t >= begin && t < end && square[t] > 0.0f;
        weight[t] = here ? 1.0 : 0.0;
        change[t] = records.log_norm[at + t] - records.log_norm[t];
    }
    for (int t = begin; t < end; ++t) {
        if (weight[t] == 0.0) continue;
        const uint32_t count = records.active[at + t];
        ++alive;
        inactive += count == 0;
        active += count;
        active_square += (count - half) * (count - half);
        asymmetry += static_cast<double>(records.asymmetry[at + t]);
        ratio[t] = static_cast<double>(square[t]) / static_cast<double>(square0[t]);
        uint64_t bits;
        __builtin_memcpy(&bits, ratio + t, 8);
        power[t] = 2 * (static_cast<int64_t>(exponent[t]) - exponent0[t]);
        const int64_t size = power[t] + static_cast<int64_t>(bits >> 52) - 1022;
        if (size > highest) highest = size;
    }
    Moments log_norm{static_cast<double>(s.alive[slot]), s.log_norm[slot], s.log_norm[slots + slot],
                     s.log_norm[2 * slots + slot], s.log_norm[3 * slots + slot]};
    Moments growth_log{static_cast<double>(s.alive[slot]), s.growth_log[slot], s.growth_log[slots + slot], 0.0, 0.0};
    log_norm = merged(log_norm, tile_moments(records.log_norm + at, weight));
    growth_log = merged(growth_log, tile_moments(change, weight));
    s.log_norm[slot] = log_norm.mean;
    s.log_norm[slots + slot] = log_norm.m2;
    s.log_norm[2 * slots + slot] = log_norm.m3;
    s.log_norm[3 * slots + slot] = log_norm.m4;
    s.growth_log[slot] = growth_log.mean;
    s.growth_log[slots + slot] = growth_log.m2;
    s.alive[slot] += alive;
    s.inactive[slot] += inactive;
    s.active[slot] += active;
    s.active_square[slot] += active_square;
    s.asymmetry[slot] += asymmetry;
    if (alive == 0) return;

    ScaledSums growth = in_units({s.growth[slot], s.growth[slots + slot], s.growth_exponent[slot]}, highest);
    for (int t = begin; t < end; ++t) {
        if (weight[t] == 0.0) continue;
        const double w = ratio[t] * power_of_two(power[t] - growth.unit);
        growth.sum += w;
        growth.sum2 += w * w;
    }
    s.growth[slot] = growth.sum;
    s.growth[slots + slot] = growth.sum2;
    s.growth_exponent[slot] = growth.unit;
}

static void reduce(const Network& net, const Recording& recording, const Records& records, int begin, int end,
                   const Statistics& s) {
    for (uint32_t slot = 0; slot < recording.n_layers; ++slot)
        reduce_layer(net, recording, records, slot, begin, end, s);
    reduce_products(recording, records, begin, end, s);
    const size_t last = static_cast<size_t>(recording.n_layers - 1) * TILE;
    for (int t = begin; t < end; ++t) {
        if (records.square[last + t] <= 0.0f) continue;
        const double bin = __builtin_floor((records.log_norm[last + t] - recording.bin_low) / recording.bin_width);
        const uint32_t b = bin < 0.0                 ? 0
                           : bin >= recording.n_bins ? recording.n_bins + 1
                                                     : 1 + static_cast<uint32_t>(bin);
        ++s.histogram[b];
    }
}

RESMC_NAMESPACE_END
