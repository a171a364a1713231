// AVX-512 intrinsics in portable C++, so that the AVX-512 kernels are tested on any x86-64 CPU.
//
// SIMDe gives most of them. This file replaces its fused multiply-adds, which round twice, and adds
// what SIMDe 0.7.4 lacks. Every addition is a plain loop over lanes. Not for use beside
// <immintrin.h> in one translation unit.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/quant_formats.h"

using __mmask8 = simde__mmask8;
using __mmask16 = simde__mmask16;
using __mmask32 = simde__mmask32;
using __mmask64 = simde__mmask64;
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC

namespace shoal::kernels::emulation {

// The lanes of a vector register.
template <typename T, int count>
struct Lanes {
  T lane[count];

  static constexpr int kCount = count;
  static Lanes From(const void* bits) {
    Lanes lanes;
    std::memcpy(&lanes, bits, sizeof(Lanes));
    return lanes;
  }
  template <typename Vector>
  Vector As() const {
    static_assert(sizeof(Vector) == sizeof(Lanes));
    Vector vector;
    std::memcpy(&vector, this, sizeof(Vector));
    return vector;
  }
};

template <typename T, typename Vector>
Lanes<T, sizeof(Vector) / sizeof(T)> LanesOf(const Vector& vector) {
  return Lanes<T, sizeof(Vector) / sizeof(T)>::From(&vector);
}

// sign_product * a * b + sign_addend * c in one rounding.
template <typename Vector>
Vector Fma(Vector a, Vector b, Vector c, float sign_product, float sign_addend) {
  auto x = LanesOf<float>(a);
  const auto y = LanesOf<float>(b);
  const auto z = LanesOf<float>(c);
  for (int i = 0; i < x.kCount; ++i) {
    x.lane[i] = std::fma(sign_product * x.lane[i], y.lane[i], sign_addend * z.lane[i]);
  }
  return x.template As<Vector>();
}

// Every lane of From as a lane of To.
template <typename To, typename From, typename ToVector, typename FromVector>
ToVector Convert(const FromVector& vector) {
  const auto from = LanesOf<From>(vector);
  Lanes<To, sizeof(ToVector) / sizeof(To)> to;
  static_assert(to.kCount == from.kCount);
  for (int i = 0; i < to.kCount; ++i) to.lane[i] = static_cast<To>(from.lane[i]);
  return to.template As<ToVector>();
}

template <typename ToVector, typename FromVector>
ToVector HalvesToFloats(const FromVector& vector) {
  const auto from = LanesOf<uint16_t>(vector);
  Lanes<float, sizeof(ToVector) / sizeof(float)> to;
  for (int i = 0; i < to.kCount; ++i) to.lane[i] = HalfToFloat(from.lane[i]);
  return to.template As<ToVector>();
}

template <typename ToVector, int rounding, typename FromVector>
ToVector FloatsToHalves(const FromVector& vector) {
  static_assert((rounding & ~_MM_FROUND_NO_EXC) == _MM_FROUND_TO_NEAREST_INT);
  const auto from = LanesOf<float>(vector);
  Lanes<uint16_t, sizeof(ToVector) / sizeof(uint16_t)> to;
  for (int i = 0; i < to.kCount; ++i) to.lane[i] = FloatToHalf(from.lane[i]);
  return to.template As<ToVector>();
}

// The lanes of `mask` from memory, zero elsewhere; only those lanes are touched.
template <typename T, typename Vector>
Vector MaskLoad(uint64_t mask, const void* from) {
  Lanes<T, sizeof(Vector) / sizeof(T)> lanes{};
  for (int i = 0; i < lanes.kCount; ++i) {
    if (mask >> i & 1) {
      std::memcpy(&lanes.lane[i], static_cast<const T*>(from) + i, sizeof(T));
    }
  }
  return lanes.template As<Vector>();
}

template <typename T, typename Vector>
void MaskStore(void* to, uint64_t mask, const Vector& vector) {
  const auto lanes = LanesOf<T>(vector);
  for (int i = 0; i < lanes.kCount; ++i) {
    if (mask >> i & 1) std::memcpy(static_cast<T*>(to) + i, &lanes.lane[i], sizeof(T));
  }
}

inline __m512i RoundToInt(const __m512& vector) {
  const auto from = LanesOf<float>(vector);
  Lanes<int32_t, 16> to;
  for (int i = 0; i < 16; ++i) {
    const float rounded = std::nearbyint(from.lane[i]);
    const bool fits = rounded >= -2147483648.0f && rounded < 2147483648.0f;
    to.lane[i] = fits ? static_cast<int32_t>(rounded) : INT32_MIN;
  }
  return to.As<__m512i>();
}

inline float ReduceMax(const __m512& vector) {
  const auto lanes = LanesOf<float>(vector);
  float max = lanes.lane[0];
  for (const float value : lanes.lane) max = value > max ? value : max;
  return max;
}

inline int32_t ReduceAdd(const __m512i& vector) {
  uint32_t sum = 0;
  for (const uint32_t value : LanesOf<uint32_t>(vector).lane) sum += value;
  return static_cast<int32_t>(sum);
}

// SIMDe 0.7.4 lacks this one.
inline __m512i ShiftRightSigned(const __m512i& vector, int count) {
  auto lanes = LanesOf<int32_t>(vector);
  for (int32_t& lane : lanes.lane) lane >>= count;
  return lanes.As<__m512i>();
}

// The 128-bit parts a[s0], a[s1], b[s2], b[s3], where s is the 2-bit fields of `select`.
template <typename Vector>
Vector ShuffleQuarters(const Vector& a, const Vector& b, int select) {
  Vector out;
  for (int i = 0; i < 4; ++i) {
    const char* from = reinterpret_cast<const char*>(i < 2 ? &a : &b);
    std::memcpy(reinterpret_cast<char*>(&out) + 16 * i, from + 16 * (select >> 2 * i & 3), 16);
  }
  return out;
}

// out[i] = a[i / 2 * 2 + odd]
inline __m512 DuplicateOfPairs(const __m512& vector, int odd) {
  auto lanes = LanesOf<float>(vector);
  const auto from = lanes;
  for (int i = 0; i < 16; ++i) lanes.lane[i] = from.lane[i / 2 * 2 + odd];
  return lanes.As<__m512>();
}

}  // namespace shoal::kernels::emulation

// Fused multiply-adds: SIMDe's round the product.
#undef _mm_fmadd_ps
#undef _mm256_fmadd_ps
#undef _mm512_fmadd_ps
#undef _mm512_fmsub_ps
#undef _mm512_fnmadd_ps
#define _mm_fmadd_ps(a, b, c) ::shoal::kernels::emulation::Fma<__m128>(a, b, c, 1, 1)
#define _mm256_fmadd_ps(a, b, c) ::shoal::kernels::emulation::Fma<__m256>(a, b, c, 1, 1)
#define _mm512_fmadd_ps(a, b, c) ::shoal::kernels::emulation::Fma<__m512>(a, b, c, 1, 1)
#define _mm512_fmsub_ps(a, b, c) ::shoal::kernels::emulation::Fma<__m512>(a, b, c, 1, -1)
#define _mm512_fnmadd_ps(a, b, c) ::shoal::kernels::emulation::Fma<__m512>(a, b, c, -1, 1)

// Half precision.
#undef _mm256_cvtph_ps
#undef _mm256_cvtps_ph
#define _mm256_cvtph_ps(a) (::shoal::kernels::emulation::HalvesToFloats<__m256, __m128i>(a))
#define _mm512_cvtph_ps(a) (::shoal::kernels::emulation::HalvesToFloats<__m512, __m256i>(a))
#define _mm256_cvtps_ph(a, rounding) \
  (::shoal::kernels::emulation::FloatsToHalves<__m128i, rounding>(a))
#define _mm512_cvtps_ph(a, rounding) \
  (::shoal::kernels::emulation::FloatsToHalves<__m256i, rounding>(a))

// Masked loads and stores.
#define _mm512_maskz_loadu_ps(mask, from) \
  (::shoal::kernels::emulation::MaskLoad<float, __m512>(mask, from))
#define _mm512_maskz_loadu_epi32(mask, from) \
  (::shoal::kernels::emulation::MaskLoad<int32_t, __m512i>(mask, from))
#define _mm512_maskz_loadu_epi8(mask, from) \
  (::shoal::kernels::emulation::MaskLoad<int8_t, __m512i>(mask, from))
#define _mm_maskz_loadu_epi8(mask, from) \
  (::shoal::kernels::emulation::MaskLoad<int8_t, __m128i>(mask, from))
#define _mm256_maskz_loadu_epi16(mask, from) \
  (::shoal::kernels::emulation::MaskLoad<int16_t, __m256i>(mask, from))
#define _mm512_mask_storeu_ps(to, mask, a) \
  (::shoal::kernels::emulation::MaskStore<float, __m512>(to, mask, a))
#define _mm512_mask_storeu_epi32(to, mask, a) \
  (::shoal::kernels::emulation::MaskStore<int32_t, __m512i>(to, mask, a))
#define _mm256_mask_storeu_epi16(to, mask, a) \
  (::shoal::kernels::emulation::MaskStore<int16_t, __m256i>(to, mask, a))
#define _mm_mask_storeu_epi8(to, mask, a) \
  (::shoal::kernels::emulation::MaskStore<int8_t, __m128i>(to, mask, a))

// Conversions between integer widths and to and from float.
#define _mm512_cvtps_epi32(a) (::shoal::kernels::emulation::RoundToInt(a))
#define _mm512_cvtepi32_ps(a) \
  (::shoal::kernels::emulation::Convert<float, int32_t, __m512, __m512i>(a))
#define _mm512_cvtepi32_epi8(a) \
  (::shoal::kernels::emulation::Convert<int8_t, int32_t, __m128i, __m512i>(a))
#define _mm512_cvtepi32_epi16(a) \
  (::shoal::kernels::emulation::Convert<int16_t, int32_t, __m256i, __m512i>(a))
#define _mm512_cvtepi8_epi32(a) \
  (::shoal::kernels::emulation::Convert<int32_t, int8_t, __m512i, __m128i>(a))
#define _mm512_cvtepu8_epi32(a) \
  (::shoal::kernels::emulation::Convert<int32_t, uint8_t, __m512i, __m128i>(a))
#define _mm512_cvtepi16_epi32(a) \
  (::shoal::kernels::emulation::Convert<int32_t, int16_t, __m512i, __m256i>(a))
#define _mm512_cvtepu16_epi32(a) \
  (::shoal::kernels::emulation::Convert<int32_t, uint16_t, __m512i, __m256i>(a))
#define _mm512_cvtepu8_epi16(a) \
  (::shoal::kernels::emulation::Convert<int16_t, uint8_t, __m512i, __m256i>(a))

// Reductions, shifts and shuffles.
#define _mm512_srai_epi32(a, count) (::shoal::kernels::emulation::ShiftRightSigned(a, count))
#define _mm512_reduce_max_ps(a) (::shoal::kernels::emulation::ReduceMax(a))
#define _mm512_reduce_add_epi32(a) (::shoal::kernels::emulation::ReduceAdd(a))
#define _mm512_shuffle_f32x4(a, b, select) \
  (::shoal::kernels::emulation::ShuffleQuarters<__m512>(a, b, select))
#undef _mm512_shuffle_i32x4
#define _mm512_shuffle_i32x4(a, b, select) \
  (::shoal::kernels::emulation::ShuffleQuarters<__m512i>(a, b, select))
#define _mm512_moveldup_ps(a) (::shoal::kernels::emulation::DuplicateOfPairs(a, 0))
#define _mm512_movehdup_ps(a) (::shoal::kernels::emulation::DuplicateOfPairs(a, 1))
