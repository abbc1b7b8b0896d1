// What Python sees of a GPU's kernels: launches over device pointers and streams, given as plain integers. Memory is
// torch's and is never touched here. Included by bindings.cpp and by the tests' emulation; like the former it checks
// names, types and ranges of what it is told, and addresses not at all.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>

#include "bindings_network.hpp"
#include "cuda/kernels.hpp"
#include "include/resmc/resampling.hpp"
#include "interpreter.hpp"
#include "reader.hpp"

namespace resmc {

class BoundKernels {
   public:
    BoundKernels(const Kernels& kernels) : kernels_(kernels) {}

    std::string architectures() const { return kernels_.architectures; }
    py::tuple sums_bytes() const { return py::make_tuple(sizeof(NormSums), sizeof(ActivitySums)); }

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
        return dict_of(shape_of(AnyNetwork(network), method_of(method), properties, threads, memory));
    }

    // Of networks that rest in device memory between two launches.
    py::dict population_shape(const py::dict& network, const py::dict& properties, int threads) const {
        return dict_of(population_shape_of(AnyNetwork(network), properties, threads));
    }

    // Columns begin .. end - 1 of a chunk.
    void simulate(const py::dict& network, const py::dict& settings, const py::dict& properties, const py::dict& shape,
                  const py::dict& pointers, int device, uint64_t stream) const {
        const AnyNetwork described(network);
        ResidualArguments residual{};
        SimulateArguments& a = residual.run;
        a.network = described.network();
        Reader s(settings, "settings"), p(pointers, "pointers");
        read_launch(s, a);
        const auto variant = s.choice<Variant>("variant", VARIANTS);
        const auto method = s.choice<Method>("method", METHODS);
        const uint32_t blocks = s.integer<uint32_t>("blocks");
        s.finish();
        a.shape = shape_of(described, method, properties, shape);
        read_memory(p, a);
        if (described.is_residual) {
            read_residual(p, described.residual, residual);
        }
        p.finish();
        const Released released;
        if (described.is_residual) return kernels_.simulate_residual(residual, method, blocks, device, stream);
        kernels_.simulate(a, variant, method, blocks, device, stream);
    }

    // Columns begin .. end - 1 of a chunk, of networks whose weights are handed in, through some layers or back.
    void columns(const py::dict& network, const py::dict& settings, const py::dict& properties, const py::dict& shape,
                 const py::dict& pointers, int device, uint64_t stream) const {
        const AnyNetwork described(network);
        if (!described.is_residual) throw std::invalid_argument("columns are those of a residual network");
        const Residual& net = described.residual;
        ColumnArguments c{};
        SimulateArguments& a = c.residual.run;
        a.network = net.network;
        Reader s(settings, "settings"), p(pointers, "pointers");
        read_launch(s, a);
        c.columns = s.integer<uint32_t>("columns_of_network", 1);
        c.backward = s.boolean("backward");
        c.from = s.integer<uint32_t>("from_layer", 0, net.network.depth);
        c.to = s.integer<uint32_t>("to_layer", c.from, net.network.depth);
        c.first_layer = s.integer<uint32_t>("first_layer", 0, c.from);
        const uint64_t n_layers = s.integer<uint32_t>("given_layers", 1);
        const bool tied = s.boolean("tied");
        s.finish();
        if (c.backward && !net.gradients) s.refuse("backward", "needs gradients");
        if (!tied && n_layers < c.to - c.first_layer) s.refuse("given_layers", "are too few");
        const uint64_t n = net.network.width, inner = net.inner, networks = (uint64_t{a.end} - a.begin) / c.columns;
        if (networks * c.columns != a.end - a.begin) s.refuse("columns", "must be those of whole networks");
        constexpr uint64_t END = uint64_t{1} << 32;
        if (networks * n_layers * n * inner >= END || networks * n * c.columns >= END) s.refuse("end", "is too large");
        if ((a.first & (END - 1)) + networks > END) s.refuse("first", "and the last network differ in high words");
        a.shape = shape_of(described, METHOD_DENSE, properties, shape);
        if (a.shape.threads > MAX_RESIDUAL_THREADS) throw std::invalid_argument("no such shape for columns");
        read_memory(p, a);
        read_residual(p, net, c.residual);
        const auto given = [&](const char* name, uint64_t size) -> GivenArray {
            return {p.pointer<const float>(name), n_layers * size, tied ? 0 : size};
        };
        c.outer = given("outer", n * inner);
        if (net.block == BLOCK_V_PHI_W) c.inner = given("inner", n * inner);
        if (net.bias > 0.0f) c.bias = given("bias", inner);
        c.factors = p.pointer<const float>("factors");
        c.start = p.optional_pointer<const float>("start");
        p.finish();
        const Released released;
        kernels_.columns(c, device, stream);
    }

    // Whole populations through some layers; then they are weighed and, where that is asked for, resampled.
    void populations(const py::dict& network, const py::dict& settings, const py::dict& properties,
                     const py::dict& shape, const py::dict& pointers, int device, uint64_t stream) const {
        const AnyNetwork described(network);
        if (described.is_residual && described.residual.gradients)
            throw std::invalid_argument("populations go forwards");
        PopulationArguments a{};
        SimulateArguments& run = a.run;
        run.network = described.network();
        ResampleArguments r{};
        Reader s(settings, "settings"), p(pointers, "pointers");
        r.keys = run.keys = philox_keys(s.integer<uint64_t>("seed"));
        const auto variant = s.choice<Variant>("variant", VARIANTS);
        r.first = run.first = s.integer<uint64_t>("first");
        if (run.first % WARP != 0) s.refuse("first", "must be a multiple of 32");
        r.size = s.integer<uint32_t>("size", 1, 1u << 24);
        r.stride = static_cast<uint32_t>(population_stride(r.size));
        r.populations = s.integer<uint32_t>("populations", 1, (UINT32_MAX >> 1) / r.stride);
        run.columns = run.end = r.populations * r.stride;
        r.power = s.real<double>("power");
        r.n_layers = s.integer<uint32_t>("n_layers", 1);
        r.slot = s.integer<uint32_t>("slot", 0, r.n_layers - 1);
        r.resamples = s.boolean("resamples");
        a.begins = r.slot == 0;
        a.from = s.integer<uint32_t>("from_layer", 0, a.begins ? 0 : run.network.depth);
        r.layer = a.to = s.integer<uint32_t>("to_layer", a.from, a.begins ? 0 : run.network.depth);
        run.look_every = s.integer<uint32_t>("look_every", 1);
        run.look_every_row = s.integer<uint32_t>("look_every_row", 1);
        s.finish();
        run.shape = population_shape_of(described, properties, read_shape(shape).first);
        r.square = run.records.square = p.pointer<float>("square");
        r.exponent = run.records.exponent = p.pointer<uint32_t>("exponent");
        run.workspace = p.pointer<float>("workspace");
        run.stop = p.pointer<const uint32_t>("stop");
        run.progress = p.pointer<uint32_t>("progress");
        if (described.is_residual) {
            a.residual = on_device(p, described.residual);
        }
        r.reached = p.pointer<double>("reached");
        r.origin = p.pointer<double>("origin");
        r.weight = p.pointer<double>("weight");
        r.offspring = p.pointer<uint32_t>("offspring");
        r.parent = p.pointer<uint32_t>("parent");
        r.top = p.pointer<double>("top");
        r.mean = p.pointer<double>("mean");
        r.effective = p.pointer<double>("effective");
        r.growth = p.pointer<double>("growth");
        p.finish();
        const Released released;
        if (described.is_residual)
            kernels_.residual_populations(a, device, stream);
        else
            kernels_.populations(a, variant, device, stream);
        kernels_.resample(r, device, stream);
        if (r.resamples) kernels_.move({run.shape, run.columns, r.parent, run.workspace}, device, stream);
    }

    // Batches of a chunk into the groups: of h, of h from another start, or of a quotient as if it were h.
    void reduce(uint32_t width, const py::dict& settings, const py::dict& pointers, int device, uint64_t stream) const {
        Reader s(settings, "settings"), p(pointers, "pointers");
        ReduceArguments a{};
        a.width = width;
        a.log_width = __builtin_log(static_cast<double>(width));
        a.first = s.integer<uint64_t>("first");
        read_columns(s, a);
        a.batch = s.integer<uint32_t>("batch", 1, 4096);
        if (a.columns % a.batch != 0) s.refuse("columns", "must be a multiple of the batch");
        a.bin_width = s.real<double>("bin_width");
        if (!(a.bin_width > 0.0)) s.refuse("bin_width", "must be above 0");
        a.bin_low = s.real<double>("bin_low");
        a.n_bins = s.integer<uint32_t>("n_bins");
        s.finish();
        a.records.square = p.pointer<float>("square");
        a.records.exponent = p.pointer<uint32_t>("exponent");
        a.start_square = p.pointer<const float>("start_square");
        a.start_exponent = p.pointer<const uint32_t>("start_exponent");
        a.batches = p.pointer<NormSums>("batches");
        a.groups = p.pointer<NormSums>("groups");
        a.activity_batches = p.optional_pointer<ActivitySums>("activity_batches");
        if (a.activity_batches != nullptr) {
            a.activity_groups = p.pointer<ActivitySums>("activity_groups");
            a.records.active_square = p.pointer<float>("active_square");
            a.records.active = p.pointer<uint32_t>("active");
            a.asymmetry = p.optional_pointer<double>("asymmetry");
            a.alive = p.optional_pointer<double>("alive");
        }
        a.histogram = p.optional_pointer<int64_t>("histogram");
        p.finish();
        const Released released;
        kernels_.reduce(a, device, stream);
        kernels_.fold(a, device, stream);
    }

    // Samples and paths of columns begin ..
    void raw(uint32_t width, const py::dict& settings, const py::dict& pointers, int device, uint64_t stream) const {
        Reader s(settings, "settings"), p(pointers, "pointers");
        RawArguments a{};
        a.log_width = __builtin_log(static_cast<double>(width));
        a.columns = s.integer<uint32_t>("columns");
        a.begin = s.integer<uint32_t>("begin", 0, a.columns);
        a.n_layers = s.integer<uint32_t>("n_layers", 1);
        a.samples = s.integer<uint32_t>("samples", 0, a.columns - a.begin);
        a.paths = s.integer<uint32_t>("paths", 0, a.columns - a.begin);
        s.finish();
        a.records.square = p.pointer<float>("square");
        a.records.exponent = p.pointer<uint32_t>("exponent");
        a.records.active_square = p.pointer<float>("active_square");
        if (a.samples > 0) {
            a.sample_log_norm = p.pointer<double>("sample_log_norm");
            a.sample_exponent = p.pointer<int32_t>("sample_exponent");
        }
        if (a.paths > 0) {
            a.path_log_norm = p.pointer<double>("path_log_norm");
            a.path_asymmetry = p.pointer<float>("path_asymmetry");
        }
        p.finish();
        const Released released;
        kernels_.raw(a, device, stream);
    }

    // Final values of a quotient, for columns begin .. end - 1, and the paths of the first of them.
    void quotient(uint32_t width, const py::dict& settings, const py::dict& pointers, int device,
                  uint64_t stream) const {
        Reader s(settings, "settings"), p(pointers, "pointers");
        QuotientArguments a{};
        a.log_width = __builtin_log(static_cast<double>(width));
        read_columns(s, a);
        a.slot = s.integer<uint32_t>("slot", 0, a.n_layers - 1);
        a.paths = s.integer<uint32_t>("paths", 0, a.columns - a.begin);
        s.finish();
        a.records = {p.pointer<float>("square"), p.pointer<uint32_t>("exponent")};
        a.start_square = p.pointer<const float>("start_square");
        a.start_exponent = p.pointer<const uint32_t>("start_exponent");
        a.last = p.pointer<double>("last");
        a.path = p.optional_pointer<double>("path");
        a.path_overlap = p.optional_pointer<float>("path_overlap");
        if (a.path_overlap != nullptr) a.overlap = p.pointer<const float>("overlap");
        p.finish();
        const Released released;
        kernels_.quotient(a, device, stream);
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

    // The square roots that normals take, of numbers between 2^-40 and 2^10.
    void roots(uintptr_t from, uint32_t n, uintptr_t out, int device, uint64_t stream) const {
        kernels_.roots(reinterpret_cast<const float*>(from), n, reinterpret_cast<float*>(out), device, stream);
    }

    // The generator alone, by teams of threads; sums: one float per thread.
    void draw(const py::dict& network, uint64_t seed, uint32_t threads, uint64_t networks, uintptr_t sums, int device,
              uint64_t stream) const {
        const AnyNetwork described(network);
        const Network& net = described.network();
        DrawArguments a{};
        a.keys = philox_keys(seed);
        a.depth = net.depth;
        while ((1u << a.log2_threads) < threads) ++a.log2_threads;
        a.rounds = ((net.width + 3) / 4 + threads - 1) / threads;
        a.sums = reinterpret_cast<float*>(sums);
        const Released released;
        kernels_.draw(a, networks << a.log2_threads, device, stream);
    }

    std::string failure(int device) const { return kernels_.failure(device); }

   private:
    static PhiloxKeys philox_keys(uint64_t seed) { return RESMC_TARGET::philox_keys(seed); }

    static Method method_of(int method) {
        if (method != METHOD_PROJECTED && method != METHOD_DENSE) throw std::invalid_argument("no such method");
        return static_cast<Method>(method);
    }

    static QuotientRecords quotient_records(Reader& p, const std::string& name) {
        return {p.pointer<float>((name + "_square").c_str()), p.pointer<uint32_t>((name + "_exponent").c_str())};
    }

    static void read_launch(Reader& s, SimulateArguments& a) {
        a.keys = philox_keys(s.integer<uint64_t>("seed"));
        a.first = s.integer<uint64_t>("first");
        read_columns(s, a);
        a.output_begin = s.integer<uint32_t>("output_begin", 0, a.columns);
        a.output_end = s.integer<uint32_t>("output_end", 0, a.columns);
        a.look_every = s.integer<uint32_t>("look_every", 1);
        a.look_every_row = s.integer<uint32_t>("look_every_row", 1);
    }

    static void read_memory(Reader& p, SimulateArguments& a) {
        a.layers = p.pointer<const uint32_t>("layers");
        a.records = {p.pointer<float>("square"), p.pointer<float>("active_square"), p.pointer<uint32_t>("exponent"),
                     p.pointer<uint32_t>("active"), p.optional_pointer<float>("output")};
        if (a.records.output == nullptr && a.output_end > a.output_begin) p.refuse("output", "is missing");
        a.workspace = p.optional_pointer<float>("workspace");
        if (a.workspace == nullptr && a.shape.memory == MEMORY_DEVICE) p.refuse("workspace", "is missing");
        a.stop = p.pointer<const uint32_t>("stop");
        a.progress = p.pointer<uint32_t>("progress");
    }

    // The same network with its arrays in a device's memory.
    static Residual on_device(Reader& p, Residual net) {
        net.steps = p.pointer<const float>("steps");
        net.input = net.n_in > 0 ? p.pointer<const float>("input") : nullptr;
        if (net.activation.kind == ACTIVATION_TABLE) net.activation.table.at = p.pointer<const float>("table");
        return net;
    }

    static void read_residual(Reader& p, const Residual& net, ResidualArguments& a) {
        a.residual = on_device(p, net);
        a.quotients[QUOTIENT_DISPLACEMENT] = quotient_records(p, "displacement");
        if (!net.gradients) return;
        a.quotients[QUOTIENT_GRADIENT] = quotient_records(p, "gradient");
        a.quotients[QUOTIENT_GRADIENT_DISPLACEMENT] = quotient_records(p, "gradient_displacement");
        a.overlap = p.pointer<float>("overlap");
    }

    template <class Arguments>
    static void read_columns(Reader& s, Arguments& a) {
        a.columns = s.integer<uint32_t>("columns", 1, UINT32_MAX >> 1);
        a.begin = s.integer<uint32_t>("begin", 0, a.columns - 1);
        a.end = s.integer<uint32_t>("end", a.begin + 1, a.columns);
        a.n_layers = s.integer<uint32_t>("n_layers", 1);
    }

    static py::dict dict_of(const Shape& s) {
        py::dict out;
        out["threads"] = s.threads;
        out["rounds"] = s.rounds;
        out["memory"] = static_cast<int>(s.memory);
        out["block_threads"] = s.block_threads;
        out["block_networks"] = s.block_networks;
        out["block_floats"] = s.block_floats;
        return out;
    }

    static DeviceLimits limits_of(const py::dict& properties) {
        Reader p(properties, "properties");
        for (const char* name : {"name", "capability", "multiprocessors", "memory"}) p.skip(name);
        const DeviceLimits limits{p.integer<uint64_t>("shared_block"), p.integer<uint64_t>("shared_multiprocessor")};
        p.finish();
        return limits;
    }

    Shape shape_of(const AnyNetwork& network, Method method, const py::dict& properties, int threads,
                   int memory) const {
        const DeviceLimits limits = limits_of(properties);
        if (!network.is_residual) return kernels_.shape(network.network(), method, limits, threads, memory);
        if (memory != -1 && memory != MEMORY_DEVICE) throw std::invalid_argument("no such shape for this network");
        return kernels_.residual_shape(network.residual, method, threads);
    }

    Shape population_shape_of(const AnyNetwork& network, const py::dict& properties, int threads) const {
        const Residual* const residual = network.is_residual ? &network.residual : nullptr;
        return kernels_.population_shape(network.network(), residual, limits_of(properties), threads);
    }

    // The shape that shape() described: threads of a team, and where states are.
    static std::pair<int, Memory> read_shape(const py::dict& shape) {
        Reader r(shape, "shape");
        for (const char* name : {"rounds", "block_threads", "block_networks", "block_floats"}) r.skip(name);
        const int threads = r.integer<int>("threads", 1);
        const Memory memory = r.choice<Memory>("memory", 3);
        r.finish();
        return {threads, memory};
    }
    Shape shape_of(const AnyNetwork& network, Method method, const py::dict& properties, const py::dict& shape) const {
        const auto [threads, memory] = read_shape(shape);
        return shape_of(network, method, properties, threads, memory);
    }

    const Kernels& kernels_;
};

inline void bind_kernels(py::module_& m, const Kernels& kernels) {
    py::class_<BoundKernels>(m, "Kernels", py::module_local())
        .def_property_readonly("architectures", &BoundKernels::architectures)
        .def_property_readonly("sums_bytes", &BoundKernels::sums_bytes)
        .def("driver", &BoundKernels::driver)
        .def("properties", &BoundKernels::properties, py::arg("device"))
        .def("shape", &BoundKernels::shape, py::arg("network"), py::arg("method"), py::arg("properties"),
             py::arg("threads") = -1, py::arg("memory") = -1)
        .def("population_shape", &BoundKernels::population_shape, py::arg("network"), py::arg("properties"),
             py::arg("threads") = -1)
        .def("simulate", &BoundKernels::simulate, py::arg("network"), py::arg("settings"), py::arg("properties"),
             py::arg("shape"), py::arg("pointers"), py::arg("device"), py::arg("stream"))
        .def("columns", &BoundKernels::columns, py::arg("network"), py::arg("settings"), py::arg("properties"),
             py::arg("shape"), py::arg("pointers"), py::arg("device"), py::arg("stream"))
        .def("populations", &BoundKernels::populations, py::arg("network"), py::arg("settings"), py::arg("properties"),
             py::arg("shape"), py::arg("pointers"), py::arg("device"), py::arg("stream"))
        .def("reduce", &BoundKernels::reduce, py::arg("width"), py::arg("settings"), py::arg("pointers"),
             py::arg("device"), py::arg("stream"))
        .def("raw", &BoundKernels::raw, py::arg("width"), py::arg("settings"), py::arg("pointers"), py::arg("device"),
             py::arg("stream"))
        .def("quotient", &BoundKernels::quotient, py::arg("width"), py::arg("settings"), py::arg("pointers"),
             py::arg("device"), py::arg("stream"))
        .def("words", &BoundKernels::words, py::arg("seed"), py::arg("stream_id"), py::arg("layer"), py::arg("network"),
             py::arg("input"), py::arg("quad"), py::arg("out"), py::arg("device"), py::arg("stream"))
        .def("normals", &BoundKernels::normals, py::arg("words"), py::arg("n"), py::arg("out"), py::arg("device"),
             py::arg("stream"))
        .def("roots", &BoundKernels::roots, py::arg("numbers"), py::arg("n"), py::arg("out"), py::arg("device"),
             py::arg("stream"))
        .def("draw", &BoundKernels::draw, py::arg("network"), py::arg("seed"), py::arg("threads"), py::arg("networks"),
             py::arg("sums"), py::arg("device"), py::arg("stream"))
        .def("failure", &BoundKernels::failure, py::arg("device"));
    m.attr("kernels") = BoundKernels(kernels);
}

}  // namespace resmc
