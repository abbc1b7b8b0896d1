#include "columns.hpp"

#include <algorithm>

#include "../include/resmc/segments.hpp"

namespace resmc {

namespace {

constexpr size_t CACHED_WEIGHTS = size_t{1} << 18;  // bytes that stay near a core while packs go through them in turn

// Layers of a part that are computed once more on the way back.
uint64_t steps_again(const Residual& net, const ColumnPart& part) {
    uint64_t again = 0;
    for (uint64_t end = net.segment; part.backward && end < net.network.depth; end += net.segment)
        if (part.from < end && end <= part.to) again += net.segment - 1;
    return again;
}

uint32_t packs_of(const Backend& backend, uint64_t columns) {
    const uint64_t lanes = static_cast<uint64_t>(backend.lanes);
    return static_cast<uint32_t>((columns + lanes - 1) / lanes);
}

}  // namespace

size_t column_bytes(const Backend& backend, const Residual& net, uint64_t networks, uint64_t columns) {
    return networks * packs_of(backend, columns) * backend.column_state_bytes(net);
}

ColumnRun::ColumnRun(const Backend& backend, const Residual& net, const ColumnChunk& chunk, const ColumnPart& part,
                     int threads)
    : backend_(backend),
      net_(net),
      chunk_(chunk),
      part_(part),
      packs_(packs_of(backend, chunk.columns)),
      tasks_([this](size_t thread, uint64_t task) { return work(*workers_[thread], task); }, [] {}) {
    const uint64_t n_threads = static_cast<uint64_t>(threads);
    // Some tasks for each thread, so that none waits long for the last one; of few packs where there are few of them.
    const uint64_t each = uint64_t{chunk.networks} * packs_ / (4 * n_threads);
    together_ = static_cast<uint32_t>(std::clamp<uint64_t>(each, 1, packs_));
    tasks_of_network_ = (packs_ + together_ - 1) / together_;
    const size_t matrix = sizeof(float) * net.network.width * size_t{net.inner};
    const size_t layer = matrix * (net.block == BLOCK_V_PHI_W ? 2 : 1);
    stride_ = together_ == 1 ? std::max(1u, part.to - part.from)
                             : static_cast<uint32_t>(std::max<size_t>(CACHED_WEIGHTS / layer, 1));
    steps_ = chunk.networks * uint64_t{packs_} * (part.to - part.from + steps_again(net, part));
    const uint64_t n_tasks = tasks_of_network_ * chunk.networks;
    for (uint64_t i = 0; i < std::min(n_threads, n_tasks); ++i) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->scratch = aligned_array<char>(backend.column_scratch_bytes(net), false);
    }
    tasks_.start(n_threads, n_tasks);
}

double ColumnRun::fraction() const {
    uint64_t done = 0;
    for (const auto& worker : workers_) done += __atomic_load_n(&worker->done, __ATOMIC_RELAXED);
    return std::min(1.0, static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(steps_, 1)));
}

// Some packs of one network: through a few layers, whose weights stay in a cache meanwhile, then through the next.
bool ColumnRun::work(Worker& worker, uint64_t task) {
    const uint32_t network = static_cast<uint32_t>(task / tasks_of_network_);
    const uint32_t first = static_cast<uint32_t>(task % tasks_of_network_) * together_;
    const uint32_t last = std::min(first + together_, packs_);
    const Control control{tasks_.stop_flag(), &worker.done};
    const auto go = [&](uint32_t from, uint32_t to) {
        for (uint32_t pack = first; pack < last; ++pack)
            if (!backend_.simulate_columns(net_, chunk_, part_.backward, network, pack, from, to, worker.scratch.get(),
                                           control))
                return false;
        return true;
    };
    if (part_.from == part_.to) return go(part_.from, part_.to);  // a network of no layers
    for (uint32_t done = 0, all = part_.to - part_.from; done < all; done += stride_) {
        const uint32_t next = std::min(done + stride_, all);
        if (!(part_.backward ? go(part_.to - next, part_.to - done) : go(part_.from + done, part_.from + next)))
            return false;
    }
    return true;
}

}  // namespace resmc
