// ExpF, step by step; every vector version does these operations, in this order, lane by lane:
//   t = fma(x, kLog2E, kMagic)          the sum's low bits are n = x * log2(e) to nearest even
//   n = t - kMagic                      n as a float, exact
//   r = fma(-n, kLn2High, x)
//   r = fma(-n, kLn2Low, r)             |r| <= ln(2) / 2
//   p = kC6; p = fma(p, r, kC5); ... p = fma(p, r, kC2); p = fma(p, r, 1); p = fma(p, r, 1)
//   y = bits(p) + (bits(t) << 23)       2^n * p: n is added to p's exponent, wrapping uint32
//   y = x <= kMaxX ? y : x + inf        +inf above the range; NaN for NaN
//   y = x < kMinX ? +0 : y
// At both ends of the range p * 2^n is a normal number: p is in [0.707, 1.415), below 1 where n is
// 128, and at least 1 where n is -126 and x >= kMinX.
#include "kernels/portable_math.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/check.h"
#include "kernels/exp_constants.h"
#include "kernels/tanh_constants.h"

namespace shoal::kernels {

namespace {

// A number as the sum of two doubles, |low| <= ulp(high) / 2 or so.
struct Extended {
  double high;
  double low;
};

// high + low == a + b exactly, for any a and b (Knuth's TwoSum).
Extended TwoSum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// Coefficient i multiplies x^i.
template <size_t N>
double Horner(const std::array<double, N>& coefficients, double x) {
  double sum = coefficients[N - 1];
  for (size_t i = N - 1; i-- > 0;) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

// e^(x + tail) for |tail| far below |x|'s last place or 1e-10: ln(2) is taken out as two doubles,
// the rest is Taylor's series (the first term left out is 4e-18).
double ExpOfSum(double x, double tail) {
  constexpr double kInverseLn2 = 0x1.71547652b82fep+0;
  constexpr double kLn2DoubleHigh = 0x1.62e42fefa39efp-1;
  constexpr double kLn2DoubleLow = 0x1.abc9e3b39803fp-56;
  constexpr std::array<double, 12> kTaylor = {
      1.0 / 2,     1.0 / 6,      1.0 / 24,      1.0 / 120,      1.0 / 720,       1.0 / 5040,
      1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  if (std::isnan(x)) return x;
  if (x > 709.79) return std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0;
  const double n = std::nearbyint(x * kInverseLn2);
  const Extended r = TwoSum(std::fma(-n, kLn2DoubleHigh, x), std::fma(-n, kLn2DoubleLow, tail));
  const double above_linear = std::fma(r.high * r.high, Horner(kTaylor, r.high), r.low);
  return std::ldexp(1 + (r.high + above_linear), static_cast<int>(n));
}

// log(x) to about 100 bits: x = 2^k * m with m in [sqrt(1/2), sqrt(2)), log(m) = 2 atanh(s) with
// s = (m - 1) / (m + 1), and s and its cube are carried as two doubles.
Extended LogExtended(double x) {
  constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  constexpr double kLn2Short = 0x1.62e42fefa3p-1;  // 41 bits: exact times any exponent
  constexpr double kLn2Rest = 0x1.3de6af278ece6p-42;
  constexpr double kTwoThirds = 2.0 / 3;
  constexpr double kTwoThirdsLow = 0x1.5555555555555p-55;  // 2/3 - kTwoThirds
  constexpr std::array<double, 9> kSeries = {2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                                             2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
  int k = 0;
  double m = std::frexp(x, &k);
  if (m < kSqrtHalf) {
    m *= 2;
    --k;
  }
  const double f = m - 1;  // exact
  const Extended divisor = TwoSum(2, f);
  const double s = f / divisor.high;
  const double s_low = (std::fma(-s, divisor.high, f) - s * divisor.low) / divisor.high;
  const double z = s * s;
  const double z_low = std::fma(s, s, -z) + 2 * s * s_low;
  const double cube = s * z;
  const double cube_low = std::fma(s, z, -cube) + s * z_low + s_low * z;
  const double third = cube * kTwoThirds;
  const double third_low =
      std::fma(cube, kTwoThirds, -third) + cube * kTwoThirdsLow + cube_low * kTwoThirds;
  const double rest = cube * z * Horner(kSeries, z);
  const Extended linear = TwoSum(k * kLn2Short, 2 * s);
  const Extended sum = TwoSum(linear.high, third);
  const double low = linear.low + sum.low + (rest + third_low + 2 * s_low + k * kLn2Rest);
  return TwoSum(sum.high, low);
}

// x = quadrant * pi/2 + angle, |angle| <= pi/4 or a hair more.
struct ReducedAngle {
  int quadrant;  // 0..3
  double angle;
};

ReducedAngle Reduce(double x) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
  constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;
  CHECK(std::fabs(x) <= 1e9, "an angle that Sin and Cos are exact for");
  const double n = std::nearbyint(x * kTwoOverPi);
  const double high = std::fma(-n, kHalfPiHigh, x);  // exact: the high bits cancel
  return {static_cast<int>(static_cast<int64_t>(n) & 3), std::fma(-n, kHalfPiLow, high)};
}

// Taylor's series to x^19 and x^20; the first term left out is below 1e-21.
double SinOfReduced(double x) {
  constexpr std::array<double, 9> kSeries = {-1.0 / 6,
                                             1.0 / 120,
                                             -1.0 / 5040,
                                             1.0 / 362880,
                                             -1.0 / 39916800,
                                             1.0 / 6227020800,
                                             -1.0 / 1307674368000,
                                             1.0 / 355687428096000,
                                             -1.0 / 121645100408832000};
  const double z = x * x;
  return std::fma(x * z, Horner(kSeries, z), x);
}

double CosOfReduced(double x) {
  constexpr std::array<double, 10> kSeries = {-1.0 / 2,
                                              1.0 / 24,
                                              -1.0 / 720,
                                              1.0 / 40320,
                                              -1.0 / 3628800,
                                              1.0 / 479001600,
                                              -1.0 / 87178291200,
                                              1.0 / 20922789888000,
                                              -1.0 / 6402373705728000,
                                              1.0 / 2432902008176640000};
  const double z = x * x;
  return std::fma(z, Horner(kSeries, z), 1.0);
}

}  // namespace

float ExpF(float x) {
  using namespace exp_constants;
  const float t = std::fma(x, kLog2E, kMagic);
  const float n = t - kMagic;
  float r = std::fma(-n, kLn2High, x);
  r = std::fma(-n, kLn2Low, r);
  float p = kC6;
  p = std::fma(p, r, kC5);
  p = std::fma(p, r, kC4);
  p = std::fma(p, r, kC3);
  p = std::fma(p, r, kC2);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  float y = std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(t) << 23));
  if (!(x <= kMaxX)) y = x + std::numeric_limits<float>::infinity();
  if (x < kMinX) y = 0;
  return y;
}

float TanhF(float x) {
  using namespace tanh_constants;
  const float z = std::fabs(x);
  const float w = z * z;
  float p = kC4;
  p = std::fma(p, w, kC3);
  p = std::fma(p, w, kC2);
  p = std::fma(p, w, kC1);
  p = std::fma(p, w, kC0);
  const float small = std::fma(z * w, p, z);
  const float large = 1.0F - 2.0F / (ExpF(z + z) + 1.0F);
  return std::copysign(z <= kSmall ? small : large, x);
}

double Exp(double x) { return ExpOfSum(x, 0); }

double Log(double x) { return LogExtended(x).high; }

double Sin(double x) {
  const ReducedAngle reduced = Reduce(x);
  const double value =
      (reduced.quadrant & 1) != 0 ? CosOfReduced(reduced.angle) : SinOfReduced(reduced.angle);
  return (reduced.quadrant & 2) != 0 ? -value : value;
}

double Cos(double x) {
  const ReducedAngle reduced = Reduce(x);
  const double value =
      (reduced.quadrant & 1) != 0 ? SinOfReduced(reduced.angle) : CosOfReduced(reduced.angle);
  const bool negative = reduced.quadrant == 1 || reduced.quadrant == 2;
  return negative ? -value : value;
}

double Pow(double base, double exponent) {
  const Extended log = LogExtended(base);
  const double product = exponent * log.high;
  const double product_low = std::fma(exponent, log.high, -product) + exponent * log.low;
  return ExpOfSum(product, product_low);
}

}  // namespace shoal::kernels
