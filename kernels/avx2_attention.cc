// Attention for AVX2. Scores and weighted values are the same product, out += a * b, with b a page
// of T, uint16_t halves or floats: rows are query heads, lanes are keys (K is stored transposed) or
// dimensions of a value.
#include "kernels/attention_tiles.h"
#include "kernels/avx2.h"
#include "kernels/avx2_math.h"
#include "kernels/kv_page.h"

#if defined(__x86_64__)

namespace shoal::kernels::avx2 {

namespace {

constexpr int32_t kLanes = 8;

SHOAL_TARGET_AVX2 inline __m256 Load8(const uint16_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SHOAL_TARGET_AVX2 inline __m256 Load8(const float* from) { return _mm256_loadu_ps(from); }

SHOAL_TARGET_AVX2 inline float Load1(const uint16_t* from) { return _cvtsh_ss(*from); }
SHOAL_TARGET_AVX2 inline float Load1(const float* from) { return *from; }

// out[r, c] = start + sum over i of a[r, i] * b[i, c] for kRows rows and kVectors vectors of
// columns; start is 0, or out[r, c] * rescale[r] if there is a rescale.
template <typename T, int kRows, int kVectors>
SHOAL_TARGET_AVX2 inline void Product(const float* a, int64_t a_stride, const T* b,
                                      int64_t b_stride, int32_t depth, const float* rescale,
                                      float* out, int64_t out_stride) {
  __m256 acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = rescale == nullptr
                      ? _mm256_setzero_ps()
                      : _mm256_mul_ps(_mm256_loadu_ps(out + r * out_stride + v * kLanes),
                                      _mm256_set1_ps(rescale[r]));
    }
  }
  // What is fewer, rows or vectors, stays in registers: 16 hold the accumulators, that and one
  // more.
  for (int32_t i = 0; i < depth; ++i, a += 1, b += b_stride) {
    if constexpr (kRows < kVectors) {
      __m256 factors[kRows];
      for (int r = 0; r < kRows; ++r) factors[r] = _mm256_broadcast_ss(a + r * a_stride);
      for (int v = 0; v < kVectors; ++v) {
        const __m256 column = Load8(b + v * kLanes);
        for (int r = 0; r < kRows; ++r) acc[r][v] = _mm256_fmadd_ps(factors[r], column, acc[r][v]);
      }
    } else {
      __m256 columns[kVectors];
      for (int v = 0; v < kVectors; ++v) columns[v] = Load8(b + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        const __m256 factor = _mm256_broadcast_ss(a + r * a_stride);
        for (int v = 0; v < kVectors; ++v) {
          acc[r][v] = _mm256_fmadd_ps(factor, columns[v], acc[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      _mm256_storeu_ps(out + r * out_stride + v * kLanes, acc[r][v]);
    }
  }
}

// The columns that do not fill a vector.
template <typename T>
SHOAL_TARGET_AVX2 void ProductTail(int32_t rows, const float* a, int64_t a_stride, const T* b,
                                   int64_t b_stride, int32_t depth, int32_t columns,
                                   const float* rescale, float* out, int64_t out_stride) {
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
SHOAL_TARGET_AVX2 inline void CapScores(float softcap, float* scores, int32_t count) {
  const __m256 cap = _mm256_set1_ps(softcap);
  const __m256 inverse = _mm256_set1_ps(1.0F / softcap);
  for (int32_t i = 0; i < count; i += kLanes) {
    const __m256 bent = Tanh8(_mm256_mul_ps(_mm256_loadu_ps(scores + i), inverse));
    _mm256_storeu_ps(scores + i, _mm256_mul_ps(bent, cap));
  }
}

// Scores [rows, kKvPageTokens] to weights p in place; moves max and sum on and writes the factor by
// which sums and values so far shrink.
template <int kRows>
SHOAL_TARGET_AVX2 inline void Softmax(const AttentionPage& page, float* scores, float* max,
                                      float* sum, float* rescale) {
  constexpr int kVectors = kKvPageTokens / kLanes;
  const __m256 minus_infinity = _mm256_set1_ps(-__builtin_inff());
  __m256 visible[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const __m256i key =
        _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(v * kLanes));
    const __m256i before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(page.visible), key);
    const __m256i before_first = _mm256_cmpgt_epi32(_mm256_set1_epi32(page.first), key);
    visible[v] = _mm256_castsi256_ps(_mm256_andnot_si256(before_first, before_end));
  }
  alignas(32) float old_minus_new[kLanes] = {};
  for (int r = 0; r < kRows; ++r) {
    __m256 most = minus_infinity;
    for (int v = 0; v < kVectors; ++v) {
      const __m256 score = _mm256_loadu_ps(scores + r * kKvPageTokens + v * kLanes);
      most = _mm256_max_ps(_mm256_blendv_ps(minus_infinity, score, visible[v]), most);
    }
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    half = _mm_max_ss(half, _mm_movehdup_ps(half));
    half = _mm_max_ss(half, _mm_set_ss(max[r]));
    old_minus_new[r] = max[r] - _mm_cvtss_f32(half);
    max[r] = _mm_cvtss_f32(half);
  }
  _mm256_storeu_ps(rescale, Exp8(_mm256_load_ps(old_minus_new)));
  for (int r = 0; r < kRows; ++r) {
    __m256 p[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      float* score = scores + r * kKvPageTokens + v * kLanes;
      p[v] = Exp8(_mm256_sub_ps(_mm256_loadu_ps(score), _mm256_set1_ps(max[r])));
      p[v] = _mm256_and_ps(p[v], visible[v]);
      _mm256_storeu_ps(score, p[v]);
    }
    const float added = SumOfPartials(_mm256_add_ps(p[0], p[2]), _mm256_add_ps(p[1], p[3]));
    sum[r] = __builtin_fmaf(sum[r], rescale[r], added);
  }
}

// Takes one page of T into kRows rows of the tile that see the same of its keys.
template <typename T, int kRows>
SHOAL_TARGET_AVX2 void TakePageOfRows(const AttentionPage& page, AttentionTile& tile, int32_t row) {
  constexpr int kVectors = kRows <= 3 ? 4 : 2;
  constexpr int kColumns = kVectors * kLanes;
  alignas(32) float p[kRows * kKvPageTokens];
  alignas(32) float rescale[kLanes];
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

// Eight quants as floats.
SHOAL_TARGET_AVX2 inline __m256 Quants8(const int8_t* from) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

SHOAL_TARGET_AVX2 void UnpackQ8(const std::byte* head_page, int32_t head_dim, UnpackedPage& to) {
  const Q8Offsets offsets = Q8OffsetsOf(head_dim);
  const auto* k = reinterpret_cast<const int8_t*>(head_page);
  const auto* v = reinterpret_cast<const int8_t*>(head_page + offsets.v);
  const auto* k_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.k_scales);
  const auto* v_scales = reinterpret_cast<const uint16_t*>(head_page + offsets.v_scales);
  for (int32_t d = 0; d < head_dim; ++d) {
    const uint16_t* scales = k_scales + d / kKvBlock * kKvPageTokens;
    for (int32_t j = 0; j < kKvPageTokens; j += kLanes) {
      const int32_t at = d * kKvPageTokens + j;
      _mm256_storeu_ps(to.k + at, _mm256_mul_ps(Load8(scales + j), Quants8(k + at)));
    }
  }
  for (int32_t j = 0; j < kKvPageTokens; ++j) {
    const int8_t* quants = v + int64_t{j} * head_dim;
    float* values = to.v + int64_t{j} * head_dim;
    const uint16_t* scales = v_scales + j * KvBlocks(head_dim);
    int32_t d = 0;
    for (; d + kLanes <= head_dim; d += kLanes) {
      const __m256 scale = _mm256_set1_ps(Load1(scales + d / kKvBlock));
      _mm256_storeu_ps(values + d, _mm256_mul_ps(scale, Quants8(quants + d)));
    }
    for (; d < head_dim; ++d) values[d] = Load1(scales + d / kKvBlock) * quants[d];
  }
}

SHOAL_TARGET_AVX2 void Multiply(const float* x, int32_t n, float factor, float* out) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(factor)));
  }
  for (; i < n; ++i) out[i] = x[i] * factor;
}

SHOAL_TARGET_AVX2 void Divide(const float* x, int32_t n, float divisor, float* out) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    _mm256_storeu_ps(out + i, _mm256_div_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(divisor)));
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

}  // namespace shoal::kernels::avx2

#endif
