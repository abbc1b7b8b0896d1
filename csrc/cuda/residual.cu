// The kernels of any residual network, in a file of their own: they take as long to compile as all others.
#include "launch.hpp"
//
#include "shape.hpp"

RESMC_NAMESPACE_BEGIN

// As many blocks as there is memory for, each doing the work of several. Three times 128 threads on a multiprocessor
// leave each thread 168 registers; with the 128 of larger blocks some numbers would go through memory.
template <Block block, Method method>
__global__ void __launch_bounds__(3 * BLOCK_THREADS, 1)
    simulate_residual_kernel(const __grid_constant__ ResidualArguments a, uint32_t blocks) {
    Warp warp = this_warp();
    for (; warp.block_number < blocks; warp.block_number += gridDim.x) {
        simulate_residual_warp<block, method>(warp, a, a.run.workspace + a.run.shape.block_floats * blockIdx.x);
        __syncthreads();
    }
}

using ResidualKernel = void (*)(ResidualArguments, uint32_t);
template <Method method>
static ResidualKernel kernel_of(Block block) {
    return with_block(
        block, [](auto one) -> ResidualKernel { return simulate_residual_kernel<decltype(one)::value, method>; });
}

void launch_residual(const ResidualArguments& a, Method method, uint32_t blocks, int device, uint64_t stream) {
    use(device, "simulate");
    const Block block = a.residual.block;
    const ResidualKernel kernel =
        method == METHOD_DENSE ? kernel_of<METHOD_DENSE>(block) : kernel_of<METHOD_PROJECTED>(block);
    const uint32_t wanted = blocks_of(a.run), launched = blocks < wanted ? blocks : wanted;
    const size_t bytes = shared_bytes(a.run.shape);
    static_assert(MAX_RESIDUAL_THREADS <= 3 * BLOCK_THREADS);
    kernel<<<launched, a.run.shape.block_threads, bytes, stream_of(stream)>>>(a, wanted);
    check(cudaGetLastError(), "simulate");
}

RESMC_NAMESPACE_END
