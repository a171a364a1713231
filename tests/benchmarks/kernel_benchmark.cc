// Speed of the matrix products of every tensor type and instruction set, beside the two bounds of
// this machine: a plain read of memory, and int8 multiply-adds on registers. Weights are read from
// memory, not from caches (the matrix is large) for 1 token, and from caches for 32.
//
//   kernel_benchmark --benchmark_filter='avx2/Q4_K'       (names: matmul/ISA/TYPE/tokens/threads)
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "tests/kernels/random_blocks.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace shoal::kernels {
namespace {

constexpr int64_t kCols = 4096;
constexpr int64_t kDecodeBytes = int64_t{96} << 20;  // larger than the last-level cache
constexpr int64_t kPrefillRows = 1024;
constexpr int64_t kRandomRows = 64;  // the rest are copies of them

struct Free {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte[], Free>;

AlignedBytes Allocate(int64_t bytes) {
  return AlignedBytes(
      static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64))));
}

// A matrix of `rows` rows (a multiple of kRandomRows) as the table wants it, held in `storage`.
WeightMatrix MakeMatrix(const KernelTable& table, TensorType type, int64_t rows,
                        AlignedBytes& storage) {
  Random random(1);
  const std::vector<std::byte> plain = RandomRows(type, kRandomRows, kCols, random);
  const WeightMatrix from = {type, kRandomRows, kCols, plain.data(), false};
  const int64_t packed = table.packed_bytes(type, kRandomRows, kCols);
  const int64_t bytes = packed > 0 ? packed : static_cast<int64_t>(plain.size());
  storage = Allocate(bytes * (rows / kRandomRows));
  if (packed > 0) {
    table.pack(from, 0, kRandomRows, storage.get());
  } else {
    std::memcpy(storage.get(), plain.data(), plain.size());
  }
  for (int64_t r = kRandomRows; r < rows; r += kRandomRows) {
    std::memcpy(storage.get() + r / kRandomRows * bytes, storage.get(), static_cast<size_t>(bytes));
  }
  return {type, rows, kCols, storage.get(), packed > 0};
}

void MatMul(benchmark::State& state, Isa isa, TensorType type, int64_t tokens, int threads) {
  const KernelTable& table = TableFor(isa);
  const int64_t decode_rows = kDecodeBytes / RowBytes(type, kCols) / kRandomRows * kRandomRows;
  const int64_t rows = tokens == 1 && isa != Isa::kReference ? decode_rows : kPrefillRows;
  AlignedBytes storage;
  const WeightMatrix weights = MakeMatrix(table, type, rows, storage);
  Random random(2);
  const TestActivations x(ActivationFormatFor(type), tokens, kCols,
                          RandomFloats(tokens * kCols, random));
  std::vector<float> out(static_cast<size_t>(tokens * rows));
  ThreadPool pool(threads);
  const int64_t grain = std::max<int64_t>(rows / (8 * threads) / kRowUnit, 1) * kRowUnit;
  for (auto _ : state) {
    pool.ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
      table.matmul(weights, x.View(), tokens, begin, end, out.data(), rows);
    });
  }
  state.SetBytesProcessed(state.iterations() * rows * RowBytes(type, kCols));
  state.counters["MAC/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * rows * kCols * tokens), benchmark::Counter::kIsRate);
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

void ReadMemory(benchmark::State& state, int threads) {
  const std::vector<uint64_t> words(kDecodeBytes / sizeof(uint64_t), 1);
  ThreadPool pool(threads);
  std::atomic<uint64_t> sink = 0;
  const auto count = static_cast<int64_t>(words.size());
  for (auto _ : state) {
    pool.ParallelFor(count, count / (8 * threads), [&](int64_t begin, int64_t end) {
      sink += SumOf(words.data() + begin, end - begin);
    });
  }
  state.SetBytesProcessed(state.iterations() * kDecodeBytes);
}

#if defined(__x86_64__)

constexpr int kChains = 8;  // independent sums, so that latency does not count

__attribute__((target("avx2"))) void MultiplyAvx2(int64_t repeats) {
  __m256i sums[kChains];
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  __m256i weights = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < repeats; ++i) {
    __asm__ volatile("" : "+x"(weights));
    for (auto& sum : sums) sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, sum));
  }
  for (auto& sum : sums) __asm__ volatile("" : "+x"(sum));
}

__attribute__((target("avx512f,avx512vnni"))) void MultiplyVnni(int64_t repeats) {
  __m512i sums[kChains];
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  __m512i weights = _mm512_set1_epi32(1);
  for (int64_t i = 0; i < repeats; ++i) {
    __asm__ volatile("" : "+v"(weights));
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, weights, weights);
  }
  for (auto& sum : sums) __asm__ volatile("" : "+v"(sum));
}

void Int8Peak(benchmark::State& state, Isa isa, int threads) {
  constexpr int64_t kRepeats = 100'000;
  const bool vnni = isa == Isa::kAvx512Vnni;
  ThreadPool pool(threads);
  for (auto _ : state) {
    pool.ParallelFor(threads, 1, [&](int64_t begin, int64_t end) {
      (vnni ? MultiplyVnni : MultiplyAvx2)(kRepeats * (end - begin));
    });
  }
  const int64_t per_repeat = kChains * (vnni ? 64 : 32);
  state.counters["MAC/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * threads * kRepeats * per_repeat),
                         benchmark::Counter::kIsRate);
}

#endif

void RegisterAll(int threads) {
  const std::string suffix = fmt::format("/{}", threads);
  const auto add = [](const std::string& name, auto function) {
    benchmark::RegisterBenchmark(name.c_str(), function)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  add("read" + suffix, [=](benchmark::State& state) { ReadMemory(state, threads); });
  for (const Isa isa : SupportedIsas()) {
    const std::string name(IsaName(isa));
#if defined(__x86_64__)
    if (isa != Isa::kReference) {
      add("int8/" + name + suffix, [=](auto& state) { Int8Peak(state, isa, threads); });
    }
#endif
    for (const TensorType type : kAllTensorTypes) {
      for (const int64_t tokens : {1, 32}) {
        const std::string matmul =
            fmt::format("matmul/{}/{}/{}/{}", name, InfoOf(type).name, tokens, threads);
        add(matmul, [=](auto& state) { MatMul(state, isa, type, tokens, threads); });
      }
    }
  }
}

}  // namespace
}  // namespace shoal::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const int all = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  shoal::kernels::RegisterAll(1);
  if (all > 1) shoal::kernels::RegisterAll(all);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
