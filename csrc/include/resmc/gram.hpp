// Gram matrices of a few vectors and their Cholesky factors, in double: small matrices with a slot per network.
//
// Triangles are packed by rows: (a, b), a >= b, has number a (a + 1)/2 + b. A target supplies `Double` beside Real and
// Word, with
//   + - * / on Double;  fma, sqrt;  select_below(x, bound, a, b) = a where x < bound, else b
//   to_double(x), to_double(w) of a Real and of a signed word;  to_single(x) back;  log(x)
//   power_of_two_double(w) = 2^w, 0 below 2^-1022;  exponent_of(x) = floor(log2 x) as a signed word, -1023 of 0
//   Double::parts registers v[part] make a Double, of which Double::widened(x, part) is that of a Real, and
//   Double::fused(a, b, c) is fma;  Double::tile^2 of them are summed in at a time
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

// Sums are added to one register of each at a time, in tiles of rows and columns: what a tile loads serves several
// sums, and these stay in registers. Terms of a sum are added in the order of the neurons, whatever stands beside it.

// x_i . y_j of one quad of columns, added to at(i, j); of a triangle for j <= i alone.
template <uint32_t rows, uint32_t columns, bool triangle, class Double, class Part, class At>
RESMC_FN void add_tile(const Part (*x)[4], const Part (*y)[4], At at) {
    Part sums[rows][columns];
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
    for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j) sums[i][j] = at(i, j);
    RESMC_UNROLL(4)
    for (uint32_t k = 0; k < 4; ++k) RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
    for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j)
        sums[i][j] = Double::fused(x[i][k], y[j][k], sums[i][j]);
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
    for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j) at(i, j) = sums[i][j];
}

// use(RowCount<1 .. tile>{}, first) for rows 0 .. n - 1, a tile of them at a time.
template <uint32_t n>
struct RowCount {
    static constexpr uint32_t value = n;
};
template <uint32_t tile, class Use>
RESMC_FN void each_tile(uint32_t n, Use use) {
    uint32_t first = 0;
    for (; first + tile <= n; first += tile) use(RowCount<tile>{}, first);
    if constexpr (tile > 3)
        if (n - first == 3) use(RowCount<3>{}, first);
    if constexpr (tile > 2)
        if (n - first == 2) use(RowCount<2>{}, first);
    if (n - first == 1) use(RowCount<1>{}, first);
}

template <class Double, uint32_t limit, class Real, class Part>
RESMC_FN void widen_columns(const Real (&x)[limit][4], uint32_t n, uint32_t part, Part (&wide)[limit][4]) {
    for (uint32_t a = 0; a < n; ++a)
        for (uint32_t k = 0; k < 4; ++k) wide[a][k] = Double::widened(x[a][k], part);
}

// x_i . x_j of some quads of columns, added to at(i, j) for rows and columns that begin at `a` and `b`; of a triangle
// for j <= i alone. Sums stay in registers for all these quads.
template <uint32_t rows, uint32_t columns, bool triangle, class Double, uint32_t limit, class Real, class At>
RESMC_FN void add_quads(const Real (*x)[limit][4], uint32_t quads, uint32_t a, uint32_t b, uint32_t part, At at) {
    using Part = typename Double::Part;
    Part sums[rows][columns];
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
    for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j) sums[i][j] = at(i, j);
    for (uint32_t quad = 0; quad < quads; ++quad) RESMC_UNROLL(4)
    for (uint32_t k = 0; k < 4; ++k) {
        Part own[rows], other[columns];
        RESMC_UNROLL(4)
        for (uint32_t i = 0; i < rows; ++i) own[i] = Double::widened(x[quad][a + i][k], part);
        RESMC_UNROLL(4)
        for (uint32_t j = 0; j < columns; ++j) other[j] = triangle ? own[j] : Double::widened(x[quad][b + j][k], part);
        RESMC_UNROLL(4)
        for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
        for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j)
            sums[i][j] = Double::fused(own[i], other[j], sums[i][j]);
    }
    RESMC_UNROLL(4)
    for (uint32_t i = 0; i < rows; ++i) RESMC_UNROLL(4)
    for (uint32_t j = 0; j < (triangle ? i + 1 : columns); ++j) at(i, j) = sums[i][j];
}

// x^T x of columns of some quads, added to `sums`: pairs a >= b.
template <uint32_t limit, class Real, class Double>
RESMC_OUTLINE_FN void add_many_to_gram(const Real (*x)[limit][4], uint32_t quads, uint32_t n,
                                       Double (&sums)[pairs_of(limit)]) {
    constexpr uint32_t tile = Double::tile;
    using Part = typename Double::Part;
    for (uint32_t part = 0; part < Double::parts; ++part)
        each_tile<tile>(n, [&](auto rows, uint32_t a) RESMC_LAMBDA {
            for (uint32_t b = 0; b < a; b += tile)
                add_quads<rows.value, tile, false, Double, limit>(x, quads, a, b, part,
                                                                  [&](uint32_t i, uint32_t j) RESMC_LAMBDA -> Part& {
                                                                      return sums[pair_index(a + i, b + j)].v[part];
                                                                  });
            add_quads<rows.value, rows.value, true, Double, limit>(
                x, quads, a, a, part,
                [&](uint32_t i, uint32_t j) RESMC_LAMBDA -> Part& { return sums[pair_index(a + i, a + j)].v[part]; });
        });
}
template <uint32_t limit, class Real, class Double>
RESMC_FN void add_grams(const Real (*x)[limit][4], uint32_t quads, uint32_t n, Double (&sums)[pairs_of(limit)]) {
    if constexpr (limit <= 2) {
        for (uint32_t k = 0; k < 4 * quads; ++k) {
            Double wide[limit];
            for (uint32_t a = 0; a < limit; ++a) {
                wide[a] = to_double(x[k / 4][a][k % 4]);
                for (uint32_t b = 0; b <= a; ++b)
                    sums[pair_index(a, b)] = fma(wide[a], wide[b], sums[pair_index(a, b)]);
            }
        }
    } else {
        add_many_to_gram<limit>(x, quads, n, sums);
    }
}
template <uint32_t limit, class Real, class Double>
RESMC_FN void add_gram(const Real (&x)[limit][4], uint32_t n, Double (&sums)[pairs_of(limit)]) {
    add_grams<limit>(&x, 1, n, sums);
}

// Its column 0 and its diagonal alone.
template <uint32_t limit, class Real, class Double>
RESMC_OUTLINE_FN void add_gram_edges(const Real (&x)[limit][4], uint32_t n, Double (&sums)[pairs_of(limit)]) {
    using Part = typename Double::Part;
    for (uint32_t part = 0; part < Double::parts; ++part) {
        Part first[4], square = sums[0].v[part];
        RESMC_UNROLL(4)
        for (uint32_t k = 0; k < 4; ++k) {
            first[k] = Double::widened(x[0][k], part);
            square = Double::fused(first[k], first[k], square);
        }
        sums[0].v[part] = square;
        for (uint32_t a = 1; a < n; ++a) {
            Part& along_first = sums[pair_index(a, 0)].v[part];
            Part& own_square = sums[pair_index(a, a)].v[part];
            Part along = along_first;
            square = own_square;
            RESMC_UNROLL(4)
            for (uint32_t k = 0; k < 4; ++k) {
                const Part wide = Double::widened(x[a][k], part);
                along = Double::fused(wide, first[k], along);
                square = Double::fused(wide, wide, square);
            }
            along_first = along;
            own_square = square;
        }
    }
}

// The same for all pairs (i, a) of columns of x and of y, in rows of `limit`.
template <uint32_t limit, class Real, class Double>
RESMC_OUTLINE_FN void add_products(const Real (&x)[limit][4], uint32_t n, const Real (&y)[limit][4], uint32_t m,
                                   Double (&sums)[limit][limit]) {
    constexpr uint32_t tile = limit < Double::tile ? limit : Double::tile;
    using Part = typename Double::Part;
    for (uint32_t part = 0; part < Double::parts; ++part) {
        Part own[limit][4], other[limit][4];
        widen_columns<Double>(x, n, part, own);
        widen_columns<Double>(y, m, part, other);
        each_tile<tile>(n, [&](auto rows, uint32_t i) RESMC_LAMBDA {
            const auto add = [&](auto columns, uint32_t a) RESMC_LAMBDA {
                add_tile<rows.value, columns.value, false, Double>(
                    own + i, other + a, [&](uint32_t row, uint32_t column) RESMC_LAMBDA -> Part& {
                        return sums[i + row][a + column].v[part];
                    });
            };
            uint32_t a = 0;
            for (; a + tile <= m; a += tile) add(RowCount<tile>{}, a);
            for (; a < m; ++a) add(RowCount<1>{}, a);
        });
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
