#include "kernels/quant_formats.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/half_float.h"
#include "kernels/quant_blocks.h"

namespace shoal::kernels {

namespace {

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

float HalfToFloat(uint16_t half) { return shoal::HalfToFloat(half); }
uint16_t FloatToHalf(float value) { return shoal::FloatToHalf(value); }
float Bfloat16ToFloat(uint16_t bits) { return shoal::Bfloat16ToFloat(bits); }

void DequantizeRow(TensorType type, const std::byte* row, int64_t cols, float* out) {
  const TensorTypeInfo& info = InfoOf(type);
  if (info.block_values == 32) return DequantizeBlocks<Block32>(info, row, cols, out);
  if (info.block_values == 256) return DequantizeBlocks<Block256>(info, row, cols, out);
  if (type == TensorType::kF32) {
    std::memcpy(out, row, static_cast<size_t>(cols) * sizeof(float));
  } else if (type == TensorType::kF16) {
    for (int64_t i = 0; i < cols; ++i)
      out[i] = shoal::HalfToFloat(LoadLittleEndian<uint16_t>(row + 2 * i));
  } else {
    CHECK(type == TensorType::kBF16, "a tensor type that has a conversion");
    for (int64_t i = 0; i < cols; ++i) {
      out[i] = Bfloat16ToFloat(LoadLittleEndian<uint16_t>(row + 2 * i));
    }
  }
}

}  // namespace shoal::kernels
