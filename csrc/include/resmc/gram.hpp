// Gram matrices of a few vectors and their Cholesky factors, in double: small matrices with a slot per network.
//
// Triangles are packed by rows: (a, b), a >= b, has number a (a + 1)/2 + b. A target supplies `Double` beside Real and
// Word, with
//   + - * / on Double;  fma, sqrt;  select_below(x, bound, a, b) = a where x < bound, else b
//   to_double(x), to_double(w) of a Real and of a signed word;  to_single(x) back;  log(x)
//   power_of_two_double(w) = 2^w, 0 below 2^-1022;  exponent_of(x) = floor(log2 x) as a signed word, -1023 of 0
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

constexpr uint32_t MAX_COLUMNS = 16;

RESMC_FN constexpr uint32_t pairs_of(uint32_t n) { return n * (n + 1) / 2; }
RESMC_FN constexpr uint32_t pair_index(uint32_t a, uint32_t b) { return pairs_of(a) + b; }

// Of a Gram matrix whose diagonal is 1: below this pivot, a vector is a combination of those before it. What rounding
// leaves of one that is exactly that is the square of what its entries were rounded by, or some 2^-52 over a pivot
// before it for what it has along that one.
constexpr double SMALLEST_PIVOT = 1e-12, PIVOT_ROUNDING = 1e-14;

// x^T y of columns of one quad, added to `sums`: pairs a >= b of the columns of x with themselves.
template <uint32_t limit, class Real, class Double>
RESMC_OUTLINE_FN void add_many_to_gram(const Real (&x)[limit][4], uint32_t n, Double (&sums)[pairs_of(limit)]) {
    Double wide[limit][4];
    for (uint32_t a = 0; a < n; ++a) {
        for (uint32_t k = 0; k < 4; ++k) wide[a][k] = to_double(x[a][k]);
        for (uint32_t b = 0; b <= a; ++b) {
            Double sum = sums[pair_index(a, b)];
            for (uint32_t k = 0; k < 4; ++k) sum = fma(wide[a][k], wide[b][k], sum);
            sums[pair_index(a, b)] = sum;
        }
    }
}
template <uint32_t limit, class Real, class Double>
RESMC_FN void add_gram(const Real (&x)[limit][4], uint32_t n, Double (&sums)[pairs_of(limit)]) {
    if constexpr (limit <= 2) {
        for (uint32_t k = 0; k < 4; ++k) {
            Double wide[limit];
            for (uint32_t a = 0; a < limit; ++a) {
                wide[a] = to_double(x[a][k]);
                for (uint32_t b = 0; b <= a; ++b)
                    sums[pair_index(a, b)] = fma(wide[a], wide[b], sums[pair_index(a, b)]);
            }
        }
    } else {
        add_many_to_gram(x, n, sums);
    }
}

// The same for all pairs (i, a) of columns of x and of y, in rows of `limit`.
template <uint32_t limit, class Real, class Double>
RESMC_OUTLINE_FN void add_products(const Real (&x)[limit][4], uint32_t n, const Real (&y)[limit][4], uint32_t m,
                                   Double (&sums)[limit][limit]) {
    Double wide[limit][4];
    for (uint32_t a = 0; a < m; ++a)
        for (uint32_t k = 0; k < 4; ++k) wide[a][k] = to_double(y[a][k]);
    for (uint32_t i = 0; i < n; ++i) {
        Double own[4];
        for (uint32_t k = 0; k < 4; ++k) own[k] = to_double(x[i][k]);
        for (uint32_t a = 0; a < m; ++a) {
            Double sum = sums[i][a];
            for (uint32_t k = 0; k < 4; ++k) sum = fma(own[k], wide[a][k], sum);
            sums[i][a] = sum;
        }
    }
}

// C with C C^T = G, lower triangular; a column whose pivot is too small is 0. inverse[a] = 1/C_aa, or 0.
template <class Double, uint32_t limit>
struct CholeskyFactor {
    Double c[pairs_of(limit)], inverse[limit];
    uint32_t n;

    RESMC_FN const Double& operator()(uint32_t a, uint32_t b) const { return c[pair_index(a, b)]; }

    // X <- C^-1 X and X <- C^-T X for the columns of X, in rows of `limit`. What belongs to a column of C that is 0
    // becomes 0.
    RESMC_FN void solve(Double (&x)[limit][limit], uint32_t columns) const {
        for (uint32_t i = 0; i < n; ++i)
            for (uint32_t a = 0; a < columns; ++a) {
                Double rest = x[i][a];
                for (uint32_t j = 0; j < i; ++j) rest = rest - (*this)(i, j) * x[j][a];
                x[i][a] = rest * inverse[i];
            }
    }
    RESMC_FN void solve_transposed(Double (&x)[limit][limit], uint32_t columns) const {
        for (uint32_t i = n; i-- > 0;)
            for (uint32_t a = 0; a < columns; ++a) {
                Double rest = x[i][a];
                for (uint32_t j = i + 1; j < n; ++j) rest = rest - (*this)(j, i) * x[j][a];
                x[i][a] = rest * inverse[i];
            }
    }
};

// Of the Gram matrix G of n vectors. Each is scaled to length 1 before pivots are looked at.
template <uint32_t limit, class Double>
RESMC_OUTLINE_FN void factorise(const Double* gram, uint32_t n, CholeskyFactor<Double, limit>& factor) {
    const Double zero(0.0), one(1.0);
    Double size[limit], shrink[limit];
    factor.n = n;
    for (uint32_t a = 0; a < n; ++a) {
        const Double square = gram[pair_index(a, a)];
        size[a] = sqrt(square);
        shrink[a] = select_below(square, 0x1p-1000, zero, one / size[a]);
    }
    for (uint32_t a = 0; a < n; ++a)
        for (uint32_t b = 0; b <= a; ++b) {
            Double rest = gram[pair_index(a, b)] * shrink[a] * shrink[b];
            for (uint32_t j = 0; j < b; ++j) rest = rest - factor.c[pair_index(a, j)] * factor.c[pair_index(b, j)];
            if (b < a) {
                factor.c[pair_index(a, b)] = rest * factor.inverse[b];
            } else {
                Double sure = rest;
                for (uint32_t j = 0; j < a; ++j) {
                    const Double part = factor.c[pair_index(a, j)] * factor.inverse[j];
                    sure = sure - Double(PIVOT_ROUNDING) * part * part;
                }
                const Double root = sqrt(select_below(sure, SMALLEST_PIVOT, one, rest));
                factor.c[pair_index(a, a)] = select_below(sure, SMALLEST_PIVOT, zero, root);
                factor.inverse[a] = select_below(sure, SMALLEST_PIVOT, zero, one / root);
            }
        }
    for (uint32_t a = 0; a < n; ++a) {
        for (uint32_t b = 0; b <= a; ++b) factor.c[pair_index(a, b)] = factor.c[pair_index(a, b)] * size[a];
        factor.inverse[a] = factor.inverse[a] * shrink[a];
    }
}

// Those of vectors first .. first + n - 1 of a larger matrix.
template <uint32_t limit, class Double>
RESMC_FN void factorise_part(const Double* gram, uint32_t first, uint32_t n, CholeskyFactor<Double, limit>& factor) {
    Double part[pairs_of(limit)];
    for (uint32_t a = 0; a < n; ++a)
        for (uint32_t b = 0; b <= a; ++b) part[pair_index(a, b)] = gram[pair_index(first + a, first + b)];
    factorise<limit>(part, n, factor);
}

RESMC_NAMESPACE_END
