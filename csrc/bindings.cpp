// What Python sees; with bindings_cuda.hpp all that knows of it. It checks memory safety (shapes, strides, types) and
// nothing else: arguments have been validated before they come here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "bindings_cuda.hpp"
#include "cpu/run.hpp"
#include "include/resmc/streams.hpp"

namespace py = pybind11;
using namespace resmc;

namespace {

const Backend& find_backend(const std::string& name) {
    const auto found = backends();
    if (name == "auto") return *found.front();
    for (const Backend* backend : found)
        if (name == backend->name) return *backend;
    throw std::invalid_argument("instruction set '" + name + "' is not available on this machine");
}

// The data of a C-contiguous, writable array of exactly this type and size; null if it has no entries.
template <class T>
T* data_of(const py::dict& arrays, const char* name, size_t size) {
    if (!arrays.contains(name)) throw std::invalid_argument(std::string("missing array: ") + name);
    const py::object array = arrays[name];
    if (!py::array_t<T, py::array::c_style>::check_(array))
        throw std::invalid_argument(std::string("wrong type: ") + name);
    auto typed = py::reinterpret_borrow<py::array_t<T, py::array::c_style>>(array);
    if (static_cast<size_t>(typed.size()) != size) throw std::invalid_argument(std::string("wrong size: ") + name);
    return size > 0 ? typed.mutable_data() : nullptr;
}

// The arrays by layer, all of whose names begin alike.
Statistics layer_arrays(const py::dict& arrays, const std::string& prefix, size_t n) {
    auto doubles = [&](const char* name, size_t size) {
        return data_of<double>(arrays, (prefix + name).c_str(), GROUPS * size);
    };
    auto integers = [&](const char* name, size_t size) {
        return data_of<int64_t>(arrays, (prefix + name).c_str(), GROUPS * size);
    };
    Statistics s{};
    s.alive = integers("alive", n);
    s.inactive = integers("inactive", n);
    s.log_norm = doubles("log_norm", 4 * n);
    s.growth_log = doubles("growth_log", 2 * n);
    s.growth = doubles("growth", 2 * n);
    s.growth_exponent = integers("growth_exponent", n);
    s.asymmetry = doubles("asymmetry", n);
    s.asymmetry_square = doubles("asymmetry_square", n);
    s.active = integers("active", n);
    s.active_square = doubles("active_square", n);
    return s;
}

Results results_of(const py::dict& arrays, const Job& job) {
    const size_t n = job.recording.n_layers, pairs = job.recording.correlations ? n * (n + 1) / 2 : 0;
    const size_t deaths = job.recording.deaths_possible ? pairs : 0;
    auto doubles = [&](const char* name, size_t size) { return data_of<double>(arrays, name, GROUPS * size); };
    auto integers = [&](const char* name, size_t size) { return data_of<int64_t>(arrays, name, GROUPS * size); };
    Results r{};
    r.groups = layer_arrays(arrays, "", n);
    r.groups.products = doubles("products", pairs);
    r.groups.partial_sums = doubles("partial_sums", deaths);
    r.groups.partial_squares = doubles("partial_squares", deaths);
    r.groups.histogram = integers("histogram", static_cast<size_t>(job.recording.n_bins) + 2);
    r.sample_log_norm = data_of<double>(arrays, "sample_log_norm", job.keep_samples);
    r.sample_output = data_of<double>(arrays, "sample_output", job.keep_samples * job.network.n_out);
    r.sample_exponent = data_of<int32_t>(arrays, "sample_exponent", job.keep_samples);
    r.path_log_norm = data_of<double>(arrays, "path_log_norm", job.keep_trajectories * n);
    r.path_asymmetry = data_of<float>(arrays, "path_asymmetry", job.keep_trajectories * n);
    if (job.residual == nullptr) return r;
    const char* const names[1 + RATIOS] = {"growth", "displacement", "gradient", "gradient_displacement"};
    for (int k = 0; k < (job.residual->gradients ? 1 + RATIOS : 2); ++k) {
        const std::string name(names[k]);
        r.final_log_norm[k] = data_of<double>(arrays, ("final_" + name).c_str(), job.count);
        if (k == 0) continue;
        r.ratios[k - 1] = layer_arrays(arrays, name + ".", n);
        r.path_ratio[k - 1] = data_of<double>(arrays, ("path_" + name).c_str(), job.keep_trajectories * n);
    }
    if (job.residual->gradients) r.path_overlap = data_of<float>(arrays, "path_overlap", job.keep_trajectories * n);
    return r;
}

// What a job points to and nobody else keeps.
struct Kept {
    Residual residual;
    py::array_t<float, py::array::c_style> steps, input;
};

Job job_of(const py::dict& network, const py::dict& d, const py::array_t<uint32_t, py::array::c_style>& layers,
           Kept& kept) {
    Job job{};
    job.network = network_of(network);
    if (network.contains("block")) {
        kept.residual = residual_of(network);
        kept.steps = network["steps"].cast<py::array_t<float, py::array::c_style>>();
        kept.input = network["input"].cast<py::array_t<float, py::array::c_style>>();
        if (static_cast<size_t>(kept.steps.size()) != job.network.depth)
            throw std::invalid_argument("wrong size: steps");
        if (kept.residual.n_in > 0 && static_cast<size_t>(kept.input.size()) != size_t{kept.residual.n_in} + 12)
            throw std::invalid_argument("wrong size: input");
        kept.residual.steps = kept.steps.data();
        kept.residual.input = kept.input.data();
        job.residual = &kept.residual;
    }
    job.variant = static_cast<Variant>(d["variant"].cast<int>());
    job.method = static_cast<Method>(d["method"].cast<int>());
    job.seed = d["seed"].cast<uint64_t>();
    job.first = d["first"].cast<uint64_t>();
    job.count = d["count"].cast<uint64_t>();
    job.block = d["block"].cast<uint64_t>();
    job.keep_samples = d["keep_samples"].cast<uint64_t>();
    job.keep_trajectories = d["keep_trajectories"].cast<uint64_t>();
    job.recording.layers = layers.data();
    job.recording.n_layers = static_cast<uint32_t>(layers.size());
    job.recording.deaths_possible = d["deaths_possible"].cast<bool>();
    job.recording.correlations = d["correlations"].cast<bool>();
    job.recording.bin_width = d["bin_width"].cast<double>();
    job.recording.bin_low = d["bin_low"].cast<double>();
    job.recording.n_bins = d["n_bins"].cast<uint32_t>();
    if (job.count == 0 || job.block == 0 || layers.size() == 0) throw std::invalid_argument("empty job");
    return job;
}

// Runs to the end, or until `progress` or a signal raises (signals do so in Python's main thread alone). The
// interpreter is released but for a look every 50 ms: several of its threads may be here at a time, each with a run of
// its own.
void simulate(const py::dict& network, const py::dict& settings,
              const py::array_t<uint32_t, py::array::c_style>& layers, const py::dict& arrays, int threads,
              const std::string& instruction_set, const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    Kept kept;
    const Job job = job_of(network, settings, layers, kept);
    const Results results = results_of(arrays, job);
    py::gil_scoped_release release;  // also while memory is made, and while threads end
    Run run(backend, job, results, threads);
    for (bool finished = false; !finished;) {
        finished = run.wait(0.05);
        py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress.is_none()) progress(finished ? 1.0 : run.fraction());
    }
    run.finish();
}

size_t thread_bytes(const py::dict& network, const py::dict& settings,
                    const py::array_t<uint32_t, py::array::c_style>& layers, const std::string& instruction_set) {
    Kept kept;
    return bytes_per_thread(find_backend(instruction_set), job_of(network, settings, layers, kept));
}

py::array_t<uint32_t> words(const std::string& instruction_set, uint64_t seed, uint32_t stream, uint32_t layer,
                            uint64_t network, uint32_t input, uint32_t quad) {
    py::array_t<uint32_t> out(4);
    find_backend(instruction_set).words(seed, stream, layer, network, input, quad, out.mutable_data());
    return out;
}

py::array_t<float> normals(const std::string& instruction_set,
                           const py::array_t<uint32_t, py::array::c_style | py::array::forcecast>& words) {
    if (words.ndim() != 2 || words.shape(1) != 4) throw std::invalid_argument("words must have shape (n, 4)");
    py::array_t<float> out({words.shape(0), static_cast<py::ssize_t>(4)});
    find_backend(instruction_set).normals(words.data(), static_cast<size_t>(words.shape(0)), out.mutable_data());
    return out;
}

double draw(const std::string& instruction_set, const py::dict& network, uint64_t seed, uint64_t networks) {
    const Backend& backend = find_backend(instruction_set);
    const Network net = network_of(network);
    py::gil_scoped_release release;
    return backend.draw(net, seed, networks);
}

py::array_t<float> drawn(const std::string& instruction_set, uint64_t seed, uint32_t stream, uint32_t layer,
                         uint64_t first_network, uint64_t networks, uint32_t quads) {
    constexpr uint64_t END = uint64_t{1} << 48;  // of the networks; also more floats than any memory holds
    if (stream >= 1u << (32 - LAYER_BITS)) throw std::invalid_argument("stream must be below 4096");
    if (layer >= 1u << LAYER_BITS) throw std::invalid_argument("layer must be below 2^20");
    if (networks > END || first_network > END - networks) throw std::invalid_argument("networks must end at 2^48");
    if (quads > 0 && networks > END / 16 / quads) throw std::invalid_argument("too many normals");
    const Backend& backend = find_backend(instruction_set);
    py::array_t<float> out({static_cast<py::ssize_t>(networks), 4 * static_cast<py::ssize_t>(quads)});
    float* const to = out.mutable_data();
    py::gil_scoped_release release;
    backend.drawn(seed, stream, layer, first_network, networks, quads, to);
    return out;
}

py::tuple activate(const std::string& instruction_set, int kind, float c,
                   const py::array_t<float, py::array::c_style | py::array::forcecast>& x,
                   const py::array_t<uint32_t, py::array::c_style | py::array::forcecast>& words) {
    if (words.ndim() != 2 || words.shape(1) != 4) throw std::invalid_argument("words must have shape (n, 4)");
    if (x.ndim() != 1 || x.size() != words.size()) throw std::invalid_argument("x must have shape (4 n,)");
    py::array_t<float> value(x.size()), slope(x.size());
    find_backend(instruction_set)
        .activate(kind, c, x.data(), words.data(), static_cast<size_t>(words.shape(0)), value.mutable_data(),
                  slope.mutable_data());
    return py::make_tuple(value, slope);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "The compiled kernels of resmc; an interface between its own parts, not for users.";
    m.attr("NUMERICS_VERSION") = NUMERICS_VERSION;
    m.attr("GROUPS") = GROUPS;
    m.attr("COMPILER") = __VERSION__;
    py::dict streams;
    streams["first_layer"] = static_cast<int>(STREAM_FIRST_LAYER);
    streams["residual"] = static_cast<int>(STREAM_RESIDUAL);
    streams["output"] = static_cast<int>(STREAM_OUTPUT);
    streams["dense_weights"] = static_cast<int>(STREAM_DENSE_WEIGHTS);
    streams["dense_output"] = static_cast<int>(STREAM_DENSE_OUTPUT);
    streams["inner"] = static_cast<int>(STREAM_INNER);
    streams["dense_inner"] = static_cast<int>(STREAM_DENSE_INNER);
    streams["bias"] = static_cast<int>(STREAM_BIAS);
    streams["gradient"] = static_cast<int>(STREAM_GRADIENT);
    streams["backward"] = static_cast<int>(STREAM_BACKWARD);
    streams["backward_inner"] = static_cast<int>(STREAM_BACKWARD_INNER);
    streams["dense_input"] = static_cast<int>(STREAM_DENSE_INPUT);
    m.attr("STREAMS") = streams;
    m.def("instruction_sets", [] {
        std::vector<std::pair<std::string, int>> names;
        for (const Backend* backend : backends()) names.emplace_back(backend->name, backend->lanes);
        return names;
    });
    m.def("simulate", &simulate, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("arrays"),
          py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("thread_bytes", &thread_bytes, py::arg("network"), py::arg("settings"), py::arg("layers"),
          py::arg("instruction_set"));
    m.def("words", &words, py::arg("instruction_set"), py::arg("seed"), py::arg("stream"), py::arg("layer"),
          py::arg("network"), py::arg("input"), py::arg("quad"));
    m.def("normals", &normals, py::arg("instruction_set"), py::arg("words"));
    m.def("draw", &draw, py::arg("instruction_set"), py::arg("network"), py::arg("seed"), py::arg("networks"));
    m.def("activate", &activate, py::arg("instruction_set"), py::arg("kind"), py::arg("c"), py::arg("x"),
          py::arg("words"));
    m.def("drawn", &drawn, py::arg("instruction_set"), py::arg("seed"), py::arg("stream"), py::arg("layer"),
          py::arg("first_network"), py::arg("networks"), py::arg("quads"));
    py::register_exception<KernelError>(m, "KernelError", PyExc_RuntimeError);
#ifdef RESMC_HAS_CUDA
    py::module_ cuda = m.def_submodule("cuda", "The kernels of NVIDIA GPUs.");
    bind_kernels(cuda, cuda_kernels());
#endif
}
