// Single words and normals for the tests, and the generator alone as the limit of every benchmark.
#pragma once

#include "../include/resmc/normal.hpp"
#include "../include/resmc/philox.hpp"
#include "arguments.hpp"

RESMC_NAMESPACE_BEGIN

// The four words of one counter, as every thread of the warp draws them; ~word where two threads disagree.
template <class Warp>
RESMC_KERNEL_FN void draw_words(Warp& warp, const PhiloxKeys& keys, uint32_t word1, uint32_t word2, uint32_t word3,
                                uint32_t quad, uint32_t* out) {
    const auto prefix = philox_prefix(keys, word1, widen(Word(word2)), word3);
    const auto x = philox(keys, prefix, widen(Word(quad)));
    const Word words[4] = {narrow(x.x0), narrow(x.x1), narrow(x.x2), narrow(x.x3)};
    for (uint32_t k = 0; k < 4; ++k) {
        const Word differs = words[k] ^ warp.shuffle_xor(words[k], 1);
        warp.store_if(warp.lane_is_0(), out, Word(0u), 0, Word(k),
                      words[k] ^ select_zero(differs, Word(0u), ~Word(0u)));
    }
}

// The four normals of each of n counters' words, [n][4].
template <class Warp>
RESMC_KERNEL_FN void make_normals(Warp& warp, const float* words, uint32_t n, float* out) {
    const Word i = warp.lane() + WARP * (warp.index() + warp.block() * (warp.block_threads() / WARP));
    const Word inside = (i - n) >> 31;
    Real w[4], g[4];
    warp.load(words, select_zero(inside, Word(0u), i << 2), w);
    box_muller(as_word(w[0]), as_word(w[1]), g[0], g[1]);
    box_muller(as_word(w[2]), as_word(w[3]), g[2], g[3]);
    warp.store_if(inside, out, i << 2, g);
}

// sqrt_normal of each of n numbers.
template <class Warp>
RESMC_KERNEL_FN void make_roots(Warp& warp, const float* from, uint32_t n, float* out) {
    const Word i = warp.lane() + WARP * (warp.index() + warp.block() * (warp.block_threads() / WARP));
    const Word inside = (i - n) >> 31;
    warp.store_if(inside, out, Word(0u), 0, i, sqrt_normal(warp.load(from, select_zero(inside, Word(0u), i))));
}

// The generator alone: what a network of this shape draws, layer by layer, added up. Every thread of the launch, whole
// blocks of them, leaves a sum.
template <class Warp>
RESMC_KERNEL_FN void draw_and_forget(Warp& warp, const DrawArguments& a) {
    const Word thread = warp.lane() + WARP * (warp.index() + warp.block() * (warp.block_threads() / WARP));
    const Word network = thread >> static_cast<int>(a.log2_threads);
    const uint32_t threads = 1u << a.log2_threads;
    const Word rank = thread & (threads - 1);
    Real sum(0.0f);
    for (uint32_t l = 0; l < a.depth; ++l) {
        const auto prefix = philox_prefix(a.keys, counter_word1(STREAM_RESIDUAL, l), widen(network), 0u);
        RESMC_UNROLL_DEVICE(2)
        for (uint32_t round = 0; round < a.rounds; ++round) {
            const auto x = philox(a.keys, prefix, widen(rank + round * threads));
            Real g[4];
            box_muller(narrow(x.x0), narrow(x.x1), g[0], g[1]);
            box_muller(narrow(x.x2), narrow(x.x3), g[2], g[3]);
            sum = sum + ((g[0] + g[1]) + (g[2] + g[3]));
        }
    }
    warp.store_if(~Word(0u), a.sums, Word(0u), 0, thread, sum);
}

RESMC_NAMESPACE_END
