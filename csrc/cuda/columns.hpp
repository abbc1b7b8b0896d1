// The body of the kernels of columns with weights that are handed in: one warp's part of a launch. A team has a column.
#pragma once

#include "../include/resmc/residual_given.hpp"
#include "residual.hpp"

RESMC_NAMESPACE_BEGIN

struct GpuSlots {
    Real factors;
    const float* first;  // h_0 of all columns, or null
    Word at;             // of this one's entry 0
    uint32_t columns;

    RESMC_KERNEL_FN Real factor() const { return factors; }
    RESMC_KERNEL_FN Real start(Word i, Real h) const {
        return first == nullptr ? h : gather(first, at + times(i, columns));
    }
};

template <Block block>
RESMC_KERNEL_FN void simulate_columns_warp(Warp& warp, const ColumnArguments& a, float* memory) {
    const SimulateArguments& launch = a.residual.run;
    const Residual& net = a.residual.residual;
    const Shape& shape = launch.shape;
    const Place place = place_of(warp, launch);
    if (!place.works) return;  // all warps of a team alike
    // Teams without a column go through the first one, and record nothing.
    const Word wanted = within(place.column, launch.begin, launch.end);
    const Word index = select_zero(wanted, Word(0u), place.column - launch.begin);
    const Word network = divided(index, a.columns), column = index - times(network, a.columns);

    const auto layers = [&](const GivenArray& array) -> GivenLayers<Word> {
        return {array.first, array.layer_stride, a.first_layer,
                times(network, static_cast<uint32_t>(array.network_stride))};
    };
    const GpuSlots slots{gather(a.factors, column), a.start, times(network, net.network.width * a.columns) + column,
                         a.columns};
    ResidualTeam team{{warp, launch, place.rank, place.reports}};
    MemoryVectors vectors = own_vectors(warp, shape, place, memory);
    const auto shared = [&](uint32_t which) { return shared_vector(warp, net, shape, place, memory, which); };
    ResidualRun<ResidualTeam, MemoryVectors, MemoryVector, GivenWeights<Word, GpuSlots>> run{
        net,
        launch.keys,
        team,
        vectors,
        {shared(0), shared(1), shared(2)},
        widen(network + static_cast<uint32_t>(launch.first)),
        counter_word3(launch.first, 0),
        {layers(a.outer), layers(a.inner), layers(a.bias), slots}};

    GpuResidualRecorder recorder{recorder_of(warp, launch, place), a.residual, launch.n_layers - 1, 0};
    uint32_t& slot = recorder.forward.slot;  // the first one to come, in either direction
    while (slot < launch.n_layers && launch.layers[slot] < a.from + (a.from > 0)) ++slot;
    recorder.forward.next = slot < launch.n_layers ? launch.layers[slot] : 0xFFFFFFFFu;
    while (recorder.back > 0 && launch.layers[recorder.back] >= a.to + (a.to == net.network.depth)) --recorder.back;
    recorder.next = launch.layers[recorder.back];
    if (a.backward)
        backward_from_rest<Dense<block>>(run, a.from, a.to, recorder);
    else
        forward_from_rest<Dense<block>>(run, a.from, a.to, recorder);
}

RESMC_NAMESPACE_END
