// Matrix products with AVX2. Quantized weights are multiplied by maddubs, whose sums of pairs stay
// in 16 bits as long as they fit.
#include "kernels/avx2.h"

#if defined(__x86_64__)

#include "kernels/avx2_intrinsics.h"
#include "kernels/avx2_matmul_float.h"
#include "kernels/codebook_blocks.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::avx2 {
namespace {

#define SHOAL_TARGET SHOAL_TARGET_AVX2

using Ints = __m256i;
using Floats = __m256;
constexpr int kVectors = 2;
constexpr int kVectorBytes = 32;
constexpr bool kMultipliesSigned = true;
constexpr int64_t kLargestSum = 32767;
constexpr int kTileTokens = 4;
constexpr int kFewTokens = 2;
constexpr int64_t kBytesAhead = 8192;
// Small records are best read from several places; of large ones, each is long enough alone.
template <TensorType kType>
constexpr int kStreams =
    kType == TensorType::kQ4_0 || kType == TensorType::kQ4_1 || kType == TensorType::kQ5_0 ||
            kType == TensorType::kQ5_1 || kType == TensorType::kQ8_0
        ? 4
        : 1;

SHOAL_TARGET inline Ints LoadInts(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Ints*>(from));
}
SHOAL_TARGET inline Floats LoadHalves(const std::byte* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SHOAL_TARGET inline Floats LoadFloats(const float* from) { return _mm256_loadu_ps(from); }
SHOAL_TARGET inline Ints LoadUnsigned8(const std::byte* from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
SHOAL_TARGET inline Ints LoadUnsigned16(const std::byte* from) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SHOAL_TARGET inline Ints BroadcastFour(const int8_t* values) {
  return _mm256_castps_si256(_mm256_broadcast_ss(reinterpret_cast<const float*>(values)));
}
SHOAL_TARGET inline Ints Repeat16(const int8_t (&bytes)[16]) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
}
SHOAL_TARGET inline Ints Zeros() { return _mm256_setzero_si256(); }
SHOAL_TARGET inline Ints EachByte(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
SHOAL_TARGET inline Ints EachInt(int32_t value) { return _mm256_set1_epi32(value); }
SHOAL_TARGET inline Ints And(Ints a, Ints b) { return _mm256_and_si256(a, b); }
SHOAL_TARGET inline Ints Or(Ints a, Ints b) { return _mm256_or_si256(a, b); }
SHOAL_TARGET inline Ints FlipSigns(Ints a) { return _mm256_xor_si256(a, EachByte(-128)); }
SHOAL_TARGET inline Ints AddBytes(Ints a, Ints b) { return _mm256_add_epi8(a, b); }
SHOAL_TARGET inline Ints Minus(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
SHOAL_TARGET inline Ints Shuffle(Ints a, Ints order) { return _mm256_shuffle_epi8(a, order); }
SHOAL_TARGET inline Ints ShiftRight16(Ints a, int n) { return _mm256_srli_epi16(a, n); }
SHOAL_TARGET inline Ints ShiftRight32(Ints a, int n) { return _mm256_srli_epi32(a, n); }
SHOAL_TARGET inline Ints ShiftLeft32(Ints a, int n) { return _mm256_slli_epi32(a, n); }
SHOAL_TARGET inline Ints SignedShiftRight16(Ints a, int n) { return _mm256_srai_epi16(a, n); }
SHOAL_TARGET inline Ints ShiftLeft32Each(Ints a, Ints n) { return _mm256_sllv_epi32(a, n); }
SHOAL_TARGET inline Ints WhereAbove(Ints a, Ints limit, Ints above, Ints below) {
  return _mm256_blendv_epi8(below, above, _mm256_cmpgt_epi32(a, limit));
}
SHOAL_TARGET inline Ints WhereBits(Ints a, Ints bits, Ints value) {
  return And(_mm256_cmpeq_epi8(And(a, bits), bits), value);
}

SHOAL_TARGET inline Floats ZeroFloats() { return _mm256_setzero_ps(); }
SHOAL_TARGET inline Floats BroadcastFloat(const float* value) { return _mm256_broadcast_ss(value); }
SHOAL_TARGET inline Floats AsFloats(Ints a) { return _mm256_castsi256_ps(a); }
SHOAL_TARGET inline Floats ToFloats(Ints a) { return _mm256_cvtepi32_ps(a); }
SHOAL_TARGET inline Floats Times(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
SHOAL_TARGET inline Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
SHOAL_TARGET inline Floats NegatedFma(Floats a, Floats b, Floats c) {
  return _mm256_fnmadd_ps(a, b, c);
}

// Adds to sums of pairs of 16 bits. A signed weight's sign goes to the activation, which is in
// [-127, 127]: |w| is unsigned and takes -128 too. One such sum fits: 2 * 128 * 127 = 32512.
template <bool kSigned>
SHOAL_TARGET inline Ints MultiplyAdd(Ints sums, Ints weights, Ints x) {
  if constexpr (kSigned) {
    return _mm256_add_epi16(
        sums, _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights)));
  } else {
    return _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x));
  }
}
// Else GCC turns a chain of additions into a tree, for which it then lacks registers.
SHOAL_TARGET inline void KeepOrder(Ints& sums) { __asm__("" : "+x"(sums)); }

SHOAL_TARGET inline Ints AddProducts16(Ints total, Ints a, Ints b) {
  return _mm256_add_epi32(total, _mm256_madd_epi16(a, b));
}
SHOAL_TARGET inline Ints AddSums(Ints total, Ints sums) {
  return AddProducts16(total, sums, _mm256_set1_epi16(1));
}
SHOAL_TARGET inline Ints AddScaled(Ints total, Ints sums, Ints scale) {
  return AddProducts16(total, sums, scale);
}
// Byte b of each lane, in both 16-bit halves.
template <bool kSigned>
SHOAL_TARGET inline Ints SpreadByte(Ints lanes, int b) {
  static constexpr int8_t kUnsigned[16] = {0, -128, 0, -128, 4,  -128, 4,  -128,
                                           8, -128, 8, -128, 12, -128, 12, -128};
  static constexpr int8_t kUpper[16] = {-128, 0, -128, 0, -128, 4,  -128, 4,
                                        -128, 8, -128, 8, -128, 12, -128, 12};
  const Ints order = AddBytes(Repeat16(kSigned ? kUpper : kUnsigned), EachByte(b));
  const Ints halves = Shuffle(lanes, order);
  return kSigned ? SignedShiftRight16(halves, 8) : halves;
}
// Sums of 32 from 16 sums of 16.
SHOAL_TARGET inline void AddPairs16(const int16_t* from, int16_t* to) {
  const auto* vectors = reinterpret_cast<const __m128i*>(from);
  const __m128i sums = _mm_hadd_epi16(_mm_loadu_si128(vectors), _mm_loadu_si128(vectors + 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sums);
}

// Writes the first `rows` (at least 1) of 16 outputs.
SHOAL_TARGET inline void StoreGroup(const Floats (&sums)[kVectors], int64_t rows, float* out) {
  StoreRows(sums[0], sums[1], rows < kRowUnit ? rows : kRowUnit, out);
}

#include "kernels/x86_matmul_int8.inc"
#include "kernels/x86_matmul_unpacked.inc"

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
  if (!weights.packed) {
    RowMajorMatMulFor(weights.type)(weights, x, tokens, row_begin, row_end, out, out_stride);
    return;
  }
  const auto multiply = Int8MatMulFor(weights.type);
  if (multiply != nullptr) {
    multiply(weights, x, tokens, row_begin, row_end, out, out_stride);
  } else {
    MultiplyF32(weights, x.f32, tokens, row_begin, row_end, out, out_stride);
  }
}

}  // namespace shoal::kernels::avx2

#endif
