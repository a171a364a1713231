// Matrix products with AVX-512 VNNI. Lanes are the 16 rows of a group: a vector holds 4 consecutive
// k of each, and vpdpbusd adds their products with 4 broadcast activations to the row's sum.
#include "kernels/avx512vnni.h"

#if defined(__x86_64__)

#include "base/check.h"
#include "kernels/avx512_intrinsics.h"
#include "kernels/packed_layout.h"
#include "kernels/reference.h"

namespace shoal::kernels::avx512vnni {
namespace {

constexpr int64_t kBlock = 32;     // k per block of the Q types
constexpr int64_t kGroups = 4;     // streams through memory where it is what bounds
constexpr int64_t kMaxTokens = 8;  // per tile, for one group

constexpr bool HasMinimum(TensorType type) { return type == TensorType::kQ4_1; }
constexpr bool IsFourBit(TensorType type) { return type != TensorType::kQ8_0; }
constexpr int64_t ScaleBytes(TensorType type) { return HasMinimum(type) ? 64 : 32; }
constexpr int64_t RecordBytes(TensorType type) {
  return ScaleBytes(type) + (IsFourBit(type) ? 256 : 512);
}

SHOAL_TARGET_AVX512 inline __m512 LoadHalves(const std::byte* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// Writes the first `rows` (at least 1) of 16 outputs.
SHOAL_TARGET_AVX512 inline void StoreRows(__m512 sums, int64_t rows, float* out) {
  const uint32_t mask = rows < kRowUnit ? (1u << rows) - 1 : 0xffffu;
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>(mask), sums);
}

// What vpdpbusd, which takes unsigned weights, adds too much for each unit of the activations' sum.
constexpr int32_t WeightOffset(TensorType type) {
  return type == TensorType::kQ4_0 ? 8 : type == TensorType::kQ8_0 ? 128 : 0;
}

// Weights of k = 4 piece to 4 piece + 3, unsigned. Piece 0..7 of a block.
template <TensorType kType>
SHOAL_TARGET_AVX512 inline __m512i LoadPiece(const std::byte* quants, int piece) {
  if constexpr (kType == TensorType::kQ8_0) {
    return _mm512_xor_si512(_mm512_loadu_si512(quants + 64 * piece), _mm512_set1_epi8(-128));
  } else {
    const __m512i pair = _mm512_loadu_si512(quants + 64 * (piece % 4));
    return _mm512_and_si512(piece < 4 ? pair : _mm512_srli_epi16(pair, 4), _mm512_set1_epi8(15));
  }
}

SHOAL_TARGET_AVX512 inline __m512i BroadcastFour(const int8_t* values) {
  int32_t four;
  __builtin_memcpy(&four, values, sizeof(four));
  return _mm512_set1_epi32(four);
}

// One block of one group by kTokens tokens, added to acc. x holds the block of the first token.
template <TensorType kType, int kTokens>
SHOAL_TARGET_AVX512 inline void AddBlock(const std::byte* record, const Activations& x,
                                         int64_t block, int64_t cols, __m512* acc) {
  const int64_t blocks = cols / kBlock;
  const int8_t* values = x.values + block * kBlock;
  __m512i dots[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    dots[t] = _mm512_setzero_si512();
    if constexpr (WeightOffset(kType) != 0) {
      dots[t] = _mm512_set1_epi32(-WeightOffset(kType) * x.sums[t * blocks + block]);
    }
  }
#pragma GCC unroll 8
  for (int piece = 0; piece < 8; ++piece) {
    const __m512i w = LoadPiece<kType>(record + ScaleBytes(kType), piece);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      dots[t] = _mm512_dpbusd_epi32(dots[t], w, BroadcastFour(values + t * cols + 4 * piece));
    }
  }
  const __m512 d = LoadHalves(record);
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    const __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(x.scales[t * blocks + block]));
    acc[t] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dots[t]), acc[t]);
    if constexpr (HasMinimum(kType)) {
      const __m512 sum = _mm512_set1_ps(x.scaled_sums[t * blocks + block]);
      acc[t] = _mm512_fmadd_ps(LoadHalves(record + 32), sum, acc[t]);
    }
  }
}

// The weights of one k of a group.
template <TensorType kType>
SHOAL_TARGET_AVX512 inline __m512 LoadFloats(const std::byte* from) {
  if constexpr (kType == TensorType::kF32) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(from));
  } else if constexpr (kType == TensorType::kF16) {
    return LoadHalves(from);
  } else {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
}

// kRowGroups groups, of which `rows` rows exist, by the first kTokens tokens of x.
template <TensorType kType, int kRowGroups, int kTokens>
SHOAL_TARGET_AVX512 void MultiplyTile(const std::byte* groups, int64_t cols, const Activations& x,
                                      int64_t rows, float* out, int64_t out_stride) {
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  __m512 acc[kRowGroups][kTokens];
#pragma GCC unroll 4
  for (int g = 0; g < kRowGroups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) acc[g][t] = _mm512_setzero_ps();
  }
  if constexpr (ActivationsAreFloats(kType)) {
    constexpr int64_t kBytes = kType == TensorType::kF32 ? 64 : 32;
    for (int64_t k = 0; k < cols; ++k) {
#pragma GCC unroll 4
      for (int g = 0; g < kRowGroups; ++g) {
        const __m512 w = LoadFloats<kType>(groups + g * group_bytes + k * kBytes);
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
          acc[g][t] = _mm512_fmadd_ps(w, _mm512_set1_ps(x.f32[t * cols + k]), acc[g][t]);
        }
      }
    }
  } else {
    for (int64_t b = 0; b < cols / kBlock; ++b) {
#pragma GCC unroll 4
      for (int g = 0; g < kRowGroups; ++g) {
        const std::byte* record = groups + g * group_bytes + b * RecordBytes(kType);
        AddBlock<kType, kTokens>(record, x, b, cols, acc[g]);
      }
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < kRowGroups; ++g) {
    const int64_t first = g * kRowUnit;
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      StoreRows(acc[g][t], rows - first, out + t * out_stride + first);
    }
  }
}

// kRowGroups groups by all tokens, in tiles of at most kTile and then of half as many.
template <TensorType kType, int kRowGroups, int kTile>
SHOAL_TARGET_AVX512 void MultiplyGroups(const std::byte* groups, int64_t cols, Activations x,
                                        int64_t tokens, int64_t rows, float* out,
                                        int64_t out_stride) {
  for (; tokens >= kTile; tokens -= kTile) {
    MultiplyTile<kType, kRowGroups, kTile>(groups, cols, x, rows, out, out_stride);
    x = SkipTokens(x, kTile, cols);
    out += kTile * out_stride;
  }
  if constexpr (kTile > 1) {
    MultiplyGroups<kType, kRowGroups, kTile / 2>(groups, cols, x, tokens, rows, out, out_stride);
  }
}

template <TensorType kType>
SHOAL_TARGET_AVX512 void Multiply(const WeightMatrix& weights, const Activations& x, int64_t tokens,
                                  int64_t row_begin, int64_t row_end, float* out,
                                  int64_t out_stride) {
  const int64_t cols = weights.cols;
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  const std::byte* groups = weights.data + row_begin / kRowUnit * group_bytes;
  int64_t row = row_begin;
  if (tokens < kMaxTokens || ActivationsAreFloats(kType)) {
    for (; row_end - row > (kGroups - 1) * kRowUnit; row += kGroups * kRowUnit) {
      MultiplyGroups<kType, kGroups, 4>(groups, cols, x, tokens, row_end - row, out + row,
                                        out_stride);
      groups += kGroups * group_bytes;
    }
  }
  for (; row < row_end; row += kRowUnit, groups += group_bytes) {
    MultiplyGroups<kType, 1, kMaxTokens>(groups, cols, x, tokens, row_end - row, out + row,
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
  auto* multiply = reference::MatMul;
  if (weights.packed) {
    switch (weights.type) {
      case TensorType::kQ4_0: multiply = Multiply<TensorType::kQ4_0>; break;
      case TensorType::kQ4_1: multiply = Multiply<TensorType::kQ4_1>; break;
      case TensorType::kQ8_0: multiply = Multiply<TensorType::kQ8_0>; break;
      case TensorType::kF32: multiply = Multiply<TensorType::kF32>; break;
      case TensorType::kF16: multiply = Multiply<TensorType::kF16>; break;
      case TensorType::kBF16: multiply = Multiply<TensorType::kBF16>; break;
      default: CHECK(false, "a packed matrix of a type that pack() does not take");
    }
  }
  multiply(weights, x, tokens, row_begin, row_end, out, out_stride);
}

}  // namespace shoal::kernels::avx512vnni

#endif
