// Matrix products with AVX-512 VNNI. A vector has the 16 rows of a group; vpdpbusd adds the
// products of 4 k to each row's sum.
#include "kernels/avx512vnni.h"

#if defined(__x86_64__)

#include "base/check.h"
#include "kernels/avx512_intrinsics.h"
#include "kernels/codebook_blocks.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::avx512vnni {
namespace {

#define SHOAL_TARGET SHOAL_TARGET_AVX512

using Ints = __m512i;
using Floats = __m512;
constexpr int kVectors = 1;
constexpr int kVectorBytes = 64;
constexpr bool kMultipliesSigned = false;
constexpr int64_t kLargestSum = INT32_MAX;
constexpr int kTileTokens = 8;
constexpr int kFewTokens = 2;
constexpr int64_t kBytesAhead = 2304;
template <TensorType kType>
constexpr int kStreams = kType == TensorType::kQ8_0 ? 4 : 1;

SHOAL_TARGET inline Ints LoadInts(const std::byte* from) { return _mm512_loadu_si512(from); }
SHOAL_TARGET inline __m256i LoadHalf(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
SHOAL_TARGET inline Floats LoadHalves(const std::byte* from) {
  return _mm512_cvtph_ps(LoadHalf(from));
}
SHOAL_TARGET inline Floats LoadFloats(const float* from) { return _mm512_loadu_ps(from); }
SHOAL_TARGET inline Ints LoadUnsigned8(const std::byte* from) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SHOAL_TARGET inline Ints LoadUnsigned16(const std::byte* from) {
  return _mm512_cvtepu16_epi32(LoadHalf(from));
}
SHOAL_TARGET inline Ints BroadcastFour(const int8_t* values) {
  int32_t four;
  __builtin_memcpy(&four, values, sizeof(four));
  return _mm512_set1_epi32(four);
}
SHOAL_TARGET inline Ints Repeat16(const int8_t (&bytes)[16]) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}
SHOAL_TARGET inline Ints Zeros() { return _mm512_setzero_si512(); }
SHOAL_TARGET inline Ints EachByte(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
SHOAL_TARGET inline Ints EachInt(int32_t value) { return _mm512_set1_epi32(value); }
SHOAL_TARGET inline Ints And(Ints a, Ints b) { return _mm512_and_si512(a, b); }
SHOAL_TARGET inline Ints Or(Ints a, Ints b) { return _mm512_or_si512(a, b); }
SHOAL_TARGET inline Ints FlipSigns(Ints a) { return _mm512_xor_si512(a, EachByte(-128)); }
SHOAL_TARGET inline Ints AddBytes(Ints a, Ints b) { return _mm512_add_epi8(a, b); }
SHOAL_TARGET inline Ints Minus(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
SHOAL_TARGET inline Ints Shuffle(Ints a, Ints order) { return _mm512_shuffle_epi8(a, order); }
SHOAL_TARGET inline __m128i Count(int n) { return _mm_cvtsi32_si128(n); }
SHOAL_TARGET inline Ints ShiftRight16(Ints a, int n) { return _mm512_srl_epi16(a, Count(n)); }
SHOAL_TARGET inline Ints ShiftRight32(Ints a, int n) { return _mm512_srl_epi32(a, Count(n)); }
SHOAL_TARGET inline Ints ShiftLeft32(Ints a, int n) { return _mm512_sll_epi32(a, Count(n)); }
SHOAL_TARGET inline Ints SignedShiftRight16(Ints a, int n) { return _mm512_sra_epi16(a, Count(n)); }
SHOAL_TARGET inline Ints ShiftLeft32Each(Ints a, Ints n) { return _mm512_sllv_epi32(a, n); }
SHOAL_TARGET inline Ints WhereAbove(Ints a, Ints limit, Ints above, Ints below) {
  return _mm512_mask_blend_epi32(_mm512_cmpgt_epi32_mask(a, limit), below, above);
}
SHOAL_TARGET inline Ints WhereBits(Ints a, Ints bits, Ints value) {
  return _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(a, bits), value);
}

SHOAL_TARGET inline Floats ZeroFloats() { return _mm512_setzero_ps(); }
SHOAL_TARGET inline Floats BroadcastFloat(const float* value) { return _mm512_set1_ps(*value); }
SHOAL_TARGET inline Floats AsFloats(Ints a) { return _mm512_castsi512_ps(a); }
SHOAL_TARGET inline Floats ToFloats(Ints a) { return _mm512_cvtepi32_ps(a); }
SHOAL_TARGET inline Floats Times(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
SHOAL_TARGET inline Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
SHOAL_TARGET inline Floats NegatedFma(Floats a, Floats b, Floats c) {
  return _mm512_fnmadd_ps(a, b, c);
}

template <bool kSigned>
SHOAL_TARGET inline Ints MultiplyAdd(Ints sums, Ints weights, Ints x) {
  static_assert(!kSigned);
  return _mm512_dpbusd_epi32(sums, weights, x);
}
SHOAL_TARGET inline void KeepOrder(Ints&) {}
SHOAL_TARGET inline Ints AddProducts16(Ints total, Ints a, Ints b) {
  return _mm512_dpwssd_epi32(total, a, b);
}
SHOAL_TARGET inline Ints AddSums(Ints total, Ints sums) { return _mm512_add_epi32(total, sums); }
SHOAL_TARGET inline Ints AddScaled(Ints total, Ints sums, Ints scale) {
  return _mm512_add_epi32(total, _mm512_mullo_epi32(sums, scale));
}
// Byte b of each lane, as an integer.
template <bool kSigned>
SHOAL_TARGET inline Ints SpreadByte(Ints lanes, int b) {
  const Ints upper = _mm512_sll_epi32(lanes, Count(24 - 8 * b));
  return kSigned ? _mm512_srai_epi32(upper, 24) : _mm512_srli_epi32(upper, 24);
}
// Sums of 32 from 16 sums of 16.
SHOAL_TARGET inline void AddPairs16(const int16_t* from, int16_t* to) {
  const auto* vectors = reinterpret_cast<const __m128i*>(from);
  const __m128i sums = _mm_hadd_epi16(_mm_loadu_si128(vectors), _mm_loadu_si128(vectors + 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums);
}

// Writes the first `rows` (at least 1) of 16 outputs.
SHOAL_TARGET inline void StoreGroup(const Floats (&sums)[kVectors], int64_t rows, float* out) {
  const uint32_t mask = rows < kRowUnit ? (1u << rows) - 1 : 0xffffu;
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>(mask), sums[0]);
}

#include "kernels/x86_matmul_int8.inc"
#include "kernels/x86_matmul_unpacked.inc"

// The weights of one k of a group.
template <TensorType kType>
SHOAL_TARGET inline __m512 LoadWeights(const std::byte* from) {
  if constexpr (kType == TensorType::kF32) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(from));
  } else if constexpr (kType == TensorType::kF16) {
    return LoadHalves(from);
  } else {
    return _mm512_castsi512_ps(ShiftLeft32(LoadUnsigned16(from), 16));
  }
}

// kGroups groups, of which `rows` rows exist, by the first kTokens tokens of x.
template <TensorType kType, int kGroups, int kTokens>
SHOAL_TARGET void MultiplyFloatTile(const std::byte* groups, int64_t cols, const float* x,
                                    int64_t rows, float* out, int64_t out_stride) {
  constexpr int64_t kBytes = kType == TensorType::kF32 ? 64 : 32;
  const int64_t group_bytes = cols * kBytes;
  Floats acc[kGroups][kTokens][kVectors];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) acc[g][t][0] = ZeroFloats();
  }
  for (int64_t k = 0; k < cols; ++k) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const Floats w = LoadWeights<kType>(groups + g * group_bytes + k * kBytes);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        acc[g][t][0] = Fma(w, BroadcastFloat(x + t * cols + k), acc[g][t][0]);
      }
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      StoreGroup(acc[g][t], rows - g * kRowUnit, out + t * out_stride + g * kRowUnit);
    }
  }
}

// kGroups groups by all tokens, in tiles of at most kTile and then of half as many.
template <TensorType kType, int kGroups, int kTile>
SHOAL_TARGET void MultiplyFloatGroups(const std::byte* groups, int64_t cols, const float* x,
                                      int64_t tokens, int64_t rows, float* out,
                                      int64_t out_stride) {
  for (; tokens >= kTile; tokens -= kTile) {
    MultiplyFloatTile<kType, kGroups, kTile>(groups, cols, x, rows, out, out_stride);
    x += kTile * cols;
    out += kTile * out_stride;
  }
  if constexpr (kTile > 1) {
    MultiplyFloatGroups<kType, kGroups, kTile / 2>(groups, cols, x, tokens, rows, out, out_stride);
  }
}

template <TensorType kType>
SHOAL_TARGET void MultiplyFloat(const WeightMatrix& weights, const Activations& x, int64_t tokens,
                                int64_t row_begin, int64_t row_end, float* out,
                                int64_t out_stride) {
  constexpr int64_t kGroups = 4;  // as many sums in flight as hide the latency of the multiply-add
  const int64_t cols = weights.cols;
  const int64_t group_bytes = PackedGroupBytes(kType, cols);
  const std::byte* groups = weights.data + row_begin / kRowUnit * group_bytes;
  int64_t row = row_begin;
  for (; row_end - row > (kGroups - 1) * kRowUnit; row += kGroups * kRowUnit) {
    MultiplyFloatGroups<kType, kGroups, 4>(groups, cols, x.f32, tokens, row_end - row, out + row,
                                           out_stride);
    groups += kGroups * group_bytes;
  }
  for (; row < row_end; row += kRowUnit, groups += group_bytes) {
    MultiplyFloatGroups<kType, 1, kTileTokens>(groups, cols, x.f32, tokens, row_end - row,
                                               out + row, out_stride);
  }
}

#undef SHOAL_TARGET

}  // namespace

int64_t PackedBytes(TensorType type, int64_t rows, int64_t cols) {
  return PackedMatrixBytes(type, rows, cols);
}

void Pack(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  PackRowGroups(from, row_begin, row_end, to);
}

void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  auto* multiply = RowMajorMatMulFor(weights.type);
  if (weights.packed) {
    switch (weights.type) {
      case TensorType::kF32: multiply = MultiplyFloat<TensorType::kF32>; break;
      case TensorType::kF16: multiply = MultiplyFloat<TensorType::kF16>; break;
      case TensorType::kBF16: multiply = MultiplyFloat<TensorType::kBF16>; break;
      default: multiply = Int8MatMulFor(weights.type);
    }
    CHECK(multiply != nullptr, "a packed matrix is of a type that pack() takes");
  }
  multiply(weights, x, tokens, row_begin, row_end, out, out_stride);
}

}  // namespace shoal::kernels::avx512vnni

#endif
