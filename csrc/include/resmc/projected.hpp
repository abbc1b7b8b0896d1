// The projected method: exact in law at cost n instead of n^2 per layer.
//
// Given z_l the vector W_l phi(z_l) has the law |phi(z_l)| g, g ~ N(0, I_n) independent of the past, so
//
//     z_{l+1} = alpha z_l + lambda sqrt(2/n) |phi_l(z_l)| g_l
//
// has, jointly over all layers, exactly the law of the network. One pass per layer: draw, update, and sum what the
// next layer needs.
//
// A Team is what shares one network: a single CPU thread, or some threads of a GPU. It deals its members one quad of
// neurons each, round after round; `Index` is a quad's or a neuron's number, a uint32_t where all slots are at the
// same one, else a Word.
//   team.rounds(n)           rounds that n neurons take;  team.state_rounds(n) the same, perhaps a constant
//   team.whole_rounds(n)     in so many of state_rounds no member's quad reaches beyond n; at most one is left
//   team.quad(round)         the members' quads
//   team.outside(i, n)       true if no member's neuron i is below n
//   team.inside(i, n, x)     x, or 0 for the members whose i is not below n
//   team.reduce(sums)        of all members;  team.sync() after which members see what others stored
//   Team::drawn_ahead        how many quads' words a member draws before it makes normals of the first
//   team.proceed()           once a layer, false to abandon the run; team.stopped() looks without counting a layer
// A State is where a member keeps z of its own quads: state.load(round, z[4]), state.store(round, z[4]).
// A Recorder is told of every layer, recorder.layer(l, sums, exponent), and of outputs, recorder.output(k, value).
#pragma once

#include "activation.hpp"
#include "network.hpp"
#include "normal.hpp"
#include "philox.hpp"

RESMC_NAMESPACE_BEGIN

// Floats are summed in runs of this many quads before they join the total, so that a wide layer loses no digits.
constexpr uint32_t SUM_RUN = 32;

template <class Word, class Wide>
RESMC_FN void state_words(const PhiloxState<Wide>& x, Word (&w)[4]) {
    w[0] = narrow(x.x0);
    w[1] = narrow(x.x1);
    w[2] = narrow(x.x2);
    w[3] = narrow(x.x3);
}
template <class Word, class Wide, class Quad>
RESMC_FN void quad_words(const PhiloxKeys& keys, const PhiloxPrefix<Wide>& prefix, Quad quad, Word (&w)[4]) {
    state_words(philox(keys, prefix, widen(quad)), w);
}

// use(round, w) with the four words of quad quad_of(round), for rounds begin .. end - 1.
//
// Words are drawn some quads ahead where the team says so: a processor that looks a few hundred instructions ahead sees
// either loop's next turn, but not the next turn of both in one.
template <class Team, class QuadOf, class Use>
RESMC_FN void each_quad(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix, uint32_t begin,
                        uint32_t end, QuadOf quad_of, Use use) {
    using Word = typename Team::Word;
    constexpr uint32_t ahead = Team::drawn_ahead;
    if constexpr (ahead == 1) {
        RESMC_UNROLL_DEVICE(Team::unroll)
        for (uint32_t round = begin; round < end; ++round) {
            Word w[4];
            quad_words(keys, prefix, quad_of(round), w);
            use(round, w);
        }
    } else {
        for (uint32_t from = begin; from < end; from += ahead) {
            const uint32_t n = end - from < ahead ? end - from : ahead;
            Word w[ahead][4];
            for (uint32_t i = 0; i < n; ++i) quad_words(keys, prefix, quad_of(from + i), w[i]);
            for (uint32_t i = 0; i < n; ++i) use(from + i, w[i]);
        }
    }
}

// The members' quads of one round of the next layer, from their words. `whole`: all four neurons of each are there.
template <class Activation, bool first_layer, bool whole, class Team, class State, class Sum, class Real>
RESMC_FN void update_quad(const Network& net, const typename Team::Word (&w)[4], const Team& team, uint32_t round,
                          const Coefficients<Real>& coefficients, State& state, Sum& sums) {
    const typename Team::Index first = team.quad(round) << 2;
    Real g[4] = {}, z[4] = {};
    box_muller(w[0], w[1], g[0], g[1]);
    if (whole || !team.outside(first + 2u, net.width)) box_muller(w[2], w[3], g[2], g[3]);
    if (!first_layer) state.load(round, z);
    auto neuron = [&]<int k>() RESMC_LAMBDA {
        const typename Team::Index i = first + static_cast<uint32_t>(k);
        if (!whole && team.outside(i, net.width)) return;
        z[k] = first_layer ? g[k] : fma(coefficients.step, g[k], coefficients.carry * z[k]);
        if (!whole) z[k] = team.inside(i, net.width, z[k]);
        sums.square = fma(z[k], z[k], sums.square);
        if constexpr (Activation::has_signs) {  // a condition on s z would keep s z, and spill registers of a GPU
            const Real active = Activation::template phi<k>(z[k], w[k < 2 ? 1 : 3]);
            sums.active_square = fma(active, active, sums.active_square);
            count_positive(sums.active, active);
        } else {
            add_positive(z[k], sums.active_square, sums.active);
        }
    };
    neuron.template operator()<0>();
    neuron.template operator()<1>();
    neuron.template operator()<2>();
    neuron.template operator()<3>();
    state.store(round, z);
}

template <class Activation, bool first_layer, class Team, class State, class Real = typename Team::Real>
RESMC_FN auto projected_layer(const Network& net, const PhiloxKeys& keys, Team& team,
                              const PhiloxPrefix<typename Team::Wide>& prefix, const Coefficients<Real>& coefficients,
                              State& state) {
    using Sum = Sums<Real, typename Team::Count>;
    using Words = typename Team::Word[4];
    const uint32_t rounds = team.state_rounds(net.width), whole = team.whole_rounds(net.width);
    const auto quad_of = [&](uint32_t round) RESMC_LAMBDA { return team.quad(round); };
    Sum total{};
    RESMC_UNROLL_DEVICE(1)
    for (uint32_t begin = 0; begin < whole; begin += SUM_RUN) {
        if (team.stopped()) break;  // what is left unfinished here is abandoned by whoever said stop
        Sum run{};
        const uint32_t end = whole - begin < SUM_RUN ? whole : begin + SUM_RUN;
        each_quad<Team>(keys, prefix, begin, end, quad_of, [&](uint32_t round, const Words& w) RESMC_LAMBDA {
            update_quad<Activation, first_layer, true>(net, w, team, round, coefficients, state, run);
        });
        add(total, run);
    }
    each_quad<Team>(keys, prefix, whole, rounds, quad_of, [&](uint32_t round, const Words& w) RESMC_LAMBDA {
        update_quad<Activation, first_layer, false>(net, w, team, round, coefficients, state, total);
    });
    return team.reduce(total);
}

// Layer l + 1 of networks whose layer l `state` holds, with sums in units of 2^exponent, which become the next one's:
// for networks that rest in between. simulate_projected has it written out, as its registers would be others.
template <class Activation, class Team, class State, class Sum>
RESMC_FN void next_projected_layer(const Network& net, const PhiloxKeys& keys, Team& team, typename Team::Wide networks,
                                   uint32_t word3, uint32_t l, State& state, Sum& sums, typename Team::Word& exponent) {
    const auto coefficients = next_coefficients(net, sums, sqrt(sums.active_square), exponent);
    const auto prefix = philox_prefix(keys, counter_word1(STREAM_RESIDUAL, l), networks, word3);
    sums = projected_layer<Activation, false>(net, keys, team, prefix, coefficients, state);
}

// Networks `word2` (low 32 bits) of one `word3`, from layer 0 to depth. Returns false if the team was told to stop.
template <class Activation, class Team, class State, class Recorder>
RESMC_FN bool simulate_projected(const Network& net, const PhiloxKeys& keys, Team& team, typename Team::Word word2,
                                 uint32_t word3, State& state, Recorder& recorder) {
    using Real = typename Team::Real;
    using Word = typename Team::Word;
    const typename Team::Wide networks = widen(word2);
    auto prefix = philox_prefix(keys, counter_word1(STREAM_FIRST_LAYER, 0), networks, word3);
    auto sums = projected_layer<Activation, true>(net, keys, team, prefix, Coefficients<Real>{}, state);
    Word exponent(0u);
    recorder.layer(0, sums, exponent);
    for (uint32_t l = 0; l < net.depth; ++l) {
        if (!team.proceed()) return false;
        const auto coefficients = next_coefficients(net, sums, sqrt(sums.active_square), exponent);
        prefix = philox_prefix(keys, counter_word1(STREAM_RESIDUAL, l), networks, word3);
        sums = projected_layer<Activation, false>(net, keys, team, prefix, coefficients, state);
        recorder.layer(l + 1, sums, exponent);
    }
    if (recorder.wants_output()) {
        prefix = philox_prefix(keys, counter_word1(STREAM_OUTPUT, net.depth), networks, word3);
        const Real size = sqrt(sums.square) * Real(net.readout);  // z_out | z_d ~ N(0, |z_d|^2 / n I)
        for (uint32_t round = 0; round < team.rounds(net.n_out); ++round) {
            const typename Team::Index quad = team.quad(round);
            const auto x = philox(keys, prefix, widen(quad));
            Real g[4];
            box_muller(narrow(x.x0), narrow(x.x1), g[0], g[1]);
            box_muller(narrow(x.x2), narrow(x.x3), g[2], g[3]);
            for (uint32_t k = 0; k < 4; ++k) recorder.output((quad << 2) + k, size * g[k]);
        }
    }
    return true;
}

RESMC_NAMESPACE_END
