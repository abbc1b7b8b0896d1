// What Python sees of networks with several inputs; included by bindings.cpp.
#pragma once

#include "bindings_cpu.hpp"
#include "bindings_network.hpp"
#include "cpu/joint.hpp"
#include "include/resmc/gram.hpp"

namespace resmc {

// A run but for its arrays: `start` and the records.
inline JointJob joint_job_of(const AnyNetwork& network, const py::dict& entries) {
    if (!network.is_residual) throw std::invalid_argument("several inputs are those of a residual network");
    if (network.residual.inner != network.residual.network.width)
        throw std::invalid_argument("several inputs go through branches as wide as layers");
    Reader j(entries, "job");
    JointJob job{};
    job.network = network.residual;
    job.method = j.choice<Method>("method", METHODS);
    job.seed = j.integer<uint64_t>("seed");
    job.first = j.integer<uint64_t>("first", 0, END_OF_NETWORKS - 1);
    job.networks = j.integer<uint64_t>("networks", 1, END_OF_NETWORKS - job.first);
    job.joint.inputs = j.integer<uint32_t>("inputs", 1, host::MAX_COLUMNS);
    job.joint.tangents = j.integer<uint32_t>("tangents", 0, host::MAX_COLUMNS - job.joint.inputs);
    job.network.gradients = j.boolean("backward");
    job.joint.independent = j.boolean("independent");
    if (job.network.norm == NORM_BATCH && (job.joint.inputs == 1 || job.joint.tangents > 0))
        j.refuse("inputs", "must be several, without tangents");
    job.joint.reorthogonalise = j.integer<uint32_t>("reorthogonalise", 1);
    job.records.row = j.integer<uint64_t>("row");
    job.row_first = j.integer<uint64_t>("row_first", 0, job.records.row);
    j.finish();
    if (job.network.n_in > 0 && job.method != METHOD_DENSE) j.refuse("method", "must be dense with an input");
    if (job.networks > job.records.row - job.row_first) j.refuse("row", "is too short");
    return job;
}

// Records networks of several inputs, in arrays whose rows have a place for each.
inline void joint(const py::dict& network, const py::dict& settings,
                  const py::array_t<uint32_t, py::array::c_style>& layers, const py::dict& arrays, int threads,
                  const std::string& instruction_set, const py::object& progress) {
    const Backend& backend = find_backend(instruction_set);
    const AnyNetwork described(network);
    JointJob job = joint_job_of(described, settings);
    if (layers.ndim() != 1 || layers.size() == 0) throw std::invalid_argument("layers must have shape (n,), n > 0");
    check_layers(layers, job.network.network.depth);
    const size_t n = static_cast<size_t>(layers.size()), row = job.records.row, m = job.joint.inputs;
    job.recording.layers = layers.data();
    job.recording.n_layers = static_cast<uint32_t>(n);

    Reader r(arrays, "arrays");
    job.joint.start = r.array<const double>("start", {m, m});
    for (size_t a = 0; a < m; ++a)
        for (size_t b = 0; b < m; ++b)
            if (!std::isfinite(job.joint.start[a * m + b]) || (b > a && job.joint.start[a * m + b] != 0.0))
                r.refuse("start", "must be a lower triangle of finite numbers");
    const size_t n_in = job.network.n_in;
    if (n_in > 0) job.joint.rows = r.array<const float>("rows", {m, n_in + 12});
    const double size = static_cast<double>(job.network.size);
    if (!(std::fabs(job.joint.start[0] - size) <= 1e-6 * size)) r.refuse("start", "must begin with the network's size");
    job.records.first = records_of(r, job.network, n, row);
    const std::vector<size_t> pairs = {n, m * (m + 1) / 2, row}, inputs = {n, m, row};
    job.records.gram = r.array<double>("gram", pairs);
    job.records.unit = r.array<int32_t>("unit", inputs);
    job.records.log_scale = r.array<double>("log_scale", {n, m - 1, row});
    job.records.log_stretch = r.array<double>("log_stretch", {n, job.joint.tangents, row});
    if (job.network.gradients) {
        job.records.gradient_gram = r.array<double>("gradient_gram", pairs);
        job.records.gradient_unit = r.array<int32_t>("gradient_unit", inputs);
        if (job.network.norm != NORM_BATCH) job.records.kernel = r.array<double>("kernel", pairs);
    }
    r.finish();
    Released released;
    JointSimulation run(backend, job, threads);
    attend(released, run, progress);
}

inline size_t joint_thread_bytes(const py::dict& network, const py::dict& settings,
                                 const std::string& instruction_set) {
    const JointJob job = joint_job_of(AnyNetwork(network), settings);
    return joint_bytes_per_thread(find_backend(instruction_set), job.network, job.joint);
}

inline void bind_joint(py::module_& m) {
    m.def("joint", &joint, py::arg("network"), py::arg("settings"), py::arg("layers"), py::arg("arrays"),
          py::arg("threads"), py::arg("instruction_set"), py::arg("progress"));
    m.def("joint_thread_bytes", &joint_thread_bytes, py::arg("network"), py::arg("settings"),
          py::arg("instruction_set"));
}

}  // namespace resmc
