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

// A layer of a tile by networks; 0 where a network is dead or was not asked for.
struct NormsOfTile {
    alignas(64) double weight[TILE];    // 1 where it counts
    alignas(64) double change[TILE];    // L_l - L_0; anything where weight is 0
    alignas(64) double quotient[TILE];  // |z_l|^2/|z_0|^2 = quotient 2^power
    alignas(64) double power[TILE];     // -2^62 where weight is 0; it may need more than 32 bits
    alignas(64) double grows[TILE];     // weight, but 0 where it started from 0
    int32_t here[TILE];                 // weight
    int64_t alive, startless, startless_alive;
    double highest;  // all |z_l|^2/|z_0|^2 are below 2^highest
};

// Loops without a branch, each over few kinds of numbers: compilers make vectors of them.
static void read_norms(const Records& records, uint32_t slot, int begin, int end, NormsOfTile& layer) {
    const size_t at = static_cast<size_t>(slot) * TILE;
    const float* const square = records.square + at;
    const int32_t* const exponent = records.exponent + at;
    const double* const log_norm = records.log_norm + at;
    const float* const start_square = records.start_square;
    const int32_t* const start_exponent = records.start_exponent;
    const double* const start_log_norm = records.start_log_norm;
    alignas(64) double size[TILE];
    int32_t log2_quotient[TILE], grows[TILE], alive = 0, growing = 0, startless = 0;
    for (int t = 0; t < TILE; ++t) {
        layer.here[t] = (t >= begin) & (t < end) & (square[t] > 0.0f);
        const int32_t starts = start_square[t] > 0.0f;
        grows[t] = layer.here[t] & starts;
        alive += layer.here[t];
        growing += grows[t];
        startless += (t >= begin) & (t < end) & (starts ^ 1);
        uint32_t bits, bits0;
        __builtin_memcpy(&bits, square + t, 4);
        __builtin_memcpy(&bits0, start_square + t, 4);
        log2_quotient[t] = static_cast<int32_t>(bits >> 23) - static_cast<int32_t>(bits0 >> 23) + 1;  // at least
    }
    for (int t = 0; t < TILE; ++t) {
        layer.weight[t] = layer.here[t];
        layer.grows[t] = grows[t];
        layer.change[t] = log_norm[t] - start_log_norm[t];
        const double quotient = static_cast<double>(square[t]) / static_cast<double>(start_square[t]);
        layer.quotient[t] = grows[t] != 0 ? quotient : 0.0;
        const double power = 2.0 * (static_cast<double>(exponent[t]) - start_exponent[t]);
        layer.power[t] = grows[t] != 0 ? power : -0x1p62;  // 2^anything else could be infinite, 0 times it NaN
        size[t] = layer.power[t] + log2_quotient[t];
    }
    layer.highest = tile_highest(size);
    layer.alive = alive;
    layer.startless = startless;
    layer.startless_alive = alive - growing;
}

static void add_norms(const double* log_norms, NormsOfTile& layer, NormSums& sums) {
    const double n = static_cast<double>(layer.alive), before = static_cast<double>(sums.alive);
    const int64_t growing = layer.alive - layer.startless_alive, grown = sums.alive - sums.startless_alive;
    Moments log_norm{before, sums.log_norm[0], sums.log_norm[1], sums.log_norm[2], sums.log_norm[3]};
    Moments growth_log{static_cast<double>(grown), sums.growth_log[0], sums.growth_log[1], 0.0, 0.0};
    log_norm = merged(log_norm, tile_moments<4>(log_norms, layer.weight, n));
    growth_log = merged(growth_log, tile_moments<2>(layer.change, layer.grows, static_cast<double>(growing)));
    const ScaledSums growth = in_units({sums.growth[0], sums.growth[1], sums.growth_exponent},
                                       growing > 0 ? static_cast<int64_t>(layer.highest) : sums.growth_exponent);
    const double unit = static_cast<double>(growth.unit);
    for (int t = 0; t < TILE; ++t) {
        const double e = layer.power[t] - unit;
        layer.quotient[t] *= power_of_two(static_cast<int32_t>(e < -1023.0 ? -1023.0 : e));
    }
    sums = {sums.alive + layer.alive,
            sums.startless + layer.startless,
            sums.startless_alive + layer.startless_alive,
            growth.unit,
            {log_norm.mean, log_norm.m2, log_norm.m3, log_norm.m4},
            {growth_log.mean, growth_log.m2},
            {growth.sum + tile_total(layer.quotient), growth.sum2 + tile_total_square(layer.quotient)}};
}

static void add_activity(const Network& net, const float* asymmetries, const uint32_t* active, const int32_t* here,
                         ActivitySums& sums) {
    alignas(64) double asymmetry[TILE], deviation[TILE];  // A_l, active count - width/2
    const double half = 0.5 * net.width;
    int32_t inactive = 0;
    int64_t total_active = 0;
    for (int t = 0; t < TILE; ++t) {
        inactive += here[t] & (active[t] == 0);
        total_active += here[t] != 0 ? active[t] : 0;
        asymmetry[t] = here[t] != 0 ? static_cast<double>(asymmetries[t]) : 0.0;
        deviation[t] = here[t] != 0 ? static_cast<int32_t>(active[t]) - half : 0.0;
    }
    sums.inactive += inactive;
    sums.active += total_active;
    sums.active_square += tile_total_square(deviation);
    sums.asymmetry += tile_total(asymmetry);
    sums.asymmetry_square += tile_total_square(asymmetry);
}

// Networks begin .. end - 1 of the tile at one recorded layer.
static void reduce_layer(const Network& net, const Records& records, uint32_t slot, int begin, int end,
                         const Statistics& s) {
    const size_t at = static_cast<size_t>(slot) * TILE;
    NormsOfTile layer;
    read_norms(records, slot, begin, end, layer);
    if (layer.alive == 0) {
        s.norms[slot].startless += layer.startless;
        return;
    }
    add_norms(records.log_norm + at, layer, s.norms[slot]);
    if (s.activity != nullptr)
        add_activity(net, records.asymmetry + at, records.active + at, layer.here, s.activity[slot]);
}

static void reduce(const Network& net, const Recording& recording, const Records& records, int begin, int end,
                   const Statistics& s) {
    for (uint32_t slot = 0; slot < recording.n_layers; ++slot) reduce_layer(net, records, slot, begin, end, s);
    if (s.products != nullptr) reduce_products(recording, records, begin, end, s);
    if (s.histogram == nullptr) return;
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
