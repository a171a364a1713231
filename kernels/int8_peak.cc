#include "kernels/int8_peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace shoal::kernels {

namespace {

constexpr int kChains = 8;  // independent sums, so that latency does not count

// The body of a function of `rounds`, whose attribute says what `product` of x and sum may use.
// Each product stands for itself, as x may have changed before it, and sums stay in registers.
#define SHOAL_MULTIPLY(Sum, X, ones, register_class, product, macs) \
  Sum sums[kChains] = {};                                           \
  X x = ones;                                                       \
  for (int64_t i = 0; i < rounds; ++i) {                            \
    _Pragma("GCC unroll 8") for (Sum & sum : sums) {                \
      __asm__ volatile("" : "+" register_class(x));                 \
      sum = product;                                                \
      __asm__ volatile("" : "+" register_class(sum));               \
    }                                                               \
  }                                                                 \
  return rounds * kChains * (macs)

int64_t MultiplyScalar(int64_t rounds) { SHOAL_MULTIPLY(int32_t, int32_t, 1, "r", sum + x * x, 1); }

#if defined(__x86_64__)

__attribute__((target("avx2"))) int64_t MultiplyAvx2(int64_t rounds) {
  SHOAL_MULTIPLY(__m256i, __m256i, _mm256_set1_epi8(1), "x",
                 _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, x)), 32);
}

__attribute__((target("avxvnni"))) int64_t MultiplyAvxVnni(int64_t rounds) {
  SHOAL_MULTIPLY(__m256i, __m256i, _mm256_set1_epi32(1), "x", _mm256_dpbusd_avx_epi32(sum, x, x),
                 32);
}

__attribute__((target("avx512f,avx512vnni"))) int64_t MultiplyVnni(int64_t rounds) {
  SHOAL_MULTIPLY(__m512i, __m512i, _mm512_set1_epi32(1), "v", _mm512_dpbusd_epi32(sum, x, x), 64);
}

#elif defined(__aarch64__)

int64_t MultiplyNeon(int64_t rounds) {
  SHOAL_MULTIPLY(int16x8_t, int8x8_t, vdup_n_s8(1), "w", vmlal_s8(sum, x, x), 8);
}

__attribute__((target("arch=armv8.2-a+dotprod"))) int64_t MultiplyDotProd(int64_t rounds) {
  SHOAL_MULTIPLY(int32x4_t, int8x16_t, vdupq_n_s8(1), "w", vdotq_s32(sum, x, x), 16);
}

__attribute__((target("arch=armv8.2-a+i8mm"))) int64_t MultiplyI8mm(int64_t rounds) {
  SHOAL_MULTIPLY(int32x4_t, int8x16_t, vdupq_n_s8(1), "w", vmmlaq_s32(sum, x, x), 32);
}

#endif

#undef SHOAL_MULTIPLY

}  // namespace

int64_t MultiplyInt8(Isa isa, int64_t rounds) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2: return MultiplyAvx2(rounds);
    case Isa::kAvxVnni: return MultiplyAvxVnni(rounds);
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
