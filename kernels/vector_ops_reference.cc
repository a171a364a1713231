#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "kernels/partial_sums.h"
#include "kernels/portable_math.h"
#include "kernels/reference.h"

namespace shoal::kernels::reference {

namespace {

// Nearest even without a call or a cast that could overflow; NaN gives -127.
int8_t RoundToInt8(float value) {
  constexpr float kMagic = 0x1.8p23F;  // adding it leaves no place for a fraction
  const float low = value >= -127.0F ? value : -127.0F;
  const float clamped = low <= 127.0F ? low : 127.0F;
  return static_cast<int8_t>((clamped + kMagic) - kMagic);
}

// One block of `count` values; returns its scale.
float QuantizeBlock(const float* x, int count, int8_t* values) {
  float largest = 0;
  for (int i = 0; i < count; ++i) {
    const float magnitude = std::fabs(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float inverse = largest >= kSmallestQuantized ? 127.0F / largest : 0.0F;
  for (int i = 0; i < count; ++i) values[i] = RoundToInt8(x[i] * inverse);
  return largest / 127.0F;
}

int32_t Sum(const int8_t* values, int count) {
  int32_t sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return sum;
}

float GeluOf(float x) {
  const float t = TanhF((x * kGeluLinear) * std::fma(x * kGeluCubic, x, 1.0F));
  const float half = 0.5F * x;
  return std::fma(half, t, half);
}

}  // namespace

void QuantizeBy32(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                  float* scaled_sums) {
  CHECK(cols % 32 == 0, "whole blocks");
  for (int64_t b = 0; b < cols / 32; ++b) {
    scales[b] = QuantizeBlock(x + b * 32, 32, values + b * 32);
    sums[b] = Sum(values + b * 32, 32);
    scaled_sums[b] = scales[b] * static_cast<float>(sums[b]);
  }
}

void QuantizeBy256(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                   int16_t* sums16) {
  CHECK(cols % 256 == 0, "whole blocks");
  for (int64_t b = 0; b < cols / 256; ++b) {
    scales[b] = QuantizeBlock(x + b * 256, 256, values + b * 256);
  }
  for (int64_t j = 0; j < cols / 16; ++j) {
    sums16[j] = static_cast<int16_t>(Sum(values + j * 16, 16));
  }
  for (int64_t j = 0; j < cols / 32; ++j) sums[j] = sums16[2 * j] + sums16[2 * j + 1];
}

void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon, float* out) {
  PartialSums partial = {};
  for (int64_t i = 0; i < n; ++i) partial[i % 16] = std::fma(x[i], x[i], partial[i % 16]);
  const float mean = Combine(partial) / static_cast<float>(n);
  const float inverse = 1.0F / std::sqrt(mean + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] * inverse) * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, int64_t n, float epsilon,
               float* out) {
  PartialSums sums = {};
  for (int64_t i = 0; i < n; ++i) sums[i % 16] += x[i];
  const float mean = Combine(sums) / static_cast<float>(n);
  PartialSums squares = {};
  for (int64_t i = 0; i < n; ++i) {
    squares[i % 16] = std::fma(x[i] - mean, x[i] - mean, squares[i % 16]);
  }
  const float variance = Combine(squares) / static_cast<float>(n);
  const float inverse = 1.0F / std::sqrt(variance + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = std::fma((x[i] - mean) * inverse, weight[i], bias[i]);
}

void Add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void AddScaled(float* x, float factor, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = std::fma(factor, y[i], x[i]);
}

void Multiply(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void SoftCap(float* x, float cap, int64_t n) {
  const float inverse = 1.0F / cap;
  for (int64_t i = 0; i < n; ++i) x[i] = TanhF(x[i] * inverse) * cap;
}

void SoftmaxNumerators(float* x, float max, float temperature, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = ExpF((x[i] - max) / temperature);
}

void SiluMultiply(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) gate[i] = (gate[i] / (1.0F + ExpF(-gate[i]))) * up[i];
}

void Gelu(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = GeluOf(x[i]);
}

void GeluMultiply(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) gate[i] = GeluOf(gate[i]) * up[i];
}

void ClampedSwiglu(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i] < kSwigluLimit ? gate[i] : kSwigluLimit;
    const float above = up[i] > -kSwigluLimit ? up[i] : -kSwigluLimit;
    const float u = above < kSwigluLimit ? above : kSwigluLimit;
    gate[i] = (g / (1.0F + ExpF(-(g * kSwigluSlope)))) * (u + 1.0F);
  }
}

namespace {

// Rotates the pair (a, b) by one angle.
void Rotate(float& a, float& b, float cos, float sin) {
  const float rotated = std::fma(a, cos, -(b * sin));
  b = std::fma(a, sin, b * cos);
  a = rotated;
}

}  // namespace

void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                  int32_t rope_dim) {
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    for (int32_t i = 0; i < rope_dim / 2; ++i) Rotate(x[2 * i], x[2 * i + 1], cos[i], sin[i]);
  }
}

void RopeHalves(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                int32_t rope_dim) {
  const int32_t half = rope_dim / 2;
  for (int32_t h = 0; h < heads; ++h, x += head_dim) {
    for (int32_t i = 0; i < half; ++i) Rotate(x[i], x[half + i], cos[i], sin[i]);
  }
}

}  // namespace shoal::kernels::reference
