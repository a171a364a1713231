// Attention for AArch64: as kernels/avx2_attention.cc, with half the lanes and twice the registers.
#include "kernels/attention_tiles.h"
#include "kernels/kv_page.h"
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

// Scores that are bent by the page's softcap, in place.
inline void CapScores(float softcap, float* scores, int32_t count) {
  const float inverse = 1.0F / softcap;
  for (int32_t i = 0; i < count; i += kLanes) {
    const float32x4_t bent = Tanh4(vmulq_n_f32(vld1q_f32(scores + i), inverse));
    vst1q_f32(scores + i, vmulq_n_f32(bent, softcap));
  }
}

// Scores [rows, kKvPageTokens] to weights p in place; moves max and sum on and writes the factor by
// which sums and values so far shrink.
template <int kRows>
inline void Softmax(const AttentionPage& page, float* scores, float* max, float* sum,
                    float* rescale) {
  constexpr int kVectors = kKvPageTokens / kLanes;
  constexpr int32_t kFirstKeys[kLanes] = {0, 1, 2, 3};
  uint32x4_t visible[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int32x4_t keys = vaddq_s32(vld1q_s32(kFirstKeys), vdupq_n_s32(v * kLanes));
    visible[v] = vandq_u32(vcgeq_s32(keys, vdupq_n_s32(page.first)),
                           vcltq_s32(keys, vdupq_n_s32(page.visible)));
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
  if (page.softcap != 0) CapScores(page.softcap, p, kRows * kKvPageTokens);
  Softmax<kRows>(page, p, tile.max + row, tile.sum + row, rescale);
  const float* weights = p + page.first;
  const int32_t keys = page.visible - page.first;
  v += int64_t{page.first} * page.head_dim;
  float* o = tile.o + row * tile.stride;
  int32_t d = 0;
  for (; d + kColumns <= page.head_dim; d += kColumns) {
    Product<T, kRows, kVectors>(weights, kKvPageTokens, v + d, page.head_dim, keys, rescale, o + d,
                                tile.stride);
  }
  for (; d + kLanes <= page.head_dim; d += kLanes) {
    Product<T, kRows, 1>(weights, kKvPageTokens, v + d, page.head_dim, keys, rescale, o + d,
                         tile.stride);
  }
  if (d < page.head_dim) {
    ProductTail(kRows, weights, kKvPageTokens, v + d, page.head_dim, keys, page.head_dim - d,
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

// Eight quants times their scales, as floats.
inline void Unpack8(const int8_t* quants, float32x4_t scale0, float32x4_t scale4, float* to) {
  const int16x8_t wide = vmovl_s8(vld1_s8(quants));
  vst1q_f32(to, vmulq_f32(scale0, vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)))));
  vst1q_f32(to + kLanes, vmulq_f32(scale4, vcvtq_f32_s32(vmovl_high_s16(wide))));
}

void UnpackQ8(const std::byte* head_page, int32_t head_dim, UnpackedPage& to) {
  const Q8Offsets offsets = Q8OffsetsOf(head_dim);
  const auto* k = reinterpret_cast<const int8_t*>(head_page);
  const auto* v = reinterpret_cast<const int8_t*>(head_page + offsets.v);
  const auto* k_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.k_scales);
  const auto* v_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.v_scales);
  for (int32_t d = 0; d < head_dim; ++d) {
    const uint16_t* scales = k_scales + d / kKvBlock * kKvPageTokens;
    for (int32_t j = 0; j < kKvPageTokens; j += 8) {
      const int32_t at = d * kKvPageTokens + j;
      Unpack8(k + at, Load4(scales + j), Load4(scales + j + kLanes), to.k + at);
    }
  }
  for (int32_t j = 0; j < kKvPageTokens; ++j) {
    const int8_t* quants = v + int64_t{j} * head_dim;
    float* values = to.v + int64_t{j} * head_dim;
    const uint16_t* scales = v_scales + j * KvBlocks(head_dim);
    int32_t d = 0;
    for (; d + 8 <= head_dim; d += 8) {
      const float32x4_t scale = vdupq_n_f32(Load1(scales + d / kKvBlock));
      Unpack8(quants + d, scale, scale, values + d);
    }
    for (; d < head_dim; ++d) {
      values[d] = Load1(scales + d / kKvBlock) * static_cast<float>(quants[d]);
    }
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
  AttendByTiles({take_page, UnpackQ8, Multiply, Divide}, shape, q, tokens, first_position, pages,
                kv_head, out);
}

}  // namespace shoal::kernels::neon

#endif
