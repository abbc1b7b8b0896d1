// Entries of one network's matrices as an array, and sums of arrays of them: what weights that depend on each other in
// depth are made of. A pack's slots are quads, or columns, of the same network.
#pragma once

#include "../include/resmc/dense.hpp"
#include "backend.hpp"
#include "pack.hpp"

RESMC_NAMESPACE_BEGIN

// Entries to[0 .. 4 n - 1] of n quads in the slots of g: entry 4 i + k is slot i of g[k].
template <int N>
RESMC_FN void store_quads(const Real (&g)[N], uint32_t n, float* to) {
    float by_place[N][LANES];
    for (int k = 0; k < N; ++k) store(by_place[k], g[k]);
    if (n >= LANES) {
        for (int i = 0; i < LANES; ++i)
            for (int k = 0; k < N; ++k) to[N * i + k] = by_place[k][i];
    } else {
        for (uint32_t i = 0; i < n; ++i)
            for (uint32_t k = 0; k < N; ++k) to[N * i + k] = by_place[k][i];
    }
}

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
            store_quads(g, n_quads - begin, row + static_cast<size_t>(begin) * 4);
        }
    }
}

// Waves of the frequencies 0 .. n_waves - 1 of a stream, complex numbers out[n_waves][4 n_quads][2]: normals of quads
// real .. real + n_quads - 1 and imaginary .. imaginary + n_quads - 1, times amplitudes[n_waves][2].
static void waves(uint64_t seed, uint32_t stream, uint64_t network, const float* amplitudes, uint32_t n_waves,
                  uint32_t real, uint32_t imaginary, uint32_t n_quads, float* out) {
    const PhiloxKeys keys = philox_keys(seed);
    const Wide word2 = widen(Word(static_cast<uint32_t>(network)));
    for (uint32_t l = 0; l < n_waves; ++l) {
        const auto prefix = philox_prefix(keys, counter_word1(stream, l), word2, counter_word3(network, 0));
        const Real factors[2] = {Real(amplitudes[2 * l]), Real(amplitudes[2 * l + 1])};
        float* const row = out + static_cast<size_t>(l) * n_quads * 8;
        for (uint32_t begin = 0; begin < n_quads; begin += LANES) {
            Real both[8];
            for (int part = 0; part < 2; ++part) {
                Word w[4];
                Real g[4];
                quad_words(keys, prefix, counting_from((part == 0 ? real : imaginary) + begin), w);
                GaussianWeights{}(w, g);
                for (int k = 0; k < 4; ++k) both[2 * k + part] = factors[part] * g[k];
            }
            store_quads(both, n_quads - begin, row + static_cast<size_t>(begin) * 8);
        }
    }
}

#ifdef __AVX512F__
constexpr int COMBINED_ROWS = 8;  // at a time: their sums fill the registers
#else
constexpr int COMBINED_ROWS = 4;
#endif
constexpr size_t COMBINED_TERMS = 256;  // of a pack of columns, which are put side by side first

// The n floats at `from`, and zeros behind them.
RESMC_FN Real load_some(const float* from, size_t n) {
    Real x(0.0f);
    __builtin_memcpy(x.v, from, n * sizeof(float));
    return x;
}

// Adds N rows of coefficients times the terms of a pack of columns to `out`, or puts them there.
template <int N>
RESMC_FN void combine_rows(const float* coefficients, size_t stride, const Real* x, size_t terms, bool add, float* out,
                           size_t out_stride, size_t n) {
    Real sum[N];
    for (int i = 0; i < N; ++i) sum[i] = add ? load_some(out + static_cast<size_t>(i) * out_stride, n) : Real(0.0f);
    for (size_t t = 0; t < terms; ++t)
        for (int i = 0; i < N; ++i) sum[i] = fma(Real(coefficients[static_cast<size_t>(i) * stride + t]), x[t], sum[i]);
    for (int i = 0; i < N; ++i)
        __builtin_memcpy(out + static_cast<size_t>(i) * out_stride, sum[i].v, n * sizeof(float));
}

// out[rows][columns] = coefficients[rows][terms] x[terms][columns]; rows of x are `stride` floats apart, those of out
// `out_stride`. Terms are summed in their order, so that an element's bits depend on its row of coefficients and its
// column of x alone.
static void combine(const float* coefficients, size_t rows, size_t terms, const float* x, size_t stride, float* out,
                    size_t out_stride, size_t columns) {
    Real side_by_side[COMBINED_TERMS];
    for (size_t column = 0; column < columns; column += LANES) {
        const size_t n = columns - column < LANES ? columns - column : LANES;
        for (size_t first = 0; first < terms || first == 0; first += COMBINED_TERMS) {
            const size_t some = terms - first < COMBINED_TERMS ? terms - first : COMBINED_TERMS;
            for (size_t t = 0; t < some; ++t) side_by_side[t] = load_some(x + (first + t) * stride + column, n);
            for (size_t row = 0; row < rows;) {
                const float* const from = coefficients + row * terms + first;
                float* const to = out + row * out_stride + column;
                if (row + COMBINED_ROWS <= rows) {
                    combine_rows<COMBINED_ROWS>(from, terms, side_by_side, some, first > 0, to, out_stride, n);
                    row += COMBINED_ROWS;
                } else {
                    combine_rows<1>(from, terms, side_by_side, some, first > 0, to, out_stride, n);
                    ++row;
                }
            }
        }
    }
}

RESMC_NAMESPACE_END
