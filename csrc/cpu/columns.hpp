// Columns of networks whose weights are handed in, on the CPU's threads: one way through some of the layers.
#pragma once

#include <memory>
#include <vector>

#include "aligned.hpp"
#include "backend.hpp"
#include "tasks.hpp"

namespace resmc {

// Bytes of a chunk's state, of all its networks.
size_t column_bytes(const Backend&, const Residual&, uint64_t networks, uint64_t columns);

// A part of all layers, from layer `from` to layer `to`, or back.
struct ColumnPart {
    bool backward;
    uint32_t from, to;
};

class ColumnRun {
   public:
    ColumnRun(const Backend&, const Residual&, const ColumnChunk&, const ColumnPart&, int threads);

    bool wait(double seconds) { return tasks_.wait(seconds); }
    double fraction() const;  // of the work, for a progress bar
    void stop() { tasks_.stop(); }
    void finish() { tasks_.finish(); }

   private:
    struct Worker {
        std::unique_ptr<char[], Free> scratch;
        alignas(64) uint64_t done = 0;
    };
    bool work(Worker&, uint64_t task);

    const Backend& backend_;
    const Residual net_;
    const ColumnChunk chunk_;
    const ColumnPart part_;
    uint32_t packs_, together_, stride_;  // of a network; that go through `stride` layers one after another
    uint64_t tasks_of_network_, steps_;
    std::vector<std::unique_ptr<Worker>> workers_;
    Tasks tasks_;  // the last: its threads end before what they use
};

}  // namespace resmc
