// A limit of bytes per second with short bursts. Pure: the caller brings the time and does the
// waiting.
//
// Thread rule: belongs to one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace shoal {

class TokenBucket {
 public:
  // REQUIRES bytes_per_s > 0 and burst_bytes >= 0.
  TokenBucket(int64_t bytes_per_s, int64_t burst_bytes)
      : bytes_per_s_(static_cast<double>(bytes_per_s)),
        burst_s_(static_cast<double>(burst_bytes) / bytes_per_s_) {}

  // Takes `bytes` and says how long to wait before they may be sent: 0 within the burst. The bytes
  // count whether or not they are sent.
  int64_t Take(int64_t bytes, int64_t now_ns) {
    const double now_s = static_cast<double>(now_ns) / kNsPerS;
    free_s_ = std::max(free_s_, now_s - burst_s_) + static_cast<double>(bytes) / bytes_per_s_;
    return static_cast<int64_t>(std::max(0.0, free_s_ - now_s) * kNsPerS);
  }

 private:
  const double bytes_per_s_;
  const double burst_s_;
  double free_s_ = -1e300;  // when all that was taken will have been sent at this rate
};

}  // namespace shoal
