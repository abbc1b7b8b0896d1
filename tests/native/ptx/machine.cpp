// The machine as functions of C: what tests/translated.py calls. What can fail returns null, or why it has.
#include "machine.hpp"

namespace {

thread_local std::string why;

template <class Call>
const char* attempt(Call call) {
    try {
        call();
        return nullptr;
    } catch (const std::exception& error) {
        why = error.what();
        return why.c_str();
    }
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* ptx_load(const char* library) {
    return attempt([&] { ptx::machine().load(library); });
}

EXPORTED const char* ptx_opt_in(const char* kernel, uint64_t bytes) {
    return attempt([&] { ptx::machine().opt_in(kernel, bytes); });
}

EXPORTED const char* ptx_launch(const char* kernel, uint32_t blocks, uint32_t threads, uint64_t shared_bytes,
                                const char* parameters, uint64_t parameter_bytes) {
    return attempt([&] {
        ptx::machine().launch(kernel, blocks, threads, shared_bytes, std::string(parameters, parameter_bytes));
    });
}

EXPORTED void ptx_configure(uint64_t order, int rsqrt_ulps, int ignore_opt_in) {
    ptx::machine().settings = {order, rsqrt_ulps};
    ptx::machine().forget_opt_in(ignore_opt_in != 0);
}

EXPORTED int ptx_ran(const char* kernel) { return ptx::machine().ran.count(kernel) > 0; }

EXPORTED const ptx::Counters* ptx_counters() { return &ptx::machine().counters; }

// Device memory: its address, by which it is freed.
static std::map<uint64_t, std::unique_ptr<ptx::Allocation>> allocations;

EXPORTED uint64_t ptx_allocate(uint64_t bytes, int fill) {
    auto made = std::make_unique<ptx::Allocation>(bytes, fill);
    ptx::machine().add(*made);
    const uint64_t address = made->address();
    allocations[address] = std::move(made);
    return address;
}

EXPORTED void ptx_free(uint64_t address) {
    ptx::machine().remove(*allocations.at(address));
    allocations.erase(address);
}
