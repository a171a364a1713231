#include "node/profiler.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "kernels/int8_peak.h"
#include "node/control_group.h"

namespace shoal {

namespace {

constexpr int64_t kCols = 2048;
constexpr int64_t kRows = 32768;  // 36 MiB of Q4_0
constexpr int kPasses = 4;        // the first also faults the pages in

struct FreeDeleter {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeDeleter>;

AlignedBytes AllocateAligned(int64_t bytes) {
  constexpr size_t kLineBytes = 64;
  const size_t rounded = (static_cast<size_t>(bytes) + kLineBytes - 1) / kLineBytes * kLineBytes;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kLineBytes, rounded));
  CHECK(memory != nullptr, "out of memory for the bandwidth measurement");
  return AlignedBytes(memory);
}

// Rows of a loop's part: several parts per thread, whole row groups.
int64_t RowGrain(const ThreadPool& pool) {
  const int64_t grain = kRows / (8 * pool.threads());
  return std::max<int64_t>(grain / kernels::kRowUnit, 1) * kernels::kRowUnit;
}

template <typename Pass>
double BestPerS(int64_t amount, Pass pass) {
  const SteadyClock clock;
  int64_t best_ns = INT64_MAX;
  for (int i = 0; i < kPasses; ++i) {
    const int64_t start_ns = clock.NowNs();
    pass();
    best_ns = std::min(best_ns, std::max<int64_t>(clock.NowNs() - start_ns, 1));
  }
  return static_cast<double>(amount) * static_cast<double>(kNsPerS) / static_cast<double>(best_ns);
}

// Four places at once, as caches prefetch several streams better than one.
uint64_t SumOf(const uint64_t* words, int64_t count) {
  const int64_t quarter = count / 4;
  std::array<uint64_t, 4> sums = {};
  for (int64_t i = 0; i + 8 <= quarter; i += 8) {
    for (int64_t s = 0; s < 4; ++s) {
      for (int64_t w = 0; w < 8; ++w) sums[s] += words[s * quarter + i + w];
    }
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

// A field of /proc/meminfo or /proc/self/status in bytes; both count in kB.
int64_t ReadProcKilobytes(const char* path, const std::string& field) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    int64_t kilobytes = 0;
    if (word == field && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

double MeasureWeightBytesPerS(const kernels::KernelTable& table, ThreadPool& pool) {
  kernels::WeightMatrix matrix{TensorType::kQ4_0, kRows, kCols, nullptr, false};
  const int64_t packed_bytes = table.packed_bytes(matrix.type, kRows, kCols);
  const int64_t bytes = packed_bytes > 0 ? packed_bytes : RowBytes(matrix.type, kCols) * kRows;
  const AlignedBytes weights = AllocateAligned(bytes);
  std::fill_n(weights.get(), bytes, std::byte{0x11});
  matrix.data = weights.get();
  matrix.packed = packed_bytes > 0;

  std::vector<float> x(kCols, 0.5F);
  std::vector<float> out(kRows);
  std::vector<int8_t> values(kCols);
  std::vector<float> scales(kCols / 32), scaled_sums(kCols / 32);
  std::vector<int32_t> sums(kCols / 32);
  table.quantize_by_32(x.data(), kCols, values.data(), scales.data(), sums.data(),
                       scaled_sums.data());
  kernels::Activations activations;
  activations.values = values.data();
  activations.scales = scales.data();
  activations.sums = sums.data();
  activations.scaled_sums = scaled_sums.data();
  return BestPerS(bytes, [&] {
    pool.ParallelFor(kRows, RowGrain(pool), [&](int64_t begin, int64_t end) {
      table.matmul(matrix, activations, 1, begin, end, out.data(), kRows);
    });
  });
}

double MeasureMemoryBytesPerS(ThreadPool& pool) {
  constexpr int64_t kWords = int64_t{192} << 17;  // 192 MiB, more than any cache holds
  const std::vector<uint64_t> words(kWords, 1);
  std::atomic<uint64_t> sink{0};  // keeps the reads from being optimized away
  return BestPerS(kWords * static_cast<int64_t>(sizeof(uint64_t)), [&] {
    pool.ParallelFor(kWords, kWords / (64 * pool.threads()), [&](int64_t begin, int64_t end) {
      sink += SumOf(words.data() + begin, end - begin);
    });
  });
}

double MeasureInt8MacsPerS(kernels::Isa isa, ThreadPool& pool) {
  constexpr int64_t kRounds = 2'000'000;  // per thread
  std::atomic<int64_t> macs{0};
  const auto pass = [&] {
    macs = 0;
    pool.ParallelFor(pool.threads(), 1, [&](int64_t begin, int64_t end) {
      macs += kernels::MultiplyInt8(isa, kRounds * (end - begin));
    });
  };
  pass();
  return BestPerS(macs, pass);
}

int64_t AvailableMemoryBytes() {
  const int64_t machine = ReadProcKilobytes("/proc/meminfo", "MemAvailable:");
  const std::optional<int64_t> group = ReadGroupLimits("").free_memory_bytes;
  return machine > 0 && group ? std::min(machine, *group) : machine;
}

int64_t TotalMemoryBytes() { return ReadProcKilobytes("/proc/meminfo", "MemTotal:"); }

int64_t ResidentBytes() { return ReadProcKilobytes("/proc/self/status", "VmRSS:"); }

std::string HostId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot_id;
  file >> boot_id;
  constexpr size_t kDigits = 16;
  return ToHex(Sha256Of(std::as_bytes(std::span(boot_id)))).substr(0, kDigits);
}

std::vector<Cpu> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> allowed;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int id = 0; id < CPU_SETSIZE; ++id) {
      if (CPU_ISSET(id, &set)) allowed.push_back(id);
    }
  }
  return ReadCpus("/sys/devices/system/cpu", allowed);
}

int UsePerformanceCores() {
  const std::vector<int> chosen = PerformanceCpus(AllowedCpus());
  if (chosen.empty()) return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int id : chosen) CPU_SET(id, &set);
  sched_setaffinity(0, sizeof(set), &set);  // without it the threads only run less well placed
  const int cores = static_cast<int>(chosen.size());
  const int quota = ReadGroupLimits("").cpus;
  return quota > 0 ? std::min(cores, quota) : cores;
}

}  // namespace shoal
