// A zeroed block of memory at a 64-byte boundary, as the kernels want packed weights and KV pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"

namespace shoal {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;  // empty
  // Asks for huge pages where the block is large. Errors: the system has no memory left.
  static Result<AlignedBuffer> Make(int64_t bytes);

  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer();

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  AlignedBuffer(std::byte* data, int64_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace shoal
