#include "kernels/avx2_matmul_float.h"

#if defined(__x86_64__)

#include "kernels/packed_layout.h"

namespace shoal::kernels::avx2 {
namespace {

template <TensorType kType>
constexpr int64_t kBytesPerK = kType == TensorType::kF32 ? 64 : 32;  // of one group

// Half h (8 rows) of the weights of one k.
template <TensorType kType>
SHOAL_TARGET_AVX2 inline __m256 LoadWeights(const std::byte* from, int h) {
  if constexpr (kType == TensorType::kF32) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(from) + 8 * h);
  } else {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + h);
    if constexpr (kType == TensorType::kF16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
}

// kGroups groups of rows by kTokens tokens. The groups are only there to have enough independent
// sums in flight to hide the latency of the multiply-add; `rows` is the count of all of them.
template <TensorType kType, int kGroups, int kTokens>
SHOAL_TARGET_AVX2 void MultiplyTile(const std::byte* groups, int64_t cols, const float* x,
                                    int64_t rows, float* out, int64_t out_stride) {
  const int64_t group_bytes = cols * kBytesPerK<kType>;
  __m256 acc[kTokens][kGroups][2];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) acc[t][g][0] = acc[t][g][1] = _mm256_setzero_ps();
  }
  for (int64_t k = 0; k < cols; ++k) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const std::byte* from = groups + g * group_bytes + k * kBytesPerK<kType>;
      const __m256 w[2] = {LoadWeights<kType>(from, 0), LoadWeights<kType>(from, 1)};
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m256 value = _mm256_broadcast_ss(x + t * cols + k);
        acc[t][g][0] = _mm256_fmadd_ps(w[0], value, acc[t][g][0]);
        acc[t][g][1] = _mm256_fmadd_ps(w[1], value, acc[t][g][1]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const int64_t first = g * kRowUnit;
      const int64_t count = rows - first < kRowUnit ? rows - first : kRowUnit;
      StoreRows(acc[t][g][0], acc[t][g][1], count, out + t * out_stride + first);
    }
  }
}

// kGroups groups by all tokens, at most kMaxTokens at a time.
template <TensorType kType, int kGroups>
SHOAL_TARGET_AVX2 void MultiplyGroups(const std::byte* groups, int64_t cols, const float* x,
                                      int64_t tokens, int64_t rows, float* out,
                                      int64_t out_stride) {
  constexpr int kTile = kGroups == 1 ? 6 : kGroups == 2 ? 3 : 1;
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
SHOAL_TARGET_AVX2 void MultiplyRows(const WeightMatrix& weights, const float* x, int64_t tokens,
                                    int64_t row_begin, int64_t row_end, float* out,
                                    int64_t out_stride) {
  const int64_t cols = weights.cols;
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  int64_t row = row_begin;
  while (row < row_end) {
    const std::byte* groups = weights.data + row / kRowUnit * group_bytes;
    const int64_t left = (row_end - row + kRowUnit - 1) / kRowUnit;
    float* to = out + row;
    int64_t taken = 1;
    if (tokens == 1 && left >= 4) {
      taken = 4;
      MultiplyGroups<kType, 4>(groups, cols, x, tokens, row_end - row, to, out_stride);
    } else if (tokens < 6 && left >= 2) {
      taken = 2;
      MultiplyGroups<kType, 2>(groups, cols, x, tokens, row_end - row, to, out_stride);
    } else {
      MultiplyGroups<kType, 1>(groups, cols, x, tokens, row_end - row, to, out_stride);
    }
    row += taken * kRowUnit;
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

}  // namespace shoal::kernels::avx2

#endif
