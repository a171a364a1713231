// Proves that rotary angles are what the formula says, computed here with the C library in long
// double: plain, linear, per-pair factors; and YaRN's three regimes. (The golden test covers whole
// models with each.)
#include "model/transformer/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace shoal {
namespace {

constexpr float kTolerance = 1.2e-7f;  // one rounding to float, and the C library's own error

void ExpectAngles(const RopeAngles& rope, const std::vector<long double>& frequencies,
                  long double magnitude, int32_t context_tokens = 1 << 20) {
  const auto pairs = static_cast<size_t>(rope.pairs());
  ASSERT_EQ(pairs, frequencies.size());
  std::vector<float> cos(pairs);
  std::vector<float> sin(pairs);
  for (int64_t position : {0, 1, 17, 4095, 131071, (1 << 20) - 1}) {
    rope.At(position, context_tokens, cos.data(), sin.data());
    for (size_t i = 0; i < pairs; ++i) {
      const long double angle = position * frequencies[i];
      EXPECT_NEAR(cos[i], static_cast<float>(std::cos(angle) * magnitude), kTolerance * 2)
          << "position " << position << ", pair " << i;
      EXPECT_NEAR(sin[i], static_cast<float>(std::sin(angle) * magnitude), kTolerance * 2)
          << "position " << position << ", pair " << i;
    }
  }
}

std::vector<long double> PlainFrequencies(const RopeConfig& config) {
  std::vector<long double> frequencies;
  for (int32_t i = 0; i < config.dim / 2; ++i) {
    frequencies.push_back(std::pow(static_cast<long double>(config.base),
                                   -2.0L * i / static_cast<long double>(config.dim)));
  }
  return frequencies;
}

TEST(RopeTest, PlainLinearAndFactors) {
  RopeConfig config;
  config.dim = 64;
  config.base = 500000;
  std::vector<long double> frequencies = PlainFrequencies(config);
  ExpectAngles(RopeAngles(config), frequencies, 1);

  config.scaling = RopeScaling::kLinear;
  config.factor = 4;
  for (long double& frequency : frequencies) frequency /= 4;
  ExpectAngles(RopeAngles(config), frequencies, 1);

  for (size_t i = 0; i < frequencies.size(); ++i) {
    config.frequency_factors.push_back(static_cast<float>(i + 1));
    frequencies[i] /= static_cast<long double>(i + 1);
  }
  ExpectAngles(RopeAngles(config), frequencies, 1);
}

TEST(RopeTest, LongFactorsAreForSessionsThatMayOutgrowTheOriginalContext) {
  RopeConfig config;
  config.dim = 8;
  config.original_context = 4096;
  config.attn_factor = 1.19;
  config.frequency_factors = {1, 1, 2, 2};
  config.long_frequency_factors = {1, 4, 8, 16};
  const std::vector<long double> plain = PlainFrequencies(config);
  std::vector<long double> expected = plain;
  for (size_t i = 0; i < plain.size(); ++i) {
    expected[i] = plain[i] / static_cast<long double>(config.frequency_factors[i]);
  }
  ExpectAngles(RopeAngles(config), expected, 1.19L, 4096);
  for (size_t i = 0; i < plain.size(); ++i) {
    expected[i] = plain[i] / static_cast<long double>(config.long_frequency_factors[i]);
  }
  ExpectAngles(RopeAngles(config), expected, 1.19L, 4097);
}

// dim 64, base 10000, original context 2048: a pair turns 2048 / (2 pi 10000^(2i/64)) times, which
// is 32 at i = 8.06 and 1 at i = 20.1; rounded outwards, the ramp goes from pair 8 to pair 21.
TEST(RopeTest, YarnKeepsFastPairsInterpolatesSlowOnesAndGrowsMagnitude) {
  RopeConfig config;
  config.dim = 64;
  config.scaling = RopeScaling::kYarn;
  config.factor = 8;
  config.original_context = 2048;
  config.attn_factor = 1.25;
  std::vector<long double> frequencies = PlainFrequencies(config);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const long double interpolated =
        std::clamp((static_cast<long double>(i) - 8) / (21 - 8), 0.0L, 1.0L);
    frequencies[i] = frequencies[i] / 8 * interpolated + frequencies[i] * (1 - interpolated);
  }
  ExpectAngles(RopeAngles(config), frequencies, 1.25L * (1 + 0.1L * std::log(8.0L)));

  config.yarn_ext_factor = 0;  // plain interpolation, and the magnitude as it is
  frequencies = PlainFrequencies(config);
  for (long double& frequency : frequencies) frequency /= 8;
  ExpectAngles(RopeAngles(config), frequencies, 1.25L);
}

}  // namespace
}  // namespace shoal
