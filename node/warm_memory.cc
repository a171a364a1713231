#include "node/warm_memory.h"

#include <utility>

#include "node/profiler.h"

namespace shoal {

namespace {

constexpr int64_t kPageBytes = 4096;  // the smallest there are
constexpr int64_t kTurnBytes = 2 << 20;

}  // namespace

WarmMemory::WarmMemory(int64_t bytes) {
  if (AvailableMemoryBytes() < 2 * bytes) return;
  Result<AlignedBuffer> buffer = AlignedBuffer::Make(bytes);
  if (!buffer.ok()) return;
  buffer_ = std::move(*buffer);
  thread_ = std::jthread([this](const std::stop_token& stop) { Touch(stop); });
}

void WarmMemory::Touch(const std::stop_token& stop) {
  for (int64_t at = 0; at < buffer_.bytes(); at += kPageBytes) {
    if (at % kTurnBytes == 0 && stop.stop_requested()) return;
    buffer_.data()[at] = std::byte{1};
  }
}

}  // namespace shoal
