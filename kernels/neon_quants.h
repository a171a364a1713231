// Packed int8 weights as NEON vectors, for the AArch64 matrix products only: the operations that
// kernels/packed_quants.inc is written in, and what it makes of them. A vector holds the 4 bytes of
// one piece for each of 4 rows.
#pragma once

#if defined(__aarch64__)

#include <arm_neon.h>

#include <algorithm>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/neon_math.h"
#include "kernels/packed_layout.h"

namespace shoal::kernels::neon {

#define SHOAL_TARGET

using Ints = int8x16_t;
using Floats = float32x4_t;
constexpr int kVectors = 4;
constexpr int kVectorBytes = 16;
constexpr bool kMultipliesSigned = true;

inline Ints Bytes(int16x8_t a) { return vreinterpretq_s8_s16(a); }
inline Ints Bytes(uint16x8_t a) { return vreinterpretq_s8_u16(a); }
inline Ints Bytes(int32x4_t a) { return vreinterpretq_s8_s32(a); }
inline Ints Bytes(uint32x4_t a) { return vreinterpretq_s8_u32(a); }

inline Ints LoadInts(const std::byte* from) {
  return vld1q_s8(reinterpret_cast<const int8_t*>(from));
}
inline Floats LoadHalves(const std::byte* from) {
  return Load4(reinterpret_cast<const uint16_t*>(from));
}
inline Floats LoadFloats(const float* from) { return vld1q_f32(from); }
inline Ints LoadUnsigned8(const std::byte* from) {
  uint32_t four;
  __builtin_memcpy(&four, from, sizeof(four));
  const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
  return Bytes(vmovl_u16(vget_low_u16(wide)));
}
inline Ints LoadUnsigned16(const std::byte* from) {
  return Bytes(vmovl_u16(vld1_u16(reinterpret_cast<const uint16_t*>(from))));
}
inline Ints Repeat16(const int8_t (&bytes)[16]) { return vld1q_s8(bytes); }
inline Ints EachByte(int value) { return vdupq_n_s8(static_cast<int8_t>(value)); }
inline Ints EachInt(int32_t value) { return Bytes(vdupq_n_s32(value)); }
inline Ints And(Ints a, Ints b) { return vandq_s8(a, b); }
inline Ints Or(Ints a, Ints b) { return vorrq_s8(a, b); }
inline Ints FlipSigns(Ints a) { return veorq_s8(a, EachByte(-128)); }
inline Ints AddBytes(Ints a, Ints b) { return vaddq_s8(a, b); }
inline Ints Minus(Ints a, Ints b) {
  return Bytes(vsubq_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
// Indices from 16 give 0.
inline Ints Shuffle(Ints a, Ints order) { return vqtbl1q_s8(a, vreinterpretq_u8_s8(order)); }
inline Ints ShiftRight16(Ints a, int n) {
  return Bytes(vshlq_u16(vreinterpretq_u16_s8(a), vdupq_n_s16(static_cast<int16_t>(-n))));
}
inline Ints ShiftRight32(Ints a, int n) {
  return Bytes(vshlq_u32(vreinterpretq_u32_s8(a), vdupq_n_s32(-n)));
}
inline Ints ShiftLeft32(Ints a, int n) {
  return Bytes(vshlq_u32(vreinterpretq_u32_s8(a), vdupq_n_s32(n)));
}
inline Ints ShiftLeft32Each(Ints a, Ints n) {
  return Bytes(vshlq_u32(vreinterpretq_u32_s8(a), vreinterpretq_s32_s8(n)));
}
inline Ints SignedShiftRight16(Ints a, int n) {
  return Bytes(vshlq_s16(vreinterpretq_s16_s8(a), vdupq_n_s16(static_cast<int16_t>(-n))));
}
inline Ints WhereBits(Ints a, Ints bits, Ints value) {
  return vandq_s8(vreinterpretq_s8_u8(vceqq_s8(vandq_s8(a, bits), bits)), value);
}
inline Ints WhereAbove(Ints a, Ints limit, Ints above, Ints below) {
  const uint32x4_t is_above = vcgtq_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(limit));
  return vbslq_s8(vreinterpretq_u8_u32(is_above), above, below);
}
inline Floats AsFloats(Ints a) { return vreinterpretq_f32_s8(a); }

#include "kernels/packed_quants.inc"

#undef SHOAL_TARGET

// The weights k = 32 run + 4 p to + 3 of a block's rows 4 v to 4 v + 3.
template <TensorType kType>
inline Ints Weights(const std::byte* record, int run, int p, int v) {
  const Ints quants = Quants<kType>(record, run / 4, run % 4, p, v);
  constexpr int kOffset = kShape<kType>.offset;
  return kOffset == 0 ? quants : vsubq_s8(quants, EachByte(kOffset));
}

// The largest of their absolute values.
template <TensorType kType>
constexpr int kLargestWeight = kShape<kType>.largest == 0
                                   ? 128
                                   : std::max(kShape<kType>.offset,
                                              kShape<kType>.largest - kShape<kType>.offset);

}  // namespace shoal::kernels::neon

#endif
