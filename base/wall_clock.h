// The system's wall clock, for what outlives a process: it may be set, forwards and back.
#pragma once

#include <cstdint>

namespace shoal {

// Seconds since 1970, UTC.
int64_t UnixNowS();

struct CivilDate {
  int year = 1970;
  int month = 1;  // [1, 12]
  int day = 1;    // [1, 31]
};

// In this machine's time zone.
CivilDate LocalToday();

}  // namespace shoal
