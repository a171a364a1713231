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

constexpr bool kMultipliesSigned = true;
constexpr int64_t kLargestSum = 32767;

#include "kernels/avx2_matmul_ops.inc"

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
