// Threads of a GPU that share one network: a part of a warp (1, 2, .. 32 threads), or a whole block of several warps.
// Written over a Warp, whose values have a slot per thread, so that the same code runs on a GPU and, 32 threads in a
// pack, on a CPU: conditions that differ between threads are selects, collectives are never divergent.
#pragma once

#include "../include/resmc/dense.hpp"
#include "arguments.hpp"

RESMC_NAMESPACE_BEGIN

// ROUNDS: how many quads each thread owns; 0 if that is known at run time only. LONG_LAYERS: a layer may take so long
// that one has to look whether to stop within it.
template <uint32_t ROUNDS, bool LONG_LAYERS>
struct GpuTeam {
    using Real = RESMC_TARGET::Real;
    using Word = RESMC_TARGET::Word;
    using Wide = RESMC_TARGET::Wide;
    using Count = RESMC_TARGET::Word;
    using Index = RESMC_TARGET::Word;
    static constexpr uint32_t unroll = ROUNDS > 0 ? ROUNDS : 2;
    static constexpr uint32_t drawn_ahead = 1;  // other warps fill the time

    Warp& warp;
    const SimulateArguments& arguments;
    Word rank;     // of a thread in its team
    bool reports;  // how far it is: one warp of the launch's first team
    uint32_t reductions = 0, layers = 0, rows = 0;

    RESMC_KERNEL_FN uint32_t rounds(uint32_t n) const {
        return (n + 4 * arguments.shape.threads - 1) / (4 * arguments.shape.threads);
    }
    RESMC_KERNEL_FN uint32_t state_rounds(uint32_t) const { return ROUNDS > 0 ? ROUNDS : arguments.shape.rounds; }
    RESMC_KERNEL_FN uint32_t whole_rounds(uint32_t n) const { return state_rounds(n) - 1; }
    RESMC_KERNEL_FN Word quad(uint32_t round) const { return rank + round * arguments.shape.threads; }
    static RESMC_KERNEL_FN bool outside(Word, uint32_t) { return false; }
    static RESMC_KERNEL_FN Real inside(Word i, uint32_t n, Real x) { return select_negative(i - n, x, Real(0.0f)); }
    static RESMC_KERNEL_FN uint32_t row_quads(uint32_t n, Word) { return (n + 6) / 4; }  // of the longest row

    template <class Sum>
    RESMC_KERNEL_FN Sum reduce(Sum sums) {
        static_assert(sizeof(Sum) <= 4 * sizeof(Real), "a warp leaves four numbers in shared memory at most");
        const uint32_t threads = arguments.shape.threads;
        RESMC_UNROLL(1)
        for (uint32_t mask = (threads < WARP ? threads : WARP) / 2; mask > 0; mask /= 2)
            Sum::each([&](auto& x) { x = x + warp.shuffle_xor(x, mask); }, sums);
        if (threads <= WARP) return sums;
        // Two sets of sums by turns: a warp that is ahead cannot overwrite what another still reads.
        float* const of_warps = warp.shared + 4 * MAX_WARPS * (reductions++ % 2);
        Real mine[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
        uint32_t k = 0;
        Sum::each([&](const auto& x) { mine[k++] = stored(x); }, sums);
        warp.store_once(of_warps + 4 * warp.index(), mine);
        warp.sync_block();
        Sum total{};
        RESMC_UNROLL(1)
        for (uint32_t w = 0; w < threads / WARP; ++w) {
            Real theirs[4];
            Sum more{};
            warp.load(of_warps, Word(4 * w), theirs);
            k = 0;
            Sum::each([&](auto& x) { restore(theirs[k++], x); }, more);
            add(total, more);
        }
        return total;
    }

    RESMC_KERNEL_FN void sync() const {
        if (arguments.shape.threads > WARP)
            warp.sync_block();
        else
            warp.sync();
    }

    RESMC_KERNEL_FN bool stopped() {
        if (!LONG_LAYERS || (++rows & (arguments.look_every_row - 1)) != 0) return false;
        return !goes_on();
    }

    RESMC_KERNEL_FN bool proceed() {
        rank = warp.same_but_unknown(rank);
        if ((++layers & (arguments.look_every - 1)) != 0) return true;
        if (reports) warp.tell(arguments.progress, layers);
        return goes_on();
    }

   private:
    static RESMC_KERNEL_FN Real stored(const Real& x) { return x; }
    static RESMC_KERNEL_FN Real stored(const Word& x) { return as_real(x); }
    static RESMC_KERNEL_FN void restore(const Real& from, Real& x) { x = from; }
    static RESMC_KERNEL_FN void restore(const Real& from, Word& x) { x = as_word(from); }
    RESMC_KERNEL_FN bool goes_on() const {
        if (arguments.shape.threads <= WARP) return warp.look(arguments.stop) == 0;
        // All warps of a team have to see the same: the first one looks.
        uint32_t* const seen = reinterpret_cast<uint32_t*>(warp.shared + 8 * MAX_WARPS);
        warp.sync_block();  // nobody is still reading what was seen last
        if (warp.index() == 0) warp.tell(seen, warp.look(arguments.stop));
        warp.sync_block();
        return warp.look(seen) == 0;
    }
};

// z in registers: all indices are constants once the loops are unrolled.
template <uint32_t ROUNDS>
struct RegisterState {
    Real z[ROUNDS][4];
    RESMC_KERNEL_FN void load(uint32_t round, Real (&x)[4]) const {
        for (int k = 0; k < 4; ++k) x[k] = z[round][k];
    }
    RESMC_KERNEL_FN void store(uint32_t round, const Real (&x)[4]) {
        for (int k = 0; k < 4; ++k) z[round][k] = x[k];
    }
};

// z in the block's memory, [round][thread of the block][4]: neighbouring threads in neighbouring banks.
struct MemoryState {
    Warp& warp;
    float* memory;
    Word thread;
    RESMC_KERNEL_FN Word at(uint32_t round) const { return (thread + round * warp.block_threads()) << 2; }
    RESMC_KERNEL_FN void load(uint32_t round, Real (&x)[4]) const { warp.load(memory, at(round), x); }
    RESMC_KERNEL_FN void store(uint32_t round, const Real (&x)[4]) { warp.store(memory, at(round), x); }
};

// phi(z) of a whole network in the block's memory, seen by its team.
struct MemoryVector {
    Warp* warp;
    float* memory;
    Word start;      // of the network's own part
    uint32_t quads;  // of neurons
    RESMC_KERNEL_FN Real load(Word j) const { return warp->load(memory, start + j + 4u); }
    RESMC_KERNEL_FN void store(Word quad, const Real (&x)[4]) {
        warp->store_if((quad - quads) >> 31, memory, start + (quad << 2) + 4u, x);
    }
    template <class Team>
    RESMC_KERNEL_FN void clear_edges(const Team& team, uint32_t) {
        const Word leader = select_zero(team.rank, Word(1u), Word(0u));
        const Real zeros[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
        warp->store_if(leader, memory, start, zeros);
        warp->store_if(leader, memory, start + 4 * quads + 4u, zeros);
        warp->store_if(leader, memory, start + 4 * quads + 8u, zeros);
    }
};

RESMC_NAMESPACE_END
