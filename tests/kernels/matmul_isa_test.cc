// Proves that every instruction set's matmul gives the reference's bits: random and extreme weights
// of every type, shapes around the sizes of groups and tiles, any split into row ranges. Only the
// outputs asked for may change. AVX-512 and AVX-VNNI run emulated on every x86-64 CPU, and natively
// where the CPU has it.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"
#if defined(__x86_64__)
#define avx512vnni avx512vnni_emulated
#include "kernels/avx512vnni.h"
#undef avx512vnni
#define avxvnni avxvnni_emulated
#include "kernels/avxvnni.h"
#undef avxvnni
#endif

namespace shoal::kernels {
namespace {

struct Kernels {
  std::string name;
  decltype(KernelTable::packed_bytes) packed_bytes;
  decltype(KernelTable::pack) pack;
  decltype(KernelTable::matmul) matmul;
};

void PrintTo(const Kernels& kernels, std::ostream* out) { *out << kernels.name; }

std::vector<Kernels> AllKernels() {
  std::vector<Kernels> all;
  for (const Isa isa : SupportedIsas()) {
    const KernelTable& table = TableFor(isa);
    all.push_back({std::string(IsaName(isa)), table.packed_bytes, table.pack, table.matmul});
  }
#if defined(__x86_64__)
  all.push_back({"avx512vnni_emulated", avx512vnni_emulated::PackedBytes, avx512vnni_emulated::Pack,
                 avx512vnni_emulated::MatMul});
  if (__builtin_cpu_supports("avx2") != 0) {
    const KernelTable& table = TableFor(Isa::kAvx2);
    all.push_back({"avxvnni_emulated", table.packed_bytes, table.pack, avxvnni_emulated::MatMul});
  }
#endif
  return all;
}

struct AlignedFree {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};

// A matrix in the form that some kernels want it in. `rows` is borrowed.
class Matrix {
 public:
  Matrix(const Kernels& kernels, const WeightMatrix& rows) : view_(rows) {
    const int64_t bytes = kernels.packed_bytes(rows.type, rows.rows, rows.cols);
    if (bytes == 0) return;
    const int64_t whole = (bytes + 63) / 64 * 64;
    packed_.reset(static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(whole))));
    std::memset(packed_.get(), 0xa5, static_cast<size_t>(whole));
    const int64_t half = rows.rows / 2 / kRowUnit * kRowUnit;
    kernels.pack(rows, half, rows.rows, packed_.get());
    kernels.pack(rows, 0, half, packed_.get());
    view_.data = packed_.get();
    view_.packed = true;
  }

  const WeightMatrix& view() const { return view_; }

 private:
  WeightMatrix view_;
  std::unique_ptr<std::byte[], AlignedFree> packed_;
};

constexpr uint32_t kUntouched = 0x7fc0dead;

// What a matmul wrote, with guards around each token's outputs.
class Outputs {
 public:
  Outputs(int64_t tokens, int64_t rows)
      : stride_(rows + 5),
        values_(static_cast<size_t>(kGuard + tokens * stride_), std::bit_cast<float>(kUntouched)) {}

  float* data() { return values_.data() + kGuard; }
  int64_t stride() const { return stride_; }

  // The first place where the bits differ, guards included, or nothing.
  std::string FirstDifference(const Outputs& other) const {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (std::bit_cast<uint32_t>(values_[i]) == std::bit_cast<uint32_t>(other.values_[i]))
        continue;
      const int64_t at = static_cast<int64_t>(i) - kGuard;
      return "token " + std::to_string(at / stride_) + ", row " + std::to_string(at % stride_) +
             ": " + std::to_string(values_[i]) + " instead of " + std::to_string(other.values_[i]);
    }
    return "";
  }

 private:
  static constexpr int64_t kGuard = 8;
  int64_t stride_;
  std::vector<float> values_;
};

class MatMulIsa : public ::testing::TestWithParam<Kernels> {
 protected:
  // Multiplies in one piece and in ranges, and compares both with the reference.
  void ExpectReferenceBits(TensorType type, int64_t rows, int64_t cols, int64_t tokens,
                           const std::vector<std::byte>& data, const std::vector<float>& x) {
    SCOPED_TRACE(std::string(InfoOf(type).name) + " [" + std::to_string(rows) + ", " +
                 std::to_string(cols) + "], tokens " + std::to_string(tokens));
    const WeightMatrix weights = {
        .type = type, .rows = rows, .cols = cols, .data = data.data(), .packed = false};
    const TestActivations activations(ActivationFormatFor(type), tokens, cols, x);
    Outputs expected(tokens, rows);
    reference::MatMul(weights, activations.View(), tokens, 0, rows, expected.data(),
                      expected.stride());
    const Matrix matrix(GetParam(), weights);
    Outputs whole(tokens, rows);
    GetParam().matmul(matrix.view(), activations.View(), tokens, 0, rows, whole.data(),
                      whole.stride());
    ASSERT_EQ(whole.FirstDifference(expected), "");

    Outputs parts(tokens, rows);
    const int64_t step = kRowUnit * (1 + rows % 3);
    for (int64_t begin = 0; begin < rows; begin += step) {
      Outputs part(tokens, rows);
      const int64_t end = std::min(begin + step, rows);
      GetParam().matmul(matrix.view(), activations.View(), tokens, begin, end, part.data(),
                        part.stride());
      for (int64_t t = 0; t < tokens; ++t) {  // takes the part's outputs, and any stray one
        for (int64_t r = 0; r < rows; ++r) {
          const float value = part.data()[t * part.stride() + r];
          if (std::bit_cast<uint32_t>(value) == kUntouched) continue;
          ASSERT_TRUE(begin <= r && r < end) << "range " << begin << " wrote row " << r;
          parts.data()[t * parts.stride() + r] = value;
        }
      }
    }
    ASSERT_EQ(parts.FirstDifference(expected), "") << "in ranges of " << step << " rows";
  }
};

std::vector<int64_t> ColumnsFor(TensorType type) {
  switch (InfoOf(type).block_values) {
    case 1: return {1, 33, 576};
    case 32: return {32, 64, 96, 352, 576, 1536};
    default: return {256, 768};
  }
}

TEST_P(MatMulIsa, GivesTheReferenceBits) {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Random random(seed);
  constexpr int64_t kMultiplyAdds = 500'000;  // of the largest case: the emulation is slow
  for (const TensorType type : kAllTensorTypes) {
    for (const int64_t rows : {1, 15, 16, 17, 49, 64, 83, 160}) {
      for (const int64_t cols : ColumnsFor(type)) {
        const int64_t most = std::clamp<int64_t>(kMultiplyAdds / (rows * cols), 1, 19);
        const int64_t tokens = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(most));
        ExpectReferenceBits(type, rows, cols, tokens, RandomRows(type, rows, cols, random),
                            RandomFloats(tokens * cols, random));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(MatMulIsa, GivesTheReferenceBitsForAnyNumberOfTokens) {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Random random(seed);
  for (const TensorType type : kAllTensorTypes) {
    const int64_t cols = std::max(ColumnsFor(type)[0], int64_t{64});  // the emulation is slow
    if (GetParam().name == "reference") continue;
    for (const int64_t rows : {31, 80}) {
      for (int64_t tokens = 1; tokens <= 40; ++tokens) {
        ExpectReferenceBits(type, rows, cols, tokens, RandomRows(type, rows, cols, random),
                            RandomFloats(tokens * cols, random));
        if (HasFatalFailure()) return;
      }
    }
  }
}

// All quants at one end of their range against activations at one end of theirs: the largest sums
// there are, which must not saturate.
TEST_P(MatMulIsa, TakesTheLargestSums) {
  constexpr int64_t kRows = 80;
  constexpr int64_t kCols = 768;
  constexpr int64_t kTokens = 7;
  for (const TensorType type : kAllTensorTypes) {
    for (const int fill : {0x00, 0xff, 0x80, 0x7f}) {
      Random random(static_cast<uint64_t>(fill));
      std::vector<std::byte> data = RandomRows(type, kRows, kCols, random);
      const TensorTypeInfo& info = InfoOf(type);
      if (info.block_values == 32) {
        const int scales = type == TensorType::kQ4_1 || type == TensorType::kQ5_1 ? 4 : 2;
        for (size_t at = 0; at < data.size(); at += static_cast<size_t>(info.block_bytes)) {
          std::memset(data.data() + at + scales, fill,
                      static_cast<size_t>(info.block_bytes - scales));
        }
      }
      std::vector<float> x(kTokens * kCols);
      for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t k = 0; k < kCols; ++k) {
          const bool negative = t == 1 || (t == 2 && k % 2 == 0) || (t == 3 && k % 4 < 2) ||
                                (t == 4 && k % 32 < 16) || (t > 4 && random() % 2 == 0);
          x[static_cast<size_t>(t * kCols + k)] = negative ? -1.0f : 1.0f;
        }
      }
      ExpectReferenceBits(type, kRows, kCols, kTokens, data, x);
      if (HasFatalFailure()) return;
    }
  }
}

// Scales and weights of every half, where a block begins with one: subnormal, huge, both zeros.
// (Infinite and NaN weights give NaN everywhere; which NaN is nobody's promise.)
TEST_P(MatMulIsa, TakesEveryFiniteHalf) {
  for (const TensorType type : kAllTensorTypes) {
    if (type == TensorType::kF32 || type == TensorType::kBF16 || type == TensorType::kMXFP4)
      continue;
    const int64_t cols = InfoOf(type).block_values == 256 ? 256 : 32;
    constexpr int64_t kRows = 64;
    Random random(7);
    const std::vector<float> x = RandomFloats(2 * cols, random);
    for (uint32_t first = 0; first < 0x10000; first += 7 * kRows) {
      std::vector<std::byte> data = RandomRows(type, kRows, cols, random);
      const size_t row_bytes = static_cast<size_t>(RowBytes(type, cols));
      for (uint32_t r = 0; r < kRows; ++r) {
        auto half = static_cast<uint16_t>(first + 7 * r);
        if ((half & 0x7c00u) == 0x7c00u) half = static_cast<uint16_t>(half & 0x83ffu);
        std::memcpy(data.data() + r * row_bytes, &half, sizeof(half));
      }
      ExpectReferenceBits(type, kRows, cols, 2, data, x);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(MatMulIsaList, RunsWhatThisCpuHas) {
  std::string names;
  for (const Kernels& kernels : AllKernels()) names += " " + kernels.name;
  std::printf("kernels tested:%s\n", names.c_str());
#if defined(__x86_64__)
  EXPECT_NE(names.find("avx512vnni_emulated"), std::string::npos);
  const bool avx2 = __builtin_cpu_supports("avx2") != 0;
  EXPECT_EQ(names.find(" avx2") != std::string::npos, avx2);
  EXPECT_EQ(names.find("avxvnni_emulated") != std::string::npos, avx2);
#elif defined(__aarch64__)
  EXPECT_NE(names.find(" neon"), std::string::npos);
#endif
}

// The vector kernels pack every type but the rare ones, which they unpack as they go.
TEST_P(MatMulIsa, PacksTheUsualTypes) {
  const std::set<TensorType> rare = {TensorType::kIQ3_S,  TensorType::kIQ3_XXS, TensorType::kIQ2_S,
                                     TensorType::kIQ2_XS, TensorType::kIQ2_XXS, TensorType::kIQ1_M,
                                     TensorType::kIQ1_S,  TensorType::kTQ1_0};
  for (const TensorType type : kAllTensorTypes) {
    const bool packs = GetParam().name != "reference" && !rare.contains(type);
    EXPECT_EQ(GetParam().packed_bytes(type, 33, 768), packs ? 48 * RowBytes(type, 768) : 0)
        << InfoOf(type).name;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, MatMulIsa, ::testing::ValuesIn(AllKernels()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace shoal::kernels
