// The dense method: every weight W_l[i, j] is drawn (stream DENSE_WEIGHTS, flat index i n + j), used once and
// forgotten. Cost n^2 per layer. It is the ground truth for the projected method and draws nothing in common with it
// but z_0 and the signs.
//
// phi(z) is seen by the whole team. A Vector keeps it by quads, with quads of zeros on either side, so that a row of
// weights that begins or ends inside a quad needs no case of its own:
//   vector.load(j)                   neuron j, -4 <= j < 4 VECTOR_QUADS(n) - 4
//   vector.store(quad, x[4])         by the member that owns the quad
//   vector.clear_edges(team, quads)  the quads of zeros before and after `quads` of them
#pragma once

#include "activation_table.hpp"
#include "projected.hpp"

RESMC_NAMESPACE_BEGIN

// Quads that a Vector of n neurons takes: one of zeros before, two after.
RESMC_FN constexpr uint64_t vector_quads(uint64_t n) { return (n + 3) / 4 + 3; }

// Four weights of mean 0 and variance 1 from the words of their quad.
struct GaussianWeights {
    template <class Word, class Real>
    RESMC_FN void operator()(const Word (&w)[4], Real (&g)[4]) const {
        box_muller(w[0], w[1], g[0], g[1]);
        box_muller(w[2], w[3], g[2], g[3]);
    }
};
struct WeightsOfLaw {
    WeightLaw law;
    template <class Word, class Real>
    RESMC_FN void operator()(const Word (&w)[4], Real (&g)[4]) const {
        if (law == WEIGHTS_GAUSSIAN) return GaussianWeights{}(w, g);
        for (uint32_t k = 0; k < 4; ++k)
            g[k] = law == WEIGHTS_UNIFORM
                       ? fma(to_real(w[k]), Real(1.7320508075688772f * 0x1p-31f), Real(1.7320508075688772f * 0x1p-32f))
                       : as_real((w[k] & 0x80000000u) | 0x3F800000u);  // +-1 by the sign
    }
};
// Of a network's matrices: of such a law, or of a table, which GPUs do not have.
struct MatrixWeights {
    WeightLaw law;
    Table table;
    template <class Word, class Real>
    RESMC_FN void operator()(const Word (&w)[4], Real (&g)[4]) const {
        if (ON_CPU && law == WEIGHTS_TABLE) {
            GaussianWeights{}(w, g);
            for (uint32_t k = 0; k < 4; ++k) {
                Real slope;
                activate_table(table, Real(1.0f), Real(1.0f), g[k], g[k], slope);
            }
            return;
        }
        WeightsOfLaw{law}(w, g);
    }
};

// sum_j W[row, j] x_j over j < n for the rows of flat indices row n .. row n + n - 1. A row may begin and end inside a
// quad; the weights of that quad that belong to the neighbouring rows are drawn there again, and meet zeros.
template <class Team, class Vector, class Weights = GaussianWeights>
RESMC_FN auto row_product(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix, uint32_t width,
                          const Team& team, typename Team::Index row, const Vector& x, Weights weights = {}) {
    using Real = typename Team::Real;
    using Index = typename Team::Index;
    using Words = typename Team::Word[4];
    auto hi = widen(row), lo = hi;
    multiply(width, hi, hi, lo);           // the flat index row n, below 2^34
    const Index before = narrow(lo) & 3u;  // weights of the first quad that belong to row - 1
    const Index first = narrow(lo) >> 2 | narrow(hi) << 30;
    const uint32_t quads = team.row_quads(width, before);
    const auto quad_of = [&](uint32_t q) RESMC_LAMBDA { return first + q; };
    Real total(0.0f);
    for (uint32_t begin = 0; begin < quads; begin += SUM_RUN) {
        const uint32_t end = quads - begin < SUM_RUN ? quads : begin + SUM_RUN;
        Real run(0.0f);
        each_quad<Team>(keys, prefix, begin, end, quad_of, [&](uint32_t q, const Words& w) RESMC_LAMBDA {
            Real g[4];
            weights(w, g);
            const Index j = Index(4 * q) - before;
            run = fma(g[0], x.load(j), run);
            run = fma(g[1], x.load(j + 1u), run);
            run = fma(g[2], x.load(j + 2u), run);
            run = fma(g[3], x.load(j + 3u), run);
        });
        total = total + run;
    }
    return total;
}

// Layer after layer with explicit weights: z in `state`, phi(z) in two vectors by turns.
template <class Activation, class Team, class State, class Vector, class Recorder>
RESMC_FN bool simulate_dense(const Network& net, const PhiloxKeys& keys, Team& team, typename Team::Word word2,
                             uint32_t word3, State& state, Vector& phi, Vector& phi_next, Recorder& recorder) {
    using Real = typename Team::Real;
    using Word = typename Team::Word;
    using Index = typename Team::Index;
    using Sum = Sums<Real, typename Team::Count>;
    const typename Team::Wide networks = widen(word2);
    const uint32_t rounds = team.rounds(net.width), quads = (net.width + 3) / 4;
    phi.clear_edges(team, quads);
    phi_next.clear_edges(team, quads);
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
        for (uint32_t round = 0, n_run = 0; round < rounds; ++round) {
            const Index quad = team.quad(round), first = quad << 2;
            Word w1(0u), w3(0u);
            Real z[4] = {}, active[4] = {};
            if (first_layer || Activation::has_signs) {
                const auto x = philox(keys, draw, widen(quad));
                w1 = narrow(x.x1);
                w3 = narrow(x.x3);
                if (first_layer) {
                    box_muller(narrow(x.x0), w1, z[0], z[1]);
                    box_muller(narrow(x.x2), w3, z[2], z[3]);
                }
            }
            if (!first_layer) {
                state.load(round, z);
                RESMC_UNROLL_DEVICE(4)
                for (uint32_t k = 0; k < 4; ++k) {
                    if (team.stopped()) return false;
                    if (team.outside(first + k, net.width)) break;
                    const Real y = row_product(keys, weights, net.width, team, first + k, phi);
                    z[k] = fma(coefficients.step, y, coefficients.carry * z[k]);
                }
            }
            auto neuron = [&]<int k>() RESMC_LAMBDA {
                const Index i = first + static_cast<uint32_t>(k);
                if (team.outside(i, net.width)) {
                    z[k] = Real(0.0f);
                    return;
                }
                z[k] = team.inside(i, net.width, z[k]);
                active[k] = Activation::template phi<k>(z[k], k < 2 ? w1 : w3);
                run.square = fma(z[k], z[k], run.square);
                run.active_square = fma(active[k], active[k], run.active_square);
                count_positive(run.active, active[k]);
            };
            neuron.template operator()<0>();
            neuron.template operator()<1>();
            neuron.template operator()<2>();
            neuron.template operator()<3>();
            state.store(round, z);
            phi_next.store(quad, active);
            if (++n_run == SUM_RUN) {
                add(total, run);
                run = Sum{};
                n_run = 0;
            }
        }
        add(total, run);
        sums = team.reduce(total);
        team.sync();
        recorder.layer(l, sums, exponent);
        const Vector swap = phi;
        phi = phi_next;
        phi_next = swap;
    }
    if (recorder.wants_output()) {  // from z itself, which the team has to see first
        const auto weights = philox_prefix(keys, counter_word1(STREAM_DENSE_OUTPUT, net.depth), networks, word3);
        for (uint32_t round = 0; round < rounds; ++round) {
            Real z[4];
            state.load(round, z);
            phi.store(team.quad(round), z);
        }
        team.sync();
        for (uint32_t round = 0; round < team.rounds(net.n_out); ++round) {
            const Index first = team.quad(round) << 2;
            for (uint32_t k = 0; k < 4; ++k) {
                if (team.stopped()) return false;
                if (team.outside(first + k, net.n_out)) break;
                recorder.output(first + k,
                                row_product(keys, weights, net.width, team, first + k, phi) * Real(net.readout));
            }
        }
    }
    return true;
}

RESMC_NAMESPACE_END
