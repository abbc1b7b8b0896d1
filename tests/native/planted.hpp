// Faults for the sanitizers to find, planted as a program begins and so in the very code in which they find nothing:
// RESMC_PLANT=race leaves out the second barrier of every block of threads, RESMC_PLANT=overrun makes the memory for
// their states one quad too small. Only programs that define RESMC_PLANTABLE have them.
#pragma once

#ifdef RESMC_PLANTABLE
#include <cstdlib>
#include <cstring>

namespace planted {

inline bool asked(const char* fault) {
    const char* wanted = std::getenv("RESMC_PLANT");
    return wanted != nullptr && std::strcmp(wanted, fault) == 0;
}

inline const bool race = asked("race");
inline const bool overrun = asked("overrun");

}  // namespace planted
#else
namespace planted {

inline constexpr bool race = false;
inline constexpr bool overrun = false;

}  // namespace planted
#endif
