// ExpF, TanhF and the fixed sum of 16 partial sums, eight lanes at a time. For the avx2_*.cc files
// only.
#pragma once

#include "kernels/avx2_intrinsics.h"
#include "kernels/exp_constants.h"
#include "kernels/tanh_constants.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx2 {

// ExpF of each lane.
SHOAL_TARGET_AVX2 inline __m256 Exp8(__m256 x) {
  using namespace exp_constants;
  const __m256 magic = _mm256_set1_ps(kMagic);
  const __m256 one = _mm256_set1_ps(1.0F);
  const __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(kLog2E), magic);
  const __m256 n = _mm256_sub_ps(t, magic);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kLn2High), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(kLn2Low), r);
  __m256 p = _mm256_set1_ps(kC6);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kC5));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kC4));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kC3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(kC2));
  p = _mm256_fmadd_ps(p, r, one);
  p = _mm256_fmadd_ps(p, r, one);
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
  const __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  const __m256 above = _mm256_cmp_ps(x, _mm256_set1_ps(kMaxX), _CMP_NLE_UQ);
  const __m256 below = _mm256_cmp_ps(x, _mm256_set1_ps(kMinX), _CMP_LT_OQ);
  const __m256 infinite = _mm256_add_ps(x, _mm256_set1_ps(__builtin_inff()));
  return _mm256_andnot_ps(below, _mm256_blendv_ps(y, infinite, above));
}

// TanhF of each lane.
SHOAL_TARGET_AVX2 inline __m256 Tanh8(__m256 x) {
  using namespace tanh_constants;
  const __m256 sign_bit = _mm256_set1_ps(-0.0F);
  const __m256 one = _mm256_set1_ps(1.0F);
  const __m256 z = _mm256_andnot_ps(sign_bit, x);
  const __m256 w = _mm256_mul_ps(z, z);
  __m256 p = _mm256_set1_ps(kC4);
  p = _mm256_fmadd_ps(p, w, _mm256_set1_ps(kC3));
  p = _mm256_fmadd_ps(p, w, _mm256_set1_ps(kC2));
  p = _mm256_fmadd_ps(p, w, _mm256_set1_ps(kC1));
  p = _mm256_fmadd_ps(p, w, _mm256_set1_ps(kC0));
  const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(z, w), p, z);
  const __m256 divisor = _mm256_add_ps(Exp8(_mm256_add_ps(z, z)), one);
  const __m256 large = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0F), divisor));
  const __m256 is_small = _mm256_cmp_ps(z, _mm256_set1_ps(kSmall), _CMP_LE_OQ);
  const __m256 y = _mm256_blendv_ps(large, small, is_small);
  return _mm256_or_ps(_mm256_andnot_ps(sign_bit, y), _mm256_and_ps(sign_bit, x));
}

// The sum of 16 partial sums, by the tree of kernel_table.h.
SHOAL_TARGET_AVX2 inline float SumOfPartials(__m256 partial0to7, __m256 partial8to15) {
  const __m256 s = _mm256_add_ps(partial0to7, partial8to15);
  const __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  const __m128 u = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(u, _mm_movehdup_ps(u)));
}

}  // namespace shoal::kernels::avx2

#endif
