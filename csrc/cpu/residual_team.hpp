// What a residual network's simulation asks of a CPU besides a team: its vectors, and records of the quotients.
#pragma once

#include "../include/resmc/residual_dense.hpp"
#include "team.hpp"

RESMC_NAMESPACE_BEGIN

struct CpuVectors {
    static constexpr bool in_memory = true;
    Real* first;
    size_t stride;  // of a vector: its neurons and one quad more
    RESMC_FN Real* at(uint32_t vector, uint32_t round) const { return first + vector * stride + 4 * round; }
    RESMC_FN void load(uint32_t vector, uint32_t round, Real (&x)[4]) const {
        const Real* const from = at(vector, round);
        for (uint32_t k = 0; k < 4; ++k) x[k] = from[k];
    }
    RESMC_FN void store(uint32_t vector, uint32_t round, const Real (&x)[4]) const {
        Real* const to = at(vector, round);
        for (uint32_t k = 0; k < 4; ++k) to[k] = x[k];
    }
};

// Records as CpuRecorder's, with those of the quotients; those of the backward pass from the last row up.
template <class Row>
struct CpuResidualRecorder {
    CpuRecorder<Row> forward;
    uint32_t back;  // the row that the backward pass fills next

    RESMC_FN void put(const Quotient& quotient, uint32_t slot, const Size<Real, Word>& size) const {
        forward.row.put(quotient.square, slot, size.square);
        forward.row.put(quotient.exponent, slot, size.exponent);
    }
    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent,
                        const Size<Real, Word>& change) {
        const uint32_t slot = forward.slot;
        if (l != forward.recording.layers[slot]) return;
        put(forward.records.quotients[QUOTIENT_DISPLACEMENT], slot, change);
        forward.layer(l, sums, exponent);
    }
    RESMC_FN void gradient(uint32_t l, const Gradient<Real, Word>& gradient, const Sums<Real, Word>& sums) {
        if (l != forward.recording.layers[back]) return;
        const Records& records = forward.records;
        put(records.quotients[QUOTIENT_GRADIENT], back, gradient.p);
        put(records.quotients[QUOTIENT_GRADIENT_DISPLACEMENT], back, gradient.change);
        const Real size = sqrt(gradient.p.square * sums.square);
        forward.row.put(records.overlap, back, select_zero(as_word(size), Real(0.0f), gradient.overlap / size));
        if (back > 0) --back;
    }
    RESMC_FN bool wants_output() const { return forward.wants_output(); }
    RESMC_FN void output(uint32_t k, const Real& value) { forward.output(k, value); }
};

RESMC_NAMESPACE_END
