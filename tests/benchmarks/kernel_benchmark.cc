// Speed of the matrix products of every tensor type and instruction set, beside the two bounds of
// this machine: a plain read of memory, and int8 multiply-adds on registers. Weights are read from
// memory, not from caches (the matrix is large) for 1 token, and from caches for more.
//
//   kernel_benchmark --benchmark_filter='avx2/Q4_K'       (names: matmul/ISA/TYPE/tokens/threads)
#include <benchmark/benchmark.h>
#if defined(SHOAL_OPENBLAS)
#include <cblas.h>
#endif
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/int8_peak.h"
#include "kernels/kernel_table.h"
#include "node/profiler.h"
#include "tests/kernels/random_blocks.h"

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

void ReadMemory(benchmark::State& state, int threads) {
  ThreadPool pool(threads);
  double bytes_per_s = 0;
  for (auto _ : state) bytes_per_s = std::max(bytes_per_s, MeasureMemoryBytesPerS(pool));
  state.counters["bytes_per_second"] = bytes_per_s;
}

// What a parallel loop costs beyond its work.
void EmptyLoop(benchmark::State& state, int threads) {
  ThreadPool pool(threads);
  for (auto _ : state) {
    pool.ParallelFor(threads, 1, [](int64_t begin, int64_t) { benchmark::DoNotOptimize(begin); });
  }
}

void Int8Peak(benchmark::State& state, Isa isa, int threads) {
  constexpr int64_t kRounds = 100'000;
  ThreadPool pool(threads);
  std::atomic<int64_t> done = 0;
  for (auto _ : state) {
    pool.ParallelFor(threads, 1, [&](int64_t begin, int64_t end) {
      done += MultiplyInt8(isa, kRounds * (end - begin));
    });
  }
  state.counters["MAC/s"] =
      benchmark::Counter(static_cast<double>(done.load()), benchmark::Counter::kIsRate);
}

#if defined(SHOAL_OPENBLAS)
// What an inexact product of F32 weights would give.
void OpenBlas(benchmark::State& state, int64_t tokens, int threads) {
  openblas_set_num_threads(threads);
  Random random(1);
  const std::vector<float> weights = RandomFloats(kPrefillRows * kCols, random);
  const std::vector<float> x = RandomFloats(tokens * kCols, random);
  std::vector<float> out(static_cast<size_t>(tokens * kPrefillRows));
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(tokens), kPrefillRows,
                kCols, 1, x.data(), kCols, weights.data(), kCols, 0, out.data(), kPrefillRows);
  }
  state.counters["MAC/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kPrefillRows * kCols * tokens),
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
#if defined(SHOAL_OPENBLAS)
  for (const int64_t tokens : {32, 256}) {
    add(fmt::format("openblas/F32/{}{}", tokens, suffix),
        [=](benchmark::State& state) { OpenBlas(state, tokens, threads); });
  }
#endif
  add("loop" + suffix, [=](benchmark::State& state) { EmptyLoop(state, threads); });
  for (const Isa isa : SupportedIsas()) {
    const std::string name(IsaName(isa));
    add("int8/" + name + suffix, [=](auto& state) { Int8Peak(state, isa, threads); });
    for (const TensorType type : kAllTensorTypes) {
      for (const int64_t tokens : {1, 32, 256}) {
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
