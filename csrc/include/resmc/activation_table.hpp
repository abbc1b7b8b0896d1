// An activation as a table: cubics between nodes, a straight line beyond the last one. resmc/models/activation_table.py
// makes it, and says how well it does.
//
// Nodes stand at |u| = m 2^k - 1, m = 1 .. 2 in 2^fine steps, k = 0 .. octaves - 1, on either side of 0: a cell is as
// wide as a 2^fine-th part of 1 + |u|, rounded to a power of two, so that the leading bits of 1 + |u| are its number. A
// kink cuts the cell that it is in. With d = |u| - (node below), the cell's four floats a give
//
//     sigma(u) = a0 + d q(d),   q(d) = a1 + d (a2 + d a3),   sigma'(u) = sign(u) (a1 + d (2 a2 + 3 d a3)).
//
// Targets have load_cells(cells, number, a): the four floats of cells whose numbers differ between networks.
#pragma once

#include "description.hpp"
#include "elementary.hpp"

RESMC_NAMESPACE_BEGIN

// Where u = c x is in a table: the distance to the node below, also in units of x, and the cell's floats.
template <class Real, class Word>
struct TableCell {
    Word number;  // of the cell, those below 0 after those above
    Real node;    // |u| at the node below
    Real d, in_units_of_x;
    Real a[4];
};

template <class Word>
RESMC_FN Word select_word(Word w, Word a, Word b) {  // a where w is negative, else b
    return as_word(select_negative(w, as_real(a), as_real(b)));
}

RESMC_FN uint32_t max_kinks(const Table& table) {
    return table.kinks_above > table.kinks_below ? table.kinks_above : table.kinks_below;
}

// How many kinks of x's side have been passed. At a kink the cell is that from below: nearer to 0 above 0, and farther
// away below. `side` is negative where x is above 0.
template <class Real, class Word>
RESMC_FN Word kinks_passed(const Table& table, Word side, Real size) {
    const Word one(1u), zero(0u);
    Word above = zero, below = zero;
    for (uint32_t k = 0; k < table.kinks_above; ++k)
        above = above + select_word(as_word(Real(table.at[k]) - size), one, zero);
    for (uint32_t k = 0; k < table.kinks_below; ++k)
        below = below + select_word(as_word(size - Real(table.at[MOST_KINKS + k])), zero, one);
    return select_word(side, above, below);
}

template <class Real>
RESMC_FN auto table_cell(const Table& table, Real c, Real inverse_c, Real x) {
    using Word = decltype(as_word(x));
    const int shift = 23 - static_cast<int>(table.fine);
    const uint32_t first = 127u << table.fine, last = table.octaves << table.fine;
    const Word side = as_word(Real(0.0f) - x);  // negative above 0
    const Real size = magnitude(c * x);
    const Word along = (as_word(size + Real(1.0f)) >> shift) - Word(first);
    const Word node = select_word(Word(last) - along, Word(last), along);
    TableCell<Real, Word> cell;
    cell.number =
        node + kinks_passed(table, side, size) + select_word(side, Word(0u), Word(last + 1u + table.kinks_above));
    cell.node = as_real((node + Word(first)) << shift) - Real(1.0f);
    cell.in_units_of_x = magnitude(x) - cell.node * inverse_c;
    // What is too small for a float, or slow where it is subnormal, is as good as 0 beside a1.
    cell.d = with_sign(max(magnitude(c * cell.in_units_of_x), Real(0x1p-50f)), cell.in_units_of_x);
    load_cells(table.at + TABLE_HEAD, cell.number, cell.a);
    return cell;
}

template <class Real, class Word>
RESMC_FN Real secant_of_cell(const TableCell<Real, Word>& cell) {
    return fma(cell.d, fma(cell.d, cell.a[3], cell.a[2]), cell.a[1]);
}

template <class Real>
RESMC_FN void activate_table(const Table& table, Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const auto cell = table_cell(table, c, inverse_c, x);
    value = fma(cell.in_units_of_x, secant_of_cell(cell), cell.a[0] * inverse_c);
    const Real bend = fma(Real(3.0f) * cell.d, cell.a[3], Real(2.0f) * cell.a[2]);
    const Real outward = fma(cell.d, bend, cell.a[1]);
    slope = select_positive(x, outward, Real(0.0f) - outward);
}

RESMC_NAMESPACE_END
