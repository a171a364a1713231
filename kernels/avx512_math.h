// ExpF, TanhF and the fixed sum of 16 partial sums, 16 lanes at a time, and masks for what is left
// of a row. For the avx512vnni_*.cc files only.
#pragma once

#include <cstdint>

#include "kernels/avx512_intrinsics.h"
#include "kernels/exp_constants.h"
#include "kernels/tanh_constants.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx512vnni {

// The first `count` lanes; all 16 if there are more.
inline __mmask16 FirstLanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1 << count) - 1);
}

// ExpF of each lane.
SHOAL_TARGET_AVX512 inline __m512 Exp16(__m512 x) {
  using namespace exp_constants;
  const __m512 magic = _mm512_set1_ps(kMagic);
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(kLog2E), magic);
  const __m512 n = _mm512_sub_ps(t, magic);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kLn2High), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(kLn2Low), r);
  __m512 p = _mm512_set1_ps(kC6);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kC5));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kC4));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kC3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kC2));
  p = _mm512_fmadd_ps(p, r, one);
  p = _mm512_fmadd_ps(p, r, one);
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
  const __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
  const __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kMaxX), _CMP_NLE_UQ);
  const __mmask16 not_below = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kMinX), _CMP_NLT_UQ);
  const __m512 infinite = _mm512_add_ps(x, _mm512_set1_ps(__builtin_inff()));
  return _mm512_maskz_mov_ps(not_below, _mm512_mask_mov_ps(y, above, infinite));
}

// TanhF of each lane.
SHOAL_TARGET_AVX512 inline __m512 Tanh16(__m512 x) {
  using namespace tanh_constants;
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 z = _mm512_abs_ps(x);
  const __m512 w = _mm512_mul_ps(z, z);
  __m512 p = _mm512_set1_ps(kC4);
  p = _mm512_fmadd_ps(p, w, _mm512_set1_ps(kC3));
  p = _mm512_fmadd_ps(p, w, _mm512_set1_ps(kC2));
  p = _mm512_fmadd_ps(p, w, _mm512_set1_ps(kC1));
  p = _mm512_fmadd_ps(p, w, _mm512_set1_ps(kC0));
  const __m512 small = _mm512_fmadd_ps(_mm512_mul_ps(z, w), p, z);
  const __m512 divisor = _mm512_add_ps(Exp16(_mm512_add_ps(z, z)), one);
  const __m512 large = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0F), divisor));
  const __mmask16 is_small = _mm512_cmp_ps_mask(z, _mm512_set1_ps(kSmall), _CMP_LE_OQ);
  const __m512 y = _mm512_mask_mov_ps(large, is_small, small);  // not negative, or NaN
  return _mm512_or_ps(y, _mm512_and_ps(x, _mm512_set1_ps(-0.0F)));
}

// The sum of 16 partial sums, by the tree of kernel_table.h.
SHOAL_TARGET_AVX512 inline float SumOfPartials(__m512 partial) {
  const __m512 s = _mm512_add_ps(partial, _mm512_shuffle_f32x4(partial, partial, 0x4E));
  const __m128 t = _mm512_castps512_ps128(_mm512_add_ps(s, _mm512_shuffle_f32x4(s, s, 0xB1)));
  const __m128 u = _mm_add_ps(t, _mm_movehl_ps(t, t));
  return _mm_cvtss_f32(_mm_add_ss(u, _mm_shuffle_ps(u, u, 0x55)));
}

}  // namespace shoal::kernels::avx512vnni

#endif
