// The AVX2 matrix product of F32, F16 and BF16 weights, and the store that avx2_matmul.cc shares
// with it. For these two files only.
#pragma once

#if defined(__x86_64__)

#include <cstdint>

#include "kernels/avx2_intrinsics.h"
#include "kernels/kernel_table.h"

namespace shoal::kernels::avx2 {

// MatMul of packed weights of those types. x [tokens, cols].
void MultiplyF32(const WeightMatrix& weights, const float* x, int64_t tokens, int64_t row_begin,
                 int64_t row_end, float* out, int64_t out_stride);

// Writes the first `rows` (1..16) of 16 outputs.
SHOAL_TARGET_AVX2 static inline void StoreRows(__m256 first, __m256 second, int64_t rows,
                                               float* out) {
  if (rows == kRowUnit) {
    _mm256_storeu_ps(out, first);
    _mm256_storeu_ps(out + 8, second);
    return;
  }
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i count = _mm256_set1_epi32(static_cast<int>(rows));
  _mm256_maskstore_ps(out, _mm256_cmpgt_epi32(count, lane), first);
  const __m256i upper = _mm256_add_epi32(lane, _mm256_set1_epi32(8));
  _mm256_maskstore_ps(out + 8, _mm256_cmpgt_epi32(count, upper), second);
}

}  // namespace shoal::kernels::avx2

#endif
