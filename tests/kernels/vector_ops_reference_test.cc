// Proves the reference vector operations: quantization by its definition and its bounds, norms,
// activations, caps and rotations against double within derived tolerances, which are printed, and
// the order of the 16 partial sums with numbers that give it away.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iostream>
#include <numeric>

#include "kernels/partial_sums.h"
#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"

namespace shoal::kernels {
namespace {

constexpr double kUnit = 0x1p-24;  // the relative error of one rounding

// Values and scale of one block, straight from the definition but in double.
void CheckBlock(const float* x, int64_t count, const int8_t* values, float scale) {
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max<double>(largest, std::fabs(x[i]));
  EXPECT_EQ(scale, static_cast<float>(largest) / 127.0F);
  for (int64_t i = 0; i < count; ++i) {
    if (largest < kSmallestQuantized) {
      EXPECT_EQ(values[i], 0) << x[i];
      continue;
    }
    const float inverse = 127.0F / static_cast<float>(largest);
    const double exact = x[i] * inverse;  // a float product: the definition's rounding
    double nearest = std::floor(exact + 0.5);
    if (nearest - exact == 0.5 && std::fmod(nearest, 2) != 0) nearest -= 1;  // ties to even
    EXPECT_EQ(values[i], nearest) << x[i] << " of at most " << largest;
  }
}

TEST(QuantizeBy32, FollowsItsDefinition) {
  Random random(1);
  constexpr int64_t kCols = 32 * 2000;
  std::vector<float> x = RandomFloats(kCols, random);
  for (int64_t i = 0; i < 32; ++i) {  // ties: a = 127, so that values stand at halves
    x[i] = static_cast<float>(i) - 15.5F;
    x[32 + i] = 126.5F - static_cast<float>(i);
  }
  x[0] = 127;
  x[32] = -127;
  std::vector<int8_t> values(kCols);
  std::vector<float> scales(kCols / 32);
  std::vector<int32_t> sums(kCols / 32);
  std::vector<float> scaled_sums(kCols / 32);
  reference::QuantizeBy32(x.data(), kCols, values.data(), scales.data(), sums.data(),
                          scaled_sums.data());
  for (int64_t b = 0; b < kCols / 32; ++b) {
    CheckBlock(x.data() + b * 32, 32, values.data() + b * 32, scales[b]);
    const int sum = std::accumulate(values.begin() + b * 32, values.begin() + (b + 1) * 32, 0);
    ASSERT_EQ(sums[b], sum);
    ASSERT_EQ(scaled_sums[b], scales[b] * static_cast<float>(sum));
  }
  EXPECT_EQ(values[1], -14);   // -14.5 to even
  EXPECT_EQ(values[2], -14);   // -13.5 to even
  EXPECT_EQ(values[33], 126);  // 125.5 to even
}

TEST(QuantizeBy256, FollowsItsDefinition) {
  Random random(2);
  constexpr int64_t kCols = 256 * 300;
  const std::vector<float> x = RandomFloats(kCols, random);
  std::vector<int8_t> values(kCols);
  std::vector<float> scales(kCols / 256);
  std::vector<int32_t> sums(kCols / 32);
  std::vector<int16_t> sums16(kCols / 16);
  reference::QuantizeBy256(x.data(), kCols, values.data(), scales.data(), sums.data(),
                           sums16.data());
  for (int64_t b = 0; b < kCols / 256; ++b) {
    CheckBlock(x.data() + b * 256, 256, values.data() + b * 256, scales[b]);
  }
  for (int64_t j = 0; j < kCols / 16; ++j) {
    const auto begin = values.begin() + j * 16;
    ASSERT_EQ(sums16[j], std::accumulate(begin, begin + 16, 0));
  }
  for (int64_t j = 0; j < kCols / 32; ++j) {
    ASSERT_EQ(sums[j], sums16[2 * j] + sums16[2 * j + 1]);
  }
}

TEST(Quantize, SurvivesValuesThatAreNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(256, 1.0F);
    x[7] = bad;
    x[9] = -3e38F;
    std::vector<int8_t> values(256);
    std::vector<float> scales(8);
    std::vector<int32_t> sums(8);
    std::vector<float> scaled_sums(8);
    std::vector<int16_t> sums16(16);
    reference::QuantizeBy32(x.data(), 256, values.data(), scales.data(), sums.data(),
                            scaled_sums.data());
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -127);
    reference::QuantizeBy256(x.data(), 256, values.data(), scales.data(), sums.data(),
                             sums16.data());
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -127);
  }
}

TEST(Combine, AddsInTheStatedTree) {
  // 2^24 + 1 is not a float: whether a 1 survives tells which pairs were added first.
  PartialSums partial = {};
  partial[0] = 0x1p24F;
  partial[1] = 1;
  partial[9] = 1;  // with partial[1]: 2, which survives
  EXPECT_EQ(Combine(partial), 0x1p24F + 2);
  partial[9] = 0;
  partial[2] = 1;  // 1 meets partial[0] alone and is lost, then so is partial[1]
  EXPECT_EQ(Combine(partial), 0x1p24F);
  partial = {};
  partial[0] = 0x1p24F;
  partial[5] = 1;
  partial[3] = 1;  // meets 5 as u1: 2
  EXPECT_EQ(Combine(partial), 0x1p24F + 2);
}

TEST(RmsNorm, AgreesWithDouble) {
  Random random(3);
  for (const int64_t n : {1, 15, 16, 17, 64, 576, 4096, 4099}) {
    SCOPED_TRACE(n);
    const std::vector<float> x = RandomFloats(n, random);
    const std::vector<float> weight = RandomFloats(n, random);
    constexpr float kEpsilon = 1e-5F;
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + double{kEpsilon});
    // The sum of squares has n/16 + 5 roundings in a row; the root halves its error; then come
    // mean, epsilon (halved too), root, quotient and two products. Subnormal products: 2^-149 each.
    const double tolerance = kUnit * ((static_cast<double>(n) / 16 + 7) / 2 + 5);
    std::vector<float> out(x.size());
    reference::RmsNorm(x.data(), weight.data(), n, kEpsilon, out.data());
    double worst = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double expected = x[i] * inverse * weight[i];
      const double allowed =
          std::fabs(expected) * tolerance + 0x1p-149 * (2 + std::fabs(weight[i]));
      ASSERT_LE(std::fabs(out[i] - expected), allowed) << i;
      worst = std::max(worst, std::fabs(out[i] - expected) / allowed);
    }
    std::cout << "n = " << n << ": worst element at " << worst << " of its tolerance\n";
    std::vector<float> in_place = x;
    reference::RmsNorm(in_place.data(), weight.data(), n, kEpsilon, in_place.data());
    EXPECT_EQ(in_place, out);
  }
}

TEST(LayerNorm, AgreesWithDouble) {
  Random random(6);
  for (const int64_t n : {1, 15, 16, 17, 64, 576, 4099}) {
    SCOPED_TRACE(n);
    const std::vector<float> x = RandomFloats(n, random);
    const std::vector<float> weight = RandomFloats(n, random);
    const std::vector<float> bias = RandomFloats(n, random);
    constexpr float kEpsilon = 1e-5F;
    const auto count = static_cast<double>(n);
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / count;
    double squares = 0;
    double sizes = 0;
    for (const float value : x) {
      squares += (value - mean) * (value - mean);
      sizes += std::fabs(value);
    }
    const double inverse = 1 / std::sqrt(squares / count + double{kEpsilon});
    // The mean's error moves every difference alike; it and the rounding of differences are below
    // `shift`. The rest is as for RmsNorm, and the sum of squares sees the shift as well.
    const double chain = count / 16 + 6;
    const double shift = kUnit * (chain * sizes / count + std::fabs(mean));
    const double tolerance = kUnit * ((chain + 1) / 2 + 6);
    std::vector<float> out(x.size());
    reference::LayerNorm(x.data(), weight.data(), bias.data(), n, kEpsilon, out.data());
    for (int64_t i = 0; i < n; ++i) {
      const double normed = (x[i] - mean) * inverse;
      const double factor = std::fabs(weight[i]) * (1 + std::fabs(normed));
      const double expected = normed * weight[i] + bias[i];
      const double allowed =
          factor * (tolerance + 2 * shift * inverse) + kUnit * std::fabs(expected) + 0x1p-140;
      ASSERT_LE(std::fabs(out[i] - expected), allowed) << i;
    }
  }
}

TEST(Add, AddsInPlace) {
  std::vector<float> x = {1, -0.0F, 0x1p24F};
  const std::vector<float> y = {2, -0.0F, 1};
  reference::Add(x.data(), y.data(), 3);
  EXPECT_EQ(x, (std::vector<float>{3, -0.0F, 0x1p24F}));
  EXPECT_TRUE(std::signbit(x[1]));
}

TEST(SiluMultiply, AgreesWithDouble) {
  Random random(4);
  std::vector<float> gate = RandomFloats(4000, random);
  for (int i = 0; i < 2000; ++i) gate[i] = static_cast<float>(i - 1000) / 10;
  const std::vector<float> up = RandomFloats(4000, random);
  std::vector<float> out = gate;
  reference::SiluMultiply(out.data(), up.data(), 4000);
  double worst = 0;
  for (size_t i = 0; i < gate.size(); ++i) {
    // ExpF errs by 2 roundings and flushes below FLT_MIN; then sum, quotient and product. Where
    // e^-gate overflows the quotient is below 2^-121.
    const double expected = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
    const double allowed = std::fabs(expected) * 5.1 * kUnit + 0x1p-121 * (1 + std::fabs(up[i]));
    ASSERT_LE(std::fabs(out[i] - expected), allowed) << gate[i] << " * " << up[i];
    worst = std::max(worst, std::fabs(out[i] - expected) / allowed);
  }
  std::cout << "worst element at " << worst << " of its tolerance\n";
}

TEST(AddScaled, RoundsOnce) {
  std::vector<float> x = {1, -1, 0};
  const std::vector<float> y = {0x1p-24F, 1 + 0x1p-23F, 5};
  reference::AddScaled(x.data(), 1 - 0x1p-24F, y.data(), 3);
  EXPECT_EQ(x, (std::vector<float>{1, 0x1p-24F - 0x1p-47F, 5 * (1 - 0x1p-24F)}));
}

TEST(Multiply, MultipliesInPlace) {
  std::vector<float> x = {1, -0.0F, -3};
  reference::Multiply(x.data(), 0.5F, 3);
  EXPECT_EQ(x, (std::vector<float>{0.5F, -0.0F, -1.5F}));
}

// Values on a grid from -100 to 100, and whatever RandomFloats gives.
std::vector<float> GridAndRandom(uint64_t seed) {
  Random random(seed);
  std::vector<float> x = RandomFloats(4000, random);
  for (int i = 0; i < 2000; ++i) x[i] = static_cast<float>(i - 1000) / 10;
  return x;
}

TEST(SoftCap, AgreesWithDouble) {
  const std::vector<float> x = GridAndRandom(7);
  for (const float cap : {0.5F, 30.0F}) {
    std::vector<float> out = x;
    reference::SoftCap(out.data(), cap, std::ssize(out));
    for (size_t i = 0; i < x.size(); ++i) {
      // TanhF errs by 4 roundings; inverse, product and product add three.
      const double expected = cap * std::tanh(double{x[i]} / cap);
      ASSERT_NEAR(out[i], expected, 7.1 * kUnit * std::fabs(expected) + 0x1p-140) << x[i];
    }
  }
}

TEST(SoftmaxNumerators, AgreesWithDouble) {
  const std::vector<float> x = GridAndRandom(11);
  const float max = *std::max_element(x.begin(), x.end());
  for (const float temperature : {0.3F, 1.0F, 2.0F}) {
    std::vector<float> out = x;
    reference::SoftmaxNumerators(out.data(), max, temperature, std::ssize(out));
    for (size_t i = 0; i < x.size(); ++i) {
      // Two roundings of the exponent, whose size each multiplies, and two of ExpF.
      const double exponent = (double{x[i]} - double{max}) / double{temperature};
      const double expected = std::exp(exponent);
      const double error = (2.1 * std::fabs(exponent) + 2.1) * kUnit;
      ASSERT_NEAR(out[i], expected, error * expected + 0x1p-126) << x[i];
    }
  }
}

double GeluInDouble(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

TEST(Gelu, AgreesWithDouble) {
  const std::vector<float> x = GridAndRandom(8);
  const std::vector<float> up = GridAndRandom(9);
  std::vector<float> out = x;
  reference::Gelu(out.data(), std::ssize(out));
  std::vector<float> gated = x;
  reference::GeluMultiply(gated.data(), up.data(), std::ssize(gated));
  for (size_t i = 0; i < x.size(); ++i) {
    // Where 1 + tanh cancels, its error counts in full: tanh's 4 roundings and its argument's 6,
    // which shrink the closer tanh is to 1 in size (u * (1 - tanh(u)^2) < 0.45).
    const double allowed = 10 * kUnit * std::fabs(x[i]) + 0x1p-148;
    ASSERT_NEAR(out[i], GeluInDouble(x[i]), allowed) << x[i];
    ASSERT_EQ(gated[i], out[i] * up[i]);
  }
}

TEST(ClampedSwiglu, AgreesWithDouble) {
  const std::vector<float> gate = GridAndRandom(10);
  std::vector<float> up = GridAndRandom(11);
  std::reverse(up.begin(), up.end());
  std::vector<float> out = gate;
  reference::ClampedSwiglu(out.data(), up.data(), std::ssize(out));
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = std::min(double{gate[i]}, 7.0);
    const double u = std::clamp(double{up[i]}, -7.0, 7.0);
    const double expected = g / (1 + std::exp(-1.702 * g)) * (u + 1);
    // The slope as a float and its product are 2 roundings of an exponent: |1.702 g| of them.
    const double roundings = 7 + 2 * std::fabs(1.702 * g);
    ASSERT_NEAR(out[i], expected, roundings * kUnit * std::fabs(expected) + 0x1p-110) << gate[i];
  }
}

struct RopeCase {
  int32_t heads, head_dim, rope_dim;
};
constexpr RopeCase kRopeCases[] = {{1, 2, 2}, {3, 64, 64}, {9, 80, 32}, {2, 128, 128}, {4, 96, 48}};

// Checks a rotation whose pair i of a head is (first(i), second(i)).
template <typename Rope, typename First, typename Second>
void CheckRope(const RopeCase& shape, Rope rope, First first, Second second) {
  Random random(5);
  const int64_t count = int64_t{shape.heads} * shape.head_dim;
  const std::vector<float> x = RandomFloats(count, random);
  std::vector<float> cos(static_cast<size_t>(shape.rope_dim / 2));
  std::vector<float> sin(cos.size());
  for (size_t i = 0; i < cos.size(); ++i) {
    cos[i] = static_cast<float>(std::cos(0.7 * static_cast<double>(i + 1)));
    sin[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i + 1)));
  }
  std::vector<float> out = x;
  rope(out.data(), cos.data(), sin.data(), shape.heads, shape.head_dim, shape.rope_dim);
  for (int32_t h = 0; h < shape.heads; ++h) {
    const float* from = x.data() + int64_t{h} * shape.head_dim;
    const float* to = out.data() + int64_t{h} * shape.head_dim;
    for (int32_t i = 0; i < shape.rope_dim / 2; ++i) {
      const double a = from[first(i)];
      const double b = from[second(i)];
      const double c = cos[static_cast<size_t>(i)];
      const double s = sin[static_cast<size_t>(i)];
      // One rounding for the product, one for the fma.
      const auto allowed = [](double p, double q) {
        return 2 * kUnit * (std::fabs(p) + std::fabs(q)) + 0x1p-148;
      };
      EXPECT_NEAR(to[first(i)], a * c - b * s, allowed(a * c, b * s));
      EXPECT_NEAR(to[second(i)], a * s + b * c, allowed(a * s, b * c));
    }
    for (int32_t i = shape.rope_dim; i < shape.head_dim; ++i) EXPECT_EQ(to[i], from[i]);
  }
}

TEST(Rope, RotatesAdjacentPairs) {
  for (const RopeCase& shape : kRopeCases) {
    CheckRope(
        shape, reference::RopeAdjacent, [](int32_t i) { return 2 * i; },
        [](int32_t i) { return 2 * i + 1; });
  }
}

TEST(Rope, RotatesHalves) {
  for (const RopeCase& shape : kRopeCases) {
    CheckRope(
        shape, reference::RopeHalves, [](int32_t i) { return i; },
        [&shape](int32_t i) { return shape.rope_dim / 2 + i; });
  }
}

}  // namespace
}  // namespace shoal::kernels
