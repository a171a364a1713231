// ExpF, TanhF and the fixed sum of 16 partial sums, four lanes at a time, and loads of halves. For
// the neon_*.cc files only.
#pragma once

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "kernels/exp_constants.h"
#include "kernels/tanh_constants.h"

namespace shoal::kernels::neon {

// Four f16 or f32 values as floats.
inline float32x4_t Load4(const uint16_t* from) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
}
inline float32x4_t Load4(const float* from) { return vld1q_f32(from); }

// ExpF of each lane.
inline float32x4_t Exp4(float32x4_t x) {
  using namespace exp_constants;
  const float32x4_t magic = vdupq_n_f32(kMagic);
  const float32x4_t one = vdupq_n_f32(1.0F);
  const float32x4_t t = vfmaq_f32(magic, x, vdupq_n_f32(kLog2E));
  const float32x4_t n = vsubq_f32(t, magic);
  float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(kLn2High));
  r = vfmsq_f32(r, n, vdupq_n_f32(kLn2Low));
  float32x4_t p = vdupq_n_f32(kC6);
  p = vfmaq_f32(vdupq_n_f32(kC5), p, r);
  p = vfmaq_f32(vdupq_n_f32(kC4), p, r);
  p = vfmaq_f32(vdupq_n_f32(kC3), p, r);
  p = vfmaq_f32(vdupq_n_f32(kC2), p, r);
  p = vfmaq_f32(one, p, r);
  p = vfmaq_f32(one, p, r);
  const int32x4_t exponent = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
  const float32x4_t y = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
  const uint32x4_t not_above = vcleq_f32(x, vdupq_n_f32(kMaxX));  // false for NaN
  const uint32x4_t below = vcltq_f32(x, vdupq_n_f32(kMinX));
  const float32x4_t infinite = vaddq_f32(x, vdupq_n_f32(__builtin_inff()));
  const uint32x4_t bits = vreinterpretq_u32_f32(vbslq_f32(not_above, y, infinite));
  return vreinterpretq_f32_u32(vbicq_u32(bits, below));
}

// TanhF of each lane.
inline float32x4_t Tanh4(float32x4_t x) {
  using namespace tanh_constants;
  const float32x4_t one = vdupq_n_f32(1.0F);
  const float32x4_t z = vabsq_f32(x);
  const float32x4_t w = vmulq_f32(z, z);
  float32x4_t p = vdupq_n_f32(kC4);
  p = vfmaq_f32(vdupq_n_f32(kC3), p, w);
  p = vfmaq_f32(vdupq_n_f32(kC2), p, w);
  p = vfmaq_f32(vdupq_n_f32(kC1), p, w);
  p = vfmaq_f32(vdupq_n_f32(kC0), p, w);
  const float32x4_t small = vfmaq_f32(z, vmulq_f32(z, w), p);
  const float32x4_t exp = Exp4(vaddq_f32(z, z));
  const float32x4_t large = vsubq_f32(one, vdivq_f32(vdupq_n_f32(2.0F), vaddq_f32(exp, one)));
  const float32x4_t magnitude = vbslq_f32(vcleq_f32(z, vdupq_n_f32(kSmall)), small, large);
  return vbslq_f32(vdupq_n_u32(0x80000000U), x, magnitude);
}

// The sum of 16 partial sums, by the tree of kernel_table.h.
inline float SumOfPartials(float32x4_t partial0, float32x4_t partial4, float32x4_t partial8,
                           float32x4_t partial12) {
  const float32x4_t t = vaddq_f32(vaddq_f32(partial0, partial8), vaddq_f32(partial4, partial12));
  return vpadds_f32(vadd_f32(vget_low_f32(t), vget_high_f32(t)));
}

}  // namespace shoal::kernels::neon

#endif
