// resmc's own launches of CUDA kernels, as nvcc has compiled them, over the runtime that stands for CUDA's: a Python
// module with the bindings of the real one. It holds machine.cpp, too.
#include "runtime.hpp"
//
#include <pybind11/pybind11.h>

#include "../../../csrc/bindings_cuda.hpp"

namespace py = pybind11;

PYBIND11_MODULE(resmc_ptx, m) {
    resmc::bind_kernels(m, resmc::cuda_kernels());
    // The extension's own exception, as the rest of resmc knows it.
    static const py::object kernel_error = py::module_::import("resmc._native").attr("KernelError");
    py::register_local_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const resmc::KernelError& e) {
            PyErr_SetString(kernel_error.ptr(), e.what());
        }
    });
}
