// How columns but the first go from one layer to the next: coefficients, units, and scales (levels.hpp).
#pragma once

#include "levels.hpp"
#include "network.hpp"

RESMC_NAMESPACE_BEGIN

// How far the units go so that a square lies in [1, 4); a square of 0 keeps its units.
template <class Double>
RESMC_FN auto half_exponent(const Double& square) {
    const auto e = exponent_of(square);
    using Word = decltype(exponent_of(square));
    return select_zero(e + 1023u, Word(0u), sar(e, 1));
}

// c_a' = carry_a c_a - first_carry_a c_0 + the branch's column a, in new units: what `mix` makes of normals, or of
// columns y that are there mix_aa y_a - first_mix_a y_0.
template <class Real, uint32_t limit>
struct ColumnSteps {
    Real carry[limit], first_carry[limit], first_mix[limit], mix[pairs_of(limit)];
};

// Puts a factor into the scale of input a.
template <class Run, class Double>
RESMC_FN void take_scale(const Run& run, const Double& rho, uint32_t a, uint32_t at, uint32_t to) {
    const Double scale = run.vectors.scales(at)[a] * rho;
    using Word = typename Run::Word;
    const Word unit = exponent_of(scale);
    run.vectors.scales(to)[a] = scale * power_of_two_double(Word(0u) - unit);
    run.vectors.scale_units(to)[a] = run.vectors.scale_units(at)[a] + unit;
}

// `met`: the factor of what the branch's last matrix meets, if its columns are to be made of normals; null: they are
// there. `exponent` is the unit of column 0 in vector `at`, whose next units are chosen as forward_step does for it,
// and `size` multiplies its step as there.
template <Block block, class Run, class Real, class Word, uint32_t limit>
RESMC_OUTLINE_FN void find_steps(const Run& run, const Real& step, const Real& size, const typename Run::Factor* met,
                                 const Word& exponent, uint32_t at, uint32_t to, ColumnSteps<Real, limit>& steps) {
    using Double = typename Run::Double;
    const Network& net = run.net.network;
    const Double* const gram = run.vectors.gram(at);
    for (uint32_t a = 1; a < run.columns(); ++a) {
        auto level = no_level<Double>();
        const Word own = run.vectors.exponents(at)[a];
        if (a < run.inputs()) {
            if (run.levels())
                level = find_level(gram[0], gram[pair_index(a, 0)], gram[pair_index(a, a)], own - exponent,
                                   net.carry_mantissa != 0.0f);
            take_scale(run, level.rho, a, at, to);
        }
        const Word shift = half_exponent(gram[pair_index(a, a)]);
        Word branch(1u);  // 0 where the branch has nothing, and carry alone counts
        if constexpr (block == BLOCK_PHI_IN) {
            const Double* const active = run.vectors.active_gram(at);
            branch = exponent_of(active[pair_index(a, a)] + level.first * level.first * active[0]) + 1023u;
        }
        const Double scale = power_of_two_double(Word(0u) - shift), times = to_double(step) * scale;
        const Real carry = select_zero(branch, Real(net.carry_mantissa), Real(net.carry));
        steps.carry[a] = carry * to_single(level.own * scale);
        steps.first_carry[a] = carry * to_single(level.first * scale);
        run.vectors.exponents(to)[a] =
            own + shift + select_zero(branch, Word(static_cast<uint32_t>(net.carry_exponent)), Word(0u));
        if (met == nullptr) {
            steps.mix[pair_index(a, a)] = to_single(times * level.own);
            steps.first_mix[a] = to_single(times * level.first);
            continue;
        }
        for (uint32_t j = 0; j <= a; ++j) {
            Double entry = level.own * (*met)(a, j);
            if (j == 0) entry = entry - level.first * to_double(size);
            steps.mix[pair_index(a, j)] = to_single(times * entry);
        }
    }
}

// x = start_a + sum over j <= a of mix_aj g_j for some rows a of a lower triangle: start(a, x), then use(a, x).
template <uint32_t rows, class Real, uint32_t limit, uint32_t pairs, class Start, class Use>
RESMC_FN void combine_rows(const Real (&mix)[pairs], uint32_t a, const Real (&g)[limit][4], Start start, Use use) {
    Real sum[rows][4];
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) start(a + i, sum[i]);
    const auto add = [&](uint32_t i, uint32_t j) RESMC_LAMBDA {
        RESMC_UNROLL(4)
        for (uint32_t k = 0; k < 4; ++k) sum[i][k] = fma(mix[pair_index(a + i, j)], g[j][k], sum[i][k]);
    };
    for (uint32_t j = 0; j <= a; ++j) RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) add(i, j);
    if constexpr (rows > 1) add(1, a + 1);
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) use(a + i, sum[i]);
}
// The same for rows 1 .. n - 1. Where there are registers for two, a column of g that is loaded serves both.
template <class Double, class Real, uint32_t limit, uint32_t pairs, class Start, class Use>
RESMC_FN void each_combination(const Real (&mix)[pairs], uint32_t n, const Real (&g)[limit][4], Start start, Use use) {
    constexpr uint32_t rows = limit > 2 && Double::tile > 2 ? 2 : 1;
    uint32_t a = 1;
    for (; a + rows <= n; a += rows) combine_rows<rows>(mix, a, g, start, use);
    if constexpr (rows > 1)
        if (a < n) combine_rows<1>(mix, a, g, start, use);
}
// x_1 .. x_{n - 1} of those rows of g.
template <class Double, class Real, uint32_t limit, uint32_t pairs>
RESMC_FN void combine_inline(const Real (&mix)[pairs], uint32_t n, const Real (&g)[limit][4], Real (&x)[limit][4]) {
    const auto zero = [](uint32_t, Real(&row)[4]) RESMC_LAMBDA {
        for (uint32_t k = 0; k < 4; ++k) row[k] = Real(0.0f);
    };
    const auto put = [&](uint32_t a, const Real(&row)[4]) RESMC_LAMBDA {
        for (uint32_t k = 0; k < 4; ++k) x[a][k] = row[k];
    };
    each_combination<Double>(mix, n, g, zero, put);
}
template <class Double, class Real, uint32_t limit, uint32_t pairs>
RESMC_OUTLINE_FN void combine_outlined(const Real (&mix)[pairs], uint32_t n, const Real (&g)[limit][4],
                                       Real (&x)[limit][4]) {
    combine_inline<Double>(mix, n, g, x);
}

RESMC_NAMESPACE_END
