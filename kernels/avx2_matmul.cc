// Matrix products with AVX2: quantized weights times int8 activations. Lanes are rows: a vector of
// 32-bit lanes holds 4 consecutive k of 8 rows, and 4 activations are broadcast against it.
#include "kernels/avx2.h"

#if defined(__x86_64__)

#include "kernels/avx2_intrinsics.h"
#include "kernels/avx2_matmul_float.h"
#include "kernels/packed_layout.h"
#include "kernels/reference.h"

namespace shoal::kernels::avx2 {
namespace {

constexpr int64_t kBlock = 32;  // k per block
constexpr int kPieces = 8;      // k per block, in fours
constexpr int kHalves = 2;      // vectors of 8 rows per group
constexpr int kTileTokens = 4;  // as many as registers hold the sums of, for one group

template <TensorType kType>
constexpr bool kHasMinimum = kType == TensorType::kQ4_1;
template <TensorType kType>
constexpr bool kIsFourBit = kType != TensorType::kQ8_0;
template <TensorType kType>
constexpr int64_t kScaleBytes = kHasMinimum<kType> ? 64 : 32;

// How few tokens, which are bound by memory, are best fed: 4-bit weights, with more work per byte,
// by prefetching ahead in one row group; 8-bit ones by reading several groups side by side.
template <TensorType kType>
constexpr int kStreams = kIsFourBit<kType> ? 1 : 4;
constexpr int64_t kRecordsAhead = 8;

template <TensorType kType>
constexpr int64_t kRecordBytes = kScaleBytes<kType> + (kIsFourBit<kType> ? 256 : 512);

SHOAL_TARGET_AVX2 inline __m256i LoadInts(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

SHOAL_TARGET_AVX2 inline __m256 LoadHalves(const std::byte* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

SHOAL_TARGET_AVX2 inline __m256i BroadcastFour(const int8_t* values) {
  return _mm256_castps_si256(_mm256_broadcast_ss(reinterpret_cast<const float*>(values)));
}

// Keeps GCC from turning a chain of additions into a tree, for which it then lacks registers.
SHOAL_TARGET_AVX2 inline void KeepOrder(__m256i& sum) { __asm__("" : "+x"(sum)); }

// The int32 dot products of one block: 16 rows by kTokens tokens. x: values of the block's first k.
template <TensorType kType, int kTokens>
SHOAL_TARGET_AVX2 inline void DotBlock(const std::byte* quants, const int8_t* x, int64_t cols,
                                       const int32_t* sums, int64_t sums_stride,
                                       __m256i dots[kTokens][kHalves]) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (kIsFourBit<kType>) {
    // Up to 8 sums of pairs fit in 16 bits: 8 * 2 * 15 * 127 = 30480.
    const __m256i low = _mm256_set1_epi8(15);
    __m256i pairs[kTokens][kHalves];
#pragma GCC unroll 4
    for (int p = 0; p < kPieces / 2; ++p) {
      const __m256i q[kHalves] = {LoadInts(quants + 64 * p), LoadInts(quants + 64 * p + 32)};
#pragma GCC unroll 2
      for (int nibble = 0; nibble < 2; ++nibble) {
        __m256i w[kHalves];
#pragma GCC unroll 2
        for (int h = 0; h < kHalves; ++h) {
          w[h] = _mm256_and_si256(nibble == 0 ? q[h] : _mm256_srli_epi16(q[h], 4), low);
        }
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
          const __m256i a = BroadcastFour(x + t * cols + 4 * (p + 4 * nibble));
#pragma GCC unroll 2
          for (int h = 0; h < kHalves; ++h) {
            const __m256i pair = _mm256_maddubs_epi16(w[h], a);
            pairs[t][h] = p + nibble == 0 ? pair : _mm256_add_epi16(pairs[t][h], pair);
            KeepOrder(pairs[t][h]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        dots[t][h] = _mm256_madd_epi16(pairs[t][h], ones);
        if constexpr (kType == TensorType::kQ4_0) {
          const __m256i offset = _mm256_set1_epi32(8 * sums[t * sums_stride]);
          dots[t][h] = _mm256_sub_epi32(dots[t][h], offset);
        }
      }
    }
  } else {
    // |w| is unsigned and takes -128 too; its sign goes to the activation, which is in [-127, 127].
    // One sum of a pair fits in 16 bits: 2 * 128 * 127 = 32512.
#pragma GCC unroll 8
    for (int p = 0; p < kPieces; ++p) {
      const __m256i q[kHalves] = {LoadInts(quants + 64 * p), LoadInts(quants + 64 * p + 32)};
      const __m256i w[kHalves] = {_mm256_abs_epi8(q[0]), _mm256_abs_epi8(q[1])};
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m256i a = BroadcastFour(x + t * cols + 4 * p);
#pragma GCC unroll 2
        for (int h = 0; h < kHalves; ++h) {
          const __m256i pair = _mm256_maddubs_epi16(w[h], _mm256_sign_epi8(a, q[h]));
          const __m256i dot = _mm256_madd_epi16(pair, ones);
          dots[t][h] = p == 0 ? dot : _mm256_add_epi32(dots[t][h], dot);
          KeepOrder(dots[t][h]);
        }
      }
    }
  }
}

// Beyond the matrix it does nothing.
template <TensorType kType>
SHOAL_TARGET_AVX2 inline void PrefetchRecord(const std::byte* record) {
#pragma GCC unroll 9
  for (int64_t at = 0; at < kRecordBytes<kType>; at += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(record + at), _MM_HINT_T0);
  }
}

// kGroups groups of rows by kTokens tokens, of which x and out hold the first.
// `rows` of the groups exist, the last group has at least one.
template <TensorType kType, int kGroups, int kTokens>
SHOAL_TARGET_AVX2 void MultiplyTile(const std::byte* groups, int64_t cols, const Activations& x,
                                    int64_t rows, float* out, int64_t out_stride) {
  const int64_t blocks = cols / kBlock;
  __m256 acc[kGroups][kTokens][kHalves];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) acc[g][t][0] = acc[g][t][1] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const std::byte* record = groups + (g * blocks + b) * kRecordBytes<kType>;
      if constexpr (kTokens == kTileTokens) {  // the next group
        PrefetchRecord<kType>(record + blocks * kRecordBytes<kType>);
      } else if constexpr (kStreams<kType> == 1) {
        PrefetchRecord<kType>(record + kRecordsAhead * kRecordBytes<kType>);
      }
      __m256i dots[kTokens][kHalves];
      DotBlock<kType, kTokens>(record + kScaleBytes<kType>, x.values + b * kBlock, cols, x.sums + b,
                               blocks, dots);
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        const __m256 d = LoadHalves(record + 16 * h);
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; ++t) {
          const __m256 scale = _mm256_mul_ps(d, _mm256_broadcast_ss(x.scales + t * blocks + b));
          acc[g][t][h] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dots[t][h]), acc[g][t][h]);
        }
        if constexpr (kHasMinimum<kType>) {
          const __m256 m = LoadHalves(record + 32 + 16 * h);
#pragma GCC unroll 4
          for (int t = 0; t < kTokens; ++t) {
            const __m256 sum = _mm256_broadcast_ss(x.scaled_sums + t * blocks + b);
            acc[g][t][h] = _mm256_fmadd_ps(m, sum, acc[g][t][h]);
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
    const int64_t first = g * kRowUnit;
    const int64_t count = rows - first < kRowUnit ? rows - first : kRowUnit;
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      StoreRows(acc[g][t][0], acc[g][t][1], count, out + t * out_stride + first);
    }
  }
}

// kGroups groups by all tokens, in tiles of at most kTile and then of half as many.
template <TensorType kType, int kGroups, int kTile>
SHOAL_TARGET_AVX2 void MultiplyGroups(const std::byte* groups, int64_t cols, Activations x,
                                      int64_t tokens, int64_t rows, float* out,
                                      int64_t out_stride) {
  for (; tokens >= kTile; tokens -= kTile) {
    MultiplyTile<kType, kGroups, kTile>(groups, cols, x, rows, out, out_stride);
    x = SkipTokens(x, kTile, cols);
    out += kTile * out_stride;
  }
  if constexpr (kTile > 1) {
    MultiplyGroups<kType, kGroups, kTile / 2>(groups, cols, x, tokens, rows, out, out_stride);
  }
}

template <TensorType kType>
SHOAL_TARGET_AVX2 void MultiplyInt8(const WeightMatrix& weights, const Activations& x,
                                    int64_t tokens, int64_t row_begin, int64_t row_end, float* out,
                                    int64_t out_stride) {
  const int64_t cols = weights.cols;
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  const std::byte* groups = weights.data + row_begin / kRowUnit * group_bytes;
  int64_t row = row_begin;
  if (tokens < kTileTokens) {
    constexpr int64_t kRows = kStreams<kType> * kRowUnit;
    for (; row_end - row > kRows - kRowUnit;
         row += kRows, groups += kStreams<kType> * group_bytes) {
      MultiplyGroups<kType, kStreams<kType>, 2>(groups, cols, x, tokens, row_end - row, out + row,
                                                out_stride);
    }
  }
  for (; row < row_end; row += kRowUnit, groups += group_bytes) {
    MultiplyGroups<kType, 1, kTileTokens>(groups, cols, x, tokens, row_end - row, out + row,
                                          out_stride);
  }
}

}  // namespace

int64_t PackedBytes(TensorType type, int64_t rows, int64_t cols) {
  return PackedMatrixBytes(type, rows, cols);
}

void Pack(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  PackRowGroups(from, row_begin, row_end, to);
}

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  if (!weights.packed) {
    reference::MatMul(weights, x, tokens, row_begin, row_end, out, out_stride);
    return;
  }
  switch (weights.type) {
    case TensorType::kQ4_0:
      MultiplyInt8<TensorType::kQ4_0>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
    case TensorType::kQ4_1:
      MultiplyInt8<TensorType::kQ4_1>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
    case TensorType::kQ8_0:
      MultiplyInt8<TensorType::kQ8_0>(weights, x, tokens, row_begin, row_end, out, out_stride);
      break;
    default: MultiplyF32(weights, x.f32, tokens, row_begin, row_end, out, out_stride); break;
  }
}

}  // namespace shoal::kernels::avx2

#endif
