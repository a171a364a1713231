#include "base/wall_clock.h"

#include <chrono>

namespace shoal {

int64_t UnixNowS() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace shoal
