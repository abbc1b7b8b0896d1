#define RESMC_TARGET scalar
#include "scalar_networks.hpp"

#include "scalar.hpp"

namespace resmc {

using scalar::simulate_scalar;
using Simulate = bool (*)(const Network&, uint64_t, uint64_t, size_t, float*, scalar::LayerRecord*, float*);
static constexpr Simulate SIMULATE[3][2] = {
    {simulate_scalar<scalar::Relu, METHOD_PROJECTED>, simulate_scalar<scalar::Relu, METHOD_DENSE>},
    {simulate_scalar<scalar::Balanced, METHOD_PROJECTED>, simulate_scalar<scalar::Balanced, METHOD_DENSE>},
    {simulate_scalar<scalar::BalancedHalf, METHOD_PROJECTED>, simulate_scalar<scalar::BalancedHalf, METHOD_DENSE>},
};

ScalarNetworks scalar_networks(const Network& net, Variant variant, Method method, uint64_t seed, uint64_t first,
                               size_t networks) {
    const size_t layers = static_cast<size_t>(net.depth) + 1;
    std::vector<float> workspace(scalar::workspace_floats(net));
    std::vector<scalar::LayerRecord> of_one(layers);
    ScalarNetworks all;
    for (std::vector<float>* floats : {&all.square, &all.active_square}) floats->resize(layers * networks);
    all.exponent.resize(layers * networks);
    all.active.resize(layers * networks);
    all.outputs.resize(networks * net.n_out);
    for (size_t i = 0; i < networks; ++i) {
        SIMULATE[variant][method](net, seed, first + i, 0, workspace.data(), of_one.data(),
                                  &all.outputs[i * net.n_out]);
        for (size_t l = 0; l < layers; ++l) {
            const size_t at = l * networks + i;
            all.square[at] = of_one[l].square;
            all.active_square[at] = of_one[l].active_square;
            all.exponent[at] = of_one[l].exponent;
            all.active[at] = of_one[l].active;
        }
    }
    return all;
}

void scalar_words(uint64_t seed, uint32_t word1, uint32_t word2, uint32_t word3, uint32_t quad, uint32_t (&words)[4]) {
    using namespace scalar;
    const PhiloxKeys keys = philox_keys(seed);
    const auto x = philox(keys, philox_prefix(keys, word1, widen(Word(word2)), word3), quad);
    const Wide wide[4] = {x.x0, x.x1, x.x2, x.x3};
    for (int k = 0; k < 4; ++k) words[k] = narrow(wide[k]).v;
}

void scalar_normals(const uint32_t (&words)[4], float (&normals)[4]) {
    using namespace scalar;
    Real g[4];
    box_muller(Word(words[0]), Word(words[1]), g[0], g[1]);
    box_muller(Word(words[2]), Word(words[3]), g[2], g[3]);
    for (int k = 0; k < 4; ++k) normals[k] = g[k].v;
}

}  // namespace resmc
