#include "kernels/quant_formats.h"

#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "kernels/quant_blocks.h"

namespace shoal::kernels {

namespace {

constexpr uint32_t kFloatInfinity = 0x7f800000;
constexpr int kMantissaShift = 13;                 // a float has 13 more mantissa bits than a half
constexpr uint32_t kExponentOffset = 112U << 23U;  // bias 127 against 15, in a float's exponent

// Without branches, so that loops over it are vectorized.
inline float Widen(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16U;
  const uint32_t mantissa = half & 0x3ffU;
  const uint32_t exponent = half & 0x7c00U;
  const uint32_t shifted = (half & 0x7fffU) << kMantissaShift;
  const uint32_t quiet = mantissa != 0 ? 0x400000U : 0;  // NaN, as the CPU instructions do
  const auto subnormal =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int>(mantissa)) * 0x1p-24F);
  uint32_t magnitude = shifted + kExponentOffset;
  magnitude = exponent == 0x7c00U ? kFloatInfinity | shifted | quiet : magnitude;
  magnitude = exponent == 0 ? subnormal : magnitude;
  return std::bit_cast<float>(sign | magnitude);
}

void DequantizeBlock(const Block32& block, bool has_minimum, float* out) {
  for (int i = 0; i < 32; ++i) {
    const float value = block.scale * static_cast<float>(block.quants[i]);
    out[i] = has_minimum ? value + block.minimum : value;
  }
}

void DequantizeBlock(const Block256& block, bool has_minimum, float* out) {
  for (int j = 0; j < 16; ++j) {
    const float scale = block.scale * static_cast<float>(block.scales[j]);
    const float minimum = block.minimum_scale * static_cast<float>(block.minimums[j]);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const float value = scale * static_cast<float>(block.quants[i]);
      out[i] = has_minimum ? value - minimum : value;
    }
  }
}

template <typename Block>
void DequantizeBlocks(const TensorTypeInfo& info, const std::byte* row, int64_t cols, float* out) {
  Block block;
  const bool has_minimum = BlockHasMinimum(info.type);
  for (int64_t i = 0; i < cols; i += info.block_values) {
    UnpackBlock(info.type, row, block);
    DequantizeBlock(block, has_minimum, out + i);
    row += info.block_bytes;
  }
}

}  // namespace

float HalfToFloat(uint16_t half) { return Widen(half); }

uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16U & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  uint32_t half = 0;
  if (magnitude > kFloatInfinity) {
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

float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16U);
}

void DequantizeRow(TensorType type, const std::byte* row, int64_t cols, float* out) {
  const TensorTypeInfo& info = InfoOf(type);
  if (info.block_values == 32) return DequantizeBlocks<Block32>(info, row, cols, out);
  if (info.block_values == 256) return DequantizeBlocks<Block256>(info, row, cols, out);
  if (type == TensorType::kF32) {
    std::memcpy(out, row, static_cast<size_t>(cols) * sizeof(float));
  } else if (type == TensorType::kF16) {
    for (int64_t i = 0; i < cols; ++i) out[i] = Widen(LoadLittleEndian<uint16_t>(row + 2 * i));
  } else {
    CHECK(type == TensorType::kBF16, "a tensor type that has a conversion");
    for (int64_t i = 0; i < cols; ++i) {
      out[i] = Bfloat16ToFloat(LoadLittleEndian<uint16_t>(row + 2 * i));
    }
  }
}

}  // namespace shoal::kernels
