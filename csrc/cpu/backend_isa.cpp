// One instruction set's backend: compiled once per set, with RESMC_TARGET naming its namespace. Only plain functions
// and templates over this namespace's own types: nothing from the standard library, whose inline functions the linker
// would merge with the baseline's.
#include "entries.hpp"
#include "population_pack.hpp"
#include "reduce_tile.hpp"
#include "simulate_tile.hpp"

RESMC_NAMESPACE_BEGIN

static void words(uint64_t seed, uint32_t stream, uint32_t layer, uint64_t network, uint32_t input, uint32_t quad,
                  uint32_t* out) {
    const PhiloxKeys keys = philox_keys(seed);
    const auto prefix = philox_prefix(keys, counter_word1(stream, layer), widen(Word(static_cast<uint32_t>(network))),
                                      counter_word3(network, input));
    const auto x = philox(keys, prefix, quad);
    const Word w[4] = {narrow(x.x0), narrow(x.x1), narrow(x.x2), narrow(x.x3)};
    for (int k = 0; k < 4; ++k) {
        out[k] = w[k].v[0][0];
        for (int r = 0; r < REGISTERS; ++r)  // every slot was given the same counter and must agree
            for (int i = 0; i < REGISTER_LANES; ++i)
                if (w[k].v[r][i] != out[k]) out[k] = ~out[k];
    }
}

static void normals(const uint32_t* from, size_t n, float* out) {
    for (size_t begin = 0; begin < n; begin += LANES) {
        Word w[4] = {Word(0u), Word(0u), Word(0u), Word(0u)};
        for (int i = 0; i < LANES && begin + i < n; ++i)
            for (int k = 0; k < 4; ++k) w[k].v[i / REGISTER_LANES][i % REGISTER_LANES] = from[4 * (begin + i) + k];
        Real g[4];
        box_muller(w[0], w[1], g[0], g[1]);
        box_muller(w[2], w[3], g[2], g[3]);
        for (int i = 0; i < LANES && begin + i < n; ++i)
            for (int k = 0; k < 4; ++k) out[4 * (begin + i) + k] = g[k].v[i / REGISTER_LANES][i % REGISTER_LANES];
    }
}

// What each_quad asks of a team, for the generator at its best.
struct Drawing {
    using Word = RESMC_TARGET::Word;
    using Wide = RESMC_TARGET::Wide;
    static constexpr uint32_t drawn_ahead = 16;
};

static double draw(const Network& net, uint64_t seed, uint64_t n_networks) {
    const PhiloxKeys keys = philox_keys(seed);
    Real sum(0.0f);
    for (uint64_t network = 0; network < n_networks; network += LANES) {
        const Wide word2 = widen(counting_from(static_cast<uint32_t>(network)));
        for (uint32_t l = 0; l < net.depth; ++l) {
            const auto prefix =
                philox_prefix(keys, counter_word1(STREAM_RESIDUAL, l), word2, counter_word3(network, 0));
            const auto quad_of = [](uint32_t quad) RESMC_LAMBDA { return quad; };
            each_quad<Drawing>(keys, prefix, 0, (net.width + 3) / 4, quad_of,
                               [&](uint32_t, const Word(&w)[4]) RESMC_LAMBDA {
                                   Real g[4];
                                   box_muller(w[0], w[1], g[0], g[1]);
                                   box_muller(w[2], w[3], g[2], g[3]);
                                   sum = sum + ((g[0] + g[1]) + (g[2] + g[3]));
                               });
        }
    }
    double total = 0.0;
    for (int r = 0; r < REGISTERS; ++r)
        for (int i = 0; i < REGISTER_LANES; ++i) total += static_cast<double>(sum.v[r][i]);
    return total;
}

static void drawn(uint64_t seed, uint32_t stream, uint32_t layer, uint64_t first, uint64_t n_networks, uint32_t quads,
                  float* out) {
    const PhiloxKeys keys = philox_keys(seed);
    const uint64_t end = first + n_networks;
    for (uint64_t pack = first / LANES * LANES; pack < end; pack += LANES) {  // the packs of a simulation
        const auto prefix = philox_prefix(keys, counter_word1(stream, layer),
                                          widen(counting_from(static_cast<uint32_t>(pack))), counter_word3(pack, 0));
        const int from = pack < first ? static_cast<int>(first - pack) : 0;
        const int to = end - pack < LANES ? static_cast<int>(end - pack) : LANES;
        for (uint32_t quad = 0; quad < quads; ++quad) {
            const auto x = philox(keys, prefix, quad);
            Real g[4];
            box_muller(narrow(x.x0), narrow(x.x1), g[0], g[1]);
            box_muller(narrow(x.x2), narrow(x.x3), g[2], g[3]);
            for (int i = from; i < to; ++i) {
                float* const at = out + ((pack + static_cast<uint64_t>(i) - first) * quads + quad) * 4;
                for (int k = 0; k < 4; ++k) at[k] = g[k].v[i / REGISTER_LANES][i % REGISTER_LANES];
            }
        }
    }
}

static void activate(const Sigma& sigma, float c, const float* from, const uint32_t* words, size_t n, float* to_value,
                     float* to_slope) {
    for (size_t begin = 0; begin < n; begin += LANES) {
        Word w[4] = {Word(0u), Word(0u), Word(0u), Word(0u)};
        Real x[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)}, value[4], slope[4];
        for (int i = 0; i < LANES && begin + i < n; ++i)
            for (int k = 0; k < 4; ++k) {
                w[k].v[i / REGISTER_LANES][i % REGISTER_LANES] = words[4 * (begin + i) + k];
                x[k].v[i / REGISTER_LANES][i % REGISTER_LANES] = from[4 * (begin + i) + k];
            }
        activate(sigma, Real(c), Real(1.0f / c), x, w[1], w[3], value, slope);
        for (int i = 0; i < LANES && begin + i < n; ++i)
            for (int k = 0; k < 4; ++k) {
                to_value[4 * (begin + i) + k] = value[k].v[i / REGISTER_LANES][i % REGISTER_LANES];
                to_slope[4 * (begin + i) + k] = slope[k].v[i / REGISTER_LANES][i % REGISTER_LANES];
            }
    }
}

size_t residual_workspace_bytes(const Residual&, Method);  // residual_isa.cpp
bool simulate_residual_tile(const Residual&, Method, uint64_t seed, uint64_t first, int begin, int end,
                            const Recording&, const Records&, void* workspace, const Control&);
size_t column_state_bytes(const Residual&);
size_t column_scratch_bytes(const Residual&);
bool simulate_columns(const Residual&, const ColumnChunk&, bool backward, uint32_t network, uint32_t pack,
                      uint32_t from, uint32_t to, void* scratch, const Control&);
bool advance_residual(const Residual&, uint64_t seed, uint64_t network, const Stretch&, float* state, const Control&);
size_t joint_workspace_bytes(const Residual&, const Joint&);  // joint_isa.cpp
bool simulate_joint_pack(const Residual&, const Joint&, Method, uint64_t seed, uint64_t network, int begin, int end,
                         const Recording&, const JointRecords&, size_t at, void* workspace, const Control&);

#define RESMC_STRING2(x) #x
#define RESMC_STRING(x) RESMC_STRING2(x)
static const Backend backend{RESMC_STRING(RESMC_TARGET),
                             LANES,
                             workspace_bytes,
                             simulate,
                             residual_workspace_bytes,
                             simulate_residual_tile,
                             column_state_bytes,
                             column_scratch_bytes,
                             simulate_columns,
                             advance,
                             advance_residual,
                             joint_workspace_bytes,
                             simulate_joint_pack,
                             reduce,
                             words,
                             normals,
                             draw,
                             drawn,
                             activate,
                             entries,
                             waves,
                             combine};

RESMC_NAMESPACE_END

#define RESMC_JOIN2(a, b) a##b
#define RESMC_JOIN(a, b) RESMC_JOIN2(a, b)
namespace resmc {
const Backend& RESMC_JOIN(backend_, RESMC_TARGET)() { return RESMC_TARGET::backend; }
}  // namespace resmc
