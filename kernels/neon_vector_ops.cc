// Everything but products and attention, for AArch64.
#include <algorithm>

#include "kernels/kv_page.h"
#include "kernels/neon.h"
#include "kernels/neon_math.h"

#if defined(__aarch64__)

namespace shoal::kernels::neon {

namespace {

constexpr int64_t kLanes = 4;

// The largest |x| of 32 values, or `largest` if that is larger; NaN is passed over.
inline float32x4_t LargestOf32(const float* x, float32x4_t largest) {
  for (int i = 0; i < 8; ++i) {
    largest = vmaxnmq_f32(vabsq_f32(vld1q_f32(x + i * kLanes)), largest);
  }
  return largest;
}

// x * inverse rounded into [-127, 127]; NaN gives -127.
inline int32x4_t Quantize4(const float* x, float inverse) {
  const float32x4_t value = vmulq_n_f32(vld1q_f32(x), inverse);
  const float32x4_t low = vmaxnmq_f32(value, vdupq_n_f32(-127.0F));
  return vcvtnq_s32_f32(vminnmq_f32(low, vdupq_n_f32(127.0F)));
}

// Quantizes 16 values; returns their sum.
inline int16_t Quantize16(const float* x, float inverse, int8_t* values) {
  const int16x8_t low =
      vcombine_s16(vmovn_s32(Quantize4(x, inverse)), vmovn_s32(Quantize4(x + 4, inverse)));
  const int16x8_t high =
      vcombine_s16(vmovn_s32(Quantize4(x + 8, inverse)), vmovn_s32(Quantize4(x + 12, inverse)));
  const int8x16_t bytes = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
  vst1q_s8(values, bytes);
  return vaddlvq_s8(bytes);
}

inline float InverseScale(float largest) {
  return largest >= kSmallestQuantized ? 127.0F / largest : 0.0F;
}

// What Map does to each vector of x and y.
struct AddOp {
  float32x4_t operator()(float32x4_t x, float32x4_t y) const { return vaddq_f32(x, y); }
};

struct AddScaledOp {
  float factor;
  float32x4_t operator()(float32x4_t x, float32x4_t y) const { return vfmaq_n_f32(x, y, factor); }
};

struct MultiplyOp {
  float factor;
  float32x4_t operator()(float32x4_t x, float32x4_t /*y*/) const { return vmulq_n_f32(x, factor); }
};

struct SoftCapOp {
  float cap;
  float inverse;
  float32x4_t operator()(float32x4_t x, float32x4_t /*y*/) const {
    return vmulq_n_f32(Tanh4(vmulq_n_f32(x, inverse)), cap);
  }
};

struct SoftmaxNumeratorOp {
  float max;
  float temperature;
  float32x4_t operator()(float32x4_t x, float32x4_t /*y*/) const {
    return Exp4(vdivq_f32(vsubq_f32(x, vdupq_n_f32(max)), vdupq_n_f32(temperature)));
  }
};

// x / (1 + e^-(slope * x)), slope being 1 for SiLU.
inline float32x4_t Swish(float32x4_t x, float32x4_t slope_times_x) {
  return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0F), Exp4(vnegq_f32(slope_times_x))));
}

struct SiluMultiplyOp {
  float32x4_t operator()(float32x4_t gate, float32x4_t up) const {
    return vmulq_f32(Swish(gate, gate), up);
  }
};

struct GeluOp {
  float32x4_t operator()(float32x4_t x, float32x4_t /*y*/) const {
    const float32x4_t inner = vfmaq_f32(vdupq_n_f32(1.0F), vmulq_n_f32(x, kGeluCubic), x);
    const float32x4_t half = vmulq_n_f32(x, 0.5F);
    return vfmaq_f32(half, half, Tanh4(vmulq_f32(vmulq_n_f32(x, kGeluLinear), inner)));
  }
};

struct GeluMultiplyOp {
  float32x4_t operator()(float32x4_t gate, float32x4_t up) const {
    return vmulq_f32(GeluOp()(gate, up), up);
  }
};

struct ClampedSwigluOp {
  float32x4_t operator()(float32x4_t gate, float32x4_t up) const {
    const float32x4_t limit = vdupq_n_f32(kSwigluLimit);
    const float32x4_t g = vminnmq_f32(gate, limit);
    const float32x4_t u = vminnmq_f32(vmaxnmq_f32(up, vnegq_f32(limit)), limit);
    return vmulq_f32(Swish(g, vmulq_n_f32(g, kSwigluSlope)), vaddq_f32(u, vdupq_n_f32(1.0F)));
  }
};

// x[i] = op(x[i], y[i]); `y` may be `x`.
template <typename Op>
inline void Map(float* x, const float* y, int64_t n, Op op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) vst1q_f32(x + i, op(vld1q_f32(x + i), vld1q_f32(y + i)));
  if (i == n) return;
  float last[2][kLanes] = {};
  std::copy(x + i, x + n, last[0]);
  std::copy(y + i, y + n, last[1]);
  vst1q_f32(last[0], op(vld1q_f32(last[0]), vld1q_f32(last[1])));
  std::copy_n(last[0], n - i, x + i);
}

// The sum of x[i] - mean, or of its squares, by the 16 partial sums.
template <bool kSquares>
inline float SumOfDifferences(const float* x, int64_t n, float mean) {
  float32x4_t partial[4] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int p = 0; p < 4; ++p) {
      const float32x4_t difference = vsubq_f32(vld1q_f32(x + i + p * kLanes), vdupq_n_f32(mean));
      partial[p] = kSquares ? vfmaq_f32(partial[p], difference, difference)
                            : vaddq_f32(partial[p], difference);
    }
  }
  if (i < n) {
    float sums[16];
    for (int p = 0; p < 4; ++p) vst1q_f32(sums + p * kLanes, partial[p]);
    for (; i < n; ++i) {
      const float difference = x[i] - mean;
      float& sum = sums[i % 16];
      sum = kSquares ? __builtin_fmaf(difference, difference, sum) : sum + difference;
    }
    for (int p = 0; p < 4; ++p) partial[p] = vld1q_f32(sums + p * kLanes);
  }
  return SumOfPartials(partial[0], partial[1], partial[2], partial[3]);
}

struct Pairs {
  float32x4_t a;
  float32x4_t b;
};

// Four pairs (a, b) by four angles.
inline Pairs Rotate4(Pairs x, const float* cos, const float* sin) {
  const float32x4_t c = vld1q_f32(cos);
  const float32x4_t s = vld1q_f32(sin);
  return {vfmaq_f32(vnegq_f32(vmulq_f32(x.b, s)), x.a, c), vfmaq_f32(vmulq_f32(x.b, c), x.a, s)};
}

inline void Rotate(float* a, float* b, float cos, float sin) {
  const float rotated = __builtin_fmaf(*a, cos, -(*b * sin));
  *b = __builtin_fmaf(*a, sin, *b * cos);
  *a = rotated;
}

// Floats into a KV page of halves or floats.
inline void Store4(const float* from, uint16_t* to) {
  vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from))));
}
inline void Store4(const float* from, float* to) { vst1q_f32(to, vld1q_f32(from)); }
inline void Store1(const float* from, uint16_t* to) {
  vst1_lane_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(*from))), 0);
}
inline void Store1(const float* from, float* to) { *to = *from; }

// store_kv for pages of T.
template <typename T>
void StoreKvAs(const AttentionShape& shape, const float* k, const float* v, T* head_page,
               int32_t slot) {
  const int32_t head_dim = shape.head_dim;
  for (int32_t h = 0; h < shape.kv_heads; ++h) {
    T* to_k = head_page + slot;  // a column
    T* to_v = head_page + int64_t{head_dim} * kKvPageTokens + int64_t{slot} * head_dim;
    int32_t d = 0;
    for (; d + kLanes <= head_dim; d += kLanes) {
      T column[kLanes];
      Store4(k + d, column);
      for (int i = 0; i < kLanes; ++i) to_k[(d + i) * kKvPageTokens] = column[i];
      Store4(v + d, to_v + d);
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

void QuantizeBy32(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                  float* scaled_sums) {
  for (int64_t b = 0; b < cols / 32; ++b) {
    const float largest = vmaxnmvq_f32(LargestOf32(x + b * 32, vdupq_n_f32(0)));
    const float inverse = InverseScale(largest);
    scales[b] = largest / 127.0F;
    sums[b] = Quantize16(x + b * 32, inverse, values + b * 32) +
              Quantize16(x + b * 32 + 16, inverse, values + b * 32 + 16);
    scaled_sums[b] = scales[b] * static_cast<float>(sums[b]);
  }
}

void QuantizeBy256(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                   int16_t* sums16) {
  for (int64_t b = 0; b < cols / 256; ++b) {
    float32x4_t lanes = vdupq_n_f32(0);
    for (int64_t i = 0; i < 256; i += 32) lanes = LargestOf32(x + b * 256 + i, lanes);
    const float largest = vmaxnmvq_f32(lanes);
    scales[b] = largest / 127.0F;
    const float inverse = InverseScale(largest);
    for (int64_t j = b * 16; j < b * 16 + 16; ++j) {
      sums16[j] = Quantize16(x + j * 16, inverse, values + j * 16);
    }
    for (int64_t j = b * 8; j < b * 8 + 8; ++j) sums[j] = sums16[2 * j] + sums16[2 * j + 1];
  }
}

void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon, float* out) {
  const float mean = SumOfDifferences<true>(x, n, 0) / static_cast<float>(n);
  const float inverse = 1.0F / __builtin_sqrtf(mean + epsilon);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const float32x4_t scaled = vmulq_n_f32(vld1q_f32(x + i), inverse);
    vst1q_f32(out + i, vmulq_f32(scaled, vld1q_f32(weight + i)));
  }
  for (; i < n; ++i) out[i] = (x[i] * inverse) * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, int64_t n, float epsilon,
               float* out) {
  const float mean = SumOfDifferences<false>(x, n, 0) / static_cast<float>(n);
  const float variance = SumOfDifferences<true>(x, n, mean) / static_cast<float>(n);
  const float inverse = 1.0F / __builtin_sqrtf(variance + epsilon);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const float32x4_t value = vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(mean));
    const float32x4_t scaled = vmulq_n_f32(value, inverse);
    vst1q_f32(out + i, vfmaq_f32(vld1q_f32(bias + i), scaled, vld1q_f32(weight + i)));
  }
  for (; i < n; ++i) out[i] = __builtin_fmaf((x[i] - mean) * inverse, weight[i], bias[i]);
}

void Add(float* x, const float* y, int64_t n) { Map(x, y, n, AddOp()); }

void AddScaled(float* x, float factor, const float* y, int64_t n) {
  Map(x, y, n, AddScaledOp{factor});
}

void Multiply(float* x, float factor, int64_t n) { Map(x, x, n, MultiplyOp{factor}); }

void SoftCap(float* x, float cap, int64_t n) { Map(x, x, n, SoftCapOp{cap, 1.0F / cap}); }

void SoftmaxNumerators(float* x, float max, float temperature, int64_t n) {
  Map(x, x, n, SoftmaxNumeratorOp{max, temperature});
}

void SiluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, SiluMultiplyOp()); }

void Gelu(float* x, int64_t n) { Map(x, x, n, GeluOp()); }

void GeluMultiply(float* gate, const float* up, int64_t n) { Map(gate, up, n, GeluMultiplyOp()); }

void ClampedSwiglu(float* gate, const float* up, int64_t n) { Map(gate, up, n, ClampedSwigluOp()); }

void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                  int32_t rope_dim) {
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    int32_t i = 0;
    for (; i + kLanes <= rope_dim / 2; i += kLanes) {
      const float32x4x2_t pairs = vld2q_f32(x + 2 * i);
      const auto [a, b] = Rotate4({pairs.val[0], pairs.val[1]}, cos + i, sin + i);
      vst2q_f32(x + 2 * i, {{a, b}});
    }
    for (; i < rope_dim / 2; ++i) Rotate(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
  }
}

void RopeHalves(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                int32_t rope_dim) {
  const int32_t half = rope_dim / 2;
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    int32_t i = 0;
    for (; i + kLanes <= half; i += kLanes) {
      const auto [a, b] = Rotate4({vld1q_f32(x + i), vld1q_f32(x + half + i)}, cos + i, sin + i);
      vst1q_f32(x + i, a);
      vst1q_f32(x + half + i, b);
    }
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

}  // namespace shoal::kernels::neon

#endif
