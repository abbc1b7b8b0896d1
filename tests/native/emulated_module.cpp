// The emulated GPU as a Python module, with the bindings of the real one: what tests/emulated.py builds.
#define RESMC_TARGET emulated
#define RESMC_FIBERS
#include "emulated_kernels.hpp"
//
#include "../../csrc/bindings_cuda.hpp"

PYBIND11_MODULE(resmc_emulated, m) {
    resmc::bind_kernels(m, resmc::emulated_kernels());
    m.def("looks", [] { return resmc::RESMC_TARGET::Warp::looks; });
}
