// The system's wall clock, for what outlives a process: it may be set, forwards and back.
#pragma once

#include <cstdint>

namespace shoal {

// Seconds since 1970, UTC.
int64_t UnixNowS();

}  // namespace shoal
