// Any residual network, layer by layer, and the gradient of one output back through it:
//
//     phi-in      h_{l+1} = carry h_l + s_l (V_l sigma(h_l) + b_l)          dropout: mask sigma(h_l)/sqrt(keep)
//     phi-out     h_{l+1} = carry h_l + s_l sigma(u_l)           u_l = W_l h_l + b_l
//                 h_{l+1} = carry h_l + sigma(s_l u_l)           scaling inside
//     v-phi-w     h_{l+1} = carry h_l + s_l V_l sigma(u_l)       u_l = W_l h_l + b_l
//     p_l = (dh_{l+1}/dh_l)^T p_{l+1},   p_L a row of the readout
//
// With a norm (normalisation.hpp) N h_l stands for h_l in the branch, s_l N(..) for s_l times what the branch gives, or
// h_{l+1} is N of the sum: norm_before, norm_branch, norm_after.
//
// A Branch (residual_projected.hpp, residual_dense.hpp) makes one layer in either direction; here are the two passes.
//
// The backward pass wants every h_l again. They are kept for `segment` layers at a time; of the segments before the
// last one only the first layer, from which they are computed once more. The forward pass's random numbers are drawn
// again.
#pragma once

#include "residual_layers.hpp"

RESMC_NAMESPACE_BEGIN

// Where a forward pass is: h of a layer, the vector that holds it, and how far it is from h_0.
template <class Run>
struct ForwardState {
    typename Run::Layer layer;
    uint32_t vector;
    Size<typename Run::Real, typename Run::Word> change;
};

// The steps of the passes, on a CPU one function each, however many places there are that take them: inlined into each
// other they are what compilers are slow at, and a call costs nothing beside a layer.
template <class Branch, class Run>
RESMC_OUTLINE_FN typename Run::Layer layer_first(Run& run, uint32_t to) {
    return Branch::first(run, to);
}
template <class Run>
RESMC_OUTLINE_FN void layer_copy(Run& run, uint32_t from, uint32_t to) {
    run.copy(from, to);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN auto layer_last(Run& run, uint32_t at) {
    return Branch::first_gradient(run, at);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN typename Run::Layer layer_forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                   uint32_t to, bool follow,
                                                   Size<typename Run::Real, typename Run::Word>& change) {
    return Branch::forward(run, l, from, at, to, follow, change);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN void layer_backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                     Gradient<typename Run::Real, typename Run::Word>& gradient) {
    Branch::backward(run, l, here, at, gradient);
}

// Takes `state` from layer `from` to layer `to`, and calls told(l) at every layer that it comes to. With gradients
// every layer has a vector of its own, behind that of the one before. Returns false if the team was told to stop.
template <class Branch, class Run, class Told>
RESMC_FN bool advance(Run& run, ForwardState<Run>& state, uint32_t from, uint32_t to, bool follow, Told told) {
    for (uint32_t l = from; l < to; ++l) {
        if (!run.team.proceed()) return false;
        const uint32_t next = run.net.gradients ? state.vector + 1 : state.vector;
        state.layer = layer_forward<Branch>(run, l, state.layer, state.vector, next, follow, state.change);
        if (run.net.gradients) run.keep(next, state.layer);
        state.vector = next;
        told(l + 1);
    }
    return true;
}

// A Recorder is told of every layer, recorder.layer(l, sums, exponent, change), in the backward pass of
// recorder.gradient(l, gradient, sums of h_l), and of outputs. These parts make a simulation, one after another; each
// returns false if the team was told to stop.

// Layer 0.
template <class Branch, class Run, class Recorder>
RESMC_FN ForwardState<Run> begin_forward(Run& run, Recorder& recorder) {
    using Real = typename Run::Real;
    ForwardState<Run> state{layer_first<Branch>(run, VECTOR_FIRST), VECTOR_FIRST, {}};
    state.change = {Real(0.0f), state.layer.exponent};
    const Real zeros[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
    for (uint32_t round = 0; round < run.rounds(); ++round) {
        run.vectors.store(VECTOR_CHANGE, round, zeros);
        run.vectors.store(VECTOR_GRADIENT_CHANGE, round, zeros);
    }
    if (run.net.gradients) run.keep(VECTOR_FIRST, state.layer);
    recorder.layer(0, state.layer.sums, state.layer.exponent, state.change);
    return state;
}

// From layer `from`, where `state` is, to layer `to`.
template <class Branch, class Run, class Recorder>
RESMC_FN bool forward_part(Run& run, ForwardState<Run>& state, uint32_t from, uint32_t to, Recorder& recorder) {
    const Residual& net = run.net;
    const uint32_t saved = VECTOR_FIRST + net.segment + 1;
    const auto reached = [&](uint32_t l) RESMC_LAMBDA {
        recorder.layer(l, state.layer.sums, state.layer.exponent, state.change);
        if (!net.gradients || l == net.network.depth || l % net.segment != 0) return;
        layer_copy(run, VECTOR_FIRST, saved + l / net.segment - 1);  // a segment leaves its first layer
        layer_copy(run, state.vector, VECTOR_FIRST);                 // and its last one is the next one's first
        state.vector = VECTOR_FIRST;
    };
    return advance<Branch>(run, state, from, to, true, reached);
}

// The gradient at the last layer, where `state` is.
template <class Branch, class Run, class Recorder>
RESMC_FN auto begin_backward(Run& run, const ForwardState<Run>& state, Recorder& recorder) {
    auto gradient = layer_last<Branch>(run, state.vector);
    recorder.gradient(run.net.network.depth, gradient, state.layer.sums);
    run.pull_through_norm(state.layer, state.vector, gradient);
    return gradient;
}

// The gradient from layer `to`, where it is, to layer `from`. A segment is computed once more at its end: the layers of
// all segments that end in here, but for the last of the network, are computed again from their beginning.
template <class Branch, class Run, class Recorder>
RESMC_FN bool backward_part(Run& run, Gradient<typename Run::Real, typename Run::Word>& gradient, uint32_t from,
                            uint32_t to, Recorder& recorder) {
    using Layer = typename Run::Layer;
    const Residual& net = run.net;
    const uint32_t depth = net.network.depth, parts = segments(net), saved = VECTOR_FIRST + net.segment + 1;
    for (uint32_t part = (to + net.segment - 1) / net.segment; part-- > from / net.segment;) {
        const uint32_t begin = part * net.segment;
        const uint32_t end = depth - begin < net.segment ? depth : begin + net.segment;
        const uint32_t first = begin < from ? from : begin, last = end < to ? end : to;
        if (last == end && part + 1 < parts) {
            layer_copy(run, saved + part, VECTOR_FIRST);
            ForwardState<Run> again{run.kept(VECTOR_FIRST), VECTOR_FIRST, {}};
            if (!advance<Branch>(run, again, begin, end - 1, false, [](uint32_t) RESMC_LAMBDA {})) return false;
        }
        for (uint32_t l = last; l-- > first;) {
            if (!run.team.proceed()) return false;
            const uint32_t vector = VECTOR_FIRST + (l - begin);
            const Layer here = run.kept(vector);
            layer_backward<Branch>(run, l, here, vector, gradient);
            recorder.gradient(l, gradient, here.sums);
            if (l > 0) run.pull_through_norm(here, vector, gradient);
        }
    }
    return true;
}

// Networks `word2` (low 32 bits) of one `word3` forwards and, if wanted, backwards. Returns false if the team was told
// to stop.
template <class Branch, class Run, class Recorder>
RESMC_FN bool simulate_residual(Run& run, Recorder& recorder) {
    const uint32_t depth = run.net.network.depth;
    auto state = begin_forward<Branch>(run, recorder);
    if (!forward_part<Branch>(run, state, 0, depth, recorder)) return false;
    if (recorder.wants_output() && !Branch::output(run, state.layer, state.vector, recorder)) return false;
    if (!run.net.gradients) return true;
    auto gradient = begin_backward<Branch>(run, state, recorder);
    return backward_part<Branch>(run, gradient, 0, depth, recorder);
}

RESMC_NAMESPACE_END
