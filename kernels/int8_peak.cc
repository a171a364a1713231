#include "kernels/int8_peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace shoal::kernels {

namespace {

constexpr int kChains = 8;  // independent sums, so that latency does not count

int64_t MultiplyScalar(int64_t rounds) {
  int32_t sums[kChains] = {};
  int32_t weight = 1;
  for (int64_t i = 0; i < rounds; ++i) {
    for (int32_t& sum : sums) {
      __asm__ volatile("" : "+r"(weight));
      sum += weight * weight;
    }
  }
  for (int32_t& sum : sums) __asm__ volatile("" : "+r"(sum));
  return rounds * kChains;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) int64_t MultiplyAvx2(int64_t rounds) {
  __m256i sums[kChains] = {};
  __m256i weights = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      __asm__ volatile("" : "+x"(weights));  // else one product would do for all
      sums[c] = _mm256_add_epi16(sums[c], _mm256_maddubs_epi16(weights, weights));
      __asm__ volatile("" : "+x"(sums[c]));
    }
  }
  return rounds * kChains * 32;
}

__attribute__((target("avx512f,avx512vnni"))) int64_t MultiplyVnni(int64_t rounds) {
  __m512i sums[kChains] = {};
  __m512i weights = _mm512_set1_epi32(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      __asm__ volatile("" : "+v"(weights));  // else one product would do for all
      sums[c] = _mm512_dpbusd_epi32(sums[c], weights, weights);
      __asm__ volatile("" : "+v"(sums[c]));
    }
  }
  return rounds * kChains * 64;
}

#elif defined(__aarch64__)

int64_t MultiplyNeon(int64_t rounds) {
  int16x8_t sums[kChains] = {};
  int8x8_t weights = vdup_n_s8(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      __asm__ volatile("" : "+w"(weights));  // else one product would do for all
      sums[c] = vmlal_s8(sums[c], weights, weights);
      __asm__ volatile("" : "+w"(sums[c]));
    }
  }
  return rounds * kChains * 8;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) int64_t MultiplyDotProd(int64_t rounds) {
  int32x4_t sums[kChains] = {};
  int8x16_t weights = vdupq_n_s8(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      __asm__ volatile("" : "+w"(weights));  // else one product would do for all
      sums[c] = vdotq_s32(sums[c], weights, weights);
      __asm__ volatile("" : "+w"(sums[c]));
    }
  }
  return rounds * kChains * 16;
}

__attribute__((target("arch=armv8.2-a+i8mm"))) int64_t MultiplyI8mm(int64_t rounds) {
  int32x4_t sums[kChains] = {};
  int8x16_t weights = vdupq_n_s8(1);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
      __asm__ volatile("" : "+w"(weights));  // else one product would do for all
      sums[c] = vmmlaq_s32(sums[c], weights, weights);
      __asm__ volatile("" : "+w"(sums[c]));
    }
  }
  return rounds * kChains * 32;
}

#endif

}  // namespace

int64_t MultiplyInt8(Isa isa, int64_t rounds) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2: return MultiplyAvx2(rounds);
    case Isa::kAvx512Vnni: return MultiplyVnni(rounds);
#elif defined(__aarch64__)
    case Isa::kNeon: return MultiplyNeon(rounds);
    case Isa::kDotProd: return MultiplyDotProd(rounds);
    case Isa::kI8mm: return MultiplyI8mm(rounds);
#endif
    default: return MultiplyScalar(rounds);
  }
}

}  // namespace shoal::kernels
