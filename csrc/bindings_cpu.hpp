// What the bindings of all runs on the CPU's threads have in common.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "cpu/run.hpp"
#include "interpreter.hpp"
#include "reader.hpp"

namespace resmc {

constexpr uint64_t END_OF_NETWORKS = uint64_t{1} << 48;

inline const Backend& find_backend(const std::string& name) {
    const auto found = backends();
    if (found.empty()) throw std::runtime_error("resmc was built for other processors: build it anew on this machine");
    if (name == "auto") return *found.front();
    for (const Backend* backend : found)
        if (name == backend->name) return *backend;
    throw std::invalid_argument("instruction set '" + name + "' is not available on this machine");
}

// The recorder goes through these as it goes through the network.
inline void check_layers(const py::array_t<uint32_t, py::array::c_style>& layers, uint32_t depth) {
    const uint32_t* const l = layers.data();
    const auto n = layers.size();
    bool rise = l[0] == 0 && l[n - 1] == depth;
    for (py::ssize_t i = 1; i < n; ++i) rise = rise && l[i - 1] < l[i];
    if (!rise) throw std::invalid_argument("layers must rise from 0 to the depth");
}

// Waits for the end, or until `progress` or a signal raises (signals do so in Python's main thread alone). The
// interpreter is released but for a look every 50 ms: several of its threads may be here at a time, each with a run of
// its own. The run's threads have ended when this returns or raises, and when Python ends the calling thread in here.
template <class AnyRun>
void attend(Released& released, AnyRun& run, const py::object& progress) {
    const auto ending = [&run] { run.stop(); };
    for (bool finished = false; !finished;) {
        finished = run.wait(0.05);
        const Taken taken(released, ending);
        const double fraction = finished ? 1.0 : run.fraction();
        // Both run code of Python's. By C functions: none of C++ may be between them and the catch in `unless_ended`.
        const bool well = unless_ended(
            [&] {
                if (PyErr_CheckSignals() != 0) return false;
                if (progress.is_none()) return true;
                PyObject* const answer = PyObject_CallFunction(progress.ptr(), "d", fraction);
                Py_XDECREF(answer);
                return answer != nullptr;
            },
            ending);
        if (!well) throw py::error_already_set();
    }
    run.finish();
}

inline const char* const QUOTIENT_NAMES[QUOTIENTS] = {"displacement", "gradient", "gradient_displacement"};

// Records by recorded layer, rows of `row` numbers.
inline Records records_of(Reader& r, const Residual& net, size_t n_layers, size_t row) {
    Records records{};
    const std::vector<size_t> shape = {n_layers, row};
    records.square = r.array<float>("square", shape);
    records.exponent = r.array<int32_t>("exponent", shape);
    records.asymmetry = r.array<float>("asymmetry", shape);
    records.active = r.array<uint32_t>("active", shape);
    if (r.has("output")) records.output = r.array<float>("output", {net.network.n_out, row});
    for (int q = 0; q < (net.gradients ? QUOTIENTS : 1); ++q) {
        const std::string name(QUOTIENT_NAMES[q]);
        records.quotients[q].square = r.array<float>((name + "_square").c_str(), shape);
        records.quotients[q].exponent = r.array<int32_t>((name + "_exponent").c_str(), shape);
    }
    if (net.gradients) records.overlap = r.array<float>("overlap", shape);
    return records;
}

}  // namespace resmc
