// The projected method: exact in law at cost n instead of n^2 per layer.
//
// Given z_l the vector W_l phi(z_l) has the law |phi(z_l)| g, g ~ N(0, I_n) independent of the past, so
//
//     z_{l+1} = alpha z_l + lambda sqrt(2/n) |phi_l(z_l)| g_l
//
// has, jointly over all layers, exactly the law of the network. One pass per layer: draw, update, and sum what the
// next layer needs.
//
// A Team is what shares one network (a single CPU thread, or the lanes of a GPU): it owns every stride-th quad,
//   team.first(), team.stride(), team.owns(quad), team.reduce(sums);
//   team.proceed() once a layer, false to abandon the run; team.stopped() looks without counting a layer.
// A State is where the team keeps z: state.load(i), state.store(i, z). A Recorder is told of every layer:
//   recorder.layer(l, sums, exponent), and of the end: recorder.finish(...).
#pragma once

#include "activation.hpp"
#include "network.hpp"
#include "normal.hpp"
#include "philox.hpp"

RESMC_NAMESPACE_BEGIN

// Floats are summed in runs of this many quads before they join the total, so that a wide layer loses no digits.
constexpr uint32_t SUM_RUN = 32;

// Neurons 4 quad .. 4 quad + live - 1 of the next layer.
template <class Activation, bool first_layer, int live, class Team, class State, class Sum, class Real>
RESMC_FN void update_quad(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix, uint32_t quad,
                          const Coefficients<Real>& coefficients, State& state, Sum& sums) {
    using Word = typename Team::Word;
    const auto x = philox(keys, prefix, quad);
    const Word w1 = narrow(x.x1), w3 = narrow(x.x3);
    Real g[4];
    box_muller(narrow(x.x0), w1, g[0], g[1]);
    if (live > 2) box_muller(narrow(x.x2), w3, g[2], g[3]);
    auto neuron = [&]<int k>() RESMC_LAMBDA {
        const uint32_t i = 4 * quad + k;
        Real z = first_layer ? g[k] : fma(coefficients.step, g[k], coefficients.carry * state.load(i));
        state.store(i, z);
        const Real active = Activation::template phi<k>(z, k < 2 ? w1 : w3);
        sums.square = fma(z, z, sums.square);
        sums.active_square = fma(active, active, sums.active_square);
        count_positive(sums.active, active);
    };
    neuron.template operator()<0>();
    if constexpr (live > 1) neuron.template operator()<1>();
    if constexpr (live > 2) neuron.template operator()<2>();
    if constexpr (live > 3) neuron.template operator()<3>();
}

template <class Activation, bool first_layer, class Team, class State, class Real = typename Team::Real>
RESMC_FN auto projected_layer(const Network& net, const PhiloxKeys& keys, Team& team,
                              const PhiloxPrefix<typename Team::Wide>& prefix, const Coefficients<Real>& coefficients,
                              State& state) {
    using Sum = Sums<Real, typename Team::Count>;
    const uint32_t full = net.width / 4;
    Sum total{};
    for (uint32_t begin = team.first(); begin < full; begin += SUM_RUN * team.stride()) {
        if (team.stopped()) break;  // what is left unfinished here is abandoned by whoever said stop
        Sum run{};
        const uint32_t left = (full - begin + team.stride() - 1) / team.stride();
        const uint32_t end = begin + (left < SUM_RUN ? left : SUM_RUN) * team.stride();
        for (uint32_t quad = begin; quad < end; quad += team.stride())
            update_quad<Activation, first_layer, 4, Team>(keys, prefix, quad, coefficients, state, run);
        add(total, run);
    }
    if (net.width % 4 != 0 && team.owns(full)) {
        if (net.width % 4 == 1)
            update_quad<Activation, first_layer, 1, Team>(keys, prefix, full, coefficients, state, total);
        else if (net.width % 4 == 2)
            update_quad<Activation, first_layer, 2, Team>(keys, prefix, full, coefficients, state, total);
        else
            update_quad<Activation, first_layer, 3, Team>(keys, prefix, full, coefficients, state, total);
    }
    return team.reduce(total);
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
        for (uint32_t quad = team.first(); 4 * quad < net.n_out; quad += team.stride()) {
            const auto x = philox(keys, prefix, quad);
            Real g[4];
            box_muller(narrow(x.x0), narrow(x.x1), g[0], g[1]);
            box_muller(narrow(x.x2), narrow(x.x3), g[2], g[3]);
            for (uint32_t k = 0; k < 4 && 4 * quad + k < net.n_out; ++k)
                recorder.output(4 * quad + k, size * g[k], exponent);
        }
    }
    return true;
}

RESMC_NAMESPACE_END
