// IEEE half and bfloat16 to f32 and back. From f32: to nearest, ties to even; what is too large
// becomes infinite; NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

namespace shoal {

// Without branches, so that loops over it are vectorized.
inline float HalfToFloat(uint16_t half) {
  constexpr uint32_t kInfinity = 0x7f800000;
  constexpr uint32_t kExponentOffset = 112U << 23U;  // bias 127 against 15, in a float's exponent
  const uint32_t sign = (half & 0x8000U) << 16U;
  const uint32_t mantissa = half & 0x3ffU;
  const uint32_t exponent = half & 0x7c00U;
  const uint32_t shifted = (half & 0x7fffU) << 13U;
  const uint32_t quiet = mantissa != 0 ? 0x400000U : 0;  // NaN, as the CPU instructions do
  const auto subnormal =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int>(mantissa)) * 0x1p-24F);
  uint32_t magnitude = shifted + kExponentOffset;
  magnitude = exponent == 0x7c00U ? kInfinity | shifted | quiet : magnitude;
  magnitude = exponent == 0 ? subnormal : magnitude;
  return std::bit_cast<float>(sign | magnitude);
}

inline uint16_t FloatToHalf(float value) {
  constexpr int kMantissaShift = 13;                 // a float's mantissa has 13 more bits
  constexpr uint32_t kExponentOffset = 112U << 23U;  // as above
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16U & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t half = 0;
  if (magnitude > 0x7f800000U) {  // NaN
    half = 0x7e00U | (magnitude >> kMantissaShift & 0x3ffU);
  } else if (magnitude >= 0x477ff000U) {  // 65520: halfway from the largest half to 2^16
    half = 0x7c00U;
  } else if (magnitude < 0x38800000U) {  // below the normal halves: 1/2 has their unit, 2^-24
    const float rounded = std::bit_cast<float>(magnitude) + 0.5F;
    half = std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(0.5F);
  } else {
    const uint32_t odd = magnitude >> kMantissaShift & 1U;
    half = (magnitude - kExponentOffset + 0xfffU + odd) >> kMantissaShift;
  }
  return static_cast<uint16_t>(sign | half);
}

inline float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16U);
}

inline uint16_t FloatToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {  // NaN, made quiet so that it stays one
    return static_cast<uint16_t>(bits >> 16U | 0x40U);
  }
  const uint32_t odd = bits >> 16U & 1U;
  return static_cast<uint16_t>((bits + 0x7fffU + odd) >> 16U);
}

}  // namespace shoal
