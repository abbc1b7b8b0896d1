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

// In a fixed order, DOUBLE_LANES chains at a time: one chain would wait for every addition.
RESMC_FN double tile_total(const double* x) {
    DoubleRegister sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum += load_doubles(x + t);
    return total(sum);
}
RESMC_FN double tile_total_square(const double* x) {
    DoubleRegister sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum = double_fma(load_doubles(x + t), load_doubles(x + t), sum);
    return total(sum);
}

RESMC_FN double tile_highest(const double* x) {
    DoubleRegister high = load_doubles(x);
    for (int t = DOUBLE_LANES; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister y = load_doubles(x + t);
        high = y > high ? y : high;
    }
    double highest = high[0];
    for (int i = 1; i < DOUBLE_LANES; ++i) highest = high[i] > highest ? high[i] : highest;
    return highest;
}

// Moments of x over the n networks of weight 1 (the others weigh 0), up to the second or the fourth.
template <int order>
RESMC_FN Moments tile_moments(const double* x, const double* weight, double n) {
    Moments m{n, 0.0, 0.0, 0.0, 0.0};
    if (n == 0.0) return m;
    DoubleRegister sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum = double_fma(load_doubles(weight + t), load_doubles(x + t), sum);
    m.mean = total(sum) / n;
    DoubleRegister m2{}, m3{}, m4{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister d = load_doubles(weight + t) * (load_doubles(x + t) - m.mean);
        const DoubleRegister d2 = d * d;
        m2 += d2;
        if (order == 2) continue;
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

// What a layer of a tile says of its networks, 0 where a network is dead or was not asked for.
struct LayerOfTile {
    alignas(64) double weight[TILE];     // 1 where it counts
    alignas(64) double change[TILE];     // L_l - L_0; anything where weight is 0
    alignas(64) double asymmetry[TILE];  // A_l
    alignas(64) double deviation[TILE];  // active count - width/2
    alignas(64) double ratio[TILE];      // |z_l|^2/|z_0|^2 = ratio 2^power
    alignas(64) double power[TILE];      // -2^62 where weight is 0; it may need more than 32 bits
    int64_t alive, inactive, active;
    double highest;  // all |z_l|^2/|z_0|^2 are below 2^highest
};

// Loops without a branch, each over few kinds of numbers: compilers make vectors of them.
static void read_layer(const Network& net, const Records& records, uint32_t slot, int begin, int end,
                       LayerOfTile& layer) {
    const size_t at = static_cast<size_t>(slot) * TILE;
    const float* const square = records.square + at;
    const float* const asymmetry = records.asymmetry + at;
    const int32_t* const exponent = records.exponent + at;
    const uint32_t* const active = records.active + at;
    const double* const log_norm = records.log_norm + at;
    const float* const start_square = records.start_square;
    const int32_t* const start_exponent = records.start_exponent;
    const double* const start_log_norm = records.start_log_norm;
    const double half = 0.5 * net.width;
    alignas(64) double size[TILE];
    int32_t here[TILE], log2_ratio[TILE], alive = 0, inactive = 0;
    int64_t total_active = 0;
    for (int t = 0; t < TILE; ++t) {
        here[t] = (t >= begin) & (t < end) & (square[t] > 0.0f);
        alive += here[t];
        inactive += here[t] & (active[t] == 0);
        total_active += here[t] != 0 ? active[t] : 0;
        uint32_t bits, bits0;
        __builtin_memcpy(&bits, square + t, 4);
        __builtin_memcpy(&bits0, start_square + t, 4);
        log2_ratio[t] = static_cast<int32_t>(bits >> 23) - static_cast<int32_t>(bits0 >> 23) + 1;  // at least
    }
    for (int t = 0; t < TILE; ++t) {
        layer.weight[t] = here[t];
        layer.change[t] = log_norm[t] - start_log_norm[t];
        layer.asymmetry[t] = here[t] != 0 ? static_cast<double>(asymmetry[t]) : 0.0;
        layer.deviation[t] = here[t] != 0 ? static_cast<int32_t>(active[t]) - half : 0.0;
        const double ratio = static_cast<double>(square[t]) / static_cast<double>(start_square[t]);
        layer.ratio[t] = here[t] != 0 ? ratio : 0.0;
        const double power = 2.0 * (static_cast<double>(exponent[t]) - start_exponent[t]);
        layer.power[t] = here[t] != 0 ? power : -0x1p62;  // 2^anything else could be infinite, and 0 times it NaN
        size[t] = layer.power[t] + log2_ratio[t];
    }
    layer.highest = tile_highest(size);
    layer.alive = alive;
    layer.inactive = inactive;
    layer.active = total_active;
}

// Networks begin .. end - 1 of the tile at one recorded layer.
static void reduce_layer(const Network& net, const Recording& recording, const Records& records, uint32_t slot,
                         int begin, int end, const Statistics& s) {
    const size_t slots = recording.n_layers;
    LayerOfTile layer;
    read_layer(net, records, slot, begin, end, layer);
    if (layer.alive == 0) return;
    const double n = static_cast<double>(layer.alive), before = static_cast<double>(s.alive[slot]);
    Moments log_norm{before, s.log_norm[slot], s.log_norm[slots + slot], s.log_norm[2 * slots + slot],
                     s.log_norm[3 * slots + slot]};
    Moments growth_log{before, s.growth_log[slot], s.growth_log[slots + slot], 0.0, 0.0};
    const double* const log_norms = records.log_norm + static_cast<size_t>(slot) * TILE;
    log_norm = merged(log_norm, tile_moments<4>(log_norms, layer.weight, n));
    growth_log = merged(growth_log, tile_moments<2>(layer.change, layer.weight, n));
    s.log_norm[slot] = log_norm.mean;
    s.log_norm[slots + slot] = log_norm.m2;
    s.log_norm[2 * slots + slot] = log_norm.m3;
    s.log_norm[3 * slots + slot] = log_norm.m4;
    s.growth_log[slot] = growth_log.mean;
    s.growth_log[slots + slot] = growth_log.m2;
    s.alive[slot] += layer.alive;
    s.inactive[slot] += layer.inactive;
    s.active[slot] += layer.active;
    s.active_square[slot] += tile_total_square(layer.deviation);
    s.asymmetry[slot] += tile_total(layer.asymmetry);
    s.asymmetry_square[slot] += tile_total_square(layer.asymmetry);

    const ScaledSums growth = in_units({s.growth[slot], s.growth[slots + slot], s.growth_exponent[slot]},
                                       static_cast<int64_t>(layer.highest));
    const double unit = static_cast<double>(growth.unit);
    for (int t = 0; t < TILE; ++t) {
        const double e = layer.power[t] - unit;
        layer.ratio[t] *= power_of_two(static_cast<int32_t>(e < -1023.0 ? -1023.0 : e));
    }
    s.growth[slot] = growth.sum + tile_total(layer.ratio);
    s.growth[slots + slot] = growth.sum2 + tile_total_square(layer.ratio);
    s.growth_exponent[slot] = growth.unit;
}

static void reduce_layers(const Network& net, const Recording& recording, const Records& records, int begin, int end,
                          const Statistics& s) {
    for (uint32_t slot = 0; slot < recording.n_layers; ++slot)
        reduce_layer(net, recording, records, slot, begin, end, s);
}

static void reduce(const Network& net, const Recording& recording, const Records& records, int begin, int end,
                   const Statistics& s) {
    reduce_layers(net, recording, records, begin, end, s);
    if (recording.correlations) reduce_products(recording, records, begin, end, s);
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
