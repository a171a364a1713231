// The two intrinsics that AVX-VNNI adds to AVX2, as loops over lanes, so that its kernels are
// tested on any CPU with AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace shoal::kernels::emulation {

// Each 32-bit lane of `sums` plus the products of its lanes of A in a and of B in b.
template <typename A, typename B>
__attribute__((target("avx2"))) inline __m256i AddDots(__m256i sums, __m256i a, __m256i b) {
  constexpr int kPerLane = 4 / sizeof(A);
  A left[8 * kPerLane];
  B right[8 * kPerLane];
  int32_t lanes[8];
  std::memcpy(left, &a, sizeof(left));
  std::memcpy(right, &b, sizeof(right));
  std::memcpy(lanes, &sums, sizeof(lanes));
  for (int i = 0; i < 8 * kPerLane; ++i) lanes[i / kPerLane] += left[i] * right[i];
  std::memcpy(&sums, lanes, sizeof(sums));
  return sums;
}

}  // namespace shoal::kernels::emulation

#define _mm256_dpbusd_avx_epi32(sums, a, b) \
  (::shoal::kernels::emulation::AddDots<uint8_t, int8_t>(sums, a, b))
#define _mm256_dpwssd_avx_epi32(sums, a, b) \
  (::shoal::kernels::emulation::AddDots<int16_t, int16_t>(sums, a, b))
