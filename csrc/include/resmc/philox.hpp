// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), over any word type.
//
// Counter of this project: word 0 = quad, word 1 = stream << 20 | layer, word 2 = network (low 32 bits),
// word 3 = network >> 32 | input << 16; key = the 64-bit seed. Neuron i takes output i mod 4 of quad i div 4.
//
// A target supplies `Wide`, a word held in whatever form its widening multiplication likes, with
//   multiply(m, x, hi, lo)   hi, lo = the two halves of the 64-bit product m x
//   x ^ y,  x ^ uint32_t     exclusive or
// A quad's index is a Wide as well, or a plain uint32_t where all slots draw the same quad.
#pragma once

#include "streams.hpp"
#include "target.hpp"

namespace resmc {

constexpr uint32_t PHILOX_M0 = 0xD2511F53u, PHILOX_M1 = 0xCD9E8D57u;
constexpr uint32_t PHILOX_W0 = 0x9E3779B9u, PHILOX_W1 = 0xBB67AE85u;
constexpr int PHILOX_ROUNDS = 10;

// The key of every round: the seed and what Philox adds to it.
struct PhiloxKeys {
    uint32_t k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];
};

}  // namespace resmc

RESMC_NAMESPACE_BEGIN

// What is the same in every slot needs no Wide.
RESMC_FN void multiply(uint32_t m, uint32_t x, uint32_t& hi, uint32_t& lo) {
    const uint64_t product = static_cast<uint64_t>(m) * x;
    hi = static_cast<uint32_t>(product >> 32);
    lo = static_cast<uint32_t>(product);
}
RESMC_FN uint32_t widen(uint32_t x) { return x; }
RESMC_FN uint32_t narrow(uint32_t x) { return x; }

RESMC_FN PhiloxKeys philox_keys(uint64_t seed) {
    PhiloxKeys keys{};
    for (int r = 0; r < PHILOX_ROUNDS; ++r) {
        keys.k0[r] = static_cast<uint32_t>(seed) + static_cast<uint32_t>(r) * PHILOX_W0;
        keys.k1[r] = static_cast<uint32_t>(seed >> 32) + static_cast<uint32_t>(r) * PHILOX_W1;
    }
    return keys;
}

template <class Wide>
struct PhiloxState {
    Wide x0, x1, x2, x3;
};

template <class Wide>
RESMC_FN void philox_round(PhiloxState<Wide>& s, uint32_t k0, uint32_t k1) {
    Wide hi0, lo0, hi1, lo1;
    multiply(PHILOX_M0, s.x0, hi0, lo0);
    multiply(PHILOX_M1, s.x2, hi1, lo1);
    s.x0 = hi1 ^ s.x1 ^ k0;
    s.x1 = lo1;
    s.x2 = hi0 ^ s.x3 ^ k1;
    s.x3 = lo0;
}

// What the first two rounds know before the quad does: computed once per layer, so that a quad costs eight rounds and
// two products of it alone. Round 1 splits into a part of word 0 (the quad) and a part of words 1 to 3; round 2 mixes
// them.
template <class Wide>
struct PhiloxPrefix {
    Wide x0;            // round 2's x0, lacking hi(M1 x2')
    Wide x2;            // round 2's x2, lacking lo(M0 quad)
    Wide x3;            // round 2's x3
    uint32_t word3_k1;  // round 1's x2, lacking hi(M0 quad)
};

template <class Wide>
RESMC_FN PhiloxPrefix<Wide> philox_prefix(const PhiloxKeys& keys, uint32_t word1, Wide word2, uint32_t word3) {
    Wide hi, lo, hi2, lo2;
    multiply(PHILOX_M1, word2, hi, lo);
    multiply(PHILOX_M0, hi ^ (word1 ^ keys.k0[0]), hi2, lo2);
    return {lo ^ keys.k0[1], hi2 ^ keys.k1[1], lo2, word3 ^ keys.k1[0]};
}

// What draws of one quad share if their prefixes differ in word 3 alone: one of a round's two products.
template <class Wide, class Quad>
struct PhiloxQuad {
    Quad hi;        // of round 1's product with the quad
    Wide hi1, lo1;  // round 3's product with x2
};

template <class Wide, class Quad>
RESMC_FN PhiloxQuad<Wide, Quad> philox_quad(const PhiloxPrefix<Wide>& prefix, Quad quad) {
    PhiloxQuad<Wide, Quad> shared;
    Quad lo;
    multiply(PHILOX_M0, quad, shared.hi, lo);
    multiply(PHILOX_M1, prefix.x2 ^ lo, shared.hi1, shared.lo1);
    return shared;
}

template <class Wide, class Quad>
RESMC_FN PhiloxState<Wide> philox(const PhiloxKeys& keys, const PhiloxPrefix<Wide>& prefix,
                                  const PhiloxQuad<Wide, Quad>& quad) {
    Quad hi2, lo2;
    multiply(PHILOX_M1, quad.hi ^ prefix.word3_k1, hi2, lo2);
    PhiloxState<Wide> s;
    // Round 3 is written out: its x1 may be the same number in every slot and need not become a Wide first.
    Wide hi0, lo0;
    multiply(PHILOX_M0, prefix.x0 ^ hi2, hi0, lo0);
    s.x0 = quad.hi1 ^ (lo2 ^ keys.k0[2]);
    s.x1 = quad.lo1;
    s.x2 = hi0 ^ prefix.x3 ^ keys.k1[2];
    s.x3 = lo0;
    RESMC_UNROLL(10)
    for (int r = 3; r < PHILOX_ROUNDS; ++r) philox_round(s, keys.k0[r], keys.k1[r]);
    return s;
}

template <class Wide, class Quad>
RESMC_FN PhiloxState<Wide> philox(const PhiloxKeys& keys, const PhiloxPrefix<Wide>& prefix, Quad quad) {
    return philox(keys, prefix, philox_quad(prefix, quad));
}

RESMC_FN uint32_t counter_word1(uint32_t stream, uint32_t layer) { return stream << LAYER_BITS | layer; }

RESMC_FN uint32_t counter_word3(uint64_t network, uint32_t input) {
    return static_cast<uint32_t>(network >> 32) | input << 16;
}

RESMC_NAMESPACE_END
