// Proves each codec's rounding by properties over any bits: exact where it says so, within its
// bound elsewhere, NaN never hidden, rows independent of each other; and that the decoder takes
// nothing but whole rows.
#include "net/wire/activation_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/half_float.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Mostly such as activations are, some of any bits: NaN, infinities, subnormals.
std::vector<float> AnyRow(int32_t width) {
  std::vector<float> row;
  for (int32_t i = 0; i < width; ++i) {
    const auto bits = *rc::gen::arbitrary<uint32_t>();
    const bool wild = *rc::gen::inRange(0, 200) == 0;
    row.push_back(wild ? std::bit_cast<float>(bits)
                       : (static_cast<float>(bits) / 4294967296.0F - 0.5F) * 200);
  }
  return row;
}

ActivationCodec AnyCodec() {
  return {*rc::gen::element(ActivationFormat::kF32, ActivationFormat::kF16, ActivationFormat::kBf16,
                            ActivationFormat::kInt8),
          *rc::gen::arbitrary<bool>()};
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

std::vector<float> ThroughTheWire(ActivationCodec codec, const std::vector<float>& values,
                                  int32_t width) {
  const auto rows = static_cast<int64_t>(values.size()) / width;
  const std::string bytes = EncodeActivations(codec, values, width);
  Result<std::vector<float>> back = DecodeActivations(codec, bytes, rows, width);
  RC_ASSERT(back.ok());
  return *back;
}

// What a 16-bit format makes of a finite value: within half a unit of its last place.
void ExpectNear(float value, float back, int mantissa_bits, float smallest, float largest) {
  const float kept = std::clamp(value, -largest, largest);
  const float unit = std::ldexp(std::max(std::fabs(kept), smallest), -mantissa_bits - 1);
  RC_ASSERT(std::isfinite(back));
  RC_ASSERT(std::fabs(back - kept) <= unit);
}

RC_GTEST_PROP(ActivationCodec, EveryFormatKeepsToItsBound, ()) {
  const ActivationCodec codec = AnyCodec();
  const auto width = *rc::gen::inRange(1, 100);
  const std::vector<float> row = AnyRow(width);
  const std::vector<float> back = ThroughTheWire(codec, row, width);
  for (int32_t begin = 0; begin < width; begin += kInt8BlockValues) {
    const int32_t end = std::min(width, begin + kInt8BlockValues);
    float largest = 0;
    bool finite = true;
    for (int32_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::fabs(row[static_cast<size_t>(i)]));
      finite = finite && std::isfinite(row[static_cast<size_t>(i)]);
    }
    for (int32_t i = begin; i < end; ++i) {
      const float x = row[static_cast<size_t>(i)];
      const float y = back[static_cast<size_t>(i)];
      if (codec.format == ActivationFormat::kF32) {
        RC_ASSERT(std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y));
      } else if (codec.format == ActivationFormat::kInt8) {
        RC_ASSERT((finite ? std::fabs(x - y) <= largest / 254 * 1.0001F + 1e-35F : std::isnan(y)));
      } else if (!std::isfinite(x)) {
        RC_ASSERT((std::isnan(x) ? std::isnan(y) : x == y));
      } else if (codec.format == ActivationFormat::kF16) {
        ExpectNear(x, y, 10, 0x1p-14F, 65504);
      } else {
        ExpectNear(x, y, 7, 0x1p-126F, 0x1.fep127F);
      }
    }
  }
}

RC_GTEST_PROP(ActivationCodec, ARowDoesNotDependOnTheOthers, ()) {
  const ActivationCodec codec = AnyCodec();
  const auto width = *rc::gen::inRange(1, 80);
  std::vector<float> all;
  std::vector<float> expected;
  for (int32_t rows = *rc::gen::inRange(1, 4); rows > 0; --rows) {
    const std::vector<float> row = AnyRow(width);
    const std::vector<float> alone = ThroughTheWire(codec, row, width);
    all.insert(all.end(), row.begin(), row.end());
    expected.insert(expected.end(), alone.begin(), alone.end());
  }
  RC_ASSERT(SameBits(ThroughTheWire(codec, all, width), expected));
}

RC_GTEST_PROP(ActivationCodec, ZstdChangesNothing, ()) {
  ActivationCodec codec = AnyCodec();
  const auto width = *rc::gen::inRange(1, 80);
  const std::vector<float> row = AnyRow(width);
  codec.zstd = false;
  const std::vector<float> plain = ThroughTheWire(codec, row, width);
  codec.zstd = true;
  RC_ASSERT(SameBits(ThroughTheWire(codec, row, width), plain));
}

RC_GTEST_PROP(ActivationCodec, TakesNothingButWholeRows, ()) {
  const ActivationCodec codec = AnyCodec();
  const auto width = *rc::gen::inRange(1, 80);
  std::string bytes = EncodeActivations(codec, AnyRow(width), width);
  RC_ASSERT(!DecodeActivations(codec, bytes, 2, width).ok());
  RC_ASSERT(!DecodeActivations(codec, bytes, 1, width + 1).ok());
  bytes.pop_back();
  RC_ASSERT(!DecodeActivations(codec, bytes, 1, width).ok());
}

// Every half, and the ties between neighbours, against the definition.
TEST(HalfFloat, RoundsToNearestEvenEverywhere) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = HalfToFloat(half);
    EXPECT_EQ(FloatToHalf(value), half);
    if (bits + 1 == 0x7c00) continue;
    const float next = HalfToFloat(static_cast<uint16_t>(bits + 1));
    const float tie = value + (next - value) / 2;
    EXPECT_EQ(FloatToHalf(tie), half + (half & 1U));
    EXPECT_EQ(FloatToHalf(std::nextafter(tie, 0.0F)), half);
    EXPECT_EQ(FloatToHalf(std::nextafter(tie, kInfinity)), half + 1);
  }
}

TEST(ActivationCodec, NamesAreReadAndWritten) {
  for (const std::string name : {"f32", "f16", "bf16", "int8", "f32+zstd", "int8+zstd"}) {
    const Result<ActivationCodec> codec = ParseActivationCodec(name);
    ASSERT_TRUE(codec.ok()) << name;
    EXPECT_EQ(codec->ToString(), name);
  }
  for (const std::string name : {"", "F32", "zstd", "+zstd", "int8+", "int8+zstd+zstd", "int4"}) {
    const Result<ActivationCodec> codec = ParseActivationCodec(name);
    ASSERT_FALSE(codec.ok()) << name;
    EXPECT_THAT(codec.error().message, HasSubstr("'" + name + "'"));
  }
}

TEST(ActivationCodec, SizesAreWhatTheFormatSays) {
  EXPECT_EQ(EncodedBytes(ActivationFormat::kF32, 3, 576), 3 * 4 * 576);
  EXPECT_EQ(EncodedBytes(ActivationFormat::kF16, 3, 576), 3 * 2 * 576);
  EXPECT_EQ(EncodedBytes(ActivationFormat::kInt8, 3, 576), 3 * 18 * 36);
  EXPECT_EQ(EncodedBytes(ActivationFormat::kInt8, 1, 33), 4 + 32 + 4 + 1);
  EXPECT_EQ(EncodeActivations({ActivationFormat::kInt8, true}, {}, 0), "");
  EXPECT_TRUE(DecodeActivations({ActivationFormat::kInt8, true}, "", 5, 0)->empty());
}

// A frame that would grow to gigabytes is refused by what it says of itself, before any is written.
TEST(ActivationCodec, ADecompressionBombIsRefused) {
  const std::vector<float> zeros(1 << 20, 0.0F);
  const ActivationCodec codec{ActivationFormat::kF32, true};
  const std::string bomb = EncodeActivations(codec, zeros, 1 << 20);
  EXPECT_LT(bomb.size(), 10'000U);
  const Result<std::vector<float>> small = DecodeActivations(codec, bomb, 1, 64);
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(small.error().message, HasSubstr("does not say that it holds 256"));
}

}  // namespace
}  // namespace shoal
