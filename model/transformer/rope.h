// The angles by which rotary position embedding turns queries and keys.
#pragma once

#include <cstdint>
#include <vector>

#include "model/transformer/config.h"

namespace shoal {

// Immutable. The angle of pair i at a position is position * frequency[i], in double; cosine and
// sine are rounded to float once, so every machine has the same.
class RopeAngles {
 public:
  explicit RopeAngles(const RopeConfig& config);

  int32_t pairs() const { return static_cast<int32_t>(frequencies_.size()); }

  // cos, sin [pairs]: overwritten; times YaRN's magnitude, where that applies.
  void At(int64_t position, float* cos, float* sin) const;

 private:
  std::vector<double> frequencies_;
  double magnitude_ = 1;
};

}  // namespace shoal
