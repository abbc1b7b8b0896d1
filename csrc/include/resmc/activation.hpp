// The activations phi_l as compile-time policies: phi(z, word, k) of neuron k (0..3) of a quad whose draw gave `word`
// (w1 for neurons 0 and 1, w3 for 2 and 3).
//
//   Relu           phi(z) = max(z, 0)
//   Balanced       phi(z) = max(s z, 0), s = -1 where bit 0 (neurons 0, 2) or bit 1 (neurons 1, 3) of the word is set
//   BalancedHalf   the same with s of neurons 1, 3 opposite to that of 0, 2: exactly half of all signs are plus
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

struct Relu {
    static constexpr bool has_signs = false;
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word) {
        return max(z, Real(0.0f));
    }
};

struct Balanced {
    static constexpr bool has_signs = true;
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word w) {
        const Word flip = k % 2 == 0 ? w << 31 : (w << 30) & 0x80000000u;
        return max(as_real(as_word(z) ^ flip), Real(0.0f));
    }
};

struct BalancedHalf {
    static constexpr bool has_signs = true;
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word w) {
        const Word flip = k % 2 == 0 ? w << 31 : (w << 31) ^ 0x80000000u;
        return max(as_real(as_word(z) ^ flip), Real(0.0f));
    }
};

RESMC_NAMESPACE_END
