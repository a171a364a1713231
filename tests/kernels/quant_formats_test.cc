// Proves that dequantization is bit-equal to ggml's (golden rows of every type, made by ggml and
// the gguf Python package), that half conversions agree with the compiler's own for every half and
// around every rounding boundary, and that the generator of random blocks keeps its word.
#include "kernels/quant_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/bytes.h"
#include "tests/kernels/random_blocks.h"

namespace shoal::kernels {
namespace {

std::vector<std::byte> DecodeBase64(const std::string& text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::byte> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;  // padding
    bits = bits << 6U | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> static_cast<uint32_t>(count)));
    }
  }
  return bytes;
}

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

TEST(DequantizeRow, IsBitEqualToGgml) {
  const auto golden = nlohmann::json::parse(std::ifstream(SHOAL_QUANT_BLOCKS_JSON));
  const int64_t rows = golden.at("rows");
  const int64_t cols = golden.at("cols");
  std::set<TensorType> seen = {TensorType::kF32};  // no golden rows: nothing is converted
  for (const auto& entry : golden.at("types")) {
    const TensorTypeInfo* info = FindTensorType(entry.at("type_id"));
    if (info == nullptr) continue;
    SCOPED_TRACE(info->name);
    seen.insert(info->type);
    EXPECT_EQ(info->name, entry.at("type"));
    const auto bytes = DecodeBase64(entry.at("bytes"));
    const auto expected = DecodeBase64(entry.at("values_f32"));
    const int64_t row_bytes = RowBytes(info->type, cols);
    ASSERT_EQ(static_cast<int64_t>(bytes.size()), rows * row_bytes);
    ASSERT_EQ(static_cast<int64_t>(expected.size()), rows * cols * 4);
    std::vector<float> values(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      DequantizeRow(info->type, bytes.data() + r * row_bytes, cols, values.data());
      for (int64_t i = 0; i < cols; ++i) {
        const auto want = LoadLittleEndian<float>(expected.data() + (r * cols + i) * 4);
        ASSERT_EQ(Bits(values[i]), Bits(want))
            << "row " << r << " column " << i << ": " << values[i] << ", golden " << want;
      }
    }
  }
  EXPECT_EQ(seen.size(), kAllTensorTypes.size()) << "a type without golden rows";
}

TEST(DequantizeRow, CopiesF32) {
  const std::vector<float> from = {0.0F, -0.0F, 1.5F, 1e-42F, -3e38F};
  std::vector<float> to(from.size());
  DequantizeRow(TensorType::kF32, reinterpret_cast<const std::byte*>(from.data()), 5, to.data());
  for (size_t i = 0; i < from.size(); ++i) EXPECT_EQ(Bits(to[i]), Bits(from[i]));
}

TEST(HalfToFloat, AgreesWithTheDefinitionForEveryHalf) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10U & 31U);
    const int mantissa = static_cast<int>(bits & 0x3ffU);
    ASSERT_EQ(std::signbit(value), (bits & 0x8000U) != 0) << bits;
    if (exponent == 31 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      continue;
    }
    float magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    if (exponent == 0) magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    if (exponent == 31) magnitude = std::numeric_limits<float>::infinity();
    ASSERT_EQ(std::fabs(value), magnitude) << bits;
    ASSERT_EQ(FloatToHalf(value), bits) << "a half does not come back";
  }
}

TEST(FloatToHalf, RoundsToNearestEven) {
  // Between each half and the next: just below the middle, the middle, just above.
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double low = HalfToFloat(static_cast<uint16_t>(bits));
    const double high = bits == 0x7bff ? 65536.0 : HalfToFloat(static_cast<uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact
    const uint32_t even = (bits & 1U) == 0 ? bits : bits + 1;
    ASSERT_EQ(FloatToHalf(middle), even) << bits;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 1e9F)), bits + 1) << bits;
    ASSERT_EQ(FloatToHalf(-middle), even | 0x8000U) << bits;
  }
}

TEST(FloatToHalf, HandlesTheEnds) {
  EXPECT_EQ(FloatToHalf(1e-42F), 0);  // a subnormal float
  EXPECT_EQ(FloatToHalf(-1e-42F), 0x8000);
  EXPECT_EQ(FloatToHalf(1e9F), 0x7c00);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::infinity()), 0xfc00);
  for (const uint32_t nan : {0x7fc00000U, 0x7f800001U, 0xffffffffU}) {
    EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::bit_cast<float>(nan)))));
  }
}

TEST(Bfloat16ToFloat, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(Bfloat16ToFloat(0x3fc0), 1.5F);
  EXPECT_EQ(Bits(Bfloat16ToFloat(0x8001)), 0x80010000U);
  EXPECT_TRUE(std::isnan(Bfloat16ToFloat(0x7fc0)));
}

TEST(RandomRows, AreFiniteVariedAndRepeatable) {
  for (const TensorType type : kAllTensorTypes) {
    SCOPED_TRACE(InfoOf(type).name);
    Random random(1);
    const auto rows = RandomRows(type, 64, 512, random);
    std::vector<float> values(64 * 512);
    DequantizeRow(type, rows.data(), 64 * 512, values.data());
    std::set<float> distinct(values.begin(), values.end());
    // A ternary block has three values, an MXFP4 block 15 times a power of two.
    EXPECT_GT(distinct.size(), type == TensorType::kMXFP4 ? 50U : 200U);
    EXPECT_LT(*distinct.begin(), 0);
    EXPECT_TRUE(
        std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }));
    Random again(1);
    EXPECT_EQ(RandomRows(type, 64, 512, again), rows);
  }
}

TEST(RandomFloats, AreFiniteWithZerosAndExtremes) {
  Random random(2);
  const auto values = RandomFloats(32 * 1000, random);
  const auto count = [&values](auto predicate) {
    return std::count_if(values.begin(), values.end(), predicate);
  };
  EXPECT_EQ(count([](float x) { return !std::isfinite(x); }), 0);
  EXPECT_GT(count([](float x) { return x == 0; }), 100);
  EXPECT_GT(count([](float x) { return std::fabs(x) > 1000; }), 100);
  EXPECT_GT(count([](float x) { return x != 0 && std::fabs(x) < 1.2e-38F; }), 100);
}

}  // namespace
}  // namespace shoal::kernels
