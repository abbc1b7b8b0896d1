// A pack of networks with one input and its tangent kernel, on the CPU: as residual_tile.hpp has one without it.
#pragma once

#include "../include/resmc/single_kernel.hpp"
#include "joint_records.hpp"

RESMC_NAMESPACE_BEGIN

template <class Run>
struct CpuSingleKernelRecorder {
    CpuResidualRecorder<JointRow> first;
    const JointRecords& records;
    const Run& run;

    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent,
                        const Size<Real, Word>& change) {
        const uint32_t slot = first.forward.slot;
        if (l != first.forward.recording.layers[slot]) return;
        first.forward.row.put(records.gram, slot, to_double(sums.square));
        first.forward.row.put(records.unit, slot, exponent);
        first.layer(l, sums, exponent, change);
    }
    RESMC_FN void gradient(uint32_t l, const Gradient<Real, Word>& gradient, const Sums<Real, Word>& sums) {
        const uint32_t slot = first.back;
        if (l != first.forward.recording.layers[slot]) return;
        first.forward.row.put(records.gradient_gram, slot, to_double(gradient.p.square));
        first.forward.row.put(records.gradient_unit, slot, gradient.p.exponent);
        first.forward.row.put(records.kernel, slot, run.kernel);
        first.gradient(l, gradient, sums);
    }
    RESMC_FN bool wants_output() const { return false; }
    RESMC_FN void output(uint32_t, const Real&) {}
};

static size_t single_kernel_bytes(const Residual& net) {
    return sizeof(Real) * vectors_with_normals(net) * 4 * (CpuTeam::rounds(net.network.width) + size_t{1});
}

static bool simulate_single_kernel(const Residual& net, const Joint& joint, uint64_t seed, uint64_t network,
                                   const JointRow& row, const Recording& recording, const JointRecords& records,
                                   void* workspace, const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuJointTeam team{{control}};
    CpuVectors vectors{static_cast<Real*>(workspace), 4 * (CpuTeam::rounds(net.network.width) + size_t{1})};
    using Run = SingleKernelRun<CpuJointTeam, CpuVectors, CpuVector, DrawnWeights>;
    Run run{{net,
             keys,
             team,
             vectors,
             {},
             widen(counting_from(static_cast<uint32_t>(network))),
             counter_word3(network, 0),
             {}},
            joint.independent,
            Double(0.0)};
    CpuSingleKernelRecorder<Run> recorder{{{recording, records.first, row, 0}, recording.n_layers - 1}, records, run};
    return with_block(net.block, [&](auto block) { return simulate_residual<Projected<block.value>>(run, recorder); });
}

RESMC_NAMESPACE_END
