// The kernels of columns with weights that are handed in.
#include "launch.hpp"
//
#include "columns.hpp"
#include "shape.hpp"

RESMC_NAMESPACE_BEGIN

// A block has its own memory, from one launch to the next. Three times 128 threads on a multiprocessor leave each
// thread 168 registers; with the 128 of larger blocks some numbers would go through memory.
template <Block block>
__global__ void __launch_bounds__(3 * BLOCK_THREADS, 1)
    simulate_columns_kernel(const __grid_constant__ ColumnArguments a) {
    Warp warp = this_warp();
    const SimulateArguments& run = a.residual.run;
    simulate_columns_warp<block>(warp, a, run.workspace + run.shape.block_floats * blockIdx.x);
}

void launch_columns(const ColumnArguments& a, int device, uint64_t stream) {
    use(device, "columns");
    const SimulateArguments& run = a.residual.run;
    static_assert(MAX_RESIDUAL_THREADS <= 3 * BLOCK_THREADS);
    const auto kernel = with_block(a.residual.residual.block, [](auto one) -> void (*)(ColumnArguments) {
        return simulate_columns_kernel<decltype(one)::value>;
    });
    kernel<<<blocks_of(run), run.shape.block_threads, shared_bytes(run.shape), stream_of(stream)>>>(a);
    check(cudaGetLastError(), "columns");
}

RESMC_NAMESPACE_END
