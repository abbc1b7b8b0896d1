// How a dictionary of Python's describes a network to the kernels of any device: names, types and ranges are checked.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "include/resmc/description.hpp"
#include "reader.hpp"

namespace resmc {

// The limits of resmc/models/resnet.py: within them no size overflows.
inline Network network_of(Reader& d) {
    Network net{};
    net.width = d.integer<uint32_t>("width", 1, 1u << 24);
    net.depth = d.integer<uint32_t>("depth", 0, (1u << 20) - 1);
    net.n_out = d.integer<uint32_t>("n_out", 0, 1u << 17);
    net.carry = d.real<float>("carry");
    net.carry_mantissa = d.real<float>("carry_mantissa");
    net.carry_exponent = d.integer<int32_t>("carry_exponent");
    net.step = d.real<float>("step");
    net.readout = d.real<float>("readout");
    return net;
}

// The cells of a table must be there, whatever x is: table_cell() comes to no other number.
inline Sigma sigma_of(Reader& d) {
    Sigma sigma{};
    sigma.kind = d.choice<ActivationKind>("activation", ACTIVATIONS);
    sigma.above = d.real<float>("above");
    sigma.below = d.real<float>("below");
    Table& table = sigma.table;
    table.fine = d.integer<uint32_t>("fine", 0, 23);
    table.octaves = d.integer<uint32_t>("octaves", 0, MOST_OCTAVES);
    table.kinks_above = d.integer<uint32_t>("kinks_above", 0, MOST_KINKS);
    table.kinks_below = d.integer<uint32_t>("kinks_below", 0, MOST_KINKS);
    const size_t side = (size_t{table.octaves} << table.fine) + 1;
    const size_t cells = 2 * side + table.kinks_above + table.kinks_below;
    table.at = d.array<const float>("table", {sigma.kind == ACTIVATION_TABLE ? TABLE_HEAD + 4 * cells : 0});
    return sigma;
}

// Neurons of every layer, or an empty array where all have `width`: none may have more than vectors have room for.
inline void read_widths(Reader& d, Residual& r) {
    const size_t layers = d.length("widths") > 0 ? size_t{r.network.depth} + 1 : 0;
    const uint32_t* const widths = d.array<const uint32_t>("widths", {layers});
    if (layers == 0) return;
    for (size_t l = 0; l < layers; ++l)
        if (widths[l] < 1 || widths[l] > r.network.width) d.refuse("widths", "must be from 1 to the width");
    const bool fits = r.block != BLOCK_V_PHI_W && r.network.carry == 0.0f && r.norm == NORM_NONE &&
                      r.weight_law != WEIGHTS_ORTHOGONAL;
    if (!fits) d.refuse("widths", "must be empty in this network");
    r.widths = widths;
}

// Steps, input and tables stay in the caller's memory.
inline Residual residual_of(Reader& d) {
    Residual r{};
    r.network = network_of(d);
    r.block = d.choice<Block>("block", BLOCKS);
    r.inner = d.integer<uint32_t>("inner", 1, 1u << 24);
    if (r.block != BLOCK_V_PHI_W && r.inner != r.network.width) d.refuse("inner", "must be the width in this block");
    r.activation = sigma_of(d);
    r.weight_law = d.choice<WeightLaw>("weight_law", WEIGHT_LAWS);
    r.weight_table.fine = d.integer<uint32_t>("weight_fine", 0, 23);
    r.weight_table.octaves = WEIGHT_OCTAVES;
    const size_t weight_cells = 2 * ((size_t{WEIGHT_OCTAVES} << r.weight_table.fine) + 1);
    r.weight_table.at =
        d.array<const float>("weight_table", {r.weight_law == WEIGHTS_TABLE ? TABLE_HEAD + 4 * weight_cells : 0});
    if (r.weight_law == WEIGHTS_ORTHOGONAL && r.inner != r.network.width) d.refuse("inner", "must be the width");
    r.grounded = d.boolean("grounded");
    r.homogeneous = d.boolean("homogeneous");
    r.inside = d.boolean("inside");
    r.gradients = d.boolean("gradients");
    r.keep = d.real<float>("keep");
    r.size = d.real<float>("size");
    r.bias = d.real<float>("bias");
    r.bias_square = d.real<float>("bias_square");
    r.bias_law = d.choice<WeightLaw>("bias_law", WEIGHTS_TABLE);
    r.kept_below = d.integer<uint32_t>("kept_below");
    r.kept_factor = d.real<float>("kept_factor");
    r.norm = d.choice<Norm>("norm", NORMS);
    r.norm_before = d.boolean("norm_before");
    r.norm_branch = d.boolean("norm_branch");
    r.norm_after = d.boolean("norm_after");
    r.norm_eps = d.real<float>("norm_eps");
    r.segment = d.integer<uint32_t>("segment", 1, std::max(1u, r.network.depth));
    r.n_in = d.integer<uint32_t>("n_in");
    r.steps = d.array<const float>("steps", {r.network.depth});
    r.input = d.array<const float>("input", {r.n_in > 0 ? size_t{r.n_in} + 12 : 0});
    read_widths(d, r);
    return r;
}

// What a dictionary describes: a network of the fast kernels, or where it names a block any residual network.
struct AnyNetwork {
    bool is_residual;
    Residual residual;  // of the others the network alone

    explicit AnyNetwork(const py::dict& entries) : is_residual(entries.contains("block")), residual{} {
        Reader reader(entries, "network");
        if (is_residual)
            residual = residual_of(reader);
        else
            residual.network = network_of(reader);
        reader.finish();
    }
    const Network& network() const { return residual.network; }
};

}  // namespace resmc
