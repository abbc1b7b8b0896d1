// Networks, words and normals from the scalar team of scalar.hpp, behind plain functions: a file of C++ has one
// RESMC_TARGET, and what is compared with these has another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../../csrc/include/resmc/description.hpp"

namespace resmc {

// Records are [layer][network], outputs [network][n_out].
struct ScalarNetworks {
    std::vector<float> square, active_square;
    std::vector<int32_t> exponent;
    std::vector<uint32_t> active;
    std::vector<float> outputs;
};

ScalarNetworks scalar_networks(const Network&, Variant, Method, uint64_t seed, uint64_t first, size_t networks);
void scalar_words(uint64_t seed, uint32_t word1, uint32_t word2, uint32_t word3, uint32_t quad, uint32_t (&words)[4]);
void scalar_normals(const uint32_t (&words)[4], float (&normals)[4]);

}  // namespace resmc
