// Everything but products and attention, for AVX2.
#include "kernels/avx2.h"
#include "kernels/avx2_math.h"
#include "kernels/kv_page.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx2 {

namespace {

constexpr int64_t kLanes = 8;

SHOAL_TARGET_AVX2 inline __m256 Absolute(__m256 x) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x);
}

SHOAL_TARGET_AVX2 inline float MaxOfLanes(__m256 x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

// The largest |x| of 32 values, or `largest` if that is larger; NaN is passed over.
SHOAL_TARGET_AVX2 inline __m256 LargestOf32(const float* x, __m256 largest) {
  for (int i = 0; i < 4; ++i) {
    largest = _mm256_max_ps(Absolute(_mm256_loadu_ps(x + i * kLanes)), largest);
  }
  return largest;
}

// x * inverse rounded into [-127, 127]; NaN gives -127.
SHOAL_TARGET_AVX2 inline __m256i Quantize8(const float* x, __m256 inverse) {
  const __m256 value = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
  const __m256 low = _mm256_max_ps(value, _mm256_set1_ps(-127.0F));
  return _mm256_cvtps_epi32(_mm256_min_ps(low, _mm256_set1_ps(127.0F)));
}

// Quantizes 32 values; lanes 0 and 1 of the result are the sums of the first and last 16.
SHOAL_TARGET_AVX2 inline __m128i Quantize32(const float* x, float inverse, int8_t* values) {
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256i a = Quantize8(x, factor);
  const __m256i b = Quantize8(x + 8, factor);
  const __m256i c = Quantize8(x + 16, factor);
  const __m256i d = Quantize8(x + 24, factor);
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  // The packs work in 128-bit halves: put their groups of four values back in order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(values),
                      _mm256_permutevar8x32_epi32(bytes, order));
  __m256i sums = _mm256_hadd_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
  sums = _mm256_hadd_epi32(sums, sums);
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

inline float InverseScale(float largest) {
  return largest >= kSmallestQuantized ? 127.0F / largest : 0.0F;
}

// What Map does to each vector of x and y.
struct AddOp {
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 y) const {
    return _mm256_add_ps(x, y);
  }
};

struct AddScaledOp {
  __m256 factor;
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 y) const {
    return _mm256_fmadd_ps(factor, y, x);
  }
};

struct MultiplyOp {
  __m256 factor;
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 /*y*/) const {
    return _mm256_mul_ps(x, factor);
  }
};

struct SoftCapOp {
  __m256 cap;
  __m256 inverse;
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 /*y*/) const {
    return _mm256_mul_ps(Tanh8(_mm256_mul_ps(x, inverse)), cap);
  }
};

struct SoftmaxNumeratorOp {
  __m256 max;
  __m256 temperature;
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 /*y*/) const {
    return Exp8(_mm256_div_ps(_mm256_sub_ps(x, max), temperature));
  }
};

// x / (1 + e^-(slope * x)), slope being 1 for SiLU.
SHOAL_TARGET_AVX2 inline __m256 Swish(__m256 x, __m256 slope_times_x) {
  const __m256 exp = Exp8(_mm256_xor_ps(slope_times_x, _mm256_set1_ps(-0.0F)));
  return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0F), exp));
}

struct SiluMultiplyOp {
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 gate, __m256 up) const {
    return _mm256_mul_ps(Swish(gate, gate), up);
  }
};

struct GeluOp {
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 x, __m256 /*y*/) const {
    const __m256 cubic = _mm256_mul_ps(x, _mm256_set1_ps(kGeluCubic));
    const __m256 inner = _mm256_fmadd_ps(cubic, x, _mm256_set1_ps(1.0F));
    const __m256 linear = _mm256_mul_ps(x, _mm256_set1_ps(kGeluLinear));
    const __m256 half = _mm256_mul_ps(_mm256_set1_ps(0.5F), x);
    return _mm256_fmadd_ps(half, Tanh8(_mm256_mul_ps(linear, inner)), half);
  }
};

struct GeluMultiplyOp {
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 gate, __m256 up) const {
    return _mm256_mul_ps(GeluOp()(gate, up), up);
  }
};

struct ClampedSwigluOp {
  SHOAL_TARGET_AVX2 inline __m256 operator()(__m256 gate, __m256 up) const {
    const __m256 limit = _mm256_set1_ps(kSwigluLimit);
    const __m256 g = _mm256_min_ps(gate, limit);
    const __m256 u = _mm256_min_ps(_mm256_max_ps(up, _mm256_set1_ps(-kSwigluLimit)), limit);
    const __m256 swish = Swish(g, _mm256_mul_ps(g, _mm256_set1_ps(kSwigluSlope)));
    return _mm256_mul_ps(swish, _mm256_add_ps(u, _mm256_set1_ps(1.0F)));
  }
};

// A mask of the first `count` lanes.
SHOAL_TARGET_AVX2 inline __m256i FirstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// x[i] = op(x[i], y[i]); `y` may be `x`.
template <typename Op>
SHOAL_TARGET_AVX2 inline void Map(float* x, const float* y, int64_t n, Op op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm256_storeu_ps(x + i, op(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
  if (i == n) return;
  const __m256i rest = FirstLanes(n - i);
  _mm256_maskstore_ps(x + i, rest,
                      op(_mm256_maskload_ps(x + i, rest), _mm256_maskload_ps(y + i, rest)));
}

// The sum of x[i] - mean, or of its squares, by the 16 partial sums.
template <bool kSquares>
SHOAL_TARGET_AVX2 inline float SumOfDifferences(const float* x, int64_t n, __m256 mean) {
  __m256 partial[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t i = 0; i < n; i += kLanes) {
    const __m256i lanes = FirstLanes(n - i);
    const __m256 difference = _mm256_and_ps(_mm256_sub_ps(_mm256_maskload_ps(x + i, lanes), mean),
                                            _mm256_castsi256_ps(lanes));
    __m256& sum = partial[i / kLanes % 2];
    sum = kSquares ? _mm256_fmadd_ps(difference, difference, sum) : _mm256_add_ps(sum, difference);
  }
  return SumOfPartials(partial[0], partial[1]);
}

// Eight pairs (a, b) by eight angles.
SHOAL_TARGET_AVX2 inline void Rotate8(float* a, float* b, const float* cos, const float* sin) {
  const __m256 x = _mm256_loadu_ps(a);
  const __m256 y = _mm256_loadu_ps(b);
  const __m256 c = _mm256_loadu_ps(cos);
  const __m256 s = _mm256_loadu_ps(sin);
  _mm256_storeu_ps(a, _mm256_fmsub_ps(x, c, _mm256_mul_ps(y, s)));
  _mm256_storeu_ps(b, _mm256_fmadd_ps(x, s, _mm256_mul_ps(y, c)));
}

// Four adjacent pairs by four angles.
SHOAL_TARGET_AVX2 inline void RotateAdjacent4(float* pairs, const float* cos, const float* sin) {
  const __m256 x = _mm256_loadu_ps(pairs);  // a0 b0 a1 b1 ...
  const __m128 c = _mm_loadu_ps(cos);
  const __m128 s = _mm_loadu_ps(sin);
  const __m256 cos_sin = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));
  const __m256 sin_cos = _mm256_permute_ps(cos_sin, 0xB1);
  const __m256 b_part = _mm256_mul_ps(_mm256_movehdup_ps(x), sin_cos);
  _mm256_storeu_ps(pairs, _mm256_fmaddsub_ps(_mm256_moveldup_ps(x), cos_sin, b_part));
}

SHOAL_TARGET_AVX2 inline void Rotate(float* a, float* b, float cos, float sin) {
  const float rotated = __builtin_fmaf(*a, cos, -(*b * sin));
  *b = __builtin_fmaf(*a, sin, *b * cos);
  *a = rotated;
}

SHOAL_TARGET_AVX2 inline __m128i ToHalves(__m256 x) {
  return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// Floats into a KV page of halves or floats.
SHOAL_TARGET_AVX2 inline void Store8(const float* from, uint16_t* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), ToHalves(_mm256_loadu_ps(from)));
}
SHOAL_TARGET_AVX2 inline void Store8(const float* from, float* to) {
  _mm256_storeu_ps(to, _mm256_loadu_ps(from));
}
SHOAL_TARGET_AVX2 inline void Store1(const float* from, uint16_t* to) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  *to = static_cast<uint16_t>(_cvtss_sh(*from, kNearest));
}
SHOAL_TARGET_AVX2 inline void Store1(const float* from, float* to) { *to = *from; }

// store_kv for pages of T.
template <typename T>
SHOAL_TARGET_AVX2 void StoreKvAs(const AttentionShape& shape, const float* k, const float* v,
                                 T* head_page, int32_t slot) {
  const int32_t head_dim = shape.head_dim;
  for (int32_t h = 0; h < shape.kv_heads; ++h) {
    T* to_k = head_page + slot;  // a column
    T* to_v = head_page + int64_t{head_dim} * kKvPageTokens + int64_t{slot} * head_dim;
    int32_t d = 0;
    for (; d + kLanes <= head_dim; d += kLanes) {
      alignas(32) T column[kLanes];
      Store8(k + d, column);
      for (int i = 0; i < kLanes; ++i) to_k[(d + i) * kKvPageTokens] = column[i];
      Store8(v + d, to_v + d);
    }
    for (; d < head_dim; ++d) {
      Store1(k + d, to_k + d * kKvPageTokens);
      Store1(v + d, to_v + d);
    }
    k += head_dim;
    v += head_dim;
    head_page += int64_t{2} * head_dim * kKvPageTokens;
  }
}

}  // namespace

SHOAL_TARGET_AVX2 void QuantizeBy32(const float* x, int64_t cols, int8_t* values, float* scales,
                                    int32_t* sums, float* scaled_sums) {
  for (int64_t b = 0; b < cols / 32; ++b) {
    const float largest = MaxOfLanes(LargestOf32(x + b * 32, _mm256_setzero_ps()));
    const __m128i halves = Quantize32(x + b * 32, InverseScale(largest), values + b * 32);
    scales[b] = largest / 127.0F;
    sums[b] = _mm_cvtsi128_si32(halves) + _mm_extract_epi32(halves, 1);
    scaled_sums[b] = scales[b] * static_cast<float>(sums[b]);
  }
}

SHOAL_TARGET_AVX2 void QuantizeBy256(const float* x, int64_t cols, int8_t* values, float* scales,
                                     int32_t* sums, int16_t* sums16) {
  for (int64_t b = 0; b < cols / 256; ++b) {
    __m256 lanes = _mm256_setzero_ps();
    for (int64_t i = 0; i < 256; i += 32) lanes = LargestOf32(x + b * 256 + i, lanes);
    const float largest = MaxOfLanes(lanes);
    scales[b] = largest / 127.0F;
    const float inverse = InverseScale(largest);
    for (int64_t j = b * 8; j < b * 8 + 8; ++j) {
      const __m128i halves = Quantize32(x + j * 32, inverse, values + j * 32);
      const int32_t first = _mm_cvtsi128_si32(halves);
      const int32_t second = _mm_extract_epi32(halves, 1);
      sums16[2 * j] = static_cast<int16_t>(first);
      sums16[2 * j + 1] = static_cast<int16_t>(second);
      sums[j] = first + second;
    }
  }
}

SHOAL_TARGET_AVX2 void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon,
                               float* out) {
  __m256 partial0to7 = _mm256_setzero_ps();
  __m256 partial8to15 = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 a = _mm256_loadu_ps(x + i);
    const __m256 b = _mm256_loadu_ps(x + i + kLanes);
    partial0to7 = _mm256_fmadd_ps(a, a, partial0to7);
    partial8to15 = _mm256_fmadd_ps(b, b, partial8to15);
  }
  if (i < n) {
    float partial[16];
    _mm256_storeu_ps(partial, partial0to7);
    _mm256_storeu_ps(partial + kLanes, partial8to15);
    for (; i < n; ++i) partial[i % 16] = __builtin_fmaf(x[i], x[i], partial[i % 16]);
    partial0to7 = _mm256_loadu_ps(partial);
    partial8to15 = _mm256_loadu_ps(partial + kLanes);
  }
  const float mean = SumOfPartials(partial0to7, partial8to15) / static_cast<float>(n);
  const float inverse = 1.0F / __builtin_sqrtf(mean + epsilon);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inverse));
    _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
  }
  for (; i < n; ++i) out[i] = (x[i] * inverse) * weight[i];
}

SHOAL_TARGET_AVX2 void LayerNorm(const float* x, const float* weight, const float* bias, int64_t n,
                                 float epsilon, float* out) {
  const __m256 zero = _mm256_setzero_ps();
  const float mean = SumOfDifferences<false>(x, n, zero) / static_cast<float>(n);
  const __m256 means = _mm256_set1_ps(mean);
  const float variance = SumOfDifferences<true>(x, n, means) / static_cast<float>(n);
  const __m256 inverse = _mm256_set1_ps(1.0F / __builtin_sqrtf(variance + epsilon));
  for (int64_t i = 0; i < n; i += kLanes) {
    const __m256i lanes = FirstLanes(n - i);
    const __m256 value = _mm256_sub_ps(_mm256_maskload_ps(x + i, lanes), means);
    const __m256 scaled = _mm256_mul_ps(value, inverse);
    _mm256_maskstore_ps(out + i, lanes,
                        _mm256_fmadd_ps(scaled, _mm256_maskload_ps(weight + i, lanes),
                                        _mm256_maskload_ps(bias + i, lanes)));
  }
}

void Add(float* x, const float* y, int64_t n) { Map(x, y, n, AddOp()); }

SHOAL_TARGET_AVX2 void AddScaled(float* x, float factor, const float* y, int64_t n) {
  Map(x, y, n, AddScaledOp{_mm256_set1_ps(factor)});
}

SHOAL_TARGET_AVX2 void Multiply(float* x, float factor, int64_t n) {
  Map(x, x, n, MultiplyOp{_mm256_set1_ps(factor)});
}

SHOAL_TARGET_AVX2 void SoftCap(float* x, float cap, int64_t n) {
  Map(x, x, n, SoftCapOp{_mm256_set1_ps(cap), _mm256_set1_ps(1.0F / cap)});
}

SHOAL_TARGET_AVX2 void SoftmaxNumerators(float* x, float max, float temperature, int64_t n) {
  Map(x, x, n, SoftmaxNumeratorOp{_mm256_set1_ps(max), _mm256_set1_ps(temperature)});
}

void SiluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, SiluMultiplyOp()); }

void Gelu(float* x, int64_t n) { Map(x, x, n, GeluOp()); }

void GeluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, GeluMultiplyOp()); }

void ClampedSwiglu(float* gate, const float* up, int64_t n) { Map(gate, up, n, ClampedSwigluOp()); }

SHOAL_TARGET_AVX2 void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t heads,
                                    int32_t head_dim, int32_t rope_dim) {
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    int32_t i = 0;
    for (; i + 4 <= rope_dim / 2; i += 4) RotateAdjacent4(x + 2 * i, cos + i, sin + i);
    for (; i < rope_dim / 2; ++i) Rotate(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
  }
}

SHOAL_TARGET_AVX2 void RopeHalves(float* x, const float* cos, const float* sin, int32_t heads,
                                  int32_t head_dim, int32_t rope_dim) {
  const int32_t half = rope_dim / 2;
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    int32_t i = 0;
    for (; i + kLanes <= half; i += kLanes) Rotate8(x + i, x + half + i, cos + i, sin + i);
    for (; i < half; ++i) Rotate(x + i, x + half + i, cos[i], sin[i]);
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

}  // namespace shoal::kernels::avx2

#endif
