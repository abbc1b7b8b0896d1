// What Python sees; with bindings_*.hpp, interpreter.hpp and reader.hpp all that knows of it. It checks the names,
// types, ranges and shapes of what it is told, so that nothing is read or written elsewhere; whether that makes sense
// has been checked before it comes here.
#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <complex>
#include <stdexcept>
#include <string>

#include "bindings_cpu.hpp"
#include "bindings_cuda.hpp"
#include "bindings_joint.hpp"
#include "bindings_network.hpp"
#include "cpu/columns.hpp"
#include "cpu/population.hpp"
#include "cpu/run.hpp"
#include "cpu/statistics.hpp"
#include "include/resmc/streams.hpp"

namespace py = pybind11;
using namespace resmc;

namespace {

Results results_of(const py::dict& entries, const Job& job) {
    Reader r(entries, "arrays");
    const size_t n = job.recording.n_layers, pairs = job.recording.correlations ? n * (n + 1) / 2 : 0;
    const size_t deaths = job.recording.deaths_possible ? pairs : 0;
    const size_t samples = job.keep_samples, paths = job.keep_trajectories;
    Results results{};
    results.groups.norms = r.array<NormSums>("norms", {GROUPS, n});
    if (job.recording.activity) results.groups.activity = r.array<ActivitySums>("activity", {GROUPS, n});
    if (job.recording.mean_square) results.mean_square.norms = r.array<NormSums>("mean_square.norms", {GROUPS, n});
    results.groups.products = r.array<double>("products", {GROUPS, pairs});
    results.groups.partial_sums = r.array<double>("partial_sums", {GROUPS, deaths});
    results.groups.partial_squares = r.array<double>("partial_squares", {GROUPS, deaths});
    results.groups.histogram = r.array<int64_t>("histogram", {GROUPS, size_t{job.recording.n_bins} + 2});
    results.sample_log_norm = r.array<double>("sample_log_norm", {samples});
    results.sample_output = r.array<double>("sample_output", {samples, job.network.n_out});
    results.sample_exponent = r.array<int32_t>("sample_exponent", {samples});
    results.path_log_norm = r.array<double>("path_log_norm", {paths, n});
    results.path_asymmetry = r.array<float>("path_asymmetry", {paths, n});
    if (job.residual != nullptr) {
        const char* const names[1 + QUOTIENTS] = {"growth", "displacement", "gradient", "gradient_displacement"};
        for (int k = 0; k < (job.residual->gradients ? 1 + QUOTIENTS : 2); ++k) {
            const std::string name(names[k]);
            results.final_log_norm[k] = r.array<double>(("final_" + name).c_str(), {job.count});
            if (k == 0) continue;
            results.quotients[k - 1].norms = r.array<NormSums>((name + ".norms").c_str(), {GROUPS, n});
            results.path_quotient[k - 1] = r.array<double>(("path_" + name).c_str(), {paths, n});
        }
        results.path_overlap = r.array<float>("path_overlap", {job.residual->gradients ? paths : 0, n});
    }
    r.finish();
    return results;
}

Job job_of(const AnyNetwork& network, const py::dict& settings,
           const py::array_t<uint32_t, py::array::c_style>& layers) {
    Reader s(settings, "settings");
    Job job{};
    job.network = network.network();
    job.residual = network.is_residual ? &network.residual : nullptr;
    job.variant = s.choice<Variant>("variant", VARIANTS);
    job.method = s.choice<Method>("method", METHODS);
    job.seed = s.integer<uint64_t>("seed");
    job.first = s.integer<uint64_t>("first", 0, END_OF_NETWORKS - 1);
    job.count = s.integer<uint64_t>("count", 1, END_OF_NETWORKS - job.first);
    job.batch = s.integer<uint64_t>("batch", 1, 4096);
    if ((job.batch & (job.batch - 1)) != 0) s.refuse("batch", "must be a power of two");
    job.keep_samples = s.integer<uint64_t>("keep_samples", 0, job.count);
    job.keep_trajectories = s.integer<uint64_t>("keep_trajectories", 0, job.count);
    job.recording.layers = layers.data();
    job.recording.n_layers = static_cast<uint32_t>(layers.size());
    job.recording.deaths_possible = s.boolean("deaths_possible");
    job.recording.activity = s.boolean("activity");
    job.recording.correlations = s.boolean("correlations");
    if (job.recording.correlations && !job.recording.activity) s.refuse("correlations", "need activity");
    job.recording.mean_square = s.boolean("mean_square");
    job.recording.bin_width = s.real<double>("bin_width");
    if (!(job.recording.bin_width > 0.0)) s.refuse("bin_width", "must be above 0");
    job.recording.bin_low = s.real<double>("bin_low");
    job.recording.n_bins = s.integer<uint32_t>("n_bins");
    s.finish();
    if (layers.ndim() != 1 || layers.size() == 0) throw std::invalid_argument("layers must have shape (n,), n > 0");
    return job;
}

void simulate(const py::dict& network, const py::dict& settings,
              const py::array_t<uint32_t, py::array::c_style>& layers, const py::dict& arrays, int threads,
              const std::string& instruction_set, const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    const AnyNetwork described(network);
    const Job job = job_of(described, settings, layers);
    check_layers(layers, job.network.depth);
    const Results results = results_of(arrays, job);
    Released released;  // also while memory is made, and while threads end
    Run run(backend, job, results, threads);
    attend(released, run, progress);
}

// ---- columns with weights that are handed in ------------------------------------------------------------------------

// Sums records that are there, as `simulate` sums those that it makes.
void reduce(const py::dict& network, const py::dict& settings, const py::array_t<uint32_t, py::array::c_style>& layers,
            const py::dict& records, const py::dict& arrays, int threads, const std::string& instruction_set,
            const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    const AnyNetwork described(network);
    if (!described.is_residual) throw std::invalid_argument("records are those of a residual network");
    Job job = job_of(described, settings, layers);
    check_layers(layers, job.network.depth);
    Reader r(records, "records");
    const GivenRecords given{records_of(r, described.residual, job.recording.n_layers, job.count), job.count};
    r.finish();
    if (job.keep_samples > 0 && given.records.output == nullptr) r.refuse("output", "is missing");
    job.records = &given;
    const Results results = results_of(arrays, job);
    Released released;
    Run run(backend, job, results, threads);
    attend(released, run, progress);
}

size_t column_state_bytes(const py::dict& network, uint64_t networks, uint32_t columns,
                          const std::string& instruction_set) {
    const AnyNetwork described(network);
    if (!described.is_residual) throw std::invalid_argument("columns are those of a residual network");
    return column_bytes(find_backend(instruction_set), described.residual, networks, columns);
}

GivenArray given_array(Reader& r, const char* name, size_t networks, size_t layers, const std::vector<size_t>& entry) {
    std::vector<size_t> shape = {networks, layers};
    size_t size = 1;
    for (const size_t n : entry) {
        shape.push_back(n);
        size *= n;
    }
    const bool tied = layers == 1;
    return {r.array<const float>(name, shape), layers * size, tied ? 0 : size};
}

// Columns of some networks through layers begin .. end, or back; `state` keeps what goes on from one call to the next.
void columns(const py::dict& network, const py::dict& settings, const py::array_t<uint32_t, py::array::c_style>& layers,
             const py::dict& arrays, const py::dict& records, int threads, const std::string& instruction_set,
             const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    const AnyNetwork described(network);
    if (!described.is_residual) throw std::invalid_argument("columns are those of a residual network");
    const Residual& net = described.residual;
    const uint32_t depth = net.network.depth;
    check_layers(layers, depth);
    if (net.network.width > 65535 || net.inner > 65535)
        throw std::invalid_argument("a width of 65535 at most can be handed in");

    Reader s(settings, "settings");
    ColumnChunk chunk{};
    ColumnPart part{};
    chunk.seed = s.integer<uint64_t>("seed");
    chunk.first = s.integer<uint64_t>("first", 0, END_OF_NETWORKS - 1);
    chunk.networks = s.integer<uint32_t>("networks", 1);
    chunk.columns = s.integer<uint32_t>("columns", 1, 1u << 24);
    part.backward = s.boolean("backward");
    part.from = s.integer<uint32_t>("from_layer", 0, depth);
    part.to = s.integer<uint32_t>("to_layer", part.from, depth);
    const bool tied = s.boolean("tied");
    chunk.begin = tied ? 0 : s.integer<uint32_t>("first_layer", 0, part.from);
    if (tied) s.skip("first_layer");
    const uint32_t n_layers = s.integer<uint32_t>("n_layers", tied ? 1 : part.to - chunk.begin, tied ? 1 : depth);
    const size_t row = s.integer<uint64_t>("row");
    chunk.row_first = s.integer<uint64_t>("row_first", 0, row);
    s.finish();
    if (chunk.networks > END_OF_NETWORKS - chunk.first) s.refuse("networks", "must end at 2^48");
    if (uint64_t{chunk.networks} * chunk.columns > row - chunk.row_first) s.refuse("row", "is too short");
    if (part.backward && !net.gradients) s.refuse("backward", "needs gradients");
    const auto inside = [&](uint32_t l) { return l != depth && l % net.segment != 0; };
    if (part.backward && (inside(part.from) || inside(part.to)) && net.segment < depth)
        s.refuse("from_layer", "and to_layer must not divide a segment");

    Reader r(arrays, "arrays");
    const size_t n = net.network.width, inner = net.inner;
    chunk.outer = given_array(r, "outer", chunk.networks, n_layers, {n, inner});
    if (net.block == BLOCK_V_PHI_W) chunk.inner = given_array(r, "inner", chunk.networks, n_layers, {inner, n});
    if (net.bias > 0.0f) chunk.bias = given_array(r, "bias", chunk.networks, n_layers, {inner});
    for (GivenArray* array : {&chunk.outer, &chunk.inner, &chunk.bias})
        if (!tied && n_layers == 1) array->layer_stride = array->network_stride;
    chunk.factors = r.array<const float>("factors", {chunk.columns});
    if (r.has("start")) chunk.start = r.array<const float>("start", {chunk.networks, n, chunk.columns});
    const size_t bytes = column_bytes(backend, net, chunk.networks, chunk.columns);
    chunk.state = reinterpret_cast<char*>(r.array<uint8_t>("state", {bytes}));
    if (reinterpret_cast<uintptr_t>(chunk.state) % 64 != 0) r.refuse("state", "must be aligned to 64 bytes");
    r.finish();
    Reader k(records, "records");
    chunk.recording.layers = layers.data();
    chunk.recording.n_layers = static_cast<uint32_t>(layers.size());
    chunk.records = records_of(k, net, chunk.recording.n_layers, row);
    chunk.row = row;
    k.finish();
    Released released;
    ColumnRun run(backend, net, chunk, part, threads);
    attend(released, run, progress);
}

// Populations of networks that are resampled at the layers; results are [population][layer].
void populations(const py::dict& network, const py::dict& settings,
                 const py::array_t<uint32_t, py::array::c_style>& layers, const py::dict& arrays, int threads,
                 const std::string& instruction_set, const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    const AnyNetwork described(network);
    Reader s(settings, "settings");
    PopulationJob job{};
    job.network = described.network();
    job.residual = described.is_residual ? &described.residual : nullptr;
    if (described.is_residual && described.residual.gradients) throw std::invalid_argument("populations go forwards");
    job.variant = s.choice<Variant>("variant", VARIANTS);
    job.seed = s.integer<uint64_t>("seed");
    job.size = s.integer<uint32_t>("size", 1, 1u << 24);
    const uint64_t end = END_OF_NETWORKS / population_stride(job.size);
    job.first = s.integer<uint64_t>("first", 0, end - 1);
    job.count = s.integer<uint64_t>("count", 1, end - job.first);
    job.power = s.real<double>("power");
    s.finish();
    if (layers.ndim() != 1 || layers.size() == 0) throw std::invalid_argument("layers must have shape (n,), n > 0");
    check_layers(layers, job.network.depth);
    job.layers = layers.data();
    job.n_layers = static_cast<uint32_t>(layers.size());
    Reader r(arrays, "arrays");
    const std::vector<size_t> shape = {job.count, job.n_layers};
    const PopulationResults results{r.array<double>("top", shape), r.array<double>("mean", shape),
                                    r.array<double>("effective", shape), r.array<double>("growth", shape)};
    r.finish();
    Released released;
    PopulationRun run(backend, job, results, threads);
    attend(released, run, progress);
}

size_t population_thread_bytes(uint32_t width, uint32_t size, const std::string& instruction_set) {
    return population_bytes(find_backend(instruction_set), width, size);
}

// The first occupied bin of a histogram (rows, 2 + bins), one past the last, and a number as large as its counts.
py::tuple occupied(const py::array_t<int64_t, py::array::c_style>& histogram, int64_t total) {
    if (histogram.ndim() != 2 || histogram.shape(1) < 2)
        throw std::invalid_argument("histogram must have shape (n, 2 + bins)");
    const size_t rows = static_cast<size_t>(histogram.shape(0)), columns = static_cast<size_t>(histogram.shape(1));
    const Occupied found = occupied_bins(histogram.data(), rows, columns - 2, total);
    return py::make_tuple(found.first, found.last, found.bits);
}

size_t thread_bytes(const py::dict& network, const py::dict& settings,
                    const py::array_t<uint32_t, py::array::c_style>& layers, const std::string& instruction_set) {
    const AnyNetwork described(network);
    return bytes_per_thread(find_backend(instruction_set), job_of(described, settings, layers));
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
    const AnyNetwork described(network);
    const Network& net = described.network();
    const Released released;
    return backend.draw(net, seed, networks);
}

py::array_t<float> drawn(const std::string& instruction_set, uint64_t seed, uint32_t stream, uint32_t layer,
                         uint64_t first_network, uint64_t networks, uint32_t quads) {
    constexpr uint64_t END = END_OF_NETWORKS;  // also more floats than any memory holds
    if (stream >= 1u << (32 - LAYER_BITS)) throw std::invalid_argument("stream must be below 4096");
    if (layer >= 1u << LAYER_BITS) throw std::invalid_argument("layer must be below 2^20");
    if (networks > END || first_network > END - networks) throw std::invalid_argument("networks must end at 2^48");
    if (quads > 0 && networks > END / 16 / quads) throw std::invalid_argument("too many normals");
    const Backend& backend = find_backend(instruction_set);
    py::array_t<float> out({static_cast<py::ssize_t>(networks), 4 * static_cast<py::ssize_t>(quads)});
    float* const to = out.mutable_data();
    const Released released;
    backend.drawn(seed, stream, layer, first_network, networks, quads, to);
    return out;
}

py::tuple activate(const std::string& instruction_set, const py::dict& activation, float c,
                   const py::array_t<float, py::array::c_style | py::array::forcecast>& x,
                   const py::array_t<uint32_t, py::array::c_style | py::array::forcecast>& words) {
    if (words.ndim() != 2 || words.shape(1) != 4) throw std::invalid_argument("words must have shape (n, 4)");
    if (x.ndim() != 1 || x.size() != words.size()) throw std::invalid_argument("x must have shape (4 n,)");
    Reader reader(activation, "activation");
    const Sigma sigma = sigma_of(reader);
    reader.finish();
    py::array_t<float> value(x.size()), slope(x.size());
    find_backend(instruction_set)
        .activate(sigma, c, x.data(), words.data(), static_cast<size_t>(words.shape(0)), value.mutable_data(),
                  slope.mutable_data());
    return py::make_tuple(value, slope);
}

py::array_t<float> entries(const std::string& instruction_set, int law, uint64_t seed, uint32_t stream,
                           uint64_t network, uint32_t first_layer, uint32_t n_layers, uint32_t first_quad,
                           uint32_t n_quads) {
    if (law < 0 || law >= WEIGHTS_TABLE) throw std::invalid_argument("law must be the number of a weight law");
    if (stream >= 1u << (32 - LAYER_BITS)) throw std::invalid_argument("stream must be below 4096");
    if (network >= END_OF_NETWORKS) throw std::invalid_argument("network must be below 2^48");
    if (uint64_t{first_layer} + n_layers > 1u << LAYER_BITS) throw std::invalid_argument("layers must end at 2^20");
    if (uint64_t{first_quad} + n_quads > uint64_t{1} << 32) throw std::invalid_argument("quads must end at 2^32");
    const Backend& backend = find_backend(instruction_set);
    py::array_t<float> out({static_cast<py::ssize_t>(n_layers), 4 * static_cast<py::ssize_t>(n_quads)});
    float* const to = out.mutable_data();
    const Released released;
    backend.entries(static_cast<WeightLaw>(law), seed, stream, network, first_layer, n_layers, first_quad, n_quads, to);
    return out;
}

void waves(const std::string& instruction_set, uint64_t seed, uint32_t stream, uint64_t network,
           const py::array_t<float, py::array::c_style>& amplitudes, uint32_t real, uint32_t imaginary,
           py::array_t<std::complex<float>, py::array::c_style>& out) {
    if (stream >= 1u << (32 - LAYER_BITS)) throw std::invalid_argument("stream must be below 4096");
    if (network >= END_OF_NETWORKS) throw std::invalid_argument("network must be below 2^48");
    if (out.ndim() != 2 || out.shape(0) > 1 << LAYER_BITS || out.shape(1) % 4 != 0)
        throw std::invalid_argument("out must have a row for each of at most 2^20 frequencies, and quads of columns");
    if (amplitudes.ndim() != 2 || amplitudes.shape(0) != out.shape(0) || amplitudes.shape(1) != 2)
        throw std::invalid_argument("amplitudes must have two numbers for each row of out");
    const uint64_t quads = static_cast<uint64_t>(out.shape(1)) / 4, end = uint64_t{1} << 32;
    if (real + quads > end || imaginary + quads > end) throw std::invalid_argument("quads must end at 2^32");
    const Backend& backend = find_backend(instruction_set);
    float* const to = reinterpret_cast<float*>(out.mutable_data());
    const Released released;
    backend.waves(seed, stream, network, amplitudes.data(), static_cast<uint32_t>(out.shape(0)), real, imaginary,
                  static_cast<uint32_t>(quads), to);
}

// The stride of a matrix of floats whose rows are contiguous, in floats.
size_t row_stride(const py::array_t<float>& matrix, const char* name) {
    constexpr py::ssize_t size = sizeof(float);
    const bool rows = matrix.ndim() == 2 && (matrix.shape(1) <= 1 || matrix.strides(1) == size);
    if (rows && matrix.shape(0) <= 1) return 0;  // the stride of one row may be anything
    if (!rows || matrix.strides(0) < 0 || matrix.strides(0) % size != 0)
        throw std::invalid_argument(std::string(name) + " must be a matrix of floats with contiguous rows");
    return static_cast<size_t>(matrix.strides(0) / size);
}

void combine(const std::string& instruction_set, const py::array_t<float, py::array::c_style>& coefficients,
             const py::array_t<float>& x, py::array_t<float>& out) {
    if (coefficients.ndim() != 2) throw std::invalid_argument("coefficients must be a matrix");
    const size_t stride = row_stride(x, "x"), out_stride = row_stride(out, "out");
    if (x.shape(0) != coefficients.shape(1) || out.shape(0) != coefficients.shape(0) || out.shape(1) > x.shape(1))
        throw std::invalid_argument("out must have a row for each of coefficients, and columns that x has");
    const Backend& backend = find_backend(instruction_set);
    const size_t rows = static_cast<size_t>(out.shape(0)), columns = static_cast<size_t>(out.shape(1));
    const size_t terms = static_cast<size_t>(x.shape(0));
    float* const to = out.mutable_data();
    const Released released;
    backend.combine(coefficients.data(), rows, terms, x.data(), stride, to, out_stride, columns);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "The compiled kernels of resmc; an interface between its own parts, not for users.";
    m.attr("NUMERICS_VERSION") = NUMERICS_VERSION;
    m.attr("GROUPS") = GROUPS;
    m.attr("COMPILER") = __VERSION__;
    PYBIND11_NUMPY_DTYPE(NormSums, alive, startless, startless_alive, growth_exponent, log_norm, growth_log, growth);
    PYBIND11_NUMPY_DTYPE(ActivitySums, inactive, active, asymmetry, asymmetry_square, active_square);
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
    streams["noise_outer"] = static_cast<int>(STREAM_NOISE_OUTER);
    streams["noise_inner"] = static_cast<int>(STREAM_NOISE_INNER);
    streams["noise_bias"] = static_cast<int>(STREAM_NOISE_BIAS);
    streams["trend_outer"] = static_cast<int>(STREAM_TREND_OUTER);
    streams["trend_inner"] = static_cast<int>(STREAM_TREND_INNER);
    streams["trend_bias"] = static_cast<int>(STREAM_TREND_BIAS);
    streams["inputs"] = static_cast<int>(STREAM_INPUTS);
    streams["resampling"] = static_cast<int>(STREAM_RESAMPLING);
    streams["dropout"] = static_cast<int>(STREAM_DROPOUT);
    m.attr("STREAMS") = streams;
    m.def("instruction_sets", [] {
        std::vector<std::pair<std::string, int>> names;
        for (const Backend* backend : backends()) names.emplace_back(backend->name, backend->lanes);
        return names;
    });
    m.def("simulate", &simulate, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("arrays"),
          py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("reduce", &reduce, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("records"),
          py::arg("arrays"), py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("columns", &columns, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("arrays"),
          py::arg("records"), py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("column_state_bytes", &column_state_bytes, py::arg("network"), py::arg("networks"), py::arg("columns"),
          py::arg("instruction_set"));
    bind_joint(m);
    m.def("populations", &populations, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("arrays"),
          py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("population_thread_bytes", &population_thread_bytes, py::arg("width"), py::arg("size"),
          py::arg("instruction_set"));
    m.def("occupied", &occupied, py::arg("histogram").noconvert(), py::arg("total"));
    m.def("thread_bytes", &thread_bytes, py::arg("network"), py::arg("settings"), py::arg("layers"),
          py::arg("instruction_set"));
    m.def("words", &words, py::arg("instruction_set"), py::arg("seed"), py::arg("stream"), py::arg("layer"),
          py::arg("network"), py::arg("input"), py::arg("quad"));
    m.def("normals", &normals, py::arg("instruction_set"), py::arg("words"));
    m.def("draw", &draw, py::arg("instruction_set"), py::arg("network"), py::arg("seed"), py::arg("networks"));
    m.def("activate", &activate, py::arg("instruction_set"), py::arg("activation"), py::arg("c"), py::arg("x"),
          py::arg("words"));
    m.def("drawn", &drawn, py::arg("instruction_set"), py::arg("seed"), py::arg("stream"), py::arg("layer"),
          py::arg("first_network"), py::arg("networks"), py::arg("quads"));
    m.def("entries", &entries, py::arg("instruction_set"), py::arg("law"), py::arg("seed"), py::arg("stream"),
          py::arg("network"), py::arg("first_layer"), py::arg("n_layers"), py::arg("first_quad"), py::arg("n_quads"));
    m.def("waves", &waves, py::arg("instruction_set"), py::arg("seed"), py::arg("stream"), py::arg("network"),
          py::arg("amplitudes").noconvert(), py::arg("real"), py::arg("imaginary"), py::arg("out").noconvert());
    m.def("combine", &combine, py::arg("instruction_set"), py::arg("coefficients").noconvert(),
          py::arg("x").noconvert(), py::arg("out").noconvert());
    py::register_exception<KernelError>(m, "KernelError", PyExc_RuntimeError);
#ifdef RESMC_HAS_CUDA
    py::module_ cuda = m.def_submodule("cuda", "The kernels of NVIDIA GPUs.");
    bind_kernels(cuda, cuda_kernels());
#endif
}
