// Units that people type and read, in those that the code counts in.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace shoal {

constexpr double kGiga = 1e9;
constexpr int64_t kBytesPerSInMbit = 125'000;

inline double MiB(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// 0 if no time passed.
inline double PerSecond(int64_t count, int64_t ns) {
  return ns > 0
             ? static_cast<double>(count) * static_cast<double>(kNsPerS) / static_cast<double>(ns)
             : 0;
}

}  // namespace shoal
