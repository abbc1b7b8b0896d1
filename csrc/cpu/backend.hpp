// What one instruction set offers to the rest of the CPU side: plain functions over plain numbers. Everything here is
// shared by code compiled for different instruction sets, so no function here
// is left to the linker to merge.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../include/resmc/description.hpp"
#include "../include/resmc/layer_sums.hpp"

namespace resmc {

// Networks are simulated a tile at a time: small enough that a tile's records stay in the cache, aligned to absolute
// multiples so that a tile holds the same networks whatever range was asked for.
constexpr int TILE = 128;

// Rows of `scratch` are this many layers apart, so that the widest register reads within them.
constexpr size_t padded_slots(size_t n_layers) { return (n_layers + 31) / 32 * 32; }

// Told to every kernel: `stop` is polled, `done` counts layers of packs for the progress bar. Both by relaxed atomics.
struct Control {
    const bool* stop;
    uint64_t* done;
};

// What is asked: which layers to record (sorted, first 0, last depth), and how.
struct Recording {
    const uint32_t* layers;
    uint32_t n_layers;
    bool deaths_possible;  // alpha = 0
    bool activity;         // whether there are A and active counts, and sums of them are wanted
    bool correlations;     // whether sums of A_l A_m are wanted
    bool mean_square;      // whether sums of |h_l|^2/n itself are wanted, beside those of |h_l|^2/|h_0|^2
    double bin_width;      // histogram of the final log-norm: bin b covers [low + b width, low + (b + 1) width)
    double bin_low;
    uint32_t n_bins;
};

// |v|^2 = square 2^(2 exponent) of the v of a quotient by layer, [layer slot][network in tile].
struct Quotient {
    float* square;
    int32_t* exponent;
};

// Records of one tile, slot-major: [layer slot][network in tile]. The stored |z|^2 is square 2^(2 exponent).
struct Records {
    float* square;
    int32_t* exponent;
    float* asymmetry;
    uint32_t* active;
    float* output;    // [n_out][network in tile], in units of 2^exponent of the last slot; null: not wanted
    double* scratch;  // 3 TILE padded_slots(n_layers) doubles, for the products of asymmetries; fewer if not needed
    Quotient quotients[QUOTIENTS];  // of a Residual
    float* overlap;                 // p_l . h_l / (|p_l| |h_l|)

    // What growth is measured from: one row of a record like `square`, as a rule its first.
    const float* start_square;
    const int32_t* start_exponent;
};

// Sums over a set of networks, a batch or a group; what is null is not wanted. Products are packed by rows of the upper
// triangle of layer slots.
struct Statistics {
    NormSums* norms;          // [slot]
    ActivitySums* activity;   // [slot]
    double* products;         // sum of A_l A_m, alive at m >= l; null unless correlations are wanted
    double* partial_sums;     // sum of A_l, alive at m; null unless deaths are possible, too
    double* partial_squares;  // sum of A_l^2, alive at m
    int64_t* histogram;       // [n_bins + 2]: underflow, bins, overflow
};

// What several inputs of a network leave besides the records of the first one: by recorded layer and pair (a, b), a >=
// b, of inputs, which has number a (a + 1)/2 + b; networks last.
struct JointRecords {
    Records first;                  // of input 0, without scratch
    double *gram, *gradient_gram;   // of h's columns, and of the gradients: x_a . x_b 2^-(unit_a + unit_b)
    int32_t *unit, *gradient_unit;  // by input
    double* log_scale;              // by input but the first: ln of what its state is kept without
    double* log_stretch;            // ln R_jj of the tangents so far, by tangent
    double* kernel;                 // tangent kernel of the layers from this one on
    size_t row;                     // networks in a row
};

// Columns of some networks that share weights, and the layers whose weights are there. A column is an input with a
// factor of its own on every layer's step.
struct ColumnChunk {
    uint64_t seed, first;  // number of the first network
    uint32_t networks, columns;
    uint32_t begin;                 // the first layer that the arrays have
    GivenArray outer, inner, bias;  // of variance 1; [n][n], row after row, and [n]
    const float* factors;           // [columns]
    const float* start;             // h_0, [networks][n][columns]; null: as the network's counters draw it
    char* state;                    // [networks][packs of columns][column_state_bytes], aligned for any register
    Recording recording;
    Records records;        // rows of `row` numbers: [layer slot][..]; that of a column is below
    size_t row, row_first;  // column c of network i is number row_first + i columns + c
};

// Layers that a population goes through in one call: `from` to `to`, after layer 0 has been made where it `begins`.
struct Stretch {
    bool begins;
    uint32_t from, to;
};

struct Backend {
    const char* name;
    int lanes;
    // Bytes of workspace a thread needs to simulate networks of this width.
    size_t (*workspace_bytes)(const Network&, Method);
    // Networks begin .. end - 1 of the tile that starts at network `first` (a multiple of TILE) into records, with
    // their log-norms. False if stopped.
    bool (*simulate)(const Network&, Variant, Method, uint64_t seed, uint64_t first, int begin, int end,
                     const Recording&, const Records&, void* workspace, const Control&);
    // The same for any residual network.
    size_t (*residual_workspace_bytes)(const Residual&, Method);
    bool (*simulate_residual)(const Residual&, Method, uint64_t seed, uint64_t first, int begin, int end,
                              const Recording&, const Records&, void* workspace, const Control&);
    // A pack of columns of a network from layer `from` to layer `to`, or back. False if stopped.
    size_t (*column_state_bytes)(const Residual&);    // of a pack, kept from one call to the next
    size_t (*column_scratch_bytes)(const Residual&);  // of a thread
    bool (*simulate_columns)(const Residual&, const ColumnChunk&, bool backward, uint32_t network, uint32_t pack,
                             uint32_t from, uint32_t to, void* scratch, const Control&);
    // A pack of a population, whose first network has this number, from rest to rest by the projected method. Its state
    // is [rows][lanes], aligned for any register: 4 ceil(width/4) neurons, then |z|^2, the sums of phi, and the
    // exponent.
    bool (*advance)(const Network&, Variant, uint64_t seed, uint64_t network, const Stretch&, float* state,
                    const Control&);
    bool (*advance_residual)(const Residual&, uint64_t seed, uint64_t network, const Stretch&, float* state,
                             const Control&);
    // Networks network + begin .. network + end - 1 of a pack with several inputs, into records from `at` of each row
    // on. False if stopped.
    size_t (*joint_workspace_bytes)(const Residual&, const Joint&);
    bool (*simulate_joint)(const Residual&, const Joint&, Method, uint64_t seed, uint64_t network, int begin, int end,
                           const Recording&, const JointRecords&, size_t at, void* workspace, const Control&);
    // Adds networks begin .. end - 1 of the tile to statistics.
    void (*reduce)(const Network&, const Recording&, const Records&, int begin, int end, const Statistics&);
    // For tests and benchmarks. The four words of one counter; the four normals of each of n counters' words; all the
    // normals that n_networks networks of this shape use after layer 0, drawn and forgotten (their sum is returned);
    // the normals that networks first .. first + n_networks - 1 take from one stream and layer, [network][4 quads]; and
    // an activation's values and slopes at the scale c, [n][4], of n quads whose draws gave words [n][4].
    void (*words)(uint64_t seed, uint32_t stream, uint32_t layer, uint64_t network, uint32_t input, uint32_t quad,
                  uint32_t* out);
    void (*normals)(const uint32_t* words, size_t n, float* out);
    double (*draw)(const Network&, uint64_t seed, uint64_t n_networks);
    void (*drawn)(uint64_t seed, uint32_t stream, uint32_t layer, uint64_t first, uint64_t n_networks, uint32_t quads,
                  float* out);
    void (*activate)(const Sigma&, float c, const float* x, const uint32_t* words, size_t n, float* value,
                     float* slope);
    // Weights as arrays (entries.hpp).
    void (*entries)(WeightLaw, uint64_t seed, uint32_t stream, uint64_t network, uint32_t layer, uint32_t n_layers,
                    uint32_t first_quad, uint32_t n_quads, float* out);
    void (*waves)(uint64_t seed, uint32_t stream, uint64_t network, const float* amplitudes, uint32_t n_waves,
                  uint32_t real, uint32_t imaginary, uint32_t n_quads, float* out);
    void (*combine)(const float* coefficients, size_t rows, size_t terms, const float* x, size_t stride, float* out,
                    size_t out_stride, size_t columns);
};

// Those that the build has.
const Backend& backend_baseline();
const Backend& backend_avx2();
const Backend& backend_avx512();

}  // namespace resmc
