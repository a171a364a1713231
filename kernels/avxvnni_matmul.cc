// Matrix products with AVX-VNNI: as AVX2, but vpdpbusd adds the products of 4 k to each row's sum.
#include "kernels/avxvnni.h"

#if defined(__x86_64__)

#include "kernels/avx2_matmul_float.h"
#include "kernels/avxvnni_intrinsics.h"
#include "kernels/codebook_blocks.h"
#include "kernels/packed_layout.h"
#include "kernels/quant_blocks.h"
#include "kernels/reference.h"

namespace shoal::kernels::avxvnni {
namespace {

#define SHOAL_TARGET SHOAL_TARGET_AVXVNNI

constexpr bool kMultipliesSigned = false;
constexpr int64_t kLargestSum = INT32_MAX;

#include "kernels/avx2_matmul_ops.inc"

template <bool kSigned>
SHOAL_TARGET inline Ints MultiplyAdd(Ints sums, Ints weights, Ints x) {
  static_assert(!kSigned);
  return _mm256_dpbusd_avx_epi32(sums, weights, x);
}
SHOAL_TARGET inline void KeepOrder(Ints&) {}
SHOAL_TARGET inline Ints AddProducts16(Ints total, Ints a, Ints b) {
  return _mm256_dpwssd_avx_epi32(total, a, b);
}
SHOAL_TARGET inline Ints AddSums(Ints total, Ints sums) { return _mm256_add_epi32(total, sums); }
SHOAL_TARGET inline Ints AddScaled(Ints total, Ints sums, Ints scale) {
  return _mm256_add_epi32(total, _mm256_mullo_epi32(sums, scale));
}
// Byte b of each lane, as an integer.
template <bool kSigned>
SHOAL_TARGET inline Ints SpreadByte(Ints lanes, int b) {
  const Ints upper = ShiftLeft32(lanes, 24 - 8 * b);
  return kSigned ? _mm256_srai_epi32(upper, 24) : _mm256_srli_epi32(upper, 24);
}

#include "kernels/x86_matmul_int8.inc"
#include "kernels/x86_matmul_unpacked.inc"

#undef SHOAL_TARGET

}  // namespace

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
    avx2::MultiplyF32(weights, x.f32, tokens, row_begin, row_end, out, out_stride);
  }
}

}  // namespace shoal::kernels::avxvnni

#endif
