// Words, normals and their sums: the same bits as with one slot per word.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "checks.hpp"

namespace resmc {

inline bool same_normals(const float* a, const float* b, size_t n) {
#ifdef __FMA__
    return std::memcmp(a, b, n * sizeof *a) == 0;
#else  // two roundings instead of one, in packs alone
    return std::equal(a, a + n, b, [](float x, float y) { return std::fabs(x - y) <= 2e-6f; });
#endif
}

inline void check_words_and_normals() {
    std::mt19937 random(7);
    for (int i = 0; i < 100; ++i) {
        const uint32_t word1 = random(), word2 = random(), word3 = random(), quad = random();
        const uint64_t seed = SEED * static_cast<uint64_t>(i);
        current =
            text("words: seed %llu, %u %u %u %u", static_cast<unsigned long long>(seed), quad, word1, word2, word3);
        std::vector<uint32_t> out = poisoned<uint32_t>(4);
        uint32_t expected[4];
        kernels.words(seed, word1, word2, word3, quad, out.data(), 0, 0);
        scalar_words(seed, word1, word2, word3, quad, expected);
        expect(std::equal(expected, expected + 4, out.data()), "words");
        ++launches_compared;
    }
    for (const uint32_t n : {1u, 31u, 128u, 129u, 5000u}) {
        current = text("normals: %u", n);
        std::vector<uint32_t> words(4 * n);
        for (uint32_t& w : words) w = random();
        const uint32_t edges[4] = {0u, 0xFFFFFFFFu, 0x80000000u, 0x7FFFFFFFu};
        for (size_t k = 0; k < 4; ++k) words[4 * size_t{n} - 4 + k] = edges[k];
        std::vector<float> out = poisoned<float>(4 * n);
        kernels.normals(words.data(), n, out.data(), 0, 0);
        for (uint32_t i = 0; i < n; ++i) {
            const uint32_t from[4] = {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]};
            float expected[4];
            scalar_normals(from, expected);
            expect(same_normals(expected, &out[4 * i], 4), "normals", 0, i);
        }
        ++launches_compared;
    }
    for (const uint32_t log2_threads : {0u, 3u, 5u}) {
        current = text("draw: %u threads", 1u << log2_threads);
        std::vector<float> sums = poisoned<float>(2 * BLOCK_THREADS);
        const DrawArguments a{emulated::philox_keys(SEED), 3, 2, log2_threads, sums.data()};
        kernels.draw(a, sums.size() - 5, 0, 0);  // whole blocks all the same
        for (uint32_t thread = 0; thread < sums.size(); ++thread) {
            float sum = 0.0f;
            for (uint32_t i = 0; i < a.depth * a.rounds; ++i) {
                const uint32_t layer = i / a.rounds, rank = thread % (1u << log2_threads);
                uint32_t words[4];
                float g[4];
                scalar_words(SEED, emulated::counter_word1(STREAM_RESIDUAL, layer), thread >> log2_threads, 0,
                             rank + (i % a.rounds << log2_threads), words);
                scalar_normals(words, g);
                sum += (g[0] + g[1]) + (g[2] + g[3]);
            }
            expect(same_normals(&sum, &sums[thread], 1), "sum of normals", 0, thread);
        }
        ++launches_compared;
    }
}

}  // namespace resmc
