// A thread block on one thread of the host: a fiber for each of its threads, which run in any order between barriers.
//
// What is against the rules of CUDA ends the launch by a Fault that names kernel, line, block and thread:
// - an access out of bounds, misaligned, of shared memory that nobody has written, or that races with another;
// - a shuffle or a barrier of a warp whose mask leaves out the thread itself, or names one that has ended or is absent;
//   a shuffle that reads a lane outside of the mask;
// - barriers that not all threads of the block reach, or that are several;
// - threads that wait for each other for ever.
// Stricter than CUDA, but as our kernels are written: threads meet at the same instruction, not only at the same
// barrier, no thread ends while others still meet, and shuffles put no memory accesses in an order.
#pragma once

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "fibers.hpp"
#include "memory.hpp"
#include "program.hpp"

namespace ptx {

constexpr uint32_t MOST_THREADS = 1024;

struct Fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Counters {
    uint64_t blocks, barriers, collectives, accesses;
};

// How launches run, whatever the kernel.
struct Settings {
    uint64_t order = 0;  // seed of the order of blocks, warps and threads; 0: as they are numbered
    // How far the approximate root may be from the exact one, in units of its last place; the manual allows 2^-22.9.
    int rsqrt_ulps = 2;
};

inline std::string demangled(const char* name) {
    int status = 0;
    char* const text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    std::string out = status == 0 ? text : name;
    std::free(text);
    return out;
}

class Block {
   public:
    // Sees to one launch, block after block; `first` is the number of its first block.
    Block(const Program& program, uint32_t threads, uint32_t blocks, uint64_t shared_bytes, const char* parameters,
          Memory& memory, Fibers& fibers, Counters& counters, const Settings& settings, uint32_t first)
        : program(program),
          memory(memory),
          fibers(fibers),
          counters(counters),
          settings(settings),
          random(settings.order),
          parameters(parameters),
          launch(first),
          shared(shared_bytes, 0xFF),
          warps((threads + WARP_THREADS - 1) / WARP_THREADS) {
        for (uint32_t t = 0; t < threads; ++t) {
            all.emplace_back(*this, warps[t / WARP_THREADS]);
            all.back().tid = t;
            all.back().ntid = threads;
            all.back().nctaid = blocks;
        }
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    void run(uint32_t index, uint32_t number_) {
        number = number_, epoch = 0;
        ++counters.blocks;
        for (Warp& warp : warps) warp = Warp{};
        for (One& thread : all) thread.ctaid = index, thread.state = State::READY;
        std::vector<uint32_t> order(warps.size());
        for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
        do {
            mix(order);
            for (const uint32_t warp : order) run_warp(warp);
        } while (pass_barrier());
    }

   private:
    enum class State { READY, SHUFFLE, WARP_BARRIER, BARRIER, ENDED };
    struct Warp {
        uint32_t time = 0;
        std::array<std::array<uint32_t, WARP_THREADS>, WARP_THREADS> met{};
    };

    struct One final : Thread {
        One(Block& block, Warp& warp) : block(block), warp(warp) {}

        const char* read(Space space, uint64_t address, uint32_t bytes, uint32_t site) override {
            return block.access(*this, space, address, bytes, site, Use::READ);
        }
        char* write(Space space, uint64_t address, uint32_t bytes, uint32_t site) override {
            return block.access(*this, space, address, bytes, site, Use::WRITE);
        }
        char* atomic(Space space, uint64_t address, uint32_t bytes, uint32_t site) override {
            return block.access(*this, space, address, bytes, site, Use::ATOMIC);
        }
        void barrier(uint32_t at) override { wait(State::BARRIER, at, 0); }
        void warp_barrier(uint32_t of, uint32_t at) override {
            block.check_mask(*this, of, at);
            wait(State::WARP_BARRIER, at, of);
        }
        bool shuffle(Shuffle kind, uint32_t& x, uint32_t b, uint32_t c, uint32_t of, uint32_t at) override {
            block.check_mask(*this, of, at);
            const bool inside = choose(kind, b & 31u, c);
            if (!(of >> source & 1u)) block.fail(*this, at, "reads lane " + std::to_string(source) + outside(of));
            value = x;
            wait(State::SHUFFLE, at, of);
            x = value;
            return inside;
        }
        // A hash of the argument decides how far from the exact root the approximation is.
        float rsqrt_approx(float x) override {
            if (std::fabs(x) < std::numeric_limits<float>::min()) x = std::copysign(0.0f, x);
            const float exact = static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
            const uint32_t most = static_cast<uint32_t>(block.settings.rsqrt_ulps);
            if (most == 0 || !std::isfinite(exact)) return exact;
            const uint32_t hash = as_bits(x) * 2654435761u >> 13;
            return as_float(as_bits(exact) + hash % (2 * most + 1) - most);
        }
        [[noreturn]] void fail(const char* why, uint32_t at) override { block.fail(*this, at, why); }

        // 9.7.9.6: source, and whether it is within the segment that c describes.
        bool choose(Shuffle kind, uint32_t b, uint32_t c) {
            const uint32_t lane = tid % WARP_THREADS, segment = c >> 8 & 31u;
            const uint32_t lowest = lane & segment, end = lowest | (c & 31u & ~segment);
            uint32_t from = lane;
            bool inside = false;
            switch (kind) {
                case Shuffle::UP:
                    from = lane - b, inside = static_cast<int32_t>(from) >= static_cast<int32_t>(end);
                    break;
                case Shuffle::DOWN:
                    from = lane + b, inside = from <= end;
                    break;
                case Shuffle::BFLY:
                    from = lane ^ b, inside = from <= end;
                    break;
                case Shuffle::IDX:
                    from = lowest | (b & ~segment), inside = from <= end;
                    break;
            }
            source = inside ? from : lane;
            return inside;
        }
        void wait(State for_what, uint32_t at, uint32_t of) {
            state = for_what, site = at, mask = of;
            block.fibers.leave();
        }

        Block& block;
        Warp& warp;
        State state = State::ENDED;
        uint32_t site = 0, mask = 0, value = 0, source = 0;
    };

    // ---- the order of things ----------------------------------------------------------------------------------------

    void mix(std::vector<uint32_t>& order) {
        if (settings.order != 0) std::shuffle(order.begin(), order.end(), random);
    }

    One* member(uint32_t warp, uint32_t lane) {
        const uint32_t t = warp * WARP_THREADS + lane;
        return t < all.size() ? &all[t] : nullptr;
    }

    // Every thread of a warp until it waits for the block, or has ended.
    void run_warp(uint32_t warp) {
        std::vector<uint32_t> order;
        for (uint32_t lane = 0; lane < WARP_THREADS && member(warp, lane) != nullptr; ++lane) order.push_back(lane);
        for (bool moved = true; moved;) {
            moved = false;
            mix(order);
            for (const uint32_t lane : order)
                if (One& thread = *member(warp, lane); thread.state == State::READY) moved = true, resume(thread);
            for (const uint32_t lane : order) moved |= meet(warp, *member(warp, lane));
        }
        for (const uint32_t lane : order) {
            const One& thread = *member(warp, lane);
            if (thread.state == State::SHUFFLE || thread.state == State::WARP_BARRIER) fail_stuck(warp, thread);
        }
    }

    void resume(One& thread) {
        const bool ended = fibers.resume(thread.tid, job);
        if (!fault.empty()) throw Fault(fault);
        if (ended) thread.state = State::ENDED;
    }

    // Lets those go on whom the mask of a waiting thread names, if they all wait where it does.
    bool meet(uint32_t warp, One& thread) {
        if (thread.state != State::SHUFFLE && thread.state != State::WARP_BARRIER) return false;
        const State kind = thread.state;
        const uint32_t mask = thread.mask, site = thread.site;
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane) {
            if (!(mask >> lane & 1u)) continue;
            const One& other = *member(warp, lane);
            if (other.state == State::ENDED)
                fail(thread, site, "waits for thread " + std::to_string(other.tid) + ", which has ended");
            if (other.state != kind || other.site != site || other.mask != mask) return false;
        }
        ++counters.collectives;
        uint32_t values[WARP_THREADS];
        std::array<uint32_t, WARP_THREADS> latest{};
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane) {
            if (!(mask >> lane & 1u)) continue;
            values[lane] = member(warp, lane)->value;
            for (uint32_t k = 0; k < WARP_THREADS; ++k) latest[k] = std::max(latest[k], thread.warp.met[lane][k]);
        }
        if (kind == State::WARP_BARRIER) {
            ++thread.warp.time;
            for (uint32_t lane = 0; lane < WARP_THREADS; ++lane)
                if (mask >> lane & 1u) latest[lane] = thread.warp.time;
        }
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane) {
            if (!(mask >> lane & 1u)) continue;
            One& other = *member(warp, lane);
            if (kind == State::SHUFFLE)
                other.value = values[other.source];
            else
                thread.warp.met[lane] = latest;
            other.state = State::READY;
        }
        return true;
    }

    // Lets all threads go on if all of them wait for the block; false if all have ended.
    bool pass_barrier() {
        const One* waiting = nullptr;
        const One* ended = nullptr;
        for (const One& thread : all) (thread.state == State::ENDED ? ended : waiting) = &thread;
        if (waiting == nullptr) return false;
        if (ended != nullptr)
            fail(*waiting, waiting->site,
                 "waits at a barrier that thread " + std::to_string(ended->tid) + ", which has ended, will not reach");
        for (const One& thread : all)
            if (thread.site != waiting->site)
                fail(*waiting, waiting->site,
                     "waits at a barrier while thread " + std::to_string(thread.tid) + " waits at another, " +
                         at(thread.site));
        ++epoch;
        ++counters.barriers;
        for (One& thread : all) thread.state = State::READY;
        return true;
    }

    // ---- memory -----------------------------------------------------------------------------------------------------

    enum class Use { READ, WRITE, ATOMIC };

    char* access(One& thread, Space space, uint64_t address, uint32_t bytes, uint32_t site, Use use) {
        if (space == Space::GENERIC) {
            space = Space::GLOBAL;
            if (address - SHARED_WINDOW < WINDOW_BYTES) space = Space::SHARED, address -= SHARED_WINDOW;
            if (address - PARAM_WINDOW < WINDOW_BYTES) space = Space::PARAM, address -= PARAM_WINDOW;
        }
        if (address % bytes != 0) {
            const std::string what = use == Use::READ ? "reads " : "writes ";
            fail(thread, site,
                 what + std::to_string(bytes) + " bytes at " + hexadecimal(address) +
                     ", which is misaligned: no multiple of " + std::to_string(bytes));
        }
        if (space == Space::PARAM) {
            if (use != Use::READ) fail(thread, site, "writes its own parameters");
            if (address + bytes > program.parameter_bytes || address + bytes < bytes)
                fail(thread, site, "reads beyond its parameters");
            return const_cast<char*>(parameters) + address;
        }
        ++counters.accesses;
        Allocation* const where = space == Space::SHARED ? &shared : memory.at(address);
        const uint64_t offset = space == Space::SHARED || where == nullptr ? address : address - where->address();
        if (where == nullptr || offset >= where->size || bytes > where->size - offset)
            fail_bounds(thread, site, use, space, where, offset, address, bytes);
        const uint32_t since = space == Space::SHARED ? number : launch;  // every block finds shared memory unused
        const Access access{since,
                            number,
                            epoch,
                            thread.tid,
                            thread.warp.time,
                            site,
                            thread.warp.met[thread.tid % WARP_THREADS].data()};
        for (uint64_t at = offset; at < offset + bytes; at += 4) {
            Cell& cell = where->cells.of(at);
            Cell::Other other;
            if (use != Use::WRITE && space == Space::SHARED && !cell.written_in(number))
                fail(thread, site, "reads shared memory at " + std::to_string(at) + ", which nobody has written");
            const bool race =
                use == Use::READ ? cell.read_races(access, other) : cell.write_races(access, other, use == Use::ATOMIC);
            if (race) fail_race(thread, site, use, space, other);
        }
        return where->data() + offset;
    }

    // ---- what ends a launch -----------------------------------------------------------------------------------------

    void check_mask(One& thread, uint32_t mask, uint32_t site) {
        if (!(mask >> thread.tid % WARP_THREADS & 1u))
            fail(thread, site, "is not in its own mask, " + hexadecimal(mask));
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane)
            if ((mask >> lane & 1u) && member(thread.tid / WARP_THREADS, lane) == nullptr)
                fail(thread, site, "waits for lane " + std::to_string(lane) + ", where there is no thread");
    }

    [[noreturn]] void fail_bounds(One& thread, uint32_t site, Use use, Space space, const Allocation* below,
                                  uint64_t offset, uint64_t address, uint32_t bytes) {
        std::string what = use == Use::READ ? "reads " : "writes ";
        what += std::to_string(bytes) + " bytes out of bounds: ";
        if (space == Space::SHARED)
            what += "at " + std::to_string(address) + " of " + std::to_string(shared.size) + " bytes of shared memory";
        else if (below != nullptr)
            what += std::to_string(offset) + " bytes into the nearest allocation, of " + std::to_string(below->size);
        else
            what += "there is no allocation at or below " + hexadecimal(address);
        fail(thread, site, what);
    }

    [[noreturn]] void fail_race(One& thread, uint32_t site, Use use, Space space, const Cell::Other& other) {
        std::string what = use == Use::READ ? "reads what" : "writes what";
        what += other.in_another_block ? " a thread of another block" : " thread " + std::to_string(other.thread);
        what += (other.wrote ? " wrote at " : " read at ") + at(other.site);
        what += other.in_another_block ? ", and blocks are in no order" : ", and no barrier is between them";
        fail(thread, site,
             what + (space == Space::SHARED ? " (a race in shared memory)" : " (a race in device memory)"));
    }

    [[noreturn]] void fail_stuck(uint32_t warp, const One& thread) {
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane) {
            if (!(thread.mask >> lane & 1u)) continue;
            const One& other = *member(warp, lane);
            if (other.state == thread.state && other.site == thread.site && other.mask == thread.mask) continue;
            const std::string where = other.state == State::BARRIER ? "" : " with mask " + hexadecimal(other.mask);
            fail(thread, thread.site,
                 "waits with mask " + hexadecimal(thread.mask) + " for thread " + std::to_string(other.tid) +
                     ", which waits elsewhere: " + at(other.site) + where);
        }
        fail(thread, thread.site, "waits for ever");
    }

    [[noreturn]] void fail(const One& thread, uint32_t site, const std::string& why) const {
        throw Fault(demangled(program.name) + ", " + at(site) + ", block " + std::to_string(thread.ctaid) +
                    ", thread " + std::to_string(thread.tid) + ": " + why);
    }

    std::string at(uint32_t site) const {
        return std::string(program.file) + " line " + std::to_string(program.sites[site].line) + " (" +
               program.sites[site].text + ")";
    }
    static std::string hexadecimal(uint64_t x) {
        char text[24];
        std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(x));
        return text;
    }
    static std::string outside(uint32_t mask) { return ", which is outside of its mask, " + hexadecimal(mask); }

    const Program& program;
    Memory& memory;
    Fibers& fibers;
    Counters& counters;
    const Settings& settings;
    std::mt19937_64 random;
    const char* const parameters;
    const uint32_t launch;  // the number of its first block
    uint32_t number = 0, epoch = 0;
    Allocation shared;
    std::vector<Warp> warps;
    std::vector<One> all;
    std::string fault;  // of a fiber
    const std::function<void(uint32_t)> job = [this](uint32_t t) {
        try {
            program.run(all[t]);
        } catch (const std::exception& error) {
            fault = error.what();
        }
    };
};

}  // namespace ptx
