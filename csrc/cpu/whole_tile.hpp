// Layers of a tile all of whose networks count, as nearly all do: the sums of reduce_layer.hpp, in every bit, without
// weights and without divisions. Sums wait for their additions, and moments for means, so several layers go side by
// side, which wait at different times.
#pragma once

#include "reduce_layer.hpp"

RESMC_NAMESPACE_BEGIN

constexpr int SIDE_BY_SIDE = 2;              // layers
constexpr bool GO_WHOLE = DOUBLE_LANES > 2;  // without integers of 64 bits to compare, and FMA, this gains nothing

// Whether all of a tile's |v|^2 are above 0, and finite.
RESMC_FN bool all_count(const float* square) {
    WordRegister highest{};
    for (int t = 0; t < TILE; t += REGISTER_LANES) {
        const WordRegister bits = load_register<WordRegister>(square + t) - 1u;
        highest = bits > highest ? bits : highest;
    }
    uint32_t all = 0;
    for (int i = 0; i < REGISTER_LANES; ++i) all = highest[i] > all ? highest[i] : all;
    return all < 0x7F800000u - 1u;
}

struct WholeStart : StartOfTile {
    alignas(64) double square[TILE], inverse[TILE];  // inverse: 1/square
    alignas(64) int64_t power[TILE], size[TILE];     // twice the exponent; and that with the float's own, less 1

    RESMC_FN WholeStart(const Network& net, const Records& records) : StartOfTile(net, records, 0, TILE) {
        for (int t = 0; t < TILE; ++t) {
            square[t] = records.start_square[t];
            inverse[t] = 1.0 / square[t];
            uint32_t bits;
            __builtin_memcpy(&bits, records.start_square + t, 4);
            power[t] = 2 * static_cast<int64_t>(records.start_exponent[t]);
            size[t] = power[t] + (bits >> 23) - 1;
        }
    }
};

// x/start, rounded to the nearest double, of floats: these have too few bits for their quotient to be so close to the
// middle between two doubles that the last step could go wrong.
RESMC_FN DoubleRegister quotient_of(DoubleRegister x, const WholeStart& start, int t) {
    const DoubleRegister square = load_doubles(start.square + t);
#if defined(__AVX2__)
    const DoubleRegister inverse = load_doubles(start.inverse + t), near = x * inverse;
    return register_fma(inverse, register_fma(-near, square, x), near);
#else
    return x / square;
#endif
}

struct WholeLayer {
    alignas(64) double log_norm[TILE];  // L_l
    alignas(64) double quotient[TILE];  // |z_l|^2/|z_0|^2 = quotient 2^power
    alignas(64) int64_t power[TILE];
    DoubleRegister logs, changes;  // sums of L_l and of L_l - L_0
    LongIntRegister highest;       // all |z_l|^2/|z_0|^2 are below 2^highest

    RESMC_FN void read(const Records& records, const WholeStart& start, size_t at) {
        log_norms(records.square + at, records.exponent + at, start.log_width, 0, TILE, log_norm);
        DoubleRegister sum{}, sum_change{};  // kept in registers, as members would not be
        LongIntRegister high = LongIntRegister{} - INT64_MAX;
#pragma GCC unroll 2
        for (int t = 0; t < TILE; t += DOUBLE_LANES) {
            const DoubleRegister log = load_doubles(log_norm + t);
            sum += log;
            sum_change += log - load_doubles(start.log_norm + t);
            const DoubleRegister ratio = quotient_of(load_floats(records.square + at + t), start, t);
            __builtin_memcpy(quotient + t, &ratio, sizeof ratio);
            const HalfIntRegister bits = load_register<HalfIntRegister>(records.square + at + t);
            const LongIntRegister doubled = widened(load_register<HalfIntRegister>(records.exponent + at + t)) << 1;
            const LongIntRegister e = doubled - load_register<LongIntRegister>(start.power + t);
            __builtin_memcpy(power + t, &e, sizeof e);
            const LongIntRegister size = doubled + widened(bits >> 23) - load_register<LongIntRegister>(start.size + t);
            high = size > high ? size : high;
        }
        logs = sum;
        changes = sum_change;
        highest = high;
    }

    RESMC_FN void add(const WholeStart& start, NormSums& sums) const {
        constexpr double n = TILE;
        int64_t high = highest[0];
        for (int i = 1; i < DOUBLE_LANES; ++i) high = highest[i] > high ? highest[i] : high;
        const ScaledSums growth = in_units({sums.growth[0], sums.growth[1], sums.growth_exponent}, high);
        const double mean = total(logs) / n, mean_change = total(changes) / n;
        DoubleRegister m2{}, m3{}, m4{}, change2{}, growths{}, squares{};
#pragma GCC unroll 2
        for (int t = 0; t < TILE; t += DOUBLE_LANES) {
            const DoubleRegister log = load_doubles(log_norm + t), d = log - mean, d2 = d * d;
            m2 += d2;
            m3 = register_fma(d2, d, m3);
            m4 = register_fma(d2, d2, m4);
            const DoubleRegister change = log - load_doubles(start.log_norm + t) - mean_change;
            change2 += change * change;
            LongIntRegister e = load_register<LongIntRegister>(power + t) - growth.unit;
            e = e < -1023 ? LongIntRegister{} - 1023 : e;
            const DoubleRegister scaled = load_doubles(quotient + t) * (DoubleRegister)((e + 1023) << 52);
            growths += scaled;
            squares = register_fma(scaled, scaled, squares);
        }
        const double before = static_cast<double>(sums.alive);
        const double grown = static_cast<double>(sums.alive - sums.startless_alive);
        const Moments moments = merged({before, sums.log_norm[0], sums.log_norm[1], sums.log_norm[2], sums.log_norm[3]},
                                       {n, mean, total(m2), total(m3), total(m4)});
        const Moments growth_log = merged({grown, sums.growth_log[0], sums.growth_log[1], 0.0, 0.0},
                                          {n, mean_change, total(change2), 0.0, 0.0});
        sums = {sums.alive + TILE,
                sums.startless,
                sums.startless_alive,
                growth.unit,
                {moments.mean, moments.m2, moments.m3, moments.m4},
                {growth_log.mean, growth_log.m2},
                {growth.sum + total(growths), growth.sum2 + total(squares)}};
    }
};

RESMC_FN void add_whole_activity(const Network& net, const float* asymmetries, const uint32_t* active,
                                 ActivitySums& sums) {
    const double half = 0.5 * net.width;
    LongIntRegister counted{};
    IntRegister inactive{};
    DoubleRegister asymmetry{}, asymmetry2{}, deviation2{};
    for (int t = 0; t < TILE; t += REGISTER_LANES) inactive -= load_register<IntRegister>(active + t) == 0;
    for (int t = 0; t < TILE; t += DOUBLE_LANES) {
        const DoubleRegister a = load_floats(asymmetries + t);
        asymmetry += a;
        asymmetry2 = register_fma(a, a, asymmetry2);
        const HalfIntRegister n = load_register<HalfIntRegister>(active + t);
        counted += widened(n);
        const DoubleRegister deviation = load_ints(reinterpret_cast<const int32_t*>(active) + t) - half;
        deviation2 = register_fma(deviation, deviation, deviation2);
    }
    for (int i = 0; i < REGISTER_LANES; ++i) sums.inactive += inactive[i];
    for (int i = 0; i < DOUBLE_LANES; ++i) sums.active += counted[i];
    sums.active_square += total(deviation2);
    sums.asymmetry += total(asymmetry);
    sums.asymmetry_square += total(asymmetry2);
}

// SIDE_BY_SIDE layers from `slot` on.
RESMC_OUTLINE_FN void reduce_whole(const Network& net, const Records& records, const WholeStart& start, uint32_t slot,
                                   const Statistics& s) {
    WholeLayer layers[SIDE_BY_SIDE];
    for (uint32_t i = 0; i < SIDE_BY_SIDE; ++i) layers[i].read(records, start, (slot + i) * size_t{TILE});
    if (s.activity != nullptr)
        for (size_t at = slot; at < slot + SIDE_BY_SIDE; ++at)
            add_whole_activity(net, records.asymmetry + at * TILE, records.active + at * TILE, s.activity[at]);
    for (uint32_t i = 0; i < SIDE_BY_SIDE; ++i) layers[i].add(start, s.norms[slot + i]);
}

RESMC_NAMESPACE_END
