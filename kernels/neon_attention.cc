// Attention for AArch64: as kernels/avx2_attention.cc, with half the lanes and twice the registers.
#include <algorithm>

#include "kernels/attention_tiles.h"
#include "kernels/neon.h"
#include "kernels/neon_math.h"
#include "kernels/portable_math.h"

#if defined(__aarch64__)

namespace shoal::kernels::neon {

namespace {

constexpr int32_t kLanes = 4;

inline float Load1(const uint16_t* from) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vld1_dup_u16(from))), 0);
}
inline float Load1(const float* from) { return *from; }

// out[r, c] = start + sum over i of a[r, i] * b[i, c] for kRows rows and kVectors vectors of
// columns; start is 0, or out[r, c] * rescale[r] if there is a rescale.
template <typename T, int kRows, int kVectors>
inline void Product(const float* a, int64_t a_stride, const T* b, int64_t b_stride, int32_t depth,
                    const float* rescale, float* out, int64_t out_stride) {
  float32x4_t acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const float* from = out + r * out_stride + v * kLanes;
      acc[r][v] = rescale == nullptr ? vdupq_n_f32(0) : vmulq_n_f32(vld1q_f32(from), rescale[r]);
    }
  }
  for (int32_t i = 0; i < depth; ++i, a += 1, b += b_stride) {
    float32x4_t columns[kVectors];
    for (int v = 0; v < kVectors; ++v) columns[v] = Load4(b + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const float factor = a[r * a_stride];
      for (int v = 0; v < kVectors; ++v) acc[r][v] = vfmaq_n_f32(acc[r][v], columns[v], factor);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) vst1q_f32(out + r * out_stride + v * kLanes, acc[r][v]);
  }
}

// The columns that do not fill a vector.
template <typename T>
void ProductTail(int32_t rows, const float* a, int64_t a_stride, const T* b, int64_t b_stride,
                 int32_t depth, int32_t columns, const float* rescale, float* out,
                 int64_t out_stride) {
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t c = 0; c < columns; ++c) {
      float acc = out[r * out_stride + c] * rescale[r];
      for (int32_t i = 0; i < depth; ++i) {
        acc = __builtin_fmaf(a[r * a_stride + i], Load1(b + i * b_stride + c), acc);
      }
      out[r * out_stride + c] = acc;
    }
  }
}

// Scores [rows, kKvPageTokens] to weights p in place; moves max and sum on and writes the factor by
// which sums and values so far shrink.
template <int kRows>
inline void Softmax(const AttentionPage& page, float* scores, float* max, float* sum,
                    float* rescale) {
  constexpr int kVectors = kKvPageTokens / kLanes;
  constexpr uint32_t kFirstKeys[kLanes] = {0, 1, 2, 3};
  uint32x4_t visible[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const auto left = static_cast<uint32_t>(std::max(page.visible - v * kLanes, 0));
    visible[v] = vcgtq_u32(vdupq_n_u32(left), vld1q_u32(kFirstKeys));
  }
  for (int r = 0; r < kRows; ++r) {
    float* row = scores + r * kKvPageTokens;
    float32x4_t most = vdupq_n_f32(max[r]);
    for (int v = 0; v < kVectors; ++v) {  // a score that is NaN is passed over
      const float32x4_t score = vld1q_f32(row + v * kLanes);
      most = vmaxnmq_f32(vbslq_f32(visible[v], score, vdupq_n_f32(-__builtin_inff())), most);
    }
    const float new_max = vmaxnmvq_f32(most);
    rescale[r] = ExpF(max[r] - new_max);
    max[r] = new_max;
    float32x4_t p[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const float32x4_t exp = Exp4(vsubq_f32(vld1q_f32(row + v * kLanes), vdupq_n_f32(new_max)));
      p[v] = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(exp), visible[v]));
      vst1q_f32(row + v * kLanes, p[v]);
    }
    const float added = SumOfPartials(vaddq_f32(p[0], p[4]), vaddq_f32(p[1], p[5]),
                                      vaddq_f32(p[2], p[6]), vaddq_f32(p[3], p[7]));
    sum[r] = __builtin_fmaf(sum[r], rescale[r], added);
  }
}

// Takes one page of T into kRows rows of the tile that see the same of its keys.
template <typename T, int kRows>
void TakePageOfRows(const AttentionPage& page, AttentionTile& tile, int32_t row) {
  constexpr int kVectors = kRows <= 3 ? 8 : 4;  // of 32 registers at most 24 are accumulators
  constexpr int kColumns = kVectors * kLanes;
  float p[kRows * kKvPageTokens];
  float rescale[kRows];
  const T* k = reinterpret_cast<const T*>(page.k);
  const T* v = reinterpret_cast<const T*>(page.v);
  const float* q = tile.q + row * tile.stride;
  for (int32_t c = 0; c < kKvPageTokens; c += kColumns) {
    Product<T, kRows, kVectors>(q, tile.stride, k + c, kKvPageTokens, page.head_dim, nullptr, p + c,
                                kKvPageTokens);
  }
  Softmax<kRows>(page, p, tile.max + row, tile.sum + row, rescale);
  float* o = tile.o + row * tile.stride;
  int32_t d = 0;
  for (; d + kColumns <= page.head_dim; d += kColumns) {
    Product<T, kRows, kVectors>(p, kKvPageTokens, v + d, page.head_dim, page.visible, rescale,
                                o + d, tile.stride);
  }
  for (; d + kLanes <= page.head_dim; d += kLanes) {
    Product<T, kRows, 1>(p, kKvPageTokens, v + d, page.head_dim, page.visible, rescale, o + d,
                         tile.stride);
  }
  if (d < page.head_dim) {
    ProductTail(kRows, p, kKvPageTokens, v + d, page.head_dim, page.visible, page.head_dim - d,
                rescale, o + d, tile.stride);
  }
}

template <typename T>
void TakePage(const AttentionPage& page, AttentionTile& tile, int32_t row, int32_t rows) {
  switch (rows) {
    case 1: return TakePageOfRows<T, 1>(page, tile, row);
    case 2: return TakePageOfRows<T, 2>(page, tile, row);
    case 3: return TakePageOfRows<T, 3>(page, tile, row);
    case 4: return TakePageOfRows<T, 4>(page, tile, row);
    case 5: return TakePageOfRows<T, 5>(page, tile, row);
    default: return TakePageOfRows<T, kMaxGroupRows>(page, tile, row);
  }
}

void Multiply(const float* x, int32_t n, float factor, float* out) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) vst1q_f32(out + i, vmulq_n_f32(vld1q_f32(x + i), factor));
  for (; i < n; ++i) out[i] = x[i] * factor;
}

void Divide(const float* x, int32_t n, float divisor, float* out) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    vst1q_f32(out + i, vdivq_f32(vld1q_f32(x + i), vdupq_n_f32(divisor)));
  }
  for (; i < n; ++i) out[i] = x[i] / divisor;
}

}  // namespace

void Attend(const AttentionShape& shape, const float* q, int64_t tokens, int64_t first_position,
            const std::byte* const* pages, int32_t kv_head, float* out) {
  const auto take_page = shape.kv_type == KvType::kF16 ? TakePage<uint16_t> : TakePage<float>;
  AttendByTiles({take_page, Multiply, Divide}, shape, q, tokens, first_position, pages, kv_head,
                out);
}

}  // namespace shoal::kernels::neon

#endif
