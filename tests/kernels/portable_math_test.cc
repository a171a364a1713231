// Proves the stated errors of the portable elementary functions against libm in a wider type over
// dense or random arguments (seeds are fixed), their ends, and a few exact bits that hold on every
// machine.
#include "kernels/portable_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <random>

namespace shoal::kernels {
namespace {

constexpr float kInfinityF = std::numeric_limits<float>::infinity();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTolerance = 1e-15;

// The largest error that Check was shown, and where.
class Worst {
 public:
  explicit Worst(const char* what) : what_(what) {}
  ~Worst() { std::cout << what_ << ": worst error " << error_ << " at " << at_ << "\n"; }
  void See(long double error, double at) {
    if (error <= error_) return;
    error_ = error;
    at_ = at;
  }
  long double error() const { return error_; }

 private:
  const char* what_;
  long double error_ = 0;
  double at_ = 0;
};

TEST(ExpF, StaysWithinOneUnitInTheLastPlace) {
  Worst worst("ExpF [ulp]");
  // Every 997th float of either sign.
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 997) {
    const auto x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    const double expected = std::exp(static_cast<double>(x));
    if (!(expected >= FLT_MIN && expected <= FLT_MAX)) continue;
    const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
    worst.See(std::fabs(ExpF(x) - expected) / ulp, x);
  }
  EXPECT_LE(worst.error(), 1.0L);
}

TEST(ExpF, HandlesTheEnds) {
  EXPECT_EQ(ExpF(0.0F), 1.0F);
  EXPECT_EQ(ExpF(-0.0F), 1.0F);
  EXPECT_EQ(std::bit_cast<uint32_t>(ExpF(-kInfinityF)), 0U);
  EXPECT_EQ(ExpF(kInfinityF), kInfinityF);
  EXPECT_TRUE(std::isnan(ExpF(std::numeric_limits<float>::quiet_NaN())));
  // The last arguments whose results are normal and finite, and their neighbours.
  const float first_normal = -0x1.5d589ep6F;
  EXPECT_GE(ExpF(first_normal), FLT_MIN);
  EXPECT_EQ(ExpF(std::nextafter(first_normal, -100.0F)), 0.0F);
  const float last_finite = 0x1.62e42ep6F;
  EXPECT_LT(ExpF(last_finite), kInfinityF);
  EXPECT_EQ(ExpF(std::nextafter(last_finite, 100.0F)), kInfinityF);
  EXPECT_EQ(ExpF(-3e38F), 0.0F);
  EXPECT_EQ(ExpF(3e38F), kInfinityF);
}

// A change of these bits is a change of every model's answers.
TEST(ExpF, KeepsItsBits) {
  EXPECT_EQ(ExpF(1.0F), 0x1.5bf0a8p+1F);
  EXPECT_EQ(ExpF(-1.0F), 0x1.78b564p-2F);
  EXPECT_EQ(ExpF(-20.5F), 0x1.57a3bp-30F);
}

TEST(TanhF, StaysWithinTwoUnitsInTheLastPlace) {
  Worst worst("TanhF [ulp]");
  // Every 997th float of either sign, and every 13th where the polynomial meets the exponential.
  const auto check = [&worst](uint32_t bits) {
    const auto x = std::bit_cast<float>(bits);
    if (!std::isfinite(x)) return;
    const long double expected = std::tanh(static_cast<long double>(x));
    const int exponent = std::max(std::ilogb(expected), -126);
    worst.See(std::fabs(TanhF(x) - expected) / std::ldexp(1.0L, exponent - 23), x);
    ASSERT_LE(std::fabs(TanhF(x)), 1.0F);
    ASSERT_EQ(std::signbit(TanhF(x)), std::signbit(x));
  };
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 997) check(static_cast<uint32_t>(bits));
  for (float x = 0.5F; x < 2.0F; x = std::nextafter(x, 2.0F) + 13 * 0x1p-24F) {
    check(std::bit_cast<uint32_t>(x));
  }
  EXPECT_LE(worst.error(), 2.0L);
}

TEST(TanhF, HandlesTheEnds) {
  EXPECT_EQ(TanhF(kInfinityF), 1.0F);
  EXPECT_EQ(TanhF(-kInfinityF), -1.0F);
  EXPECT_EQ(TanhF(3e38F), 1.0F);
  EXPECT_EQ(std::bit_cast<uint32_t>(TanhF(-0.0F)), 0x80000000U);
  EXPECT_TRUE(std::isnan(TanhF(std::numeric_limits<float>::quiet_NaN())));
}

// A change of these bits is a change of every model's answers.
TEST(TanhF, KeepsItsBits) {
  EXPECT_EQ(TanhF(0.5F), 0x1.d9353ep-2F);
  EXPECT_EQ(TanhF(-1.0F), -0x1.85efacp-1F);
  EXPECT_EQ(TanhF(3.25F), 0x1.fe767ap-1F);
}

TEST(Exp, StaysWithinItsTolerance) {
  Worst worst("Exp [relative]");
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> any(-708, 709);
  std::uniform_real_distribution<double> near_zero(-1, 1);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 == 0 ? any(random) : near_zero(random);
    const long double expected = std::exp(static_cast<long double>(x));
    worst.See(std::fabs((Exp(x) - expected) / expected), x);
  }
  EXPECT_LE(worst.error(), kTolerance);
  EXPECT_EQ(Exp(0), 1);
  EXPECT_EQ(Exp(-kInfinity), 0);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(1e300), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_NEAR(Exp(-740) / 0x1p-1068, std::exp(-740.0) / 0x1p-1068, 0.1);  // subnormal
}

TEST(Log, StaysWithinItsTolerance) {
  Worst worst("Log [relative]");
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponent(-1074, 1023);
  std::uniform_real_distribution<double> near_one(0.5, 2);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 == 0 ? std::exp2(exponent(random)) : near_one(random);
    const long double expected = std::log(static_cast<long double>(x));
    if (expected != 0) worst.See(std::fabs((Log(x) - expected) / expected), x);
  }
  EXPECT_LE(worst.error(), kTolerance);
  EXPECT_EQ(Log(1), 0);
}

TEST(SinAndCos, StayWithinTheirTolerance) {
  Worst worst("Sin, Cos [absolute]");
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> any(-1e9, 1e9);
  std::uniform_real_distribution<double> small(-7, 7);
  const auto check = [&worst](double x) {
    worst.See(std::fabs(Sin(x) - std::sin(static_cast<long double>(x))), x);
    worst.See(std::fabs(Cos(x) - std::cos(static_cast<long double>(x))), x);
  };
  for (int i = 0; i < 100000; ++i) check(i % 2 == 0 ? any(random) : small(random));
  // Close to the multiples of pi/2, where the high bits cancel.
  for (int i = -100000; i <= 100000; ++i) check(i * 1.5707963267948966);
  check(1e9);
  check(-1e9);
  EXPECT_LE(worst.error(), kTolerance);
  EXPECT_EQ(Sin(0), 0);
  EXPECT_EQ(Cos(0), 1);
}

TEST(SinAndCosDeathTest, RefuseAnglesThatTheyCannotReduce) {
  EXPECT_DEATH(Sin(1.1e9), "an angle that Sin and Cos are exact for");
  EXPECT_DEATH(Cos(std::numeric_limits<double>::quiet_NaN()), "an angle");
}

TEST(Pow, StaysWithinItsTolerance) {
  Worst worst("Pow [relative]");
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> log_base(-20, 20);
  std::uniform_real_distribution<double> log_result(-700, 700);
  for (int i = 0; i < 200000; ++i) {
    const double base = std::exp(i % 2 == 0 ? log_base(random) : log_base(random) / 40);
    const double exponent = log_result(random) / std::log(base);
    const long double expected = std::pow(static_cast<long double>(base), exponent);
    if (!(expected > DBL_MIN && expected < DBL_MAX)) continue;
    worst.See(std::fabs((Pow(base, exponent) - expected) / expected), base);
  }
  // RoPE's frequencies.
  for (const double base : {1e4, 5e5, 1e6}) {
    for (int i = 0; i < 128; ++i) {
      const long double expected = std::pow(static_cast<long double>(base), -i / 128.0L);
      worst.See(std::fabs((Pow(base, -i / 128.0) - expected) / expected), base);
    }
  }
  EXPECT_LE(worst.error(), kTolerance);
  EXPECT_EQ(Pow(10000, 0), 1);
  EXPECT_EQ(Pow(2, 10), 1024);
}

}  // namespace
}  // namespace shoal::kernels
