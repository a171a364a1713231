// One weight block is unpacked once and multiplied with every token of a tile; each token keeps its
// own accumulator, so tiling changes no bit.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "kernels/quant_blocks.h"
#include "kernels/quant_formats.h"
#include "kernels/reference.h"

namespace shoal::kernels::reference {

namespace {

constexpr int64_t kTileTokens = 64;
using Accumulators = std::array<float, kTileTokens>;

// Float weights are widened this many at a time.
constexpr int64_t kFloatBlock = 256;

// A row's product with the tokens [begin, end), at most kTileTokens of them.
struct TokenTile {
  int64_t begin;
  int64_t end;
};

int32_t Dot(const int8_t* a, const int8_t* b, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void AddBlock(const Block32& block, bool has_minimum, const Activations& x, int64_t cols,
              int64_t index, TokenTile tile, Accumulators& sums) {
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    const int64_t at = t * (cols / 32) + index;
    const int32_t dot = Dot(block.quants, x.values + at * 32, 32);
    float& sum = sums[t - tile.begin];
    sum = std::fma(block.scale * x.scales[at], static_cast<float>(dot), sum);
    if (has_minimum) sum = std::fma(block.minimum, x.scaled_sums[at], sum);
  }
}

void AddBlock(const Block256& block, bool has_minimum, const Activations& x, int64_t cols,
              int64_t index, TokenTile tile, Accumulators& sums) {
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    const int64_t at = t * (cols / 256) + index;
    int32_t dot = 0;
    int32_t minimum = 0;
    for (int j = 0; j < 16; ++j) {
      dot += block.scales[j] * Dot(block.quants + 16 * j, x.values + at * 256 + 16 * j, 16);
      minimum += block.minimums[j] * x.sums16[at * 16 + j];
    }
    float& sum = sums[t - tile.begin];
    sum = std::fma(block.scale * x.scales[at], static_cast<float>(dot), sum);
    if (has_minimum) {
      sum = std::fma(-(block.minimum_scale * x.scales[at]), static_cast<float>(minimum), sum);
    }
  }
}

template <typename Block>
void MultiplyQuantRow(const TensorTypeInfo& info, const std::byte* row, const Activations& x,
                      int64_t cols, TokenTile tile, Accumulators& sums) {
  Block block;
  const bool has_minimum = BlockHasMinimum(info.type);
  for (int64_t index = 0; index < cols / info.block_values; ++index) {
    UnpackBlock(info.type, row + index * info.block_bytes, block);
    AddBlock(block, has_minimum, x, cols, index, tile, sums);
  }
}

void MultiplyFloatRow(const TensorTypeInfo& info, const std::byte* row, const Activations& x,
                      int64_t cols, TokenTile tile, Accumulators& sums) {
  std::array<float, kFloatBlock> weights;
  for (int64_t begin = 0; begin < cols; begin += kFloatBlock) {
    const int64_t count = std::min(kFloatBlock, cols - begin);
    DequantizeRow(info.type, row + begin * info.block_bytes, count, weights.data());
    for (int64_t t = tile.begin; t < tile.end; ++t) {
      const float* values = x.f32 + t * cols + begin;
      float sum = sums[t - tile.begin];
      for (int64_t k = 0; k < count; ++k) sum = std::fma(weights[k], values[k], sum);
      sums[t - tile.begin] = sum;
    }
  }
}

}  // namespace

int64_t PackedBytes(TensorType, int64_t, int64_t) { return 0; }

void Pack(const WeightMatrix&, int64_t, int64_t, std::byte*) {
  CHECK(false, "the reference kernels have no packed form");
}

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  CHECK(!weights.packed, "the reference kernels read rows in GGUF's own format");
  CHECK(row_begin % kRowUnit == 0 && (row_end % kRowUnit == 0 || row_end == weights.rows),
        "rows come in whole groups");
  const TensorTypeInfo& info = InfoOf(weights.type);
  const int64_t row_bytes = RowBytes(weights.type, weights.cols);
  for (int64_t r = row_begin; r < row_end; ++r) {
    const std::byte* row = weights.data + r * row_bytes;
    for (int64_t begin = 0; begin < tokens; begin += kTileTokens) {
      const TokenTile tile = {begin, std::min(begin + kTileTokens, tokens)};
      Accumulators sums = {};
      if (info.block_values == 32) {
        MultiplyQuantRow<Block32>(info, row, x, weights.cols, tile, sums);
      } else if (info.block_values == 256) {
        MultiplyQuantRow<Block256>(info, row, x, weights.cols, tile, sums);
      } else {
        MultiplyFloatRow(info, row, x, weights.cols, tile, sums);
      }
      for (int64_t t = begin; t < tile.end; ++t) out[t * out_stride + r] = sums[t - begin];
    }
  }
}

}  // namespace shoal::kernels::reference
