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

  // cos, sin [pairs]: overwritten; times the magnitude that attn_factor and YaRN ask for. Of a
  // session that may hold `context_tokens`: where a model has factors for long contexts, a session
  // that was granted more than the original context turns by them from its first position on.
  void At(int64_t position, int32_t context_tokens, float* cos, float* sin) const;

 private:
  std::vector<double> frequencies_;
  std::vector<double> long_frequencies_;  // or empty
  int32_t original_context_;
  double magnitude_ = 1;
};

}  // namespace shoal
