// What kernels of several inputs ask of a CPU besides vectors: a team that sums doubles, and rows of records.
#pragma once

#include "double_pack.hpp"
#include "residual_team.hpp"

RESMC_NAMESPACE_BEGIN

struct CpuJointTeam : CpuTeam {
    using Double = RESMC_TARGET::Double;
    static RESMC_FN Double total(const Double& x) { return x; }
};

// Where a pack stands in records: some of its slots, in rows of any length.
struct JointRow {
    size_t length, first;  // of the first of these slots
    int begin, end;

    template <class T, class Pack>
    RESMC_FN void put(T* record, size_t row, const Pack& x) const {
        T values[LANES];
        static_assert(sizeof values == sizeof x.v);
        store(values, x);
        T* const to = record + row * length + first;
        for (int i = begin; i < end; ++i) to[i - begin] = values[i];
    }
};

RESMC_NAMESPACE_END
