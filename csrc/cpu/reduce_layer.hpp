// From one layer's records of some of a tile's networks to sums: two passes for the moments, in double, in a fixed
// order.
#pragma once

#include "../include/resmc/log_norm.hpp"
#include "../include/resmc/moments.hpp"
#include "tile_doubles.hpp"

RESMC_NAMESPACE_BEGIN

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
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum = register_fma(load_doubles(weight + t), load_doubles(x + t), sum);
    m.mean = total(sum) / n;
    DoubleRegister m2{}, m3{}, m4{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister d = load_doubles(weight + t) * (load_doubles(x + t) - m.mean);
        const DoubleRegister d2 = d * d;
        m2 += d2;
        if (order == 2) continue;
        m3 = register_fma(d2, d, m3);
        m4 = register_fma(d2, d2, m4);
    }
    m.m2 = total(m2);
    m.m3 = total(m3);
    m.m4 = total(m4);
    return m;
}

// ln(|v|^2/n) of networks begin .. end - 1; what is 0 has none, and any finite number serves.
RESMC_FN void log_norms(const float* square, const int32_t* exponent, double log_width, int begin, int end,
                        double* to) {
    for (int t = begin; t < end; ++t) to[t] = log_norm(square[t], exponent[t], log_width);
}

// What growth is measured from, of some of a tile's networks, and the number that logarithms of all layers lack.
struct StartOfTile {
    double log_width;
    alignas(64) double log_norm[TILE];  // finite, of the others too

    RESMC_FN StartOfTile(const Network& net, const Records& records, int begin, int end)
        : log_width(__builtin_log(static_cast<double>(net.width))), log_norm{} {
        log_norms(records.start_square, records.start_exponent, log_width, begin, end, log_norm);
    }
};

// A layer of a tile by networks; 0 where a network is dead or was not asked for.
struct NormsOfTile {
    alignas(64) double weight[TILE];    // 1 where it counts
    alignas(64) double log_norm[TILE];  // L_l, and any finite number where weight is 0
    alignas(64) double change[TILE];    // L_l - L_0; anything where weight is 0
    alignas(64) double quotient[TILE];  // |z_l|^2/|z_0|^2 = quotient 2^power
    alignas(64) double power[TILE];     // -2^62 where weight is 0; it may need more than 32 bits
    alignas(64) double grows[TILE];     // weight, but 0 where it started from 0
    int32_t here[TILE];                 // weight
    int64_t alive, startless, startless_alive;
    double highest;  // all |z_l|^2/|z_0|^2 are below 2^highest
};

// Loops without a branch, each over few kinds of numbers: compilers make vectors of them.
static void read_norms(const Records& records, const StartOfTile& start, uint32_t slot, int begin, int end,
                       NormsOfTile& layer) {
    const size_t at = static_cast<size_t>(slot) * TILE;
    const float* const square = records.square + at;
    const int32_t* const exponent = records.exponent + at;
    const float* const start_square = records.start_square;
    const int32_t* const start_exponent = records.start_exponent;
    __builtin_memset(layer.log_norm, 0, sizeof layer.log_norm);
    log_norms(square, exponent, start.log_width, begin, end, layer.log_norm);
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
        layer.change[t] = layer.log_norm[t] - start.log_norm[t];
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

static void add_norms(NormsOfTile& layer, NormSums& sums) {
    const double n = static_cast<double>(layer.alive), before = static_cast<double>(sums.alive);
    const int64_t growing = layer.alive - layer.startless_alive, grown = sums.alive - sums.startless_alive;
    Moments log_norm{before, sums.log_norm[0], sums.log_norm[1], sums.log_norm[2], sums.log_norm[3]};
    Moments growth_log{static_cast<double>(grown), sums.growth_log[0], sums.growth_log[1], 0.0, 0.0};
    log_norm = merged(log_norm, tile_moments<4>(layer.log_norm, layer.weight, n));
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
static void reduce_layer(const Network& net, const Records& records, const StartOfTile& start, uint32_t slot, int begin,
                         int end, const Statistics& s) {
    const size_t at = static_cast<size_t>(slot) * TILE;
    NormsOfTile layer;
    read_norms(records, start, slot, begin, end, layer);
    if (layer.alive == 0) {
        s.norms[slot].startless += layer.startless;
        return;
    }
    add_norms(layer, s.norms[slot]);
    if (s.activity != nullptr)
        add_activity(net, records.asymmetry + at, records.active + at, layer.here, s.activity[slot]);
}

RESMC_NAMESPACE_END
