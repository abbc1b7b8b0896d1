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
    VECTOR_FRESH = 3,  // normals of the backward pass; what a branch gives, or gives back, before N acts on it
    VECTOR_FIRST = 4,  // h_l of a segment, then the first ones of the segments before
};

RESMC_FN constexpr uint32_t segments(const Residual& net) {
    return (net.network.depth + net.segment - 1) / net.segment;
}
// What p has become behind the N of a branch: after all h, and there only if it is needed.
RESMC_FN constexpr uint32_t pulled_vector(const Residual& net) {
    return VECTOR_FIRST + net.segment + 1 + (segments(net) > 1 ? segments(net) - 1 : 0);
}
// Only with gradients more than one h is kept.
RESMC_FN constexpr uint32_t residual_vectors(const Residual& net) {
    if (!net.gradients) return VECTOR_FIRST + 1;
    return pulled_vector(net) + (net.norm_branch ? 1 : 0);
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
// Networks whose layers CPUs have passes of their own for (residual_plain.hpp).
RESMC_FN constexpr bool is_plain(const Residual& net) {
    return !net.norm_before && !net.norm_branch && !net.norm_after && net.kept_below == 0 &&
           net.weight_law != WEIGHTS_ORTHOGONAL && net.widths == nullptr;
}
// Vectors that a layer's normals take one after another, and those of the neurons within its branch.
RESMC_FN constexpr uint32_t quads_of(uint32_t neurons) { return neurons / 4 + (neurons % 4 > 0); }
RESMC_FN constexpr uint32_t inner_vectors(const Residual& net) {
    return quads_of(net.inner) / (quads_of(net.network.width) + 1) + 1;
}
RESMC_FN constexpr uint32_t normals_of_layer(const Residual& net) {
    return net.block == BLOCK_V_PHI_W ? 1 + inner_vectors(net) : 1;
}
// Whether the normals that have made a segment's layers are kept beside them: where they are so few that a cache of a
// processor may hold them, for to load them from there takes less time than to draw them again.
constexpr uint64_t KEPT_NORMALS = 1 << 16;  // of a network: 8 MiB for a pack of 32 of them
RESMC_FN constexpr bool keeps_normals(const Residual& net) {
    return net.gradients && is_plain(net) &&
           uint64_t{net.segment} * normals_of_layer(net) * (uint64_t{net.network.width} + 4) <= KEPT_NORMALS;
}
// The first one of those that have made of the layer in vector `at` the next one: behind everything else.
RESMC_FN constexpr uint32_t normals_vector(const Residual& net, uint32_t at) {
    return residual_vectors(net) + (inner_is_wider(net) ? inner_vectors(net) : 0) +
           (at - VECTOR_FIRST) * normals_of_layer(net);
}
RESMC_FN constexpr uint32_t vectors_with_normals(const Residual& net) {
    return normals_vector(net, VECTOR_FIRST + (keeps_normals(net) ? net.segment : 0));
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
