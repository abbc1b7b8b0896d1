// Compiled, never run: the shared mathematics is device code. One thread per network is the plainest kernel there is,
// not a fast one. See .ci/run for the flags; every warning is an error.
#define RESMC_TARGET cuda
#include "../../csrc/include/resmc/moments.hpp"
#include "../native/scalar.hpp"

namespace resmc::cuda {

template <class Activation, Method method>
__global__ void simulate(Network net, uint64_t seed, uint64_t first, size_t networks, float* workspace,
                         LayerRecord* layers, float* outputs) {
    const size_t index = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index < networks)
        simulate_scalar<Activation, method>(net, seed, first, index, networks, workspace, layers, outputs);
}

#define RESMC_INSTANTIATE(Activation, method)                                                                        \
    template __global__ void simulate<Activation, method>(Network, uint64_t, uint64_t, size_t, float*, LayerRecord*, \
                                                          float*);
RESMC_INSTANTIATE(Relu, METHOD_PROJECTED)
RESMC_INSTANTIATE(Balanced, METHOD_PROJECTED)
RESMC_INSTANTIATE(BalancedHalf, METHOD_PROJECTED)
RESMC_INSTANTIATE(Relu, METHOD_DENSE)
RESMC_INSTANTIATE(Balanced, METHOD_DENSE)
RESMC_INSTANTIATE(BalancedHalf, METHOD_DENSE)

__global__ void fold(Moments* moments, ScaledSums* sums) {
    moments[0] = merged(moments[0], moments[1]);
    sums[0] = added(sums[0], sums[1]);
}

}  // namespace resmc::cuda
