// What a kernel may read and write, and who did so last: bounds of allocations, and races between threads.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace ptx {

constexpr uint32_t WARP_THREADS = 32;

// Who accesses memory, and what has been made to happen before. Blocks are numbered through all launches; the epoch
// counts a block's barriers, the time a warp's own.
struct Access {
    uint32_t launch;  // number of its first block
    uint32_t block, epoch, thread, time, site;
    const uint32_t* met;  // by lane of the same warp: when it and this thread last met at a barrier of the warp

    uint32_t warp() const { return thread / WARP_THREADS; }
    uint32_t lane() const { return thread % WARP_THREADS; }
};

// Four bytes, and who used them last. Two threads that use different bytes of the four count as using the same.
//
// Two accesses of which one writes are a race if nothing puts one before the other: another launch, a barrier of the
// block, or one of the warp in which both take part. Blocks of a launch are in no order. Of readers since the last
// write those are known that no later reader is ordered behind.
class Cell {
   public:
    bool written_in(uint32_t block) const { return write.block == block; }

    // The access that this one races with, or null.
    struct Other {
        uint32_t thread, site;
        bool wrote, in_another_block;
    };
    bool read_races(const Access& a, Other& other) {
        if (!before(a, write.block, write.epoch, write.thread, write.time)) return found(a, other, true);
        if (readers_before(a)) {
            read = {a.block, a.epoch, a.time, a.thread, a.site};
            warps = 1u << a.warp(), lanes = 1u << a.lane(), several_blocks = false;
            return false;
        }
        several_blocks |= read.block != a.block;
        if (read.block != a.block || read.thread / WARP_THREADS != a.warp()) lanes = 0;
        read = {a.block, a.epoch, a.time, a.thread, a.site};
        warps |= 1u << a.warp(), lanes |= 1u << a.lane();
        return false;
    }
    bool write_races(const Access& a, Other& other, bool is_atomic) {
        if (!(atomic && is_atomic) && !before(a, write.block, write.epoch, write.thread, write.time))
            return found(a, other, true);
        if (!readers_before(a)) return found(a, other, false);
        write = {a.block, a.epoch, a.time, a.thread, a.site};
        atomic = is_atomic;
        read.block = 0, several_blocks = false;
        return false;
    }

   private:
    struct Last {
        uint32_t block, epoch, time, thread, site;
    };

    static bool before(const Access& a, uint32_t block, uint32_t epoch, uint32_t thread, uint32_t time) {
        if (block < a.launch) return true;
        if (block != a.block) return false;
        if (epoch < a.epoch || thread == a.thread) return true;
        return thread / WARP_THREADS == a.warp() && a.met[thread % WARP_THREADS] > time;
    }
    bool readers_before(const Access& a) const {
        if (read.block < a.launch) return true;
        if (read.block != a.block || several_blocks) return false;
        if (read.epoch < a.epoch) return true;
        if (warps != 1u << a.warp()) return false;
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane)
            if ((lanes >> lane & 1u) && lane != a.lane() && a.met[lane] <= read.time) return false;
        return true;
    }
    bool found(const Access& a, Other& other, bool wrote) const {
        const Last& last = wrote ? write : read;
        other = {last.thread, last.site, wrote, last.block != a.block};
        if (wrote || other.in_another_block || last.thread != a.thread) return true;
        for (uint32_t lane = 0; lane < WARP_THREADS; ++lane)  // this thread has read it too: name another one
            if ((lanes >> lane & 1u) && lane != a.lane()) other.thread = a.warp() * WARP_THREADS + lane;
        for (uint32_t warp = 0; warp < 32; ++warp)
            if ((warps >> warp & 1u) && warp != a.warp()) other.thread = warp * WARP_THREADS;
        return true;
    }

    Last write, read;
    uint32_t warps, lanes;  // that have read; lanes of the last reader's warp
    bool atomic, several_blocks;
};

// Cells for some bytes, all of them unused; zero pages until they are touched.
class Cells {
   public:
    explicit Cells(uint64_t bytes) : first(static_cast<Cell*>(std::calloc(bytes / 4 + 2, sizeof(Cell)))) {
        if (!first) throw std::bad_alloc();
    }
    Cell& of(uint64_t offset) { return first.get()[offset / 4]; }

   private:
    struct Free {
        void operator()(Cell* cells) const { std::free(cells); }
    };
    std::unique_ptr<Cell, Free> first;
};

// Device memory, which is the host's: aligned as cudaMalloc's, with bytes around it that belong to nobody.
class Allocation {
   public:
    Allocation(uint64_t bytes, int fill) : size(bytes), cells(bytes), memory(allocate(bytes)) {
        for (uint64_t i = 0; i < bytes; ++i) memory.get()[i] = static_cast<char>(fill);
    }
    char* data() const { return memory.get(); }
    uint64_t address() const { return reinterpret_cast<uint64_t>(memory.get()); }

    const uint64_t size;
    Cells cells;

   private:
    static constexpr uint64_t ALIGNMENT = 256;
    static char* allocate(uint64_t bytes) {
        void* const place = std::aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 2) * ALIGNMENT);
        if (place == nullptr) throw std::bad_alloc();
        return static_cast<char*>(place);
    }
    struct Free {
        void operator()(char* place) const { std::free(place); }
    };
    std::unique_ptr<char, Free> memory;
};

// All allocations that there are.
class Memory {
   public:
    void add(Allocation& a) { by_address[a.address()] = &a; }
    void remove(Allocation& a) {
        by_address.erase(a.address());
        last = nullptr;
    }
    // The allocation that begins at or below an address, or null.
    Allocation* at(uint64_t address) {
        if (last != nullptr && address - last->address() < last->size) return last;
        const auto above = by_address.upper_bound(address);
        return above == by_address.begin() ? nullptr : last = std::prev(above)->second;
    }

   private:
    std::map<uint64_t, Allocation*> by_address;
    Allocation* last = nullptr;
};

}  // namespace ptx
