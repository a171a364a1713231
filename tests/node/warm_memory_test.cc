// Proves that memory is touched ahead of time, goes back with its object, and is left alone where
// there is too little of it.
#include "node/warm_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/file_descriptor.h"

namespace shoal {
namespace {

constexpr int64_t kBytes = int64_t{64} << 20;

// Without memory of its own: address sanitizer keeps what is freed, and this is called in a loop.
int64_t ResidentBytes() {
  char text[128] = {};
  const FileDescriptor statm(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  EXPECT_GT(::read(statm.get(), text, sizeof(text) - 1), 0);
  const char* const resident = std::strchr(text, ' ');
  EXPECT_NE(resident, nullptr);
  return std::strtoll(resident, nullptr, 10) * ::sysconf(_SC_PAGESIZE);
}

TEST(WarmMemory, IsResidentUntilItGoes) {
  const int64_t before = ResidentBytes();
  {
    const WarmMemory warm(kBytes);
    while (ResidentBytes() < before + kBytes * 9 / 10) std::this_thread::yield();
  }
  EXPECT_LT(ResidentBytes(), before + kBytes / 2);
}

TEST(WarmMemory, EndsInMidTouch) {
  const WarmMemory warm(int64_t{1} << 30);  // whose pages take some tenths of a second
}

TEST(WarmMemory, TakesNothingWhereThereIsTooLittle) {
  const int64_t before = ResidentBytes();
  const WarmMemory warm(int64_t{1} << 50);
  EXPECT_LT(ResidentBytes(), before + kBytes);
}

}  // namespace
}  // namespace shoal
