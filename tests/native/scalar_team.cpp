// The shared mathematics with one slot per word, on the host: what tests/test_build.py compares with resmc.reference.
//
//   scalar_team VARIANT METHOD WIDTH DEPTH N_OUT CARRY CARRY_MANTISSA CARRY_EXPONENT STEP READOUT SEED FIRST NETWORKS
//
// Prints per network a line per layer: |z|^2 |phi(z)|^2 exponent active, and one of the outputs.
#define RESMC_TARGET scalar
#include "scalar.hpp"

#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace resmc;
using namespace resmc::scalar;

namespace {

using Simulate = bool (*)(const Network&, uint64_t, uint64_t, size_t, float*, LayerRecord*, float*);
constexpr Simulate SIMULATE[3][2] = {
    {simulate_scalar<Relu, METHOD_PROJECTED>, simulate_scalar<Relu, METHOD_DENSE>},
    {simulate_scalar<Balanced, METHOD_PROJECTED>, simulate_scalar<Balanced, METHOD_DENSE>},
    {simulate_scalar<BalancedHalf, METHOD_PROJECTED>, simulate_scalar<BalancedHalf, METHOD_DENSE>},
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 14) {
        std::fprintf(stderr, "scalar_team: 13 arguments expected\n");
        return 2;
    }
    const auto integer = [&](int i) { return std::strtoull(argv[i], nullptr, 0); };
    const auto real = [&](int i) { return std::strtof(argv[i], nullptr); };
    const unsigned long long variant = integer(1), method = integer(2);
    if (variant > 2 || method > 1) return 2;
    Network net{};
    net.width = static_cast<uint32_t>(integer(3));
    net.depth = static_cast<uint32_t>(integer(4));
    net.n_out = static_cast<uint32_t>(integer(5));
    net.carry = real(6);
    net.carry_mantissa = real(7);
    net.carry_exponent = static_cast<int32_t>(std::strtol(argv[8], nullptr, 10));
    net.step = real(9);
    net.readout = real(10);
    const uint64_t seed = integer(11), first = integer(12);
    const size_t networks = integer(13), layers = static_cast<size_t>(net.depth) + 1;

    std::vector<float> workspace(networks * workspace_floats(net)), outputs(networks * net.n_out);
    std::vector<LayerRecord> records(networks * layers);
    for (size_t i = 0; i < networks; ++i)
        if (!SIMULATE[variant][method](net, seed, first, i, workspace.data(), records.data(), outputs.data())) return 1;
    for (size_t i = 0; i < networks; ++i) {
        for (size_t l = 0; l < layers; ++l) {
            const LayerRecord& r = records[i * layers + l];
            std::printf("%.9g %.9g %d %u\n", static_cast<double>(r.square), static_cast<double>(r.active_square),
                        r.exponent, r.active);
        }
        for (size_t k = 0; k < net.n_out; ++k) std::printf("%.9g ", static_cast<double>(outputs[i * net.n_out + k]));
        std::printf("\n");
    }
    return 0;
}
