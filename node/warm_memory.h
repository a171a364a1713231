// Memory that will be needed soon, touched ahead of time. In a virtual machine a page's first touch
// is the host's work (docs/weights.md: 25 times as long as clearing it), for which there is time
// while weights come over the network. The pages go back to the system with the object, and the
// system hands out first what came back last.
//
// Thread rule: runs a thread of its own; belongs to one thread.
#pragma once

#include <cstdint>
#include <stop_token>
#include <thread>

#include "model/transformer/aligned_buffer.h"

namespace shoal {

class WarmMemory {
 public:
  // Does nothing if there is not so much memory to be had.
  explicit WarmMemory(int64_t bytes);

 private:
  void Touch(const std::stop_token& stop);

  AlignedBuffer buffer_;
  std::jthread thread_;  // ends before the buffer goes
};

}  // namespace shoal
