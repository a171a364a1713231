// Attention for AVX-512: as kernels/avx2_attention.cc, with twice the lanes and masks for what is
// left of a head.
#include "kernels/attention_tiles.h"
#include "kernels/avx512_math.h"
#include "kernels/avx512vnni.h"
#include "kernels/kv_page.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx512vnni {

namespace {

constexpr int32_t kLanes = 16;

SHOAL_TARGET_AVX512 inline __m512 LoadFirst(__mmask16 mask, const uint16_t* from) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, from));
}
SHOAL_TARGET_AVX512 inline __m512 LoadFirst(__mmask16 mask, const float* from) {
  return _mm512_maskz_loadu_ps(mask, from);
}

// out[r, c] = start + sum over i of a[r, i] * b[i, c] for kRows rows and kVectors vectors of
// columns, the last `last` wide; start is 0, or out[r, c] * rescale[r] if there is a rescale.
// Writes whole vectors of out.
template <typename T, int kRows, int kVectors>
SHOAL_TARGET_AVX512 inline void Product(const float* a, int64_t a_stride, const T* b,
                                        int64_t b_stride, int32_t depth, __mmask16 last,
                                        const float* rescale, float* out, int64_t out_stride) {
  __m512 acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = rescale == nullptr
                      ? _mm512_setzero_ps()
                      : _mm512_mul_ps(_mm512_loadu_ps(out + r * out_stride + v * kLanes),
                                      _mm512_set1_ps(rescale[r]));
    }
  }
  for (int32_t i = 0; i < depth; ++i, a += 1, b += b_stride) {
    __m512 columns[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const __mmask16 mask = v == kVectors - 1 ? last : FirstLanes(kLanes);
      columns[v] = LoadFirst(mask, b + v * kLanes);
    }
    for (int r = 0; r < kRows; ++r) {
      const __m512 factor = _mm512_set1_ps(a[r * a_stride]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_fmadd_ps(factor, columns[v], acc[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      _mm512_storeu_ps(out + r * out_stride + v * kLanes, acc[r][v]);
    }
  }
}

// Scores that are bent by the page's softcap, in place.
SHOAL_TARGET_AVX512 inline void CapScores(float softcap, float* scores, int32_t count) {
  const __m512 cap = _mm512_set1_ps(softcap);
  const __m512 inverse = _mm512_set1_ps(1.0F / softcap);
  for (int32_t i = 0; i < count; i += kLanes) {
    const __m512 bent = Tanh16(_mm512_mul_ps(_mm512_loadu_ps(scores + i), inverse));
    _mm512_storeu_ps(scores + i, _mm512_mul_ps(bent, cap));
  }
}

// The lanes of keys [first, end), of those from `begin` on.
inline __mmask16 KeyLanes(const AttentionPage& page, int32_t begin) {
  const int32_t first = page.first < begin ? 0 : page.first - begin;
  const int32_t end = page.visible < begin ? 0 : page.visible - begin;
  return static_cast<__mmask16>(FirstLanes(end) & ~FirstLanes(first));
}

// Scores [rows, kKvPageTokens] to weights p in place; moves max and sum on and writes the factor by
// which sums and values so far shrink.
template <int kRows>
SHOAL_TARGET_AVX512 inline void Softmax(const AttentionPage& page, float* scores, float* max,
                                        float* sum, float* rescale) {
  const __mmask16 first = KeyLanes(page, 0);
  const __mmask16 second = KeyLanes(page, kLanes);
  const __m512 minus_infinity = _mm512_set1_ps(-__builtin_inff());
  alignas(64) float old_minus_new[kLanes] = {};
  for (int r = 0; r < kRows; ++r) {
    const float* row = scores + r * kKvPageTokens;
    const __m512 a = _mm512_mask_mov_ps(minus_infinity, first, _mm512_loadu_ps(row));
    const __m512 b = _mm512_mask_mov_ps(minus_infinity, second, _mm512_loadu_ps(row + kLanes));
    // A score that is NaN is passed over.
    __m512 most = _mm512_max_ps(a, _mm512_set1_ps(max[r]));
    most = _mm512_max_ps(b, most);
    const float new_max = _mm512_reduce_max_ps(most);
    old_minus_new[r] = max[r] - new_max;
    max[r] = new_max;
  }
  _mm512_storeu_ps(rescale, Exp16(_mm512_loadu_ps(old_minus_new)));
  for (int r = 0; r < kRows; ++r) {
    float* row = scores + r * kKvPageTokens;
    const __m512 top = _mm512_set1_ps(max[r]);
    const __m512 a = Exp16(_mm512_sub_ps(_mm512_loadu_ps(row), top));
    const __m512 b = Exp16(_mm512_sub_ps(_mm512_loadu_ps(row + kLanes), top));
    const __m512 p = _mm512_maskz_mov_ps(first, a);
    const __m512 q = _mm512_maskz_mov_ps(second, b);
    _mm512_storeu_ps(row, p);
    _mm512_storeu_ps(row + kLanes, q);
    sum[r] = __builtin_fmaf(sum[r], rescale[r], SumOfPartials(_mm512_add_ps(p, q)));
  }
}

// Takes one page of T into kRows rows of the tile that see the same of its keys.
template <typename T, int kRows>
SHOAL_TARGET_AVX512 void TakePageOfRows(const AttentionPage& page, AttentionTile& tile,
                                        int32_t row) {
  static_assert(kKvPageTokens == 2 * kLanes);
  alignas(64) float p[kRows * kKvPageTokens];
  alignas(64) float rescale[kLanes];
  const T* k = reinterpret_cast<const T*>(page.k);
  const T* v = reinterpret_cast<const T*>(page.v);
  Product<T, kRows, 2>(tile.q + row * tile.stride, tile.stride, k, kKvPageTokens, page.head_dim,
                       FirstLanes(kLanes), nullptr, p, kKvPageTokens);
  if (page.softcap != 0) CapScores(page.softcap, p, kRows * kKvPageTokens);
  Softmax<kRows>(page, p, tile.max + row, tile.sum + row, rescale);
  const float* weights = p + page.first;
  const int32_t keys = page.visible - page.first;
  v += int64_t{page.first} * page.head_dim;
  float* o = tile.o + row * tile.stride;
  int32_t d = 0;
  for (; d + kLanes < page.head_dim; d += 2 * kLanes) {
    Product<T, kRows, 2>(weights, kKvPageTokens, v + d, page.head_dim, keys,
                         FirstLanes(page.head_dim - d - kLanes), rescale, o + d, tile.stride);
  }
  if (d < page.head_dim) {
    Product<T, kRows, 1>(weights, kKvPageTokens, v + d, page.head_dim, keys,
                         FirstLanes(page.head_dim - d), rescale, o + d, tile.stride);
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

// A half as a float in every lane.
SHOAL_TARGET_AVX512 inline __m512 ScaleOfLanes(uint16_t half) {
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(half)));
}

// Up to 16 quants as floats.
SHOAL_TARGET_AVX512 inline __m512 QuantsFirst(__mmask16 mask, const int8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from)));
}

SHOAL_TARGET_AVX512 void UnpackQ8(const std::byte* head_page, int32_t head_dim, UnpackedPage& to) {
  const Q8Offsets offsets = Q8OffsetsOf(head_dim);
  const auto* k = reinterpret_cast<const int8_t*>(head_page);
  const auto* v = reinterpret_cast<const int8_t*>(head_page + offsets.v);
  const auto* k_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.k_scales);
  const auto* v_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.v_scales);
  const __mmask16 all = FirstLanes(kLanes);
  for (int32_t d = 0; d < head_dim; ++d) {
    const uint16_t* scales = k_scales + d / kKvBlock * kKvPageTokens;
    for (int32_t j = 0; j < kKvPageTokens; j += kLanes) {
      const int32_t at = d * kKvPageTokens + j;
      const __m512 scale = LoadFirst(all, scales + j);
      _mm512_storeu_ps(to.k + at, _mm512_mul_ps(scale, QuantsFirst(all, k + at)));
    }
  }
  for (int32_t j = 0; j < kKvPageTokens; ++j) {
    const uint16_t* scales = v_scales + j * KvBlocks(head_dim);
    for (int32_t d = 0; d < head_dim; d += kLanes) {
      const int32_t at = j * head_dim + d;
      const __mmask16 mask = FirstLanes(head_dim - d);
      const __m512 scale = ScaleOfLanes(scales[d / kKvBlock]);
      _mm512_mask_storeu_ps(to.v + at, mask, _mm512_mul_ps(scale, QuantsFirst(mask, v + at)));
    }
  }
}

SHOAL_TARGET_AVX512 void Multiply(const float* x, int32_t n, float factor, float* out) {
  for (int32_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
    _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(value, _mm512_set1_ps(factor)));
  }
}

SHOAL_TARGET_AVX512 void Divide(const float* x, int32_t n, float divisor, float* out) {
  for (int32_t i = 0; i < n; i += kLanes) {
    const __mmask16 mask = FirstLanes(n - i);
    const __m512 value = _mm512_maskz_loadu_ps(mask, x + i);
    _mm512_mask_storeu_ps(out + i, mask, _mm512_div_ps(value, _mm512_set1_ps(divisor)));
  }
}

}  // namespace

void Attend(const AttentionShape& shape, const float* q, int64_t tokens, int64_t first_position,
            const std::byte* const* pages, int32_t kv_head, float* out) {
  const auto take_page = shape.kv_type == KvType::kF16 ? TakePage<uint16_t> : TakePage<float>;
  AttendByTiles({take_page, UnpackQ8, Multiply, Divide}, shape, q, tokens, first_position, pages,
                kv_head, out);
}

}  // namespace shoal::kernels::avx512vnni

#endif
