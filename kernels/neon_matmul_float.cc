#include "kernels/neon_matmul_float.h"

#if defined(__aarch64__)

#include "kernels/neon_rows.h"
#include "kernels/packed_layout.h"

namespace shoal::kernels::neon {
namespace {

template <TensorType kType>
constexpr int64_t kBytesPerK = kType == TensorType::kF32 ? 64 : 32;  // of one group

// Rows 4 v to 4 v + 3 of the weights of one k.
template <TensorType kType>
inline float32x4_t LoadWeights(const std::byte* from, int v) {
  if constexpr (kType == TensorType::kF32) {
    return Load4(reinterpret_cast<const float*>(from) + 4 * v);
  } else {
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(from) + 4 * v;
    if constexpr (kType == TensorType::kF16) return Load4(halves);
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(halves), 16));
  }
}

// kGroups groups of rows by kTokens tokens. The groups are only there to have enough independent
// sums in flight to hide the latency of the multiply-add; `rows` is the count of all of them.
template <TensorType kType, int kGroups, int kTokens>
void MultiplyTile(const std::byte* groups, int64_t cols, const float* x, int64_t rows, float* out,
                  int64_t out_stride) {
  const int64_t group_bytes = cols * kBytesPerK<kType>;
  RowSums acc[kTokens][kGroups] = {};
  for (int64_t k = 0; k < cols; ++k) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const std::byte* from = groups + g * group_bytes + k * kBytesPerK<kType>;
      float32x4_t w[kQuads];
#pragma GCC unroll 4
      for (int v = 0; v < kQuads; ++v) w[v] = LoadWeights<kType>(from, v);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const float value = x[t * cols + k];
#pragma GCC unroll 4
        for (int v = 0; v < kQuads; ++v) {
          acc[t][g].quads[v] = vfmaq_n_f32(acc[t][g].quads[v], w[v], value);
        }
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int g = 0; g < kGroups; ++g) {
      StoreRows(acc[t][g], rows - g * kRowUnit, out + t * out_stride + g * kRowUnit);
    }
  }
}

// kGroups groups by all tokens, kTile at a time.
template <TensorType kType, int kGroups, int kTile>
void MultiplyGroups(const std::byte* groups, int64_t cols, const float* x, int64_t tokens,
                    int64_t rows, float* out, int64_t out_stride) {
  int64_t t = 0;
  for (; t + kTile <= tokens; t += kTile) {
    MultiplyTile<kType, kGroups, kTile>(groups, cols, x + t * cols, rows, out + t * out_stride,
                                        out_stride);
  }
  for (; t < tokens; ++t) {
    MultiplyTile<kType, kGroups, 1>(groups, cols, x + t * cols, rows, out + t * out_stride,
                                    out_stride);
  }
}

template <TensorType kType>
void MultiplyRows(const WeightMatrix& weights, const float* x, int64_t tokens, int64_t row_begin,
                  int64_t row_end, float* out, int64_t out_stride) {
  constexpr int kGroups = 4;      // for one token; with 16 rows each, 16 sums
  constexpr int kTileTokens = 6;  // for one group: 24 sums, and 32 registers
  const int64_t cols = weights.cols;
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  const std::byte* groups = weights.data + row_begin / kRowUnit * group_bytes;
  int64_t row = row_begin;
  if (tokens < kTileTokens) {
    for (; row_end - row > (kGroups - 1) * kRowUnit; row += kGroups * kRowUnit) {
      MultiplyGroups<kType, kGroups, 1>(groups, cols, x, tokens, row_end - row, out + row,
                                        out_stride);
      groups += kGroups * group_bytes;
    }
  }
  for (; row < row_end; row += kRowUnit, groups += group_bytes) {
    MultiplyGroups<kType, 1, kTileTokens>(groups, cols, x, tokens, row_end - row, out + row,
                                          out_stride);
  }
}

}  // namespace

void MultiplyF32(const WeightMatrix& weights, const float* x, int64_t tokens, int64_t row_begin,
                 int64_t row_end, float* out, int64_t out_stride) {
  switch (weights.type) {
    case TensorType::kF16:
      MultiplyRows<TensorType::kF16>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
    case TensorType::kBF16:
      MultiplyRows<TensorType::kBF16>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
    default:
      MultiplyRows<TensorType::kF32>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
  }
}

}  // namespace shoal::kernels::neon

#endif
