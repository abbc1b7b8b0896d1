// The dense method: every weight W_l[i, j] is drawn (stream DENSE_WEIGHTS, flat index i n + j), used once and
// forgotten. Cost n^2 per layer. It is the ground truth for the projected method and draws nothing in common with it
// but z_0 and the signs.
#pragma once

#include "projected.hpp"

RESMC_NAMESPACE_BEGIN

// sum_j W[row, j] x_j over j < n for the row of flat indices row n .. row n + n - 1. A row may begin and end inside a
// quad; the weights of that quad that belong to the neighbouring rows are drawn there again.
template <class Team, class State>
RESMC_FN auto row_product(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix, uint32_t width,
                          uint64_t row, const State& x) {
    using Real = typename Team::Real;
    const uint64_t flat = row * width;
    const uint32_t before = static_cast<uint32_t>(flat % 4);  // weights of the first quad that belong to row - 1
    const uint32_t first = static_cast<uint32_t>(flat / 4);
    const uint32_t quads = static_cast<uint32_t>((before + static_cast<uint64_t>(width) + 3) / 4);
    Real total(0.0f);
    for (uint32_t begin = 0; begin < quads; begin += SUM_RUN) {
        const uint32_t end = quads - begin < SUM_RUN ? quads : begin + SUM_RUN;
        Real run(0.0f);
        for (uint32_t q = begin; q < end; ++q) {
            const auto w = philox(keys, prefix, first + q);
            Real g[4];
            box_muller(narrow(w.x0), narrow(w.x1), g[0], g[1]);
            box_muller(narrow(w.x2), narrow(w.x3), g[2], g[3]);
            const uint32_t j = 4 * q - before;  // wraps below 0 in the first quad; only j + k is used
            if (q > 0 && j + 4 <= width) {
                RESMC_UNROLL(4)
                for (uint32_t k = 0; k < 4; ++k) run = fma(g[k], x.load(j + k), run);
            } else {
                for (uint32_t k = 0; k < 4; ++k)
                    if (j + k < width) run = fma(g[k], x.load(j + k), run);
            }
        }
        total = total + run;
    }
    return total;
}

// The new z_i is in `state`; leaves phi(z_i) in `phi` and adds to the sums. `quad_words` are the draw's w1 and w3.
template <class Activation, class Team, class State, class Sum>
RESMC_FN void activate(uint32_t quad, uint32_t live, typename Team::Word w1, typename Team::Word w3, const State& state,
                       State& phi, Sum& sums) {
    using Real = typename Team::Real;
    auto neuron = [&]<int k>() RESMC_LAMBDA {
        if (static_cast<uint32_t>(k) >= live) return;
        const Real z = state.load(4 * quad + k);
        const Real active = Activation::template phi<k>(z, k < 2 ? w1 : w3);
        phi.store(4 * quad + k, active);
        sums.square = fma(z, z, sums.square);
        sums.active_square = fma(active, active, sums.active_square);
        count_positive(sums.active, active);
    };
    neuron.template operator()<0>();
    neuron.template operator()<1>();
    neuron.template operator()<2>();
    neuron.template operator()<3>();
}

// Layer after layer with explicit weights. `phi` and `phi_next` are two more states of the same size.
template <class Activation, class Team, class State, class Recorder>
RESMC_FN bool simulate_dense(const Network& net, const PhiloxKeys& keys, Team& team, typename Team::Word word2,
                             uint32_t word3, State& state, State& phi, State& phi_next, Recorder& recorder) {
    using Real = typename Team::Real;
    using Word = typename Team::Word;
    using Sum = Sums<Real, typename Team::Count>;
    const typename Team::Wide networks = widen(word2);
    const uint32_t quads = (net.width + 3) / 4;
    Word exponent(0u);
    Sum sums{};
    for (uint32_t l = 0; l <= net.depth; ++l) {  // makes z_l from z_{l-1}
        const bool first_layer = l == 0;
        // The projected method's draw of z_l gives the signs (and, at layer 0, the normals).
        const auto draw = philox_prefix(
            keys, counter_word1(first_layer ? STREAM_FIRST_LAYER : STREAM_RESIDUAL, first_layer ? 0 : l - 1), networks,
            word3);
        PhiloxPrefix<typename Team::Wide> weights = draw;
        Coefficients<Real> coefficients{};
        if (!first_layer) {
            if (!team.proceed()) return false;
            weights = philox_prefix(keys, counter_word1(STREAM_DENSE_WEIGHTS, l - 1), networks, word3);
            coefficients = next_coefficients(net, sums, Real(1.0f), exponent);
        }
        Sum total{}, run{};
        for (uint32_t quad = team.first(), n_run = 0; quad < quads; quad += team.stride()) {
            const uint32_t live = net.width - 4 * quad < 4 ? net.width - 4 * quad : 4;
            Word w1(0u), w3(0u);
            if (first_layer || Activation::has_signs) {
                const auto x = philox(keys, draw, quad);
                w1 = narrow(x.x1);
                w3 = narrow(x.x3);
                if (first_layer) {
                    Real g[4];
                    box_muller(narrow(x.x0), w1, g[0], g[1]);
                    box_muller(narrow(x.x2), w3, g[2], g[3]);
                    for (uint32_t k = 0; k < live; ++k) state.store(4 * quad + k, g[k]);
                }
            }
            if (!first_layer) {
                for (uint32_t k = 0; k < live; ++k) {
                    if (team.stopped()) return false;
                    const uint32_t i = 4 * quad + k;
                    const Real y = row_product<Team>(keys, weights, net.width, i, phi);
                    state.store(i, fma(coefficients.step, y, coefficients.carry * state.load(i)));
                }
            }
            activate<Activation, Team>(quad, live, w1, w3, state, phi_next, run);
            if (++n_run == SUM_RUN) {
                add(total, run);
                run = Sum{};
                n_run = 0;
            }
        }
        add(total, run);
        sums = team.reduce(total);
        recorder.layer(l, sums, exponent);
        const State swap = phi;
        phi = phi_next;
        phi_next = swap;
    }
    if (recorder.wants_output()) {
        const auto weights = philox_prefix(keys, counter_word1(STREAM_DENSE_OUTPUT, net.depth), networks, word3);
        for (uint32_t k = team.first(); k < net.n_out; k += team.stride()) {
            if (team.stopped()) return false;
            recorder.output(k, row_product<Team>(keys, weights, net.width, k, state) * Real(net.readout), exponent);
        }
    }
    return true;
}

RESMC_NAMESPACE_END
