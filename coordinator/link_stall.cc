#include "coordinator/link_stall.h"

namespace shoal {

bool HasStalled(const StageProgress& sender, const StageProgress& receiver) {
  if (sender.sent <= receiver.received) return false;
  const uint64_t bytes =
      sender.sent_bytes > receiver.received_bytes ? sender.sent_bytes - receiver.received_bytes : 0;
  const uint64_t patience_ms = kStallMs + bytes / (kLeastBytesPerS / 1000);
  return sender.since_send_ms > patience_ms && receiver.waiting_ms > patience_ms;
}

}  // namespace shoal
