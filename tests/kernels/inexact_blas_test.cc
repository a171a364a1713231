// OpenBLAS gives the reference's products up to rounding; fewer tokens and other types, its bits.
#include "kernels/inexact_blas.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace shoal::kernels {
namespace {

struct AlignedFree {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};

struct Product {
  std::vector<float> got;
  std::vector<float> exact;
};

constexpr float kUntouched = 77;

// Of rows [row_begin, rows) only.
Product Multiply(const KernelTable& table, TensorType type, int64_t rows, int64_t cols,
                 int64_t tokens, int64_t row_begin) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(rows * cols)),
      x(static_cast<size_t>(tokens * cols));
  for (float& value : values) value = uniform(random);
  for (float& value : x) value = uniform(random);
  const int64_t value_bytes = type == TensorType::kF32 ? 4 : 2;
  std::vector<std::byte> data(static_cast<size_t>(rows * cols * value_bytes));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    if (type == TensorType::kF32) {
      std::memcpy(&data[4 * i], &bits, 4);
    } else {  // as BF16, and any bits of a small number are an F16
      const auto half =
          static_cast<uint16_t>(type == TensorType::kBF16 ? bits >> 16 : bits >> 18 & 0xbbff);
      std::memcpy(&data[2 * i], &half, 2);
    }
  }
  const WeightMatrix plain = {type, rows, cols, data.data(), false};
  const int64_t bytes = (table.packed_bytes(type, rows, cols) + 63) / 64 * 64;
  const std::unique_ptr<std::byte, AlignedFree> packed(
      static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(bytes))));
  table.pack(plain, 0, rows, packed.get());
  Product product;
  product.got.assign(static_cast<size_t>(tokens * rows), kUntouched);
  product.exact = product.got;
  const Activations activations = {.f32 = x.data()};
  table.matmul({type, rows, cols, packed.get(), true}, activations, tokens, row_begin, rows,
               product.got.data(), rows);
  TableFor(Isa::kReference)
      .matmul(plain, activations, tokens, row_begin, rows, product.exact.data(), rows);
  return product;
}

class InexactBlas : public testing::TestWithParam<Isa> {};

TEST_P(InexactBlas, IsTheReferenceUpToRounding) {
  const Result<const KernelTable*> table = InexactTableFor(GetParam());
  if (!table.ok()) GTEST_SKIP() << table.error().message;
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) {
    for (const auto& [rows, cols, tokens, begin] : {std::array<int64_t, 4>{16, 32, 32, 0},
                                                    {300, 96, 33, 16},
                                                    {1000, 64, 77, 512},
                                                    {7, 1, 40, 0}}) {
      const Product product = Multiply(**table, type, rows, cols, tokens, begin);
      int64_t different = 0;
      for (size_t i = 0; i < product.got.size(); ++i) {
        ASSERT_NEAR(product.got[i], product.exact[i], 1e-5 * static_cast<double>(cols));
        different += product.got[i] != product.exact[i] ? 1 : 0;
      }
      if (begin > 0) {
        EXPECT_EQ(product.got[0], kUntouched);
      }
      if (cols > 32) {
        EXPECT_GT(different, 0) << "not by OpenBLAS";
      }
    }
  }
}

TEST_P(InexactBlas, FewTokensHaveTheReferencesBits) {
  const Result<const KernelTable*> table = InexactTableFor(GetParam());
  if (!table.ok()) GTEST_SKIP() << table.error().message;
  const Product product = Multiply(**table, TensorType::kBF16, 300, 96, kLeastBlasTokens - 1, 0);
  EXPECT_EQ(product.got, product.exact);
}

std::vector<Isa> PackingIsas() {
  std::vector<Isa> isas = SupportedIsas();
  isas.erase(isas.begin());
  return isas;
}

INSTANTIATE_TEST_SUITE_P(All, InexactBlas, testing::ValuesIn(PackingIsas()),
                         [](const auto& isa) { return std::string(IsaName(isa.param)); });

TEST(InexactBlasErrors, TheReferencePacksNothing) {
  const Result<const KernelTable*> table = InexactTableFor(Isa::kReference);
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().code, ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace shoal::kernels
