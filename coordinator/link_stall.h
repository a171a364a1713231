// Whether a link between two stages carries nothing any more although both nodes are there: packets
// that a network drops without a word show nowhere else for seconds.
//
// Thread rule: pure.
#pragma once

#include <cstdint>

namespace shoal {

// What a stage says of its steps under one plan; see StageProgress of proto/control.proto.
struct StageProgress {
  uint64_t received = 0;
  uint64_t received_bytes = 0;
  uint64_t sent = 0;
  uint64_t sent_bytes = 0;
  uint64_t waiting_ms = 0;     // for a step; 0: it computes
  uint64_t since_send_ms = 0;  // began
};

// How long a step may be on its way, besides the time that a slow link needs for its bytes.
constexpr uint64_t kStallMs = 1500;
constexpr uint64_t kLeastBytesPerS = 125'000;  // 1 Mbit/s

// Whether a step that `sender` sent has not come to `receiver` for so long, though that waited.
bool HasStalled(const StageProgress& sender, const StageProgress& receiver);

}  // namespace shoal
