// Entries of one network's matrices as an array, and sums of arrays of them: what weights that depend on each other in
// depth are made of. A pack's slots are quads, or columns, of the same network.
#pragma once

#include "../include/resmc/dense.hpp"
#include "backend.hpp"
#include "pack.hpp"

RESMC_NAMESPACE_BEGIN

// Layers layer .. layer + n_layers - 1 of a stream, quads first_quad .. first_quad + n_quads - 1 of each:
// out[n_layers][4 n_quads]. These are the entries that the dense method draws one by one.
static void entries(WeightLaw law, uint64_t seed, uint32_t stream, uint64_t network, uint32_t layer, uint32_t n_layers,
                    uint32_t first_quad, uint32_t n_quads, float* out) {
    const PhiloxKeys keys = philox_keys(seed);
    const Wide word2 = widen(Word(static_cast<uint32_t>(network)));
    const WeightsOfLaw weights{law};
    for (uint32_t l = 0; l < n_layers; ++l) {
        const auto prefix = philox_prefix(keys, counter_word1(stream, layer + l), word2, counter_word3(network, 0));
        float* const row = out + static_cast<size_t>(l) * n_quads * 4;
        for (uint32_t begin = 0; begin < n_quads; begin += LANES) {
            Word w[4];
            Real g[4];
            quad_words(keys, prefix, counting_from(first_quad + begin), w);
            weights(w, g);
            float by_place[4][LANES];
            for (int k = 0; k < 4; ++k) store(by_place[k], g[k]);
            float* const to = row + static_cast<size_t>(begin) * 4;
            if (n_quads - begin >= LANES) {
                for (int i = 0; i < LANES; ++i)
                    for (int k = 0; k < 4; ++k) to[4 * i + k] = by_place[k][i];
            } else {
                for (uint32_t i = 0; i < n_quads - begin; ++i)
                    for (int k = 0; k < 4; ++k) to[4 * i + static_cast<uint32_t>(k)] = by_place[k][i];
            }
        }
    }
}

// The n columns of `from` from `column` on, and zeros behind them.
RESMC_FN Real load_columns(const float* from, size_t n) {
    Real x(0.0f);
    __builtin_memcpy(x.v, from, n * sizeof(float));
    return x;
}

// rows of out = their coefficients times x, for N rows and one pack of columns. Terms are summed in their order, so
// that an element's bits depend on its row of coefficients and its column of x alone.
template <int N, bool whole>
RESMC_FN void combine_rows(const float* coefficients, size_t terms, const float* x, size_t stride, float* out,
                           size_t out_stride, size_t n) {
    Real sum[N];
    for (int i = 0; i < N; ++i) sum[i] = Real(0.0f);
    for (size_t t = 0; t < terms; ++t) {
        const Real value = load_columns(x + t * stride, whole ? LANES : n);
        RESMC_UNROLL(4)
        for (int i = 0; i < N; ++i) sum[i] = fma(Real(coefficients[static_cast<size_t>(i) * terms + t]), value, sum[i]);
    }
    for (int i = 0; i < N; ++i)
        __builtin_memcpy(out + static_cast<size_t>(i) * out_stride, sum[i].v, (whole ? LANES : n) * sizeof(float));
}

template <bool whole>
static void combine_columns(const float* coefficients, size_t rows, size_t terms, const float* x, size_t stride,
                            float* out, size_t out_stride, size_t n) {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4)
        combine_rows<4, whole>(coefficients + row * terms, terms, x, stride, out + row * out_stride, out_stride, n);
    for (; row < rows; ++row)
        combine_rows<1, whole>(coefficients + row * terms, terms, x, stride, out + row * out_stride, out_stride, n);
}

// out[rows][columns] = coefficients[rows][terms] x[terms][columns]; rows of x are `stride` floats apart, those of out
// `out_stride`.
static void combine(const float* coefficients, size_t rows, size_t terms, const float* x, size_t stride, float* out,
                    size_t out_stride, size_t columns) {
    size_t column = 0;
    for (; column + LANES <= columns; column += LANES)
        combine_columns<true>(coefficients, rows, terms, x + column, stride, out + column, out_stride, LANES);
    if (column < columns)
        combine_columns<false>(coefficients, rows, terms, x + column, stride, out + column, out_stride,
                               columns - column);
}

RESMC_NAMESPACE_END
