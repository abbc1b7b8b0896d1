#include "joint.hpp"

#include <algorithm>

#include "../include/resmc/segments.hpp"

namespace resmc {

size_t joint_bytes_per_thread(const Backend& backend, const Residual& net, const Joint& joint) {
    return backend.joint_workspace_bytes(net, joint);
}

JointSimulation::JointSimulation(const Backend& backend, const JointJob& job, int threads)
    : backend_(backend),
      job_(job),
      tasks_([this](size_t thread, uint64_t pack) { return work(*workers_[thread], pack); }, [] {}) {
    const uint64_t lanes = static_cast<uint64_t>(backend.lanes);
    first_pack_ = job.first / lanes;
    packs_ = (job.first + job.networks - 1) / lanes - first_pack_ + 1;
    for (uint64_t i = 0; i < std::min(static_cast<uint64_t>(threads), packs_); ++i) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->workspace = aligned_array<char>(backend.joint_workspace_bytes(job.network, job.joint), false);
    }
    tasks_.start(static_cast<size_t>(threads), packs_);
}

double JointSimulation::fraction() const {
    uint64_t done = 0;
    for (const auto& worker : workers_) done += __atomic_load_n(&worker->done, __ATOMIC_RELAXED);
    const uint64_t steps = packs_ * host::residual_steps(job_.network);
    return std::min(1.0, static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(steps, 1)));
}

bool JointSimulation::work(Worker& worker, uint64_t pack) {
    const uint64_t lanes = static_cast<uint64_t>(backend_.lanes), network = (first_pack_ + pack) * lanes;
    const uint64_t begin = std::max(network, job_.first), end = std::min(network + lanes, job_.first + job_.networks);
    return backend_.simulate_joint(job_.network, job_.joint, job_.method, job_.seed, network,
                                   static_cast<int>(begin - network), static_cast<int>(end - network), job_.recording,
                                   job_.records, job_.row_first + (begin - job_.first), worker.workspace.get(),
                                   {tasks_.stop_flag(), &worker.done});
}

}  // namespace resmc
