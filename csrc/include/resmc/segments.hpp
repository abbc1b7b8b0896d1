// What a residual network's simulation keeps of its layers, and how many layers it goes through.
#pragma once

#include "description.hpp"
#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// Vectors of a network, one after another in its memory. A vector has a quad more than its neurons take, which keeps
// what is known of it as a whole.
enum ResidualVector : uint32_t {
    VECTOR_CHANGE = 0,    // h_l - h_0
    VECTOR_GRADIENT = 1,  // p_l
    VECTOR_GRADIENT_CHANGE = 2,
    VECTOR_FRESH = 3,  // normals of the backward pass
    VECTOR_FIRST = 4,  // h_l of a segment, then the first ones of the segments before
};

RESMC_FN constexpr uint32_t segments(const Residual& net) {
    return (net.network.depth + net.segment - 1) / net.segment;
}
// Only with gradients more than one h is kept.
RESMC_FN constexpr uint32_t residual_vectors(const Residual& net) {
    if (!net.gradients) return VECTOR_FIRST + 1;
    return VECTOR_FIRST + net.segment + 1 + (segments(net) > 1 ? segments(net) - 1 : 0);
}
// Where the backward pass keeps normals of the neurons within a branch: behind all vectors, where these are more than a
// layer's. That takes what `inner_rounds` rounds of them take.
RESMC_FN constexpr bool inner_is_wider(const Residual& net) { return net.inner > net.network.width; }
RESMC_FN constexpr uint32_t inner_vector(const Residual& net) {
    return inner_is_wider(net) ? residual_vectors(net) : static_cast<uint32_t>(VECTOR_FRESH);
}
RESMC_FN constexpr uint64_t inner_rounds(const Residual& net, uint64_t rounds) {
    return net.gradients && inner_is_wider(net) ? rounds : 0;
}
// Layers that a simulation goes through, counted for a progress bar: forwards, backwards, and once more but for the
// last part.
RESMC_FN constexpr uint64_t residual_steps(const Residual& net) {
    const uint64_t depth = net.network.depth;
    if (!net.gradients) return depth;
    const uint64_t again = static_cast<uint64_t>(segments(net) - 1) * (net.segment - 1);
    return 2 * depth + again;
}

RESMC_NAMESPACE_END
