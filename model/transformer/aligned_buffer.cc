#include "model/transformer/aligned_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

namespace shoal {

Result<AlignedBuffer> AlignedBuffer::Make(int64_t bytes) {
  if (bytes <= 0) return AlignedBuffer();
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return ResourceExhausted(fmt::format("the system has no {} bytes of memory left", bytes));
  }
  // A hint: streaming gigabytes of weights through 4 KiB pages misses the TLB all the time.
  ::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return AlignedBuffer(static_cast<std::byte*>(data), bytes);
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace shoal
