// A pack of networks with several inputs each, on the CPU.
#pragma once

#include "../include/resmc/joint_dense.hpp"
#include "../include/resmc/joint_projected.hpp"
#include "single_kernel_pack.hpp"

RESMC_NAMESPACE_BEGIN

// Vectors by columns, one after another: change, the gradient's change, gradients, and VECTOR_FRESH, whose columns are
// normals of the inputs' gradients or what explicit weights make of all columns; then the layers, each with what is
// known of it behind its columns; then the vectors that a team sees as a whole, for explicit weights.
struct CpuJointVectors {
    Real* memory;
    size_t stride;  // of a column: its neurons and one quad more
    uint32_t inputs, columns;
    uint32_t kept;  // columns that a layer keeps: these, and maybe the factors of a batch norm
    bool gradients;

    RESMC_FN size_t ahead() const { return (gradients ? 2 + size_t{inputs} : 1) + columns; }
    RESMC_FN size_t pairs() const { return pairs_of(columns); }
    // Of a layer: its columns, their exponents, units of scales, scales, two Gram matrices and factors of a norm, these
    // of doubles.
    RESMC_FN size_t layer_reals() const { return kept * stride + 2 * columns + 2 * (2 * columns + 2 * pairs()); }
    // What stands before vector `which` of those that a team sees as a whole, which have two quads more.
    RESMC_FN size_t before_shared(uint32_t layers, uint32_t which) const {
        return ahead() * stride + layers * layer_reals() + which * (stride + 8);
    }

    RESMC_FN Real* layer(uint32_t vector) const {
        return memory + ahead() * stride + (vector - VECTOR_FIRST) * layer_reals();
    }
    RESMC_FN Real* column(uint32_t vector, uint32_t c) const {
        if (vector >= VECTOR_FIRST) return layer(vector) + c * stride;
        if (vector == VECTOR_CHANGE) return memory;
        if (vector == VECTOR_GRADIENT_CHANGE) return memory + stride;
        return memory + (vector == VECTOR_FRESH ? ahead() - columns + c : 2 + c) * stride;
    }
    RESMC_FN void load(uint32_t vector, uint32_t c, uint32_t round, Real (&x)[4]) const {
        const Real* const from = column(vector, c) + 4 * round;
        for (uint32_t k = 0; k < 4; ++k) x[k] = from[k];
    }
    RESMC_FN void store(uint32_t vector, uint32_t c, uint32_t round, const Real (&x)[4]) const {
        Real* const to = column(vector, c) + 4 * round;
        for (uint32_t k = 0; k < 4; ++k) to[k] = x[k];
    }
    RESMC_FN void load(uint32_t vector, uint32_t round, Real (&x)[4]) const { load(vector, 0, round, x); }
    RESMC_FN void store(uint32_t vector, uint32_t round, const Real (&x)[4]) const { store(vector, 0, round, x); }
    RESMC_FN Word* exponents(uint32_t vector) const { return reinterpret_cast<Word*>(layer(vector) + kept * stride); }
    RESMC_FN Word* scale_units(uint32_t vector) const { return exponents(vector) + columns; }
    RESMC_FN Double* scales(uint32_t vector) const {
        return reinterpret_cast<Double*>(layer(vector) + kept * stride + 2 * columns);
    }
    RESMC_FN Double* gram(uint32_t vector) const { return scales(vector) + columns; }
    RESMC_FN Double* active_gram(uint32_t vector) const { return gram(vector) + pairs(); }
    RESMC_FN Double* factors(uint32_t vector) const { return active_gram(vector) + pairs(); }
};

template <class Run>
struct CpuJointRecorder {
    CpuResidualRecorder<JointRow> first;
    const JointRecords& records;
    Run& run;

    RESMC_FN const JointRow& row() const { return first.forward.row; }
    RESMC_FN void put_pairs(double* record, uint32_t slot, const Double* x) const {
        const uint32_t pairs = pairs_of(run.inputs());
        for (uint32_t i = 0; i < pairs; ++i) row().put(record, size_t{slot} * pairs + i, x[i]);
    }
    RESMC_FN void put_units(int32_t* record, uint32_t slot, const Word& exponent, const Word* exponents) const {
        for (uint32_t a = 0; a < run.inputs(); ++a)
            row().put(record, size_t{slot} * run.inputs() + a, a == 0 ? exponent : exponents[a]);
    }

    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent,
                        const Size<Real, Word>& change) {
        const uint32_t slot = first.forward.slot;
        if (l != first.forward.recording.layers[slot]) return;
        put_pairs(records.gram, slot, run.vectors.gram(run.here));
        put_units(records.unit, slot, exponent, run.vectors.exponents(run.here));
        for (uint32_t a = 1; a < run.inputs(); ++a)
            row().put(records.log_scale, size_t{slot} * (run.inputs() - 1) + (a - 1), run.log_scale(run.here, a));
        if (run.tangents() > 0) {
            Double stretch[Run::limit];
            run.find_stretch(run.here, stretch);
            for (uint32_t j = 0; j < run.tangents(); ++j)
                row().put(records.log_stretch, size_t{slot} * run.tangents() + j, stretch[j]);
        }
        first.layer(l, sums, exponent, change);
        run.recorded = first.forward.recording.layers[first.forward.slot];
    }
    RESMC_FN void gradient(uint32_t l, const Gradient<Real, Word>& gradient, const Sums<Real, Word>& sums) {
        const uint32_t slot = first.back;
        if (l != first.forward.recording.layers[slot]) return;
        put_pairs(records.gradient_gram, slot, run.gradients.gram);
        if (!run.of_batch()) put_pairs(records.kernel, slot, run.gradients.kernel);
        put_units(records.gradient_unit, slot, gradient.p.exponent, run.gradients.exponents);
        first.gradient(l, gradient, sums);
    }
};

static CpuJointVectors joint_vectors(const Residual& net, const Joint& joint, void* memory) {
    const size_t stride = 4 * (CpuTeam::rounds(net.network.width) + size_t{1});
    const uint32_t columns = joint.inputs + joint.tangents;
    const bool keeps_factors = net.norm == NORM_BATCH && net.norm_after && net.gradients;
    return {static_cast<Real*>(memory), stride, joint.inputs, columns, columns + keeps_factors, net.gradients};
}

// Layers that have vectors.
static uint32_t joint_layers(const Residual& net) { return residual_vectors(net) - VECTOR_FIRST; }

size_t joint_workspace_bytes(const Residual& net, const Joint& joint) {
    const size_t bytes = sizeof(Real) * joint_vectors(net, joint, nullptr).before_shared(joint_layers(net), 3);
    return bytes < single_kernel_bytes(net) ? single_kernel_bytes(net) : bytes;
}

template <class Branch, uint32_t fixed>
static bool simulate_joint_networks(const Residual& net, const Joint& joint, uint64_t seed, uint64_t network,
                                    const JointRow& row, const Recording& recording, const JointRecords& records,
                                    void* workspace, const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuJointTeam team{{control}};
    CpuJointVectors vectors = joint_vectors(net, joint, workspace);
    const auto shared = [&](uint32_t which) {
        return CpuVector{vectors.memory + vectors.before_shared(joint_layers(net), which)};
    };
    using Run = JointRun<CpuJointTeam, CpuJointVectors, CpuVector, DrawnWeights, fixed>;
    Run run{{{net,
              keys,
              team,
              vectors,
              {shared(0), shared(1), shared(2)},
              widen(counting_from(static_cast<uint32_t>(network))),
              counter_word3(network, 0),
              {}},
             joint,
             recording.layers[0]},
            VECTOR_FIRST,
            {},
            {}};
    CpuJointRecorder<Run> recorder{{{recording, records.first, row, 0}, recording.n_layers - 1}, records, run};
    return simulate_joint<Branch>(run, recorder);
}

bool simulate_joint_pack(const Residual& net, const Joint& joint, Method method, uint64_t seed, uint64_t network,
                         int begin, int end, const Recording& recording, const JointRecords& records, size_t at,
                         void* workspace, const Control& control) {
    const JointRow row{records.row, at, begin, end};
    if (method == METHOD_PROJECTED && joint.tangents == 0 && joint.inputs == 1 && net.norm == NORM_NONE)
        return simulate_single_kernel(net, joint, seed, network, row, recording, records, workspace, control);
    return with_block(net.block, [&](auto block) {
        if (method == METHOD_DENSE)
            return simulate_joint_networks<JointDense<block.value>, 0>(net, joint, seed, network, row, recording,
                                                                       records, workspace, control);
        if (joint.tangents == 0 && joint.inputs == 2 && net.norm == NORM_NONE)
            return simulate_joint_networks<JointProjected<block.value>, 2>(net, joint, seed, network, row, recording,
                                                                           records, workspace, control);
        return simulate_joint_networks<JointProjected<block.value>, 0>(net, joint, seed, network, row, recording,
                                                                       records, workspace, control);
    });
}

RESMC_NAMESPACE_END
