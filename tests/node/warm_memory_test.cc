// Proves that memory is touched ahead of time, goes back with its object, and is left alone where
// there is too little of it.
#include "node/warm_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <thread>

namespace shoal {
namespace {

constexpr int64_t kBytes = int64_t{64} << 20;

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  int64_t resident = 0;
  statm >> pages >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
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
