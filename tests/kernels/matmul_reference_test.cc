// Proves the reference matmul of every tensor type three ways: against a sum in double of the
// (golden-tested) dequantized weights within a derived tolerance, which is printed with the worst
// element; bit for bit against the formula of kernels/kernel_table.h written out once more,
// plainly; and that neither the number of tokens nor the split into row ranges changes a bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <iostream>

#include "kernels/quant_blocks.h"
#include "kernels/quant_formats.h"
#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"

namespace shoal::kernels {
namespace {

constexpr int64_t kRows = 40;  // not a whole number of row groups
constexpr int64_t kTokens = 131;
constexpr double kUnit = 0x1p-24;  // half an ulp of 1: the relative error of one rounding

class MatMulReference : public ::testing::TestWithParam<TensorType> {
 protected:
  MatMulReference()
      : info_(InfoOf(GetParam())),
        cols_(info_.block_values == 256 ? 768 : 352),
        random_(static_cast<uint64_t>(GetParam()) + 1),  // the seed
        bytes_(RandomRows(GetParam(), kRows, cols_, random_)),
        activations_(ActivationFormatFor(GetParam()), kTokens, cols_,
                     RandomFloats(kTokens * cols_, random_)),
        x_(activations_.View()),
        weights_{GetParam(), kRows, cols_, bytes_.data(), false},
        out_(kTokens * kRows, -1.0F) {
    reference::MatMul(weights_, x_, kTokens, 0, kRows, out_.data(), kRows);
  }

  const std::byte* Row(int64_t r) const { return bytes_.data() + r * RowBytes(info_.type, cols_); }
  bool IsFloat() const { return info_.block_values == 1; }

  // The value that the matmul multiplies with, exact in double.
  double Activation(int64_t t, int64_t k) const {
    if (IsFloat()) return x_.f32[t * cols_ + k];
    const int64_t at = t * cols_ + k;
    return static_cast<double>(x_.scales[at / info_.block_values]) * x_.values[at];
  }

  const TensorTypeInfo& info_;
  const int64_t cols_;
  Random random_;
  const std::vector<std::byte> bytes_;
  const TestActivations activations_;
  const Activations x_;
  const WeightMatrix weights_;
  std::vector<float> out_;
};

// |weight| before a minimum and its quant cancel: what rounding errors are relative to.
std::vector<double> Magnitudes(const TensorTypeInfo& info, const std::byte* row, int64_t cols) {
  std::vector<double> magnitudes;
  for (int64_t b = 0; b < cols / info.block_values; ++b) {
    const std::byte* at = row + b * info.block_bytes;
    if (info.block_values == 32) {
      Block32 block;
      UnpackBlock(info.type, at, block);
      for (const int8_t q : block.quants) {
        magnitudes.push_back(std::fabs(double{block.scale} * q) + std::fabs(block.minimum));
      }
    } else if (info.block_values == 256) {
      Block256 block;
      UnpackBlock(info.type, at, block);
      for (int i = 0; i < 256; ++i) {
        magnitudes.push_back(
            std::fabs(double{block.scale} * block.scales[i / 16] * block.quants[i]) +
            std::fabs(double{block.minimum_scale} * block.minimums[i / 16]));
      }
    } else {
      float value = 0;
      DequantizeRow(info.type, at, 1, &value);
      magnitudes.push_back(std::fabs(value));
    }
  }
  return magnitudes;
}

TEST_P(MatMulReference, AgreesWithDequantizedWeightsInDouble) {
  // Roundings that touch a term: 3 in a dequantized weight, 3 on its way into the sum (scale * a,
  // float(dot), scaled sum), then one for each fma that the sum takes. Products of scales that fall
  // among the subnormals lose up to 2^-150 each, times a dot product below 2^28.
  const int64_t blocks = cols_ / info_.block_values;
  const double roundings = 6 + static_cast<double>(2 * blocks);
  const double underflow = static_cast<double>(blocks) * 0x1p-121;
  std::vector<float> weights(static_cast<size_t>(cols_));
  double worst = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    DequantizeRow(info_.type, Row(r), cols_, weights.data());
    const std::vector<double> magnitudes = Magnitudes(info_, Row(r), cols_);
    for (int64_t t = 0; t < kTokens; ++t) {
      double expected = 0;
      double terms = 0;
      for (int64_t k = 0; k < cols_; ++k) {
        expected += weights[k] * Activation(t, k);
        terms += magnitudes[k] * std::fabs(Activation(t, k));
      }
      const double tolerance = terms * kUnit * roundings + underflow;
      const double error = std::fabs(out_[t * kRows + r] - expected);
      ASSERT_LE(error, tolerance) << "row " << r << " token " << t << ": " << out_[t * kRows + r]
                                  << ", expected " << expected;
      worst = std::max(worst, error / tolerance);
    }
  }
  std::cout << info_.name << ": worst element at " << worst << " of its tolerance of " << roundings
            << " roundings\n";
}

// The header's formula for one element.
float Formula32(const TensorTypeInfo& info, const std::byte* row, const Activations& x,
                int64_t blocks) {
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    Block32 block;
    UnpackBlock(info.type, row + b * info.block_bytes, block);
    int64_t dot = 0;
    for (int64_t i = 0; i < 32; ++i) dot += block.quants[i] * x.values[b * 32 + i];
    sum = std::fma(block.scale * x.scales[b], static_cast<float>(dot), sum);
    if (BlockHasMinimum(info.type)) sum = std::fma(block.minimum, x.scaled_sums[b], sum);
  }
  return sum;
}

float Formula256(const TensorTypeInfo& info, const std::byte* row, const Activations& x,
                 int64_t blocks) {
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    Block256 block;
    UnpackBlock(info.type, row + b * info.block_bytes, block);
    int64_t dot = 0;
    int64_t minimum = 0;
    for (int64_t i = 0; i < 256; ++i) {
      dot += int64_t{block.scales[i / 16]} * block.quants[i] * x.values[b * 256 + i];
      minimum += int64_t{block.minimums[i / 16]} * x.values[b * 256 + i];
    }
    sum = std::fma(block.scale * x.scales[b], static_cast<float>(dot), sum);
    if (BlockHasMinimum(info.type)) {
      sum = std::fma(-(block.minimum_scale * x.scales[b]), static_cast<float>(minimum), sum);
    }
  }
  return sum;
}

float FormulaFloat(const TensorTypeInfo& info, const std::byte* row, const Activations& x,
                   int64_t cols) {
  float sum = 0;
  for (int64_t k = 0; k < cols; ++k) {
    float weight = 0;
    DequantizeRow(info.type, row + k * info.block_bytes, 1, &weight);
    sum = std::fma(weight, x.f32[k], sum);
  }
  return sum;
}

TEST_P(MatMulReference, HasTheBitsOfTheFormula) {
  const auto formula = IsFloat() ? FormulaFloat : info_.block_values == 32 ? Formula32 : Formula256;
  for (int64_t t = 0; t < kTokens; ++t) {
    const Activations x = activations_.View(t);
    for (int64_t r = 0; r < kRows; ++r) {
      const float expected = formula(info_, Row(r), x, cols_ / info_.block_values);
      ASSERT_EQ(std::bit_cast<uint32_t>(out_[t * kRows + r]), std::bit_cast<uint32_t>(expected))
          << "row " << r << " token " << t;
    }
  }
}

TEST_P(MatMulReference, GivesTheSameBitsForOneTokenAtATime) {
  std::vector<float> alone(kTokens * kRows);
  for (int64_t t = 0; t < kTokens; ++t) {
    reference::MatMul(weights_, activations_.View(t), 1, 0, kRows, alone.data() + t * kRows, kRows);
  }
  EXPECT_EQ(alone, out_);
}

TEST_P(MatMulReference, GivesTheSameBitsForAnyRowRangesAndWritesNothingElse) {
  constexpr int64_t kStride = kRows + 3;
  std::vector<float> parts(kTokens * kStride, -7.0F);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{32, 40}, {0, 16}, {16, 32}}) {
    reference::MatMul(weights_, x_, kTokens, begin, end, parts.data(), kStride);
  }
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t r = 0; r < kStride; ++r) {
      ASSERT_EQ(parts[t * kStride + r], r < kRows ? out_[t * kRows + r] : -7.0F);
    }
  }
}

std::string TypeName(const ::testing::TestParamInfo<TensorType>& param) {
  return std::string(InfoOf(param.param).name);
}
INSTANTIATE_TEST_SUITE_P(EveryType, MatMulReference, ::testing::ValuesIn(kAllTensorTypes),
                         TypeName);

TEST(MatMulReferenceDeathTest, RefusesWhatBreaksItsContract) {
  WeightMatrix weights = {TensorType::kF32, 32, 32, nullptr, false};
  EXPECT_DEATH(reference::MatMul(weights, {}, 1, 8, 32, nullptr, 32), "whole groups");
  EXPECT_DEATH(reference::MatMul(weights, {}, 1, 0, 24, nullptr, 32), "whole groups");
  weights.packed = true;
  EXPECT_DEATH(reference::MatMul(weights, {}, 1, 0, 32, nullptr, 32), "own format");
  EXPECT_DEATH(reference::Pack(weights, 0, 32, nullptr), "no packed form");
  EXPECT_EQ(reference::PackedBytes(TensorType::kQ4_0, 32, 32), 0);
}

}  // namespace
}  // namespace shoal::kernels
