// The constants of ExpF, for its scalar and vector versions: kernels/portable_math.cc says what
// each does.
#pragma once

namespace shoal::kernels::exp_constants {

constexpr float kMagic = 0x1.8p23F;  // adding it leaves an integer in the low mantissa bits
constexpr float kLog2E = 0x1.715476p0F;
constexpr float kLn2High = 0x1.62e43p-1F;
constexpr float kLn2Low = -0x1.05c61p-29F;
// Minimax (relative error 3.2e-9) with the first two coefficients held at 1, each rounded to float
// before the next was fitted.
constexpr float kC2 = 0x1.fffffcp-2F;
constexpr float kC3 = 0x1.55548cp-3F;
constexpr float kC4 = 0x1.555858p-5F;
constexpr float kC5 = 0x1.123dep-7F;
constexpr float kC6 = 0x1.6ac74ap-10F;
constexpr float kMaxX = 0x1.62e42ep6F;   // the largest float whose e^x is below 2^128
constexpr float kMinX = -0x1.5d589ep6F;  // the smallest float whose e^x is at least 2^-126

}  // namespace shoal::kernels::exp_constants
