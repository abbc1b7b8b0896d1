// What Python sees of a GPU's kernels: launches over device pointers and streams, given as plain integers. Memory is
// torch's and is never touched here. Included by bindings.cpp and by the tests' emulation, and like the former it
// checks nothing that has been checked before.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "cuda/kernels.hpp"

namespace resmc {

namespace py = pybind11;

inline Network network_of(const py::dict& d) {
    Network net{};
    net.width = d["width"].cast<uint32_t>();
    net.depth = d["depth"].cast<uint32_t>();
    net.n_out = d["n_out"].cast<uint32_t>();
    net.carry = d["carry"].cast<float>();
    net.carry_mantissa = d["carry_mantissa"].cast<float>();
    net.carry_exponent = d["carry_exponent"].cast<int32_t>();
    net.step = d["step"].cast<float>();
    net.readout = d["readout"].cast<float>();
    if (net.width == 0) throw std::invalid_argument("width must be positive");
    return net;
}

// Steps and input stay in the caller's memory, at the addresses given: host memory for a CPU, a GPU's own for it.
inline Residual residual_of(const py::dict& d) {
    Residual r{};
    r.network = network_of(d);
    r.block = static_cast<Block>(d["block"].cast<int>());
    r.activation = d["activation"].cast<int>();
    r.law = static_cast<Law>(d["law"].cast<int>());
    r.grounded = d["grounded"].cast<bool>();
    r.homogeneous = d["homogeneous"].cast<bool>();
    r.inside = d["inside"].cast<bool>();
    r.gradients = d["gradients"].cast<bool>();
    r.keep = d["keep"].cast<float>();
    r.size = d["size"].cast<float>();
    r.bias = d["bias"].cast<float>();
    r.bias_square = d["bias_square"].cast<float>();
    r.segment = d["segment"].cast<uint32_t>();
    r.n_in = d["n_in"].cast<uint32_t>();
    if (r.segment == 0) throw std::invalid_argument("segment must be positive");
    return r;
}

// A null pointer where there is no such entry.
template <class T>
T* pointer_of(const py::dict& d, const char* name) {
    return d.contains(name) ? reinterpret_cast<T*>(d[name].cast<uintptr_t>()) : nullptr;
}

inline ChunkRecords records_of(const py::dict& p) {
    return {pointer_of<float>(p, "square"), pointer_of<float>(p, "active_square"), pointer_of<uint32_t>(p, "exponent"),
            pointer_of<uint32_t>(p, "active"), pointer_of<float>(p, "output")};
}

inline RatioRecords ratio_of(const py::dict& p, const std::string& name) {
    return {pointer_of<float>(p, (name + "_square").c_str()), pointer_of<uint32_t>(p, (name + "_exponent").c_str())};
}

class BoundKernels {
   public:
    BoundKernels(const Kernels& kernels) : kernels_(kernels) {}

    std::string architectures() const { return kernels_.architectures; }
    size_t layer_sums_bytes() const { return sizeof(LayerSums); }

    py::dict driver() const {
        const Driver d = kernels_.driver();
        py::dict out;
        out["driver"] = d.version;
        out["runtime"] = d.runtime;
        out["devices"] = d.devices;
        out["error"] = d.error;
        return out;
    }

    py::dict properties(int device) const {
        const DeviceProperties p = kernels_.properties(device);
        py::dict out;
        out["name"] = p.name;
        out["capability"] = py::make_tuple(p.major, p.minor);
        out["multiprocessors"] = p.multiprocessors;
        out["memory"] = p.memory;
        out["shared_block"] = p.limits.shared_block;
        out["shared_multiprocessor"] = p.limits.shared_multiprocessor;
        return out;
    }

    // threads and memory as shape() gave them, or -1 for the best.
    py::dict shape(const py::dict& network, int method, const py::dict& properties, int threads, int memory) const {
        const Shape s = shape_of(network, method, properties, threads, memory);
        py::dict out;
        out["threads"] = s.threads;
        out["rounds"] = s.rounds;
        out["memory"] = static_cast<int>(s.memory);
        out["block_threads"] = s.block_threads;
        out["block_networks"] = s.block_networks;
        out["block_floats"] = s.block_floats;
        return out;
    }

    void simulate(const py::dict& network, const py::dict& s, const py::dict& properties, const py::dict& shape,
                  const py::dict& p, int device, uint64_t stream) const {
        ResidualArguments residual{};
        SimulateArguments& a = residual.run;
        a.network = network_of(network);
        a.keys = philox_keys(s["seed"].cast<uint64_t>());
        a.first = s["first"].cast<uint64_t>();
        a.columns = s["columns"].cast<uint32_t>();
        a.begin = s["begin"].cast<uint32_t>();
        a.end = s["end"].cast<uint32_t>();
        a.layers = pointer_of<const uint32_t>(p, "layers");
        a.n_layers = s["n_layers"].cast<uint32_t>();
        a.records = records_of(p);
        a.output_begin = s["output_begin"].cast<uint32_t>();
        a.output_end = s["output_end"].cast<uint32_t>();
        const int method = s["method"].cast<int>();
        a.shape = shape_of(network, method, properties, shape["threads"].cast<int>(), shape["memory"].cast<int>());
        a.workspace = pointer_of<float>(p, "workspace");
        a.look_every = s["look_every"].cast<uint32_t>();
        a.look_every_row = s["look_every_row"].cast<uint32_t>();
        a.stop = pointer_of<const uint32_t>(p, "stop");
        a.progress = pointer_of<uint32_t>(p, "progress");
        const auto variant = static_cast<Variant>(s["variant"].cast<int>());
        const uint32_t blocks = s["blocks"].cast<uint32_t>();
        const bool is_residual = network.contains("block");
        if (is_residual) {
            residual.residual = residual_of(network);
            residual.residual.steps = pointer_of<const float>(p, "steps");
            residual.residual.input = pointer_of<const float>(p, "input");
            residual.ratios[RATIO_DISPLACEMENT] = ratio_of(p, "displacement");
            residual.ratios[RATIO_GRADIENT] = ratio_of(p, "gradient");
            residual.ratios[RATIO_GRADIENT_DISPLACEMENT] = ratio_of(p, "gradient_displacement");
            residual.overlap = pointer_of<float>(p, "overlap");
        }
        py::gil_scoped_release release;
        if (is_residual)
            return kernels_.simulate_residual(residual, static_cast<Method>(method), blocks, device, stream);
        kernels_.simulate(a, variant, static_cast<Method>(method), blocks, device, stream);
    }

    // Blocks of a chunk into the groups.
    void reduce(uint32_t width, const py::dict& s, const py::dict& p, int device, uint64_t stream) const {
        ReduceArguments a{};
        a.width = width;
        a.log_width = __builtin_log(static_cast<double>(width));
        a.first = s["first"].cast<uint64_t>();
        a.columns = s["columns"].cast<uint32_t>();
        a.begin = s["begin"].cast<uint32_t>();
        a.end = s["end"].cast<uint32_t>();
        a.block = s["block"].cast<uint32_t>();
        a.n_layers = s["n_layers"].cast<uint32_t>();
        a.records = records_of(p);
        a.start_square = p.contains("start_square") ? pointer_of<float>(p, "start_square") : a.records.square;
        a.start_exponent =
            p.contains("start_exponent") ? pointer_of<uint32_t>(p, "start_exponent") : a.records.exponent;
        a.bin_width = s["bin_width"].cast<double>();
        a.bin_low = s["bin_low"].cast<double>();
        a.n_bins = s["n_bins"].cast<uint32_t>();
        a.asymmetry = pointer_of<double>(p, "asymmetry");
        a.alive = pointer_of<double>(p, "alive");
        a.blocks = pointer_of<LayerSums>(p, "blocks");
        a.groups = pointer_of<LayerSums>(p, "groups");
        a.histogram = pointer_of<int64_t>(p, "histogram");
        py::gil_scoped_release release;
        kernels_.reduce(a, device, stream);
        kernels_.fold(a, device, stream);
    }

    // Samples and paths of columns begin ..
    void raw(uint32_t width, const py::dict& s, const py::dict& p, int device, uint64_t stream) const {
        RawArguments a{};
        a.log_width = __builtin_log(static_cast<double>(width));
        a.columns = s["columns"].cast<uint32_t>();
        a.begin = s["begin"].cast<uint32_t>();
        a.n_layers = s["n_layers"].cast<uint32_t>();
        a.records = records_of(p);
        a.samples = s["samples"].cast<uint32_t>();
        a.paths = s["paths"].cast<uint32_t>();
        a.sample_log_norm = pointer_of<double>(p, "sample_log_norm");
        a.sample_exponent = pointer_of<int32_t>(p, "sample_exponent");
        a.path_log_norm = pointer_of<double>(p, "path_log_norm");
        a.path_asymmetry = pointer_of<float>(p, "path_asymmetry");
        py::gil_scoped_release release;
        kernels_.raw(a, device, stream);
    }

    // A ratio, whose records are "square" and "exponent", of columns begin .. end - 1, and the paths of the first of
    // them.
    void ratio(uint32_t width, const py::dict& s, const py::dict& p, int device, uint64_t stream) const {
        RatioArguments a{};
        a.log_width = __builtin_log(static_cast<double>(width));
        a.columns = s["columns"].cast<uint32_t>();
        a.begin = s["begin"].cast<uint32_t>();
        a.end = s["end"].cast<uint32_t>();
        a.n_layers = s["n_layers"].cast<uint32_t>();
        a.slot = s["slot"].cast<uint32_t>();
        a.paths = s["paths"].cast<uint32_t>();
        a.records = {pointer_of<float>(p, "square"), pointer_of<uint32_t>(p, "exponent")};
        a.start_square = pointer_of<float>(p, "start_square");
        a.start_exponent = pointer_of<uint32_t>(p, "start_exponent");
        a.overlap = pointer_of<float>(p, "overlap");
        a.last = pointer_of<double>(p, "last");
        a.path = pointer_of<double>(p, "path");
        a.path_overlap = pointer_of<float>(p, "path_overlap");
        py::gil_scoped_release release;
        kernels_.ratio(a, device, stream);
    }

    void words(uint64_t seed, uint32_t stream_id, uint32_t layer, uint64_t network, uint32_t input, uint32_t quad,
               uintptr_t out, int device, uint64_t stream) const {
        const uint32_t word1 = stream_id << LAYER_BITS | layer, word2 = static_cast<uint32_t>(network);
        const uint32_t word3 = static_cast<uint32_t>(network >> 32) | input << 16;
        kernels_.words(seed, word1, word2, word3, quad, reinterpret_cast<uint32_t*>(out), device, stream);
    }

    void normals(uintptr_t words, uint32_t n, uintptr_t out, int device, uint64_t stream) const {
        kernels_.normals(reinterpret_cast<const uint32_t*>(words), n, reinterpret_cast<float*>(out), device, stream);
    }

    // The generator alone, by teams of threads; sums: one float per thread.
    void draw(const py::dict& network, uint64_t seed, uint32_t threads, uint64_t networks, uintptr_t sums, int device,
              uint64_t stream) const {
        const Network net = network_of(network);
        DrawArguments a{};
        a.keys = philox_keys(seed);
        a.depth = net.depth;
        while ((1u << a.log2_threads) < threads) ++a.log2_threads;
        a.rounds = ((net.width + 3) / 4 + threads - 1) / threads;
        a.sums = reinterpret_cast<float*>(sums);
        py::gil_scoped_release release;
        kernels_.draw(a, networks << a.log2_threads, device, stream);
    }

    std::string failure(int device) const { return kernels_.failure(device); }

   private:
    static PhiloxKeys philox_keys(uint64_t seed) { return RESMC_TARGET::philox_keys(seed); }

    Shape shape_of(const py::dict& network, int method, const py::dict& properties, int threads, int memory) const {
        if (network.contains("block")) {
            if (memory != -1 && memory != MEMORY_DEVICE) throw std::invalid_argument("no such shape for this network");
            return kernels_.residual_shape(residual_of(network), static_cast<Method>(method), threads);
        }
        const DeviceLimits limits{properties["shared_block"].cast<uint64_t>(),
                                  properties["shared_multiprocessor"].cast<uint64_t>()};
        return kernels_.shape(network_of(network), static_cast<Method>(method), limits, threads, memory);
    }

    const Kernels& kernels_;
};

inline void bind_kernels(py::module_& m, const Kernels& kernels) {
    py::class_<BoundKernels>(m, "Kernels", py::module_local())
        .def_property_readonly("architectures", &BoundKernels::architectures)
        .def_property_readonly("layer_sums_bytes", &BoundKernels::layer_sums_bytes)
        .def("driver", &BoundKernels::driver)
        .def("properties", &BoundKernels::properties, py::arg("device"))
        .def("shape", &BoundKernels::shape, py::arg("network"), py::arg("method"), py::arg("properties"),
             py::arg("threads") = -1, py::arg("memory") = -1)
        .def("simulate", &BoundKernels::simulate, py::arg("network"), py::arg("settings"), py::arg("properties"),
             py::arg("shape"), py::arg("pointers"), py::arg("device"), py::arg("stream"))
        .def("reduce", &BoundKernels::reduce, py::arg("width"), py::arg("settings"), py::arg("pointers"),
             py::arg("device"), py::arg("stream"))
        .def("raw", &BoundKernels::raw, py::arg("width"), py::arg("settings"), py::arg("pointers"), py::arg("device"),
             py::arg("stream"))
        .def("ratio", &BoundKernels::ratio, py::arg("width"), py::arg("settings"), py::arg("pointers"),
             py::arg("device"), py::arg("stream"))
        .def("words", &BoundKernels::words, py::arg("seed"), py::arg("stream_id"), py::arg("layer"), py::arg("network"),
             py::arg("input"), py::arg("quad"), py::arg("out"), py::arg("device"), py::arg("stream"))
        .def("normals", &BoundKernels::normals, py::arg("words"), py::arg("n"), py::arg("out"), py::arg("device"),
             py::arg("stream"))
        .def("draw", &BoundKernels::draw, py::arg("network"), py::arg("seed"), py::arg("threads"), py::arg("networks"),
             py::arg("sums"), py::arg("device"), py::arg("stream"))
        .def("failure", &BoundKernels::failure, py::arg("device"));
    m.attr("kernels") = BoundKernels(kernels);
}

}  // namespace resmc
