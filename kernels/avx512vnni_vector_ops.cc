// Everything but products and attention, for AVX-512. Loops take what is left of a row by masks.
#include "kernels/avx512_math.h"
#include "kernels/avx512vnni.h"
#include "kernels/kv_page.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx512vnni {

namespace {

constexpr int64_t kLanes = 16;

// x * inverse rounded into [-127, 127], stored as bytes; NaN gives -127. Returns the values' sum.
SHOAL_TARGET_AVX512 inline int32_t Quantize16(const float* x, float inverse, int8_t* values) {
  const __m512 value = _mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse));
  const __m512 low = _mm512_max_ps(value, _mm512_set1_ps(-127.0F));
  const __m512i rounded = _mm512_cvtps_epi32(_mm512_min_ps(low, _mm512_set1_ps(127.0F)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(values), _mm512_cvtepi32_epi8(rounded));
  return _mm512_reduce_add_epi32(rounded);
}

// The largest |x| of `count` values, a multiple of 16; NaN is passed over.
SHOAL_TARGET_AVX512 inline float LargestOf(const float* x, int64_t count) {
  __m512 largest = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += kLanes) {
    largest = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i)), largest);
  }
  return _mm512_reduce_max_ps(largest);
}

inline float InverseScale(float largest) {
  return largest >= kSmallestQuantized ? 127.0F / largest : 0.0F;
}

// What Map does to each vector of x and y.
struct AddOp {
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 y) const {
    return _mm512_add_ps(x, y);
  }
};

struct AddScaledOp {
  __m512 factor;
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 y) const {
    return _mm512_fmadd_ps(factor, y, x);
  }
};

struct MultiplyOp {
  __m512 factor;
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 /*y*/) const {
    return _mm512_mul_ps(x, factor);
  }
};

struct SoftCapOp {
  __m512 cap;
  __m512 inverse;
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 /*y*/) const {
    return _mm512_mul_ps(Tanh16(_mm512_mul_ps(x, inverse)), cap);
  }
};

struct SoftmaxNumeratorOp {
  __m512 max;
  __m512 temperature;
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 /*y*/) const {
    return Exp16(_mm512_div_ps(_mm512_sub_ps(x, max), temperature));
  }
};

// x / (1 + e^-(slope * x)), slope being 1 for SiLU.
SHOAL_TARGET_AVX512 inline __m512 Swish(__m512 x, __m512 slope_times_x) {
  const __m512 exp = Exp16(_mm512_xor_ps(slope_times_x, _mm512_set1_ps(-0.0F)));
  return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0F), exp));
}

struct SiluMultiplyOp {
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 gate, __m512 up) const {
    return _mm512_mul_ps(Swish(gate, gate), up);
  }
};

struct GeluOp {
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 x, __m512 /*y*/) const {
    const __m512 cubic = _mm512_mul_ps(x, _mm512_set1_ps(kGeluCubic));
    const __m512 inner = _mm512_fmadd_ps(cubic, x, _mm512_set1_ps(1.0F));
    const __m512 linear = _mm512_mul_ps(x, _mm512_set1_ps(kGeluLinear));
    const __m512 half = _mm512_mul_ps(_mm512_set1_ps(0.5F), x);
    return _mm512_fmadd_ps(half, Tanh16(_mm512_mul_ps(linear, inner)), half);
  }
};

struct GeluMultiplyOp {
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 gate, __m512 up) const {
    return _mm512_mul_ps(GeluOp()(gate, up), up);
  }
};

struct ClampedSwigluOp {
  SHOAL_TARGET_AVX512 inline __m512 operator()(__m512 gate, __m512 up) const {
    const __m512 limit = _mm512_set1_ps(kSwigluLimit);
    const __m512 g = _mm512_min_ps(gate, limit);
    const __m512 u = _mm512_min_ps(_mm512_max_ps(up, _mm512_set1_ps(-kSwigluLimit)), limit);
    const __m512 swish = Swish(g, _mm512_mul_ps(g, _mm512_set1_ps(kSwigluSlope)));
    return _mm512_mul_ps(swish, _mm512_add_ps(u, _mm512_set1_ps(1.0F)));
  }
};

// x[i] = op(x[i], y[i]); `y` may be `x`.
template <typename Op>
SHOAL_TARGET_AVX512 inline void Map(float* x, const float* y, int64_t n, Op op) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 result =
        op(_mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i));
    _mm512_mask_storeu_ps(x + i, mask, result);
  }
}

// The sum of x[i] - mean, or of its squares, by the 16 partial sums.
template <bool kSquares>
SHOAL_TARGET_AVX512 inline float SumOfDifferences(const float* x, int64_t n, __m512 mean) {
  __m512 partial = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 value = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), mean);
    const __m512 difference = _mm512_maskz_mov_ps(mask, value);
    partial = kSquares ? _mm512_fmadd_ps(difference, difference, partial)
                       : _mm512_add_ps(partial, difference);
  }
  return SumOfPartials(partial);
}

// Up to 16 pairs (a, b) by as many angles.
SHOAL_TARGET_AVX512 inline void Rotate16(float* a, float* b, const float* cos, const float* sin,
                                         int64_t pairs) {
  const __mmask16 mask = FirstLanes(pairs);
  const __m512 x = _mm512_maskz_loadu_ps(mask, a);
  const __m512 y = _mm512_maskz_loadu_ps(mask, b);
  const __m512 c = _mm512_maskz_loadu_ps(mask, cos);
  const __m512 s = _mm512_maskz_loadu_ps(mask, sin);
  _mm512_mask_storeu_ps(a, mask, _mm512_fmsub_ps(x, c, _mm512_mul_ps(y, s)));
  _mm512_mask_storeu_ps(b, mask, _mm512_fmadd_ps(x, s, _mm512_mul_ps(y, c)));
}

// Up to eight adjacent pairs by as many angles.
SHOAL_TARGET_AVX512 inline void RotateAdjacent8(float* pairs, const float* cos, const float* sin,
                                                int64_t count) {
  constexpr __mmask16 kOdd = 0xAAAA;
  const __mmask16 angles = FirstLanes(count < 8 ? count : 8);
  const __mmask16 values = FirstLanes(2 * count);
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(angles, cos));
  const __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(angles, sin));
  const __m512 x = _mm512_maskz_loadu_ps(values, pairs);  // a0 b0 a1 b1 ...
  // b * sin, negated, for a'; b * cos for b'.
  const __m512 minus_s = _mm512_xor_ps(s, _mm512_set1_ps(-0.0F));
  const __m512 b_part = _mm512_mul_ps(_mm512_movehdup_ps(x), _mm512_mask_mov_ps(minus_s, kOdd, c));
  const __m512 a_factor = _mm512_mask_mov_ps(c, kOdd, s);
  _mm512_mask_storeu_ps(pairs, values, _mm512_fmadd_ps(_mm512_moveldup_ps(x), a_factor, b_part));
}

// Floats into a KV page of halves or floats: all 16, or those of the mask.
SHOAL_TARGET_AVX512 inline __m256i ToHalves(__m512 x) {
  return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SHOAL_TARGET_AVX512 inline void Store16(__m512 x, uint16_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ToHalves(x));
}
SHOAL_TARGET_AVX512 inline void Store16(__m512 x, float* to) { _mm512_storeu_ps(to, x); }
SHOAL_TARGET_AVX512 inline void StoreFirst(__mmask16 mask, __m512 x, uint16_t* to) {
  _mm256_mask_storeu_epi16(to, mask, ToHalves(x));
}
SHOAL_TARGET_AVX512 inline void StoreFirst(__mmask16 mask, __m512 x, float* to) {
  _mm512_mask_storeu_ps(to, mask, x);
}

// store_kv for pages of T.
template <typename T>
SHOAL_TARGET_AVX512 void StoreKvAs(const AttentionShape& shape, const float* k, const float* v,
                                   T* head_page, int32_t slot) {
  const int32_t head_dim = shape.head_dim;
  for (int32_t h = 0; h < shape.kv_heads; ++h) {
    T* to_k = head_page + slot;  // a column
    T* to_v = head_page + int64_t{head_dim} * kKvPageTokens + int64_t{slot} * head_dim;
    for (int32_t d = 0; d < head_dim; d += kLanes) {
      const __mmask16 mask = FirstLanes(head_dim - d);
      alignas(64) T column[kLanes];
      Store16(_mm512_maskz_loadu_ps(mask, k + d), column);
      for (int i = 0; i < kLanes && d + i < head_dim; ++i) {
        to_k[(d + i) * kKvPageTokens] = column[i];
      }
      StoreFirst(mask, _mm512_maskz_loadu_ps(mask, v + d), to_v + d);
    }
    k += head_dim;
    v += head_dim;
    head_page += int64_t{2} * head_dim * kKvPageTokens;
  }
}

}  // namespace

SHOAL_TARGET_AVX512 void QuantizeBy32(const float* x, int64_t cols, int8_t* values, float* scales,
                                      int32_t* sums, float* scaled_sums) {
  for (int64_t b = 0; b < cols / 32; ++b) {
    const float largest = LargestOf(x + b * 32, 32);
    const float inverse = InverseScale(largest);
    scales[b] = largest / 127.0F;
    sums[b] = Quantize16(x + b * 32, inverse, values + b * 32) +
              Quantize16(x + b * 32 + kLanes, inverse, values + b * 32 + kLanes);
    scaled_sums[b] = scales[b] * static_cast<float>(sums[b]);
  }
}

SHOAL_TARGET_AVX512 void QuantizeBy256(const float* x, int64_t cols, int8_t* values, float* scales,
                                       int32_t* sums, int16_t* sums16) {
  for (int64_t b = 0; b < cols / 256; ++b) {
    const float largest = LargestOf(x + b * 256, 256);
    const float inverse = InverseScale(largest);
    scales[b] = largest / 127.0F;
    for (int64_t j = b * 8; j < b * 8 + 8; ++j) {
      const int32_t first = Quantize16(x + j * 32, inverse, values + j * 32);
      const int32_t second = Quantize16(x + j * 32 + kLanes, inverse, values + j * 32 + kLanes);
      sums16[2 * j] = static_cast<int16_t>(first);
      sums16[2 * j + 1] = static_cast<int16_t>(second);
      sums[j] = first + second;
    }
  }
}

SHOAL_TARGET_AVX512 void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon,
                                 float* out) {
  __m512 partial = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += kLanes) {
    const __m512 value = _mm512_maskz_loadu_ps(FirstLanes(n - i), x + i);
    partial = _mm512_fmadd_ps(value, value, partial);  // adding +0 * +0 changes no partial sum
  }
  const float mean = SumOfPartials(partial) / static_cast<float>(n);
  const __m512 inverse = _mm512_set1_ps(1.0F / __builtin_sqrtf(mean + epsilon));
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse);
    const __m512 weights = _mm512_maskz_loadu_ps(mask, weight + i);
    _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(scaled, weights));
  }
}

SHOAL_TARGET_AVX512 void LayerNorm(const float* x, const float* weight, const float* bias,
                                   int64_t n, float epsilon, float* out) {
  const float mean = SumOfDifferences<false>(x, n, _mm512_setzero_ps()) / static_cast<float>(n);
  const __m512 means = _mm512_set1_ps(mean);
  const float variance = SumOfDifferences<true>(x, n, means) / static_cast<float>(n);
  const __m512 inverse = _mm512_set1_ps(1.0F / __builtin_sqrtf(variance + epsilon));
  for (int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 value = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), means);
    const __m512 normed =
        _mm512_fmadd_ps(_mm512_mul_ps(value, inverse), _mm512_maskz_loadu_ps(mask, weight + i),
                        _mm512_maskz_loadu_ps(mask, bias + i));
    _mm512_mask_storeu_ps(out + i, mask, normed);
  }
}

void Add(float* x, const float* y, int64_t n) { Map(x, y, n, AddOp()); }

SHOAL_TARGET_AVX512 void AddScaled(float* x, float factor, const float* y, int64_t n) {
  Map(x, y, n, AddScaledOp{_mm512_set1_ps(factor)});
}

SHOAL_TARGET_AVX512 void Multiply(float* x, float factor, int64_t n) {
  Map(x, x, n, MultiplyOp{_mm512_set1_ps(factor)});
}

SHOAL_TARGET_AVX512 void SoftCap(float* x, float cap, int64_t n) {
  Map(x, x, n, SoftCapOp{_mm512_set1_ps(cap), _mm512_set1_ps(1.0F / cap)});
}

SHOAL_TARGET_AVX512 void SoftmaxNumerators(float* x, float max, float temperature, int64_t n) {
  Map(x, x, n, SoftmaxNumeratorOp{_mm512_set1_ps(max), _mm512_set1_ps(temperature)});
}

void SiluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, SiluMultiplyOp()); }

void Gelu(float* x, int64_t n) { Map(x, x, n, GeluOp()); }

void GeluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, GeluMultiplyOp()); }

void ClampedSwiglu(float* gate, const float* up, int64_t n) { Map(gate, up, n, ClampedSwigluOp()); }

SHOAL_TARGET_AVX512 void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t heads,
                                      int32_t head_dim, int32_t rope_dim) {
  const int32_t pairs = rope_dim / 2;
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    for (int32_t i = 0; i < pairs; i += 8) {
      RotateAdjacent8(x + 2 * i, cos + i, sin + i, pairs - i);
    }
  }
}

SHOAL_TARGET_AVX512 void RopeHalves(float* x, const float* cos, const float* sin, int32_t heads,
                                    int32_t head_dim, int32_t rope_dim) {
  const int32_t half = rope_dim / 2;
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    for (int32_t i = 0; i < half; i += kLanes) {
      Rotate16(x + i, x + half + i, cos + i, sin + i, half - i);
    }
  }
}

void StoreKv(const AttentionShape& shape, const float* k, const float* v, std::byte* page,
             int32_t slot) {
  if (shape.kv_type == KvType::kQ8_0) {
    StoreKvQ8(QuantizeBy32, shape, k, v, page, slot);
  } else if (shape.kv_type == KvType::kF16) {
    StoreKvAs(shape, k, v, reinterpret_cast<uint16_t*>(page), slot);
  } else {
    StoreKvAs(shape, k, v, reinterpret_cast<float*>(page), slot);
  }
}

}  // namespace shoal::kernels::avx512vnni

#endif
