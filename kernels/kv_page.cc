#include "kernels/kv_page.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/quant_formats.h"

namespace shoal::kernels {

namespace {

// Up to kKvBlock values as int8 and an f16 scale.
struct Block {
  std::array<int8_t, kKvBlock> values;
  uint16_t scale;
};

// Zeros fill a short block up: they change neither its scale nor its values.
Block Quantize(decltype(KernelTable::quantize_by_32) quantize_by_32, const float* x,
               int32_t count) {
  std::array<float, kKvBlock> filled = {};
  std::copy_n(x, count, filled.begin());
  Block block;
  float scale = 0;
  int32_t sum = 0;
  float scaled_sum = 0;
  quantize_by_32(filled.data(), kKvBlock, block.values.data(), &scale, &sum, &scaled_sum);
  block.scale = FloatToHalf(scale);
  return block;
}

}  // namespace

void StoreKvQ8(decltype(KernelTable::quantize_by_32) quantize_by_32, const AttentionShape& shape,
               const float* k, const float* v, std::byte* page, int32_t slot) {
  const int32_t head_dim = shape.head_dim;
  const Q8Offsets offsets = Q8OffsetsOf(head_dim);
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    auto* const k_values = reinterpret_cast<int8_t*>(page) + slot;  // a column
    auto* const v_values = reinterpret_cast<int8_t*>(page + offsets.v) + int64_t{slot} * head_dim;
    std::byte* const k_scales = page + offsets.k_scales;
    std::byte* const v_scales = page + offsets.v_scales;
    for (int32_t b = 0; b < KvBlocks(head_dim); ++b) {
      const int32_t first = b * kKvBlock;
      const int32_t count = std::min(kKvBlock, head_dim - first);
      const Block keys = Quantize(quantize_by_32, k + first, count);
      for (int32_t i = 0; i < count; ++i) k_values[(first + i) * kKvPageTokens] = keys.values[i];
      const Block values = Quantize(quantize_by_32, v + first, count);
      std::copy_n(values.values.begin(), count, v_values + first);
      std::memcpy(k_scales + (b * kKvPageTokens + slot) * sizeof(uint16_t), &keys.scale,
                  sizeof(uint16_t));
      std::memcpy(v_scales + (slot * KvBlocks(head_dim) + b) * sizeof(uint16_t), &values.scale,
                  sizeof(uint16_t));
    }
    k += head_dim;
    v += head_dim;
    page += KvHeadPageBytes(shape);
  }
}

}  // namespace shoal::kernels
